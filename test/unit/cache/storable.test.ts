import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NO_REQUEST_DIRECTIVES } from '../../../src/cache/cache-control.js';
import { currentAge } from '../../../src/cache/freshness.js';
import { type CachePolicy } from '../../../src/cache/policy.js';
import { judgeReuse } from '../../../src/cache/reuse.js';
import { isComplete } from '../../../src/cache/spans.js';
import { type Draft, type Place, finishRecord, judgeStorable } from '../../../src/cache/storable.js';
import { restoreStored } from '../../../src/cache/stored.js';
import { Fields } from '../../../src/http/head.js';
import { type Lines, T0, URI, arrival, date, get, policy, response } from './build.js';

const FRESH = { 'Cache-Control': 'max-age=60' };

/** Why not, or `stored`. */
function judge(lines: Lines, status = 200, request = get(), how?: Partial<CachePolicy>): string {
  const verdict = judgeStorable(arrival(response({ Date: date(), ...lines }, status), request), policy(how));
  return verdict.store ? 'stored' : verdict.why;
}

function draft(lines: Lines, status = 200, request = get(), how?: Partial<CachePolicy>): Draft {
  const verdict = judgeStorable(arrival(response({ Date: date(), ...lines }, status), request), policy(how));
  if (!verdict.store) throw new Error(verdict.why);
  return verdict.draft;
}

describe('RFC 9111 section 3: storing', () => {
  test.each<[string, Lines, number, string]>([
    ['max-age', FRESH, 200, 'stored'],
    ['s-maxage', { 'Cache-Control': 's-maxage=60' }, 200, 'stored'],
    ['Expires', { Expires: date(60) }, 200, 'stored'],
    ['Last-Modified', { 'Last-Modified': date(-60) }, 200, 'stored'],
    ['a validator and nothing else', { ETag: '"a"' }, 200, 'stored'],
    ['nothing at all', {}, 200, 'useless'],
    ['stale on arrival', { 'Cache-Control': 'max-age=60', Age: '60' }, 200, 'useless'],
    ['stale on arrival with a validator', { 'Cache-Control': 'max-age=60', Age: '60', ETag: '"a"' }, 200, 'stored'],
    ['stale, but usable', { 'Cache-Control': 'max-age=0, stale-while-revalidate=9' }, 200, 'stored'],
    ['5.2.2.5 no-store', { 'Cache-Control': 'no-store' }, 200, 'no-store'],
    ['no-store beside a lifetime', { 'Cache-Control': 'max-age=60, no-store', Expires: date(60) }, 200, 'no-store'],
    ['5.2.2.7 private', { 'Cache-Control': 'private, max-age=60' }, 200, 'private'],
    ['private and public', { 'Cache-Control': 'public, private, max-age=60' }, 200, 'private'],
    ['private fields', { 'Cache-Control': 'private="a", max-age=60' }, 200, 'stored'],
    ['5.2.2.4 no-cache without a validator', { 'Cache-Control': 'no-cache, max-age=60' }, 200, 'useless'],
    ['no-cache with one', { 'Cache-Control': 'no-cache', ETag: '"a"' }, 200, 'stored'],
    ['no-cache for fields', { 'Cache-Control': 'no-cache="a", max-age=60' }, 200, 'stored'],
    ['a status nobody knows, explicitly fresh', FRESH, 599, 'stored'],
    ['the same with nothing to go by', { ETag: '"a"' }, 599, 'no-freshness'],
    ['the same, public', { 'Cache-Control': 'public', 'Last-Modified': date(-60) }, 599, 'stored'],
    [
      '5.2.2.3 must-understand: a status it knows',
      { 'Cache-Control': 'max-age=60, no-store, must-understand' },
      200,
      'stored',
    ],
    ['and one it does not', { 'Cache-Control': 'max-age=60, must-understand' }, 599, 'status'],
    ['302 heuristically', { 'Last-Modified': date(-60) }, 302, 'no-freshness'],
    ['302 explicitly', FRESH, 302, 'stored'],
    ['404 heuristically', { 'Last-Modified': date(-60) }, 404, 'stored'],
    ['503 explicitly', FRESH, 503, 'stored'],
    ['304', FRESH, 304, 'status'],
    ['412', FRESH, 412, 'status'],
    ['416', FRESH, 416, 'status'],
    ['Vary: *', { ...FRESH, Vary: 'Foo, *' }, 200, 'vary'],
    [
      'RFC 9213: the targeted field decides',
      { 'CDN-Cache-Control': 'max-age=60', 'Cache-Control': 'no-store' },
      200,
      'stored',
    ],
    ['and forbids', { 'CDN-Cache-Control': 'no-store', 'Cache-Control': 'max-age=60' }, 200, 'no-store'],
    ['and private', { 'CDN-Cache-Control': 'private', 'Cache-Control': 'max-age=60' }, 200, 'private'],
    [
      'but not if it is broken',
      { 'CDN-Cache-Control': 'max-age=60, &&', 'Cache-Control': 'no-store' },
      200,
      'no-store',
    ],
  ])('%s', (_, lines, status, expected) => {
    expect(judge(lines, status)).toBe(expected);
  });

  test('5.2.1.5: a request with no-store', () => {
    const verdict = judgeStorable(
      arrival(response(FRESH), get(), { ...NO_REQUEST_DIRECTIVES, noStore: true }),
      policy(),
    );
    expect(verdict).toEqual({ store: false, why: 'request-no-store' });
  });
});

