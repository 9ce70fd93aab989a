/** A log that stays readable, and directories that do not stay behind. */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { claimDirectory, removeStale } from '../../../src/proxy/desk-directory.js';
import { DeskEvents } from '../../../src/proxy/desk-events.js';
import { bytes, only, openDesk, store, stored, temporary } from './desk-bed.js';

test('one line a kind in ten seconds, and the next one says how many there were', () => {
  const lines: [level: string, fields: object, text: string][] = [];
  const heard: string[] = [];
  let now = 0;
  const logger = {
    info: (fields: object, text: string) => void lines.push(['info', fields, text]),
    warn: (fields: object, text: string) => void lines.push(['warn', fields, text]),
  };
  const events = new DeskEvents(
    logger,
    ({ text }) => heard.push(text),
    () => now,
  );
  const full = (text: string): void => events.tell({ kind: 'disk-full', text });
  events.tell({ kind: 'opened', text: 'open' });
  for (const text of ['a', 'b', 'c']) full(text);
  events.tell({ kind: 'lost', text: 'x', path: '/p', error: new Error('e') });
  now = 9999;
  events.flush();
  full('d');
  now = 10_000;
  full('e');
  full('f');
  full('g');
  now = 20_000;
  events.flush();
  events.flush();
  full('h');
  events.flush(true);
  expect(heard.length).toBe(10);
  expect(lines).toEqual([
    ['info', { event: 'opened' }, 'cache: open'],
    ['warn', { event: 'disk-full' }, 'cache: a'],
    ['warn', { event: 'lost', path: '/p', err: new Error('e') }, 'cache: x'],
    ['warn', { event: 'disk-full', more: 3 }, 'cache: e'],
    ['warn', { event: 'disk-full', more: 1 }, 'cache: g'],
    ['warn', { event: 'disk-full' }, 'cache: h'],
  ]);
});

describe('directories', () => {
  test('without one the cache lives as long as the desk', async () => {
    const { desk } = await openDesk(undefined);
    await store(desk, bytes(5000));
    expect(desk.path.startsWith(join(tmpdir(), 'splice-http-'))).toBe(true);
    expect(existsSync(join(desk.path, 'log'))).toBe(true);
    await desk.close();
    expect(existsSync(desk.path)).toBe(false);
  });

  test('what a killed process left is removed, what is in use or young is not', async () => {
    const prefix = `desk-stale-${process.pid}-`;
    const make = async (): Promise<string> => {
      const path = await mkdtemp(join(tmpdir(), prefix));
      onTestFinished(() => rm(path, { recursive: true, force: true }));
      return path;
    };
    const old = new Date(Date.now() - 120_000);
    const [left, used, young] = [await make(), await make(), await make()];
    const { desk } = await openDesk(used);
    await utimes(left, old, old);
    await utimes(used, old, old);
    await removeStale(prefix, 60_000);
    expect([left, used, young].map(existsSync)).toEqual([false, true, true]);
    await store(desk, bytes(5000));
    expect((await stored(desk)).length).toBe(1);
  });

  test('workers have each their own; what belongs to another number of them goes', async () => {
    const directory = await temporary();
    const left = async (): Promise<string[]> => (await readdir(directory)).sort();
    const single = await openDesk(directory);
    await store(single.desk, bytes(5000));
    const desks = [];
    for (const worker of [0, 1, 2]) desks.push((await openDesk(directory, {}, { worker })).desk);
    for (const [i, desk] of desks.entries()) await store(desk, bytes(10 + i));
    for (const [i, desk] of desks.entries()) expect((await only(desk)).record.extent.total).toBe(10 + i);

    // Not a store's, whatever they are called.
    await mkdir(join(directory, 'worker-9'));
    await mkdir(join(directory, 'mine'));
    const others = ['mine', 'worker-9'];
    const workers = ['worker-0', 'worker-1', 'worker-2'];
    const everything = [...(await left())];
    const locked = { code: 'ERR_CACHE_LOCKED', message: expect.stringContaining(`process ${process.pid}`) as string };
    for (const workers of [1, 2]) await expect(claimDirectory(directory, workers)).rejects.toMatchObject(locked);
    expect(await left()).toEqual(everything);
    await single.desk.close();
    await desks[2]?.close();
    const lock = await claimDirectory(directory, 2);
    expect(await left()).toEqual([...others, ...workers.slice(0, 2)].sort());
    // One process at a time, whatever number of workers it has.
    for (const workers of [1, 2]) await expect(claimDirectory(directory, workers)).rejects.toMatchObject(locked);
    await expect(openDesk(directory)).rejects.toMatchObject(locked);
    await lock?.release();
    expect(await claimDirectory(directory, 1)).toBeUndefined();
    expect(await left()).toEqual([...others, ...workers.slice(0, 2)].sort());
    for (const desk of desks) await desk.close();
    expect(await claimDirectory(directory, 1)).toBeUndefined();
    expect(await left()).toEqual(others);
    await openDesk(directory);
    expect(await claimDirectory(join(directory, 'new'), 1)).toBeUndefined();
    await expect(claimDirectory('/dev/null/cache', 2)).rejects.toMatchObject({ code: 'ERR_CACHE_DIRECTORY' });
  });

  test('that are in use or cannot be used are errors of the start', async () => {
    const directory = await temporary();
    await openDesk(directory);
    await expect(openDesk(directory)).rejects.toMatchObject({ code: 'ERR_CACHE_LOCKED' });
    await expect(openDesk('/dev/null/cache')).rejects.toMatchObject({ code: 'ERR_CACHE_DIRECTORY' });
  });
});
