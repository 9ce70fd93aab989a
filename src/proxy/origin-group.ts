/**
 * Stages splice and teardown: the connections that are alike enough to stand for one another (one origin with one set of
 * settings): lent, idle or under way, and who waits for one. Called by the pool. Makes no connection itself (`dial`
 * does) and sends nothing.
 *
 * Counting. A connection counts from the moment it is dialled until it is closed, whoever has it; `#count` = dialling +
 * lent + idle. Somebody waits only while nothing can be done for the first in the queue: no idle connection will do, and
 * the count is at the limit. Every place that gives back a connection that was not idle, or takes somebody out of the
 * queue, ends in #serve(), which restores that. So while somebody waits nothing is idle.
 *
 * The limit is that of whoever asks, for origins that differ only in limits and times share their connections.
 */
import type { AccessSink } from './access.js';
import type { Attempt, Dial } from './origin-connect.js';
import { originError } from './origin-failure.js';
import { Lease, Pooled, type Home } from './origin-lease.js';
import { OriginError, type Acquire, type Origin, type OriginConnection } from './origin.js';

export interface GroupStats {
  readonly origin: string;
  /** Lent. */
  readonly busy: number;
  readonly idle: number;
  readonly connecting: number;
  /** Requests that wait for a connection. */
  readonly waiting: number;
  /** Connections made, and how many times one was lent again. */
  readonly opened: number;
  readonly reused: number;
}

export interface GroupParts {
  readonly dial: Dial;
  readonly sink: Pick<AccessSink, 'connected' | 'originFailed'>;
  readonly now: () => number;
}

/** Somebody who was not served at once. */
interface Ticket {
  readonly origin: Origin;
  readonly want: Acquire;
  /** When waiting is over. */
  readonly deadline: number;
  readonly resolve: (connection: OriginConnection) => void;
  readonly reject: (error: OriginError) => void;
  /** Listens to the signal. */
  onAbort: (() => void) | undefined;
  attempt: Attempt | undefined;
  /** What it will get when the turn is over. */
  granted: Pooled | undefined;
}

export class OriginGroup implements Home {
  readonly #name: string;
  readonly #parts: GroupParts;
  /** The one that was used last is at the end, and is used first. */
  readonly #idle: Pooled[] = [];
  readonly #waiting: Ticket[] = [];
  readonly #dialling = new Set<Ticket>();
  #lent = 0;
  #opened = 0;
  #reused = 0;
  #closed = false;
  #unusedSince: number | undefined;

  constructor(name: string, parts: GroupParts) {
    this.#name = name;
    this.#parts = parts;
  }

