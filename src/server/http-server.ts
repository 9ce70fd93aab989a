/**
 * The running HTTP server on one thread: puts listeners, cache, pool, tap and engine together and takes them apart again.
 * The life of one request is in src/proxy; what an operator sees is in src/control. Started by http-start.ts, or as one
 * of several by worker.ts.
 */
import { DeskActions } from '../control/http-desk-actions.js';
import type { CacheActions } from '../control/http-actions.js';
import { HttpAccess } from '../control/http-access.js';
import { HttpCounts, copyHttpNumbers } from '../control/http-counts.js';
import { MetricCounts } from '../control/metric-counts.js';
import type { HttpSnapshot } from '../control/http-snapshot.js';
import { SpliceEngine } from '../engine/engine.js';
import { Tap } from '../engine/tap.js';
import { formatEndpoint } from '../flow/address.js';
import { DeadlineQueue, Sweeper } from '../flow/deadlines.js';
import { AdoptedFlows } from '../flow/adopted.js';
import { Limits, type LimitSettings } from '../flow/limits.js';
import { describeFlow } from '../flow/relay.js';
import { Resolver } from '../flow/resolver.js';
import { native, type Quota } from '../native.js';
import { accept } from '../proxy/accept.js';
import { AcceptWire, type AcceptSettings } from '../proxy/accept-wire.js';
import { Roster } from '../flow/roster.js';
import { BodyClock } from '../proxy/body-clock.js';
import { CacheDesk } from '../proxy/cache-desk.js';
import type { ClientConnection } from '../proxy/client-connection.js';
import type { ProxyContext } from '../proxy/context.js';
import { OriginPool } from '../proxy/origin-pool.js';
import { shutDown } from '../proxy/teardown.js';
import type { HostPort } from './config.js';
import { descriptorLimit } from './descriptors.js';
import type { HttpConfig } from './http-config.js';
import { kindsOf, listenersOf, type ListenerKind } from './http-listeners.js';
import { makeSite, watchUsers, type HttpSite } from './http-site.js';
import { Listeners, localAddress } from './listeners.js';
import type { Logger } from './logging.js';
import { ModuleNews, kernelSnapshots, packetOptions, tellOfPlane } from './packet-server.js';
import type { UsersWatch } from './policy.js';
import { ReactorHost } from './reactor-host.js';
import type { BackendChoiceInfo } from './server-interface.js';
import type { WorkerLive } from './worker-protocol.js';

/** Descriptors kept aside: libraries, logs, control connections, pipes, open bodies of the cache. */
const RESERVED_DESCRIPTORS = 1000;
/** A client's, an origin's, and a file's. */
const DESCRIPTORS_PER_CONNECTION = 3;
const SWEEP_SLOW_MS = 1000;
/** For clients that still send what nobody reads to get to read their last response, and how many of them. */
const LINGER_MS = 5000;
const MOST_LINGERING = 1024;
/** Bytes of one read: heads and small content in one, big content goes by the kernel. */
const READ_SIZE = 16 * 1024;

/** What one server needs, be it the whole process or one of several threads. */
export interface ServeHttpOptions {
  readonly config: HttpConfig;
  readonly logger: Logger;
  /** **Default:** counts that nobody reads. */
  readonly metrics?: MetricCounts;
  /** Listening descriptors, in the order of the configuration. The server owns them from the call on, also when it fails. */
  readonly listeners: readonly number[];
  /** What is spoken at each. **Default:** as configured. */
  readonly kinds?: readonly ListenerKind[];
  /** Where connections are counted. **Default:** a pool of its own. */
  readonly pool?: number;
  /** **Default:** what the configuration says. */
  readonly relayThreads?: number;
  /** Counts from 1 where there are several: each has a cache of its own. */
  readonly worker?: number;
}

/** The state of one thread. */
export interface HttpLive extends WorkerLive {
  readonly http: HttpSnapshot;
}

