/**
 * The running server on several threads (`--workers` above 1). Each worker is a whole server with listeners of its own,
 * among which the kernel spreads the clients (SO_REUSEPORT); the main thread carries no connection, it only starts,
 * asks and stops them. Connections are counted in one table for all of them (addon/quota.cc).
 */
import { availableParallelism } from 'node:os';
import type { Metrics } from '../control/metrics.js';
import { native, type Quota } from '../native.js';
import type { HostPort, SocksConfig } from './config.js';
import { countDescriptors, descriptorLimit } from './descriptors.js';
import { openListeners } from './listeners.js';
import type { Logger } from './logging.js';
import type { BackendChoiceInfo, RunningServer, ServerOptions, ServerSnapshot } from './server-interface.js';
import { WorkerHandle } from './worker-handle.js';

/** Milliseconds to wait for the numbers of a worker; after that its last ones count. */
const REPORT_MS = 1000;
/** Relay threads of the process if nothing else is said: as many as one server would have. */
const MOST_RELAY_THREADS = 4;

export class WorkerPool implements RunningServer {
  readonly listening: readonly HostPort[];
  readonly backend: BackendChoiceInfo;
  readonly failed: Promise<Error>;
  readonly #workers: readonly WorkerHandle[];
  readonly #quota: Quota;
  readonly #metrics: Pick<Metrics, 'setWorker'>;
  readonly #logger: Logger;
  #asking: Promise<ServerSnapshot> | undefined;
  #stopped: Promise<void> | undefined;

  private constructor(workers: readonly WorkerHandle[], quota: Quota, { metrics, logger }: ServerOptions) {
    this.#workers = workers;
    this.#quota = quota;
    this.#metrics = metrics;
    this.#logger = logger;
    this.listening = workers[0]?.listening ?? [];
    this.backend = workers[0]?.backend ?? { name: '', reason: '' };
    this.failed = new Promise((resolve) => {
      for (const { gone } of workers) {
        void gone.then((error) => {
          if (error !== undefined) resolve(error);
        });
      }
    });
  }

  /** @throws ConfigError, or SpliceError `ERR_SPLICE_BACKEND`, `ERR_SPLICE_LISTEN`; nothing stays behind then */
  static async start(options: ServerOptions): Promise<WorkerPool> {
    const { config, inherited } = options;
    const opened = openListeners(config, inherited, config.workers);
    // The pool lives as long as somebody counts in it: until the first worker does, that is us.
    const quota = new (native().Quota)(undefined, () => undefined);
    const starts = await Promise.allSettled(
      opened.map((listeners, index) =>
        WorkerHandle.start({
          worker: index + 1,
          config,
          listeners,
          pool: quota.pool(),
          relayThreads: relayThreadsOf(config, index),
        }),
      ),
    );
    // The workers have duplicates; as long as ours were open, theirs would go on listening behind a drain.
    for (const fd of opened.flat()) native().close(fd);
    const workers = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []));
    const failure = starts.find((start) => start.status === 'rejected');
    if (failure === undefined) return new WorkerPool(workers, quota, options);
    await Promise.all(workers.map((worker) => worker.stop(true)));
    quota.close();
    throw failure.reason;
  }

  async drain(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.ask({ kind: 'drain' })));
  }

  stop(options = { keep: false }): Promise<void> {
    return (this.#stopped ??= this.#stop(options.keep));
  }

  async #stop(keep: boolean): Promise<void> {
    await Promise.all(
      this.#workers.map(async (worker) => {
        if (!(await worker.stop(keep)))
          this.#logger.error({ worker: worker.worker }, 'worker did not stop: it was ended by force');
        this.#metrics.setWorker(worker.worker, worker.latest.numbers);
      }),
    );
    this.#quota.close();
  }

  // In two steps, so that no worker uses a configuration that another one could not read.
  async reload(config: SocksConfig): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.ask({ kind: 'prepare', config })));
    await Promise.all(this.#workers.map((worker) => worker.ask({ kind: 'apply' })));
  }

  /** Who asks while an answer is under way gets the same one: numbers and flows then belong together. */
  snapshot(): Promise<ServerSnapshot> {
    return (this.#asking ??= this.#snapshot().finally(() => (this.#asking = undefined)));
  }

  async #snapshot(): Promise<ServerSnapshot> {
    const reports = await Promise.all(this.#workers.map((worker) => worker.report(REPORT_MS)));
    reports.forEach(({ numbers }, index) => this.#metrics.setWorker(index + 1, numbers));
    return {
      handshakes: reports.reduce((sum, { handshakes }) => sum + handshakes, 0),
      descriptors: countDescriptors(),
      descriptorLimit: descriptorLimit(),
      flows: reports.flatMap(({ flows }) => flows),
      packet: reports.find(({ packet }) => packet !== undefined)?.packet,
    };
  }
}

/** The relay threads are for the process; each worker needs one. */
function relayThreadsOf({ relayThreads, workers }: SocksConfig, index: number): number {
  const all = relayThreads === 'auto' ? Math.min(MOST_RELAY_THREADS, availableParallelism()) : relayThreads;
  return Math.max(1, Math.floor(all / workers) + (index < all % workers ? 1 : 0));
}
