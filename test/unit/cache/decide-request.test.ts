import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decideRequest } from '../../../src/cache/decide.js';
import { isComplete } from '../../../src/cache/spans.js';
import { HTTP_1_1, type ResponseHead } from '../../../src/http/head.js';
import { type Lines, SECOND, T0, URI, answered, ask, date, fields, forwarded, get, policy, stored } from './build.js';

const FRESH = { 'Cache-Control': 'max-age=60', ETag: '"a"', 'Content-Type': 'text/plain', 'Content-Length': '10' };
const LATER = T0 + 61 * SECOND;
const boundary = (): string => 'B';

function status(head: ResponseHead): string {
  return `${head.status} ${head.fields.get('cache-status') ?? ''}`;
}

describe('answered from the cache', () => {
  test.each<[string, Lines, string, Lines, unknown]>([
    [
      'the whole',
      {},
      '200',
      { Age: '1', 'Content-Length': '10', ETag: '"a"' },
      { kind: 'span', span: { first: 0, end: 10 } },
    ],
    [
      'a range',
      { Range: 'bytes=2-4' },
      '206',
      { 'Content-Range': 'bytes 2-4/10', 'Content-Length': '3' },
      { kind: 'span', span: { first: 2, end: 5 } },
    ],
    [
      'a range of another version',
      { Range: 'bytes=2-4', 'If-Range': '"b"' },
      '200',
      { 'Content-Length': '10' },
      { kind: 'span', span: { first: 0, end: 10 } },
    ],
    [
      'a range beyond the end',
      { Range: 'bytes=10-' },
      '416',
      { 'Content-Range': 'bytes */10', 'Content-Length': '0' },
      { kind: 'none' },
    ],
    [
      'what the client has',
      { 'If-None-Match': '"a"', Range: 'bytes=2-4' },
      '304',
      { ETag: '"a"', Age: '1', Date: date() },
      { kind: 'none' },
    ],
  ])('%s', (_, lines, code, expected, body) => {
    const { head, body: sent } = answered(ask(get(lines), [stored(FRESH)]));
    expect(status(head)).toBe(`${code} splice-http; hit; ttl=59`);
    for (const [name, value] of Object.entries(expected)) expect(head.fields.all(name), name).toEqual([value]);
    expect(sent).toEqual(body);
  });

  test('several ranges', () => {
    const { head, body } = answered(ask(get({ Range: 'bytes=0-1,5-6' }), [stored(FRESH)]));
    if (body.kind !== 'multipart') throw new Error(body.kind);
    expect(head.fields.get('content-type')).toBe('multipart/byteranges; boundary=boundary');
    expect(head.fields.get('content-length')).toBe(String(body.length));
    expect(body.parts.map(({ span }) => span)).toEqual([
      { first: 0, end: 2 },
      { first: 5, end: 7 },
    ]);
  });

  test('a 304 says nothing about the content', () => {
    const kept = stored({ ...FRESH, 'Content-Encoding': 'gzip', 'Content-Language': 'de', 'X-Other': '1' });
    const { head } = answered(ask(get({ 'If-None-Match': '"a"' }), [kept]));
    expect([...head.fields].map(([name]) => name)).toEqual([
      'Date',
      'Cache-Control',
      'ETag',
      'X-Other',
      'Age',
      'Cache-Status',
    ]);
  });

  test('who has waited for the answer to another request', () => {
    const cached = [stored(FRESH)];
    const now = T0 + SECOND;
    const decision = decideRequest({
      request: get(),
      uri: URI,
      key: URI,
      stored: cached,
      now,
      policy: policy(),
      boundary,
      waited: 'uri-miss',
    });
    expect(status(answered(decision).head)).toBe('200 splice-http; fwd=uri-miss; collapsed; ttl=59');
  });

  test('the key is shown to who wants it', () => {
    const how = policy({ showKey: true });
    expect(status(answered(ask(get(), [stored(FRESH)], T0, how)).head)).toBe(
      `200 splice-http; hit; ttl=60; key="${URI}"`,
    );
  });

  test('HEAD gets the head of GET', () => {
    const { head, body } = answered(ask(get({ Range: 'bytes=0-1' }, 'HEAD'), [stored(FRESH)]));
    expect([head.status, head.fields.get('content-length'), body.kind]).toEqual([200, '10', 'none']);
  });

  test('5.2.2.4: fields that no-cache names are held back', () => {
    const kept = stored({
      'Cache-Control': 'max-age=60, no-cache="a, Set-Cookie"',
      A: '1',
      'Set-Cookie': 'x=y',
      B: '2',
    });
    const { head } = answered(ask(get(), [kept]));
    expect(['a', 'set-cookie', 'b'].map((name) => head.fields.has(name))).toEqual([false, false, true]);
  });

  test('an error or a redirect is answered as it was, without ranges', () => {
    const { head } = answered(ask(get({ Range: 'bytes=0-1', 'If-None-Match': '*' }), [stored(FRESH, { status: 404 })]));
    expect([head.status, head.fields.get('content-length')]).toEqual([404, '10']);
  });
});

