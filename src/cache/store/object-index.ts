/**
 * Every object in memory, in little of it: numbers in typed arrays, one slot an object; the key as a string in one Map
 * that leads to the first of the key's slots, the others follow as a list. Pure. About 180 bytes an object with a key of
 * 60 characters; heads and bodies are not here but in the log and, while they are hot, in the memory tier.
 *
 * Keys stay in memory so that a purge by prefix or tag can be exact, complete and counted without reading the disk.
 * A Map holds at most 2^24 keys: MOST_OBJECTS stays below that.
 */
import { KeyFamilies } from '../key-families.js';
import type { RecordHead } from './record.js';
import type { Location } from './segment-log.js';
import { grown } from './typed-arrays.js';

export const NO_SLOT = 0xffffffff;
export const MOST_OBJECTS = 16_000_000;

export class ObjectIndex {
  readonly #first = new Map<string, number>();
  readonly #families = new KeyFamilies();
  #keys: (string | undefined)[] = [];
  readonly #variants = new Map<number, string>();
  readonly #tags = new Map<number, string>();
  /** The next slot of the same key, or of the list of free slots. */
  #next = new Uint32Array(64);
  #free = NO_SLOT;
  /** Slots that were ever used. */
  #used = 0;
  #count = 0;
  ids = new Float64Array(64);
  fileIds = new Float64Array(64);
  lengths = new Float64Array(64);
  fileBytes = new Float64Array(64);
  flags = new Uint8Array(64);
  #segments = new Uint32Array(64);
  #offsets = new Uint32Array(64);
  #sizes = new Uint32Array(64);

  get count(): number {
    return this.#count;
  }

  /** Slots are below this. */
  get end(): number {
    return this.#used;
  }

  /** The keys, each once, while they may come and go: what comes may be passed over, what stays is not. */
  keys(): IterableIterator<[string, number]> {
    return this.#first.entries();
  }

  /** The keys that are this one with something behind a space, as they are now. */
  family(key: string): readonly string[] {
    return [...this.#families.of(key)];
  }

  first(key: string): number {
    return this.#first.get(key) ?? NO_SLOT;
  }

  /** The next variant of the same key. */
  next(slot: number): number {
    return this.#next[slot] ?? NO_SLOT;
  }

  find(key: string, variant: string): number {
    let slot = this.first(key);
    while (slot !== NO_SLOT && this.variantOf(slot) !== variant) slot = this.next(slot);
    return slot;
  }

  /** The slot, if it still holds this very object. */
  holds(slot: number, id: number): boolean {
    return this.#keys[slot] !== undefined && this.ids[slot] === id;
  }

  keyOf(slot: number): string | undefined {
    return this.#keys[slot];
  }

  variantOf(slot: number): string {
    return this.#variants.get(slot) ?? '';
  }

  tagsOf(slot: number): string {
    return this.#tags.get(slot) ?? '';
  }

  locationOf(slot: number): Location {
    return {
      segment: this.#segments[slot] ?? 0,
      offset: this.#offsets[slot] ?? 0,
      size: this.#sizes[slot] ?? 0,
    };
  }

  segmentOf(slot: number): number {
    return this.#segments[slot] ?? 0;
  }

  relocate(slot: number, location: Location): void {
    this.#segments[slot] = location.segment;
    this.#offsets[slot] = location.offset;
    this.#sizes[slot] = location.size;
  }

  /** A new object, of a key and variant that is not here. */
  insert(head: RecordHead, location: Location): number {
    let slot = this.#free;
    if (slot === NO_SLOT) {
      slot = this.#used++;
      if (slot === this.ids.length) this.#grow();
    } else {
      this.#free = this.next(slot);
    }
    this.#count++;
    this.#keys[slot] = head.key;
    if (head.variant !== '') this.#variants.set(slot, head.variant);
    if (head.tags !== '') this.#tags.set(slot, head.tags);
    this.#fill(slot, head, location);
    this.#next[slot] = this.first(head.key);
    if (this.#next[slot] === NO_SLOT) this.#families.add(head.key);
    this.#first.set(head.key, slot);
    return slot;
  }

  /** Another object of the same key and variant takes the place of the one that is there. */
  rewrite(slot: number, head: RecordHead, location: Location): void {
    if (head.tags !== '') this.#tags.set(slot, head.tags);
    else this.#tags.delete(slot);
    this.#fill(slot, head, location);
  }

  remove(slot: number): void {
    const key = this.#keys[slot];
    if (key === undefined) return;
    const next = this.next(slot);
    let before = this.first(key);
    if (before === slot) {
      if (next === NO_SLOT) {
        this.#first.delete(key);
        this.#families.delete(key);
      } else {
        this.#first.set(key, next);
      }
    } else {
      while (this.next(before) !== slot) before = this.next(before);
      this.#next[before] = next;
    }
    this.#keys[slot] = undefined;
    this.#variants.delete(slot);
    this.#tags.delete(slot);
    this.ids[slot] = 0;
    this.#next[slot] = this.#free;
    this.#free = slot;
    this.#count--;
  }

  #fill(slot: number, head: RecordHead, location: Location): void {
    this.ids[slot] = head.id;
    this.fileIds[slot] = head.fileId;
    this.lengths[slot] = head.length;
    this.fileBytes[slot] = head.fileBytes;
    this.flags[slot] = head.flags;
    this.relocate(slot, location);
  }

  #grow(): void {
    const size = this.ids.length * 2;
    this.ids = grown(this.ids, new Float64Array(size));
    this.fileIds = grown(this.fileIds, new Float64Array(size));
    this.lengths = grown(this.lengths, new Float64Array(size));
    this.fileBytes = grown(this.fileBytes, new Float64Array(size));
    this.#next = grown(this.#next, new Uint32Array(size));
    this.#segments = grown(this.#segments, new Uint32Array(size));
    this.#offsets = grown(this.#offsets, new Uint32Array(size));
    this.#sizes = grown(this.#sizes, new Uint32Array(size));
    this.flags = grown(this.flags, new Uint8Array(size));
  }
}
