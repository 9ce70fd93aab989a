/**
 * The preconditions of a client, answered from a stored response (RFC 9111 section 4.3.2, RFC 9110 section 13). Called
 * by respond.ts once it is known that the response may be used; pure.
 *
 * If-Match and If-Unmodified-Since are for origins only: decide.ts forwards requests that have them.
 */
import { parseHttpDate } from '../http/dates.js';
import type { Fields } from '../http/head.js';
import { equalStrongly, equalWeakly, parseEntityTag, parseEntityTags } from './etag.js';
import { type StoredResponse, hasStrongLastModified } from './stored.js';

/** Whether the client has this representation already: the answer is a 304. GET and HEAD only. */
export function isNotModified(requestFields: Fields, stored: StoredResponse): boolean {
  // Preconditions are about representations; an error or a redirect is none (RFC 9110 section 13.2.1).
  if (stored.record.status !== 200) return false;
  const noneMatch = requestFields.get('if-none-match');
  if (noneMatch !== undefined) {
    const tags = parseEntityTags(noneMatch);
    const { etag } = stored;
    return tags === '*' || (etag !== undefined && tags.some((tag) => equalWeakly(tag, etag)));
  }
  const since = requestFields.get('if-modified-since');
  const date = since === undefined ? undefined : parseHttpDate(since, stored.record.responseTime);
  return date !== undefined && (stored.lastModified ?? stored.date) <= date;
}

/** Whether Range is to be looked at: true without If-Range, else if the client's part is of this representation. */
export function ifRangeHolds(requestFields: Fields, stored: StoredResponse): boolean {
  const value = requestFields.get('if-range');
  if (value === undefined) return true;
  const date = parseHttpDate(value, stored.record.responseTime);
  if (date !== undefined) return hasStrongLastModified(stored) && stored.lastModified === date;
  const tag = parseEntityTag(value);
  return stored.etag !== undefined && equalStrongly(tag, stored.etag);
}