describe('forwarded, and why (RFC 9211 section 2.2)', () => {
  const variant = stored({ ...FRESH, Vary: 'Foo' }, { request: { Foo: '1' } });
  const part = stored(FRESH, { record: { extent: { total: 10, spans: [{ first: 0, end: 5 }] } } });
  test.each<[string, Parameters<typeof ask>, string, string, Lines]>([
    ['nothing stored', [get(), []], 'uri-miss', 'fetch', {}],
    [
      "with the client's conditions",
      [get({ 'If-None-Match': '"x"', Range: 'bytes=0-1' }), []],
      'uri-miss',
      'fetch',
      { 'If-None-Match': '"x"', Range: 'bytes=0-1' },
    ],
    ['another variant', [get({ Foo: '2' }), [variant]], 'vary-miss', 'validate', { 'If-None-Match': '"a"' }],
    ['stale', [get(), [stored(FRESH)], LATER], 'stale', 'validate', { 'If-None-Match': '"a"' }],
    [
      'stale without a validator',
      [get({ 'If-None-Match': '"x"' }), [stored({ 'Cache-Control': 'max-age=60' })], LATER],
      'stale',
      'fetch',
      { 'If-None-Match': '"x"' },
    ],
    [
      'asked for by the client',
      [get({ Pragma: 'no-cache' }), [stored(FRESH)]],
      'request',
      'validate',
      { 'If-None-Match': '"a"' },
    ],
    ['unsafe', [get({}, 'POST'), [stored(FRESH)]], 'method', 'fetch', {}],
    [
      'for the origin to judge',
      [get({ 'If-Match': '"a"' }), [stored(FRESH)]],
      'request',
      'fetch',
      { 'If-Match': '"a"' },
    ],
    ['a GET with content', [get({ 'Content-Length': '3' }), [stored(FRESH)]], 'bypass', 'pass', {}],
    ['another protocol', [get({ Connection: 'upgrade', Upgrade: 'websocket' }), [stored(FRESH)]], 'bypass', 'pass', {}],
    ['the rest of a part', [get(), [part]], 'partial', 'complete', { Range: 'bytes=5-', 'If-Range': '"a"' }],
    [
      'the rest of a stale part',
      [get(), [part], LATER],
      'partial',
      'complete',
      { Range: 'bytes=5-', 'If-Range': '"a"' },
    ],
    ['a range that is not there', [get({ Range: 'bytes=4-5' }), [part]], 'partial', 'fetch', { Range: 'bytes=4-5' }],
    [
      'a range that is there, but stale',
      [get({ Range: 'bytes=3-4' }), [part], LATER],
      'stale',
      'validate',
      { Range: 'bytes=3-4', 'If-None-Match': '"a"' },
    ],
  ])('%s', (_, question, why, purpose, sent) => {
    const forward = forwarded(ask(...question));
    expect([forward.why, forward.purpose]).toEqual([why, purpose]);
    const conditions = ['if-none-match', 'if-modified-since', 'if-match', 'if-range', 'range'];
    expect(forward.fields.filter((name) => conditions.includes(name)).toJSON()).toEqual([...fields(sent)]);
  });

  test('an offer of HTTP/2 is no other protocol', () => {
    answered(ask(get({ Connection: 'upgrade', Upgrade: 'h2c' }), [stored(FRESH)]));
  });

  test.each<[string, Lines, boolean]>([
    ['GET', {}, true],
    ['with Authorization', { Authorization: 'x' }, false],
    ['of a range', { Range: 'bytes=0-1' }, false],
    ['that wants the origin', { 'Cache-Control': 'no-cache' }, false],
    ['that is not to be stored', { 'Cache-Control': 'no-store' }, false],
  ])('others may wait for a request %s: %j %s', (_, lines, expected) => {
    expect(forwarded(ask(get(lines), [])).collapsible).toBe(expected);
  });

  test.each<[string, Lines, ReturnType<typeof stored>[], number]>([
    ['nothing', {}, [], T0],
    ['stale', {}, [stored(FRESH)], LATER],
    ['another variant', {}, [variant], T0],
    ['a part', {}, [part], T0],
    ['not for a cache', { 'If-Match': '"a"' }, [stored(FRESH)], T0],
  ])('5.2.1.7: only-if-cached, and there is %s', (_, lines, cached, now) => {
    const decision = ask(get({ ...lines, 'Cache-Control': 'only-if-cached' }), cached, now);
    expect(decision).toMatchObject({ kind: 'error', status: 504 });
    if (decision.kind === 'error') expect(decision.cacheStatus).not.toMatch(/hit|fwd/);
  });
});

