import { describe, expect, test } from 'vitest';
import { decideFailure, finishFill } from '../../../src/cache/decide.js';
import { type CachePolicy, DEFAULT_POLICY } from '../../../src/cache/policy.js';
import { type ResponseHead } from '../../../src/http/head.js';
import {
  Bench,
  HOUR,
  type Lines,
  SECOND,
  T0,
  URI,
  answered,
  ask,
  date,
  forwarded,
  get,
  policy,
  reply,
  response,
  stored,
} from './build.js';

const FRESH = { 'Cache-Control': 'max-age=60', ETag: '"a"', 'Content-Type': 'text/plain', 'Content-Length': '10' };
const LATER = T0 + 61 * SECOND;
const boundary = (): string => 'B';

function status(head: ResponseHead): string {
  return `${head.status} ${head.fields.get('cache-status') ?? ''}`;
}

describe('the answer to a validation', () => {
  const kept = stored({ ...FRESH, A: '1' });
  const validation = (lines: Lines = {}) => forwarded(ask(get(lines), [kept], LATER));

  test('304: the stored response, made new', () => {
    const decision = reply(validation(), response({ ETag: '"a"', A: '2' }, 304), [kept], LATER);
    const { head, from } = answered(decision);
    expect(status(head)).toBe('200 splice-http; fwd=stale; fwd-status=304; stored; ttl=60');
    expect([head.fields.get('a'), head.fields.has('age'), head.fields.get('date')]).toEqual(['2', false, date(61)]);
    expect(from.id).toBe('one');
    expect(decision).toMatchObject({ changes: { update: [{ id: 'one' }], drop: [] }, collapse: 'shared' });
  });

  test('304, and the client has it as well', () => {
    const { head } = answered(
      reply(validation({ 'If-None-Match': '"a"' }), response({ ETag: '"a"' }, 304), [kept], LATER),
    );
    expect(head.status).toBe(304);
  });

  test('304 about what only the client has', () => {
    const decision = reply(validation({ 'If-None-Match': '"x"' }), response({ ETag: '"x"' }, 304), [kept], LATER);
    expect(decision).toMatchObject({
      kind: 'relay',
      head: { status: 304 },
      fill: undefined,
      changes: { update: [], drop: [] },
    });
  });

  test('304 about neither: asked again without conditions', () => {
    const decision = reply(validation({ 'If-None-Match': '"x"' }), response({ ETag: '"y"' }, 304), [kept], LATER);
    if (decision.kind !== 'retry') throw new Error(decision.kind);
    expect(decision.forward.fields.has('if-none-match')).toBe(false);
    expect(decision.forward.nominated).toEqual([]);
  });

  test('200: the new response takes the place of the old when it is there', () => {
    const decision = reply(validation(), response({ ...FRESH, ETag: '"b"' }), [kept], LATER);
    expect(decision).toMatchObject({ kind: 'relay', fill: { kind: 'new', replaces: ['one'] }, changes: { drop: [] } });
    expect(decision.kind === 'relay' && status(decision.head)).toBe('200 splice-http; fwd=stale; stored');
  });

  test.each<[number, Lines, string[]]>([
    [200, { 'Cache-Control': 'no-store' }, ['one']],
    [404, {}, ['one']],
    [302, {}, ['one']],
    [401, {}, []],
    [403, {}, []],
    [429, {}, []],
    [500, {}, []],
  ])('%i %j, not stored: whether the old one is overtaken', (code, lines, drop) => {
    expect(reply(validation(), response(lines, code), [kept], LATER)).toMatchObject({
      kind: 'relay',
      fill: undefined,
      changes: { drop },
    });
  });

  test('another variant is what this request wants, too', () => {
    const other = stored({ ...FRESH, Vary: 'Foo' }, { request: { Foo: '1' } });
    const bench = new Bench(() => ({ head: response({ ...FRESH, Vary: 'Foo' }) }));
    expect(status(bench.send(get({ Foo: '1' })))).toContain('uri-miss');
    const forward = forwarded(ask(get({ Foo: '2' }), [other]));
    const decision = reply(forward, response({ ETag: '"a"', Vary: 'Foo' }, 304), [other]);
    expect(status(answered(decision).head)).toContain('fwd=vary-miss; fwd-status=304');
    if (decision.kind !== 'answer') throw new Error(decision.kind);
    expect(decision.changes.update[0]?.record.selections).toEqual([{ foo: '1' }, { foo: '2' }]);
  });
});

