/**
 * Stage handshake: connections to origins, made here or used again. Called by whoever forwards a request; what comes
 * back is lent (origin.ts says how). Which connections may stand for one another is decided here, how they are counted
 * in origin-group.ts, how they are made in origin-connect.ts.
 *
 * Nothing here has a timer: the server's sweeper calls sweep().
 */
import type { Resolver } from '../flow/resolver.js';
import type { Logger } from '../server/logging.js';
import type { ReactorHost } from '../server/reactor-host.js';
import type { AccessSink } from './access.js';
import { OriginDial, type Dial } from './origin-connect.js';
import { OriginGroup, type GroupStats } from './origin-group.js';
import { TlsClient } from './origin-tls.js';
import { OriginError, type Acquire, type Origin, type OriginConnection } from './origin.js';

/** Milliseconds after which an origin without a connection is forgotten; the forward proxy meets many. */
const FORGET_MS = 60_000;

export interface PoolParts {
  readonly host: ReactorHost;
  readonly resolver: Resolver;
  readonly logger?: Logger | undefined;
  readonly sink: Pick<AccessSink, 'connected' | 'originFailed'>;
}

interface Entry {
  readonly group: OriginGroup;
  forgotten: boolean;
}

export class OriginPool {
  readonly #parts: PoolParts;
  readonly #groups = new Map<string, Entry>();
  /** Spares the making of keys: an origin of the configuration is one object for many requests. */
  readonly #known = new WeakMap<Origin, Entry>();
  #closed = false;

  constructor(parts: PoolParts) {
    this.#parts = parts;
  }

  /**
   * At once where an idle connection will do, and then it is reading: its owner has to be set before the turn ends.
   * Rejects with an {@link OriginError} only.
   */
  acquire(origin: Origin, want: Acquire): OriginConnection | Promise<OriginConnection> {
    const known = this.#known.get(origin);
    const entry = known === undefined || known.forgotten ? this.#enter(origin) : known;
    return entry.group.acquire(origin, want);
  }

  /** To be called several times a second. */
  sweep(now: number): void {
    for (const [key, entry] of this.#groups) {
      entry.group.sweep(now);
      if (!entry.group.forgettable(now, FORGET_MS)) continue;
      entry.forgotten = true;
      this.#groups.delete(key);
    }
  }

  /** One row for each name. */
  stats(): GroupStats[] {
    const rows = new Map<string, GroupStats>();
    for (const { group } of this.#groups.values()) {
      const row = group.stats();
      const other = rows.get(row.origin);
      rows.set(row.origin, other === undefined ? row : sum(other, row));
    }
    return [...rows.values()];
  }

  closeIdle(): void {
    for (const { group } of this.#groups.values()) group.closeIdle();
  }

  /** Whoever waits is rejected; what is lent is closed when it comes back. */
  close(): void {
    this.#closed = true;
    for (const { group } of this.#groups.values()) group.close();
  }

  #enter(origin: Origin): Entry {
    const key = keyOf(origin);
    let entry = this.#groups.get(key);
    if (entry === undefined) {
      entry = { group: this.#makeGroup(origin), forgotten: false };
      if (this.#closed) entry.group.close();
      this.#groups.set(key, entry);
    }
    this.#known.set(origin, entry);
    return entry;
  }

  #makeGroup(origin: Origin): OriginGroup {
    const { host, resolver, sink, logger } = this.#parts;
    const tls = origin.tls === undefined ? undefined : new TlsClient(origin.tls);
    const dial: Dial = (to, want, done) =>
      new OriginDial({ host, resolver, tls }, to, want, (outcome) => {
        // The access log has the word only.
        if (outcome instanceof OriginError) logger?.debug({ err: outcome }, 'no connection to an origin');
        done(outcome);
      });
    return new OriginGroup(origin.name, { dial, sink, now: () => performance.now() });
  }
}

/** All that is different at the origin's end, and whom it was shown to be. Limits and times are not. */
function keyOf(origin: Origin): string {
  const { scheme, host, port, proxyProtocol, tls } = origin;
  const { serverName, ca, verify, certificate } = tls ?? {};
  return JSON.stringify([scheme, host.toLowerCase(), port, proxyProtocol, serverName, ca, verify, certificate]);
}

function sum(a: GroupStats, b: GroupStats): GroupStats {
  return {
    origin: a.origin,
    busy: a.busy + b.busy,
    idle: a.idle + b.idle,
    connecting: a.connecting + b.connecting,
    waiting: a.waiting + b.waiting,
    opened: a.opened + b.opened,
    reused: a.reused + b.reused,
  };
}
