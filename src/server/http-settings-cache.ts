/**
 * Settings of splice-http about what is cached and for how long. Each of them may also stand in the `cache` of a site,
 * for its requests only. Durations are milliseconds. The defaults are those of src/cache/policy.ts and key.ts.
 */
import { DEFAULT_POLICY } from '../cache/policy.js';
import { listOf, onOff, valueOf } from './config-table.js';
import type { SettingTable } from './config-table.js';
import { formatDuration, parseLifetime, parseSize, parseWord } from './config-values.js';
import {
  itemsOf,
  parseFieldName,
  parseFraction,
  parseMethod,
  parseNamePattern,
  parseNegative,
  parsePathPattern,
  parseStatus,
  parseWordOfText,
} from './http-values.js';
import type { Negative } from './http-values.js';

export interface CacheRules {
  readonly heuristicFraction: number;
  /** 0: no heuristics. */
  readonly heuristicLimit: number;
  readonly staleIfUnreachable: number;
  readonly staleIfError: number;
  readonly staleStatuses: readonly number[];
  readonly staleDespiteSMaxage: boolean;
  readonly negative: Negative;
  readonly setCookie: 'store' | 'explicit' | 'strip' | 'refuse';
  readonly ignoreRequestDirectives: boolean;
  readonly targetedFields: readonly string[];
  readonly ignoreParameters: readonly string[] | 'all';
  readonly sortParameters: boolean;
  readonly keyFields: readonly string[];
  readonly keyCookies: readonly string[];
  readonly varyEncodings: readonly string[] | 'any';
  readonly varyLanguages: readonly string[] | 'any';
  readonly noPartial: boolean;
  readonly completePartial: 'never' | 'validated' | 'always';
  readonly repairPartial: boolean;
  readonly bypassPaths: readonly string[];
  readonly bypassMethods: readonly string[];
  readonly bypassCookies: readonly string[];
  readonly bypassFields: readonly string[];
  readonly tagFields: readonly string[];
  /** A fill goes on without its client if no more than this is left, */
  readonly finishRemaining: number;
  /** or this part of it is there. */
  readonly finishFraction: number;
  readonly cacheName: string;
  readonly showCacheKey: boolean;
}

/** `a,b`, a list, or `none`. */
const listed = <T>(item: (value: unknown) => T) => valueOf((value): readonly T[] => itemsOf(value).map(item));
const listedOr = <T, const Word extends string>(word: Word, item: (value: unknown) => T) =>
  valueOf((value): readonly T[] | Word => (value === word ? word : itemsOf(value).map(item)));
const lifetime = valueOf(parseLifetime);

const group = 'Cache rules';

