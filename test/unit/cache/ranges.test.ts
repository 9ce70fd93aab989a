import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canCombine, combinedExtent, completionRequest, wouldComplete } from '../../../src/cache/combine.js';
import { makeMultipart } from '../../../src/cache/multipart.js';
import {
  type RangeAnswer,
  answerRange,
  formatRange,
  parseContentRange,
  parseRange,
} from '../../../src/cache/ranges.js';
import {
  type Extent,
  type Span,
  addSpan,
  containsSpan,
  isComplete,
  missingSpan,
  wholeExtent,
} from '../../../src/cache/spans.js';
import { type Lines, T0, date, fields, policy, response, stored } from './build.js';

const WHOLE: Extent = wholeExtent(100);
const PART: Extent = {
  total: 100,
  spans: [
    { first: 10, end: 20 },
    { first: 90, end: 100 },
  ],
};
const UNKNOWN: Extent = { total: undefined, spans: [{ first: 0, end: 20 }] };

function spans(...list: [number, number][]): RangeAnswer {
  const [first, ...rest] = list.map(([from, end]) => ({ first: from, end }));
  if (first === undefined) throw new Error('no span');
  return { kind: 'spans', spans: [first, ...rest] };
}

describe('RFC 9110 section 14: ranges of what is stored', () => {
  test.each<[string, Extent, RangeAnswer | 'ignored']>([
    ['bytes=0-9', WHOLE, spans([0, 10])],
    ['BYTES=0-9', WHOLE, spans([0, 10])],
    ['bytes= 0-0 , ,5-5', WHOLE, spans([0, 1], [5, 6])],
    ['bytes=95-', WHOLE, spans([95, 100])],
    ['bytes=95-99999999999999999999999', WHOLE, spans([95, 100])],
    ['bytes=-5', WHOLE, spans([95, 100])],
    ['bytes=-500', WHOLE, spans([0, 100])],
    ['bytes=100-', WHOLE, { kind: 'unsatisfiable', total: 100 }],
    ['bytes=-0', WHOLE, { kind: 'unsatisfiable', total: 100 }],
    ['bytes=99999999999999999999999-', WHOLE, { kind: 'unsatisfiable', total: 100 }],
    ['bytes=100-, 3-4', WHOLE, spans([3, 5])],
    ['bytes=5-9, 0-1', WHOLE, spans([5, 10], [0, 2])],
    ['bytes=0-4, 5-9', WHOLE, spans([0, 10])],
    ['bytes=0-4, 3-9, 20-29', WHOLE, spans([0, 10], [20, 30])],
    ['bytes=0-9, 1-9, 2-9, 3-9', WHOLE, { kind: 'whole' }],
    ['bytes=0-0,2-2,4-4,6-6,8-8', WHOLE, { kind: 'whole' }],
    ['bytes=5-4', WHOLE, 'ignored'],
    ['bytes=a-b', WHOLE, 'ignored'],
    ['bytes=1-2-3', WHOLE, 'ignored'],
    ['bytes=-', WHOLE, 'ignored'],
    ['bytes=', WHOLE, 'ignored'],
    ['bytes 0-9', WHOLE, 'ignored'],
    ['lines=0-9', WHOLE, 'ignored'],
    ['bytes=10-19', PART, spans([10, 20])],
    ['bytes=12-13,95-', PART, spans([12, 14], [95, 100])],
    ['bytes=10-20', PART, { kind: 'missing' }],
    ['bytes=-10', PART, spans([90, 100])],
    ['bytes=-11', PART, { kind: 'missing' }],
    ['bytes=100-', PART, { kind: 'unsatisfiable', total: 100 }],
    ['bytes=0-19', UNKNOWN, spans([0, 20])],
    ['bytes=0-', UNKNOWN, { kind: 'missing' }],
    ['bytes=-1', UNKNOWN, { kind: 'missing' }],
    ['bytes=-1', wholeExtent(0), { kind: 'whole' }],
    ['bytes=0-', wholeExtent(0), { kind: 'unsatisfiable', total: 0 }],
  ])('%s', (value, extent, expected) => {
    const specs = parseRange(value);
    expect(specs === undefined ? 'ignored' : answerRange(specs, extent, 4)).toEqual(expected);
  });

  test.each<[string | undefined, unknown]>([
    ['bytes 0-9/10', { span: { first: 0, end: 10 }, total: 10 }],
    ['bytes 0-9/*', { span: { first: 0, end: 10 }, total: undefined }],
    ['bytes 0-10/10', undefined],
    ['bytes 5-4/10', undefined],
    ['bytes */10', undefined],
    ['bytes=0-9/10', undefined],
    ['other 0-9/10', undefined],
    [undefined, undefined],
  ])('Content-Range: %s', (value, expected) => {
    expect(parseContentRange(value)).toEqual(expected);
  });

  test('the length of a multipart answer is told beforehand', () => {
    const multipart = makeMultipart(
      [
        { first: 0, end: 2 },
        { first: 5, end: 9 },
      ],
      10,
      'text/plain',
      'B',
    );
    const body =
      multipart.parts.map(({ preamble, span }) => preamble + 'x'.repeat(span.end - span.first)).join('') +
      multipart.closing;
    expect(body).toBe(
      '--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\nxx' +
        '\r\n--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 5-8/10\r\n\r\nxxxx\r\n--B--\r\n',
    );
    expect(multipart.length).toBe(body.length);
    expect(multipart.contentType).toBe('multipart/byteranges; boundary=B');
  });
});

