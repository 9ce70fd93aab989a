/**
 * Room on the disk. Objects give way before the limit is exceeded, and when the disk is fuller than the limit knew. A
 * few hundred a turn of the event loop, which is about a millisecond.
 */
import type { StoreCore } from './core.js';
import { MOST_OBJECTS } from './object-index.js';

const EVICTIONS_PER_TURN = 256;
const SHRINK_TO = 0.95;

export class Room<M> {
  readonly #core: StoreCore<M>;
  /** A later turn goes on. */
  #going = false;

  constructor(core: StoreCore<M>) {
    this.#core = core;
  }

  /** Evicts until what is stored and being stored is within the limit. */
  make(): void {
    if (this.#going) return;
    this.#evictWhile(() => this.#isOver());
  }

  /** The disk is full although the limit is not reached, because others use it too: a twentieth of the bytes gives way. */
  shrink(): void {
    if (this.#going) return; // a hundred fills that fail at once shrink once
    const target = this.#core.disk.weight * SHRINK_TO;
    this.#going = true;
    setImmediate(() => this.#evictWhile(() => this.#core.disk.weight > target || this.#isOver()));
  }

  #isOver(): boolean {
    const core = this.#core;
    const reserve = 2 * core.log.segmentBytes; // what is appended before cleaning catches up
    return core.diskBytes + reserve > core.limits.diskBytes || core.index.count > MOST_OBJECTS || core.names.isOver;
  }

  #evictWhile(needed: () => boolean): void {
    this.#going = false;
    if (this.#core.closed) return;
    for (let i = 0; needed(); i++) {
      if (i === EVICTIONS_PER_TURN) {
        this.#going = true;
        setImmediate(() => this.#evictWhile(needed));
        return;
      }
      if (!this.#core.evictOne()) return;
    }
    this.#core.onChange();
  }
}
