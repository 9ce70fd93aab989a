/**
 * The second half of the cache's work: the origin has answered a forwarded request, or has not. What does the client
 * get, what is stored, what is thrown away? Called by the proxy once for every final response or failure; pure.
 * decide.ts describes the whole.
 */
import type { Fields, RequestHead, ResponseHead } from '../http/head.js';
import { type CacheStatus, formatCacheStatus, withCacheStatus } from './cache-status.js';
import { canCombine, combinedExtent, wouldComplete } from './combine.js';
import { type Forward, type OwnResponse, requestDirectivesOf } from './decide-request.js';
import { entityTagOf, equalWeakly, parseEntityTags } from './etag.js';
import { withDate } from './fields.js';
import type { Fill } from './fill.js';
import { type Times, currentAge, lastModifiedOf } from './freshness.js';
import { invalidatedUris } from './invalidate.js';
import type { CachePolicy } from './policy.js';
import { type Answer, answerFrom } from './respond.js';
import { timeToLive } from './reuse.js';
import { type Span, isComplete, missingSpan, wholeExtent } from './spans.js';
import {
  type Arrival,
  type Draft,
  type NotStored,
  type Storable,
  judgeStorable,
  judgeUpdate,
  placeOf,
} from './storable.js';
import { type StoredRecord, type StoredResponse, restoreStored } from './stored.js';
import { agreesWithHead, freshen, freshenForClient, identifyForUpdate } from './update.js';
import { withoutConditions } from './validate.js';
import { matchVary, select } from './vary.js';

export interface Reply {
  readonly forward: Forward;
  readonly uri: string;
  readonly key: string;
  readonly response: ResponseHead;
  readonly times: Times;
  /** What is stored under the key now: others may have changed it since the request was decided. */
  readonly stored: readonly StoredResponse[];
  readonly policy: CachePolicy;
  readonly boundary: () => string;
}

/** What the store has to do at once, whatever becomes of the body. */
export interface Changes {
  readonly update: readonly { readonly id: string; readonly record: StoredRecord }[];
  readonly drop: readonly string[];
  /** Everything under these URIs. */
  readonly invalidate: readonly string[];
}

export type ResponseDecision =
  /** The origin's response goes to the client, and its body into `fill` on the way. */
  | {
      readonly kind: 'relay';
      readonly head: ResponseHead;
      readonly fill: Fill | undefined;
      readonly changes: Changes;
      readonly collapse: Shared;
    }
  /** A stored response goes to the client. A body of the origin's is read and thrown away. */
  | { readonly kind: 'answer'; readonly answer: Answer; readonly changes: Changes; readonly collapse: Shared }
  /** The client gets the whole: stored bytes and those that the origin sends now, in this order. */
  | {
      readonly kind: 'join';
      readonly head: ResponseHead;
      readonly pieces: readonly { readonly from: 'store' | 'origin'; readonly span: Span }[];
      readonly fill: Fill;
      readonly changes: Changes;
      readonly collapse: Shared;
    }
  /** The response helps nobody: ask again with these fields, once. */
  | { readonly kind: 'retry'; readonly forward: Forward; readonly changes: Changes };

/** What the answer means for requests that waited for it (collapse.ts). */
export type Shared = 'shared' | 'pass' | 'pass-once' | 'again';

const NO_CHANGES: Changes = { update: [], drop: [], invalidate: [] };

/** Statuses that say nothing about the representation, only about this request or this moment. */
const SAYS_NOTHING: ReadonlySet<number> = new Set([401, 403, 407, 408, 412, 416, 417, 421, 425, 429, 431]);

/** Reasons not to store that lie in the one request: another with the same key may do better. */
const REQUESTS_FAULT: ReadonlySet<NotStored> = new Set([
  'bypass',
  'method',
  'request-no-store',
  'authorization',
  'range',
]);

