/**
 * The primary key of a request (RFC 9111 section 2): its target URI, and what the operator adds or takes away. Called
 * for every request, before the store is asked. Responses to GET serve HEAD too, and a stored POST serves GET
 * (RFC 9110 section 9.3.3), so the method is no part of it.
 *
 * Taking something away says that the origin does not look at it. Only the operator can know, so by default a key is
 * the URI in the normal form of src/http/target.ts and nothing else: two keys for one resource cost a fetch, one key
 * for two resources sends a client what another asked for.
 */
import type { Fields } from '../http/head.js';

export interface KeyPolicy {
  /** Names of query parameters to leave out; a name may end in `*`. `'all'`: the whole query. */
  readonly ignoreParameters: readonly string[] | 'all';
  /** Sort the parameters. Equal names keep their order, which origins do look at. */
  readonly sortParameters: boolean;
  /** Request fields whose values become part of the key, such as a field that a gateway in front sets. */
  readonly fields: readonly string[];
  /** Cookies whose values become part of the key. */
  readonly cookies: readonly string[];
  /** Keeps its keys apart from those that others make of the same URIs. */
  readonly space?: string;
}

export const DEFAULT_KEY_POLICY: KeyPolicy = {
  ignoreParameters: [],
  sortParameters: false,
  fields: [],
  cookies: [],
};

/** `uri`: the target URI in normal form. The key begins with the URI, so that a prefix of it finds all its keys. */
export function cacheKey(uri: string, requestFields: Fields, policy: KeyPolicy = DEFAULT_KEY_POLICY): string {
  const key = keyUri(uri, policy);
  const { space } = policy;
  if (policy.fields.length === 0 && policy.cookies.length === 0 && space === undefined) return key;
  const parts = [
    ...(space === undefined ? [] : [['', space]]),
    ...policy.fields.map((name) => [name.toLowerCase(), requestFields.get(name) ?? null]),
    ...policy.cookies.map((name) => [`cookie:${name}`, cookieOf(requestFields, name) ?? null]),
  ];
  // A space occurs in no URI, so no URI can be made that looks like a key with fields.
  return `${key} ${JSON.stringify(parts)}`;
}

/** The part of a key that comes from the URI; purges and invalidation go by it, whatever fields were added. */
export function keyUri(uri: string, policy: KeyPolicy = DEFAULT_KEY_POLICY): string {
  const { ignoreParameters, sortParameters } = policy;
  if (!sortParameters && ignoreParameters.length === 0) return uri;
  const mark = uri.indexOf('?');
  if (mark === -1) return uri;
  const path = uri.slice(0, mark);
  if (ignoreParameters === 'all') return path;
  const all = uri.slice(mark + 1).split('&');
  const kept = all.filter((parameter) => !isIgnored(parameterName(parameter), ignoreParameters));
  // A query that is empty because everything was left out is no query; one that came empty is another URI.
  if (kept.length === 0) return path;
  if (sortParameters) kept.sort((a, b) => compare(parameterName(a), parameterName(b)));
  return `${path}?${kept.join('&')}`;
}

function parameterName(parameter: string): string {
  const equals = parameter.indexOf('=');
  return equals === -1 ? parameter : parameter.slice(0, equals);
}

function isIgnored(name: string, patterns: readonly string[]): boolean {
  return patterns.some((pattern) => (pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern));
}

/** By code unit: the order must not depend on a locale. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function cookieOf(requestFields: Fields, name: string): string | undefined {
  for (const pair of requestFields.all('cookie').flatMap((value) => value.split(';'))) {
    const equals = pair.indexOf('=');
    if (equals !== -1 && pair.slice(0, equals).trim() === name) return pair.slice(equals + 1).trim();
  }
  return undefined;
}
