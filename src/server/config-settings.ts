/**
 * THE list of settings of splice-socks. Flags, YAML keys, help text, defaults, checks and what SIGHUP can change all
 * come from this table; nothing else names a setting a second time. Read at start and at each reload.
 */
import { parseListen } from './config-address.js';
import type { HostPort } from './config-address.js';
import {
  BACKEND_CHOICES,
  BACKEND_SETTING,
  DRAIN_TIMEOUT_SETTING,
  IDLE_TIMEOUT_SETTING,
  MAX_CONNECTIONS_SETTING,
  MAX_PER_CLIENT_SETTING,
  operationSettings,
  PACKET_SETTINGS,
  PREFER_SETTING,
  RELAY_THREADS_SETTING,
  RULES_SETTING,
  USERS_SETTING,
  WORKERS_SETTING,
} from './config-common.js';
import type { AccessConfig, PacketConfig, RelayConfig, ServerConfig } from './config-common.js';
import { duration, limit, listOf, onOff, valueOf } from './config-table.js';
import type { SettingTable } from './config-table.js';

export { BACKEND_CHOICES, LOG_FORMATS, LOG_LEVELS } from './config-common.js';
export type { BackendChoice, LogFormat, LogLevel } from './config-common.js';
export { keyOf } from './config-table.js';

/** The configuration of one splice-socks process, after flags, file and defaults are merged and checked. */
export interface SocksConfig extends ServerConfig, RelayConfig, PacketConfig, AccessConfig {
  /** Addresses to listen on, at least one. Replaced by the sockets that systemd hands over, if it does. */
  readonly listen: readonly HostPort[];
  /** Milliseconds from accept to a complete request; never 0. */
  readonly handshakeTimeout: number;
  /** Milliseconds for resolving and connecting to the target, all attempts together; never 0. */
  readonly connectTimeout: number;
  /** Milliseconds without a byte either way until a flow is closed; 0 = never. */
  readonly idleTimeout: number;
  /** Connections at one time; 0 = no limit; `auto` = what the descriptor limit allows. */
  readonly maxConnections: number | 'auto';
  /** Connections at one time of one client address; 0 = no limit. */
  readonly maxPerClient: number;
  /** Connections at one time of one user; 0 = no limit. */
  readonly maxPerUser: number;
}

export type SettingName = keyof SocksConfig;

export const SETTING_GROUPS = ['Listening', 'Relaying', 'Packet backend', 'Access', 'Limits', 'Operation'] as const;

export const SETTINGS: SettingTable<SocksConfig> = {
  listen: {
    group: 'Listening',
    argument: '[HOST:]PORT',
    help:
      'Listen here; repeatable. A port alone means 127.0.0.1; [::1]:1080 is IPv6; ' +
      ':1080 or *:1080 is every address, IPv4 and IPv6. Port 0 lets the kernel choose.',
    schema: listOf(valueOf(parseListen), 'name at least one address, or leave the setting out'),
    initial: [{ host: '127.0.0.1', port: 1080 }],
    initialText: '127.0.0.1:1080',
    repeatable: true,
    needsRestart: true,
  },
  open: {
    group: 'Listening',
    argument: undefined,
    help: 'Let everyone who can reach the listening address use the proxy, without users and rules.',
    schema: onOff,
    initial: false,
  },
  backend: {
    group: 'Relaying',
    help: `How bytes are relayed: ${BACKEND_CHOICES.join(', ')}. A backend named here is used or the start fails.`,
    ...BACKEND_SETTING,
  },
  prefer: { group: 'Relaying', ...PREFER_SETTING },
  workers: {
    group: 'Relaying',
    help: 'Threads that accept and do handshakes, each with its own listener (SO_REUSEPORT).',
    ...WORKERS_SETTING,
  },
  relayThreads: {
    group: 'Relaying',
    help: 'Native threads that move bytes on the splice backend, or auto.',
    ...RELAY_THREADS_SETTING,
  },
  ...PACKET_SETTINGS,
  users: {
    group: 'Access',
    help: 'Ask for a name and password (RFC 1929); FILE is made by "splice-ctl passwd".',
    ...USERS_SETTING,
  },
  rules: { group: 'Access', ...RULES_SETTING },
  handshakeTimeout: {
    group: 'Limits',
    argument: 'DURATION',
    help: 'From accept to a complete request.',
    schema: duration('forbidden'),
    initial: 10_000,
    initialText: '10s',
  },
  connectTimeout: {
    group: 'Limits',
    argument: 'DURATION',
    help: 'For the name look-up and all attempts to connect to the target.',
    schema: duration('forbidden'),
    initial: 15_000,
    initialText: '15s',
  },
  idleTimeout: {
    help: 'Close a flow after this time without a byte either way; 0 = never.',
    ...IDLE_TIMEOUT_SETTING,
  },
  drainTimeout: {
    help: 'How long a drain waits for flows that need the process to end.',
    ...DRAIN_TIMEOUT_SETTING,
  },
  maxConnections: {
    help: 'Connections at one time; 0 = no limit; auto = what the descriptor limit allows.',
    ...MAX_CONNECTIONS_SETTING,
  },
  maxPerClient: MAX_PER_CLIENT_SETTING,
  maxPerUser: {
    group: 'Limits',
    argument: 'N',
    help: 'Connections at one time of one user; 0 = no limit.',
    schema: limit,
    initial: 0,
    initialText: '0',
  },
  ...operationSettings(
    'socks',
    'Serve /metrics (Prometheus) and /health here. Anyone who reaches it can read them: keep it private.',
  ),
};
