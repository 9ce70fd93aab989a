import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Freshness, ageValue, currentAge, judgeFreshness } from '../../../src/cache/freshness.js';
import { governing } from '../../../src/cache/targeted.js';
import { HOUR, type Lines, SECOND, T0, date, fields, policy } from './build.js';

const DAY = 24 * HOUR;

function judge(lines: Lines, status = 200, requestTime = T0, responseTime = T0, how = policy()): Freshness {
  const all = fields({ Date: date(), ...lines });
  return judgeFreshness(status, all, governing(all, how.targets), { requestTime, responseTime }, how);
}

describe('RFC 9111 section 4.2.1: freshness lifetime', () => {
  test.each<[string, Lines, number, Freshness['basis']]>([
    ['max-age', { 'Cache-Control': 'max-age=60' }, 60, 'explicit'],
    ['s-maxage before max-age', { 'Cache-Control': 'max-age=60, s-maxage=5' }, 5, 'explicit'],
    [
      's-maxage before max-age, longer',
      { 'Cache-Control': 's-maxage=500, max-age=0', Expires: date(-10) },
      500,
      'explicit',
    ],
    ['max-age before Expires', { 'Cache-Control': 'max-age=60', Expires: date(-10) }, 60, 'explicit'],
    ['max-age=0 before Expires', { 'Cache-Control': 'max-age=0', Expires: date(60) }, 0, 'explicit'],
    ['Expires', { Expires: date(60) }, 60, 'explicit'],
    ['Expires is counted from Date', { Expires: date(60), Date: date(50) }, 10, 'explicit'],
    ['Expires before Date', { Expires: date(300), Date: date(400) }, 0, 'explicit'],
    ['Expires with a Date that is none', { Expires: date(60), Date: 'foo' }, 60, 'explicit'],
    ['Expires: 0', { Expires: '0' }, 0, 'explicit'],
    ['Expires in another zone', { Expires: 'Thu, 18 Aug 2050 02:01:18 UTC' }, 0, 'explicit'],
    ['Expires in RFC 850 form', { Expires: 'Thursday, 15-Jan-26 12:01:00 GMT' }, 60, 'explicit'],
    ['Expires in asctime form', { Expires: 'Thu Jan 15 12:01:00 2026' }, 60, 'explicit'],
    ['Expires in capitals', { Expires: 'THU, 15 JAN 2026 12:01:00 gmt' }, 60, 'explicit'],
    ['two Expires: the first', { Expires: [date(60), date(90)] }, 60, 'explicit'],
    [
      'a faulty lifetime is none, and no reason to guess',
      { 'Cache-Control': 'max-age=a', 'Last-Modified': date(-9999) },
      0,
      'explicit',
    ],
    ['RFC 9213: a targeted field silences Expires', { 'CDN-Cache-Control': 'public', Expires: date(60) }, 0, 'none'],
    ['nothing', {}, 0, 'none'],
  ])('%s', (_, lines, seconds, basis) => {
    expect(judge(lines)).toMatchObject({ lifetime: seconds * SECOND, basis });
  });
});

describe('RFC 9111 section 4.2.2: heuristics', () => {
  const modified = { 'Last-Modified': date(-24 * 3600) };
  test.each([200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501])('%i may be guessed at', (status) => {
    expect(judge(modified, status)).toMatchObject({ lifetime: 0.1 * DAY, basis: 'heuristic' });
  });

  test.each([201, 202, 302, 403, 502, 503, 504, 599])('%i may not, unless it is public', (status) => {
    expect(judge(modified, status).basis).toBe('none');
    expect(judge({ ...modified, 'Cache-Control': 'public' }, status)).toMatchObject({ basis: 'heuristic' });
  });

  test.each<[string, Lines, number]>([
    ['a tenth', { 'Last-Modified': date(-100) }, 10],
    ['not longer than the limit', { 'Last-Modified': 'Sat, 01 Jan 2000 00:00:00 GMT' }, DAY / SECOND],
    ['modified in the future', { 'Last-Modified': date(100) }, 0],
    ['not a date', { 'Last-Modified': 'yesterday' }, 0],
    ['Pragma: no-cache', { 'Last-Modified': date(-100), Pragma: 'no-cache' }, 0],
  ])('%s', (_, lines, seconds) => {
    expect(judge(lines).lifetime).toBe(seconds * SECOND);
  });

  test('the operator sets the fraction, and 0 means none', () => {
    expect(judge(modified, 200, T0, T0, policy({ heuristicFraction: 0.5 })).lifetime).toBe(DAY / 2);
    expect(judge(modified, 200, T0, T0, policy({ heuristicFraction: 0 })).basis).toBe('none');
  });
});