export function decideResponse(reply: Reply): ResponseDecision {
  const { forward, response, policy, times } = reply;
  if (forward.purpose === 'pass') return relay(reply, { store: false, why: 'bypass' });
  const { selected } = forward;
  if (selected !== undefined && policy.stale.errorStatuses.includes(response.status)) {
    const stale = staleAnswer(reply, selected, times.responseTime);
    if (stale !== undefined) return stale;
  }
  if (response.status === 304 && forward.nominated.length > 0) return notModified(reply);
  if (forward.purpose === 'complete' && (response.status === 206 || response.status === 416)) return complete(reply);
  if (forward.request.method === 'HEAD' && response.status === 200) return freshenByHead(reply);
  return relay(reply, judge(reply));
}

/**
 * The origin did not answer: it could not be reached, or broke off before a head was complete.
 *
 * @param now when that was clear
 * @param detail what Cache-Status says of it; **Default:** `failure`
 */
export function decideFailure(
  inquiry: Pick<Reply, 'forward' | 'key' | 'policy' | 'boundary'>,
  failure: 'unreachable' | 'timeout',
  now: number,
  detail: string = failure,
): { readonly kind: 'answer'; readonly answer: Answer } | OwnResponse {
  const { forward, policy } = inquiry;
  const { selected, fallback } = forward;
  if (selected !== undefined && now < fallback.disconnected) {
    const answer = answerStale(inquiry, selected, now, { forward: forward.why, detail });
    if (answer !== undefined) return { kind: 'answer', answer };
  }
  // A stale response that must not be used without the origin: 504 is the answer that is asked for (5.2.2.2).
  const status = failure === 'timeout' || selected !== undefined ? 504 : 502;
  const cacheStatus = formatCacheStatus(policy.name, { forward: forward.why, detail });
  return { kind: 'error', status, cacheStatus, why: failure };
}

function judge(reply: Reply): Storable {
  return judgeStorable(asked(reply), reply.policy);
}

function asked({ forward: { request }, uri, response, times, policy }: Reply): Arrival {
  return { request, uri, directives: requestDirectivesOf(request, policy), response, times };
}

function relay(reply: Reply, storable: Storable): ResponseDecision {
  const { forward, uri, response, times, stored, policy } = reply;
  const { request } = forward;
  const invalidate = invalidatedUris(request.method, uri, response);
  const fill = storable.store ? startFill(reply, storable.draft) : undefined;
  const head = {
    ...response,
    fields: withCacheStatus(withDate(response.fields, times.responseTime), policy.name, {
      forward: forward.why,
      stored: fill !== undefined,
      key: policy.showKey ? reply.key : undefined,
      detail: storable.store ? undefined : storable.why,
    }),
  };
  const changes = { ...NO_CHANGES, invalidate, drop: storable.store ? [] : outdated(reply, stored) };
  return { kind: 'relay', head, fill, changes, collapse: sharedBy(storable, response.status) };
}

/** Undefined for a part of what is stored as a whole already: it would take the place of the whole. */
function startFill({ forward, response, times, stored, policy }: Reply, draft: Draft): Fill | undefined {
  const { request } = forward;
  const { place } = draft;
  if (response.status === 206) {
    const same = matching(stored, request, policy);
    const base = same.find((each) => canCombine(each, response, place, times));
    if (base !== undefined) return { kind: 'more', base, place, response, requestFields: request.fields, times };
    const whole = same.some((each) => isComplete(each.record.extent) && hasSameValidators(each, response, times));
    if (whole) return undefined;
  }
  return { kind: 'new', draft, place, replaces: replacedBy(stored, request, policy) };
}

function hasSameValidators(stored: StoredResponse, response: ResponseHead, times: Times): boolean {
  return (
    stored.etag?.text === entityTagOf(response.fields)?.text &&
    stored.lastModified === lastModifiedOf(response.fields, times.responseTime)
  );
}

/** Those that the same request would select, and the oldest of a key with too many variants. */
function replacedBy(stored: readonly StoredResponse[], request: RequestHead, policy: CachePolicy): readonly string[] {
  const same = matching(stored, request, policy);
  const others = stored.filter((each) => !same.includes(each)).sort((a, b) => b.date - a.date);
  return [...same, ...others.slice(Math.max(0, policy.mostVariants - 1))].map(({ id }) => id);
}

