/**
 * A worker thread: a SocksServer of its own, with its own reactor, engine and relay threads, that does what the main
 * thread orders. Started by worker-handle.ts only. It ends when it has stopped; an exception that nobody catches
 * ends it too, and with it the whole server.
 */
import { isatty } from 'node:tty';
import { parentPort, workerData, type MessagePort } from 'node:worker_threads';
import { MetricCounts } from '../control/metric-counts.js';
import { assertNever } from '../errors.js';
import { native } from '../native.js';
import { createLogger, type Logger } from './logging.js';
import { SocksServer } from './socks-server.js';
import { packError, type NumberedOrder, type Order, type WorkerMessage, type WorkerStart } from './worker-protocol.js';

class Worker {
  readonly #port: MessagePort;
  readonly #server: SocksServer;
  readonly #counts: MetricCounts;
  readonly #logger: Logger;
  #prepared: (() => void) | undefined;

  constructor(port: MessagePort, server: SocksServer, counts: MetricCounts, logger: Logger) {
    this.#port = port;
    this.#server = server;
    this.#counts = counts;
    this.#logger = logger;
  }

  async obey(order: NumberedOrder): Promise<void> {
    const { id } = order;
    try {
      await this.#carryOut(order);
      this.#say({ kind: 'done', id, report: { numbers: this.#counts.numbers, ...this.#server.live() } });
    } catch (error) {
      this.#say({ kind: 'failed', id, error: packError(error) });
    }
    // Nothing else keeps the thread alive then.
    if (order.kind === 'stop') this.#port.close();
  }

  async #carryOut(order: Order): Promise<void> {
    switch (order.kind) {
      case 'report':
        return;
      case 'drain':
        return this.#server.drain();
      case 'stop':
        return this.#server.stop({ keep: order.keep });
      case 'prepare': {
        const { config } = order;
        const apply = await this.#server.prepareReload(config);
        this.#prepared = () => {
          apply();
          this.#logger.level = config.logLevel;
        };
        return;
      }
      case 'apply':
        this.#prepared?.();
        this.#prepared = undefined;
        return;
      default:
        assertNever(order);
    }
  }

  #say(message: WorkerMessage): void {
    this.#port.postMessage(message);
  }
}

async function start(port: MessagePort, { worker, config, listeners, pool, relayThreads }: WorkerStart): Promise<void> {
  const logger = createLogger({ level: config.logLevel, format: config.logFormat, terminal: isatty(2), worker });
  const metrics = new MetricCounts();
  try {
    const own = duplicate(listeners);
    const server = await SocksServer.serve({
      config,
      logger,
      metrics,
      listeners: own,
      pool,
      relayThreads,
      idPrefix: `${worker}-`,
    });
    const obedient = new Worker(port, server, metrics, logger);
    port.on('message', (order: NumberedOrder) => void obedient.obey(order));
    port.postMessage({ kind: 'started', listening: server.listening, backend: server.backend } satisfies WorkerMessage);
  } catch (error) {
    port.postMessage({ kind: 'not-started', error: packError(error) } satisfies WorkerMessage);
  }
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
