/**
 * What the main thread and its workers say to each other: orders one way, one answer to each the other way. Everything
 * here survives structured cloning, which keeps no classes: errors are taken apart and put together again.
 */
import type { FlowInfo } from '../control/flow-info.js';
import type { PurgeMode, PurgeOrder } from '../control/http-actions.js';
import type { HttpSnapshot } from '../control/http-snapshot.js';
import type { MetricNumbers } from '../control/metric-counts.js';
import type { ModuleSnapshot } from '../engine/module-snapshot.js';
import type { PacketSnapshot } from '../engine/packet-snapshot.js';
import { ConfigError, SpliceError, type SpliceErrorCode } from '../errors.js';
import type { HostPort, SocksConfig } from './config.js';
import type { HttpConfig } from './http-config.js';
import type { ListenerKind } from './http-listeners.js';
import type { BackendChoiceInfo } from './server-interface.js';

/** What each thread is a whole one of. */
export type WorkerConfig =
  | { readonly program: 'socks'; readonly config: SocksConfig }
  | { readonly program: 'http'; readonly config: HttpConfig; readonly kinds: readonly ListenerKind[] };

/** `workerData`: all that a worker begins with. */
export interface WorkerStart {
  /** Counts from 1; stands in log lines and before flow ids. */
  readonly worker: number;
  readonly serve: WorkerConfig;
  /** Listening descriptors of the main thread: the worker duplicates them before it answers. */
  readonly listeners: readonly number[];
  /** The pool in which all workers count their connections. */
  readonly pool: number;
  readonly relayThreads: number;
}

export type Order =
  | { readonly kind: 'report' }
  | { readonly kind: 'drain' }
  | { readonly kind: 'stop'; readonly keep: boolean }
  /** Reads what the configuration names, and keeps it without using it. */
  | { readonly kind: 'prepare'; readonly serve: WorkerConfig }
  /** Uses what was prepared last. Cannot fail. */
  | { readonly kind: 'apply' }
  /** Of a cache: answered with a PurgeResult, and with StoredInfo[]. */
  | { readonly kind: 'purge'; readonly order: PurgeOrder; readonly mode: PurgeMode }
  | { readonly kind: 'lookup'; readonly uri: string };

export type NumberedOrder = Order & { readonly id: number };

/** The numbers and the flows of one moment, so that no byte is counted twice or not at all. Sent with every answer. */
export interface WorkerReport extends WorkerLive {
  readonly numbers: MetricNumbers;
}

/** What a server on one thread says of this moment. */
export interface WorkerLive {
  readonly handshakes: number;
  readonly flows: readonly FlowInfo[];
  readonly packet: PacketSnapshot | undefined;
  readonly module?: ModuleSnapshot | undefined;
  /** Of a splice-http. */
  readonly http?: HttpSnapshot | undefined;
}

export type WorkerMessage =
  | { readonly kind: 'started'; readonly listening: readonly HostPort[]; readonly backend: BackendChoiceInfo }
  | { readonly kind: 'not-started'; readonly error: PackedError }
  | { readonly kind: 'done'; readonly id: number; readonly report: WorkerReport; readonly answer?: unknown }
  | { readonly kind: 'failed'; readonly id: number; readonly error: PackedError };

export interface PackedError {
  readonly code: SpliceErrorCode | undefined;
  readonly message: string;
  readonly stack: string | undefined;
}

export function packError(error: unknown): PackedError {
  const code = error instanceof SpliceError ? error.code : undefined;
  if (!(error instanceof Error)) return { code, message: String(error), stack: undefined };
  return { code, message: error.message, stack: error.stack };
}

/** The message names file and line already, so a ConfigError gets them back as text only. */
export function unpackError({ code, message, stack }: PackedError): Error {
  const error =
    code === undefined
      ? new Error(message)
      : code === 'ERR_SPLICE_CONFIG'
        ? new ConfigError(message)
        : new SpliceError(code, message);
  if (stack !== undefined) error.stack = stack;
  return error;
}