  get #count(): number {
    return this.#dialling.size + this.#lent + this.#idle.length;
  }

  acquire(origin: Origin, want: Acquire): OriginConnection | Promise<OriginConnection> {
    this.#unusedSince = undefined;
    if (!this.#closed && want.signal?.aborted !== true) {
      // While somebody waits there is no idle one: nobody is overtaken.
      const pooled = this.#takeIdle(want);
      if (pooled !== undefined) return this.#lend(pooled, origin);
    }
    return new Promise((resolve, reject) => this.#enqueue(origin, want, resolve, reject));
  }

  /** Closes what was idle for too long, and ends the waiting of those who waited for too long. */
  sweep(now: number): void {
    for (const pooled of this.#idle.filter((each) => each.expired(now))) this.#drop(pooled);
    for (const ticket of this.#waiting.filter((each) => each.deadline <= now)) {
      this.#dequeue(ticket);
      this.#reject(ticket, originError(ticket.origin, 'no-connection'));
    }
    this.#serve();
  }

  /** Whether nothing was asked of it for a while and nothing is left: asked at every sweep. */
  forgettable(now: number, afterMs: number): boolean {
    if (this.#count > 0 || this.#waiting.length > 0) this.#unusedSince = undefined;
    else this.#unusedSince ??= now;
    return this.#unusedSince !== undefined && now - this.#unusedSince >= afterMs;
  }

  closeIdle(): void {
    for (const pooled of this.#idle.splice(0)) pooled.wire.close(false);
  }

  /** What is lent stays so, and is closed when it comes back. */
  close(): void {
    this.#closed = true;
    this.closeIdle();
    for (const ticket of this.#waiting.splice(0)) this.#reject(ticket, originError(ticket.origin, 'aborted'));
    for (const ticket of [...this.#dialling]) {
      this.#dialling.delete(ticket);
      ticket.attempt?.abort();
      this.#reject(ticket, originError(ticket.origin, 'aborted'));
    }
  }

  stats(): GroupStats {
    return {
      origin: this.#name,
      busy: this.#lent,
      idle: this.#idle.length,
      connecting: this.#dialling.size,
      waiting: this.#waiting.length,
      opened: this.#opened,
      reused: this.#reused,
    };
  }

  #enqueue(origin: Origin, want: Acquire, resolve: Ticket['resolve'], reject: Ticket['reject']): void {
    const { signal } = want;
    const deadline = this.#parts.now() + origin.connectTimeout;
    const ticket: Ticket = {
      origin,
      want,
      deadline,
      resolve,
      reject,
      onAbort: undefined,
      attempt: undefined,
      granted: undefined,
    };
    if (this.#closed || signal?.aborted === true) {
      reject(originError(origin, 'aborted'));
      return;
    }
    if (signal !== undefined) {
      ticket.onAbort = () => this.#aborted(ticket);
      signal.addEventListener('abort', ticket.onAbort, { once: true });
    }
    // That no idle one will do is known already.
    if (this.#waiting.length === 0 && this.#count < origin.maxConnections) {
      this.#dial(ticket);
      return;
    }
    this.#waiting.push(ticket);
    this.#serve();
  }

  /** Does for those who wait whatever can be done, in their order. */
  #serve(): void {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      const pooled = this.#takeIdle(first.want);
      if (pooled !== undefined) {
        this.#waiting.shift();
        this.#grant(first, pooled);
      } else if (this.#count < first.origin.maxConnections) {
        this.#waiting.shift();
        this.#dial(first);
      } else if (this.#idle[0] !== undefined) {
        // It will not do, and is in the way.
        this.#idle.shift()?.wire.close(false);
      } else {
        return;
      }
    }
  }

  #takeIdle(want: Acquire): Pooled | undefined {
    const { maxIdle, allows } = want;
    if (this.#idle.length === 0 || maxIdle <= 0) return undefined;
    const now = this.#parts.now();
    for (let at = this.#idle.length - 1; at >= 0; at--) {
      const pooled = this.#idle[at]!;
      if (now - pooled.since > maxIdle || pooled.expired(now)) continue;
      // The rules of whoever used it before need not be those of this one.
      if (allows !== undefined && !allows(pooled.wire.peer.address)) continue;
      if (at === this.#idle.length - 1) this.#idle.pop();
      else this.#idle.splice(at, 1);
      // What came unasked may be in the batch that is under way.
      if (!pooled.wire.quiet()) {
        pooled.wire.close(false);
        continue;
      }
      this.#lent++;
      return pooled;
    }
    return undefined;
  }

  /** `pooled` is counted as lent already. */
  #lend(pooled: Pooled, origin: Origin): OriginConnection {
    if (pooled.used) this.#reused++;
    this.#parts.sink.connected(this.#name, pooled.used);
    return new Lease(this, pooled, origin);
  }

  /**
   * Nobody owns the wire between this moment and the one in which the caller's continuation runs, and a whole batch of
   * events may be in between. So it is handed over in a microtask, behind which the continuation follows at once, and
   * what happens to the wire until then is looked at here.
   */
  #grant(ticket: Ticket, pooled: Pooled): void {
    ticket.granted = pooled;
    queueMicrotask(() => this.#deliver(ticket));
  }

  #deliver(ticket: Ticket): void {
    const pooled = ticket.granted;
    if (pooled === undefined) return; // aborted
    ticket.granted = undefined;
    if (pooled.usable) {
      this.#settle(ticket);
      ticket.resolve(this.#lend(pooled, ticket.origin));
      return;
    }
    this.#lent--;
    pooled.wire.close(false);
    // One that was idle may be lost any time. With a new one this could go on for ever.
    if (pooled.used && !this.#closed) this.#waiting.unshift(ticket);
    else this.#reject(ticket, originError(ticket.origin, 'send-failed'));
    this.#serve();
  }

  #dial(ticket: Ticket): void {
    this.#dialling.add(ticket);
    ticket.attempt = this.#parts.dial(ticket.origin, ticket.want, (outcome) => {
      this.#dialling.delete(ticket);
      ticket.attempt = undefined;
      if (outcome instanceof OriginError) {
        this.#reject(ticket, outcome);
        this.#serve();
        return;
      }
      this.#opened++;
      this.#lent++;
      this.#grant(ticket, new Pooled(this, outcome));
    });
  }

  #aborted(ticket: Ticket): void {
    const { attempt, granted } = ticket;
    if (attempt !== undefined) {
      this.#dialling.delete(ticket);
      ticket.attempt = undefined;
      attempt.abort();
    } else if (granted !== undefined) {
      ticket.granted = undefined;
      this.#lent--;
      if (granted.used && granted.usable && !this.#closed) this.#idle.push(granted);
      else granted.wire.close(false);
    } else {
      this.#dequeue(ticket);
    }
    this.#reject(ticket, originError(ticket.origin, 'aborted'));
    this.#serve();
  }

  #dequeue(ticket: Ticket): void {
    const at = this.#waiting.indexOf(ticket);
    if (at >= 0) this.#waiting.splice(at, 1);
  }

  #reject(ticket: Ticket, error: OriginError): void {
    this.#settle(ticket);
    // That nobody wants it any more is no failure of the origin's.
    if (error.failure !== 'aborted') this.#parts.sink.originFailed(this.#name, error.failure);
    ticket.reject(error);
  }

  #settle(ticket: Ticket): void {
    if (ticket.onAbort !== undefined) ticket.want.signal?.removeEventListener('abort', ticket.onAbort);
    ticket.onAbort = undefined;
  }

  #drop(pooled: Pooled): void {
    const at = this.#idle.indexOf(pooled);
    if (at >= 0) this.#idle.splice(at, 1);
    pooled.wire.close(false);
  }

  takeBack(pooled: Pooled, origin: Origin, reset: boolean | undefined): void {
    this.#lent--;
    const { wire } = pooled;
    // One with a PROXY protocol header is one client's; one with something unsent is in the middle of a message.
    const keep =
      reset === undefined &&
      !this.#closed &&
      wire.open &&
      !wire.ended &&
      // Behind content that the kernel moved, something unasked may lie unread.
      wire.quiet() &&
      wire.unsent === 0 &&
      origin.keepAlive > 0 &&
      origin.proxyProtocol === 0;
    if (keep) {
      pooled.rest(this.#parts.now(), origin.keepAlive);
      this.#idle.push(pooled);
    } else {
      wire.close(reset ?? false);
    }
    this.#serve();
  }

  spoiled(pooled: Pooled): void {
    // Where it is not among the idle it is granted, and #deliver looks at it.
    if (this.#idle.includes(pooled)) this.#drop(pooled);
  }
}
