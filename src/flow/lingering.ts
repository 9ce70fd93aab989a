/**
 * Stage teardown: those whose last word was sent and who are given a while to read it. They have no seat any more, so
 * that clients that are turned away keep nobody out; their number is bounded instead, else whoever leaves fast enough
 * would take every descriptor. Who comes on top of that makes the one go that has got nowhere for the longest time.
 */
import { DeadlineQueue } from './deadlines.js';

export interface Leaver {
  /** No more time: closes. It is out of the queue already. */
  cut(): void;
}

const MOST = 256;

export class Lingering {
  readonly #queue: DeadlineQueue<Leaver>;
  readonly #most: number;

  /** @param most **Default:** 256 */
  constructor(durationMs: number, most = MOST) {
    this.#queue = new DeadlineQueue(durationMs);
    this.#most = most;
  }

  get size(): number {
    return this.#queue.size;
  }

  /** Starts its clock, anew when it is there: it has got further. */
  add(leaver: Leaver): void {
    this.#queue.add(leaver);
    if (this.#queue.size > this.#most) this.#evict();
  }

  delete(leaver: Leaver): void {
    this.#queue.delete(leaver);
  }

  /** To be called regularly. */
  sweep(now: number): void {
    for (const leaver of this.#queue.expired(now)) leaver.cut();
  }

  #evict(): void {
    for (const leaver of this.#queue.entries()) {
      this.#queue.delete(leaver);
      leaver.cut();
      return;
    }
  }
}
