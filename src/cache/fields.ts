/**
 * Which fields of a response may be kept (RFC 9111 section 3.1) and how a stored response takes over those of a newer
 * one (section 3.2). Called by storable.ts, update.ts and combine.ts; pure.
 */
import { formatHttpDate } from '../http/dates.js';
import type { Fields } from '../http/head.js';
import { hopByHop } from '../http/hop-by-hop.js';
import type { Scope } from './cache-control.js';
import { dateOf } from './freshness.js';
import type { CachePolicy } from './policy.js';

/** For this proxy or its client only (RFC 9110 section 11.7), and Trailer, since trailers are not stored. */
const NOT_FOR_OTHERS: ReadonlySet<string> = new Set([
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
  'trailer',
]);

/**
 * The stored bytes depend on these, so that no newer head may change them: a 304 that names another coding than the
 * stored one would make every later client decode wrongly.
 */
const BOUND_TO_CONTENT: ReadonlySet<string> = new Set(['content-length', 'content-encoding', 'content-range']);

/** The fields to store. `secret`: what `private` says; its fields are for one user only. */
export function storableFields(fields: Fields, secret: Scope, policy: CachePolicy): Fields {
  const unwanted = hopByHop(fields);
  const named = typeof secret === 'string' ? [] : secret;
  return fields.filter(
    (name) =>
      !unwanted(name) &&
      !NOT_FOR_OTHERS.has(name) &&
      !named.includes(name) &&
      !(policy.setCookie === 'strip' && name === 'set-cookie'),
  );
}

/** With a Date that can be read: its own, or when it arrived (RFC 9110 section 6.6.1). */
export function withDate(fields: Fields, responseTime: number): Fields {
  return dateOf(fields, responseTime) === undefined ? fields.with('Date', formatHttpDate(responseTime)) : fields;
}

/**
 * `stored` with every field of `newer` in place of its own of that name. Age goes even where the newer head has none:
 * it spoke about the head that is replaced.
 */
export function updateFields(stored: Fields, newer: Fields): Fields {
  const taken = newer.filter((name) => !BOUND_TO_CONTENT.has(name));
  return stored.filter((name) => name !== 'age' && !taken.has(name)).concat(taken);
}
