import { describe, expect, test } from 'vitest';
import { equalStrongly, equalWeakly, parseEntityTag, parseEntityTags } from '../../../src/cache/etag.js';
import { ifRangeHolds, isNotModified } from '../../../src/cache/preconditions.js';
import { type StoredResponse } from '../../../src/cache/stored.js';
import { agreesWithHead, freshen, identifyForUpdate } from '../../../src/cache/update.js';
import { conditionalRequest } from '../../../src/cache/validate.js';
import { Fields } from '../../../src/http/head.js';
import { type Lines, T0, date, fields, policy, response, stored } from './build.js';

describe('RFC 9110 section 8.8.3: entity tags', () => {
  test.each<[string, string, boolean, boolean]>([
    ['W/"1"', 'W/"1"', false, true],
    ['W/"1"', 'W/"2"', false, false],
    ['W/"1"', '"1"', false, true],
    ['"1"', '"1"', true, true],
    ['"\xfc"', '"\xfc"', true, true],
    ['1', '1', false, true],
    ['1', '"1"', false, false],
    ['w/"1"', 'w/"1"', false, true],
    ['W\\"1"', 'W\\"1"', false, true],
    ['w/"1"', '"1"', false, false],
  ])('%s and %s', (a, b, strongly, weakly) => {
    expect(equalStrongly(parseEntityTag(a), parseEntityTag(b))).toBe(strongly);
    expect(equalWeakly(parseEntityTag(a), parseEntityTag(b))).toBe(weakly);
  });

  test.each<[string, string[] | '*']>([
    ['*', '*'],
    ['"a", W/"b",,"c"', ['"a"', 'W/"b"', '"c"']],
    ['"a,b" , "c\\"', ['"a,b"', '"c\\"']],
    ['abc, "d"', ['abc', '"d"']],
    ['', []],
  ])('%s', (value, texts) => {
    const tags = parseEntityTags(value);
    expect(tags === '*' ? tags : tags.map(({ text }) => text)).toEqual(texts);
  });
});

describe('RFC 9111 section 4.3.1: asking the origin', () => {
  const tagged = stored({ ETag: '"a"', 'Last-Modified': date(-60) }, { id: 'tagged' });
  const weak = stored({ ETag: 'W/"w"' }, { id: 'weak' });
  const dated = stored({ 'Last-Modified': date(-60) }, { id: 'dated' });
  const other = stored({ ETag: '"other"' }, { id: 'other' });
  const brotli = stored({ ETag: '"br"', 'Content-Encoding': 'br' }, { id: 'brotli' });
  const part = stored(
    { ETag: '"part"' },
    { id: 'part', record: { extent: { total: 10, spans: [{ first: 0, end: 5 }] } } },
  );
  const failure = stored({ ETag: '"404"' }, { id: 'failure', status: 404 });

  test.each<[string, Lines, StoredResponse | undefined, StoredResponse[], string[], Lines]>([
    [
      'tag and date of one',
      {},
      tagged,
      [tagged],
      ['tagged'],
      { 'If-None-Match': '"a"', 'If-Modified-Since': date(-60) },
    ],
    ['a weak tag', {}, weak, [weak], ['weak'], { 'If-None-Match': 'W/"w"' }],
    ['a date', {}, dated, [dated], ['dated'], { 'If-Modified-Since': date(-60) }],
    [
      'no date for a part of the whole',
      { Range: 'bytes=0-1' },
      tagged,
      [tagged],
      ['tagged'],
      { Range: 'bytes=0-1', 'If-None-Match': '"a"' },
    ],
    ['other variants, too', {}, tagged, [tagged, other], ['tagged', 'other'], { 'If-None-Match': '"a", "other"' }],
    ['other variants alone', {}, undefined, [other], ['other'], { 'If-None-Match': '"other"' }],
    ['not their dates', {}, undefined, [dated], [], {}],
    ['not their weak tags', {}, undefined, [weak], [], {}],
    ['not parts', {}, undefined, [part], [], {}],
    ['not errors', {}, undefined, [failure], [], {}],
    [
      'not what the client cannot decode',
      { 'Accept-Encoding': 'gzip' },
      undefined,
      [brotli],
      [],
      { 'Accept-Encoding': 'gzip' },
    ],
    [
      'what it can',
      { 'Accept-Encoding': 'br' },
      undefined,
      [brotli],
      ['brotli'],
      { 'Accept-Encoding': 'br', 'If-None-Match': '"br"' },
    ],
    [
      '4.3.2: and what the client has',
      { 'If-None-Match': '"x", "a"' },
      tagged,
      [tagged],
      ['tagged'],
      { 'If-None-Match': '"a", "x"' },
    ],
    [
      'a star of the client is left out',
      { 'If-None-Match': '*' },
      tagged,
      [tagged],
      ['tagged'],
      { 'If-None-Match': '"a"', 'If-Modified-Since': date(-60) },
    ],
    [
      "the client's date gives way",
      { 'If-Modified-Since': date(-9) },
      dated,
      [dated],
      ['dated'],
      { 'If-Modified-Since': date(-60) },
    ],
    [
      'fields that Vary names stay',
      { Abc: '1' },
      dated,
      [dated],
      ['dated'],
      { Abc: '1', 'If-Modified-Since': date(-60) },
    ],
  ])('%s', (_, request, selected, all, nominated, sent) => {
    const conditional = conditionalRequest(fields(request), selected, all);
    expect(conditional?.nominated.map(({ id }) => id) ?? []).toEqual(nominated);
    if (conditional !== undefined) expect(new Map(conditional.fields)).toEqual(new Map(fields(sent)));
  });

  test('nothing to ask with', () => {
    expect(conditionalRequest(fields({}), stored({}), [stored({})])).toBeUndefined();
  });

  test('not more tags than a head can bear', () => {
    const many = Array.from({ length: 40 }, (_, i) => stored({ ETag: `"${i}"` }, { id: String(i) }));
    expect(conditionalRequest(fields({}), undefined, many)?.nominated).toHaveLength(16);
  });
});

