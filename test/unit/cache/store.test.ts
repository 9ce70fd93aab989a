/** The store as its callers see it: objects in, objects out, who sees what when they come and go. */
import { readlinkSync, writeSync } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { CacheError } from '../../../src/cache/store/errors.js';
import { ObjectStore } from '../../../src/cache/store/store.js';
import { UNKNOWN_LENGTH, type StoredObject } from '../../../src/cache/store/types.js';
import { bodyFiles, bodyOf, bytes, LIMITS, only, open, put, readFd, stored, temporary } from './store-bed.js';

function isIn(fd: number, directory: string): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`).includes(directory);
  } catch {
    return false;
  }
}

describe('objects', () => {
  test.each([0, 1, 1024, 1025, 200_000])('a body of %i bytes is there, also in the next life', async (length) => {
    const directory = await temporary();
    for (const life of [1, 2]) {
      const { store } = await open(directory);
      if (life === 1) await stored(store, { key: 'a', tags: ['x', 'y'] }, bytes(length), 'head');
      const object = await only(store, 'a');
      expect(object).toMatchObject({ key: 'a', variant: '', tags: ['x', 'y'], meta: { note: 'head' }, length });
      expect(object.ranges).toBeUndefined();
      expect(object.body === undefined).toBe(length > 1024);
      expect((await bodyOf(store, object))?.equals(bytes(length))).toBe(true);
      await store.close();
    }
    expect((await bodyFiles(directory)).length).toBe(length > 1024 ? 1 : 0);
  });

  test('a hot object needs no promise; a cold one says so, and is hot after the lookup', async () => {
    const directory = await temporary();
    const first = await open(directory);
    await stored(first.store, 'a', bytes(10));
    expect(first.store.peek('a')?.map((object) => object.length)).toEqual([10]);
    expect(first.store.peek('unknown')).toEqual([]);
    await first.store.close();
    const { store } = await open(directory);
    expect(store.peek('a')).toBeUndefined();
    await store.lookup('a');
    expect(store.peek('a')?.length).toBe(1);
    expect(store.stats()).toMatchObject({ diskReads: 1, memoryHits: 1 });
  });

  test('many lookups of one cold object are one read', async () => {
    const directory = await temporary();
    const first = await open(directory);
    await stored(first.store, 'a', bytes(10));
    await first.store.close();
    const { store } = await open(directory);
    await Promise.all(Array.from({ length: 50 }, () => store.lookup('a')));
    expect(store.stats().diskReads).toBe(1);
  });

  test('variants of a key are apart, the newest replaces its like, the oldest gives way', async () => {
    const { store } = await open(await temporary(), { variants: 2 });
    await stored(store, { key: 'a', variant: 'gzip' }, bytes(5));
    await stored(store, { key: 'a', variant: 'br' }, bytes(6));
    await stored(store, { key: 'a', variant: 'br' }, bytes(7));
    const lengths = async (): Promise<Record<string, number>> =>
      Object.fromEntries((await store.lookup('a')).map((object) => [object.variant, object.length]));
    expect(await lengths()).toEqual({ gzip: 5, br: 7 });
    await stored(store, { key: 'a', variant: 'zstd' }, bytes(8));
    expect(await lengths()).toEqual({ br: 7, zstd: 8 });
  });

  test('an update changes the meta and nothing else, and takes a soft purge back', async () => {
    const directory = await temporary();
    const first = await open(directory);
    for (const [key, length] of Object.entries({ small: 10, big: 5000 })) {
      const object = await stored(first.store, { key, tags: ['t'] }, bytes(length), 'old');
      await first.store.purge({ key }, 'soft');
      expect((await only(first.store, key)).softPurged).toBe(true);
      const updated = await first.store.update(object, { note: 'new' });
      expect(updated).toMatchObject({ meta: { note: 'new' }, tags: ['t'], softPurged: false, length });
    }
    await first.store.close();
    const { store } = await open(directory);
    for (const [key, length] of Object.entries({ small: 10, big: 5000 })) {
      const object = await only(store, key);
      expect(object).toMatchObject({ meta: { note: 'new' }, softPurged: false });
      expect((await bodyOf(store, object))?.equals(bytes(length))).toBe(true);
    }
  });

  test('an update of what was replaced, removed or purged meanwhile stores nothing', async () => {
    const { store } = await open(await temporary());
    const [a, b, c] = [
      await stored(store, 'a', bytes(3000)),
      await stored(store, 'b', bytes(10)),
      await stored(store, 'c', bytes(10)),
    ];
    await stored(store, 'a', bytes(3001));
    expect(store.remove(b)).toBe(true);
    expect(store.remove(b)).toBe(false);
    const updating = store.update(c, { note: 'late' });
    await store.purge({ key: 'c' }, 'hard');
    expect(await store.update(a, { note: 'x' })).toBeUndefined();
    expect(await store.update(b, { note: 'x' })).toBeUndefined();
    await updating;
    expect((await only(store, 'a')).meta.note).toBe('note');
    expect(await store.lookup('b')).toEqual([]);
    expect(await store.lookup('c')).toEqual([]);
  });
});

describe('an update and a purge', () => {
  /** More keys than a purge walks in one turn, the one that matters last. */
  async function crowded(): Promise<{ store: ObjectStore<{ note: string }>; last: StoredObject<{ note: string }> }> {
    const { store } = await open(await temporary());
    await Promise.all(Array.from({ length: 2500 }, (_, i) => put(store, { key: `/${i}` }, bytes(1))));
    return { store, last: await stored(store, { key: '/last', tags: ['t'] }, bytes(10)) };
  }

  /** Begins a purge, and lets it walk on only when what is returned is called. */
  function halfWay<T>(begin: () => Promise<T>): () => Promise<T> {
    vi.useFakeTimers({ toFake: ['setImmediate'] });
    onTestFinished(() => void vi.useRealTimers());
    const purging = begin();
    return async () => {
      vi.runAllTimers();
      vi.useRealTimers();
      return purging;
    };
  }

  test('that has not come to its object: a hard one is not survived', async () => {
    const { store, last } = await crowded();
    const purging = halfWay(() => store.purge({ tag: 't' }, 'hard'));
    expect(await store.update(last, { note: 'new' })).toBeUndefined();
    expect((await purging()).objects).toBe(1);
    expect(await store.lookup('/last')).toEqual([]);
  });

  test('that was called later: a soft one is not taken back, though it meets the old object', async () => {
    for (const before of [false, true]) {
      const { store, last } = await crowded();
      // What was stale already is marked again.
      if (before) await store.purge({ tag: 't' }, 'soft');
      const updating = store.update(last, { note: 'new' });
      await microtasks();
      const purging = store.purge({ tag: 't' }, 'soft');
      expect((await store.lookup('/last'))[0]?.softPurged).toBe(true);
      await Promise.all([updating, purging]);
      expect(await only(store, '/last')).toMatchObject({ meta: { note: 'new' }, softPurged: true });
    }
  });

  test('that was called before: a soft one is taken back', async () => {
    const { store, last } = await crowded();
    const purging = halfWay(() => store.purge({ tag: 't' }, 'soft'));
    await store.update(last, { note: 'new' });
    await purging();
    expect(await only(store, '/last')).toMatchObject({ meta: { note: 'new' }, softPurged: false });
  });
});

test('an update may bring other tags', async () => {
  const { store } = await open(await temporary());
  const object = await stored(store, { key: 'a', tags: ['old'] }, bytes(10));
  expect((await store.update(object, { note: 'x' }, ['new', 'newer']))?.tags).toEqual(['new', 'newer']);
  expect((await store.purge({ tag: 'old' }, 'hard')).objects).toBe(0);
  await expect(store.update(object, { note: 'x' }, ['a\nb'])).rejects.toMatchObject({ code: 'ERR_CACHE_ARGUMENT' });
  expect((await store.purge({ tag: 'newer' }, 'hard')).objects).toBe(1);
});

test('an object can be removed by its number, without a look at it', async () => {
  const directory = await temporary();
  const first = await open(directory);
  const object = await stored(first.store, 'a', bytes(5000));
  await first.store.close();
  const { store } = await open(directory);
  expect(store.removeId('b', object.id)).toBe(false);
  expect(store.removeId('a', object.id + 1)).toBe(false);
  expect(store.removeId('a', object.id)).toBe(true);
  expect(store.removeId('a', object.id)).toBe(false);
  expect(store.stats().diskReads).toBe(0);
  await store.settled();
  expect(await bodyFiles(directory)).toEqual([]);
});

describe('readers', () => {
  test.each(['purge', 'replace', 'remove'])('keep an open body through %s', async (how) => {
    const directory = await temporary();
    const { store } = await open(directory);
    const object = await stored(store, 'a', bytes(100_000, 1));
    const lease = await store.openBody(object);
    if (how === 'purge') await store.purge({ prefix: '' }, 'hard');
    else if (how === 'remove') store.remove(object);
    else await stored(store, 'a', bytes(100_000, 2));
    await store.settled();
    expect((await bodyFiles(directory)).length).toBe(how === 'replace' ? 1 : 0);
    expect(await store.openBody(object)).toBeUndefined();
    expect(lease && readFd(lease.fd, 0, 100_000).equals(bytes(100_000, 1))).toBe(true);
    lease?.release();
  });

  test('share a descriptor; without readers only so many stay open', async () => {
    const { store } = await open(await temporary(), { openFiles: 2 });
    const objects = [];
    for (const key of ['a', 'b', 'c', 'd']) objects.push(await stored(store, key, bytes(2000)));
    const leases = await Promise.all([...objects, ...objects].map((object) => store.openBody(object)));
    expect(new Set(leases.map((lease) => lease?.fd)).size).toBe(4);
    for (const lease of leases) {
      lease?.release();
      lease?.release(); // once counts
    }
    expect(store.stats().openFiles).toBe(2);
  });
});

describe('fills', () => {
  test('nobody finds one before its commit, and an aborted one leaves nothing', async () => {
    const directory = await temporary();
    const { store } = await open(directory);
    const fill = store.begin({ key: 'a' }, { note: 'x' });
    await fill.write(bytes(5000));
    expect(await store.lookup('a')).toEqual([]);
    expect(store.fills('a')).toEqual([fill]);
    fill.abort();
    expect(await fill.write(bytes(1))).toBe(false);
    expect(await fill.commit(5000)).toEqual({ stored: false, reason: 'aborted' });
    await store.settled();
    expect(store.fills('a')).toEqual([]);
    expect(store.stats()).toMatchObject({ fills: 0, diskBytes: 0, failedFills: 1 });
    expect(await bodyFiles(directory)).toEqual([]);
  });

  test.each([10, 5000])('a body of %i bytes that is not as long as it was to be is not stored', async (length) => {
    const directory = await temporary();
    const { store } = await open(directory);
    const announced = store.begin({ key: 'a', length: length + 1 }, { note: 'x' });
    await announced.write(bytes(length));
    expect(await announced.commit(length)).toEqual({ stored: false, reason: 'short' });
    for (const said of [length - 1, length + 1]) {
      const fill = store.begin({ key: 'a' }, { note: 'x' });
      await fill.write(bytes(length));
      expect(await fill.commit(said)).toEqual({ stored: false, reason: 'short' });
    }
    await store.settled();
    expect(await store.lookup('a')).toEqual([]);
    expect(await bodyFiles(directory)).toEqual([]);
  });

  test('what the disk told the kernel is an event, and a full one makes room', async () => {
    const { store, kinds } = await open(await temporary());
    for (let i = 0; i < 40; i++) await stored(store, `/${i}`, bytes(5000));
    for (const reason of ['disk-full', 'io-error', 'aborted'] as const) {
      const fill = store.begin({ key: 'a' }, { note: 'x' });
      await fill.descriptor();
      fill.abort(reason);
      fill.abort(reason);
      expect(fill.failure).toBe(reason);
    }
    expect(kinds()).toEqual(['disk-full', 'io-error']);
    await new Promise(setImmediate);
    expect(store.stats().evicted).toBeGreaterThan(0);
    expect(store.stats().objects).toBeGreaterThan(30);
  });

  test('more than an object may have ends the fill, not the caller', async () => {
    const { store } = await open(await temporary(), { objectBytes: 3000 });
    expect(store.begin({ key: 'a', length: 3001 }, { note: 'x' }).failure).toBe('too-large');
    const fill = store.begin({ key: 'a' }, { note: 'x' });
    expect(await fill.write(bytes(3000))).toBe(true);
    expect(await fill.write(bytes(1))).toBe(false);
    expect(await fill.commit(3001)).toEqual({ stored: false, reason: 'too-large' });
    expect(await store.lookup('a')).toEqual([]);
  });

  test('the kernel may write: a descriptor, reports, and a file that turns out small is none', async () => {
    const directory = await temporary();
    const { store } = await open(directory);
    for (const [key, length] of Object.entries({ small: 100, big: 70_000 })) {
      const fill = store.begin({ key }, { note: 'x' });
      await fill.write(bytes(length).subarray(0, 50));
      const fd = (await fill.descriptor()) ?? -1;
      expect(readlinkSync(`/proc/self/fd/${fd}`)).toContain(directory);
      writeSync(fd, bytes(length), 50, length - 50, fill.offset + fill.available);
      fill.written(length);
      const result = await fill.commit(length);
      expect(result.stored && (await bodyOf(store, result.object))?.equals(bytes(length))).toBe(true);
    }
    await store.settled();
    expect((await bodyFiles(directory)).length).toBe(1);
  });

  test('a lent descriptor stays what it is until the caller ends the fill, whatever the store does', async () => {
    const directory = await temporary();
    const { store } = await open(directory, { objectBytes: 5000 });
    const large = store.begin({ key: 'a' }, { note: 'x' });
    const late = store.begin({ key: 'b' }, { note: 'x' });
    const [fd, other] = [(await large.descriptor()) ?? -1, (await late.descriptor()) ?? -1];
    large.written(5001);
    expect(large.failure).toBe('too-large');
    await store.close();
    expect(late.failure).toBe('closed');
    for (const each of [fd, other]) expect(isIn(each, directory)).toBe(true);
    expect(await large.commit(5001)).toEqual({ stored: false, reason: 'too-large' });
    late.abort();
    for (const each of [fd, other]) await expect.poll(() => isIn(each, directory)).toBe(false);
  });

  test('the kernel need not report: who follows has all bytes at the commit', async () => {
    const { store } = await open(await temporary());
    const fill = store.begin({ key: 'a', length: 9000 }, { note: 'x' });
    const follower = fill.follow();
    writeSync((await fill.descriptor()) ?? -1, bytes(9000));
    const waiting = follower.next();
    await fill.commit(9000);
    const piece = await waiting;
    expect(piece).toMatchObject({ kind: 'file', start: 0, end: 9000 });
    expect(piece.kind === 'file' && readFd(piece.fd, piece.start, piece.end).equals(bytes(9000))).toBe(true);
    expect((await follower.next()).kind).toBe('end');
    follower.close();
  });

  test('writes that nobody waits for are in order, and all in before the commit', async () => {
    const { store } = await open(await temporary());
    const body = bytes(90_001);
    const fill = store.begin({ key: 'a' }, { note: 'x' });
    const writes = [];
    for (let at = 0; at < body.length; at += 700) writes.push(fill.write(body.subarray(at, at + 700)));
    const result = await fill.commit(body.length);
    expect(await Promise.all(writes)).toEqual(writes.map(() => true));
    expect(result.stored && (await bodyOf(store, result.object))?.equals(body)).toBe(true);
  });

  test('calls after the end throw, with a code', async () => {
    const { store } = await open(await temporary());
    const fill = store.begin({ key: 'a' }, { note: 'x' });
    await fill.commit(0);
    const thrown = (job: () => unknown): unknown => {
      try {
        return job();
      } catch (error) {
        return error instanceof CacheError ? error.code : error;
      }
    };
    expect(thrown(() => fill.commit(0))).toBe('ERR_CACHE_STATE');
    expect(thrown(() => fill.follow())).toBe('ERR_CACHE_STATE');
    expect(thrown(() => void fill.write(bytes(1)))).toBe('ERR_CACHE_STATE');
    expect(thrown(() => store.begin({ key: 'a', tags: ['a\nb'] }, { note: '' }))).toBe('ERR_CACHE_ARGUMENT');
    expect(thrown(() => store.begin({ key: 'a'.repeat(65_536) }, { note: '' }))).toBe('ERR_CACHE_ARGUMENT');
    expect(thrown(() => store.begin({ key: 'a', length: -1 }, { note: '' }))).toBe('ERR_CACHE_ARGUMENT');
    expect(thrown(() => store.begin({ key: 'a' }, { note: 'x'.repeat(2 ** 20) }))).not.toBe('ERR_CACHE_ARGUMENT');
    const big = store.begin({ key: 'b' }, { note: 'x'.repeat(2 ** 20) });
    expect(thrown(() => big.commit(0))).toBe('ERR_CACHE_ARGUMENT');
    await store.close();
    expect(thrown(() => store.peek('a'))).toBe('ERR_CACHE_STATE');
  });
});

describe('followers', () => {
  test.each([false, true])('get all bytes in order, from memory and file, to the end; purged: %s', async (purged) => {
    const { store } = await open(await temporary());
    const body = bytes(40_000);
    const fill = store.begin({ key: 'a' }, { note: 'x' });
    const read = async (): Promise<Buffer> => {
      const follower = fill.follow();
      const parts: Buffer[] = [];
      for (;;) {
        const piece = await follower.next();
        if (piece.kind === 'bytes') parts.push(Buffer.from(piece.bytes));
        else if (piece.kind === 'file') parts.push(readFd(piece.fd, piece.start, piece.end));
        else {
          expect(piece.kind).toBe('end');
          follower.close();
          return Buffer.concat(parts);
        }
      }
    };
    const early = read();
    await fill.write(body.subarray(0, 400));
    const later = read();
    await fill.write(body.subarray(400, 1000));
    for (let at = 1000; at < body.length; at += 3000) await fill.write(body.subarray(at, at + 3000));
    const last = read();
    if (purged) await store.purge({ key: 'a' }, 'hard');
    expect(store.fills('a')).toEqual(purged ? [] : [fill]);
    const result = await fill.commit(body.length);
    expect(result).toMatchObject(purged ? { stored: false, reason: 'purged' } : { stored: true });
    await store.purge({ key: 'a' }, 'hard');
    for (const got of [early, later, last]) expect((await got).equals(body)).toBe(true);
  });

  test('are told when there will be no more', async () => {
    const { store } = await open(await temporary());
    const fill = store.begin({ key: 'a' }, { note: 'x' });
    const follower = fill.follow();
    const waiting = follower.next();
    fill.abort();
    expect(await waiting).toEqual({ kind: 'failed', reason: 'aborted' });
    expect(await follower.next()).toEqual({ kind: 'failed', reason: 'aborted' });
    follower.close();
  });
});

describe('parts', () => {
  const total = 30_000;
  const body = bytes(total);

  test('join in one file, and are the whole in the end', async () => {
    const directory = await temporary();
    const first = await open(directory);
    const add = async (store: ObjectStore<{ note: string }>, start: number, end: number) => {
      const base = (await store.lookup('a'))[0];
      const target = { key: 'a', part: { first: start, total }, length: end - start, ...(base && { base }) };
      return stored(store, target, body.subarray(start, end));
    };
    expect((await add(first.store, 20_000, 25_000)).ranges).toEqual([{ start: 20_000, end: 25_000 }]);
    expect((await add(first.store, 0, 10_000)).ranges?.length).toBe(2);
    await first.store.close();
    const { store } = await open(directory);
    const partial = await only(store, 'a');
    expect(partial).toMatchObject({
      length: total,
      ranges: [
        { start: 0, end: 10_000 },
        { start: 20_000, end: 25_000 },
      ],
    });
    const lease = await store.openBody(partial);
    expect(lease && readFd(lease.fd, 20_000, 25_000).equals(body.subarray(20_000, 25_000))).toBe(true);
    lease?.release();
    // Two at a time: neither forgets the other.
    await Promise.all([add(store, 9_000, 15_000), add(store, 15_000, 20_000)]);
    expect((await only(store, 'a')).ranges).toEqual([{ start: 0, end: 25_000 }]);
    const whole = await add(store, 25_000, 30_000);
    expect(whole.ranges).toBeUndefined();
    expect((await bodyOf(store, whole))?.equals(body)).toBe(true);
    expect((await bodyFiles(directory)).length).toBe(1);
  });

  test.each([100, 5000])(
    '%i bytes of a body that was cut are its beginning, and tell followers that they are',
    async (length) => {
      const directory = await temporary();
      for (const whole of [total, UNKNOWN_LENGTH]) {
        const { store } = await open(directory);
        const target = { key: 'a', ...(whole === total && { length: total }) };
        const fill = store.begin(target, { note: 'x' });
        const follower = fill.follow();
        await fill.write(body.subarray(0, length));
        expect(() => fill.commit(length, { note: 'x' }, length)).toThrow(/no beginning/);
        const result = await fill.commit(length, { note: 'x' }, whole);
        const ranges = [{ start: 0, end: length }];
        expect(result).toMatchObject({ stored: true, object: { length: whole, ranges } });
        const kinds = [(await follower.next()).kind, (await follower.next()).kind];
        expect(kinds).toEqual(['file', 'failed']);
        follower.close();
        await store.close();
        const next = await open(directory);
        const partial = await only(next.store, 'a');
        expect(partial).toMatchObject({ length: whole, ranges });
        // The rest comes, and says how long the whole is.
        const target2 = { key: 'a', part: { first: length, total }, base: partial };
        const object = await stored(next.store, target2, body.subarray(length));
        expect(object.ranges).toBeUndefined();
        expect((await bodyOf(next.store, object))?.equals(body)).toBe(true);
        await next.store.close();
      }
    },
  );

  test('without a byte are nothing', async () => {
    const { store } = await open(await temporary());
    const fill = store.begin({ key: 'a', part: { first: 100, total } }, { note: 'x' });
    expect(await fill.commit(0)).toEqual({ stored: false, reason: 'short' });
    expect(await store.lookup('a')).toEqual([]);
  });

  test('of an object that is gone are not stored, and harm nothing', async () => {
    const { store } = await open(await temporary());
    const base = await stored(store, { key: 'a', part: { first: 0, total }, length: 5000 }, body.subarray(0, 5000));
    const before = store.begin({ key: 'a', part: { first: 5000, total }, base }, { note: 'x' });
    const opened = store.begin({ key: 'a', part: { first: 9000, total }, base }, { note: 'x' });
    await opened.write(body.subarray(9000, 9100));
    await stored(store, 'a', bytes(total, 7));
    expect(await before.write(body.subarray(5000, 5100))).toBe(false);
    expect(await before.commit(100)).toEqual({ stored: false, reason: 'gone' });
    expect(await opened.commit(100)).toEqual({ stored: false, reason: 'gone' });
    expect((await bodyOf(store, await only(store, 'a')))?.equals(bytes(total, 7))).toBe(true);
  });
});

describe('purge', () => {
  async function filled(): Promise<{ directory: string; store: ObjectStore<{ note: string }> }> {
    const directory = await temporary();
    const { store } = await open(directory);
    for (let i = 0; i < 60; i++) {
      const target = { key: `/${i % 3}/${i}`, tags: i % 2 === 0 ? ['even', `n${i}`] : [`n${i}`] };
      await stored(store, target, bytes(i % 5 === 0 ? 2000 : 20));
    }
    return { directory, store };
  }
  const left = async (store: ObjectStore<{ note: string }>, softPurged: boolean): Promise<number> => {
    let count = 0;
    for (let i = 0; i < 60; i++) {
      for (const object of await store.lookup(`/${i % 3}/${i}`)) if (object.softPurged === softPurged) count++;
    }
    return count;
  };

  test.each([
    ['key', { key: '/0/0' }, 1],
    ['prefix', { prefix: '/1/' }, 20],
    ['tag', { tag: 'even' }, 30],
    ['tag that others begin with', { tag: 'n1' }, 1],
    ['nothing', { tag: 'n' }, 0],
  ])('by %s, hard and soft, now and in the next life', async (_, target, count) => {
    for (const mode of ['hard', 'soft'] as const) {
      const { directory, store } = await filled();
      expect(await store.purge(target, mode)).toEqual({ objects: count, durable: true });
      const look = async (each: ObjectStore<{ note: string }>): Promise<void> => {
        expect(await left(each, false)).toBe(60 - count);
        expect(await left(each, true)).toBe(mode === 'soft' ? count : 0);
      };
      await look(store);
      await store.close();
      await look((await open(directory)).store);
    }
  });

  test('holds from the call on, before its promise', async () => {
    const { store } = await filled();
    const purging = store.purge({ prefix: '/' }, 'hard');
    expect(await left(store, false)).toBe(0);
    expect((await purging).objects).toBe(60);
  });

  test('spares what comes after it, not what had begun before', async () => {
    const { store } = await open(await temporary());
    const hard = store.begin({ key: 'a', tags: ['t'] }, { note: 'begun' });
    const soft = store.begin({ key: 'b', tags: ['t'] }, { note: 'begun' });
    const purging = [store.purge({ key: 'a' }, 'hard'), store.purge({ key: 'b' }, 'soft')];
    expect(await hard.commit(0)).toEqual({ stored: false, reason: 'purged' });
    expect(await soft.commit(0)).toMatchObject({ stored: true, object: { softPurged: true } });
    await stored(store, 'c', bytes(5));
    const later = stored(store, 'a', bytes(5));
    await Promise.all([...purging, later]);
    expect((await only(store, 'a')).softPurged).toBe(false);
    expect((await only(store, 'b')).softPurged).toBe(true);
  });

  test('catches what is being written into the log', async () => {
    const directory = await temporary();
    const first = await open(directory);
    const committing = [
      put(first.store, { key: 'a', tags: ['t'] }, bytes(9)),
      put(first.store, { key: 'b' }, bytes(9)),
    ];
    await microtasks();
    const [hard, soft] = [first.store.purge({ tag: 't' }, 'hard'), first.store.purge({ key: 'b' }, 'soft')];
    await Promise.all([...committing, hard, soft]);
    const look = async (store: ObjectStore<{ note: string }>): Promise<void> => {
      expect(await store.lookup('a')).toEqual([]);
      expect((await only(store, 'b')).softPurged).toBe(true);
    };
    await look(first.store);
    await first.store.close();
    await rm(join(directory, 'snapshot'));
    await look((await open(directory)).store);
  });

  test('of an old object does not take the new one back, in the order of the log either', async () => {
    const directory = await temporary();
    const first = await open(directory);
    const old = await stored(first.store, 'a', bytes(3));
    const replacing = put(first.store, 'a', bytes(4));
    await microtasks();
    expect(first.store.remove(old)).toBe(true);
    expect((await replacing).stored).toBe(true);
    expect((await only(first.store, 'a')).length).toBe(4);
    await first.store.close();
    await rm(join(directory, 'snapshot'));
    expect((await only((await open(directory)).store, 'a')).length).toBe(4);
  });
});

/** Until the records of commits are on their way to the disk, and before they are there. */
async function microtasks(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

describe('a directory', () => {
  test('has one owner', async () => {
    const directory = await temporary();
    const { store } = await open(directory);
    await expect(ObjectStore.open(directory, LIMITS)).rejects.toMatchObject({ code: 'ERR_CACHE_LOCKED' });
    await store.close();
    await (await open(directory)).store.close();
  });

  test.each([
    ['/dev/null/cache', /ENOTDIR/],
    ['/dev/null', /EEXIST/],
    // Here mkdir(2) says that the directory above is missing, however often one asks.
    ['/proc/x/y', /no directory can be made in \/proc/],
  ])('that cannot be one says why: %s', async (directory, why) => {
    const opening = ObjectStore.open(directory, LIMITS);
    await expect(opening).rejects.toMatchObject({
      code: 'ERR_CACHE_DIRECTORY',
      message: expect.stringMatching(new RegExp(`${directory} cannot be used as a cache: .*${why.source}`)) as string,
    });
  });

  test('is made with those above it, for its owner alone', async () => {
    const above = join(await temporary(), 'a');
    const directory = join(above, 'b', 'c');
    await (await open(directory)).store.close();
    await (await open(directory)).store.close();
    for (const each of [above, directory]) expect((await stat(each)).mode & 0o777).toBe(0o700);
  });

  test.each([{ diskBytes: 5 }, { diskBytes: NaN }, { inlineBytes: -1 }, { variants: 0 }, { objectBytes: 1e12 }])(
    'with limits of %o is not opened',
    async (limits) => {
      const opening = ObjectStore.open(await temporary(), { ...LIMITS, ...limits });
      await expect(opening).rejects.toMatchObject({ code: 'ERR_CACHE_ARGUMENT' });
    },
  );
});
