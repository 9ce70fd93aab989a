/** The desk between the rules and the store: what is answered, what is stored, what is found again. */
import { describe, expect, test } from 'vitest';
import {
  answer,
  ask,
  bodyOf,
  bytes,
  CACHE,
  fill,
  get,
  ok,
  only,
  openDesk,
  response,
  store,
  stored,
  temporary,
  URI,
} from './desk-bed.js';

describe('a response', () => {
  test.each([0, 1, 1024, 1025, 200_000])('of %i bytes is a hit at once, and in the next life', async (length) => {
    const directory = await temporary();
    const { desk, ends, open } = await openDesk(directory);
    await store(desk, bytes(length), { 'X-Text': 'caf\u00e9' });
    await expect.poll(() => ends).toEqual(['stored']);
    expect(open()).toBe(0);
    expect(desk.peek(URI, CACHE.policy)?.length).toBe(1);
    const decision = await ask(desk);
    expect(decision.kind).toBe('answer');
    const from = await only(desk);
    expect((await bodyOf(desk, from))?.equals(bytes(length))).toBe(true);
    await desk.close();

    const next = await openDesk(directory);
    expect(next.desk.peek(URI, CACHE.policy)).toBeUndefined();
    const again = await only(next.desk);
    expect(again).toEqual(from);
    expect(again.fields.get('x-text')).toBe('caf\u00e9');
    expect((await bodyOf(next.desk, again))?.equals(bytes(length))).toBe(true);
  });

  test('in memory is worked out once for each policy, and its body needs no promise', async () => {
    const { desk } = await openDesk(await temporary());
    await store(desk, bytes(100));
    const first = desk.peek(URI, CACHE.policy)?.[0];
    expect(first).toBeDefined();
    expect(desk.peek(URI, CACHE.policy)?.[0]).toBe(first);
    expect(first && desk.body(first)).toEqual({ kind: 'memory', bytes: bytes(100) });
    const other = { ...CACHE.policy, heuristicLimit: 0 };
    expect(desk.peek(URI, other)?.[0]).not.toBe(first);
    expect(desk.peek('http://example.org/b', CACHE.policy)).toEqual([]);
  });

  test('takes the place of the one before it; variants stand beside one another', async () => {
    const { desk } = await openDesk(await temporary());
    const ways = ['gzip', 'br', 'gzip'];
    for (const [i, way] of ways.entries()) {
      await store(
        desk,
        bytes(50 + i, i),
        { Vary: 'Accept-Encoding', 'Cache-Control': 'max-age=0' },
        { request: get({ 'Accept-Encoding': way }) },
      );
    }
    const lengths = (await stored(desk)).map(({ record }) => record.extent.total);
    expect(lengths.sort()).toEqual([51, 52]);
    expect(desk.stats()).toMatchObject({ objects: 2, live: 0 });
  });

  test('that is not stored drops the one that it has overtaken', async () => {
    const { desk } = await openDesk(await temporary());
    await store(desk, bytes(50), { 'Cache-Control': 'max-age=0' });
    await answer(desk, response({ 'Cache-Control': 'no-store' }));
    expect(desk.peek(URI, CACHE.policy)).toEqual([]);
  });

  test('of another version of the codec is a miss', async () => {
    const directory = await temporary();
    const { desk } = await openDesk(directory);
    await store(desk, bytes(50));
    await desk.close();
    const { ObjectStore } = await import('../../../src/cache/store/store.js');
    const raw = await ObjectStore.open<unknown>(directory, { diskBytes: 64 * 1024 * 1024 });
    const writing = raw.begin({ key: 'http://example.org/b' }, [99, 200, 'OK', [], [], 0, 0, null, 0]);
    await writing.commit(0);
    await raw.close();
    const next = await openDesk(directory);
    expect(await stored(next.desk, 'http://example.org/b')).toEqual([]);
    expect(next.events.map(({ kind }) => kind)).toContain('corrupt');
    expect((await stored(next.desk)).length).toBe(1);
  });
});

