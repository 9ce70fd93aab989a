/**
 * Which field of a response speaks to this cache (RFC 9213). Called once for each response that arrives, by stored.ts
 * and storable.ts; pure.
 *
 * A response may carry fields meant for some caches only, `CDN-Cache-Control` being the registered one. A cache has a
 * list of those it obeys. The first on the list that is there, not empty and without a fault takes the place of
 * Cache-Control **and** of Expires; a faulty one is as good as absent. They are Structured Fields, so a fault is
 * anything that a strict parser refuses, and with it a directive whose value has the wrong type: `max-age="60"` is no
 * number, and guessing would make this cache and the next one differ.
 */
import type { Fields } from '../http/head.js';
import { MOST_SECONDS, NO_RESPONSE_DIRECTIVES, readResponseDirectives, scopeOf } from './cache-control.js';
import type { ResponseDirectives, Scope } from './cache-control.js';
import { type SfItem, parseDictionary } from './structured.js';

export interface Governing {
  /** The field that was obeyed, in lower case. */
  readonly source: string;
  readonly directives: ResponseDirectives;
  /** Whether Expires and Pragma still have a say: not when a targeted field governs. */
  readonly expires: boolean;
}

/** `targets`: names of targeted fields that this cache obeys, the most specific first. */
export function governing(fields: Fields, targets: readonly string[]): Governing {
  for (const target of targets) {
    const value = fields.get(target);
    const directives = value === undefined ? undefined : readTargeted(value);
    if (directives !== undefined) return { source: target.toLowerCase(), directives, expires: false };
  }
  return {
    source: 'cache-control',
    directives: readResponseDirectives(fields.all('cache-control')),
    expires: true,
  };
}

/** The directives of a targeted field; undefined where it has to be ignored. */
export function readTargeted(value: string): ResponseDirectives | undefined {
  const members = parseDictionary(value);
  if (members === undefined || members.size === 0) return undefined;
  const found: { -readonly [name in keyof ResponseDirectives]: ResponseDirectives[name] } = {
    ...NO_RESPONSE_DIRECTIVES,
  };
  for (const [name, item] of members) {
    const key = DIRECTIVES.get(name);
    if (key === undefined) continue;
    switch (key) {
      case 'maxAge':
      case 'sMaxAge':
      case 'staleWhileRevalidate':
      case 'staleIfError': {
        if (item.type !== 'integer') return undefined;
        // A negative lifetime is well typed and means nothing; section 4.2.1 of RFC 9111 calls such a response stale.
        found[key] = Math.min(Math.max(item.value, 0), MOST_SECONDS);
        break;
      }
      case 'noCache':
      case 'private': {
        const scope = scopeOfItem(item);
        if (scope === undefined) return undefined;
        found[key] = scope;
        break;
      }
      default: {
        if (item.type !== 'boolean') return undefined;
        found[key] = item.value;
      }
    }
  }
  return found;
}

const DIRECTIVES: ReadonlyMap<string, keyof ResponseDirectives> = new Map([
  ['max-age', 'maxAge'],
  ['s-maxage', 'sMaxAge'],
  ['stale-while-revalidate', 'staleWhileRevalidate'],
  ['stale-if-error', 'staleIfError'],
  ['no-store', 'noStore'],
  ['no-cache', 'noCache'],
  ['private', 'private'],
  ['public', 'public'],
  ['must-revalidate', 'mustRevalidate'],
  ['proxy-revalidate', 'proxyRevalidate'],
  ['must-understand', 'mustUnderstand'],
  ['immutable', 'immutable'],
  ['no-transform', 'noTransform'],
]);

function scopeOfItem(item: SfItem): Scope | undefined {
  if (item.type === 'boolean') return item.value ? 'all' : 'none';
  return item.type === 'string' ? scopeOf(item.value) : undefined;
}
