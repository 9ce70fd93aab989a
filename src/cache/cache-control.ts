/**
 * Cache-Control (RFC 9111 section 5.2, RFC 5861, RFC 8246): from the text of a field to what it asks for. Called for
 * requests and responses by decide.ts and stored.ts; pure, never throws.
 *
 * Broken input is read in the direction that stores and reuses less. A directive that forbids (`no-store`, `private`,
 * `no-cache`, `must-revalidate`...) counts whatever argument it was given; one that allows (`public`, `immutable`,
 * `must-understand`) counts only as its specification spells it. A lifetime that is not a number of seconds is a
 * lifetime of zero, as section 4.2.1 encourages; of two lifetimes the first counts.
 */
import { isToken, splitList, trim, unquote } from './list.js';

/** Of `no-cache` and `private`: absent, about the whole response, or about the fields named (lower case). */
export type Scope = 'none' | 'all' | readonly string[];

/** Seconds; undefined where the directive is absent. */
export type Seconds = number | undefined;

export interface ResponseDirectives {
  readonly maxAge: Seconds;
  readonly sMaxAge: Seconds;
  readonly staleWhileRevalidate: Seconds;
  readonly staleIfError: Seconds;
  readonly noStore: boolean;
  readonly noCache: Scope;
  readonly private: Scope;
  readonly public: boolean;
  readonly mustRevalidate: boolean;
  readonly proxyRevalidate: boolean;
  readonly mustUnderstand: boolean;
  readonly immutable: boolean;
  readonly noTransform: boolean;
}

export interface RequestDirectives {
  readonly maxAge: Seconds;
  readonly minFresh: Seconds;
  /** Infinity for `max-stale` without a number: any age will do. */
  readonly maxStale: Seconds;
  readonly staleIfError: Seconds;
  readonly noCache: boolean;
  readonly noStore: boolean;
  readonly onlyIfCached: boolean;
  readonly noTransform: boolean;
}

/** One directive before anybody asked what it means. */
export interface RawDirective {
  /** Lower case. */
  readonly name: string;
  /** The argument, unquoted. Undefined where there is none. */
  readonly argument: string | undefined;
  /** Whether name and argument are spelt as the grammar wants: `max-age =5` and `max-age='5'` are not. */
  readonly wellFormed: boolean;
}

/** The greatest delta-seconds: what is greater, or overflows, counts as this (RFC 9111 section 1.2.2). */
export const MOST_SECONDS = 2_147_483_648;

export const NO_RESPONSE_DIRECTIVES: ResponseDirectives = {
  maxAge: undefined,
  sMaxAge: undefined,
  staleWhileRevalidate: undefined,
  staleIfError: undefined,
  noStore: false,
  noCache: 'none',
  private: 'none',
  public: false,
  mustRevalidate: false,
  proxyRevalidate: false,
  mustUnderstand: false,
  immutable: false,
  noTransform: false,
};

export const NO_REQUEST_DIRECTIVES: RequestDirectives = {
  maxAge: undefined,
  minFresh: undefined,
  maxStale: undefined,
  staleIfError: undefined,
  noCache: false,
  noStore: false,
  onlyIfCached: false,
  noTransform: false,
};

/** The directives of one field value, in order. */
function parseDirectives(value: string): RawDirective[] {
  return splitList(value).map((member) => {
    const equals = member.indexOf('=');
    if (equals === -1) return { name: member.toLowerCase(), argument: undefined, wellFormed: isToken(member) };
    const name = member.slice(0, equals);
    const spelt = member.slice(equals + 1);
    const argument = unquote(spelt);
    return {
      name: trim(name).toLowerCase(),
      argument: argument ?? spelt,
      wellFormed: isToken(name) && (argument !== undefined || isToken(spelt)),
    };
  });
}

/** delta-seconds, held below {@link MOST_SECONDS}; undefined where `text` is anything else. */
export function parseSeconds(text: string | undefined): Seconds {
  if (text === undefined || !/^[0-9]+$/.test(text)) return undefined;
  return Math.min(Number(text), MOST_SECONDS);
}

/** The last line that was read alone: an origin says the same of most of what it has. */
let lastValue = '';
let lastDirectives = NO_RESPONSE_DIRECTIVES;

