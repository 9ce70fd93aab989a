/** Disks that lie: rotten bytes, missing and cut files, snapshots that are none, a machine that lost its power. */
import { cpSync, readFileSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ObjectStore } from '../../../src/cache/store/store.js';
import { bodyFiles, bodyOf, bytes, open, stored, temporary, type Meta } from './store-bed.js';

const COUNT = 60;
const small = { diskBytes: 4 * 1024 * 1024, objectBytes: 100_000 };

/** 60 objects, every third a file, in a store that ended in order. */
async function filled(): Promise<string> {
  const directory = await temporary();
  const { store } = await open(directory);
  for (let i = 0; i < COUNT; i++) await stored(store, `/${i}`, bytes(i % 3 === 0 ? 3000 : 100, i));
  await store.close();
  return directory;
}

/** Objects that are there; each must be whole. */
async function present(store: ObjectStore<Meta>): Promise<number> {
  let count = 0;
  for (let i = 0; i < COUNT; i++) {
    for (const object of await store.lookup(`/${i}`)) {
      const body = await bodyOf(store, object);
      if (body === undefined) continue;
      expect(body.equals(bytes(i % 3 === 0 ? 3000 : 100, i))).toBe(true);
      count++;
    }
  }
  return count;
}

function logFile(directory: string): string {
  const [name] = readdirSync(join(directory, 'log')).sort();
  return join(directory, 'log', name ?? '');
}

describe.each([true, false])('with a snapshot: %s', (snapshot) => {
  test('a rotten byte in the log costs one object', async () => {
    const directory = await filled();
    if (!snapshot) rmSync(join(directory, 'snapshot'));
    const path = logFile(directory);
    const log = readFileSync(path);
    for (const at of [70, 1000, 5001]) log[at] = (log[at] ?? 0) ^ 0x10;
    writeFileSync(path, log);
    const { store, kinds } = await open(directory);
    const count = await present(store);
    expect(count).toBeLessThan(COUNT);
    expect(count).toBeGreaterThanOrEqual(COUNT - 3);
    expect(new Set(kinds())).toEqual(new Set(['corrupt']));
    // What is lost can be stored again.
    for (let i = 0; i < COUNT; i++) await stored(store, `/${i}`, bytes(i % 3 === 0 ? 3000 : 100, i));
    expect(await present(store)).toBe(COUNT);
  });

  test('bodies that are missing, cut or too long are misses', async () => {
    const directory = await filled();
    if (!snapshot) rmSync(join(directory, 'snapshot'));
    const [a, b, c] = await bodyFiles(directory);
    rmSync(a ?? '');
    truncateSync(b ?? '', 2999);
    writeFileSync(c ?? '', bytes(3001));
    const { store, kinds } = await open(directory);
    expect(await present(store)).toBe(COUNT - 3);
    expect(kinds().sort()).toEqual(['io-error', 'lost', 'lost', 'lost']);
    await store.settled();
    expect((await bodyFiles(directory)).length).toBe(COUNT / 3 - 3);
    expect(store.stats()).toMatchObject({ objects: COUNT - 3, lost: 3 });
  });
});

test('a log that is gone leaves an empty store, and no files', async () => {
  const directory = await filled();
  rmSync(join(directory, 'log'), { recursive: true });
  const { store } = await open(directory);
  expect(await present(store)).toBe(0);
  await store.settled();
  expect(await bodyFiles(directory)).toEqual([]);
});

test.each(['cut', 'flipped', 'foreign', 'empty'])('a snapshot that is %s costs time, and nothing else', async (how) => {
  const directory = await filled();
  const path = join(directory, 'snapshot');
  const bytesThen = readFileSync(path);
  if (how === 'cut') truncateSync(path, statSync(path).size - 13);
  if (how === 'flipped') {
    bytesThen[300] = (bytesThen[300] ?? 0) ^ 1;
    writeFileSync(path, bytesThen);
  }
  if (how === 'foreign') writeFileSync(path, bytes(5000));
  if (how === 'empty') writeFileSync(path, '');
  const { store, kinds } = await open(directory);
  expect(kinds()).toEqual(['corrupt']);
  expect(await present(store)).toBe(COUNT);
});

test('a purge outlives the snapshot, and segments that are cleaned', async () => {
  const directory = await temporary();
  const first = await open(directory, small);
  await stored(first.store, { key: 'gone', tags: ['t'] }, bytes(100));
  await stored(first.store, { key: 'stale' }, bytes(100));
  await first.store.purge({ tag: 't' }, 'hard');
  await first.store.purge({ key: 'stale' }, 'soft');
  const before = logFile(directory);
  for (let i = 0; i < 600; i++) await stored(first.store, `${i % 20}`, bytes(900, i));
  await first.store.settled();
  expect(logFile(directory)).not.toBe(before); // its segment was cleaned
  await first.store.close();
  rmSync(join(directory, 'snapshot'));
  const { store } = await open(directory, small);
  expect(await store.lookup('gone')).toEqual([]);
  expect((await store.lookup('stale'))[0]).toMatchObject({ softPurged: true, length: 100 });
});

describe('after a loss of power', () => {
  /** Makes the directory one whose last life was under another boot and did not end. */
  function losePower(directory: string): void {
    writeFileSync(join(directory, 'life'), 'life 1 boot another running\n');
  }

  test('files from after the last checkpoint are not believed, those before and small ones are', async () => {
    const directory = await filled();
    const second = await open(directory);
    for (let i = 0; i < 4; i++) await stored(second.store, `new-${i}`, bytes(i < 2 ? 100 : 3000));
    await second.store.settled();
    const image = await copy(directory, second.store);
    losePower(image);
    const { store, kinds } = await open(image);
    expect(await present(store)).toBe(COUNT);
    expect((await store.lookup('new-0')).length + (await store.lookup('new-1')).length).toBe(2);
    expect((await store.lookup('new-2')).length + (await store.lookup('new-3')).length).toBe(0);
    expect(kinds()).toEqual(['power-loss']);
    await store.settled();
    expect((await bodyFiles(image)).length).toBe(COUNT / 3);
  });

  test('a store that ended in order loses nothing', async () => {
    const directory = await filled();
    const life = readFileSync(join(directory, 'life'), 'latin1');
    writeFileSync(join(directory, 'life'), life.replace(/boot \S+/, 'boot another'));
    const { store, kinds } = await open(directory);
    expect(await present(store)).toBe(COUNT);
    expect(kinds()).toEqual([]);
  });

  /** What is on disk now, as kill -9 would leave it. */
  async function copy(directory: string, store: ObjectStore<Meta>): Promise<string> {
    const image = await temporary();
    cpSync(directory, image, { recursive: true });
    expect(store.stats().fills).toBe(0);
    return image;
  }
});

test('a body that nobody named is swept away; numbers are never used twice', async () => {
  const directory = await filled();
  const second = await open(directory);
  const fill = second.store.begin({ key: 'a' }, { note: 'x' });
  await fill.write(bytes(5000));
  const names = await bodyFiles(directory);
  const image = await temporary();
  cpSync(directory, image, { recursive: true });
  rmSync(join(image, 'life')); // nobody knows how many lives there were
  const { store } = await open(image);
  const made = await stored(store, 'b', bytes(5000, 2));
  await store.settled();
  expect((await bodyFiles(image)).length).toBe(names.length);
  expect((await bodyOf(store, made))?.equals(bytes(5000, 2))).toBe(true);
});