describe('RFC 9111 section 3.5: Authorization', () => {
  const request = get({ Authorization: 'Basic YTpi' });
  test.each<[string, string]>([
    ['max-age=60', 'authorization'],
    ['max-age=60, public', 'stored'],
    ['max-age=60, must-revalidate', 'stored'],
    ['s-maxage=60', 'stored'],
    ['max-age=60, proxy-revalidate', 'authorization'],
    ['max-age=60, no-cache', 'authorization'],
  ])('%s', (value, expected) => {
    expect(judge({ 'Cache-Control': value }, 200, request)).toBe(expected);
  });
});

describe('methods', () => {
  test.each(['HEAD', 'PUT', 'DELETE', 'OPTIONS', 'M-SEARCH'])('%s is not stored', (method) => {
    expect(judge(FRESH, 200, get({}, method))).toBe('method');
  });

  test.each<[string, Lines, number, string]>([
    ['of its target and explicitly fresh', { ...FRESH, 'Content-Location': URI }, 200, 'stored'],
    ['of its target, relatively', { ...FRESH, 'Content-Location': '/a' }, 200, 'stored'],
    ['of its target, emptily', { ...FRESH, 'Content-Location': '' }, 200, 'stored'],
    ['of something else', { ...FRESH, 'Content-Location': '/b' }, 200, 'method'],
    ['of nothing', FRESH, 200, 'method'],
    ['heuristically fresh', { 'Last-Modified': date(-60), 'Content-Location': URI }, 200, 'method'],
    ['an error', { ...FRESH, 'Content-Location': URI }, 404, 'method'],
  ])('RFC 9110 section 9.3.3: a POST %s', (_, lines, status, expected) => {
    expect(judge(lines, status, get({}, 'POST'))).toBe(expected);
  });
});

describe('the operator about Set-Cookie', () => {
  const explicit = { ...FRESH, 'Set-Cookie': 'a=b' };
  const guessed = { 'Last-Modified': date(-60), 'Set-Cookie': 'a=b' };
  test.each<[CachePolicy['setCookie'], string, string]>([
    ['store', 'stored', 'stored'],
    ['explicit', 'stored', 'set-cookie'],
    ['strip', 'stored', 'stored'],
    ['refuse', 'set-cookie', 'set-cookie'],
  ])('%s', (setCookie, ifExplicit, ifGuessed) => {
    expect(judge(explicit, 200, get(), { setCookie })).toBe(ifExplicit);
    expect(judge(guessed, 200, get(), { setCookie })).toBe(ifGuessed);
  });

  test('strip', () => {
    const { record } = draft(explicit, 200, get(), { setCookie: 'strip' });
    expect(Fields.fromRaw(record.fields).has('set-cookie')).toBe(false);
  });
});

