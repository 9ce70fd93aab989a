import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  acceptsCoding,
  normalizeGeneric,
  normalizeWeighted,
  preferredLanguage,
} from '../../../src/cache/negotiation.js';
import {
  type VaryPolicy,
  addSelection,
  matchVary,
  normalizeField,
  select,
  varyNames,
} from '../../../src/cache/vary.js';
import { type Lines, date, fields, stored } from './build.js';

const POLICY: VaryPolicy = { codings: undefined, languages: undefined, selectByContentLanguage: true };

describe('RFC 9110 section 12.5.5: Vary', () => {
  test.each<[Lines, string | readonly string[]]>([
    [{}, []],
    [{ Vary: 'Foo, bar, FOO' }, ['bar', 'foo']],
    [{ Vary: ['Foo', 'Bar'] }, ['bar', 'foo']],
    [{ Vary: '*' }, '*'],
    [{ Vary: '*, *' }, '*'],
    [{ Vary: ['', '*'] }, '*'],
    [{ Vary: ', *' }, '*'],
    [{ Vary: 'Foo, *' }, '*'],
    [{ Vary: '*, Foo' }, '*'],
    [{ Vary: 'a b' }, '*'],
    [{ Vary: Array.from({ length: 33 }, (_, i) => `f${i}`).join() }, '*'],
  ])('%j', (lines, names) => {
    expect(varyNames(fields(lines))).toEqual(names);
  });
});

describe('RFC 9111 section 4.1: selecting fields match', () => {
  test.each<[string, string, Lines, Lines, 'exact' | 'preferred' | 'none']>([
    ['the same', 'Foo', { Foo: '1' }, { Foo: '1' }, 'exact'],
    ['another value', 'Foo', { Foo: '1' }, { Foo: '2' }, 'none'],
    ['absent then', 'Foo', {}, { Foo: '1' }, 'none'],
    ['absent now', 'Foo', { Foo: '1' }, {}, 'none'],
    ['empty is not absent', 'Foo', { Foo: '' }, {}, 'none'],
    ['absent both times', 'Foo, Bar', { Foo: '1' }, { Foo: '1' }, 'exact'],
    ['others do not matter', 'Foo', { Foo: '1', Other: '2' }, { Foo: '1', Other: '3' }, 'exact'],
    [
      'one of three differs',
      'Foo, Bar, Baz',
      { Foo: '1', Bar: 'a', Baz: '7' },
      { Baz: '7', Bar: 'b', Foo: '1' },
      'none',
    ],
    ['several lines are one value', 'Foo', { Foo: '1, 2' }, { Foo: ['1', '2'] }, 'exact'],
    ['white space around commas', 'Foo', { Foo: '1,2' }, { Foo: ' 1, 2 ' }, 'exact'],
    ['case of an unknown field matters', 'Foo', { Foo: 'a' }, { Foo: 'A' }, 'none'],
    ['order of an unknown field matters', 'Foo', { Foo: 'a, b' }, { Foo: 'b, a' }, 'none'],
    ['languages: order', 'Accept-Language', { 'Accept-Language': 'en, de' }, { 'Accept-Language': 'de, en' }, 'exact'],
    ['languages: case', 'Accept-Language', { 'Accept-Language': 'en, de' }, { 'Accept-Language': 'eN, De' }, 'exact'],
    [
      'languages: space',
      'Accept-Language',
      { 'Accept-Language': 'en, de' },
      { 'Accept-Language': ' en ,   de' },
      'exact',
    ],
    [
      'languages: weights',
      'Accept-Language',
      { 'Accept-Language': 'en, de;q=0.5' },
      { 'Accept-Language': 'de; q=0.500,en;q=1' },
      'exact',
    ],
    [
      'languages: other weights',
      'Accept-Language',
      { 'Accept-Language': 'en, de;q=0.5' },
      { 'Accept-Language': 'en;q=0.5, de' },
      'none',
    ],
    [
      'codings: order and old names',
      'Accept-Encoding',
      { 'Accept-Encoding': 'gzip, br' },
      { 'Accept-Encoding': 'br,X-GZIP' },
      'exact',
    ],
    [
      'codings: a refusal matters',
      'Accept-Encoding',
      { 'Accept-Encoding': 'gzip' },
      { 'Accept-Encoding': 'gzip;q=0' },
      'none',
    ],
    ['a name that objects have anyway', 'constructor', {}, { Foo: '1' }, 'exact'],
    ['a star', '*', {}, {}, 'none'],
  ])('%s', (_, Vary, then, now, match) => {
    expect(matchVary(stored({ Vary }, { request: then }), fields(now), POLICY)).toBe(match);
  });

  test.each<[string, string, boolean, 'preferred' | 'none']>([
    ['what the client wants most', 'fr;q=0.5, de;q=1.0', true, 'preferred'],
    ['unless the operator does not want that', 'fr;q=0.5, de;q=1.0', false, 'none'],
    ['not what it wants less', 'fr, de;q=0.9', true, 'none'],
    ['not one of two equals', 'fr, de', true, 'none'],
    ['not what it refuses', 'de;q=0', true, 'none'],
  ])('the language of the response is %s', (_, now, selectByContentLanguage, match) => {
    const german = stored(
      { Vary: 'Accept-Language', 'Content-Language': 'DE' },
      { request: { 'Accept-Language': 'en, de' } },
    );
    expect(matchVary(german, fields({ 'Accept-Language': now }), { ...POLICY, selectByContentLanguage })).toBe(match);
  });

  test('a response that several requests have selected, each by itself', () => {
    const both = stored({ Vary: 'Foo' }, { record: { selections: [{ foo: '1' }, { foo: null }] } });
    expect(matchVary(both, fields({ Foo: '1' }), POLICY)).toBe('exact');
    expect(matchVary(both, fields({}), POLICY)).toBe('exact');
    expect(matchVary(both, fields({ Foo: '2' }), POLICY)).toBe('none');
  });

  test('a selection made under other names selects nothing', () => {
    const odd = stored({ Vary: 'Foo' }, { record: { selections: [{ bar: '1' }] } });
    expect(matchVary(odd, fields({}), POLICY)).toBe('none');
    expect(matchVary(odd, fields({ Foo: '1', Bar: '1' }), POLICY)).toBe('none');
  });

  test('selections are remembered once, and not without end', () => {
    const many = Array.from({ length: 40 }, (_, i) => ({ foo: String(i % 20) }));
    const kept = many.reduce(addSelection, [{ foo: null }] as { foo: string | null }[]);
    expect(kept).toEqual(Array.from({ length: 16 }, (_, i) => ({ foo: String(i + 4) })));
  });

  test('codings that the origin never makes can be left out of sight', () => {
    const gzipOnly = { ...POLICY, codings: ['gzip'] };
    const chrome = stored({ Vary: 'Accept-Encoding' }, { request: { 'Accept-Encoding': 'gzip, deflate, br, zstd' } });
    expect(matchVary(chrome, fields({ 'Accept-Encoding': 'gzip, deflate' }), gzipOnly)).toBe('exact');
    expect(matchVary(chrome, fields({ 'Accept-Encoding': 'deflate' }), gzipOnly)).toBe('none');
  });
});

