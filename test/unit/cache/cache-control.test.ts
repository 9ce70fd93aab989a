import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  MOST_SECONDS,
  NO_REQUEST_DIRECTIVES,
  NO_RESPONSE_DIRECTIVES,
  type RequestDirectives,
  type ResponseDirectives,
  readRequestDirectives,
  readResponseDirectives,
} from '../../../src/cache/cache-control.js';
import { splitList, unquote } from '../../../src/cache/list.js';

describe('RFC 9111 section 5.2: Cache-Control of a response', () => {
  test.each<[string, string | readonly string[], Partial<ResponseDirectives>]>([
    ['nothing', '', {}],
    ['names in any case', 'No-StOrE, MaX-aGe=5', { noStore: true, maxAge: 5 }],
    ['an extension beside it', 'foobar, x="y, z", max-age=5', { maxAge: 5 }],
    ['several lines', ['max-age=5', 's-maxage=6'], { maxAge: 5, sMaxAge: 6 }],
    ['the quoted form', 'max-age="5"', { maxAge: 5 }],
    ['leading zeros', 'max-age=0005', { maxAge: 5 }],
    ['of two the first', 'max-age=1800, max-age=1', { maxAge: 1800 }],
    ['of two the first, other way round', ['max-age=1', 'max-age=1800'], { maxAge: 1 }],
    ['a directive in a quoted string is none', 'extension="max-age=3600, no-store", max-age=1', { maxAge: 1 }],
    ['escapes in a quoted string', 'x="a\\", no-store, \\"", max-age=1', { maxAge: 1 }],
    ['a quote that stays open hides nothing', 'x="a, no-store', { noStore: true }],
    ['2^31 - 1', 'max-age=2147483647', { maxAge: 2_147_483_647 }],
    ['section 1.2.2: greater numbers count as 2^31', 'max-age=99999999999', { maxAge: MOST_SECONDS }],
    ['section 4.2.1: a negative lifetime is none', 'max-age=-5', { maxAge: 0 }],
    ['a fraction is none', 'max-age=5.5', { maxAge: 0 }],
    ['letters are none', 's-maxage=5a', { sMaxAge: 0 }],
    ['single quotes are none', "max-age='5'", { maxAge: 0 }],
    ['no number is none', 'max-age', { maxAge: 0 }],
    ['a space before the equals sign', 'max-age =5', { maxAge: 0 }],
    ['a space behind it', 'max-age= 5', { maxAge: 0 }],
    [
      'what forbids, forbids with an argument, too',
      'no-store=x, must-revalidate="y"',
      { noStore: true, mustRevalidate: true },
    ],
    ['what allows, allows only as spelt', 'public=x, immutable=1, must-understand="z"', {}],
    ['what allows', 'public, immutable, must-understand', { public: true, immutable: true, mustUnderstand: true }],
    ['no-cache for all', 'no-cache', { noCache: 'all' }],
    ['no-cache for fields', 'no-cache="A, b"', { noCache: ['a', 'b'] }],
    ['no-cache for one field as a token', 'no-cache=A', { noCache: ['a'] }],
    ['for fields and for all: for all', 'no-cache="a", no-cache', { noCache: 'all' }],
    ['for fields twice', ['no-cache="a"', 'no-cache="b"'], { noCache: ['a', 'b'] }],
    ['for what is no field name: for all', 'no-cache="a b"', { noCache: 'all' }],
    ['for no field: for all', 'private=""', { private: 'all' }],
    ['private for fields', 'private="set-cookie"', { private: ['set-cookie'] }],
    ['RFC 5861', 'stale-while-revalidate=3, stale-if-error=4', { staleWhileRevalidate: 3, staleIfError: 4 }],
    ['RFC 5861 without a number allows nothing', 'stale-while-revalidate', { staleWhileRevalidate: 0 }],
  ])('%s', (_, value, expected) => {
    const lines = typeof value === 'string' ? [value] : value;
    expect(readResponseDirectives(lines)).toEqual({ ...NO_RESPONSE_DIRECTIVES, ...expected });
  });
});

describe('RFC 9111 section 5.2.1: Cache-Control of a request', () => {
  test.each<[string, string | undefined, string | undefined, Partial<RequestDirectives>]>([
    ['nothing', undefined, undefined, {}],
    ['numbers', 'max-age=1, min-fresh=2, max-stale=3', undefined, { maxAge: 1, minFresh: 2, maxStale: 3 }],
    ['any staleness', 'max-stale', undefined, { maxStale: Infinity }],
    ['unreadable numbers are passed over', 'max-age=x, max-stale=y', undefined, {}],
    ['flags', 'no-cache, no-store, only-if-cached', undefined, { noCache: true, noStore: true, onlyIfCached: true }],
    ['5.4: Pragma by itself', undefined, 'foo, No-Cache', { noCache: true }],
    ['5.4: Pragma beside Cache-Control means nothing', 'foo', 'no-cache', {}],
    ['another Pragma', undefined, 'no-cachet', {}],
  ])('%s', (_, cacheControl, pragma, expected) => {
    expect(readRequestDirectives(cacheControl, pragma)).toEqual({ ...NO_REQUEST_DIRECTIVES, ...expected });
  });
});

describe('lists', () => {
  test('members that hold no quote survive joining and splitting', () => {
    const member = fc.stringMatching(/^[!-+\--~]+$/).filter((text) => !text.includes('"'));
    fc.assert(
      fc.property(fc.array(member), (members) => {
        expect(splitList(members.join(' ,\t'))).toEqual(members);
      }),
    );
  });

  test('a quoted string is one member, whatever is in it', () => {
    fc.assert(
      fc.property(fc.string(), (said) => {
        const quoted = `"${said.replace(/["\\]/g, '\\$&')}"`;
        expect(splitList(`a, x=${quoted}, b`)).toEqual(['a', `x=${quoted}`, 'b']);
        expect(unquote(quoted)).toBe(said);
      }),
    );
  });

  test.each(['"', '"a', 'a"', '"a"b"', '"a\\"'])('%s is no quoted string', (text) => {
    expect(unquote(text)).toBeUndefined();
  });

  test('no-store is found in whatever surrounds it, if no closed quotes do', () => {
    const noise = fc.string().filter((text) => !text.includes('"') && !text.includes(','));
    fc.assert(
      fc.property(noise, noise, (before, after) => {
        expect(readResponseDirectives([`${before}, no-store, ${after}`]).noStore).toBe(true);
        expect(readResponseDirectives([`${before}="${after}, no-store`]).noStore).toBe(true);
      }),
    );
  });
});