/** Exactly selected: a variant that merely fits a request as well is another representation. */
function matching(stored: readonly StoredResponse[], request: RequestHead, policy: CachePolicy): StoredResponse[] {
  return stored.filter((each) => matchVary(each, request.fields, policy.vary) === 'exact');
}

/** Stored responses that a newer answer, itself not stored, has overtaken: the most recent one counts (section 4). */
function outdated({ forward, response, policy }: Reply, stored: readonly StoredResponse[]): readonly string[] {
  const { request, selected } = forward;
  const { status } = response;
  if (selected === undefined || status < 200 || status === 206 || status === 304 || status >= 500) return [];
  if (SAYS_NOTHING.has(status)) return [];
  return matching(stored, request, policy).map(({ id }) => id);
}

function sharedBy(storable: Storable, status: number): Shared {
  if (storable.store) return 'shared';
  if (REQUESTS_FAULT.has(storable.why)) return 'again';
  // An error is no reason to believe that the resource is never cacheable.
  return status >= 400 ? 'pass-once' : 'pass';
}

function notModified(reply: Reply): ResponseDecision {
  const { forward, response, times, policy } = reply;
  const { request, nominated } = forward;
  const sole = !request.fields.has('if-none-match');
  const [first, ...others] = identifyForUpdate(response, nominated, sole, times.responseTime);
  if (first === undefined) {
    return isClients(request.fields, response) ? relay(reply, { store: false, why: 'status' }) : retry(reply);
  }
  const update = [first, ...others].map((each) => ({
    id: each.id,
    record: freshen(each, response, request.fields, times, policy),
  }));
  const [newest] = update;
  if (newest === undefined) return retry(reply);
  const how = judgeUpdate(asked(reply), restoreStored(first.id, newest.record, policy).governed, policy);
  const told = freshenForClient(newest.record, first.fields, response, policy);
  const updated = restoreStored(first.id, told, policy);
  const age = currentAge(updated.freshness, times.responseTime, times.responseTime);
  const answer = answerFrom(updated, request, {
    age,
    validated: true,
    status: {
      forward: forward.why,
      forwardStatus: 304,
      stored: how === 'update',
      ttl: timeToLive(updated, age, times.responseTime),
      key: policy.showKey ? reply.key : undefined,
    },
    policy,
    boundary: reply.boundary,
  });
  const changes = {
    ...NO_CHANGES,
    update: how === 'update' ? update : [],
    drop: how === 'drop' ? update.map(({ id }) => id) : [],
  };
  if (answer === undefined) return retry(reply, changes);
  return { kind: 'answer', answer, changes, collapse: how === 'drop' ? 'pass' : 'shared' };
}

/** Whether a 304 is about what the client has, which the cache has not: it is the client's answer then. */
function isClients(requestFields: Fields, response: ResponseHead): boolean {
  const value = requestFields.get('if-none-match');
  const tag = entityTagOf(response.fields);
  if (value === undefined || tag === undefined) return false;
  const tags = parseEntityTags(value);
  return tags !== '*' && tags.some((each) => equalWeakly(each, tag));
}

/** The same question without any condition of ours. */
function retry(reply: Reply, changes: Changes = NO_CHANGES): ResponseDecision {
  const { forward } = reply;
  const { request } = forward;
  const again: Forward = {
    ...forward,
    purpose: 'fetch',
    // The client's own conditions are left out, too: a 304 to them could not be told from one to ours.
    fields: request.fields.has('range')
      ? request.fields.without('if-none-match', 'if-modified-since')
      : withoutConditions(request.fields),
    nominated: [],
  };
  return { kind: 'retry', forward: again, changes };
}

