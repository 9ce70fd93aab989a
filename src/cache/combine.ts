/**
 * Joining a 206 to what is stored of the same representation (RFC 9111 section 3.4, RFC 9110 section 15.3.7.3). Called
 * by decide.ts; pure. Bytes are joined only under one strong validator: two halves of different versions make a file
 * that nobody ever wrote.
 */
import type { Fields, ResponseHead } from '../http/head.js';
import { entityTagOf, equalStrongly } from './etag.js';
import { type Times, dateOf, lastModifiedOf } from './freshness.js';
import type { CachePolicy } from './policy.js';
import { formatRange } from './ranges.js';
import { type Extent, addSpan, isComplete, missingSpan } from './spans.js';
import { type StoredRecord, type StoredResponse, hasStrongLastModified } from './stored.js';
import type { Place } from './storable.js';
import { freshen } from './update.js';

/** The request for what is missing; undefined where it cannot be asked for, or the policy does not want it. */
export function completionRequest(
  requestFields: Fields,
  stored: StoredResponse,
  policy: CachePolicy,
): Fields | undefined {
  const missing = missingSpan(stored.record.extent);
  if (missing === undefined || policy.partial.complete === 'never') return undefined;
  const validator = strongValidator(stored);
  if (validator === undefined && policy.partial.complete === 'validated') return undefined;
  const ranged = requestFields
    .without('if-none-match', 'if-modified-since', 'if-range')
    .with('Range', formatRange(missing, stored.record.extent.total));
  return validator === undefined ? ranged : ranged.with('If-Range', validator);
}

/** Whether the content of a 206 at `place` is of the representation that is stored. */
export function canCombine(stored: StoredResponse, response: ResponseHead, place: Place, times: Times): boolean {
  const { extent } = stored.record;
  if (stored.record.status !== 200 || response.status !== 206) return false;
  if (extent.total !== undefined && place.total !== undefined && extent.total !== place.total) return false;
  const tag = entityTagOf(response.fields);
  if (tag !== undefined || stored.etag !== undefined) {
    return tag !== undefined && stored.etag !== undefined && equalStrongly(tag, stored.etag);
  }
  const modified = lastModifiedOf(response.fields, times.responseTime);
  const date = dateOf(response.fields, times.responseTime);
  return (
    modified !== undefined &&
    modified === stored.lastModified &&
    hasStrongLastModified(stored) &&
    date !== undefined &&
    date - modified >= 1000
  );
}

/** Which bytes are there once those of `place` have arrived. */
export function combinedExtent(extent: Extent, place: Place, received: number): Extent {
  return {
    total: extent.total ?? place.total,
    spans: addSpan(extent.spans, { first: place.first, end: place.first + received }),
  };
}

/** The stored record with the fields of the newer head and the bytes that came with it. */
export function combinedRecord(
  stored: StoredResponse,
  response: ResponseHead,
  requestFields: Fields,
  place: Place,
  received: number,
  times: Times,
  policy: CachePolicy,
): StoredRecord {
  const record = freshen(stored, response, requestFields, times, policy);
  return { ...record, extent: combinedExtent(stored.record.extent, place, received) };
}

/** Whether the bytes at `place` make the stored response whole. */
export function wouldComplete(stored: StoredResponse, place: Place): boolean {
  if (place.end === undefined) return false;
  return isComplete(combinedExtent(stored.record.extent, place, place.end - place.first));
}

/** What If-Range may carry: nothing weak. */
function strongValidator(stored: StoredResponse): string | undefined {
  if (stored.etag !== undefined) return stored.etag.weak ? undefined : stored.etag.text;
  return hasStrongLastModified(stored) ? stored.fields.get('last-modified') : undefined;
}