export class HttpServer {
  readonly listening: readonly HostPort[];
  readonly backend: BackendChoiceInfo;
  readonly cache: CacheActions | undefined;
  readonly #context: ProxyContext;
  readonly #host: ReactorHost;
  readonly #listeners: Listeners;
  readonly #sweeper: Sweeper;
  readonly #quota: Quota;
  readonly #counts: HttpCounts;
  readonly #idPrefix: string;
  readonly #access: HttpAccess;
  readonly #kinds: readonly ListenerKind[];
  readonly #acceptWires: readonly AcceptWire[];
  readonly #adopted: AdoptedFlows;
  #usersWatch: UsersWatch | undefined;
  readonly #drained: (() => void)[] = [];
  #config: HttpConfig;
  #slowSweep = 0;
  #stopped: Promise<void> | undefined;

  private constructor(
    options: ServeHttpOptions,
    context: ProxyContext,
    parts: {
      readonly host: ReactorHost;
      readonly listeners: Listeners;
      readonly quota: Quota;
      readonly counts: HttpCounts;
      readonly access: HttpAccess;
      readonly kinds: readonly ListenerKind[];
      readonly site: HttpSite;
      readonly acceptWires: readonly AcceptWire[];
    },
  ) {
    this.#context = context;
    this.#host = parts.host;
    this.#listeners = parts.listeners;
    this.#quota = parts.quota;
    this.#counts = parts.counts;
    this.#acceptWires = parts.acceptWires;
    this.#access = parts.access;
    this.#kinds = parts.kinds;
    this.#config = options.config;
    this.#idPrefix = options.worker === undefined ? '' : `${options.worker}-`;
    this.listening = parts.listeners.addresses;
    const { backend, reason } = context.engine.preferred;
    this.backend = { name: backend, reason };
    this.cache =
      context.desk &&
      new DeskActions(
        context.desk,
        () => this.live().http,
        () => context.site,
      );
    context.onLeave = () => this.#left();
    this.#adopted = new AdoptedFlows(context.engine.flows(), context.metrics, context.logger, context.onLeave);
    tellOfPlane(context.engine, this.#adopted.size, context.logger);
    this.#usersWatch = watchUsers(options.config, parts.site, options.logger);
    const news = new ModuleNews(context.engine, context.logger);
    // Last: nothing that can fail comes behind it, so nobody has to stop it but stop().
    this.#sweeper = new Sweeper((now) => {
      this.#sweep(now);
      news.look();
    });
  }

  /** Serves on descriptors that listen already. @throws ConfigError, SpliceError, CacheError; nothing stays behind then */
  static async serve(options: ServeHttpOptions): Promise<HttpServer> {
    const { config, logger, worker } = options;
    const descriptors = [...options.listeners];
    let engine: SpliceEngine | undefined;
    let desk: CacheDesk | undefined;
    let host: ReactorHost | undefined;
    let quota: Quota | undefined;
    let listeners: Listeners | undefined;
    const counts = new HttpCounts();
    const metrics = options.metrics ?? new MetricCounts();
    const access = new HttpAccess({ logger, counts, logs: !config.noAccessLog });
    const kinds = options.kinds ?? kindsOf(config);
    const tap = new Tap();
    const clock = new BodyClock();
    try {
      const site = await makeSite(config, { listening: descriptors.map(localAddress) });
      const settings = await listenersOf(config, kinds);
      const relayThreads = options.relayThreads ?? config.relayThreads;
      engine = await SpliceEngine.open({
        backend: backendOf(config),
        prefer: config.prefer,
        idleTimeoutMs: site.tunnelTimeout,
        packet: packetOptions(config),
        ...(relayThreads !== 'auto' && { relayThreads }),
      });
      if (!config.noCache) desk = await CacheDesk.open(deskOptions(config, logger, access, worker));
      for (const fd of descriptors) engine.initSplice(fd);
      host = new ReactorHost({ readSize: READ_SIZE, lingerMs: LINGER_MS, mostLingering: MOST_LINGERING });
      if (engine.kernelFlows !== undefined) host.reactor.alignWith(engine.kernelFlows);
      quota = new (native().Quota)(options.pool, () => listeners?.relieved());
      const context: ProxyContext = {
        engine,
        tap,
        clock,
        pool: new OriginPool({ host, resolver: new Resolver(), logger, sink: access }),
        desk,
        limits: new Limits(limitsOf(config), quota),
        access,
        metrics,
        logger,
        site,
        draining: false,
        connections: new Set(),
        exchanges: new Roster(),
        tunnels: new Set(),
        heads: new DeadlineQueue(site.headTimeout),
        idle: new DeadlineQueue(site.keepAlive),
        onLeave: () => undefined,
      };
      const acceptWires = settings.map((one) => acceptWireFor(host!, context, one, logger));
      // Out of our hands, also when it fails.
      const own = descriptors.splice(0);
      listeners = new Listeners(host, own, logger, quota, (slot, peer, index) => {
        metrics.accepted();
        (acceptWires[index] ?? acceptWires[0])?.accept(slot, peer);
      });
      return new HttpServer(options, context, { host, listeners, quota, counts, access, kinds, site, acceptWires });
    } catch (error) {
      for (const fd of descriptors) native().close(fd);
      listeners?.close();
      host?.stop();
      quota?.close();
      clock.stop();
      await tap.close();
      await desk?.close();
      await engine?.close({ keep: true });
      throw error;
    }
  }

  async drain(): Promise<void> {
    const context = this.#context;
    this.#listeners.close();
    context.draining = true;
    for (const connection of [...context.connections]) connection.retire();
    context.pool.closeIdle();
    if (this.#isEmpty() || this.#config.drainTimeout === 0) return;
    context.logger.info(
      { requests: context.exchanges.size - context.tunnels.size, tunnels: context.tunnels.size },
      'waiting for requests and tunnels that are under way',
    );
    let limit: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#drained.push(resolve);
      limit = setTimeout(resolve, this.#config.drainTimeout);
    });
    clearTimeout(limit);
  }

  stop(options = { keep: false }): Promise<void> {
    return (this.#stopped ??= this.#stop(options.keep));
  }

  // Teardown. a) Nobody new comes in. b) Exchanges end, so that each writes its line; what they fill is not stored unless
  // it is whole. c) The engine ends the tunnels, or leaves them to the kernel. d) Then the bodies, whose files are the
  // store's, and the store. e) Only then the reactor goes, with slots that only linger.
  async #stop(keep: boolean): Promise<void> {
    const context = this.#context;
    this.#listeners.close();
    this.#sweeper.stop();
    this.#usersWatch?.stop();
    for (const each of this.#acceptWires) each.stop();
    for (const connection of [...context.connections]) connection.shutDown();
    // Without a client: validations in the background, and what only the store still wants. Tunnels are the engine's.
    const spliced = new Set([...context.tunnels].map(({ exchange }) => exchange));
    for (const exchange of [...context.exchanges]) if (!spliced.has(exchange)) shutDown(context, exchange);
    const kept = await context.engine.close({ keep });
    if (kept > 0) context.logger.warn({ flows: kept }, 'tunnels go on in the kernel without us');
    context.pool.close();
    context.clock.stop();
    await context.tap.close();
    await context.desk?.close();
    this.#host.stop();
    this.#quota.close();
    for (const done of this.#drained) done();
  }

  /** The first half of a reload: reads everything and changes nothing. What it returns is the second, and cannot fail. */
  async prepareReload(config: HttpConfig): Promise<() => void> {
    const site = await makeSite(config, { listening: this.listening });
    const settings = await listenersOf(config, this.#kinds);
    return () => {
      const context = this.#context;
      context.site = site;
      context.limits.settings = limitsOf(config);
      context.heads.durationMs = site.headTimeout;
      context.idle.durationMs = site.keepAlive;
      this.#acceptWires.forEach((each, index) => {
        const changed = settings[index];
        if (changed !== undefined) each.use(changed);
      });
      this.#access.logs = !config.noAccessLog;
      this.#usersWatch?.stop();
      this.#usersWatch = watchUsers(config, site, context.logger);
      this.#config = config;
    };
  }

  live(): HttpLive {
    const { connections, exchanges, tunnels, pool, desk, engine } = this.#context;
    const flows = this.#adopted.describe(this.#idPrefix);
    for (const { exchange, flow, target } of tunnels) {
      flows.push(
        describeFlow(flow, this.#idPrefix, {
          client: formatEndpoint(exchange.ends.peer.address, exchange.ends.peer.port),
          server: exchange.originAddress ?? '',
          target,
          user: exchange.user,
          ageMs: performance.now() - exchange.startedAt,
        }),
      );
    }
    let idle = 0;
    for (const connection of connections) if (connection.resting) idle++;
    const kernel = this.#stopped === undefined ? kernelSnapshots(engine) : { packet: undefined };
    const requests = exchanges.size - tunnels.size;
    return {
      handshakes: requests,
      flows,
      ...kernel,
      http: {
        numbers: copyHttpNumbers(this.#counts.numbers),
        connections: connections.size,
        idle,
        requests,
        tunnels: tunnels.size,
        pool: pool.stats(),
        store: desk?.stats(),
      },
    };
  }

  #sweep(now: number): void {
    const { heads, idle, pool, desk } = this.#context;
    for (const connection of [...expired(heads, now), ...expired(idle, now)]) connection.expired();
    pool.sweep(now);
    for (const each of this.#acceptWires) each.sweep(now);
    this.#host.lingering.sweep(now);
    this.#left();
    if (now - this.#slowSweep < SWEEP_SLOW_MS) return;
    this.#slowSweep = now;
    desk?.expire(Date.now());
  }

  /**
   * Nobody is left who ends with this process: neither a request, nor who is on the way out (what was not sent yet would
   * be lost with the reactor), nor a tunnel, but those that the kernel carries by itself. Asked at each sweep of a drain,
   * for that a tunnel has gone over to the kernel shows only when one asks.
   */
  #isEmpty(): boolean {
    const { exchanges, connections, tunnels } = this.#context;
    let independent = 0;
    for (const { flow } of tunnels) if (flow.independent) independent++;
    return exchanges.size === independent && connections.size === 0 && this.#host.lingering.size === 0;
  }

  #left(): void {
    if (this.#drained.length === 0 || !this.#isEmpty()) return;
    for (const done of this.#drained.splice(0)) done();
  }
}

/**
 * Only connections of a forward proxy's CONNECT are prepared for the packet backend; where there are none, no program is
 * put on an interface for it.
 */
function backendOf({ backend, forward }: HttpConfig): HttpConfig['backend'] {
  return backend === 'auto' && !forward ? 'splice' : backend;
}

function expired(queue: DeadlineQueue<ClientConnection>, now: number): ClientConnection[] {
  return [...queue.expired(now)];
}

function acceptWireFor(host: ReactorHost, context: ProxyContext, settings: AcceptSettings, logger: Logger): AcceptWire {
  return new AcceptWire({ host, settings, logger, accepted: (wire) => accept(context, wire) });
}

function deskOptions(
  config: HttpConfig,
  logger: Logger,
  sink: HttpAccess,
  worker: number | undefined,
): Parameters<typeof CacheDesk.open>[0] {
  const share = worker === undefined ? 1 : config.workers;
  return {
    directory: config.cacheDir === '' ? undefined : config.cacheDir,
    limits: {
      diskBytes: Math.floor(config.cacheSize / share),
      memoryBytes: Math.floor(config.cacheMemory / share),
      inlineBytes: config.cacheInline,
      variants: config.cacheVariants,
      ...(config.cacheMaxObject !== 'auto' && { objectBytes: config.cacheMaxObject }),
    },
    logger,
    sink,
    ...(worker !== undefined && { worker: worker - 1 }),
  };
}

function limitsOf(config: HttpConfig): LimitSettings {
  const orInfinity = (limit: number): number => (limit === 0 ? Infinity : limit);
  const affordable = Math.max(1, Math.floor((descriptorLimit() - RESERVED_DESCRIPTORS) / DESCRIPTORS_PER_CONNECTION));
  return {
    connections: config.maxConnections === 'auto' ? affordable : orInfinity(config.maxConnections),
    perClient: orInfinity(config.maxPerClient),
    perUser: Infinity,
  };
}
