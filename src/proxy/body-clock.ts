/**
 * Stage relay: the idle times of content that passes through JavaScript. One timer for all of it, and no look at a clock
 * for each piece: whoever is watched counts ticks, and sets its count to zero when something moves. A process that was
 * held up counts one tick for all that time, so nobody is taken for idle whose bytes merely waited here.
 */
import { SWEEP_MS, Sweeper } from '../flow/deadlines.js';
import { Roster, type Member } from '../flow/roster.js';

export interface Watched extends Member {
  /** A tenth of a second, at least, has passed. */
  tick(): void;
}

export class BodyClock {
  readonly #watched = new Roster<Watched>();
  readonly #sweeper = new Sweeper(() => this.tick());

  watch(body: Watched): void {
    this.#watched.add(body);
  }

  forget(body: Watched): void {
    this.#watched.delete(body);
  }

  /** By the timer. */
  tick(): void {
    for (const body of this.#watched) body.tick();
  }

  get size(): number {
    return this.#watched.size;
  }

  stop(): void {
    this.#sweeper.stop();
  }
}

/** Ticks that last as long as `ms` for certain; Infinity for 0, which is never. */
export function ticksOf(ms: number): number {
  return ms === 0 ? Infinity : Math.ceil(ms / SWEEP_MS) + 1;
}
