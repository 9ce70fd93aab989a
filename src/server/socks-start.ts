/** Starts the SOCKS server as the configuration wants it: on this thread, or on several. Called by splice-socks. */
import { exposureMistake } from './config.js';
import { openListeners } from './listeners.js';
import type { RunningServer, ServerOptions } from './server-interface.js';
import { SocksServer } from './socks-server.js';
import { WorkerPool } from './worker-pool.js';

/** @throws ConfigError, or SpliceError `ERR_SPLICE_BACKEND`, `ERR_SPLICE_LISTEN`; nothing stays behind then */
export async function startSocksServer(options: ServerOptions): Promise<RunningServer> {
  const { config, inherited } = options;
  if (config.workers === 1) return SocksServer.start(options);
  const opened = openListeners(config.listen, inherited, config.workers, (found) => exposureMistake(found, config));
  return WorkerPool.start(options, opened, (config) => ({ program: 'socks', config }));
}
