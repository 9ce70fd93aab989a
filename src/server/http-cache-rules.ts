/**
 * From settings to what a request asks of the cache: policy, key, bypass, and what becomes of a fill without clients.
 * Called by http-site.ts for each site; `bypass` runs for every request, `finishes` when a client goes away.
 */
import type { KeyPolicy } from '../cache/key.js';
import { DEFAULT_POLICY } from '../cache/policy.js';
import type { CachePolicy } from '../cache/policy.js';
import type { RequestHead } from '../http/head.js';
import { plainPath } from '../http/plain-path.js';
import type { RouteCache } from '../proxy/site.js';
import type { CacheRules } from './http-settings-cache.js';
import { namePattern, pathMatcher } from './http-patterns.js';
import type { NamePattern } from './http-patterns.js';

export function routeCache(rules: CacheRules, mostVariants: number): RouteCache {
  const { finishRemaining, finishFraction } = rules;
  return {
    policy: cachePolicy(rules, mostVariants),
    key: keyPolicy(rules),
    tagFields: rules.tagFields,
    bypass: bypassOf(rules),
    finishes: (received, length) => {
      // Nothing is known of the end: most such bodies are pages, and cache-max-object bounds the others.
      if (length === undefined) return finishRemaining > 0;
      return length - received <= finishRemaining || received >= finishFraction * length;
    },
  };
}

function cachePolicy(rules: CacheRules, mostVariants: number): CachePolicy {
  const { varyEncodings, varyLanguages } = rules;
  return {
    name: rules.cacheName,
    targets: rules.targetedFields,
    heuristicFraction: rules.heuristicFraction,
    heuristicLimit: rules.heuristicLimit,
    requestDirectives: !rules.ignoreRequestDirectives,
    setCookie: rules.setCookie,
    stale: {
      whenDisconnected: rules.staleIfUnreachable,
      whenServerError: rules.staleIfError,
      errorStatuses: rules.staleStatuses,
      namedBeatsSharedMaxAge: rules.staleDespiteSMaxage,
    },
    partial: {
      ...DEFAULT_POLICY.partial,
      store: !rules.noPartial,
      complete: rules.completePartial,
      inconsistent: rules.repairPartial ? 'repair' : 'pass',
    },
    vary: {
      ...DEFAULT_POLICY.vary,
      codings: varyEncodings === 'any' ? undefined : varyEncodings,
      languages: varyLanguages === 'any' ? undefined : varyLanguages,
    },
    negative: { lifetimes: new Map(rules.negative) },
    mostVariants,
    showKey: rules.showCacheKey,
  };
}

function keyPolicy(rules: CacheRules): KeyPolicy {
  return {
    ignoreParameters: rules.ignoreParameters,
    sortParameters: rules.sortParameters,
    fields: rules.keyFields,
    cookies: rules.keyCookies,
  };
}

function bypassOf(rules: CacheRules): RouteCache['bypass'] {
  const paths = rules.bypassPaths.map(pathMatcher);
  const methods = new Set(rules.bypassMethods);
  const cookies = rules.bypassCookies.map(namePattern);
  const fields = rules.bypassFields.map((pattern) => {
    const equals = pattern.indexOf('=');
    const name = equals === -1 ? pattern : pattern.slice(0, equals);
    // Names of fields have no case.
    return namePattern(`${name.toLowerCase()}${equals === -1 ? '' : pattern.slice(equals)}`);
  });
  if (paths.length + methods.size + cookies.length + fields.length === 0) return () => false;
  return (request, path) => {
    if (methods.has(request.method)) return true;
    if (paths.length > 0) {
      const mark = path.indexOf('?');
      const whole = mark === -1 ? path : path.slice(0, mark);
      const plain = plainPath(whole);
      if (paths.some((matches) => matches(whole) || (plain !== whole && matches(plain)))) return true;
    }
    return (cookies.length > 0 && hasCookie(request, cookies)) || (fields.length > 0 && hasField(request, fields));
  };
}

function hasCookie({ fields }: RequestHead, patterns: readonly NamePattern[]): boolean {
  if (!fields.has('cookie')) return false;
  for (const line of fields.all('cookie')) {
    for (const pair of line.split(';')) {
      const equals = pair.indexOf('=');
      if (equals === -1) continue;
      if (matchesAny(patterns, pair.slice(0, equals).trim(), pair.slice(equals + 1).trim())) return true;
    }
  }
  return false;
}

function hasField({ fields: { names, raw } }: RequestHead, patterns: readonly NamePattern[]): boolean {
  return names.some((name, index) => matchesAny(patterns, name, raw[2 * index + 1] ?? ''));
}

function matchesAny(patterns: readonly NamePattern[], name: string, value: string): boolean {
  return patterns.some((pattern) => pattern.name(name) && (pattern.value === undefined || pattern.value(value)));
}
