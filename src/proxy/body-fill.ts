/**
 * Stage relay: the store's side of content that JavaScript writes. Keeps what the store has not confirmed, ends the fill
 * once, when nothing is being written any more, and never stands in the way of a client: a fill that fails is told, and
 * its bytes are still here for one who read along.
 */
import type { LiveFill } from './desk.js';
import { FILLING_BYTES } from './body-movers.js';

export class FillWriter {
  readonly fill: LiveFill;
  /** Calls when it has room again, and when it has failed. */
  readonly #changed: () => void;
  /** Written and not confirmed; once failed, what nobody has stored. */
  #unstored: Uint8Array[] = [];
  #unstoredBytes = 0;
  #stored = 0;
  #writing = 0;
  #failed = false;
  #end: { readonly received: number; readonly whole: boolean } | undefined;
  #told = false;

  constructor(fill: LiveFill, changed: () => void) {
    this.fill = fill;
    this.#changed = changed;
  }

  get failed(): boolean {
    return this.#failed;
  }

  /** The disk does not keep up. */
  get full(): boolean {
    return this.#unstoredBytes > FILLING_BYTES;
  }

  /** Bytes that one who reads along can get of the fill, when it has failed. */
  get stored(): number {
    return this.#stored;
  }

  write(bytes: Uint8Array): void {
    if (this.#failed) return this.keep(bytes);
    const stored = this.fill.write(bytes);
    if (stored === true && this.#writing === 0) {
      this.#stored += bytes.length;
      return;
    }
    this.keep(bytes);
    this.#writing++;
    // What is refused at once is told later as well: whoever writes is in the middle of it.
    void Promise.resolve(stored).then((taken) => this.#wrote(bytes, taken));
  }

  /** For {@link takeUnstored} alone. */
  keep(bytes: Uint8Array): void {
    this.#unstored.push(bytes);
    this.#unstoredBytes += bytes.length;
  }

  /** What a fill that failed has not stored, from position `stored` on. */
  takeUnstored(): readonly Uint8Array[] {
    const unstored = this.#unstored;
    this.#unstored = [];
    this.#unstoredBytes = 0;
    return unstored;
  }

  /** The content is over; the first word counts. */
  end(received: number, whole: boolean): void {
    this.#end ??= { received, whole };
    if (!whole) this.fill.cut(); // in this turn: what is still being written delays its end
    this.#conclude();
  }

  #wrote(bytes: Uint8Array, stored: boolean): void {
    this.#writing--;
    if (stored && !this.#failed) {
      this.#stored += bytes.length;
      this.#unstored.shift();
      const wasFull = this.full;
      this.#unstoredBytes -= bytes.length;
      if (wasFull && !this.full) this.#changed();
    } else if (!this.#failed) {
      this.#failed = true;
      this.#end = { received: this.#stored, whole: false };
      this.fill.cut();
      this.#changed();
    }
    this.#conclude();
  }

  #conclude(): void {
    if (this.#end === undefined || this.#writing > 0 || this.#told) return;
    this.#told = true;
    void this.fill.end(this.#end.received, this.#end.whole);
  }
}
