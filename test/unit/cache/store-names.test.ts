/** Names of objects: keys that belong together are found without a walk, and long ones have a limit of their own. */
import { expect, test, vi } from 'vitest';
import { LongNames } from '../../../src/cache/store/long-names.js';
import { ObjectIndex } from '../../../src/cache/store/object-index.js';
import type { ObjectStore } from '../../../src/cache/store/store.js';
import { inUse } from '../../support/heap.js';
import { bytes, open, stored, temporary, type Meta } from './store-bed.js';

const MIB = 1024 * 1024;
const FAMILY = ['/a', '/a [1]', '/a [2]', '/a [2] x'];
const OTHERS = ['/', '/a/', '/a/ [1]', '/ab [1]', '/b [1]'];

async function names(store: ObjectStore<Meta>, keys: readonly string[]): Promise<string[]> {
  const there = await Promise.all(keys.map(async (key) => ((await store.lookup(key)).length > 0 ? key : undefined)));
  return there.filter((key) => key !== undefined);
}

test('a family of keys goes as a whole, without a look at any other key', async () => {
  const directory = await temporary();
  let { store } = await open(directory);
  const fill = async (): Promise<void> => {
    for (const key of [...FAMILY, ...OTHERS]) {
      await stored(store, key, bytes(100));
      await stored(store, { key, variant: 'v' }, bytes(5000));
    }
  };
  const walk = vi.spyOn(ObjectIndex.prototype, 'keys');
  await fill();
  expect(await store.purge({ key: '/a' }, 'hard')).toEqual({ objects: 2, durable: true });
  expect(await store.purge({ key: '/a', family: true }, 'hard')).toEqual({ objects: 6, durable: true });
  expect(await names(store, [...FAMILY, ...OTHERS])).toEqual(OTHERS);
  await fill();
  await store.close();
  ({ store } = await open(directory));
  expect(await store.purge({ key: '/a', family: true }, 'soft')).toEqual({ objects: 8, durable: true });
  const [soft] = await store.lookup('/a [2] x');
  const [other] = await store.lookup('/ab [1]');
  expect([soft?.softPurged, other?.softPurged]).toEqual([true, false]);
  expect(walk).not.toHaveBeenCalled();
  await store.purge({ prefix: '/a ' }, 'hard');
  expect(walk).toHaveBeenCalled();
  expect(await store.purge({ key: '/a', family: true }, 'hard')).toEqual({ objects: 2, durable: true });
});

test('a big family goes a piece a turn, and holds at once', async () => {
  const { store } = await open(await temporary(), { memoryBytes: 0 });
  const keys = Array.from({ length: 5000 }, (_, i) => `/a [${i}]`);
  await Promise.all(keys.map((key) => stored(store, key, bytes(10))));
  const purging = store.purge({ key: '/a', family: true }, 'hard');
  expect(await store.lookup('/a [4999]')).toEqual([]);
  await stored(store, '/a [0]', bytes(20));
  expect(await purging).toEqual({ objects: 5000, durable: true });
  expect(await names(store, keys)).toEqual(['/a [0]']);
});

test('a fill of the family that was under way is meant, too', async () => {
  const { store } = await open(await temporary());
  const fills = ['/a [1]', '/ab [1]'].map((key) => store.begin({ key }, { note: '' }));
  await store.purge({ key: '/a', family: true }, 'hard');
  for (const fill of fills) await fill.commit(0);
  expect(fills.map(({ state }) => state)).toEqual(['failed', 'stored']);
});

test('long names have half the memory; what was not used for longest gives way, and nothing with a short name', async () => {
  const directory = await temporary();
  const limits = { diskBytes: 512 * MIB, memoryBytes: 8 * MIB };
  let { store } = await open(directory, limits);
  const short = Array.from({ length: 200 }, (_, i) => `/${i}`);
  for (const key of short) await stored(store, key, bytes(100));
  const long = (i: number): string => `/${i}/${'n'.repeat(8000)}`;
  const first = await stored(store, long(0), bytes(100));
  for (let i = 1; i < 1200; i++) {
    await stored(store, long(i), bytes(100));
    store.touch(first);
  }
  const check = async (): Promise<void> => {
    expect(store.stats().memoryBytes).toBeLessThan(8 * MIB);
    expect(await names(store, short)).toEqual(short);
    expect(store.stats().objects).toBeGreaterThan(200 + 450);
    expect(store.stats().objects).toBeLessThan(200 + 530);
  };
  await check();
  expect(await names(store, [long(0), long(1), long(600), long(1199)])).toEqual([long(0), long(1199)]);
  await store.close();
  ({ store } = await open(directory, limits));
  await check();
  // Gone is not counted any more.
  await store.purge({ prefix: '/' }, 'hard');
  expect(store.stats().memoryBytes).toBe(0);
});

test('a key holds its own characters, and nothing of the request that brought it', async () => {
  const { store } = await open(await temporary(), { memoryBytes: 0 });
  const before = inUse();
  for (let i = 0; i < 1000; i++) {
    const head = Buffer.alloc(30_000, `GET http://example.org/${i} `).toString('latin1');
    await stored(store, head.slice(4, 30), bytes(10));
  }
  expect(store.stats().objects).toBe(1000);
  expect(inUse() - before).toBeLessThan(8 * MIB);
});

test('the usual ones cost nothing', () => {
  const long = new LongNames(0);
  for (let slot = 0; slot < 1000; slot++) long.put(slot, 256);
  expect([long.bytes, long.isOver, long.oldest()]).toEqual([0, false, undefined]);
  long.put(1, 300);
  long.put(2, 400);
  long.put(1, 500);
  expect([long.bytes, long.oldest()]).toEqual([900, 2]);
  long.touch(2);
  long.touch(3);
  expect(long.oldest()).toBe(1);
  long.put(1, 10);
  long.remove(2);
  long.remove(2);
  expect([long.bytes, long.oldest()]).toEqual([0, undefined]);
});
