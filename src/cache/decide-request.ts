/**
 * The first half of the cache's work: a request has come, what is stored under its key is known; answer it, or forward
 * it, and with what? Called by the proxy once for a request (and again for a follower whose leader could not help).
 * Pure; decide.ts describes the whole.
 */
import type { Fields, RequestHead } from '../http/head.js';
import { upgradeOf } from '../http/framing.js';
import { NO_REQUEST_DIRECTIVES, type RequestDirectives, readRequestDirectives } from './cache-control.js';
import { type CacheStatus, type ForwardReason, formatCacheStatus } from './cache-status.js';
import { completionRequest } from './combine.js';
import type { CachePolicy } from './policy.js';
import { type Answer, answerFrom } from './respond.js';
import { NEVER_STALE, type Reuse, type StaleWindow, judgeReuse } from './reuse.js';
import type { StoredResponse } from './stored.js';
import { conditionalRequest, withoutConditions } from './validate.js';
import { select } from './vary.js';

export interface Inquiry {
  readonly request: RequestHead;
  /** Target URI in normal form. */
  readonly uri: string;
  /** The primary key. */
  readonly key: string;
  /** Everything stored under it. */
  readonly stored: readonly StoredResponse[];
  readonly now: number;
  readonly policy: CachePolicy;
  readonly boundary: () => string;
  /** A rule of the operator keeps this request away from the cache. */
  readonly bypass?: boolean;
  /** It was to be forwarded for that reason, and has waited for the answer to another request instead. */
  readonly waited?: ForwardReason;
}

export type RequestDecision =
  | {
      readonly kind: 'answer';
      readonly answer: Answer;
      /** To be sent to the origin as well, without the client waiting for it. */
      readonly background: Forward | undefined;
    }
  | { readonly kind: 'forward'; readonly forward: Forward }
  | OwnResponse;

/** The proxy has to make a response itself. */
export interface OwnResponse {
  readonly kind: 'error';
  readonly status: 502 | 504;
  /** The value of Cache-Status for it. */
  readonly cacheStatus: string;
  readonly why: string;
}

export interface Forward {
  readonly why: ForwardReason;
  /**
   * `pass`: nothing of it concerns the cache. `fetch`: to be stored if it may. `validate`: carries validators of stored
   * responses. `complete`: asks for the bytes that a stored response lacks.
   */
  readonly purpose: 'pass' | 'fetch' | 'validate' | 'complete';
  /** Whom the answer is for: the client's request, or one made in its stead for the background. */
  readonly request: RequestHead;
  /** The fields to send in place of those of `request`; connection and forwarding fields are the proxy's business. */
  readonly fields: Fields;
  /** Stored responses that a 304 may be about. */
  readonly nominated: readonly StoredResponse[];
  /** What the request selects, though it cannot be used as it is. */
  readonly selected: StoredResponse | undefined;
  /** Until when `selected` may be used if the origin fails. */
  readonly fallback: StaleWindow;
  /** Whether others with the same question may wait for the answer. */
  readonly collapsible: boolean;
  readonly background: boolean;
}

const NONE_NOMINATED: readonly StoredResponse[] = [];

export function decideRequest(inquiry: Inquiry): RequestDecision {
  const { request, stored, policy } = inquiry;
  const { method, fields } = request;
  if (inquiry.bypass === true) return plain(request, 'bypass', 'pass', false);
  if (method !== 'GET' && method !== 'HEAD') {
    return plain(request, 'method', 'fetch', false);
  }
  if (isBeyondKey(request)) {
    return plain(request, 'bypass', 'pass', false);
  }
  const directives = requestDirectivesOf(request, policy);
  // These two are for the origin; a cache must not answer them (4.3.2).
  if (fields.has('if-match') || fields.has('if-unmodified-since')) {
    if (directives.onlyIfCached) return unavailable(inquiry, 'only-if-cached');
    return plain(request, 'request', 'fetch', false);
  }
  const selected = select(stored, fields, policy.vary)?.chosen;
  if (selected === undefined) return miss(inquiry, directives);
  const reuse = judgeReuse(selected, directives, inquiry.now, policy);
  if (reuse.kind === 'validate') {
    return directives.onlyIfCached ? unavailable(inquiry, reuse.why) : validate(inquiry, directives, selected, reuse);
  }
  const answer = answerFrom(selected, request, {
    age: reuse.age,
    validated: false,
    status: hit(inquiry, reuse),
    policy,
    boundary: inquiry.boundary,
  });
  if (answer === undefined) {
    return directives.onlyIfCached
      ? unavailable(inquiry, 'partial')
      : fetchRest(inquiry, directives, selected, NEVER_STALE);
  }
  const revalidate = reuse.kind === 'stale' && reuse.revalidate;
  return { kind: 'answer', answer, background: revalidate ? backgroundOf(inquiry, selected) : undefined };
}

/** The directives of a request, or none where the operator does not listen to clients. */
export function requestDirectivesOf(request: RequestHead, policy: CachePolicy): RequestDirectives {
  if (!policy.requestDirectives) return NO_REQUEST_DIRECTIVES;
  return readRequestDirectives(request.fields.get('cache-control'), request.fields.get('pragma'));
}

/** Frameworks take another target or method from these, whatever the request line says. */
const OVERRULING: readonly string[] = [
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
  'x-original-url',
  'x-rewrite-url',
];

/** Whether a field, by its name in lower case, makes a GET one that no cache has a part in: see {@link isBeyondKey}. */
export function takesBeyondKey(name: string): boolean {
  return name === 'content-length' || name === 'transfer-encoding' || name === 'upgrade' || OVERRULING.includes(name);
}

