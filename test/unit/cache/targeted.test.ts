import { describe, expect, test } from 'vitest';
import { NO_RESPONSE_DIRECTIVES, type ResponseDirectives } from '../../../src/cache/cache-control.js';
import { type SfItem, parseDictionary } from '../../../src/cache/structured.js';
import { governing, readTargeted } from '../../../src/cache/targeted.js';
import { fields } from './build.js';

describe('RFC 9651: dictionaries', () => {
  test.each<[string, [string, SfItem][]]>([
    ['', []],
    ['  a=1', [['a', { type: 'integer', value: 1 }]]],
    [
      'a=-12, b=1.25',
      [
        ['a', { type: 'integer', value: -12 }],
        ['b', { type: 'decimal', value: 1.25 }],
      ],
    ],
    [
      'a, b=?0',
      [
        ['a', { type: 'boolean', value: true }],
        ['b', { type: 'boolean', value: false }],
      ],
    ],
    ['a="x\\"y\\\\"', [['a', { type: 'string', value: 'x"y\\' }]]],
    ['a=*to/k:en', [['a', { type: 'token', value: '*to/k:en' }]]],
    ['a=:aGk=:', [['a', { type: 'binary', value: 'aGk=' }]]],
    ['a=@1700000000', [['a', { type: 'date', value: 1_700_000_000 }]]],
    ['a=%"f%c3%bc"', [['a', { type: 'display', value: 'fü' }]]],
    ['a=(1 "b";q  c);x=2', [['a', { type: 'list' }]]],
    [
      'a=1;x;y="z" \t,\t b',
      [
        ['a', { type: 'integer', value: 1 }],
        ['b', { type: 'boolean', value: true }],
      ],
    ],
    [
      'a=1, b=2, a=3',
      [
        ['b', { type: 'integer', value: 2 }],
        ['a', { type: 'integer', value: 3 }],
      ],
    ],
    ['a=999999999999999', [['a', { type: 'integer', value: 999_999_999_999_999 }]]],
    ['*-._9=1', [['*-._9', { type: 'integer', value: 1 }]]],
  ])('%s', (text, expected) => {
    expect([...(parseDictionary(text) ?? [])]).toEqual(expected);
  });

  test.each([
    'A=1',
    '=1',
    'a=',
    'a =1',
    'a= 1',
    'a=1,',
    'a=1 b',
    'a=1,,b',
    ',a',
    'a=1.',
    'a=1.2345',
    'a=1234567890123.1',
    'a=9999999999999999',
    'a=-',
    'a="x',
    'a="\\x"',
    'a="ü"',
    'a=?2',
    'a=:a',
    'a=@1.5',
    'a=%"%C3"',
    'a=%"%ff"',
    'a=(1',
    'a=(1"b")',
    'a;=1',
    'a;B=1',
    'max-age=10000, &&&&&',
    '\ta',
    'a\u007f',
  ])('%j is none', (text) => {
    expect(parseDictionary(text)).toBeUndefined();
  });
});

describe('RFC 9213 section 2.1: directives in a targeted field', () => {
  test.each<[string, Partial<ResponseDirectives>]>([
    ['max-age=5, s-maxage=6', { maxAge: 5, sMaxAge: 6 }],
    ['max-age=99999999999', { maxAge: 2_147_483_648 }],
    ['max-age=-1', { maxAge: 0 }],
    ['no-store, private, must-revalidate', { noStore: true, private: 'all', mustRevalidate: true }],
    ['no-store=?0', {}],
    ['no-cache="a, b"', { noCache: ['a', 'b'] }],
    ['foobar, max-age=5;ignored=1', { maxAge: 5 }],
  ])('%s', (value, expected) => {
    expect(readTargeted(value)).toEqual({ ...NO_RESPONSE_DIRECTIVES, ...expected });
  });

  test.each([
    '',
    'max-age="5"',
    'max-age=5.0',
    'max-age',
    'no-store=1',
    'no-cache=token',
    'private=(a b)',
    'MaX-aGe=5',
    'max-age =5',
  ])('%j has to be ignored', (value) => expect(readTargeted(value)).toBeUndefined());
});

describe('RFC 9213 section 2.2: which field governs', () => {
  const targets = ['example-cache-control', 'cdn-cache-control'];
  test.each<[string, Record<string, string>, string, number | undefined]>([
    [
      'the first on the list',
      { 'CDN-Cache-Control': 'max-age=1', 'Example-Cache-Control': 'max-age=2' },
      'example-cache-control',
      2,
    ],
    [
      'a broken one is absent',
      { 'CDN-Cache-Control': 'max-age=1', 'Example-Cache-Control': 'max-age=' },
      'cdn-cache-control',
      1,
    ],
    ['an empty one is absent', { 'CDN-Cache-Control': '', 'Cache-Control': 'max-age=3' }, 'cache-control', 3],
    [
      'others are not looked at',
      { 'Other-Cache-Control': 'max-age=1', 'Cache-Control': 'max-age=3' },
      'cache-control',
      3,
    ],
    ['nothing at all', {}, 'cache-control', undefined],
  ])('%s', (_, lines, source, maxAge) => {
    const governed = governing(fields(lines), targets);
    expect(governed).toMatchObject({ source, expires: source === 'cache-control' });
    expect(governed.directives.maxAge).toBe(maxAge);
  });

  test('Cache-Control is not heard beside it', () => {
    const { directives } = governing(
      fields({ 'CDN-Cache-Control': 'max-age=9', 'Cache-Control': 'no-store' }),
      targets,
    );
    expect(directives).toEqual({ ...NO_RESPONSE_DIRECTIVES, maxAge: 9 });
  });
});