export const CACHE_SETTINGS: SettingTable<CacheRules> = {
  heuristicFraction: {
    group,
    argument: 'PART',
    help: 'A response that does not say how long it is fresh is so for this part of the time since Last-Modified.',
    schema: valueOf(parseFraction),
    initial: DEFAULT_POLICY.heuristicFraction,
    initialText: '0.1',
  },
  heuristicLimit: {
    group,
    argument: 'DURATION',
    help: 'But no longer than this; 0 = only what says so is fresh.',
    schema: lifetime,
    initial: DEFAULT_POLICY.heuristicLimit,
    initialText: formatDuration(DEFAULT_POLICY.heuristicLimit),
  },
  staleIfUnreachable: {
    group,
    argument: 'DURATION',
    help: 'How long past its freshness a response may be sent when the origin cannot be reached.',
    schema: lifetime,
    initial: DEFAULT_POLICY.stale.whenDisconnected,
    initialText: formatDuration(DEFAULT_POLICY.stale.whenDisconnected),
  },
  staleIfError: {
    group,
    argument: 'DURATION',
    help: 'The same when the origin answers with one of --stale-statuses and its responses do not say (RFC 5861).',
    schema: lifetime,
    initial: DEFAULT_POLICY.stale.whenServerError,
    initialText: formatDuration(DEFAULT_POLICY.stale.whenServerError),
  },
  staleStatuses: {
    group,
    argument: 'LIST',
    help: 'Answers of the origin that count as an error of its own.',
    schema: listed(parseStatus),
    initial: DEFAULT_POLICY.stale.errorStatuses,
    initialText: DEFAULT_POLICY.stale.errorStatuses.join(','),
  },
  staleDespiteSMaxage: {
    group,
    argument: undefined,
    help: 'Obey stale-while-revalidate and stale-if-error also beside s-maxage, which forbids stale responses.',
    schema: onOff,
    initial: DEFAULT_POLICY.stale.namedBeatsSharedMaxAge,
  },
  negative: {
    group,
    argument: 'STATUS=DURATION,...',
    help: 'Remember these answers for so long where they do not say how long, as in 404=10s,410=1h.',
    schema: valueOf(parseNegative),
    initial: [],
  },
  setCookie: {
    group,
    argument: 'WHAT',
    help:
      'Responses with Set-Cookie: store, explicit = only those that say how long they are fresh, ' +
      'strip = store without the cookie, refuse.',
    schema: valueOf((value) => parseWord(value, ['store', 'explicit', 'strip', 'refuse'] as const)),
    initial: DEFAULT_POLICY.setCookie,
    initialText: DEFAULT_POLICY.setCookie,
  },
  ignoreRequestDirectives: {
    group,
    argument: undefined,
    help: 'Do not let clients go past the cache with Cache-Control or Pragma.',
    schema: onOff,
    initial: !DEFAULT_POLICY.requestDirectives,
  },
  targetedFields: {
    group,
    argument: 'LIST',
    help: 'Fields that take the place of Cache-Control for this cache (RFC 9213), the most specific first.',
    schema: listed(parseFieldName),
    initial: DEFAULT_POLICY.targets,
    initialText: DEFAULT_POLICY.targets.join(','),
  },
  ignoreParameters: {
    group,
    argument: 'LIST',
    help: 'Query parameters that make no difference to the origin, as in utm_*,fbclid; all = the whole query.',
    schema: listedOr('all', parseWordOfText),
    initial: [],
  },
  sortParameters: {
    group,
    argument: undefined,
    help: 'The order of query parameters makes no difference to the origin.',
    schema: onOff,
    initial: false,
  },
  keyFields: {
    group,
    argument: 'LIST',
    help: 'Request fields that make different responses although Vary does not name them.',
    schema: listed(parseFieldName),
    initial: [],
  },
  keyCookies: {
    group,
    argument: 'LIST',
    help: 'Cookies that make different responses.',
    schema: listed(parseWordOfText),
    initial: [],
  },
  varyEncodings: {
    group,
    argument: 'LIST',
    help: 'Content codings that the origin makes, as in br,gzip: others do not count where Vary names Accept-Encoding.',
    schema: listedOr('any', parseWordOfText),
    initial: 'any',
    initialText: 'any',
  },
  varyLanguages: {
    group,
    argument: 'LIST',
    help: 'Languages that the origin has, as in en,de: others do not count where Vary names Accept-Language.',
    schema: listedOr('any', parseWordOfText),
    initial: 'any',
    initialText: 'any',
  },
  noPartial: {
    group,
    argument: undefined,
    help: 'Do not store parts: answers to range requests, and bodies that broke off.',
    schema: onOff,
    initial: !DEFAULT_POLICY.partial.store,
  },
  completePartial: {
    group,
    argument: 'WHEN',
    help:
      'Ask for the rest only when a part is there and the whole is wanted: never, ' +
      'validated = where a validator makes it safe, always.',
    schema: valueOf((value) => parseWord(value, ['never', 'validated', 'always'] as const)),
    initial: DEFAULT_POLICY.partial.complete,
    initialText: DEFAULT_POLICY.partial.complete,
  },
  repairPartial: {
    group,
    argument: undefined,
    help: 'Believe the length of a 206 response and not its Content-Range where they differ, instead of not storing it.',
    schema: onOff,
    initial: DEFAULT_POLICY.partial.inconsistent === 'repair',
  },
  bypassPaths: {
    group,
    argument: 'PATTERN',
    help: 'Keep these paths away from the cache; repeatable. * is anything; /admin/ is everything below it.',
    schema: listOf(valueOf(parsePathPattern)),
    initial: [],
    repeatable: true,
  },
  bypassMethods: {
    group,
    argument: 'LIST',
    help: 'Keep these methods away from the cache.',
    schema: listed(parseMethod),
    initial: [],
  },
  bypassCookies: {
    group,
    argument: 'LIST',
    help: 'Keep requests with such a cookie away from the cache: NAME or NAME=VALUE, * is anything.',
    schema: listed(parseNamePattern),
    initial: [],
  },
  bypassFields: {
    group,
    argument: 'LIST',
    help: 'Keep requests with such a field away from the cache: NAME or NAME=VALUE, * is anything.',
    schema: listed(parseNamePattern),
    initial: [],
  },
  tagFields: {
    group,
    argument: 'LIST',
    help: 'Response fields whose words are tags to purge by.',
    schema: listed(parseFieldName),
    initial: ['surrogate-key', 'cache-tag'],
    initialText: 'surrogate-key,cache-tag',
  },
  finishRemaining: {
    group,
    argument: 'SIZE',
    help: 'When the last client of a response goes away, its rest is fetched for the cache if it is no more than this,',
    schema: valueOf((value) => parseSize(value)),
    initial: 16 * 1024 * 1024,
    initialText: '16m',
  },
  finishFraction: {
    group,
    argument: 'PART',
    help: 'or if this part of it is there; 1 = never for that reason.',
    schema: valueOf(parseFraction),
    initial: 0.5,
    initialText: '0.5',
  },
  cacheName: {
    group,
    argument: 'NAME',
    help: 'What this cache calls itself in Cache-Status (RFC 9211).',
    schema: valueOf(parseWordOfText),
    initial: DEFAULT_POLICY.name,
    initialText: DEFAULT_POLICY.name,
  },
  showCacheKey: {
    group,
    argument: undefined,
    help: 'Show the key in Cache-Status: useful, and it tells strangers how the site is built.',
    schema: onOff,
    initial: DEFAULT_POLICY.showKey,
  },
};
