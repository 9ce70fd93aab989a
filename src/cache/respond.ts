/**
 * The response that a stored one gives to a request (RFC 9111 section 4; RFC 9110 sections 13 and 14). Called by
 * decide.ts when reuse.ts or the origin has allowed it; pure. The bytes are named, not touched: the proxy sends them
 * from memory or from the file.
 */
import { Fields, HTTP_1_1, type RequestHead, type ResponseHead } from '../http/head.js';
import { type CacheStatus, withCacheStatus } from './cache-status.js';
import { type Part, makeMultipart } from './multipart.js';
import type { CachePolicy } from './policy.js';
import { ifRangeHolds, isNotModified } from './preconditions.js';
import { type RangeAnswer, answerRange, formatContentRange, parseRange } from './ranges.js';
import { type Span, isComplete, isOpen } from './spans.js';
import type { StoredResponse } from './stored.js';

/** What to send behind the head. Spans are of the representation; one without an end is of an open extent (spans.ts). */
export type AnswerBody =
  | { readonly kind: 'none' }
  | { readonly kind: 'span'; readonly span: Span }
  | { readonly kind: 'multipart'; readonly parts: readonly Part[]; readonly closing: string; readonly length: number };

export interface Answer {
  readonly head: ResponseHead;
  readonly body: AnswerBody;
  readonly from: StoredResponse;
}

export interface Using {
  /** Milliseconds. */
  readonly age: number;
  /** Whether the origin has confirmed it for this very request. */
  readonly validated: boolean;
  readonly status: CacheStatus;
  readonly policy: CachePolicy;
  /** Makes the boundary of a multipart answer: long, random, safe in a token. Called only if one is needed. */
  readonly boundary: () => string;
}

const NO_BODY: AnswerBody = { kind: 'none' };

/** Says something of the content that a 304 or a 416 does not carry (RFC 9110 section 15.4.5). */
const ABOUT_CONTENT: ReadonlySet<string> = new Set([
  'content-digest',
  'content-disposition',
  'content-encoding',
  'content-language',
  'content-length',
  'content-md5',
  'content-range',
  'content-type',
  'digest',
  'repr-digest',
]);

/** Undefined where what is stored does not suffice: it is a part, and not the one that is wanted. */
export function answerFrom(stored: StoredResponse, request: RequestHead, using: Using): Answer | undefined {
  const { extent, status, reason } = stored.record;
  const fields = usableFields(stored, using);
  if (isNotModified(request.fields, stored)) {
    const kept = fields.filter((name) => !ABOUT_CONTENT.has(name));
    return { head: response(304, 'Not Modified', kept, using), body: NO_BODY, from: stored };
  }
  const ranged = request.method === 'GET' && status === 200 ? rangeOf(stored, request, using.policy) : WHOLE;
  switch (ranged.kind) {
    case 'missing':
      return undefined;
    case 'unsatisfiable': {
      const kept = fields.filter((name) => !ABOUT_CONTENT.has(name)).with('Content-Range', `bytes */${ranged.total}`);
      const head = response(416, 'Range Not Satisfiable', kept.with('Content-Length', '0'), using);
      return { head, body: NO_BODY, from: stored };
    }
    case 'spans':
      return partial(stored, fields, ranged.spans, using);
    case 'whole': {
      if (isOpen(extent)) {
        const body: AnswerBody =
          request.method === 'HEAD' ? NO_BODY : { kind: 'span', span: { first: 0, end: Infinity } };
        return { head: response(status, reason, fields, using), body, from: stored };
      }
      if (!isComplete(extent)) return undefined;
      const total = extent.total ?? 0;
      const sized = status === 204 ? fields : fields.with('Content-Length', String(total));
      const empty = request.method === 'HEAD' || total === 0;
      const body: AnswerBody = empty ? NO_BODY : { kind: 'span', span: { first: 0, end: total } };
      return { head: response(status, reason, sized, using), body, from: stored };
    }
  }
}

const WHOLE: RangeAnswer = { kind: 'whole' };

function rangeOf(stored: StoredResponse, request: RequestHead, policy: CachePolicy): RangeAnswer {
  const value = request.fields.get('range');
  const specs = value === undefined ? undefined : parseRange(value);
  if (specs === undefined || !ifRangeHolds(request.fields, stored)) return WHOLE;
  return answerRange(specs, stored.record.extent, policy.partial.mostRanges);
}

function partial(stored: StoredResponse, fields: Fields, spans: readonly [Span, ...Span[]], using: Using): Answer {
  const { total } = stored.record.extent;
  const [span, ...more] = spans;
  if (more.length === 0) {
    const ranged = fields
      .with('Content-Range', formatContentRange(span, total))
      .with('Content-Length', String(span.end - span.first));
    const head = response(206, 'Partial Content', ranged, using);
    return { head, body: { kind: 'span', span }, from: stored };
  }
  const multipart = makeMultipart(spans, total, fields.get('content-type'), using.boundary());
  const framed = fields
    .without('content-range')
    .with('Content-Type', multipart.contentType)
    .with('Content-Length', String(multipart.length));
  const { parts, closing, length } = multipart;
  const head = response(206, 'Partial Content', framed, using);
  return { head, body: { kind: 'multipart', parts, closing, length }, from: stored };
}

/**
 * The stored fields for use now. Age is there unless the origin has just confirmed the response and is not behind a
 * cache itself, since Age says that the origin was not asked (5.1).
 */
function usableFields(stored: StoredResponse, using: Using): Fields {
  const { withheld } = stored;
  const plain = withheld.length === 0 || using.validated ? stored.fields : stored.fields.without(...withheld);
  if (using.validated && !plain.has('age')) return plain;
  return plain.with('Age', String(Math.floor(using.age / 1000)));
}

function response(status: number, reason: string, fields: Fields, using: Using): ResponseHead {
  const { policy } = using;
  return { status, reason, version: HTTP_1_1, fields: withCacheStatus(fields, policy.name, using.status) };
}