describe('an update', () => {
  test.each([100, 5000])('by a 304 holds in the same turn, and in the next life (%i bytes)', async (length) => {
    const directory = await temporary();
    const { desk } = await openDesk(directory);
    await store(desk, bytes(length), { 'Cache-Control': 'max-age=0', 'Surrogate-Key': 'old' });
    expect((await ask(desk)).kind).toBe('forward');
    const head = response({ ETag: '"1"', 'Cache-Control': 'max-age=60', 'Surrogate-Key': 'new' }, 304);
    const decision = await answer(desk, head);
    expect(desk.peek(URI, CACHE.policy)?.[0]?.freshness.lifetime).toBe(60_000);
    expect((await ask(desk)).kind).toBe('answer');
    // The answer was made by the rules; its bytes are still those of the stored response.
    expect(decision.kind).toBe('answer');
    if (decision.kind !== 'answer') return;
    expect((await bodyOf(desk, decision.answer.from))?.equals(bytes(length))).toBe(true);
    await desk.close();

    const next = await openDesk(directory);
    expect((await ask(next.desk)).kind).toBe('answer');
    expect((await bodyOf(next.desk, await only(next.desk)))?.equals(bytes(length))).toBe(true);
    expect((await next.desk.purge({ tag: 'old' }, 'hard')).objects).toBe(0);
    expect((await next.desk.purge({ tag: 'new' }, 'hard')).objects).toBe(1);
  });

  test('holds although nothing stays in memory', async () => {
    const { desk } = await openDesk(await temporary(), { memoryBytes: 0 });
    await store(desk, bytes(100), { 'Cache-Control': 'max-age=0' });
    await answer(desk, response({ ETag: '"1"', 'Cache-Control': 'max-age=60' }, 304));
    expect((await only(desk)).freshness.lifetime).toBe(60_000);
  });

  test('from before a purge does not take the purge back', async () => {
    const { desk } = await openDesk(await temporary());
    await store(desk, bytes(100), { 'Cache-Control': 'max-age=0' });
    const sent = Date.now() - 10;
    await desk.purge({ tag: 'none' }, 'soft');
    await desk.purge({ key: URI }, 'soft');
    const times = { requestTime: sent, responseTime: Date.now() + 10 };
    await answer(desk, response({ ETag: '"1"', 'Cache-Control': 'max-age=60' }, 304), { times });
    expect((await only(desk)).record.staleSince).toBeDefined();
  });
});

describe('a cut response', () => {
  const length = 9000;

  test.each([
    ['a strong validator', ok(length), 'stored'],
    ['no validator', response({ 'Cache-Control': 'max-age=3600', 'Content-Length': String(length) }), 'incomplete'],
  ])('with %s', async (_, head, end) => {
    const directory = await temporary();
    const { desk, ends } = await openDesk(directory);
    const live = await fill(desk, head);
    await live.write(bytes(length).subarray(0, 500));
    await live.end(500, false);
    expect(ends).toEqual([end]);
    expect((await ask(desk)).kind).toBe('forward');
    expect((await stored(desk)).map(({ record }) => record.extent)).toEqual(
      end === 'stored' ? [{ total: length, spans: [{ first: 0, end: 500 }] }] : [],
    );
  });

  test('is completed by what a 206 brings, and whole then', async () => {
    const directory = await temporary();
    const { desk, ends } = await openDesk(directory);
    const body = bytes(length);
    const live = await fill(desk, ok(length));
    await live.write(body.subarray(0, 500));
    await live.end(500, false);
    const forward = await ask(desk);
    expect(forward.kind === 'forward' && forward.forward.fields.get('range')).toBe('bytes=500-');
    const rest = await fill(
      desk,
      response(
        { ETag: '"1"', 'Content-Range': `bytes 500-${length - 1}/${length}`, 'Cache-Control': 'max-age=60' },
        206,
      ),
    );
    expect(rest.followable).toBe(false);
    expect(desk.live(URI)).toEqual([]);
    expect(rest.length).toBe(length - 500);
    await rest.write(body.subarray(500));
    await rest.end(length - 500, true);
    expect(ends).toEqual(['stored', 'stored']);
    const whole = await only(desk);
    expect(whole.record.extent).toEqual({ total: length, spans: [{ first: 0, end: length }] });
    expect((await bodyOf(desk, whole))?.equals(body)).toBe(true);
    expect((await ask(desk)).kind).toBe('answer');
  });

  test('of unknown length answers the ranges that are there, and nothing else', async () => {
    const { desk } = await openDesk(await temporary());
    const live = await fill(desk, ok(undefined));
    await live.write(bytes(3000));
    await live.end(3000, false);
    expect((await only(desk)).record.extent).toEqual({ total: undefined, spans: [{ first: 0, end: 3000 }] });
    expect((await ask(desk)).kind).toBe('forward');
    const ranged = await ask(desk, { request: get({ Range: 'bytes=10-19' }) });
    expect(ranged.kind === 'answer' && ranged.answer.head.fields.get('content-range')).toBe('bytes 10-19/*');
    // The next part says how long it is.
    const rest = await fill(desk, response({ ETag: '"1"', 'Content-Range': 'bytes 3000-3999/4000' }, 206), {
      request: get({ Range: 'bytes=3000-3999' }),
    });
    await rest.write(bytes(4000).subarray(3000));
    await rest.end(1000, true);
    expect((await bodyOf(desk, await only(desk)))?.equals(bytes(4000))).toBe(true);
  });

  test('that brought more than was announced is nothing', async () => {
    const { desk, ends } = await openDesk(await temporary());
    const live = await fill(desk, ok(100));
    await live.write(bytes(101));
    await live.end(101, true);
    expect(ends).toEqual(['incomplete']);
    expect(await stored(desk)).toEqual([]);
  });
});

