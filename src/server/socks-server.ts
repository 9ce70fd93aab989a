/**
 * The running SOCKS server: puts listeners, flows and engine together and takes them apart again.
 * The life of one connection is in src/flow; what an operator sees is in src/control.
 */
import { SpliceEngine } from '../engine/engine.js';
import type { MetricCounts } from '../control/metric-counts.js';
import { accept } from '../flow/accept.js';
import { AdoptedFlows } from '../flow/adopted.js';
import type { Connection, FlowContext } from '../flow/connection.js';
import { DeadlineQueue, Sweeper } from '../flow/deadlines.js';
import { connectExpired, handshakeExpired } from '../flow/handshake.js';
import { Limits, type LimitSettings } from '../flow/limits.js';
import { describe } from '../flow/relay.js';
import { Resolver } from '../flow/resolver.js';
import { vacateSeats } from '../flow/seats.js';
import { abandon } from '../flow/teardown.js';
import { exposureMistake, type HostPort, type SocksConfig } from './config.js';
import { countDescriptors, descriptorLimit } from './descriptors.js';
import { Listeners, openListeners } from './listeners.js';
import type { Logger } from './logging.js';
import { native, type Quota } from '../native.js';
import { ModuleNews, kernelSnapshots, packetOptions, seatsOf, tellOfPlane } from './packet-server.js';
import { UsersWatch, readPolicy } from './policy.js';
import { ReactorHost } from './reactor-host.js';
import type { WorkerLive } from './worker-protocol.js';
import type { BackendChoiceInfo, RunningServer, ServerOptions, ServerSnapshot } from './server-interface.js';

/** Descriptors kept aside: libraries, logs, control connections, pipes of the relay threads. */
const RESERVED_DESCRIPTORS = 400;
/** A relayed connection has two sockets; its bytes may be in one pipe. */
const DESCRIPTORS_PER_CONNECTION = 2;
/** Milliseconds between two looks at flows that may have gone over to the kernel, in a drain. */
const DRAIN_LOOK_MS = 100;
/** Milliseconds that a client gets to read its last reply. */
const LINGER_MS = 2000;

/** What one server needs, be it the whole process or one of several threads. */
export interface ServeOptions {
  readonly config: SocksConfig;
  readonly logger: Logger;
  readonly metrics: MetricCounts;
  /** Listening descriptors. The server owns them from the call on, also when it fails. */
  readonly listeners: readonly number[];
  /** Where connections are counted. **Default:** a pool of its own. */
  readonly pool?: number;
  /** **Default:** what the configuration says. */
  readonly relayThreads?: number;
  /** Stands before the ids of flows. **Default:** nothing. */
  readonly idPrefix?: string;
}

export class SocksServer implements RunningServer {
  readonly failed = new Promise<Error>(() => undefined);
  readonly listening: readonly HostPort[];
  readonly backend: BackendChoiceInfo;
  readonly #context: FlowContext;
  readonly #listeners: Listeners;
  readonly #sweeper: Sweeper;
  readonly #quota: Quota;
  readonly #idPrefix: string;
  readonly #adopted: AdoptedFlows;
  #config: SocksConfig;
  #usersWatch: UsersWatch | undefined;
  #stopped: Promise<void> | undefined;
  readonly #drained: (() => void)[] = [];