describe('RFC 9111 section 4.3.2, RFC 9110 section 13.2.2: conditions of the client', () => {
  const both = { ETag: '"a"', 'Last-Modified': date(-60) };
  test.each<[string, Lines, Lines, boolean]>([
    ['none', {}, both, false],
    ['its tag', { 'If-None-Match': '"a"' }, both, true],
    ['its tag, weakly', { 'If-None-Match': 'W/"a"' }, both, true],
    ['one of its tags', { 'If-None-Match': '"x", "y", "a"' }, both, true],
    ['another tag', { 'If-None-Match': '"x"' }, both, false],
    ['any tag', { 'If-None-Match': '*' }, both, true],
    ['a tag, and there is none', { 'If-None-Match': '"a"' }, { 'Last-Modified': date(-60) }, false],
    ['tags before dates: yes', { 'If-None-Match': '"a"', 'If-Modified-Since': date(-90) }, both, true],
    ['tags before dates: no', { 'If-None-Match': '"x"', 'If-Modified-Since': date(0) }, both, false],
    ['its date', { 'If-Modified-Since': date(-60) }, both, true],
    ['a later date', { 'If-Modified-Since': date(-9) }, both, true],
    ['an earlier date', { 'If-Modified-Since': date(-61) }, both, false],
    ['in RFC 850 form', { 'If-Modified-Since': 'Thursday, 15-Jan-26 11:59:00 GMT' }, both, true],
    ['not a date', { 'If-Modified-Since': 'yesterday' }, both, false],
    ['two dates', { 'If-Modified-Since': [date(0), date(0)] }, both, false],
    ['no Last-Modified: Date stands for it', { 'If-Modified-Since': date(0) }, {}, true],
    ['and is later', { 'If-Modified-Since': date(-1) }, {}, false],
  ])('%s', (_, request, lines, expected) => {
    expect(isNotModified(fields(request), stored(lines))).toBe(expected);
  });

  test('an error is sent whatever the client has', () => {
    expect(isNotModified(fields({ 'If-None-Match': '*' }), stored({}, { status: 404 }))).toBe(false);
  });
});

describe('RFC 9110 section 13.1.5: If-Range', () => {
  test.each<[string, string | undefined, Lines, boolean]>([
    ['absent', undefined, {}, true],
    ['the strong tag', '"a"', { ETag: '"a"' }, true],
    ['another', '"b"', { ETag: '"a"' }, false],
    ['a weak tag', 'W/"a"', { ETag: 'W/"a"' }, false],
    ['a tag without quotes', 'a', { ETag: 'a' }, false],
    ['the date', date(-60), { 'Last-Modified': date(-60) }, true],
    ['a later date is another version', date(-59), { 'Last-Modified': date(-60) }, false],
    ['a date of the same second is weak', date(0), { 'Last-Modified': date(0) }, false],
    ['a date, and there is none', date(-60), {}, false],
  ])('%s', (_, value, lines, expected) => {
    expect(ifRangeHolds(fields(value === undefined ? {} : { 'If-Range': value }), stored(lines))).toBe(expected);
  });
});

