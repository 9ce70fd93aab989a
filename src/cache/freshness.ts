/**
 * Freshness lifetime and age (RFC 9111 sections 4.2 and 5.1). Called once when a response arrives; afterwards the age
 * at any time is one addition. Milliseconds throughout, as numbers: the greatest delta-seconds is far below 2^53.
 */
import { parseHttpDate } from '../http/dates.js';
import type { Fields } from '../http/head.js';
import { parseSeconds } from './cache-control.js';
import { splitList } from './list.js';
import { negativeLifetime } from './negative.js';
import type { CachePolicy } from './policy.js';
import type { Governing } from './targeted.js';

/** When the request of a response was sent and when its head had arrived. */
export interface Times {
  readonly requestTime: number;
  readonly responseTime: number;
}

export interface Freshness {
  /** Never negative; 0 where there is nothing to go by. */
  readonly lifetime: number;
  /** What the lifetime rests on: the origin's word, Last-Modified, the operator's word, or nothing. */
  readonly basis: 'explicit' | 'heuristic' | 'negative' | 'none';
  /** corrected_initial_age of 4.2.3; never negative. */
  readonly initialAge: number;
}

/** "Heuristically cacheable" of RFC 9110 section 15.1. */
export const HEURISTIC_STATUSES: ReadonlySet<number> = new Set([
  200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501,
]);

export function judgeFreshness(
  status: number,
  fields: Fields,
  governed: Governing,
  times: Times,
  policy: CachePolicy,
): Freshness {
  // Without a Date, or with one that is none, the time of arrival stands for it (RFC 9110 section 6.6.1).
  const date = dateOf(fields, times.responseTime) ?? times.responseTime;
  const initialAge = initialAgeOf(fields, date, times);
  const explicit = explicitLifetime(fields, governed, date, times.responseTime);
  if (explicit !== undefined) return { lifetime: explicit, basis: 'explicit', initialAge };
  const heuristic = heuristicLifetime(status, fields, governed, date, times.responseTime, policy);
  if (heuristic !== undefined) return { lifetime: heuristic, basis: 'heuristic', initialAge };
  const negative = negativeLifetime(status, policy.negative);
  if (negative !== undefined) return { lifetime: negative, basis: 'negative', initialAge };
  return { lifetime: 0, basis: 'none', initialAge };
}

/** current_age of 4.2.3. A clock that was set back in the meantime makes nothing younger than it was. */
export function currentAge(freshness: Freshness, responseTime: number, now: number): number {
  return freshness.initialAge + Math.max(0, now - responseTime);
}

/** The value of the Age field of a message: the first member, and 0 where that is no number (5.1). Seconds. */
export function ageValue(fields: Fields): number {
  const first = fields.all('age')[0];
  return first === undefined ? 0 : (parseSeconds(splitList(first)[0]) ?? 0);
}

/** The Date of a message, if it has one that can be read. */
export function dateOf(fields: Fields, now: number): number | undefined {
  const value = fields.get('date');
  return value === undefined ? undefined : parseHttpDate(value, now);
}

/** The Last-Modified of a message, if it has one that can be read. */
export function lastModifiedOf(fields: Fields, now: number): number | undefined {
  const value = fields.get('last-modified');
  return value === undefined ? undefined : parseHttpDate(value, now);
}

function initialAgeOf(fields: Fields, date: number, times: Times): number {
  // Date counts whole seconds, so the difference does too: a response made in this very second is not one second old,
  // which would take a quarter of its life from a response that may live four.
  const apparentAge = Math.floor(Math.max(0, times.responseTime - date) / 1000) * 1000;
  const responseDelay = Math.max(0, times.responseTime - times.requestTime);
  return Math.max(apparentAge, ageValue(fields) * 1000 + responseDelay);
}

/** The first of s-maxage, max-age and Expires that is there, even if it cannot be read: then it is 0 (4.2.1). */
function explicitLifetime(fields: Fields, governed: Governing, date: number, now: number): number | undefined {
  const seconds = governed.directives.sMaxAge ?? governed.directives.maxAge;
  if (seconds !== undefined) return seconds * 1000;
  if (!governed.expires) return undefined;
  const expires = fields.all('expires')[0];
  if (expires === undefined) return undefined;
  const until = parseHttpDate(expires, now);
  return until === undefined ? 0 : Math.max(0, until - date);
}

function heuristicLifetime(
  status: number,
  fields: Fields,
  governed: Governing,
  date: number,
  now: number,
  policy: CachePolicy,
): number | undefined {
  if (!HEURISTIC_STATUSES.has(status) && !governed.directives.public) return undefined;
  // Pragma has no meaning in a response (5.4). Who sends it did not want to be guessed at, though.
  const pragma = governed.expires ? fields.get('pragma') : undefined;
  if (pragma !== undefined && /\bno-cache\b/i.test(pragma)) return undefined;
  const modified = lastModifiedOf(fields, now);
  if (modified === undefined || modified >= date) return undefined;
  const lifetime = Math.min((date - modified) * policy.heuristicFraction, policy.heuristicLimit);
  return lifetime > 0 ? lifetime : undefined;
}