  private constructor(options: ServeOptions, context: FlowContext, listeners: Listeners, quota: Quota) {
    this.#context = context;
    this.#listeners = listeners;
    this.#quota = quota;
    this.#config = options.config;
    this.#idPrefix = options.idPrefix ?? '';
    this.listening = listeners.addresses;
    const { backend, reason } = context.engine.preferred;
    this.backend = { name: backend, reason };
    context.onLeave = () => this.#left();
    this.#adopted = new AdoptedFlows(context.engine.flows(), context.metrics, context.logger, context.onLeave);
    tellOfPlane(context.engine, this.#adopted.size, context.logger);
    this.#watchUsers();
    const news = new ModuleNews(context.engine, context.logger);
    // Last: nothing that can fail comes behind it, so nobody has to stop it but stop().
    this.#sweeper = new Sweeper((now) => {
      sweep(context, now);
      news.look();
    });
  }

  /** @throws ConfigError, or SpliceError `ERR_SPLICE_BACKEND`, `ERR_SPLICE_LISTEN`; nothing stays behind then */
  static async start({ config, logger, metrics, inherited }: ServerOptions): Promise<SocksServer> {
    const [listeners = []] = openListeners(config.listen, inherited, 1, (found) => exposureMistake(found, config));
    return SocksServer.serve({ config, logger, metrics, listeners });
  }

  /** Serves on descriptors that listen already. @throws as {@link start} */
  static async serve(options: ServeOptions): Promise<SocksServer> {
    const { config, logger, metrics } = options;
    const descriptors = [...options.listeners];
    let engine: SpliceEngine | undefined;
    let host: ReactorHost | undefined;
    let quota: Quota | undefined;
    let listeners: Listeners | undefined;
    try {
      const policy = await readPolicy(config);
      const relayThreads = options.relayThreads ?? config.relayThreads;
      engine = await SpliceEngine.open({
        backend: config.backend,
        prefer: config.prefer,
        idleTimeoutMs: config.idleTimeout,
        packet: packetOptions(config),
        ...(relayThreads !== 'auto' && { relayThreads }),
      });
      for (const fd of descriptors) engine.initSplice(fd);
      host = new ReactorHost({ lingerMs: LINGER_MS, resetLingering: true });
      if (engine.kernelFlows !== undefined) host.reactor.alignWith(engine.kernelFlows);
      quota = new (native().Quota)(options.pool, () => listeners?.relieved());
      const context: FlowContext = {
        host,
        engine,
        policy,
        logger,
        metrics,
        resolver: new Resolver(),
        limits: new Limits(limitsOf(config), quota),
        handshaking: new DeadlineQueue(config.handshakeTimeout),
        connecting: new DeadlineQueue(config.connectTimeout),
        seated: seatsOf(config, engine),
        relaying: new Set(),
        onLeave: () => undefined,
      };
      // Out of our hands, also when it fails.
      const own = descriptors.splice(0);
      listeners = new Listeners(host, own, logger, quota, (slot, peer) => accept(context, slot, peer));
      return new SocksServer(options, context, listeners, quota);
    } catch (error) {
      for (const fd of descriptors) native().close(fd);
      listeners?.close();
      host?.stop();
      quota?.close();
      // Flows that it has adopted wait for a server that can serve.
      await engine?.close({ keep: true });
      throw error;
    }
  }

  // Flows that the kernel carries by itself end with or without us; which they are shows only when one asks.
  async drain(): Promise<void> {
    this.#listeners.close();
    const known = new Set<Connection>();
    const { needy, independent } = this.#count(known);
    if (needy === 0 || this.#config.drainTimeout === 0) return;
    this.#context.logger.info({ flows: needy, in_the_kernel: independent }, 'waiting for flows that need this process');
    let look: NodeJS.Timeout | undefined;
    let limit: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#drained.push(resolve);
      look = setInterval(() => this.#count(known).needy === 0 && resolve(), DRAIN_LOOK_MS);
      limit = setTimeout(resolve, this.#config.drainTimeout);
    });
    clearInterval(look);
    clearTimeout(limit);
  }

  stop(options = { keep: false }): Promise<void> {
    return (this.#stopped ??= this.#stop(options.keep));
  }

  // Teardown. a) Nobody new comes in. b) Connections before relay are abandoned, so that each
  // writes its line. c) The engine ends the flows, or leaves them to the kernel; each reports, so that each writes its
  // line. d) Only then the reactor goes, with slots that only linger.
  async #stop(keep: boolean): Promise<void> {
    const context = this.#context;
    this.#usersWatch?.stop();
    this.#listeners.close();
    this.#sweeper.stop();
    for (const queue of [context.handshaking, context.connecting]) {
      for (const connection of [...queue.entries()]) abandon(context, connection, 'shutdown');
    }
    const kept = await context.engine.close({ keep });
    if (kept > 0) {
      context.logger.warn({ flows: kept }, 'flows go on in the kernel without us; the next server here adopts them');
    }
    context.host.stop();
    this.#quota.close();
    for (const done of this.#drained) done();
  }

  async reload(config: SocksConfig): Promise<void> {
    const apply = await this.prepareReload(config);
    apply();
  }

  /** The first half of a reload: reads everything and changes nothing. What it returns is the second, and cannot fail. */
  async prepareReload(config: SocksConfig): Promise<() => void> {
    const policy = await readPolicy(config);
    return () => {
      const context = this.#context;
      context.policy = policy;
      context.limits.settings = limitsOf(config);
      context.handshaking.durationMs = config.handshakeTimeout;
      context.connecting.durationMs = config.connectTimeout;
      // Who sat down before stays seated; a limit that the operator names counts every connection.
      if (config.maxConnections !== this.#config.maxConnections) context.seated = seatsOf(config, context.engine);
      this.#config = config;
      this.#watchUsers();
    };
  }

  /** Connections before relay, and flows, at this moment. */
  live(): WorkerLive {
    const { handshaking, connecting, relaying, engine } = this.#context;
    const flows = this.#adopted.describe(this.#idPrefix);
    for (const connection of relaying) {
      const info = describe(connection, this.#idPrefix);
      if (info !== undefined) flows.push(info);
    }
    const kernel = this.#stopped === undefined ? kernelSnapshots(engine) : { packet: undefined };
    return { handshakes: handshaking.size + connecting.size, flows, ...kernel };
  }

  snapshot(): Promise<ServerSnapshot> {
    return Promise.resolve({ ...this.live(), descriptors: countDescriptors(), descriptorLimit: descriptorLimit() });
  }

  /** Connections and flows: those that end with this process, and those that go on in the kernel, which `known` keeps. */
  #count(known: Set<Connection>): { needy: number; independent: number } {
    const { limits, relaying } = this.#context;
    let independent = 0;
    for (const connection of relaying) {
      if (!known.has(connection) && connection.flow?.independent !== true) continue;
      known.add(connection);
      independent++;
    }
    // What was adopted had no process when it was found.
    return { needy: limits.total - independent, independent: independent + this.#adopted.size };
  }

  #left(): void {
    if (this.#drained.length === 0 || this.#context.limits.total > 0) return;
    for (const done of this.#drained.splice(0)) done();
  }

  #watchUsers(): void {
    this.#usersWatch?.stop();
    const { users } = this.#config;
    const { logger } = this.#context;
    this.#usersWatch =
      users === undefined
        ? undefined
        : new UsersWatch(
            users,
            logger,
            (changed) => (this.#context.policy = { ...this.#context.policy, users: changed }),
          );
  }
}

function sweep(context: FlowContext, now: number): void {
  for (const connection of context.handshaking.expired(now)) handshakeExpired(context, connection);
  for (const connection of context.connecting.expired(now)) connectExpired(context, connection);
  context.host.lingering.sweep(now);
  vacateSeats(context, now);
}

function limitsOf(config: SocksConfig): LimitSettings {
  const orInfinity = (limit: number): number => (limit === 0 ? Infinity : limit);
  const affordable = Math.max(1, Math.floor((descriptorLimit() - RESERVED_DESCRIPTORS) / DESCRIPTORS_PER_CONNECTION));
  return {
    connections: config.maxConnections === 'auto' ? affordable : orInfinity(config.maxConnections),
    perClient: orInfinity(config.maxPerClient),
    perUser: orInfinity(config.maxPerUser),
  };
}
