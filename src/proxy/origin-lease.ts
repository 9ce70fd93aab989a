/**
 * Stages splice and teardown: a connection to an origin between two requests, and the right to it during one. Made by
 * origin-group.ts, which counts them; nothing is decided here but whether a connection is still fit to be lent.
 */
import type { Origin, OriginConnection } from './origin.js';
import type { Wire, WireOwner } from './wire.js';

/** Where connections come back to. */
export interface Home {
  /** A lease is over. `reset` undefined: the connection is whole, to be kept if it can be; else it is to be closed so. */
  takeBack(pooled: Pooled, origin: Origin, reset: boolean | undefined): void;
  /** A connection that nobody has ended, broke, or said something unasked. */
  spoiled(pooled: Pooled): void;
}

/** One connection, as the group (origin-group.ts) has it; owner of its wire while nobody else is. */
export class Pooled implements WireOwner {
  readonly #home: Home;
  readonly wire: Wire;
  /** Was lent and came back. */
  used = false;
  /** When it came back. */
  since = 0;
  #keepAlive = 0;
  #spoiled = false;

  constructor(home: Home, wire: Wire) {
    this.#home = home;
    this.wire = wire;
    wire.owner = this;
  }

  get usable(): boolean {
    return !this.#spoiled && this.wire.open && !this.wire.ended;
  }

  expired(now: number): boolean {
    return now - this.since > this.#keepAlive;
  }

  /** Reads while it rests: that is how an end is noticed. */
  rest(now: number, keepAlive: number): void {
    this.used = true;
    this.since = now;
    this.#keepAlive = keepAlive;
    this.wire.owner = this;
    this.wire.resume();
  }

  // Nothing was asked: it would be taken for the answer to the next request.
  onData(): void {
    this.#spoil();
  }

  onEnd(): void {
    this.#spoil();
  }

  onBroken(): void {
    this.#spoil();
  }

  onDrained(): void {
    // Nothing waits for it.
  }

  #spoil(): void {
    this.#spoiled = true;
    this.#home.spoiled(this);
  }
}

/** The right to a connection, for one borrower; what it says later, when another has it, counts for nothing. */
export class Lease implements OriginConnection {
  readonly wire: Wire;
  readonly used: boolean;
  readonly #home: Home;
  readonly #origin: Origin;
  /** Undefined: it has come back, and is somebody else's perhaps. */
  #pooled: Pooled | undefined;

  constructor(home: Home, pooled: Pooled, origin: Origin) {
    this.#home = home;
    this.#pooled = pooled;
    this.#origin = origin;
    this.wire = pooled.wire;
    this.used = pooled.used;
  }

  release(): void {
    this.#return(undefined);
  }

  discard(reset = true): void {
    this.#return(reset);
  }

  #return(reset: boolean | undefined): void {
    const pooled = this.#pooled;
    if (pooled === undefined) return;
    this.#pooled = undefined;
    this.#home.takeBack(pooled, this.#origin, reset);
  }
}
