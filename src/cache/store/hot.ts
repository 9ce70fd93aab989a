/**
 * An object in memory: what a lookup gives to the store's callers. Made by core.ts from the index and the object's
 * record, whose bytes it keeps.
 *
 * What was stored and is never asked for again is most of what a cache stores, so the head stays bytes until somebody
 * asks: thirty small objects less for the garbage collector to carry into the old generation, for each response.
 */
import type { RangeSet } from './ranges.js';
import { bodyIn, metaIn, splitTags } from './record.js';
import type { Codec, StoredObject } from './types.js';

/** What the index says of an object. */
export interface HotNames {
  readonly slot: number;
  readonly fileId: number;
  readonly id: number;
  readonly key: string;
  readonly variant: string;
  /** As in the record. */
  readonly tags: string;
  readonly length: number;
  readonly ranges: RangeSet | undefined;
  readonly softPurged: boolean;
}

export class Hot<M> implements StoredObject<M> {
  readonly slot: number;
  readonly fileId: number;
  readonly id: number;
  readonly key: string;
  readonly variant: string;
  readonly length: number;
  readonly ranges: RangeSet | undefined;
  softPurged: boolean;
  readonly #tags: string;
  readonly #record: Buffer;
  readonly #codec: Codec<M>;
  #meta: M | undefined;
  #body: Buffer | undefined;

  /** `meta`: where it is known. Else the record's must be one that the codec has made. */
  constructor(names: HotNames, record: Buffer, codec: Codec<M>, meta: M | undefined) {
    this.slot = names.slot;
    this.fileId = names.fileId;
    this.id = names.id;
    this.key = names.key;
    this.variant = names.variant;
    this.length = names.length;
    this.ranges = names.ranges;
    this.softPurged = names.softPurged;
    this.#tags = names.tags;
    this.#record = record;
    this.#codec = codec;
    this.#meta = meta;
  }

  get tags(): readonly string[] {
    return splitTags(this.#tags);
  }

  get meta(): M {
    return (this.#meta ??= this.#codec.decode(metaIn(this.#record)));
  }

  get body(): Buffer | undefined {
    if (this.fileId !== 0) return undefined;
    return (this.#body ??= bodyIn(this.#record));
  }
}
