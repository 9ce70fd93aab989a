/**
 * How long an answer that says no is fresh when it does not say so itself. Called by freshness.ts, after everything the
 * origin stated and after the heuristic on Last-Modified.
 *
 * RFC 9111 lets a cache assign a lifetime to the statuses of RFC 9110 that are heuristically cacheable (404, 405, 410,
 * 414 and 501 among those that say no); others, like 502, an operator may name for an origin that is his. Nothing is
 * named by default: a 404 that is remembered is the page that an author has just published and cannot see.
 */
export interface NegativePolicy {
  /** Milliseconds by status. */
  readonly lifetimes: ReadonlyMap<number, number>;
}

/** Milliseconds, or undefined where `status` is not to be remembered. Only statuses from 400 on are answers of that kind. */
export function negativeLifetime(status: number, policy: NegativePolicy): number | undefined {
  if (status < 400) return undefined;
  const lifetime = policy.lifetimes.get(status);
  return lifetime !== undefined && lifetime > 0 ? lifetime : undefined;
}
