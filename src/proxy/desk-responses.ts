/**
 * Stored objects as the rules want to see them. Called by cache-desk.ts on every hit, so nothing is worked out twice: an
 * object that stands in the store's memory has its response beside it.
 *
 * The way back, from a response to its object, goes by the identity of `record.extent`. The rules make new records of
 * old ones (a 304 does), and with them new responses, but which bytes there are does not change by that: freshen()
 * in src/cache/update.ts hands the extent on as it is.
 */
import type { CachePolicy } from '../cache/policy.js';
import { type Extent, wholeExtent } from '../cache/spans.js';
import { type StoredRecord, type StoredResponse, restoreStored } from '../cache/stored.js';
import { UNKNOWN_LENGTH, type StoredObject } from '../cache/store/types.js';
import type { StoredMeta } from './desk-codec.js';

export type Stored = StoredObject<StoredMeta>;

interface Known {
  readonly policy: CachePolicy;
  readonly soft: boolean;
  readonly source: StoredMeta;
  readonly response: StoredResponse;
}

export class DeskResponses {
  #known = new WeakMap<Stored, Known>();
  readonly #objects = new WeakMap<Extent, Stored>();
  /** Records that are being written, by the number of the object that they will replace: they count already. */
  readonly #pending = new Map<number, StoredRecord>();
  /** Some of what is known is not what the store says. */
  #ahead = false;

  of(object: Stored, policy: CachePolicy): StoredResponse {
    const pending = this.#pending.size === 0 ? undefined : this.#pending.get(object.id);
    const known = this.#known.get(object);
    if (
      known !== undefined &&
      known.policy === policy &&
      known.soft === object.softPurged &&
      (pending === undefined || known.source === pending)
    ) {
      return known.response;
    }
    const source = pending ?? object.meta;
    const extent = extentOf(object);
    const record: StoredRecord = { ...source, extent, ...(pending === undefined && staleness(object)) };
    const response = restoreStored(String(object.id), record, policy);
    this.#known.set(object, { policy, soft: object.softPurged, source, response });
    this.#objects.set(extent, object);
    return response;
  }

  /** The object that a response is of, as it was when the response was made; undefined: it was never stored. */
  objectOf(response: StoredResponse): Stored | undefined {
    return this.#objects.get(response.record.extent);
  }

  objectOfExtent(extent: Extent): Stored | undefined {
    return this.#objects.get(extent);
  }

  /** Responses with this extent, made before there was an object, are of this one. */
  bind(extent: Extent, object: Stored): void {
    this.#objects.set(extent, object);
  }

  /** The object is as this record says from now on, while the store writes that down. */
  expect(id: number, record: StoredRecord): void {
    this.#pending.set(id, record);
    this.#ahead = true;
  }

  /**
   * The store has written it down, and there is a new object; or it could not: then what is known of the old one stays
   * known for as long as it is in memory, since it was true.
   */
  settle(id: number, record: StoredRecord): void {
    if (this.#pending.get(id) === record) this.#pending.delete(id);
  }

  /** A soft purge: what the store has not written down is not true any more. */
  distrust(): void {
    if (!this.#ahead) return;
    this.#pending.clear();
    this.#known = new WeakMap();
    this.#ahead = false;
  }
}

/**
 * When a soft purge was is not stored; it holds from when it is first seen. That is later than it was, never longer than
 * freshness itself: the rules end a response at the earlier of the two.
 */
function staleness({ softPurged, meta }: Stored): Pick<StoredRecord, 'staleSince'> {
  return softPurged ? { staleSince: Math.min(meta.staleSince ?? Infinity, Date.now()) } : {};
}

function extentOf({ length, ranges }: Stored): Extent {
  if (ranges === undefined) return wholeExtent(length);
  return {
    total: length === UNKNOWN_LENGTH ? undefined : length,
    spans: ranges.map(({ start, end }) => ({ first: start, end })),
  };
}