/**
 * Requests whose answer may depend on more than the key and Vary: content in a GET, which an origin may look at, an
 * offer to change the protocol, and what overrules the request line.
 */
function isBeyondKey(request: RequestHead): boolean {
  if (!request.fields.names.some(takesBeyondKey)) return false;
  const length = request.fields.get('content-length');
  const offer = upgradeOf(request);
  return (
    request.fields.has('transfer-encoding') ||
    OVERRULING.some((name) => request.fields.has(name)) ||
    (length !== undefined && length !== '0') ||
    // The offer of HTTP/2 over TCP is always declined, and some clients make it with every request.
    (offer !== undefined && offer.toLowerCase() !== 'h2c')
  );
}

function miss(inquiry: Inquiry, directives: RequestDirectives): RequestDecision {
  const { request, stored } = inquiry;
  const why = stored.length === 0 ? 'uri-miss' : 'vary-miss';
  if (directives.onlyIfCached) return unavailable(inquiry, why);
  const collapsible = mayCollapse(request, directives);
  const conditional = conditionalRequest(request.fields, undefined, stored);
  if (conditional === undefined) return plain(request, why, 'fetch', collapsible);
  const { fields, nominated } = conditional;
  return forward({
    why,
    purpose: 'validate',
    request,
    fields,
    nominated,
    selected: undefined,
    fallback: NEVER_STALE,
    collapsible,
    background: false,
  });
}

function validate(
  inquiry: Inquiry,
  directives: RequestDirectives,
  selected: StoredResponse,
  reuse: Reuse & { kind: 'validate' },
): RequestDecision {
  const { request, stored, policy } = inquiry;
  const usable = answerFrom(selected, request, {
    age: 0,
    validated: true,
    status: {},
    policy,
    boundary: () => '',
  });
  if (usable === undefined) return fetchRest(inquiry, directives, selected, reuse.fallback);
  const why = reuse.why === 'request' ? 'request' : 'stale';
  const conditional = conditionalRequest(request.fields, selected, stored);
  return forward({
    why,
    purpose: conditional === undefined ? 'fetch' : 'validate',
    request,
    fields: conditional?.fields ?? request.fields,
    nominated: conditional?.nominated ?? [],
    selected,
    fallback: reuse.fallback,
    collapsible: mayCollapse(request, directives),
    background: false,
  });
}

/** A part is stored and does not answer the request: what is missing is asked for, or all of what the client wants. */
function fetchRest(
  inquiry: Inquiry,
  directives: RequestDirectives,
  selected: StoredResponse,
  fallback: StaleWindow,
): RequestDecision {
  const { request, policy } = inquiry;
  const { fields } = request;
  // A client with conditions of its own is not helped by bytes; they would have to be judged in the middle of it all.
  const plain = ['range', 'if-none-match', 'if-modified-since'].every((name) => !fields.has(name));
  const completion = plain && request.method === 'GET' ? completionRequest(fields, selected, policy) : undefined;
  return forward({
    why: 'partial',
    purpose: completion === undefined ? 'fetch' : 'complete',
    request,
    fields: completion ?? fields,
    nominated: [],
    selected,
    fallback,
    collapsible: mayCollapse(request, directives),
    background: false,
  });
}

/** stale-while-revalidate: a GET without the client's conditions, so that the whole is stored when it has changed. */
function backgroundOf(inquiry: Inquiry, selected: StoredResponse): Forward {
  const request = { ...inquiry.request, method: 'GET', fields: withoutConditions(inquiry.request.fields) };
  const conditional = conditionalRequest(request.fields, selected, inquiry.stored);
  return {
    why: 'stale',
    purpose: conditional === undefined ? 'fetch' : 'validate',
    request,
    fields: conditional?.fields ?? request.fields,
    nominated: conditional?.nominated ?? [],
    selected,
    fallback: NEVER_STALE,
    collapsible: true,
    background: true,
  };
}

/** Not for answers that are for one client only, or for a part of the whole. */
function mayCollapse(request: RequestHead, directives: RequestDirectives): boolean {
  return (
    request.method === 'GET' &&
    !directives.noStore &&
    !directives.noCache &&
    !request.fields.has('range') &&
    !request.fields.has('authorization')
  );
}

function hit(inquiry: Inquiry, reuse: Reuse & { kind: 'fresh' | 'stale' }): CacheStatus {
  const detail = reuse.kind === 'stale' ? reuse.why : undefined;
  return {
    forward: inquiry.waited,
    collapsed: inquiry.waited !== undefined,
    ttl: reuse.ttl,
    detail,
    key: inquiry.policy.showKey ? inquiry.key : undefined,
  };
}

/** The client wants no request to be forwarded (5.2.1.7), or none could be. */
function unavailable(inquiry: Inquiry, why: string): RequestDecision {
  const cacheStatus = formatCacheStatus(inquiry.policy.name, { generated: true, detail: why });
  return { kind: 'error', status: 504, cacheStatus, why };
}

/** The client's request as it is, with nothing stored behind it. */
function plain(
  request: RequestHead,
  why: ForwardReason,
  purpose: 'pass' | 'fetch',
  collapsible: boolean,
): RequestDecision {
  return forward({
    why,
    purpose,
    request,
    fields: request.fields,
    nominated: NONE_NOMINATED,
    selected: undefined,
    fallback: NEVER_STALE,
    collapsible,
    background: false,
  });
}

function forward(plan: Forward): RequestDecision {
  return { kind: 'forward', forward: plan };
}
