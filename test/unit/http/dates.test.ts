import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatHttpDate, parseHttpDate } from '../../../src/http/dates.js';

const NOW = Date.UTC(2026, 5, 15);
const EXAMPLE = Date.UTC(1994, 10, 6, 8, 49, 37);

describe('the three forms of RFC 9110 section 5.6.7', () => {
  test.each([
    ['Sun, 06 Nov 1994 08:49:37 GMT', EXAMPLE],
    ['Sunday, 06-Nov-94 08:49:37 GMT', EXAMPLE],
    ['Sun Nov  6 08:49:37 1994', EXAMPLE],
    ['Wed Nov 16 08:49:37 1994', Date.UTC(1994, 10, 16, 8, 49, 37)],
    ['sUN, 06 nOV 1994 08:49:37 gmt', EXAMPLE],
    ['SUNDAY, 06-NOV-94 08:49:37 gmt', EXAMPLE],
    ['SUN NOV  6 08:49:37 1994', EXAMPLE],
    ['Mon, 06 Nov 1994 08:49:37 GMT', EXAMPLE],
    ['Thu, 01 Jan 1970 00:00:00 GMT', 0],
    ['Sat, 29 Feb 2020 23:59:59 GMT', Date.UTC(2020, 1, 29, 23, 59, 59)],
    ['Sat, 31 Dec 2016 23:59:60 GMT', Date.UTC(2016, 11, 31, 23, 59, 59)],
    ['Fri, 31 Dec 9999 23:59:59 GMT', Date.UTC(9999, 11, 31, 23, 59, 59)],
    ['Sat, 01 Jan 0001 00:00:00 GMT', Date.parse('0001-01-01T00:00:00Z')],
  ])('%s', (text, expected) => expect(parseHttpDate(text, NOW)).toBe(expected));
});

test.each([
  ['Friday, 01-Jan-76 00:00:00 GMT', 2076],
  ['Friday, 14-Jun-76 00:00:00 GMT', 2076],
  ['Friday, 16-Jun-76 00:00:00 GMT', 1976],
  ['Friday, 01-Jan-77 00:00:00 GMT', 1977],
  ['Friday, 01-Jan-26 00:00:00 GMT', 2026],
  ['Friday, 01-Jan-00 00:00:00 GMT', 2000],
])('%s is in %i, because it is at most 50 years ahead', (text, year) => {
  expect(new Date(parseHttpDate(text, NOW) ?? Number.NaN).getUTCFullYear()).toBe(year);
});

test.each([
  '',
  '0',
  '-1',
  'Sun',
  ',',
  'Sun, 06 Nov 1994 08:49:37',
  'Sun, 06 Nov 1994 08:49:37 UTC',
  'Sun, 06 Nov 1994 08:49:37 +0000',
  'Sun, 06 Nov 1994 8:49:37 GMT',
  'Sun, 6 Nov 1994 08:49:37 GMT',
  'Sun,  6 Nov 1994 08:49:37 GMT',
  'Sun, 06-Nov-1994 08:49:37 GMT',
  'Sun, 06 Nov 1994 08.49.37 GMT',
  'Sun, 06 Nov 94 08:49:37 GMT',
  'Sun 06 Nov 1994 08:49:37 GMT',
  'Xyz, 06 Nov 1994 08:49:37 GMT',
  'Sun, 06 Foo 1994 08:49:37 GMT',
  'Sun, 00 Nov 1994 08:49:37 GMT',
  'Sun, 31 Nov 1994 08:49:37 GMT',
  'Mon, 29 Feb 2021 08:49:37 GMT',
  'Sun, 06 Nov 1994 24:00:00 GMT',
  'Sun, 06 Nov 1994 08:60:37 GMT',
  'Sun, 06 Nov 1994 08:49:61 GMT',
  ' Sun, 06 Nov 1994 08:49:37 GMT',
  'Sun, 06 Nov 1994 08:49:37 GMT ',
  'Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT',
  'Sun, 06-Nov-94 08:49:37 GMT',
  'Sunday, 06-Nov-1994 08:49:37 GMT',
  'Sunday, 6-Nov-94 08:49:37 GMT',
  'Sun Nov 6 08:49:37 1994',
  'Sun Nov 06 08:49:37 94',
  'Sun Nov  6 08:49:37 1994 GMT',
  '1994-11-06T08:49:37Z',
])('%j is no date', (text) => expect(parseHttpDate(text, NOW)).toBeUndefined());

test('what is written reads back, to the second', () => {
  const earliest = Date.parse('0000-01-01T00:00:00Z');
  const time = fc.integer({ min: earliest, max: Date.UTC(9999, 11, 31, 23, 59, 59, 999) });
  fc.assert(
    fc.property(time, (ms) => {
      expect(parseHttpDate(formatHttpDate(ms), NOW)).toBe(Math.floor(ms / 1000) * 1000);
    }),
    { numRuns: 2000 },
  );
});

test('no date is written for a time that the form cannot hold', () => {
  expect(formatHttpDate(EXAMPLE + 999)).toBe('Sun, 06 Nov 1994 08:49:37 GMT');
  for (const ms of [Number.NaN, Infinity, Date.UTC(10_000, 0), Date.parse('0000-01-01T00:00:00Z') - 1]) {
    expect(() => formatHttpDate(ms)).toThrow(RangeError);
  }
});

test('any text at all', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 40 }), (text) => {
      expect(['number', 'undefined']).toContain(typeof parseHttpDate(text, NOW));
    }),
  );
});