test('laws: whatever is asked of whatever is stored, the answer is consistent', () => {
  const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
  const lines = (record: Record<string, string | undefined>): Lines =>
    Object.fromEntries(Object.entries(record).filter((entry): entry is [string, string] => entry[1] !== undefined));
  const asked = fc.record({
    'If-None-Match': maybe(fc.constantFrom('"a"', '"x"', '*', 'a')),
    'If-Modified-Since': maybe(fc.constantFrom(date(-60), date(0), 'x')),
    Range: maybe(fc.constantFrom('bytes=0-1', 'bytes=-3', 'bytes=4-', 'bytes=0-1,7-8', 'bytes=99-', 'x')),
    'If-Range': maybe(fc.constantFrom('"a"', date(-60), 'W/"a"')),
    'Cache-Control': maybe(fc.constantFrom('no-cache', 'max-age=5', 'max-stale', 'only-if-cached', 'min-fresh=9')),
    Foo: maybe(fc.constantFrom('1', '2')),
  });
  const kept = fc.record({
    'Cache-Control': maybe(
      fc.constantFrom('max-age=60', 'no-cache', 'max-age=0, stale-while-revalidate=99', 's-maxage=9'),
    ),
    ETag: maybe(fc.constantFrom('"a"', 'W/"a"', 'a')),
    'Last-Modified': maybe(fc.constantFrom(date(-60), 'x')),
    Vary: maybe(fc.constantFrom('Foo', '*')),
  });
  const extent = fc.constantFrom(
    { total: 10, spans: [{ first: 0, end: 10 }] },
    { total: 10, spans: [{ first: 2, end: 6 }] },
    { total: undefined, spans: [{ first: 0, end: 6 }] },
  );
  fc.assert(
    fc.property(
      fc.constantFrom('GET', 'HEAD', 'POST'),
      asked,
      kept,
      extent,
      fc.nat(100),
      (method, request, cached, held, after) => {
        const one = stored(lines(cached), { record: { extent: held } });
        const question = { method, target: '/a', version: HTTP_1_1, fields: fields(lines(request)) };
        const decision = ask(question, [one], T0 + after * SECOND);
        if (decision.kind !== 'answer') {
          if (decision.kind === 'forward') expect(decision.forward.why).not.toBe(undefined);
          return;
        }
        const { head, body } = decision.answer;
        expect(method).not.toBe('POST');
        expect(cached.Vary).not.toBe('*');
        expect(Number(head.fields.get('age'))).toBeGreaterThanOrEqual(0);
        expect(head.fields.get('cache-status')).toMatch(/^splice-http; hit/);
        if (head.status === 200) expect(isComplete(held)).toBe(true);
        const length =
          body.kind === 'span' ? body.span.end - body.span.first : body.kind === 'multipart' ? body.length : 0;
        if (body.kind !== 'none') expect(head.fields.get('content-length')).toBe(String(length));
        if (head.status === 304 || method === 'HEAD') expect(body.kind).toBe('none');
        if (head.status === 206) expect(method).toBe('GET');
      },
    ),
    { numRuns: 1000 },
  );
});
