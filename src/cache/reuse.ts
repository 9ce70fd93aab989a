/**
 * May this stored response answer that request now (RFC 9111 sections 4, 4.2.4 and 5.2, RFC 5861, RFC 8246)? Called by
 * decide.ts with the response that vary.ts selected; pure.
 *
 * The order of the questions is the order of the RFC: what must never be reused unasked, then what the client wants to
 * have asked, then freshness, then what may be sent stale.
 */
import type { RequestDirectives, Seconds } from './cache-control.js';
import { currentAge } from './freshness.js';
import type { CachePolicy } from './policy.js';
import type { StoredResponse } from './stored.js';

export type Reuse =
  | { readonly kind: 'fresh'; readonly age: number; readonly ttl: number }
  /** May be sent although stale. `revalidate`: and the origin is to be asked in the background. */
  | {
      readonly kind: 'stale';
      readonly why: 'max-stale' | 'stale-while-revalidate';
      readonly age: number;
      readonly ttl: number;
      readonly revalidate: boolean;
    }
  /** The origin has to be asked first. `fallback` says until when an answer may be given if it cannot be. */
  | {
      readonly kind: 'validate';
      readonly why: 'invalid' | 'no-cache' | 'request' | 'stale';
      readonly age: number;
      readonly ttl: number;
      readonly fallback: StaleWindow;
    };

/** Times until which a stale response may be sent; -Infinity for never. */
export interface StaleWindow {
  /** When the origin cannot be reached or does not answer. */
  readonly disconnected: number;
  /** When it answers with a server error. */
  readonly serverError: number;
}

export const NEVER_STALE: StaleWindow = { disconnected: -Infinity, serverError: -Infinity };

export function judgeReuse(
  stored: StoredResponse,
  request: RequestDirectives,
  now: number,
  policy: CachePolicy,
): Reuse {
  const { directives } = stored.governed;
  const age = currentAge(stored.freshness, stored.record.responseTime, now);
  const ttl = timeToLive(stored, age, now);
  if (stored.record.invalid) return { kind: 'validate', why: 'invalid', age, ttl, fallback: NEVER_STALE };
  if (directives.noCache === 'all') return { kind: 'validate', why: 'no-cache', age, ttl, fallback: NEVER_STALE };

  const fallback = staleWindow(stored, request, age, now, policy);
  if (wantsValidation(stored, request, age, ttl)) return { kind: 'validate', why: 'request', age, ttl, fallback };
  if (ttl > 0) return { kind: 'fresh', age, ttl };

  const staleness = -ttl;
  if (
    request.maxStale !== undefined &&
    staleness <= request.maxStale * 1000 &&
    !forbidsStale(stored, undefined, policy)
  ) {
    return { kind: 'stale', why: 'max-stale', age, ttl, revalidate: false };
  }
  const window = directives.staleWhileRevalidate;
  // Who named a greatest age, or how much freshness must be left, does not want a stale response (5.2.1.1, 5.2.1.3).
  const willing = request.maxAge === undefined && request.minFresh === undefined;
  if (willing && window !== undefined && staleness < window * 1000 && !forbidsStale(stored, window, policy)) {
    return { kind: 'stale', why: 'stale-while-revalidate', age, ttl, revalidate: true };
  }
  return { kind: 'validate', why: 'stale', age, ttl, fallback };
}

/** Milliseconds of freshness that are left, negative when it is over. A soft purge ends it at once. */
export function timeToLive(stored: StoredResponse, age: number, now: number): number {
  const ttl = stored.freshness.lifetime - age;
  const { staleSince } = stored.record;
  return staleSince === undefined ? ttl : Math.min(ttl, staleSince - now, 0);
}

/**
 * Whether an in-protocol directive forbids the response once it is stale, come what may (4.2.4). s-maxage does, too;
 * the policy may let stale-while-revalidate and stale-if-error count more where the origin spelt them out.
 */
function forbidsStale(stored: StoredResponse, named: Seconds, policy: CachePolicy): boolean {
  const { directives } = stored.governed;
  if (directives.mustRevalidate || directives.proxyRevalidate) return true;
  return directives.sMaxAge !== undefined && !(named !== undefined && policy.stale.namedBeatsSharedMaxAge);
}

function wantsValidation(stored: StoredResponse, request: RequestDirectives, age: number, ttl: number): boolean {
  if (request.noCache) return true;
  if (request.maxAge !== undefined && age > request.maxAge * 1000) {
    // A reload sends max-age=0. RFC 8246: what is immutable and fresh need not be asked about; no-cache insists.
    if (!stored.governed.directives.immutable || ttl <= 0) return true;
  }
  return request.minFresh !== undefined && ttl < request.minFresh * 1000;
}

function staleWindow(
  stored: StoredResponse,
  request: RequestDirectives,
  age: number,
  now: number,
  policy: CachePolicy,
): StaleWindow {
  const { directives } = stored.governed;
  const named = directives.staleIfError;
  // no-cache means "not without the origin"; everything else a client can say leaves room for its failure.
  if (request.noCache) return NEVER_STALE;
  if (forbidsStale(stored, named, policy)) return NEVER_STALE;
  const endOfFreshness = now + timeToLive(stored, age, now);
  const asked = Math.max(named ?? -Infinity, request.staleIfError ?? -Infinity) * 1000;
  return {
    disconnected: endOfFreshness + Math.max(asked, policy.stale.whenDisconnected),
    serverError: endOfFreshness + Math.max(asked, named === undefined ? policy.stale.whenServerError : -Infinity),
  };
}
