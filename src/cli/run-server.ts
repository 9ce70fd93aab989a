/**
 * Wires a running server to the outside: log, metrics, control socket, admin endpoint, signals, systemd. Called once
 * per process by splice-socks or splice-http; returns when the server has stopped.
 */
import type { Logger } from 'pino';
import { startAdminServer } from '../control/admin-server.js';
import type { AdminHttp } from '../control/admin-server.js';
import type { ServerKind } from '../control/control-directory.js';
import { defaultControlPath, ownSurroundings, startControlServer } from '../control/control-server.js';
import type { ControlActions } from '../control/control-server.js';
import { describeHttp } from '../control/http-totals.js';
import type { Metrics } from '../control/metrics.js';
import { formatAddress } from '../server/config-address.js';
import type { HostPort } from '../server/config-address.js';
import type { ServerConfig } from '../server/config-common.js';
import { createLogger } from '../server/logging.js';
import type { RunningServer, StartServer } from '../server/server-interface.js';
import { SystemdNotifier, takeInheritedSockets } from '../server/systemd.js';
import type { SendNotification } from '../server/systemd.js';
import type { Environment, ExitCode } from './environment.js';
import { Lifecycle } from './lifecycle.js';
import { VERSION } from './version.js';

/** What the servers differ in, seen from here. */
export interface ServerFace<Config> {
  readonly kind: ServerKind;
  readonly metrics: Metrics;
  readonly changesThatNeedRestart: (before: Config, after: Config) => string[];
  /** What appears on stdout when the server is ready; others parse the `listening on` lines. */
  readonly welcome: (server: Pick<RunningServer, 'listening' | 'backend'>, config: Config) => string;
  /** What the admin endpoint has besides metrics and health. */
  readonly adminHttp?: (server: Pick<RunningServer, 'cache'>, config: Config) => AdminHttp;
  /** Reads what the endpoints need, at the start and at a reload; what it returns puts it in force, and cannot fail. */
  readonly prepare?: (config: Config) => Promise<() => void>;
}

export interface RunOptions<Config> {
  readonly face: ServerFace<Config>;
  readonly config: Config;
  readonly readConfig: () => Promise<Config>;
  readonly environment: Environment;
  readonly startServer: StartServer<Config>;
  /** Sends datagrams to systemd; undefined where nothing can. */
  readonly notify: SendNotification | undefined;
  /** **Default:** what the configuration says, on stderr. */
  readonly logger?: Logger;
}

type Closing = () => Promise<void>;

/** @throws what startServer, control socket or admin endpoint throw; everything started until then is stopped. */
export async function runServer<Config extends ServerConfig>(options: RunOptions<Config>): Promise<ExitCode> {
  const { face, config, readConfig, environment, startServer, notify } = options;
  const { metrics } = face;
  const terminal = environment.stderr.isTTY === true;
  const logger = options.logger ?? createLogger({ level: config.logLevel, format: config.logFormat, terminal });
  const inherited = takeInheritedSockets(environment.env, environment.pid);
  const startedAt = Date.now();

  (await face.prepare?.(config))?.();
  const server = await startServer({ config, logger, metrics, reload: readConfig, inherited });
  const notifier = new SystemdNotifier({
    env: environment.env,
    pid: environment.pid,
    send: notify,
    failed: (error) => logger.warn({ err: error }, 'systemd could not be told'),
  });
  metrics.attach(() => server.snapshot());
  const status = `listening on ${server.listening.map(formatAddress).join(', ')}, backend ${server.backend.name}`;
  const { changesThatNeedRestart } = face;
  const lifecycle = new Lifecycle({
    server: {
      drain: () => server.drain(),
      stop: (how) => server.stop(how),
      reload: async (next) => {
        const apply = await face.prepare?.(next);
        await server.reload(next);
        apply?.();
      },
    },
    config,
    readConfig,
    changesThatNeedRestart,
    logger,
    metrics,
    notifier,
    status,
  });

  void server.failed.then((error) => lifecycle.fail(error));

  const endpoints: Closing[] = [];
  try {
    const actions = controlActions({ server, metrics, lifecycle, pid: environment.pid, startedAt });
    const http = face.adminHttp?.(server, config);
    await openEndpoints({ config, face, http, actions, lifecycle, logger, endpoints, pid: environment.pid });
  } catch (error) {
    // Flows that it has adopted are none of its own: they wait for one that can serve.
    await Promise.allSettled([...endpoints.map((close) => close()), server.stop({ keep: true })]);
    throw error;
  }

  for (const signal of ['SIGTERM', 'SIGINT'] as const) environment.onSignal(signal, () => lifecycle.terminate(signal));
  environment.onSignal('SIGHUP', () => {
    // The lifecycle has logged what went wrong; a signal has nobody to answer to.
    lifecycle.reload('SIGHUP').catch(() => undefined);
  });
  environment.stdout.write(face.welcome(server, config));
  notifier.ready(status);
  logger.info(
    { version: VERSION, listening: server.listening.map(formatAddress), backend: server.backend.name },
    'serving',
  );

  const code = await lifecycle.done;
  notifier.close();
  await Promise.allSettled(endpoints.map((close) => close()));
  return code;
}

