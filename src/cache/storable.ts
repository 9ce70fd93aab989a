/**
 * May this response be stored (RFC 9111 section 3), and as what? Called by decide.ts for every final response that
 * arrives; pure.
 *
 * The body is still on its way then. So the answer is a draft and a place: which bytes of the representation the content
 * is. {@link finishRecord} makes a record of them when the body has ended, and nothing when it cannot be kept.
 */
import type { Fields, RequestHead, ResponseHead } from '../http/head.js';
import type { RequestDirectives } from './cache-control.js';
import { storableFields, withDate } from './fields.js';
import { HEURISTIC_STATUSES, type Freshness, type Times, judgeFreshness } from './freshness.js';
import { resolveReference } from './invalidate.js';
import type { CachePolicy } from './policy.js';
import { type ContentRange, parseContentRange } from './ranges.js';
import { type Span, wholeExtent } from './spans.js';
import type { StoredRecord } from './stored.js';
import { type Governing, governing } from './targeted.js';
import { selectionOf, varyNames } from './vary.js';
import { entityTagOf } from './etag.js';

/** Why a response is not stored; stable, shown in Cache-Status as `detail`. */
export type NotStored =
  | 'bypass' // the request had nothing to do with the cache
  | 'method'
  | 'status'
  | 'request-no-store'
  | 'no-store'
  | 'private'
  | 'authorization'
  | 'vary'
  | 'range' // an answer to a range that cannot be kept by itself
  | 'set-cookie'
  | 'no-freshness' // nothing makes it cacheable
  | 'useless'; // stale already, and nothing to ask the origin with

export interface Place {
  /** Where the first byte of the content is in the representation. */
  readonly first: number;
  /** Where it will end; undefined if only the end of the message says so. */
  readonly end: number | undefined;
  readonly total: number | undefined;
}

export interface Draft {
  readonly record: Omit<StoredRecord, 'extent'>;
  readonly place: Place;
  /** Whether what there is may be kept when the origin breaks off (3.3). */
  readonly keepIncomplete: boolean;
}

export type Storable =
  { readonly store: true; readonly draft: Draft } | { readonly store: false; readonly why: NotStored };

export interface Arrival {
  readonly request: RequestHead;
  /** Target URI in normal form. */
  readonly uri: string;
  readonly directives: RequestDirectives;
  readonly response: ResponseHead;
  readonly times: Times;
}

/**
 * Statuses whose caching requirements are met here, for must-understand (5.2.2.3): those of RFC 9110, but for 206 with
 * another unit, which is refused by itself.
 */
const UNDERSTOOD: ReadonlySet<number> = new Set([
  200, 201, 202, 203, 204, 205, 206, 300, 301, 302, 303, 307, 308, 400, 401, 402, 403, 404, 405, 406, 408, 409, 410,
  411, 413, 414, 415, 417, 421, 422, 426, 500, 501, 502, 503, 504, 505,
]);

/**
 * Answers to what one request asked on top of its target, or to how its client behaves: nobody else may get them,
 * whatever they say of themselves (for the last four RFC 6585 sections 3 to 6).
 */
const ABOUT_THE_REQUEST: ReadonlySet<number> = new Set([304, 407, 412, 416, 428, 429, 431, 511]);

export function judgeStorable(arrival: Arrival, policy: CachePolicy): Storable {
  const { request, response, times } = arrival;
  const governed = governing(response.fields, policy.targets);
  const freshness = judgeFreshness(response.status, response.fields, governed, times, policy);
  const names = varyNames(response.fields);
  if (names === '*') return refuse('vary');
  const why =
    refusedByMethod(arrival, freshness) ??
    refusedByStatus(response.status, governed) ??
    refusedByDirectives(arrival, governed, freshness, policy) ??
    refusedAsUseless(response.fields, governed, freshness, policy);
  if (why !== undefined) return refuse(why);

  const place = placeOf(response, policy);
  if (place === undefined) return refuse('range');
  const isPart = response.status === 206;
  const kept = withDate(storableFields(response.fields, governed.directives.private, policy), times.responseTime);
  return {
    store: true,
    draft: {
      record: {
        // A part is an incomplete 200 (3.3): whoever gets all parts gets that.
        status: isPart ? 200 : response.status,
        reason: isPart ? 'OK' : response.reason,
        fields: (isPart ? kept.without('content-range', 'content-length') : kept).raw,
        selections: [selectionOf(names, request.fields)],
        requestTime: times.requestTime,
        responseTime: times.responseTime,
      },
      place,
      keepIncomplete:
        policy.partial.store && request.method === 'GET' && response.status === 200 && isStrong(response.fields),
    },
  };
}

/**
 * What a newer head (of a 304, of the answer to a HEAD, of a part) may do to what is stored. `keep`: it is for this
 * client, which says nothing against what others are given. `drop`: the origin wants it to be stored no more.
 */
export type Updating = 'update' | 'keep' | 'drop';

/** `updated`: what governs the stored response with that head in it. A 304 need not repeat what has not changed. */
export function judgeUpdate(
  { request, response, directives: asked }: Pick<Arrival, 'request' | 'response' | 'directives'>,
  updated: Governing,
  policy: CachePolicy,
): Updating {
  const { directives } = governing(response.fields, policy.targets);
  if (directives.private === 'all' || (directives.noStore && !directives.mustUnderstand)) return 'drop';
  if (asked.noStore || (request.fields.has('authorization') && !isForAll(updated))) return 'keep';
  return 'update';
}

