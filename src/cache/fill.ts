/**
 * A body on its way into the store, and the record it becomes. decide-response.ts starts a fill, the proxy writes the
 * bytes from `place.first` on and calls {@link finishFill} when the body has ended, however it ended. Pure.
 */
import type { Fields, ResponseHead } from '../http/head.js';
import { combinedRecord } from './combine.js';
import type { Times } from './freshness.js';
import type { CachePolicy } from './policy.js';
import { type Draft, type Place, finishRecord } from './storable.js';
import type { StoredRecord, StoredResponse } from './stored.js';

export type Fill =
  /** A response of its own. */
  | {
      readonly kind: 'new';
      readonly draft: Draft;
      readonly place: Place;
      /** Ids that this response supersedes; to be dropped when its record is committed, not before. */
      readonly replaces: readonly string[];
    }
  /** More bytes of a stored response. The store checks that `base` is still there when they have arrived. */
  | {
      readonly kind: 'more';
      readonly base: StoredResponse;
      readonly place: Place;
      readonly response: ResponseHead;
      readonly requestFields: Fields;
      readonly times: Times;
    };

/**
 * @param received bytes of content
 * @param whole whether the message ended as its framing promised
 * @returns the record to commit, of `base` where the fill brought more of it; undefined where nothing may be kept
 */
export function finishFill(
  fill: Fill,
  received: number,
  whole: boolean,
  policy: CachePolicy,
): StoredRecord | undefined {
  if (fill.kind === 'new') return finishRecord(fill.draft, received, whole);
  const { place } = fill;
  const expected = place.end === undefined ? received : place.end - place.first;
  // Bytes beyond the range that was announced belong to nothing.
  if (received === 0 || received > expected) return undefined;
  return combinedRecord(fill.base, fill.response, fill.requestFields, place, received, fill.times, policy);
}
