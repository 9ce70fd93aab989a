/**
 * What the operator decides and RFC 9111 leaves open. The configuration makes one of these; every function of this
 * room takes it as an argument and changes nothing in it. Durations are milliseconds.
 *
 * The defaults hold the RFC to the letter and are meant to be safe for an origin nobody has looked at.
 */
import type { NegativePolicy } from './negative.js';
import type { VaryPolicy } from './vary.js';

export interface CachePolicy {
  /** How this cache calls itself in Cache-Status (RFC 9211). */
  readonly name: string;
  /** Targeted fields that it obeys, the most specific first (RFC 9213). */
  readonly targets: readonly string[];
  /** Part of the time since Last-Modified for which a response without an explicit lifetime is fresh (4.2.2). */
  readonly heuristicFraction: number;
  /** No heuristic lifetime is longer. 0: no heuristics. */
  readonly heuristicLimit: number;
  /** Whether Cache-Control and Pragma of requests are listened to. They are advice (5.2.1); some sites refuse it. */
  readonly requestDirectives: boolean;
  /**
   * Responses with Set-Cookie. RFC 9111 stores them like others (7.3). `explicit`: only where the response says how
   * long it lives, never by heuristics, since then somebody thought about it. `strip`: stored without the cookie.
   */
  readonly setCookie: 'store' | 'explicit' | 'strip' | 'refuse';
  readonly stale: StalePolicy;
  readonly partial: PartialPolicy;
  readonly vary: VaryPolicy;
  readonly negative: NegativePolicy;
  /** Variants stored under one key; the oldest make room. */
  readonly mostVariants: number;
  /** Whether Cache-Status shows the key: useful, and it tells strangers how the site is built. */
  readonly showKey: boolean;
}

/** When a response that is no longer fresh may be sent (4.2.4, RFC 5861), where the origin did not forbid it. */
export interface StalePolicy {
  /** For how long past its freshness when the origin cannot be reached ("disconnected"). */
  readonly whenDisconnected: number;
  /** For how long when the origin answers with one of `errorStatuses` and said nothing about stale-if-error. */
  readonly whenServerError: number;
  readonly errorStatuses: readonly number[];
  /**
   * s-maxage forbids stale responses as proxy-revalidate does (5.2.2.10), and origins send it together with
   * stale-while-revalidate all the same. True: what they named explicitly counts more than what s-maxage implies.
   */
  readonly namedBeatsSharedMaxAge: boolean;
}

export interface PartialPolicy {
  /** Whether 206 responses and bodies cut off by the origin are stored (3.3). */
  readonly store: boolean;
  /**
   * When a request for the whole finds a part: ask for the rest only. `validated`: if a strong validator makes it safe
   * to combine the two (3.4). `always`: try without one; a 206 that comes back cannot be used and the whole is asked
   * for again, so this gains something only from origins that ignore ranges.
   */
  readonly complete: 'never' | 'validated' | 'always';
  /**
   * A 206 whose Content-Range reaches the end of the representation and whose content is shorter than it says. `pass`:
   * not stored. `repair`: the framing is believed, and the representation ends where the content did.
   */
  readonly inconsistent: 'pass' | 'repair';
  /** A request for more ranges than this gets the whole (RFC 9110 section 14.2). */
  readonly mostRanges: number;
}

export const DEFAULT_POLICY: CachePolicy = {
  name: 'splice-http',
  targets: ['cdn-cache-control'],
  heuristicFraction: 0.1,
  heuristicLimit: 86_400_000,
  requestDirectives: true,
  setCookie: 'explicit',
  stale: {
    whenDisconnected: 86_400_000,
    whenServerError: 0,
    errorStatuses: [500, 502, 503, 504],
    namedBeatsSharedMaxAge: false,
  },
  partial: { store: true, complete: 'validated', inconsistent: 'pass', mostRanges: 16 },
  vary: { codings: undefined, languages: undefined, selectByContentLanguage: true },
  negative: { lifetimes: new Map() },
  mostVariants: 64,
  showKey: false,
};