test('RFC 9111 section 3.1: fields that are not stored', () => {
  const { record } = draft({
    'Cache-Control': 'max-age=60, private="secret"',
    Connection: 'x-hop, close',
    'X-Hop': '1',
    'Keep-Alive': '1',
    TE: '1',
    Upgrade: '1',
    'Transfer-Encoding': 'chunked',
    'Proxy-Connection': '1',
    'Proxy-Authenticate': '1',
    'Proxy-Authentication-Info': '1',
    'Proxy-Authorization': '1',
    Secret: '1',
    'Set-Cookie': ['a=1', 'b=2'],
    'X-Anything': 'kept',
  });
  expect([...Fields.fromRaw(record.fields)]).toEqual([
    ['Date', date()],
    ['Cache-Control', 'max-age=60, private="secret"'],
    ['Set-Cookie', 'a=1'],
    ['Set-Cookie', 'b=2'],
    ['X-Anything', 'kept'],
  ]);
});

test.each(['foo', undefined])('RFC 9110 section 6.6.1: Date %s becomes the time of arrival', (value) => {
  const verdict = judgeStorable(arrival(response(value === undefined ? FRESH : { ...FRESH, Date: value })), policy());
  expect(verdict.store && Fields.fromRaw(verdict.draft.record.fields).get('date')).toBe(date());
});

describe('RFC 9111 section 3.3: parts', () => {
  const ranged = get({ Range: 'bytes=0-4' });
  test.each<[string, Lines, Partial<CachePolicy['partial']>, Place | undefined]>([
    ['a part', { 'Content-Range': 'bytes 2-6/10' }, {}, { first: 2, end: 7, total: 10 }],
    ['a part of who knows what', { 'Content-Range': 'bytes 2-6/*' }, {}, { first: 2, end: 7, total: undefined }],
    ['with a length', { 'Content-Range': 'bytes 2-6/10', 'Content-Length': '5' }, {}, { first: 2, end: 7, total: 10 }],
    ['with another length', { 'Content-Range': 'bytes 4-9/10', 'Content-Length': '5' }, {}, undefined],
    [
      'with another length, repaired',
      { 'Content-Range': 'bytes 4-9/10', 'Content-Length': '5' },
      { inconsistent: 'repair' },
      { first: 4, end: 9, total: 9 },
    ],
    [
      'too long to be repaired',
      { 'Content-Range': 'bytes 4-9/10', 'Content-Length': '7' },
      { inconsistent: 'repair' },
      undefined,
    ],
    [
      'in the middle, not to be repaired',
      { 'Content-Range': 'bytes 4-8/10', 'Content-Length': '3' },
      { inconsistent: 'repair' },
      undefined,
    ],
    ['beyond its end', { 'Content-Range': 'bytes 2-10/10' }, {}, undefined],
    ['backwards', { 'Content-Range': 'bytes 6-2/10' }, {}, undefined],
    ['another unit', { 'Content-Range': 'lines 2-6/10' }, {}, undefined],
    ['several parts', { 'Content-Type': 'multipart/byteranges; boundary=x' }, {}, undefined],
    ['not wanted', { 'Content-Range': 'bytes 2-6/10' }, { store: false }, undefined],
  ])('%s', (_, lines, partial, place) => {
    const how = policy({ partial: { ...policy().partial, ...partial } });
    const verdict = judgeStorable(arrival(response({ ...FRESH, ...lines }, 206), ranged), how);
    expect(verdict.store ? verdict.draft.place : verdict.why).toEqual(place ?? 'range');
  });

  test('206 to a request without Range', () => {
    expect(judge({ ...FRESH, 'Content-Range': 'bytes 2-6/10' }, 206)).toBe('range');
  });

  test('is stored as an incomplete 200 without the fields of the part', () => {
    const { record } = draft({ ...FRESH, 'Content-Range': 'bytes 2-6/10', 'Content-Length': '5' }, 206, ranged);
    expect(record.status).toBe(200);
    expect(Fields.fromRaw(record.fields).has('content-range')).toBe(false);
    expect(Fields.fromRaw(record.fields).has('content-length')).toBe(false);
  });
});

