/** Settings of splice-http about what one client may take: connections, requests, bytes, time. */
import { DEFAULT_HEAD_LIMITS } from '../http/head-parser.js';
import {
  DRAIN_TIMEOUT_SETTING,
  IDLE_TIMEOUT_SETTING,
  MAX_CONNECTIONS_SETTING,
  MAX_PER_CLIENT_SETTING,
} from './config-common.js';
import { duration, limit, valueOf } from './config-table.js';
import type { SettingTable } from './config-table.js';
import { formatSize, parseSize } from './config-values.js';

/** Durations are milliseconds. */
export interface LimitConfig {
  /** Milliseconds from the first byte of a head to its last, and from accept to the first head. */
  readonly headTimeout: number;
  /** Milliseconds between requests; 0 = connections are not used again. */
  readonly keepAlive: number;
  /** Milliseconds without a byte of a body. */
  readonly clientTimeout: number;
  /** Milliseconds without a byte either way; 0 = never. */
  readonly tunnelTimeout: number;
  readonly maxConnections: number | 'auto';
  readonly maxPerClient: number;
  /** Requests of one connection; 0 = no limit. */
  readonly maxRequests: number;
  /** Bytes; 0 = no limit. */
  readonly maxRequestBody: number;
  readonly maxHead: number;
  /** How long a drain waits; 0 = not at all. */
  readonly drainTimeout: number;
}

export const LIMIT_SETTINGS: SettingTable<LimitConfig> = {
  maxConnections: {
    help: 'Connections of clients at one time; 0 = no limit; auto = what the descriptor limit allows.',
    ...MAX_CONNECTIONS_SETTING,
  },
  maxPerClient: MAX_PER_CLIENT_SETTING,
  maxRequests: {
    group: 'Limits',
    argument: 'N',
    help: 'Requests of one connection, then it is closed; 0 = no limit.',
    schema: limit,
    initial: 0,
    initialText: '0',
  },
  maxRequestBody: {
    group: 'Limits',
    argument: 'SIZE',
    help: "Bytes of a request's body; more is answered with 413. 0 = no limit.",
    schema: valueOf((value) => parseSize(value)),
    initial: 1024 ** 3,
    initialText: '1g',
  },
  maxHead: {
    group: 'Limits',
    argument: 'SIZE',
    help: 'Bytes of the head of a request or response; more is answered with 431 or 502.',
    schema: valueOf((value) => parseSize(value, 1024)),
    initial: DEFAULT_HEAD_LIMITS.maxHeadBytes,
    initialText: formatSize(DEFAULT_HEAD_LIMITS.maxHeadBytes),
  },
  headTimeout: {
    group: 'Limits',
    argument: 'DURATION',
    help: 'From accept to the first head (with TLS, for the handshake before), and from the first byte of a head to its last.',
    schema: duration('forbidden'),
    initial: 10_000,
    initialText: '10s',
  },
  keepAlive: {
    group: 'Limits',
    argument: 'DURATION',
    help: 'Between requests of a connection; 0 = connections are not used again.',
    schema: duration('allowed'),
    initial: 60_000,
    initialText: '1m',
  },
  clientTimeout: {
    group: 'Limits',
    argument: 'DURATION',
    help: 'Without a byte of a body, from or to a client.',
    schema: duration('forbidden'),
    initial: 30_000,
    initialText: '30s',
  },
  tunnelTimeout: {
    help: 'Close a tunnel (CONNECT, upgrade) after this time without a byte either way; 0 = never.',
    ...IDLE_TIMEOUT_SETTING,
  },
  drainTimeout: {
    help: 'How long a drain waits for requests and tunnels that need the process to end.',
    ...DRAIN_TIMEOUT_SETTING,
  },
};