/** `values`: the Cache-Control lines of a response. */
export function readResponseDirectives(values: readonly string[]): ResponseDirectives {
  const [first, second] = values;
  if (first === undefined) return NO_RESPONSE_DIRECTIVES;
  if (second !== undefined) return directivesOf(values);
  if (first !== lastValue) {
    lastDirectives = directivesOf(values);
    lastValue = first;
  }
  return lastDirectives;
}

function directivesOf(values: readonly string[]): ResponseDirectives {
  const found: { -readonly [name in keyof ResponseDirectives]: ResponseDirectives[name] } = {
    ...NO_RESPONSE_DIRECTIVES,
  };
  for (const directive of values.flatMap(parseDirectives)) {
    const plain = directive.wellFormed && directive.argument === undefined;
    switch (directive.name) {
      case 'max-age':
        found.maxAge ??= lifetime(directive);
        break;
      case 's-maxage':
        found.sMaxAge ??= lifetime(directive);
        break;
      case 'stale-while-revalidate':
        found.staleWhileRevalidate ??= lifetime(directive);
        break;
      case 'stale-if-error':
        found.staleIfError ??= lifetime(directive);
        break;
      case 'no-store':
        found.noStore = true;
        break;
      case 'no-cache':
        found.noCache = widen(found.noCache, directive);
        break;
      case 'private':
        found.private = widen(found.private, directive);
        break;
      case 'must-revalidate':
        found.mustRevalidate = true;
        break;
      case 'proxy-revalidate':
        found.proxyRevalidate = true;
        break;
      case 'no-transform':
        found.noTransform = true;
        break;
      case 'public':
        found.public ||= plain;
        break;
      case 'must-understand':
        found.mustUnderstand ||= plain;
        break;
      case 'immutable':
        found.immutable ||= plain;
        break;
      default: // an extension that is not ours: ignored, section 5.2.3
    }
  }
  return found;
}

/**
 * `cacheControl` and `pragma`: the values of the fields of a request. Pragma is from HTTP/1.0 and means something only
 * where Cache-Control is absent (section 5.4). What a client asks for is advice, so an unreadable number is passed over.
 */
export function readRequestDirectives(cacheControl: string | undefined, pragma: string | undefined): RequestDirectives {
  if (cacheControl === undefined) {
    if (pragma === undefined || !splitList(pragma).some((each) => each.toLowerCase() === 'no-cache')) {
      return NO_REQUEST_DIRECTIVES;
    }
    return { ...NO_REQUEST_DIRECTIVES, noCache: true };
  }
  const found: { -readonly [name in keyof RequestDirectives]: RequestDirectives[name] } = { ...NO_REQUEST_DIRECTIVES };
  for (const { name, argument } of parseDirectives(cacheControl)) {
    switch (name) {
      case 'max-age':
        found.maxAge ??= parseSeconds(argument);
        break;
      case 'min-fresh':
        found.minFresh ??= parseSeconds(argument);
        break;
      case 'max-stale':
        found.maxStale ??= argument === undefined ? Infinity : parseSeconds(argument);
        break;
      case 'stale-if-error':
        found.staleIfError ??= parseSeconds(argument);
        break;
      case 'no-cache':
        found.noCache = true;
        break;
      case 'no-store':
        found.noStore = true;
        break;
      case 'only-if-cached':
        found.onlyIfCached = true;
        break;
      case 'no-transform':
        found.noTransform = true;
        break;
      default:
    }
  }
  return found;
}

/** The names in the argument of `no-cache="..."` or `private="..."`; everything where it names none. */
export function scopeOf(argument: string): Scope {
  const names = splitList(argument);
  return names.length > 0 && names.every(isToken) ? names.map((name) => name.toLowerCase()) : 'all';
}

function lifetime({ argument, wellFormed }: RawDirective): number {
  return (wellFormed ? parseSeconds(argument) : undefined) ?? 0;
}

function widen(scope: Scope, { argument, wellFormed }: RawDirective): Scope {
  const more = argument === undefined || !wellFormed ? 'all' : scopeOf(argument);
  if (scope === 'all' || more === 'all') return 'all';
  return scope === 'none' ? more : [...scope, ...more];
}