describe('4.3.5: HEAD', () => {
  const kept = stored({ ...FRESH, A: '1' });
  const head = forwarded(ask(get({}, 'HEAD'), [kept], LATER));
  test('freshens', () => {
    const decision = reply(head, response({ ETag: '"a"', A: '2' }), [kept], LATER);
    expect(decision).toMatchObject({
      kind: 'relay',
      fill: undefined,
      changes: { update: [{ id: 'one', record: { responseTime: LATER } }] },
    });
  });
  test('or ends the freshness', () => {
    const decision = reply(head, response({ ETag: '"b"' }), [kept], LATER);
    expect(decision).toMatchObject({
      changes: { update: [{ id: 'one', record: { responseTime: T0, staleSince: LATER } }], drop: [] },
    });
  });
});

describe('parts', () => {
  const half = { total: 10, spans: [{ first: 0, end: 5 }] };
  const part = stored(FRESH, { record: { extent: half } });
  const rest = { ETag: '"a"', 'Content-Range': 'bytes 5-9/10', 'Content-Length': '5', A: '2' };
  const forward = forwarded(ask(get(), [part]));

  test('store and origin in turn make the whole', () => {
    const decision = reply(forward, response(rest, 206), [part]);
    if (decision.kind !== 'join') throw new Error(decision.kind);
    expect(status(decision.head)).toBe('200 splice-http; fwd=partial; fwd-status=206; stored; ttl=60');
    expect([decision.head.fields.get('content-length'), decision.head.fields.get('a')]).toEqual(['10', '2']);
    expect(decision.head.fields.has('content-range')).toBe(false);
    expect(decision.pieces).toEqual([
      { from: 'store', span: { first: 0, end: 5 } },
      { from: 'origin', span: { first: 5, end: 10 } },
    ]);
    expect(finishFill(decision.fill, 5, true, policy())?.extent).toEqual({ total: 10, spans: [{ first: 0, end: 10 }] });
    expect(finishFill(decision.fill, 2, false, policy())?.extent).toEqual({ total: 10, spans: [{ first: 0, end: 7 }] });
    expect(finishFill(decision.fill, 0, false, policy())).toBeUndefined();
    expect(finishFill(decision.fill, 6, true, policy())).toBeUndefined();
  });

  test.each<[string, Lines, number]>([
    ['another version', { ...rest, ETag: '"b"' }, 206],
    ['another range', { ...rest, 'Content-Range': 'bytes 6-9/10', 'Content-Length': '4' }, 206],
    ['another length of the whole', { ...rest, 'Content-Range': 'bytes 5-9/11' }, 206],
    ['nothing to add', { 'Content-Range': 'bytes */5' }, 416],
  ])('%s: the whole is asked for', (_, lines, code) => {
    const decision = reply(forward, response(lines, code), [part]);
    if (decision.kind !== 'retry') throw new Error(decision.kind);
    expect(decision.forward.fields.has('range') || decision.forward.fields.has('if-range')).toBe(false);
  });

  test('an origin that sends the whole after all', () => {
    expect(reply(forward, response(FRESH), [part])).toMatchObject({
      kind: 'relay',
      fill: { kind: 'new', replaces: ['one'] },
    });
  });

  test('a range that a client asked for is added to what is there', () => {
    const ranged = forwarded(ask(get({ Range: 'bytes=5-9' }), [part]));
    const decision = reply(ranged, response(rest, 206), [part]);
    expect(decision).toMatchObject({
      kind: 'relay',
      head: { status: 206 },
      fill: { kind: 'more', base: { id: 'one' } },
    });
  });

  test('a part never takes the place of the same as a whole', () => {
    const plain = { 'Cache-Control': 'max-age=60', 'Last-Modified': date(0) };
    const ranged = forwarded(ask(get({ Range: 'bytes=0-1', 'Cache-Control': 'no-cache' }), [stored(plain)]));
    const same = response({ ...plain, 'Content-Range': 'bytes 0-1/10' }, 206);
    expect(reply(ranged, same, [stored(plain)])).toMatchObject({ kind: 'relay', fill: undefined });
    const changed = response({ ...plain, 'Last-Modified': date(1), 'Content-Range': 'bytes 0-1/10' }, 206);
    expect(reply(ranged, changed, [stored(plain)])).toMatchObject({ fill: { kind: 'new', replaces: ['one'] } });
  });
});

