/**
 * Deadlines of the stages before relay. All entries of one queue have the same duration, so the
 * order of entry is the order of expiry and a sweep looks only at the head. One timer serves all:
 * thousands of connections a second would otherwise make thousands of timers.
 */

/** Milliseconds between sweeps: deadlines are late by at most that much. */
export const SWEEP_MS = 100;

export class DeadlineQueue<T> {
  /** Milliseconds; a change holds for entries that are there, too, so that their order stays right. */
  durationMs: number;
  readonly #entries = new Map<T, number>();

  constructor(durationMs: number) {
    this.durationMs = durationMs;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Starts the clock for `entry`, anew if it runs already. */
  add(entry: T): void {
    this.#entries.delete(entry);
    this.#entries.set(entry, performance.now());
  }

  delete(entry: T): void {
    this.#entries.delete(entry);
  }

  /** Takes out what has expired. */
  *expired(now: number): Generator<T, void, void> {
    for (const [entry, since] of this.#entries) {
      if (since + this.durationMs > now) return;
      this.#entries.delete(entry);
      yield entry;
    }
  }

  entries(): IterableIterator<T> {
    return this.#entries.keys();
  }
}

/** Calls `sweep` regularly until stopped; keeps no process alive. */
export class Sweeper {
  readonly #timer: NodeJS.Timeout;

  constructor(sweep: (now: number) => void) {
    this.#timer = setInterval(() => sweep(performance.now()), SWEEP_MS);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
