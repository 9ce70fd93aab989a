/**
 * Fields that concern one connection only (RFC 9110 section 7.6.1): what a proxy takes off every head before it passes
 * it on, or stores it. Pure; used by forward.ts, and by the cache.
 */
import { connectionOptions } from './framing.js';
import type { Fields } from './head.js';

/** Taken off whether Connection names them or not. */
const ALWAYS: ReadonlySet<string> = new Set([
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
]);

/**
 * What Connection may name as it likes: fields for all recipients. RFC 9110 forbids to name them, and whoever does it
 * all the same wants us to drop what the origin or the cache decides by: an answer stored for a request that was not sent.
 */
const END_TO_END: ReadonlySet<string> = new Set([
  'accept',
  'accept-encoding',
  'accept-language',
  'age',
  'authorization',
  'cache-control',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'cookie',
  'date',
  'etag',
  'expect',
  'expires',
  'forwarded',
  'host',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'last-modified',
  'location',
  'max-forwards',
  'origin',
  'pragma',
  'range',
  'referer',
  'set-cookie',
  'user-agent',
  'vary',
  'via',
  'www-authenticate',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
]);

/** Says of a name in lower case whether it concerns only the connection that `fields` came by. */
export function hopByHop(fields: Fields): (lowerName: string) => boolean {
  const options = connectionOptions(fields);
  if (options.length === 0 || (options.length === 1 && ALWAYS.has(options[0] ?? ''))) return isAlways;
  const named = new Set(options.filter((option) => !END_TO_END.has(option)));
  return (name) => ALWAYS.has(name) || named.has(name);
}

function isAlways(name: string): boolean {
  return ALWAYS.has(name);
}

/**
 * Without what Connection names beyond the usual. No origin gets it, so no rule of the cache may look at it either: an
 * answer would be stored for a request that was not sent.
 */
export function withoutNominated(fields: Fields): Fields {
  const named = connectionOptions(fields).filter((option) => !END_TO_END.has(option) && !ALWAYS.has(option));
  return named.length === 0 ? fields : fields.filter((name) => !named.includes(name));
}
