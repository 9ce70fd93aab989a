/**
 * The control socket: HTTP with JSON on a unix socket that only its owner can open. splice-ctl is its client.
 * Runs in the main thread beside the relay and never touches a flow.
 */
import { createServer } from 'node:http';
import { unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FlowInfo } from './flow-info.js';
import { chooseDirectory } from './control-directory.js';
import type { ServerKind, Surroundings } from './control-directory.js';
import type { CacheActions } from './http-actions.js';
import { cacheRoutes } from './http-cache-routes.js';
import type { HttpTotals } from './http-totals.js';
import { closeServer, HTTP_LIMITS, json, routeListener } from './http-routes.js';
import type { MetricTotals } from './metrics.js';
import { listenAt } from './socket-file.js';
import type { ModuleSnapshot } from '../engine/module-snapshot.js';
import type { PacketSnapshot } from '../engine/packet-snapshot.js';
import { SpliceError } from '../errors.js';

/** GET /flows */
export interface FlowsAnswer {
  readonly pid: number;
  readonly flows: readonly FlowInfo[];
}

/** GET /stats */
export interface StatsAnswer {
  readonly pid: number;
  readonly version: string;
  readonly state: 'running' | 'draining';
  readonly uptimeMs: number;
  readonly listening: readonly string[];
  readonly backend: string;
  readonly backendReason: string;
  readonly flows: number;
  readonly handshakes: number;
  readonly descriptors: number;
  readonly descriptorLimit: number;
  readonly totals: MetricTotals;
  /** Only where the packet backend is in use. */
  readonly packet?: PacketSnapshot | undefined;
  /** Only where the module backend is in use. */
  readonly module?: ModuleSnapshot | undefined;
  /** Of a splice-http only. */
  readonly http?: HttpTotals | undefined;
}

/** What the socket can ask of the process. `reload` rejects with the mistake; the old configuration then stays. */
export interface ControlActions {
  flows(): Promise<FlowsAnswer> | FlowsAnswer;
  stats(): Promise<StatsAnswer> | StatsAnswer;
  draining(): boolean;
  drain(): void;
  reload(): Promise<void>;
  /** Undefined: there is none, and questions about it are told so. */
  readonly cache?: CacheActions | undefined;
}

export interface ControlServer {
  readonly path: string;
  close(): Promise<void>;
}

/** The default path: `socks-PID.sock` in the first directory that can be used, or undefined if there is none. */
export async function defaultControlPath(
  surroundings: Surroundings,
  pid: number,
  kind: ServerKind = 'socks',
): Promise<string | undefined> {
  const directory = await chooseDirectory(surroundings);
  return directory === undefined ? undefined : join(directory, `${kind}-${pid}.sock`);
}

/** The surroundings of this process. */
export function ownSurroundings(): Surroundings {
  return { uid: process.getuid?.() ?? 0, tmpdir: tmpdir(), env: process.env };
}

/** Opens the socket. @throws SpliceError ERR_SPLICE_LISTEN, naming the path and what to do. */
export async function startControlServer(options: {
  readonly path: string;
  readonly actions: ControlActions;
  readonly failed: (error: unknown) => void;
}): Promise<ControlServer> {
  const { path, actions, failed } = options;
  const health = () => json(actions.draining() ? 503 : 200, { status: actions.draining() ? 'draining' : 'ok' });
  const server = createServer(
    HTTP_LIMITS,
    routeListener(
      {
        '/flows': { GET: async () => json(200, await actions.flows()) },
        '/stats': { GET: async () => json(200, await actions.stats()) },
        '/health': { GET: health },
        ...cacheRoutes(actions.cache),
        '/drain': {
          POST: () => {
            actions.drain();
            return json(202, { status: 'draining' });
          },
        },
        '/reload': {
          POST: async () => {
            try {
              await actions.reload();
              return json(200, { status: 'reloaded' });
            } catch (error) {
              // A mistake in the configuration is the operator's to read; anything else is ours.
              if (!(error instanceof SpliceError)) throw error;
              return json(422, { status: 'unchanged', error: error.message });
            }
          },
        },
      },
      failed,
    ),
  );
  await listenAt(server, path);
  server.on('error', failed);
  return {
    path,
    close: async () => {
      // First the name, so that nobody finds a socket that does not answer any more.
      await unlink(path).catch(() => undefined);
      await closeServer(server);
    },
  };
}