describe('the origin fails', () => {
  const at = (seconds: number): number => T0 + seconds * SECOND;
  function fail(control: string, seconds: number, how: CachePolicy = DEFAULT_POLICY): string {
    const kept = stored({ 'Cache-Control': control, ETag: '"a"' }, { policy: how });
    const forward = forwarded(ask(get(), [kept], at(seconds), how));
    const outcome = decideFailure({ forward, key: URI, policy: how, boundary }, 'unreachable', at(seconds));
    return outcome.kind === 'error' ? `${outcome.status} ${outcome.cacheStatus}` : status(outcome.answer.head);
  }

  test.each<[string, number, string]>([
    ['max-age=60', 61, '200 splice-http; fwd=stale; ttl=-1; detail=unreachable'],
    ['max-age=60', 60 + 24 * 3600, '504 splice-http; fwd=stale; detail=unreachable'],
    ['max-age=60, must-revalidate', 61, '504 splice-http; fwd=stale; detail=unreachable'],
    ['s-maxage=60', 61, '504 splice-http; fwd=stale; detail=unreachable'],
    ['no-cache', 1, '504 splice-http; fwd=stale; detail=unreachable'],
  ])('disconnected: %s after %i s', (control, seconds, expected) => {
    expect(fail(control, seconds)).toBe(expected);
  });

  test('with nothing stored', () => {
    const forward = forwarded(ask(get(), []));
    expect(decideFailure({ forward, key: URI, policy: policy(), boundary }, 'unreachable', T0)).toMatchObject({
      kind: 'error',
      status: 502,
    });
    expect(decideFailure({ forward, key: URI, policy: policy(), boundary }, 'timeout', T0)).toMatchObject({
      kind: 'error',
      status: 504,
    });
  });

  test.each<[string, number, number, string]>([
    [
      'max-age=60, stale-if-error=10',
      65,
      503,
      '200 splice-http; fwd=stale; fwd-status=503; ttl=-5; detail=stale-if-error',
    ],
    ['max-age=60, stale-if-error=10', 70, 503, '503 splice-http; fwd=stale; detail=no-freshness'],
    ['max-age=60, stale-if-error=10', 65, 501, '501 splice-http; fwd=stale; detail=useless'],
    ['max-age=60', 65, 503, '503 splice-http; fwd=stale; detail=no-freshness'],
  ])('RFC 5861 section 4: %s after %i s, and a %i', (control, seconds, code, expected) => {
    const kept = stored({ 'Cache-Control': control, ETag: '"a"' });
    const decision = reply(forwarded(ask(get(), [kept], at(seconds))), response({}, code), [kept], at(seconds));
    expect(decision.kind === 'relay' ? status(decision.head) : status(answered(decision).head)).toBe(expected);
    expect(decision).toMatchObject({ changes: { drop: [] } });
  });
});

