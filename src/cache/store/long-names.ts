/**
 * Long names in memory. The index holds every key and all tags (object-index.ts), and what that costs an object is known
 * as long as they are of the usual length. But how long a URL is, any client may choose: so the bytes beyond that are
 * counted, have a limit, and what was not used for longest gives way. Not by the policy of the disk: objects with short
 * names free nothing here, however many of them go. Pure.
 */

/** Characters of an object's names that its place in the index includes. */
const USUAL = 256;
/** Also where hardly any memory is given. */
const LEAST_LIMIT = 4 * 1024 * 1024;

export class LongNames {
  readonly #limit: number;
  /** By slot, least recently used first. */
  readonly #sizes = new Map<number, number>();
  #bytes = 0;

  /** `memoryBytes`: for all that is in memory; names get half of it. */
  constructor(memoryBytes: number) {
    this.#limit = Math.max(LEAST_LIMIT, memoryBytes / 2);
  }

  get bytes(): number {
    return this.#bytes;
  }

  get isOver(): boolean {
    return this.#bytes > this.#limit;
  }

  /** `characters`: of all names of the object in this slot, which may be another than before. */
  put(slot: number, characters: number): void {
    this.remove(slot);
    if (characters <= USUAL) return;
    this.#sizes.set(slot, characters);
    this.#bytes += characters;
  }

  touch(slot: number): void {
    const size = this.#sizes.get(slot);
    if (size === undefined) return;
    this.#sizes.delete(slot);
    this.#sizes.set(slot, size);
  }

  remove(slot: number): void {
    this.#bytes -= this.#sizes.get(slot) ?? 0;
    this.#sizes.delete(slot);
  }

  /** The one that was not used for longest. */
  oldest(): number | undefined {
    const [oldest] = this.#sizes.keys();
    return oldest;
  }
}