test('negative answers live as long as the operator says, after everything the origin says', () => {
  const how = policy({
    negative: {
      lifetimes: new Map([
        [404, 5 * SECOND],
        [200, 9],
        [410, 0],
      ]),
    },
  });
  expect(judge({}, 404, T0, T0, how)).toMatchObject({ lifetime: 5 * SECOND, basis: 'negative' });
  expect(judge({ 'Cache-Control': 'max-age=1' }, 404, T0, T0, how)).toMatchObject({
    lifetime: SECOND,
    basis: 'explicit',
  });
  expect(judge({}, 200, T0, T0, how).basis).toBe('none');
  expect(judge({}, 410, T0, T0, how).basis).toBe('none');
});

describe('RFC 9111 section 4.2.3: age', () => {
  test.each<[string, Lines, number, number, number]>([
    ['new', {}, 0, 0, 0],
    ['the Age of a cache before us', { Age: '30' }, 0, 0, 30],
    ['and the time its answer took', { Age: '30' }, 0, 2, 32],
    ['Date says more', { Date: date(-50), Age: '30' }, 0, 2, 52],
    ['Date counts whole seconds only', { Date: date(0) }, 0.9, 0.9, 0],
    ['a Date in the future', { Date: date(500) }, 0, 0, 0],
    ['a Date that is none', { Date: 'foo', Age: '7' }, 0, 0, 7],
    ['2^31 and more', { Age: '99999999999' }, 0, 0, 2_147_483_648],
  ])('%s', (_, lines, asked, answered, seconds) => {
    const { initialAge } = judge(lines, 200, T0 + asked * SECOND, T0 + answered * SECOND);
    expect(initialAge).toBe(seconds * SECOND);
  });

  test.each<[string | readonly string[], number]>([
    ['7', 7],
    ['7, 0', 7],
    ['0, 7', 0],
    [['7', '0'], 7],
    [['0', '7'], 0],
    ['abc', 0],
    ['-7', 0],
    ['7.0', 0],
    ['7;foo=bar', 0],
    ['', 0],
  ])('5.1: Age: %j', (value, seconds) => {
    expect(ageValue(fields({ Age: value }))).toBe(seconds);
  });

  test('never negative, never shrinking, whatever clocks and peers say', () => {
    const moment = fc.integer({ min: 0, max: T0 * 2 });
    const line = fc.option(
      fc.oneof(
        fc.string(),
        moment.map((ms) => new Date(ms).toUTCString()),
        moment.map(String),
      ),
      { nil: undefined },
    );
    fc.assert(
      fc.property(line, line, line, moment, moment, moment, moment, (Date, Age, Expires, sent, got, now, later) => {
        const given = Object.entries({ Date, Age, Expires }).filter(([, value]) => value !== undefined);
        const freshness = judge(Object.fromEntries(given) as Lines, 200, sent, got);
        const age = currentAge(freshness, got, now);
        expect(freshness.lifetime).toBeGreaterThanOrEqual(0);
        expect(age).toBeGreaterThanOrEqual(0);
        expect(currentAge(freshness, got, Math.max(now, later))).toBeGreaterThanOrEqual(age);
      }),
    );
  });
});