describe('one after another', () => {
  test('RFC 5861 section 3: stale now, new next time', () => {
    let version = 0;
    const control = 'max-age=1, stale-while-revalidate=4';
    const bench = new Bench(() => ({
      head: response({ 'Cache-Control': version++ === 0 ? control : 'no-cache', ETag: `"${version}"` }),
    }));
    bench.send(get());
    bench.now += 3 * SECOND;
    expect(status(bench.send(get({ 'If-None-Match': '"x"', Range: 'bytes=0-1' })))).toBe(
      '206 splice-http; hit; ttl=-2; detail=stale-while-revalidate',
    );
    expect(bench.seen[1]?.toJSON()).toEqual([
      ['Host', 'example.org'],
      ['If-None-Match', '"1"'],
    ]);
    bench.now += 3 * SECOND;
    expect(status(bench.send(get()))).toContain('fwd=stale');
    expect(bench.seen).toHaveLength(3);
  });

  test('4.4: a successful POST empties the URI, and its answer may take the place', () => {
    const answers = [
      response(FRESH),
      response({}, 500),
      response({ ...FRESH, 'Content-Location': '/a', ETag: '"new"' }),
    ];
    const bench = new Bench(() => ({ head: answers.shift() ?? response({}, 500) }));
    bench.send(get());
    bench.send(get({}, 'POST'));
    expect(status(bench.send(get()))).toContain('hit');
    bench.send(get({}, 'POST'));
    expect(bench.send(get()).fields.get('etag')).toBe('"new"');
    expect(bench.seen).toHaveLength(3);
  });

  test('4.1: variants live side by side, up to a number', () => {
    const how = policy({ mostVariants: 2 });
    const bench = new Bench(
      ({ fields: sent }) => ({
        head: response({ 'Cache-Control': 'max-age=60', Vary: 'Foo', Foo: sent.get('foo') ?? '' }),
      }),
      how,
    );
    for (const foo of ['1', '2', '1', '2']) expect(bench.send(get({ Foo: foo })).fields.get('foo')).toBe(foo);
    expect(bench.seen).toHaveLength(2);
    bench.now += SECOND;
    bench.send(get({ Foo: '3' }));
    expect(bench.stored).toHaveLength(2);
  });

  test('3.3: a body that broke off is completed', () => {
    const bench = new Bench(({ fields: sent }) => {
      const range = sent.get('range');
      if (range === undefined) return { head: response(FRESH), bytes: 4, whole: false };
      return {
        head: response(
          { ETag: '"a"', 'Cache-Control': 'max-age=60', 'Content-Range': 'bytes 4-9/10', 'Content-Length': '6' },
          206,
        ),
        bytes: 6,
      };
    });
    bench.send(get());
    expect(bench.send(get()).status).toBe(200);
    expect(bench.seen[1]?.get('range')).toBe('bytes=4-');
    expect(status(bench.send(get()))).toContain('hit');
  });

  test('an origin whose 304 names something else is asked once more', () => {
    let first = true;
    const bench = new Bench(({ fields: sent }) => {
      if (sent.has('if-none-match')) return { head: response({ ETag: '"other"' }, 304) };
      const head = response({ ...FRESH, ETag: first ? '"a"' : '"b"' });
      first = false;
      return { head };
    });
    bench.send(get());
    bench.now += HOUR;
    expect(bench.send(get()).fields.get('etag')).toBe('"b"');
    expect(bench.seen).toHaveLength(3);
  });

  test('a bypassed request leaves no trace', () => {
    const forward = forwarded(ask(get({ 'Content-Length': '1' }), [stored(FRESH)]));
    expect(reply(forward, response(FRESH), [stored(FRESH)])).toMatchObject({
      kind: 'relay',
      fill: undefined,
      changes: { update: [], drop: [], invalidate: [] },
      collapse: 'again',
    });
  });
});

test.each<[string, Lines, number, Lines, string]>([
  ['stored', FRESH, 200, {}, 'shared'],
  ['no-store', { 'Cache-Control': 'no-store' }, 200, {}, 'pass'],
  ['private', { 'Cache-Control': 'private' }, 200, {}, 'pass'],
  ['an error', {}, 503, {}, 'pass-once'],
  ['for one user', FRESH, 200, { Authorization: 'x' }, 'again'],
])('what others may do with an answer that is %s', (_, lines, code, request, expected) => {
  expect(reply(forwarded(ask(get(request), [])), response(lines, code), [])).toMatchObject({ collapse: expected });
});