describe('parts', () => {
  test('of a representation are kept and answer ranges', async () => {
    const { desk } = await openDesk(await temporary());
    const body = bytes(9000);
    const part = await fill(
      desk,
      response({ ETag: '"1"', 'Cache-Control': 'max-age=60', 'Content-Range': 'bytes 1000-1999/9000' }, 206),
      { request: get({ Range: 'bytes=1000-1999' }) },
    );
    await part.write(body.subarray(1000, 2000));
    await part.end(1000, true);
    const kept = await only(desk);
    expect(kept.record.extent).toEqual({ total: 9000, spans: [{ first: 1000, end: 2000 }] });
    expect((await bodyOf(desk, kept))?.equals(body.subarray(1000, 2000))).toBe(true);
  });

  test('of what is stored as a whole only freshen it', async () => {
    const { desk, ends } = await openDesk(await temporary());
    await store(desk, bytes(5000), { 'Cache-Control': 'max-age=0' });
    const head = response({ ETag: '"1"', 'Cache-Control': 'max-age=60', 'Content-Range': 'bytes 0-9/5000' }, 206);
    const decided = await answer(desk, head, { request: get({ Range: 'bytes=0-9', 'Cache-Control': 'no-cache' }) });
    expect(decided.kind).toBe('relay');
    if (decided.kind !== 'relay' || decided.fill === undefined) throw new Error('no plan');
    expect(desk.begin(decided.fill, URI, CACHE)).toBeUndefined();
    expect(ends).toEqual(['stored']);
    const whole = await only(desk);
    expect(whole.freshness.lifetime).toBe(60_000);
    expect((await bodyOf(desk, whole))?.equals(bytes(5000))).toBe(true);
  });
});

test('no object can have more than the share of its desk', async () => {
  const { desk } = await openDesk(await temporary(), { diskBytes: 4 * 1024 * 1024, objectBytes: 8 * 1024 * 1024 });
  await store(desk, bytes(5000));
  expect((await stored(desk)).length).toBe(1);
});

describe('what cannot be', () => {
  test('too large: the content goes on without being stored', async () => {
    const { desk, ends } = await openDesk(await temporary(), { objectBytes: 3000 });
    await expect(fill(desk, ok(3001))).rejects.toThrow('no fill');
    const live = await fill(desk, ok(undefined));
    expect(await live.write(bytes(3000))).toBe(true);
    expect(await live.write(bytes(1))).toBe(false);
    expect(live.followable).toBe(false);
    await live.end(3001, true);
    expect(ends).toEqual(['too-large', 'too-large']);
    expect(await stored(desk)).toEqual([]);
  });

  test('a key without measure: an event, and no fill', async () => {
    const { desk, events } = await openDesk(await temporary());
    await expect(fill(desk, ok(10), { key: `http://example.org/${'a'.repeat(70_000)}` })).rejects.toThrow('no fill');
    expect(events.map(({ kind }) => kind)).toContain('refused');
  });

  test('after close everything is a miss, and what was under way ends', async () => {
    const { desk, ends, open } = await openDesk(await temporary());
    await store(desk, bytes(5000));
    const live = await fill(desk, ok(5000), { key: 'http://example.org/b' });
    await live.write(bytes(100));
    const following = live.follow();
    const from = await only(desk);
    await desk.close();
    expect((await following.next()).kind).toBe('bytes');
    expect((await following.next()).kind).toBe('failed');
    following.close();
    expect(desk.peek(URI, CACHE.policy)).toEqual([]);
    expect(await stored(desk)).toEqual([]);
    expect(await desk.body(from)).toBeUndefined();
    expect(await desk.purge({ key: URI }, 'hard')).toEqual({ objects: 0, durable: true });
    desk.expire(Date.now());
    expect(await live.write(bytes(10))).toBe(false);
    await live.end(5000, true);
    expect([ends, open()]).toEqual([['stored', 'closed'], 0]);
    await desk.close();
  });
});
