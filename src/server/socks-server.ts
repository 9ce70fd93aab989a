/**
 * The running SOCKS server: puts listeners, flows and engine together and takes them apart again.
 * The life of one connection is in src/flow; what an operator sees is in src/control.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { SpliceEngine } from '../engine/engine.js';
import { ConfigError } from '../errors.js';
import { accept } from '../flow/accept.js';
import type { FlowContext } from '../flow/connection.js';
import { DeadlineQueue, Sweeper } from '../flow/deadlines.js';
import { connectExpired, handshakeExpired } from '../flow/handshake.js';
import { Limits, type LimitSettings } from '../flow/limits.js';
import { describe } from '../flow/relay.js';
import { Resolver } from '../flow/resolver.js';
import { abandon } from '../flow/teardown.js';
import { exposureMistake, type HostPort, type SocksConfig } from './config.js';
import { Listeners, openListener } from './listeners.js';
import { native } from '../native.js';
import { UsersWatch, readPolicy } from './policy.js';
import { ReactorHost } from './reactor-host.js';
import type { BackendChoiceInfo, RunningServer, ServerOptions, ServerSnapshot } from './server-interface.js';

/** Descriptors kept aside: libraries, logs, control connections, pipes of the relay threads. */
const RESERVED_DESCRIPTORS = 400;
/** A relayed connection has two sockets; its bytes may be in one pipe. */
const DESCRIPTORS_PER_CONNECTION = 2;
/** Milliseconds that a client gets to read its last reply. */
const LINGER_MS = 2000;

export class SocksServer implements RunningServer {
  readonly listening: readonly HostPort[];
  readonly backend: BackendChoiceInfo;
  readonly #context: FlowContext;
  readonly #listeners: Listeners;
  readonly #sweeper: Sweeper;
  #config: SocksConfig;
  #usersWatch: UsersWatch | undefined;
  #stopped: Promise<void> | undefined;
  #idleWaiters: (() => void)[] = [];

  private constructor(context: FlowContext, listeners: Listeners, sweeper: Sweeper, config: SocksConfig) {
    this.#context = context;
    this.#listeners = listeners;
    this.#sweeper = sweeper;
    this.#config = config;
    this.listening = listeners.addresses;
    const { backend, reason } = context.engine.preferred;
    this.backend = { name: backend, reason };
    context.onLeave = () => this.#left();
    this.#watchUsers();
  }

  /** @throws ConfigError, or SpliceError `ERR_SPLICE_BACKEND`, `ERR_SPLICE_LISTEN`; nothing stays behind then */
  static async start(options: ServerOptions): Promise<SocksServer> {
    const { config, logger, metrics, inherited } = options;
    const policy = await readPolicy(config);
    const engine = await SpliceEngine.open({
      backend: config.backend,
      ...(config.relayThreads !== 'auto' && { relayThreads: config.relayThreads }),
    });
    const descriptors: number[] = [];
    let host: ReactorHost | undefined;
    try {
      for (const { fd } of inherited) descriptors.push(adoptListener(fd));
      if (inherited.length === 0) for (const address of config.listen) descriptors.push(openListener(address));
      for (const fd of descriptors) engine.initSplice(fd);
      host = new ReactorHost();
      const context: FlowContext = {
        host,
        engine,
        policy,
        logger,
        metrics,
        resolver: new Resolver(),
        limits: new Limits(limitsOf(config)),
        handshaking: new DeadlineQueue(config.handshakeTimeout),
        connecting: new DeadlineQueue(config.connectTimeout),
        lingering: new DeadlineQueue(LINGER_MS),
        relaying: new Set(),
        onLeave: () => undefined,
      };
      const listeners = new Listeners(host, descriptors, logger, (slot, peer) => accept(context, slot, peer), () => context.limits.full);
      // The reactor owns them now.
      descriptors.length = 0;
      if (inherited.length > 0) {
        const mistake = exposureMistake(listeners.addresses, config);
        if (mistake !== undefined) throw new ConfigError(`socket activation: ${mistake}`);
      }
      return new SocksServer(context, listeners, new Sweeper((now) => sweep(context, now)), config);
    } catch (error) {
      for (const fd of descriptors) native().close(fd);
      host?.stop();
      await engine.close();
      throw error;
    }
  }

  async drain(): Promise<void> {
    this.#listeners.close();
    if (this.#context.limits.total === 0 || this.#config.drainTimeout === 0) return;
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([
      new Promise<void>((resolve) => this.#idleWaiters.push(resolve)),
      new Promise<void>((resolve) => (timer = setTimeout(resolve, this.#config.drainTimeout))),
    ]);
    clearTimeout(timer);
  }

  stop(): Promise<void> {
    return (this.#stopped ??= this.#stop());
  }

  // Teardown. a) Nobody new comes in. b) Connections before relay are abandoned, so that each
  // writes its line. c) The engine ends the flows; each reports, so that each writes its line.
  // d) Only then the reactor goes, with slots that only linger.
  async #stop(): Promise<void> {
    const context = this.#context;
    this.#usersWatch?.stop();
    this.#listeners.close();
    this.#sweeper.stop();
    for (const queue of [context.handshaking, context.connecting]) {
      for (const connection of [...queue.entries()]) abandon(context, connection, 'shutdown');
    }
    await context.engine.close();
    context.host.stop();
    for (const done of this.#idleWaiters) done();
  }

  async reload(config: SocksConfig): Promise<void> {
    const policy = await readPolicy(config);
    const context = this.#context;
    context.policy = policy;
    context.limits.settings = limitsOf(config);
    context.handshaking.durationMs = config.handshakeTimeout;
    context.connecting.durationMs = config.connectTimeout;
    this.#config = config;
    this.#watchUsers();
    this.#listeners.relieved();
  }

  snapshot(): ServerSnapshot {
    const { handshaking, connecting, relaying } = this.#context;
    const flows = [];
    for (const connection of relaying) {
      const info = describe(connection);
      if (info !== undefined) flows.push(info);
    }
    return {
      handshakes: handshaking.size + connecting.size,
      descriptors: readdirSync('/proc/self/fd').length,
      descriptorLimit: descriptorLimit(),
      flows,
    };
  }

  #left(): void {
    this.#listeners.relieved();
    if (this.#context.limits.total > 0) return;
    for (const done of this.#idleWaiters) done();
    this.#idleWaiters = [];
  }

  #watchUsers(): void {
    this.#usersWatch?.stop();
    const { users } = this.#config;
    const { logger } = this.#context;
    this.#usersWatch =
      users === undefined
        ? undefined
        : new UsersWatch(users, logger, (changed) => (this.#context.policy = { ...this.#context.policy, users: changed }));
  }
}

function sweep(context: FlowContext, now: number): void {
  for (const connection of context.handshaking.expired(now)) handshakeExpired(context, connection);
  for (const connection of context.connecting.expired(now)) connectExpired(context, connection);
  for (const slot of context.lingering.expired(now)) context.host.close(slot, true);
}

/** A listening socket of systemd's; ours must not block and must not reach children, so it is duplicated so. */
function adoptListener(fd: number): number {
  if (!native().describe(fd).listening) throw new ConfigError(`socket activation: descriptor ${fd} does not listen`);
  const own = native().duplicate(fd);
  native().close(fd);
  return own;
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

/** The soft limit, which Node raises to the hard one when it starts. */
function descriptorLimit(): number {
  const line = /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
  return line === undefined || line === 'unlimited' ? Infinity : Number(line);
}
