/**
 * The life of a running server from ready to gone, as signals and the control socket steer it:
 *
 *     running --SIGTERM/SIGINT/drain--> draining --flows ended, timeout, or second signal--> stopping --> done
 *        ^ | SIGHUP/reload                                                                      ^
 *        +-+                                          from anywhere, when the server has failed -+
 *
 * Runs in the main thread. Reloads happen one after another; none starts once a drain has begun.
 */
import type { Logger } from 'pino';
import { SpliceError } from '../errors.js';
import type { Metrics } from '../control/metrics.js';
import type { ServerConfig } from '../server/config-common.js';
import type { RunningServer } from '../server/server-interface.js';
import type { SystemdNotifier } from '../server/systemd.js';
import { EXIT } from './environment.js';
import type { ExitCode } from './environment.js';

type LivingConfig = Pick<ServerConfig, 'drainTimeout' | 'logLevel'>;

export interface LifecycleOptions<Config extends LivingConfig> {
  readonly server: Pick<RunningServer<Config>, 'drain' | 'stop' | 'reload'>;
  readonly config: Config;
  readonly readConfig: () => Promise<Config>;
  /** Settings that differ and that a running server cannot change. */
  readonly changesThatNeedRestart: (before: Config, after: Config) => string[];
  readonly logger: Logger;
  readonly metrics: Pick<Metrics, 'reloaded'>;
  readonly notifier: Pick<SystemdNotifier, 'ready' | 'reloading' | 'stopping'>;
  /** What systemd shows while the server runs. */
  readonly status: string;
}

type Stage = 'running' | 'draining' | 'stopping';

export class Lifecycle<Config extends LivingConfig> {
  /** Resolves with the exit code when the server has stopped. */
  readonly done: Promise<ExitCode>;
  readonly #options: LifecycleOptions<Config>;
  readonly #finish: (code: ExitCode) => void;
  #stage: Stage = 'running';
  #config: Config;
  #reloads: Promise<void> = Promise.resolve();

  constructor(options: LifecycleOptions<Config>) {
    this.#options = options;
    this.#config = options.config;
    let finish: (code: ExitCode) => void = () => undefined;
    this.done = new Promise((resolve) => (finish = resolve));
    this.#finish = finish;
  }

  get draining(): boolean {
    return this.#stage !== 'running';
  }

  /** SIGTERM or SIGINT: the first drains, the second stops at once, further ones change nothing. */
  terminate(signal: string): void {
    if (this.#stage === 'running') this.drain(signal);
    else if (this.#stage === 'draining') {
      this.#options.logger.warn({ signal }, 'second signal: stopping at once, with every flow');
      void this.#stop(EXIT.ok, false);
    }
  }

  /** Stops accepting, lets flows end, then stops. Calling it again changes nothing. */
  drain(origin: string): void {
    if (this.#stage !== 'running') return;
    this.#stage = 'draining';
    const { server, logger, notifier } = this.#options;
    logger.info({ origin, timeout_ms: this.#config.drainTimeout }, 'draining: no new connections, flows may end');
    notifier.stopping('draining');
    server.drain().then(
      () => this.#stop(EXIT.ok, true),
      (error: unknown) => {
        logger.error({ err: error }, 'drain failed: stopping at once');
        return this.#stop(EXIT.failure, true);
      },
    );
  }

  /** The server cannot go on: better no server, which somebody starts again, than half of one. */
  fail(error: Error): void {
    if (this.#stage === 'stopping') return;
    const { logger, notifier } = this.#options;
    logger.fatal({ err: error }, 'the server has failed: stopping');
    notifier.stopping('failed');
    void this.#stop(EXIT.failure, true);
  }

  /** Reads everything again. On a mistake the old configuration stays, and the promise rejects with the mistake. */
  reload(origin: string): Promise<void> {
    const reload = this.#reloads.then(() => this.#reload(origin));
    this.#reloads = reload.catch(() => undefined);
    return reload;
  }

  async #reload(origin: string): Promise<void> {
    const { server, readConfig, changesThatNeedRestart, logger, metrics, notifier, status } = this.#options;
    if (this.draining) {
      logger.warn({ origin }, 'not reloading: the server is draining');
      throw new SpliceError('ERR_SPLICE_STATE', 'the server is draining; start it again to use a new configuration');
    }
    notifier.reloading();
    try {
      const config = await readConfig();
      await server.reload(config);
      const ignored = changesThatNeedRestart(this.#config, config);
      if (ignored.length > 0) logger.warn({ settings: ignored }, 'these settings change only with a restart');
      this.#config = config;
      logger.level = config.logLevel;
      metrics.reloaded(true);
      logger.info({ origin }, 'configuration reloaded');
    } catch (error) {
      metrics.reloaded(false);
      const reason = error instanceof Error ? error.message : String(error);
      logger.error({ origin, reason }, 'configuration not reloaded: the old one stays in force');
      throw error;
    } finally {
      // A drain that began meanwhile has told systemd already; READY would take that back.
      if (!this.draining) notifier.ready(status);
    }
  }

  /** `keep`: flows that need no process go on in the kernel. */
  async #stop(code: ExitCode, keep: boolean): Promise<void> {
    if (this.#stage === 'stopping') return;
    this.#stage = 'stopping';
    try {
      await this.#options.server.stop({ keep });
      this.#options.logger.info('stopped');
      this.#finish(code);
    } catch (error) {
      this.#options.logger.error({ err: error }, 'the server did not stop cleanly');
      this.#finish(EXIT.failure);
    }
  }
}