/** A 206 to a request for what is missing. Anything that does not fit to the byte is asked for again as a whole. */
function complete(reply: Reply): ResponseDecision {
  const { forward, response, times, policy } = reply;
  const { request, selected } = forward;
  const place = placeOf(response, policy);
  const missing = selected === undefined ? undefined : missingSpan(selected.record.extent);
  if (
    selected === undefined ||
    missing === undefined ||
    place === undefined ||
    place.first !== missing.first ||
    place.end !== missing.end ||
    !canCombine(selected, response, place, times) ||
    !wouldComplete(selected, place)
  ) {
    return retry(reply);
  }
  const record = freshen(selected, response, request.fields, times, policy);
  const how = judgeUpdate(asked(reply), restoreStored(selected.id, record, policy).governed, policy);
  if (how !== 'update') return retry(reply, { ...NO_CHANGES, drop: how === 'drop' ? [selected.id] : [] });
  const extent = combinedExtent(selected.record.extent, place, place.end - place.first);
  const total = extent.total ?? place.end;
  const whole = restoreStored(selected.id, { ...record, extent: wholeExtent(total) }, policy);
  const age = currentAge(whole.freshness, times.responseTime, times.responseTime);
  const answer = answerFrom(whole, request, {
    age,
    validated: true,
    status: {
      forward: forward.why,
      forwardStatus: 206,
      stored: true,
      ttl: timeToLive(whole, age, times.responseTime),
      key: policy.showKey ? reply.key : undefined,
    },
    policy,
    boundary: reply.boundary,
  });
  if (answer === undefined) return retry(reply);
  const pieces = [
    { from: 'store', span: { first: 0, end: missing.first } },
    { from: 'origin', span: missing },
    { from: 'store', span: { first: missing.end, end: total } },
  ] as const;
  return {
    kind: 'join',
    head: answer.head,
    pieces: pieces.filter(({ span }) => span.end > span.first),
    fill: { kind: 'more', base: selected, place, response, requestFields: request.fields, times },
    changes: NO_CHANGES,
    collapse: 'shared',
  };
}

/** 4.3.5: what a HEAD says of the responses that a GET would select. The head itself goes to the client as it is. */
function freshenByHead(reply: Reply): ResponseDecision {
  const { forward, response, times, stored, policy } = reply;
  const { request } = forward;
  const found = select(stored, request.fields, policy.vary);
  const candidates = found === undefined ? [] : [found.chosen, ...found.others];
  const update = candidates.flatMap((each) => {
    const record = freshen(each, response, request.fields, times, policy);
    const how = judgeUpdate(asked(reply), restoreStored(each.id, record, policy).governed, policy);
    if (how === 'update' && agreesWithHead(each, response, times.responseTime)) return { id: each.id, record };
    // What one client alone is told about says nothing about the others.
    if (how === 'keep') return [];
    const staleSince = Math.min(each.record.staleSince ?? Infinity, times.responseTime);
    return { id: each.id, record: { ...each.record, staleSince } };
  });
  const relayed = relay(reply, { store: false, why: 'method' });
  return { ...relayed, changes: { ...NO_CHANGES, update } };
}

function staleAnswer(reply: Reply, selected: StoredResponse, now: number): ResponseDecision | undefined {
  const { forward, response } = reply;
  if (now >= forward.fallback.serverError) return undefined;
  const answer = answerStale(reply, selected, now, {
    forward: forward.why,
    forwardStatus: response.status,
    detail: 'stale-if-error',
  });
  return answer === undefined ? undefined : { kind: 'answer', answer, changes: NO_CHANGES, collapse: 'shared' };
}

function answerStale(
  { forward, key, policy, boundary }: Pick<Reply, 'forward' | 'key' | 'policy' | 'boundary'>,
  selected: StoredResponse,
  now: number,
  status: CacheStatus,
): Answer | undefined {
  const age = currentAge(selected.freshness, selected.record.responseTime, now);
  return answerFrom(selected, forward.request, {
    age,
    validated: false,
    status: { ...status, ttl: timeToLive(selected, age, now), key: policy.showKey ? key : undefined },
    policy,
    boundary,
  });
}
