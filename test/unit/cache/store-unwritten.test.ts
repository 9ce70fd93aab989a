/** Objects whose records are not in the log yet: found at once, promised later, and taken back in the right order. */
import { cpSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { ObjectStore } from '../../../src/cache/store/store.js';
import type { StoredObject } from '../../../src/cache/store/types.js';
import { bodyOf, bytes, only, open, stored, temporary, type Meta } from './store-bed.js';

/** Longer than any test: nothing is written unless somebody waits for it. */
const NEVER = { gatherMs: 2 ** 30 };

interface Begun {
  readonly object: StoredObject<Meta> | undefined;
  /** What `written` was told, in order. */
  readonly told: (string | undefined)[];
}

/** A new object of 100 bytes, as far as that goes without a promise. */
function begin(store: ObjectStore<Meta>, key: string, seed = 1, tags: string[] = []): Begun {
  const told: (string | undefined)[] = [];
  const fill = store.begin({ key, tags }, { note: `${seed}` });
  expect(fill.write(bytes(100, seed))).toBe(true);
  return { object: fill.commitNow(100, { note: `${seed}` }, (failure) => told.push(failure)), told };
}

/** What another life would find now. */
async function afterKill(directory: string): Promise<ObjectStore<Meta>> {
  const image = await temporary();
  cpSync(directory, image, { recursive: true });
  return (await open(image)).store;
}

describe.each([0, 1_000_000])('with %i bytes of memory', (memoryBytes) => {
  test('an object is found before it is written; what was told outlives kill -9', async () => {
    const directory = await temporary();
    const { store } = await open(directory, { memoryBytes }, NEVER);
    const { object, told } = begin(store, 'a');
    const [seen] = store.peek('a') ?? [];
    expect(seen).toBe(object);
    expect(seen).toMatchObject({ key: 'a', length: 100, meta: { note: '1' }, tags: [], softPurged: false });
    expect((await bodyOf(store, await only(store, 'a')))?.equals(bytes(100))).toBe(true);
    expect(store.stats()).toMatchObject({ objects: 1, stored: 0, fills: 0, diskReads: 0 });
    expect(told).toEqual([]);
    expect(await (await afterKill(directory)).lookup('a')).toEqual([]);
    await store.settled();
    expect(told).toEqual([undefined]);
    expect(store.stats()).toMatchObject({ objects: 1, stored: 1 });
    expect((await bodyOf(store, await only(store, 'a')))?.equals(bytes(100))).toBe(true);
    const next = await afterKill(directory);
    expect((await bodyOf(next, await only(next, 'a')))?.equals(bytes(100))).toBe(true);
  });

  test('a purge that is told done has taken it from the disk as well', async () => {
    const directory = await temporary();
    const { store } = await open(directory, { memoryBytes }, NEVER);
    const { told } = begin(store, 'a', 1, ['t']);
    expect(await store.purge({ tag: 't' }, 'hard')).toEqual({ objects: 1, durable: true });
    expect(told).toEqual([undefined]);
    expect(store.peek('a')).toEqual([]);
    expect(await (await afterKill(directory)).lookup('a')).toEqual([]);
    expect(store.stats()).toMatchObject({ objects: 0, diskBytes: 0 });
    expect(store.stats().deadBytes).toBe(store.stats().logBytes);
  });

  test('a soft purge marks it, here and on the disk', async () => {
    const directory = await temporary();
    const { store } = await open(directory, { memoryBytes }, NEVER);
    begin(store, 'a');
    const purged = store.purge({ key: 'a' }, 'soft');
    expect(store.peek('a')?.[0]?.softPurged).toBe(true);
    await purged;
    expect((await only(await afterKill(directory), 'a')).softPurged).toBe(true);
  });

  test('one that was removed and stored anew is the new one, in every life', async () => {
    const directory = await temporary();
    const { store } = await open(directory, { memoryBytes }, NEVER);
    for (let seed = 1; seed <= 3; seed++) {
      const { object } = begin(store, 'a', seed);
      if (object !== undefined && seed < 3) expect(store.remove(object)).toBe(true);
    }
    await store.settled();
    const next = await afterKill(directory);
    for (const each of [store, next]) {
      expect((await only(each, 'a')).meta).toEqual({ note: '3' });
      expect((await bodyOf(each, await only(each, 'a')))?.equals(bytes(100, 3))).toBe(true);
    }
  });

  test('an update of it is of it', async () => {
    const directory = await temporary();
    const { store } = await open(directory, { memoryBytes }, NEVER);
    const { object } = begin(store, 'a');
    const updating = object && store.update(object, { note: 'new' });
    await store.settled();
    expect((await updating)?.meta).toEqual({ note: 'new' });
    const next = await afterKill(directory);
    expect((await only(next, 'a')).meta).toEqual({ note: 'new' });
    expect((await bodyOf(next, await only(next, 'a')))?.equals(bytes(100))).toBe(true);
  });
});

test('what is to replace an object waits for its record; one stored meanwhile, after a removal, is younger', async () => {
  const directory = await temporary();
  const { store } = await open(directory, {}, NEVER);
  const storing = stored(store, 'a', bytes(100, 1));
  await store.settled();
  const first = await storing;
  const fill = store.begin({ key: 'a' }, { note: 'second' });
  fill.write(bytes(100, 2));
  expect(fill.commitNow(100, { note: 'second' }, () => undefined)).toBeUndefined();
  const second = fill.commit(100);
  await Promise.resolve(); // its record is in the queue two microtasks later
  await new Promise(setImmediate);
  expect(store.peek('a')).toEqual([first]);
  store.remove(first);
  const { object } = begin(store, 'a', 3);
  expect(object).toBeDefined();
  await store.settled();
  expect(await second).toEqual({ stored: false, reason: 'gone' });
  for (const each of [store, await afterKill(directory)]) expect((await only(each, 'a')).meta).toEqual({ note: '3' });
});

test('a snapshot leaves out what is not written, and the log has it', async () => {
  const directory = await temporary();
  const first = await open(directory, {}, NEVER);
  begin(first.store, 'a', 1);
  await first.store.settled();
  begin(first.store, 'b', 2);
  await first.store.close();
  const { store } = await open(directory);
  expect([(await only(store, 'a')).meta, (await only(store, 'b')).meta]).toEqual([{ note: '1' }, { note: '2' }]);
});

test('objects that gather go out when they are many, without anybody waiting', async () => {
  const { store } = await open(await temporary(), {}, NEVER);
  const written = new Promise<void>((resolve) => {
    for (let i = 0; i < 4000; i++) {
      const fill = store.begin({ key: `/${i}` }, { note: '' });
      fill.write(bytes(100));
      fill.commitNow(100, { note: '' }, () => resolve());
    }
  });
  await written;
  expect(store.stats().stored).toBeGreaterThan(0);
});