describe('spans', () => {
  const span = fc
    .tuple(fc.nat(40), fc.integer({ min: 0, max: 12 }))
    .map(([first, length]): Span => ({ first, end: first + length }));
  /** The slow way: one flag a byte. */
  const bytes = (list: readonly Span[]): string =>
    Array.from({ length: 60 }, (_, i) => (list.some(({ first, end }) => first <= i && i < end) ? 'x' : '.')).join('');

  test('adding is what a set of bytes does, and the list stays ascending and apart', () => {
    fc.assert(
      fc.property(fc.array(span), (list) => {
        const sum = list.reduce<Span[]>(addSpan, []);
        expect(bytes(sum)).toBe(bytes(list));
        sum.forEach(({ first, end }, i) => {
          expect(end).toBeGreaterThan(first);
          const next = sum[i + 1];
          if (next !== undefined) expect(next.first).toBeGreaterThan(end);
        });
      }),
    );
  });

  test('bringing what is missing makes it complete', () => {
    fc.assert(
      fc.property(fc.array(span), (list) => {
        const extent: Extent = { total: 52, spans: list.reduce<Span[]>(addSpan, []) };
        const missing = missingSpan(extent);
        expect(missing === undefined).toBe(isComplete(extent));
        if (missing === undefined) return;
        expect(containsSpan(extent, missing)).toBe(false);
        expect(isComplete({ total: 52, spans: addSpan(extent.spans, missing) })).toBe(true);
      }),
    );
  });

  test('a range is answered with stored bytes only, and all that are wanted', () => {
    const spec = fc.oneof(
      fc.tuple(fc.nat(60), fc.nat(20)).map(([first, more]) => `${first}-${first + more}`),
      fc.nat(60).map((first) => `${first}-`),
      fc.nat(60).map((length) => `-${length}`),
    );
    fc.assert(
      fc.property(fc.array(spec, { minLength: 1, maxLength: 5 }), fc.array(span), (specs, list) => {
        const extent: Extent = { total: 52, spans: list.reduce<Span[]>(addSpan, []) };
        const parsed = parseRange(`bytes=${specs.join(',')}`);
        if (parsed === undefined) throw new Error(specs.join());
        const answer = answerRange(parsed, extent, 9);
        if (answer.kind !== 'spans') return;
        const wanted = answerRange(parsed, wholeExtent(52), 9);
        expect(answer.spans.every((each) => containsSpan(extent, each))).toBe(true);
        expect(wanted).toEqual(answer);
      }),
    );
  });
});

describe('RFC 9111 section 3.4: joining parts', () => {
  const half = (lines: Lines) => stored(lines, { record: { extent: { total: 10, spans: [{ first: 0, end: 5 }] } } });
  const place = { first: 5, end: 10, total: 10 };
  const times = { requestTime: T0, responseTime: T0 };

  test.each<[string, Lines, Lines, boolean]>([
    ['the same strong tag', { ETag: '"a"' }, { ETag: '"a"' }, true],
    ['another tag', { ETag: '"a"' }, { ETag: '"b"' }, false],
    ['a weak tag', { ETag: 'W/"a"' }, { ETag: 'W/"a"' }, false],
    ['a tag that is no longer there', { ETag: '"a"' }, {}, false],
    ['no validator', {}, {}, false],
    ['the same strong date', { 'Last-Modified': date(-60) }, { 'Last-Modified': date(-60) }, true],
    ['another date', { 'Last-Modified': date(-60) }, { 'Last-Modified': date(-50) }, false],
    ['a date of this very second', { 'Last-Modified': date(0) }, { 'Last-Modified': date(0) }, false],
    [
      'the same date, but a tag as well',
      { 'Last-Modified': date(-60) },
      { 'Last-Modified': date(-60), ETag: '"a"' },
      false,
    ],
  ])('%s', (_, before, after, expected) => {
    expect(canCombine(half(before), response({ Date: date(), ...after }, 206), place, times)).toBe(expected);
  });

  test('not where the lengths disagree', () => {
    const tagged = { ETag: '"a"' };
    expect(canCombine(half(tagged), response(tagged, 206), { ...place, total: 11 }, times)).toBe(false);
    expect(canCombine(half(tagged), response(tagged, 206), { ...place, total: undefined }, times)).toBe(true);
  });

  test('what is there afterwards', () => {
    const { extent } = half({}).record;
    expect(combinedExtent(extent, place, 5)).toEqual(wholeExtent(10));
    expect(combinedExtent(extent, place, 2)).toEqual({ total: 10, spans: [{ first: 0, end: 7 }] });
    expect(wouldComplete(half({}), place)).toBe(true);
    expect(wouldComplete(half({}), { ...place, first: 6 })).toBe(false);
  });

  test.each<[string, Lines, 'never' | 'validated' | 'always', Lines | undefined]>([
    ['with a tag', { ETag: '"a"' }, 'validated', { Range: 'bytes=5-', 'If-Range': '"a"' }],
    ['with a date', { 'Last-Modified': date(-60) }, 'validated', { Range: 'bytes=5-', 'If-Range': date(-60) }],
    ['not with a weak tag', { ETag: 'W/"a"', 'Last-Modified': date(-60) }, 'validated', undefined],
    ['not without a validator', {}, 'validated', undefined],
    ['but if the operator says so', {}, 'always', { Range: 'bytes=5-' }],
    ['not if the operator says so', { ETag: '"a"' }, 'never', undefined],
  ])('3.3: asking for the rest %s', (_, lines, complete, expected) => {
    const how = policy({ partial: { ...policy().partial, complete } });
    const asked = completionRequest(fields({ 'If-None-Match': '"x"' }), half(lines), how);
    expect(asked === undefined ? undefined : [...asked]).toEqual(expected && [...fields(expected)]);
  });

  test('the rest in the middle has an end', () => {
    expect(formatRange({ first: 5, end: 8 }, 10)).toBe('bytes=5-7');
  });
});
