/** A disk that takes nothing for a while: what waits for it is bounded, and what is there already stays usable. */
import { cpSync } from 'node:fs';
import { expect, onTestFinished, test, vi } from 'vitest';
import type { Fill } from '../../../src/cache/store/fill.js';
import type * as io from '../../../src/cache/store/io.js';
import type { ObjectStore } from '../../../src/cache/store/store.js';
import { bodyOf, bytes, only, open, temporary, type Meta } from './store-bed.js';

const MB = 1024 * 1024;
const LIMITS = { diskBytes: 512 * MB, inlineBytes: MB, objectBytes: MB, memoryBytes: 0 };

/** What every write waits for. */
const disk = vi.hoisted(() => ({ stall: Promise.resolve() }));
vi.mock('../../../src/cache/store/io.js', async (original) => {
  const real = await original<typeof io>();
  return {
    ...real,
    writeAll: (...args: Parameters<typeof io.writeAll>) => disk.stall.then(() => real.writeAll(...args)),
  };
});

/** Until the returned function is called. */
function stall(): () => void {
  let goOn = (): void => undefined;
  disk.stall = new Promise((resolve) => (goOn = resolve));
  onTestFinished(() => goOn());
  return goOn;
}

function begin(store: ObjectStore<Meta>, key: string, seed: number): Fill<Meta> {
  const fill = store.begin({ key }, { note: key });
  if (fill.state === 'open') fill.write(bytes(MB - 1000, seed));
  return fill;
}

/** Stores until one is refused; the names of those that were not. */
function storeUntilRefused(store: ObjectStore<Meta>): string[] {
  const taken: string[] = [];
  for (let i = 0; i < 1000; i++) {
    const fill = begin(store, `/${i}`, i);
    if (fill.commitNow(MB - 1000, { note: `/${i}` }, () => undefined) === undefined) return taken;
    taken.push(`/${i}`);
  }
  throw new Error('a thousand were taken');
}

test('beyond 32 MiB nothing new is stored, and afterwards it is again', async () => {
  const directory = await temporary();
  const { store, kinds } = await open(directory, LIMITS);
  const early = begin(store, 'early', 1);
  const known = begin(store, 'known', 2);
  expect(await known.commit(MB - 1000)).toMatchObject({ stored: true });
  const object = await only(store, 'known');

  const goOn = stall();
  const taken = storeUntilRefused(store);
  expect(taken.length * MB).toBeGreaterThan(31 * MB);
  expect(taken.length * MB).toBeLessThan(34 * MB);
  expect(begin(store, 'late', 3)).toMatchObject({ state: 'failed', failure: 'stalled' });
  expect(await early.commit(MB - 1000)).toEqual({ stored: false, reason: 'stalled' });
  expect(await store.update(object, { note: 'new' })).toBeUndefined();
  expect(new Set(kinds())).toEqual(new Set(['stalled']));
  expect(store.stats()).toMatchObject({ objects: taken.length + 1, fills: 0, failedFills: 3 });

  // What is there is found, and can be taken out: that is never refused.
  for (const [i, key] of taken.entries()) {
    expect((await bodyOf(store, await only(store, key)))?.equals(bytes(MB - 1000, i))).toBe(true);
  }
  expect(store.remove(await only(store, '/0'))).toBe(true);
  expect(await store.lookup('/0')).toEqual([]);

  goOn();
  await store.settled();
  const after = begin(store, 'after', 4);
  expect(await after.commit(MB - 1000)).toMatchObject({ stored: true });
  const image = await temporary();
  cpSync(directory, image, { recursive: true });
  const next = await open(image, LIMITS);
  expect(next.store.stats().objects).toBe(taken.length + 1);
  for (const key of [...taken.slice(1), 'known', 'after'])
    expect((await only(next.store, key)).meta).toEqual({ note: key });
});

test('a disk that fails at last has taken nothing of it, and the way is free', async () => {
  const { store, kinds } = await open(await temporary(), LIMITS);
  let fail = (_error: Error): void => undefined;
  disk.stall = new Promise((_resolve, reject) => (fail = reject));
  disk.stall.catch(() => undefined); // nobody writes yet
  const taken = storeUntilRefused(store);
  const settled = store.settled();
  fail(Object.assign(new Error('EIO'), { code: 'EIO' }));
  await settled;
  expect(taken.map((key) => store.peek(key))).toEqual(taken.map(() => []));
  expect(new Set(kinds())).toEqual(new Set(['stalled', 'io-error']));
  disk.stall = Promise.resolve();
  expect(await begin(store, 'after', 4).commit(MB - 1000)).toMatchObject({ stored: true });
});