describe('what becomes of a body', () => {
  const tagged = { ...FRESH, ETag: '"a"' };
  test.each<[string, Lines, number, boolean, unknown]>([
    [
      'as long as announced',
      { ...tagged, 'Content-Length': '10' },
      10,
      true,
      { total: 10, spans: [{ first: 0, end: 10 }] },
    ],
    ['chunked', tagged, 7, true, { total: 7, spans: [{ first: 0, end: 7 }] }],
    ['empty', { ...tagged, 'Content-Length': '0' }, 0, true, { total: 0, spans: [] }],
    ['cut off', { ...tagged, 'Content-Length': '10' }, 4, false, { total: 10, spans: [{ first: 0, end: 4 }] }],
    ['cut off while chunked', tagged, 4, false, { total: undefined, spans: [{ first: 0, end: 4 }] }],
    ['cut off before it began', tagged, 0, false, undefined],
    ['cut off without a strong validator', { ...FRESH, ETag: 'W/"a"', 'Content-Length': '10' }, 4, false, undefined],
    ['shorter than announced though it ended well', { ...FRESH, 'Content-Length': '10' }, 4, true, undefined],
  ])('%s', (_, lines, received, whole, extent) => {
    expect(finishRecord(draft(lines), received, whole)?.extent).toEqual(extent);
  });

  test('an object that was cut off never looks whole', () => {
    const length = fc.option(fc.nat(50), { nil: undefined });
    fc.assert(
      fc.property(length, fc.nat(50), (announced, received) => {
        const lines = announced === undefined ? tagged : { ...tagged, 'Content-Length': String(announced) };
        const record = finishRecord(draft(lines), received, false);
        if (record !== undefined && announced !== received) expect(isComplete(record.extent)).toBe(false);
      }),
    );
  });
});

test('what is fresh was storable, and what forbids storing is never fresh', () => {
  const parts = [
    'max-age=9',
    's-maxage=5',
    'no-store',
    'private',
    'no-cache',
    'public',
    'must-revalidate',
    'x="no-store"',
    'max-age=a',
  ];
  const lines = fc.record({
    'Cache-Control': fc.subarray(parts).map((chosen) => chosen.join(', ')),
    ETag: fc.constantFrom('"a"', 'W/"a"'),
    Age: fc.constantFrom('0', '7', 'x'),
  });
  fc.assert(
    fc.property(lines, fc.nat(20_000), (given, later) => {
      const verdict = judgeStorable(arrival(response({ Date: date(), ...given })), policy());
      const control = given['Cache-Control'];
      expect(verdict.store).toBe(!/(^|, )(no-store|private)/.test(control));
      if (!verdict.store) return;
      const record = finishRecord(verdict.draft, 10, true);
      if (record === undefined) throw new Error('not kept');
      const kept = restoreStored('one', record, policy());
      const reuse = judgeReuse(kept, NO_REQUEST_DIRECTIVES, T0 + later, policy());
      const isFresh = kept.freshness.lifetime > currentAge(kept.freshness, T0, T0 + later);
      expect(reuse.kind === 'fresh').toBe(isFresh && !control.includes('no-cache'));
    }),
  );
});