describe('RFC 9111 section 4.3.4: whom a 304 is about', () => {
  const a = stored({ ETag: '"a"', Date: date(-9) }, { id: 'a' });
  const a2 = stored({ ETag: '"a"', Date: date(-5) }, { id: 'a2' });
  const weak = stored({ ETag: 'W/"a"', Date: date(-1) }, { id: 'weak' });
  const dated = stored({ 'Last-Modified': date(-60) }, { id: 'dated' });

  test.each<[string, Lines, StoredResponse[], boolean, string[]]>([
    ['a strong tag: all that have it', { ETag: '"a"' }, [a, weak, a2], true, ['a2', 'a']],
    ['a strong tag that nobody has', { ETag: '"b"' }, [a], true, []],
    ['a strong tag is not the weak one', { ETag: '"a"' }, [weak], true, []],
    ['a weak tag: the most recent', { ETag: 'W/"a"' }, [a, weak, a2], true, ['weak']],
    ['a date', { 'Last-Modified': date(-60) }, [a, dated], true, ['dated']],
    ['another date', { 'Last-Modified': date(-59) }, [dated], true, []],
    ['nothing, and one was asked about', {}, [a], true, ['a']],
    ['nothing, and several were', {}, [a, dated], true, []],
    ['nothing, and the client asked as well', {}, [a], false, []],
  ])('%s', (_, lines, nominated, sole, expected) => {
    expect(identifyForUpdate(response(lines, 304), nominated, sole, T0).map(({ id }) => id)).toEqual(expected);
  });
});

describe('RFC 9111 section 3.2: updating', () => {
  const before = stored(
    {
      ETag: '"a"',
      'Cache-Control': 'max-age=1, private="p"',
      Age: '50',
      Old: '1',
      Both: ['1', '2'],
      'Content-Length': '10',
      'Content-Encoding': 'gzip',
      Vary: 'Foo',
    },
    { request: { Foo: '1' }, record: { invalid: true, staleSince: T0 } },
  );
  const times = { requestTime: T0 + 5000, responseTime: T0 + 6000 };
  const newer = {
    Both: '3',
    New: '4',
    P: 'secret',
    'Content-Length': '0',
    'Content-Encoding': 'br',
    'Content-Range': 'x',
    Connection: 'hop',
    Hop: '1',
  };

  test('fields of the newer head replace those of the same name, but for those the bytes depend on', () => {
    const record = freshen(before, response(newer, 304), fields({ Foo: '1' }), times, policy());
    expect([...Fields.fromRaw(record.fields)]).toEqual([
      ['ETag', '"a"'],
      ['Cache-Control', 'max-age=1, private="p"'],
      ['Old', '1'],
      ['Content-Length', '10'],
      ['Content-Encoding', 'gzip'],
      ['Vary', 'Foo'],
      ['Both', '3'],
      ['New', '4'],
      ['Date', date(6)],
    ]);
  });

  test('it is as young as the answer, and valid', () => {
    const record = freshen(before, response({ Age: '3' }, 304), fields({ Foo: '1' }), times, policy());
    expect(record).toMatchObject({ ...times, extent: before.record.extent });
    expect(record).not.toHaveProperty('invalid');
    expect(record).not.toHaveProperty('staleSince');
    expect(Fields.fromRaw(record.fields).get('age')).toBe('3');
  });

  test('another request that got it selects it from now on, too', () => {
    const { selections } = freshen(before, response({}, 304), fields({ Foo: '2' }), times, policy());
    expect(selections).toEqual([{ foo: '1' }, { foo: '2' }]);
  });

  test('under another Vary the old selections mean nothing', () => {
    const { selections } = freshen(before, response({ Vary: 'Bar' }, 304), fields({ Foo: '2' }), times, policy());
    expect(selections).toEqual([{ bar: null }]);
  });
});

test.each<[string, Lines, number, boolean]>([
  ['nothing contradicts', {}, 200, true],
  ['all the same', { ETag: '"a"', 'Last-Modified': date(-60), 'Content-Length': '10' }, 200, true],
  ['another tag', { ETag: '"b"' }, 200, false],
  ['another date', { 'Last-Modified': date(-59) }, 200, false],
  ['another length', { 'Content-Length': '11' }, 200, false],
  ['another status', {}, 410, false],
])('RFC 9111 section 4.3.5: a HEAD with %s', (_, lines, status, expected) => {
  const kept = stored({ ETag: '"a"', 'Last-Modified': date(-60) });
  expect(agreesWithHead(kept, response(lines, status), T0)).toBe(expected);
});
