/**
 * Heads and small bodies of hot objects, decoded, so that a hit or a HEAD needs no disk and no promise. Bounded by
 * bytes, evicted by the policy of s3-fifo.ts, apart from the disk's.
 */
import { S3Fifo } from './s3-fifo.js';
import type { Hot } from './hot.js';

/** What an object costs beside its record's bytes. */
const OVERHEAD = 512;

export class MemoryTier<M> {
  readonly #items = new Map<number, Hot<M>>();
  readonly #policy: S3Fifo;
  readonly #limit: () => number;

  /** `limit`: in bytes, at this moment. */
  constructor(limit: () => number, fingerprintOf: (slot: number) => number) {
    this.#limit = limit;
    this.#policy = new S3Fifo(fingerprintOf);
  }

  get count(): number {
    return this.#items.size;
  }

  get bytes(): number {
    return this.#policy.weight;
  }

  get(slot: number): Hot<M> | undefined {
    return this.#items.get(slot);
  }

  touch(slot: number): void {
    if (this.#policy.has(slot)) this.#policy.touch(slot);
  }

  /** `size`: of its record. */
  put(item: Hot<M>, size: number): void {
    this.remove(item.slot);
    const weight = size + OVERHEAD;
    const limit = this.#limit();
    if (weight > limit) return;
    while (this.#policy.weight + weight > limit) this.#items.delete(this.#policy.evict());
    this.#policy.insert(item.slot, weight);
    this.#items.set(item.slot, item);
  }

  remove(slot: number): void {
    if (this.#items.delete(slot)) this.#policy.remove(slot);
  }
}