/** Says that also the answer to a request with Authorization may be stored (3.5). */
function isForAll({ directives }: Governing): boolean {
  return directives.public || directives.mustRevalidate || directives.sMaxAge !== undefined;
}

/**
 * The record of a body that has ended: `received` bytes, `whole` if the message said that this is all. Undefined where
 * it must not be kept.
 */
export function finishRecord(draft: Draft, received: number, whole: boolean): StoredRecord | undefined {
  const { record, place } = draft;
  const end = place.first + received;
  const span: Span = { first: place.first, end };
  // More than was announced: nobody knows which of it is the content.
  if (place.end !== undefined && end > place.end) return undefined;
  if (!whole || (place.end !== undefined && place.end !== end)) {
    if (!draft.keepIncomplete || received === 0) return undefined;
    return { ...record, extent: { total: place.total, spans: [span] } };
  }
  if (place.end === undefined) return { ...record, extent: wholeExtent(end) };
  return { ...record, extent: { total: place.total, spans: received === 0 ? [] : [span] } };
}

/** Where the content of a response belongs; undefined for a 206 that cannot be placed. */
export function placeOf(response: ResponseHead, policy: CachePolicy): Place | undefined {
  const length = contentLength(response.fields);
  if (response.status !== 206) {
    if (response.status === 204 || response.status === 205) return { first: 0, end: 0, total: 0 };
    return { first: 0, end: length, total: length };
  }
  if (!policy.partial.store) return undefined;
  const range = parseContentRange(response.fields.get('content-range'));
  if (range === undefined) return undefined;
  if (length !== undefined && length !== range.span.end - range.span.first) return repairedPlace(range, length, policy);
  return { first: range.span.first, end: range.span.end, total: range.total };
}

function repairedPlace({ span, total }: ContentRange, length: number, policy: CachePolicy): Place | undefined {
  const end = span.first + length;
  if (policy.partial.inconsistent === 'pass' || total !== span.end || end >= span.end || length === 0) return undefined;
  return { first: span.first, end, total: end };
}

function refusedByMethod({ request, response, uri }: Arrival, freshness: Freshness): NotStored | undefined {
  if (request.method === 'GET') {
    return response.status === 206 && !request.fields.has('range') ? 'range' : undefined;
  }
  if (request.method !== 'POST') return 'method';
  // RFC 9110 section 9.3.3: the response to a POST is the representation of its target if it says so.
  const location = response.fields.get('content-location');
  const isTarget = location !== undefined && resolveReference(location, uri) === uri;
  return isTarget && freshness.basis === 'explicit' && response.status === 200 ? undefined : 'method';
}

function refusedByStatus(status: number, { directives }: Governing): NotStored | undefined {
  if (status < 200 || ABOUT_THE_REQUEST.has(status)) return 'status';
  return directives.mustUnderstand && !UNDERSTOOD.has(status) ? 'status' : undefined;
}

function refusedByDirectives(
  { request, response, directives: asked }: Arrival,
  governed: Governing,
  freshness: Freshness,
  policy: CachePolicy,
): NotStored | undefined {
  const { directives } = governed;
  if (asked.noStore) return 'request-no-store';
  // must-understand takes the place of no-store for those who understand, which was asked before.
  if (directives.noStore && !directives.mustUnderstand) return 'no-store';
  if (directives.private === 'all') return 'private';
  if (request.fields.has('authorization') && !isForAll(governed)) return 'authorization';
  if (freshness.basis === 'none' && !directives.public && !HEURISTIC_STATUSES.has(response.status)) {
    return 'no-freshness';
  }
  if (response.fields.has('set-cookie')) {
    if (policy.setCookie === 'refuse') return 'set-cookie';
    if (policy.setCookie === 'explicit' && freshness.basis !== 'explicit') return 'set-cookie';
  }
  return undefined;
}

/** What is stored only to be thrown away costs a write and an eviction. */
function refusedAsUseless(
  fields: Fields,
  { directives }: Governing,
  freshness: Freshness,
  policy: CachePolicy,
): NotStored | undefined {
  if (entityTagOf(fields) !== undefined || fields.has('last-modified')) return undefined;
  if (directives.noCache === 'all') return 'useless';
  const forbidden = directives.mustRevalidate || directives.proxyRevalidate || directives.sMaxAge !== undefined;
  const named = Math.max(directives.staleWhileRevalidate ?? 0, directives.staleIfError ?? 0) * 1000;
  const staleness = forbidden && !policy.stale.namedBeatsSharedMaxAge ? 0 : named;
  return freshness.lifetime + staleness > freshness.initialAge ? undefined : 'useless';
}

function contentLength(fields: Fields): number | undefined {
  // Chunked and Content-Length together never get here: the parser refuses them.
  const value = fields.get('content-length');
  return value !== undefined && /^[0-9]{1,15}$/.test(value) && !fields.has('transfer-encoding')
    ? Number(value)
    : undefined;
}

function isStrong(fields: Fields): boolean {
  return entityTagOf(fields)?.weak === false;
}

function refuse(why: NotStored): Storable {
  return { store: false, why };
}
