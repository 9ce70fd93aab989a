/** Starts the HTTP server as the configuration wants it: on this thread, or on several. Called by splice-http. */
import type { DirectoryLock } from '../cache/store/directory-lock.js';
import { claimDirectory } from '../proxy/desk-directory.js';
import { countDescriptors, descriptorLimit } from './descriptors.js';
import { httpExposureMistake, type HttpConfig } from './http-config.js';
import { kindsOf, listenAddresses } from './http-listeners.js';
import { HttpServer } from './http-server.js';
import { openListeners } from './listeners.js';
import type { RunningServer, ServerOptions } from './server-interface.js';
import { WorkerPool } from './worker-pool.js';

/** @throws ConfigError, SpliceError, or CacheError; nothing stays behind then */
export async function startHttpServer(options: ServerOptions<HttpConfig>): Promise<RunningServer<HttpConfig>> {
  const { config } = options;
  if (config.noCache || config.cacheDir === '') return serve(options);
  const lock = await claimDirectory(config.cacheDir, config.workers);
  if (lock === undefined) return serve(options);
  try {
    return holding(lock, await serve(options));
  } catch (error) {
    await lock.release();
    throw error;
  }
}

async function serve(options: ServerOptions<HttpConfig>): Promise<RunningServer<HttpConfig>> {
  const { config, inherited, logger, metrics } = options;
  const kinds = kindsOf(config, inherited);
  const opened = openListeners(listenAddresses(config), inherited, config.workers, (found) =>
    httpExposureMistake(found, config),
  );
  if (config.workers > 1) return WorkerPool.start(options, opened, (config) => ({ program: 'http', config, kinds }));
  return onThisThread(await HttpServer.serve({ config, logger, metrics, kinds, listeners: opened[0] ?? [] }));
}

/** The workers' directory is nobody else's until the last of them has left it. */
function holding(lock: DirectoryLock, server: RunningServer<HttpConfig>): RunningServer<HttpConfig> {
  const { listening, backend, cache, failed } = server;
  return {
    listening,
    backend,
    cache,
    failed,
    drain: () => server.drain(),
    stop: async (options) => {
      await server.stop(options);
      await lock.release();
    },
    reload: (config) => server.reload(config),
    snapshot: () => server.snapshot(),
  };
}

function onThisThread(server: HttpServer): RunningServer<HttpConfig> {
  const { listening, backend, cache } = server;
  return {
    listening,
    backend,
    cache,
    failed: new Promise<Error>(() => undefined),
    drain: () => server.drain(),
    stop: (options) => server.stop(options),
    reload: async (config) => {
      const apply = await server.prepareReload(config);
      apply();
    },
    snapshot: () =>
      Promise.resolve({ ...server.live(), descriptors: countDescriptors(), descriptorLimit: descriptorLimit() }),
  };
}
