/**
 * A response as the cache keeps it, and the same with everything worked out that does not change. The store
 * (src/cache/store/) keeps {@link StoredRecord}s and knows nothing of HTTP; the rules judge {@link StoredResponse}s.
 *
 * Derived values are computed once, when a response arrives or its record is read, so that a hit costs one addition
 * for the age and no parsing. They depend on the policy: after a reload records are restored again.
 */
import { Fields } from '../http/head.js';
import { type EntityTag, entityTagOf } from './etag.js';
import { type Freshness, type Times, dateOf, judgeFreshness, lastModifiedOf } from './freshness.js';
import type { CachePolicy } from './policy.js';
import { type Extent } from './spans.js';
import { type Governing, governing } from './targeted.js';
import { type Selection, type VaryNames, varyNames } from './vary.js';

/** Plain data: survives JSON and structured clone. Times in milliseconds since the epoch. */
export interface StoredRecord extends Times {
  readonly status: number;
  readonly reason: string;
  /** Names and values in turn. Without Content-Range: `extent` says it. */
  readonly fields: readonly string[];
  /** The request fields by which this response was selected; each by itself is enough to select it again. */
  readonly selections: readonly Selection[];
  /** Which bytes of the representation are stored. */
  readonly extent: Extent;
  /** Purged softly then: stale since that time, whatever its lifetime says. */
  readonly staleSince?: number;
  /** Invalidated (4.4): only a successful validation makes it usable again. */
  readonly invalid?: true;
}

export interface StoredResponse {
  /** Given by the store. */
  readonly id: string;
  readonly record: StoredRecord;
  readonly fields: Fields;
  readonly governed: Governing;
  readonly freshness: Freshness;
  readonly vary: VaryNames;
  readonly etag: EntityTag | undefined;
  readonly lastModified: number | undefined;
  /** Its Date, or when it arrived. */
  readonly date: number;
  /** Names in lower case that `no-cache="..."` holds back unless the origin was asked (5.2.2.4). */
  readonly withheld: readonly string[];
}

export function restoreStored(id: string, record: StoredRecord, policy: CachePolicy): StoredResponse {
  const fields = Fields.fromRaw(record.fields);
  const governed = governing(fields, policy.targets);
  const { noCache } = governed.directives;
  return {
    id,
    record,
    fields,
    governed,
    freshness: judgeFreshness(record.status, fields, governed, record, policy),
    vary: varyNames(fields),
    etag: entityTagOf(fields),
    lastModified: lastModifiedOf(fields, record.responseTime),
    date: dateOf(fields, record.responseTime) ?? record.responseTime,
    withheld: typeof noCache === 'string' ? [] : noCache,
  };
}

/**
 * Whether Last-Modified may stand for the bytes themselves (RFC 9110 section 8.8.2.2): the origin sent the response at
 * least a second after the modification, so that no second one of the same second can hide behind the same date.
 */
export function hasStrongLastModified(stored: StoredResponse): boolean {
  if (stored.lastModified === undefined) return false;
  const date = dateOf(stored.fields, stored.record.responseTime);
  return date !== undefined && date - stored.lastModified >= 1000;
}