/** An address that can be connected to: the wildcards cannot everywhere. */
export function reachable({ host, port }: HostPort): HostPort {
  return host === '::' || host === '0.0.0.0' ? { host: '127.0.0.1', port } : { host, port };
}

async function openEndpoints<Config extends ServerConfig>(parts: {
  readonly config: Config;
  readonly face: ServerFace<Config>;
  readonly http: AdminHttp | undefined;
  readonly actions: ControlActions;
  readonly lifecycle: Lifecycle<Config>;
  readonly logger: Logger;
  readonly endpoints: Closing[];
  readonly pid: number;
}): Promise<void> {
  const { config, face, http, actions, lifecycle, logger, endpoints, pid } = parts;
  if (!config.noControl) {
    const path = config.control ?? (await defaultControlPath(ownSurroundings(), pid, face.kind));
    try {
      if (path === undefined) throw new Error('no directory for it can be made; name a place with --control');
      const failed = (error: unknown) => logger.error({ err: error }, 'control socket');
      const control = await startControlServer({ path, actions, failed });
      endpoints.push(() => control.close());
      logger.debug({ path }, 'control socket open');
    } catch (error) {
      // Asked for by name, it has to work; as a default it must not keep the proxy from serving.
      if (config.control !== undefined) throw error;
      logger.warn({ reason: error instanceof Error ? error.message : String(error) }, 'running without control socket');
    }
  }
  if (config.admin !== undefined) {
    const failed = (error: unknown) => logger.error({ err: error }, 'admin endpoint');
    const draining = () => lifecycle.draining;
    const admin = await startAdminServer({ address: config.admin, metrics: face.metrics, draining, failed, http });
    endpoints.push(() => admin.close());
    logger.info({ address: formatAddress(admin.address) }, 'admin endpoint open');
  }
}

function controlActions<Config extends ServerConfig>(parts: {
  readonly server: RunningServer<Config>;
  readonly metrics: Metrics;
  readonly lifecycle: Lifecycle<Config>;
  readonly pid: number;
  readonly startedAt: number;
}): ControlActions {
  const { server, metrics, lifecycle, pid, startedAt } = parts;
  return {
    flows: async () => ({ pid, flows: (await server.snapshot()).flows }),
    stats: async () => {
      const [snapshot, totals] = await Promise.all([server.snapshot(), metrics.totals()]);
      const { flows, handshakes, descriptors, descriptorLimit, packet, module, http } = snapshot;
      return {
        pid,
        version: VERSION,
        state: lifecycle.draining ? 'draining' : 'running',
        uptimeMs: Date.now() - startedAt,
        listening: server.listening.map(formatAddress),
        backend: server.backend.name,
        backendReason: server.backend.reason,
        flows: flows.length,
        handshakes,
        descriptors,
        descriptorLimit,
        totals,
        packet,
        module,
        http: http && describeHttp(http),
      };
    },
    draining: () => lifecycle.draining,
    drain: () => lifecycle.drain('control socket'),
    reload: () => lifecycle.reload('control socket'),
    cache: server.cache,
  };
}
