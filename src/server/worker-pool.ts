/**
 * The running server on several threads (`--workers` above 1). Each worker is a whole server with listeners of its own,
 * among which the kernel spreads the clients (SO_REUSEPORT); the main thread carries no connection, it only starts,
 * asks and stops them. Connections are counted in one table for all of them (addon/quota.cc).
 */
import { availableParallelism } from 'node:os';
import type { CacheActions, StoredInfo } from '../control/http-actions.js';
import { addPurges } from '../control/http-desk-actions.js';
import { addHttpSnapshots } from '../control/http-snapshot.js';
import type { PurgeResult } from '../cache/store/types.js';
import type { Metrics } from '../control/metrics.js';
import { native, type Quota } from '../native.js';
import type { HostPort, SocksConfig } from './config.js';
import { countDescriptors, descriptorLimit } from './descriptors.js';
import type { Logger } from './logging.js';
import type { BackendChoiceInfo, RunningServer, ServerOptions, ServerSnapshot } from './server-interface.js';
import type { HttpConfig } from './http-config.js';
import { WorkerHandle } from './worker-handle.js';
import type { Order, WorkerConfig } from './worker-protocol.js';

/** Milliseconds to wait for the numbers of a worker; after that its last ones count. */
const REPORT_MS = 1000;
/** Relay threads of the process if nothing else is said: as many as one server would have. */
const MOST_RELAY_THREADS = 4;

export class WorkerPool<Config extends SocksConfig | HttpConfig> implements RunningServer<Config> {
  readonly listening: readonly HostPort[];
  readonly backend: BackendChoiceInfo;
  readonly failed: Promise<Error>;
  readonly cache: CacheActions | undefined;
  readonly #serve: (config: Config) => WorkerConfig;
  readonly #workers: readonly WorkerHandle[];
  readonly #quota: Quota;
  readonly #metrics: Pick<Metrics, 'setWorker'>;
  readonly #logger: Logger;
  #asking: Promise<ServerSnapshot> | undefined;
  #stopped: Promise<void> | undefined;

  private constructor(
    workers: readonly WorkerHandle[],
    quota: Quota,
    serve: (config: Config) => WorkerConfig,
    { metrics, logger, config }: ServerOptions<Config>,
  ) {
    this.#workers = workers;
    this.#serve = serve;
    this.cache = hasCache(serve(config)) ? this.#cacheOfAll() : undefined;
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

  /**
   * Owns `opened`, the descriptors of each worker. `serve` names the program.
   * @throws ConfigError, or SpliceError `ERR_SPLICE_BACKEND`; nothing stays behind then
   */
  static async start<Config extends SocksConfig | HttpConfig>(
    options: ServerOptions<Config>,
    opened: readonly (readonly number[])[],
    serve: (config: Config) => WorkerConfig,
  ): Promise<WorkerPool<Config>> {
    const { config } = options;
    // The pool lives as long as somebody counts in it: until the first worker does, that is us.
    const quota = new (native().Quota)(undefined, () => undefined);
    const starts = await Promise.allSettled(
      opened.map((listeners, index) =>
        WorkerHandle.start({
          worker: index + 1,
          serve: serve(config),
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
    if (failure === undefined) return new WorkerPool(workers, quota, serve, options);
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
  async reload(config: Config): Promise<void> {
    const serve = this.#serve(config);
    await Promise.all(this.#workers.map((worker) => worker.ask({ kind: 'prepare', serve })));
    await Promise.all(this.#workers.map((worker) => worker.ask({ kind: 'apply' })));
  }

  /** Who asks while an answer is under way gets the same one: numbers and flows then belong together. */
  snapshot(): Promise<ServerSnapshot> {
    return (this.#asking ??= this.#snapshot().finally(() => (this.#asking = undefined)));
  }

  async #snapshot(): Promise<ServerSnapshot> {
    const reports = await Promise.all(this.#workers.map((worker) => worker.report(REPORT_MS)));
    const https = reports.flatMap(({ http }) => (http === undefined ? [] : [http]));
    reports.forEach(({ numbers }, index) => this.#metrics.setWorker(index + 1, numbers));
    return {
      handshakes: reports.reduce((sum, { handshakes }) => sum + handshakes, 0),
      descriptors: countDescriptors(),
      descriptorLimit: descriptorLimit(),
      flows: reports.flatMap(({ flows }) => flows),
      packet: reports.find(({ packet }) => packet !== undefined)?.packet,
      module: reports.find(({ module }) => module !== undefined)?.module,
      http: https.length === 0 ? undefined : addHttpSnapshots(https),
    };
  }

  /** Each thread has a cache of its own; an order is for all of them. */
  #cacheOfAll(): CacheActions {
    const askAll = <T>(order: Order): Promise<T[]> =>
      Promise.all(this.#workers.map(async (worker) => (await worker.ask(order)) as T));
    return {
      purge: async (order, mode) => addPurges(await askAll<PurgeResult>({ kind: 'purge', order, mode })),
      lookup: async (uri) => (await askAll<StoredInfo[]>({ kind: 'lookup', uri })).flat(),
      stats: async () => (await this.snapshot()).http ?? addHttpSnapshots([]),
    };
  }
}

function hasCache(serve: WorkerConfig): boolean {
  return serve.program === 'http' && !serve.config.noCache;
}

/** The relay threads are for the process; each worker needs one. */
function relayThreadsOf({ relayThreads, workers }: SocksConfig | HttpConfig, index: number): number {
  const all = relayThreads === 'auto' ? Math.min(MOST_RELAY_THREADS, availableParallelism()) : relayThreads;
  return Math.max(1, Math.floor(all / workers) + (index < all % workers ? 1 : 0));
}
