/**
 * What the command line needs from the running server, and what it gives to it. The server implements this;
 * signals, control socket, admin endpoint and systemd are wired to it by src/cli/run-server.ts and nowhere else.
 */
import type { Logger } from 'pino';
import type { FlowInfo } from '../control/flow-info.js';
import type { CacheActions } from '../control/http-actions.js';
import type { HttpSnapshot } from '../control/http-snapshot.js';
import type { Metrics } from '../control/metrics.js';
import type { HostPort, SocksConfig } from './config.js';
import type { ModuleSnapshot } from '../engine/module-snapshot.js';
import type { PacketSnapshot } from '../engine/packet-snapshot.js';
import type { InheritedSocket } from './systemd.js';

/** The state of the process that operators ask for. Taking one must not disturb the relay. */
export interface ServerSnapshot {
  /** Connections between accept and splice. */
  readonly handshakes: number;
  /** Open descriptors of the process. */
  readonly descriptors: number;
  /** The descriptor limit (RLIMIT_NOFILE, soft). */
  readonly descriptorLimit: number;
  /** Live flows. A flow leaves this list in the same turn in which it is reported to Metrics.flowClosed. */
  readonly flows: readonly FlowInfo[];
  /** The packet backend's data plane, where there is one. It is one for all threads of the process. */
  readonly packet: PacketSnapshot | undefined;
  /** The kernel module, where it is in use. The same for all threads. */
  readonly module?: ModuleSnapshot | undefined;
  /** Of a splice-http only: all its threads together. */
  readonly http?: HttpSnapshot | undefined;
}

/** The backend in use and why: `no CAP_BPF, so packet was refused`. */
export interface BackendChoiceInfo {
  readonly name: string;
  readonly reason: string;
}

export interface ServerOptions<Config = SocksConfig> {
  readonly config: Config;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Reads the configuration again, as SIGHUP does. Rejects with a ConfigError on a mistake. */
  readonly reload: () => Promise<Config>;
  /** Listening sockets from systemd; if there are any they replace `config.listen`. */
  readonly inherited: readonly InheritedSocket[];
}

export interface RunningServer<Config = SocksConfig> {
  /** The addresses really listened on, port 0 resolved. */
  readonly listening: readonly HostPort[];
  readonly backend: BackendChoiceInfo;
  /** Undefined where there is no cache. */
  readonly cache?: CacheActions | undefined;
  /** Resolves with the reason if the server can no longer serve as configured: stop it then. */
  readonly failed: Promise<Error>;
  /** Stops accepting at once; resolves when no flow is left or `drainTimeout` has passed, whichever is first. */
  drain(): Promise<void>;
  /**
   * Ends every flow and gives back every resource; also in the middle of a drain. With `keep`, flows that need no
   * process go on in the kernel, for the next one to adopt. Safe to call twice: the first call decides.
   */
  stop(options?: { readonly keep: boolean }): Promise<void>;
  /** Applies what can change while running, and reads the users and rules files again; rejects, changing nothing. */
  reload(config: Config): Promise<void>;
  /** The state of this moment; a thread that is too busy to answer is shown as it last was. Never rejects. */
  snapshot(): Promise<ServerSnapshot>;
}

/** `SocksServer.start`, `WorkerPool.start` or `startHttpServer`. Rejects, holding nothing, if it cannot listen or the backend cannot be used. */
export type StartServer<Config = SocksConfig> = (options: ServerOptions<Config>) => Promise<RunningServer<Config>>;
