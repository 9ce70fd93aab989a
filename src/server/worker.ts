/**
 * A worker thread: a whole server of its own, with its own reactor, engine and relay threads, that does what the main
 * thread orders. Started by worker-handle.ts only. It ends when it has stopped; an exception that nobody catches
 * ends it too, and with it the whole server.
 */
import { isatty } from 'node:tty';
import { parentPort, workerData, type MessagePort } from 'node:worker_threads';
import { MetricCounts } from '../control/metric-counts.js';
import { assertNever } from '../errors.js';
import { native } from '../native.js';
import { createLogger, type Logger } from './logging.js';
import type { HostPort } from './config.js';
import type { CacheActions } from '../control/http-actions.js';
import type { BackendChoiceInfo } from './server-interface.js';
import {
  packError,
  type NumberedOrder,
  type Order,
  type WorkerConfig,
  type WorkerLive,
  type WorkerMessage,
  type WorkerStart,
} from './worker-protocol.js';

/** A server on one thread, whatever it serves. */
interface WorkerServer {
  readonly listening: readonly HostPort[];
  readonly backend: BackendChoiceInfo;
  readonly cache?: CacheActions | undefined;
  drain(): Promise<void>;
  stop(options: { readonly keep: boolean }): Promise<void>;
  live(): WorkerLive;
  prepareReload(serve: WorkerConfig): Promise<() => void>;
}

class Worker {
  readonly #port: MessagePort;
  readonly #server: WorkerServer;
  readonly #counts: MetricCounts;
  readonly #logger: Logger;
  #prepared: (() => void) | undefined;

  constructor(port: MessagePort, server: WorkerServer, counts: MetricCounts, logger: Logger) {
    this.#port = port;
    this.#server = server;
    this.#counts = counts;
    this.#logger = logger;
  }

  async obey(order: NumberedOrder): Promise<void> {
    const { id } = order;
    try {
      const answer = await this.#carryOut(order);
      this.#say({ kind: 'done', id, answer, report: { numbers: this.#counts.numbers, ...this.#server.live() } });
    } catch (error) {
      this.#say({ kind: 'failed', id, error: packError(error) });
    }
    // Nothing else keeps the thread alive then.
    if (order.kind === 'stop') this.#port.close();
  }

  async #carryOut(order: Order): Promise<unknown> {
    switch (order.kind) {
      case 'report':
        return undefined;
      case 'drain':
        return this.#server.drain();
      case 'stop':
        return this.#server.stop({ keep: order.keep });
      case 'prepare': {
        const { serve } = order;
        const apply = await this.#server.prepareReload(serve);
        this.#prepared = () => {
          apply();
          this.#logger.level = serve.config.logLevel;
        };
        return undefined;
      }
      case 'apply':
        this.#prepared?.();
        this.#prepared = undefined;
        return undefined;
      case 'purge':
        return this.#server.cache?.purge(order.order, order.mode);
      case 'lookup':
        return this.#server.cache?.lookup(order.uri);
      default:
        assertNever(order);
    }
  }

  #say(message: WorkerMessage): void {
    this.#port.postMessage(message);
  }
}

async function start(port: MessagePort, order: WorkerStart): Promise<void> {
  const { worker, serve } = order;
  const { logLevel: level, logFormat: format } = serve.config;
  const logger = createLogger({ level, format, terminal: isatty(2), worker });
  const metrics = new MetricCounts();
  try {
    const server = await serverFor(order, { logger, metrics, listeners: duplicate(order.listeners) });
    const obedient = new Worker(port, server, metrics, logger);
    port.on('message', (next: NumberedOrder) => void obedient.obey(next));
    port.postMessage({ kind: 'started', listening: server.listening, backend: server.backend } satisfies WorkerMessage);
  } catch (error) {
    port.postMessage({ kind: 'not-started', error: packError(error) } satisfies WorkerMessage);
  }
}

interface Parts {
  readonly logger: Logger;
  readonly metrics: MetricCounts;
  readonly listeners: readonly number[];
}

/** Only the program's own modules are loaded. */
async function serverFor({ worker, serve, pool, relayThreads }: WorkerStart, parts: Parts): Promise<WorkerServer> {
  if (serve.program === 'socks') {
    const { SocksServer } = await import('./socks-server.js');
    const server = await SocksServer.serve({
      ...parts,
      config: serve.config,
      pool,
      relayThreads,
      idPrefix: `${worker}-`,
    });
    return face(server, (next) => {
      if (next.program !== 'socks') throw new TypeError('a configuration of another program');
      return server.prepareReload(next.config);
    });
  }
  const { HttpServer } = await import('./http-server.js');
  const server = await HttpServer.serve({
    ...parts,
    config: serve.config,
    kinds: serve.kinds,
    pool,
    relayThreads,
    worker,
  });
  return face(server, (next) => {
    if (next.program !== 'http') throw new TypeError('a configuration of another program');
    return server.prepareReload(next.config);
  });
}

function face(server: Omit<WorkerServer, 'prepareReload'>, prepareReload: WorkerServer['prepareReload']): WorkerServer {
  const { listening, backend, cache } = server;
  return {
    listening,
    backend,
    cache,
    drain: () => server.drain(),
    stop: (options) => server.stop(options),
    live: () => server.live(),
    prepareReload,
  };
}

/** All or none. */
function duplicate(descriptors: readonly number[]): number[] {
  const own: number[] = [];
  try {
    for (const fd of descriptors) own.push(native().duplicate(fd));
    return own;
  } catch (error) {
    for (const fd of own) native().close(fd);
    throw error;
  }
}

if (parentPort !== null) await start(parentPort, workerData as WorkerStart);