describe('RFC 9111 section 4.1: one of several', () => {
  const a = stored({ Vary: 'Foo', Date: date(-9) }, { id: 'a', request: { Foo: '1' } });
  const b = stored({ Vary: 'Foo', Date: date(-5) }, { id: 'b', request: { Foo: '1' } });
  const c = stored({ Vary: 'Foo', Date: date(-1) }, { id: 'c', request: { Foo: '2' } });
  const plain = stored({ Date: date(0) }, { id: 'plain' });

  test.each<[string, string[], string, string | undefined, string[]]>([
    ['nothing', [], '1', undefined, []],
    ['one that does not match', ['c'], '1', undefined, []],
    ['the most recent by Date', ['a', 'b', 'c'], '1', 'b', ['a']],
    ['with Vary before without', ['plain', 'a'], '1', 'a', ['plain']],
    ['without Vary where no other matches', ['plain', 'a'], '3', 'plain', []],
  ])('%s', (_, ids, foo, chosen, others) => {
    const all = { a, b, c, plain };
    const list = ids.map((id) => all[id as keyof typeof all]);
    for (const order of [list, [...list].reverse()]) {
      const selected = select(order, fields({ Foo: foo }), POLICY);
      expect(selected?.chosen.id).toBe(chosen);
      expect(selected?.others.map(({ id }) => id) ?? []).toEqual(others);
    }
  });
});

describe('laws', () => {
  const weighted = fc.array(
    fc.tuple(fc.constantFrom('en', 'De', 'x-gzip', 'br', '*'), fc.integer({ min: 0, max: 1000 })),
    { minLength: 1, maxLength: 6 },
  );
  const spell = (list: [string, number][]): string => list.map(([name, q]) => `${name} ; q=${q / 1000}`).join(' ,');

  test('order never matters to a weighted list', () => {
    fc.assert(
      fc.property(weighted, (list) => {
        const normal = normalizeWeighted(spell(list), undefined);
        expect(normal).toBeDefined();
        expect(normalizeWeighted(spell([...list].reverse()), undefined)).toBe(normal);
      }),
    );
  });

  test('what is normalised stays as it is', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const once = normalizeGeneric(text);
        expect(normalizeGeneric(once)).toBe(once);
      }),
    );
  });

  test('requests match exactly if their fields are the same in normal form', () => {
    const value = fc.option(fc.constantFrom('gzip, br', 'br,gzip', 'gzip', '', 'gzip;q=0.5'), { nil: undefined });
    fc.assert(
      fc.property(value, value, (then, now) => {
        const lines = (text: string | undefined): Lines => (text === undefined ? {} : { 'Accept-Encoding': text });
        const kept = stored({ Vary: 'Accept-Encoding' }, { request: lines(then) });
        const normal = (text: string | undefined): unknown => normalizeField('accept-encoding', text ?? null, POLICY);
        const equal = normal(then) === normal(now);
        expect(matchVary(kept, fields(lines(now)), POLICY)).toBe(equal ? 'exact' : 'none');
      }),
    );
  });
});

test.each<[string | undefined, string | undefined, boolean]>([
  [undefined, 'br', true],
  ['gzip', 'gzip', true],
  ['gzip', 'x-gzip', true],
  ['gzip', 'br', false],
  ['*', 'br', true],
  ['*, br;q=0', 'br', false],
  ['gzip', undefined, true],
  ['gzip', 'identity', true],
  ['gzip, identity;q=0', undefined, false],
  ['*;q=0', undefined, false],
  ['', undefined, true],
  ['', 'gzip', false],
  ['gzip', 'gzip, br', false],
  ['gzip;q=x', 'gzip', false],
])('RFC 9110 section 12.5.3: Accept-Encoding %s takes %s: %s', (accept, coding, expected) => {
  expect(acceptsCoding(accept, coding)).toBe(expected);
});

test.each<[string, string | undefined]>([
  ['de', 'de'],
  ['en;q=0.8, DE', 'de'],
  ['*', undefined],
  ['', undefined],
  ['de;q=2', undefined],
])('the preferred language of %j', (value, expected) => {
  expect(preferredLanguage(value)).toBe(expected);
});
