/** What a careful follower is given, piece by piece, while the disk is in trouble. */
import { expect, test } from 'vitest';
import type { Piece } from '../../../src/cache/store/fill-types.js';
import { carefully } from '../../../src/proxy/careful-follower.js';
import { DeskEvents } from '../../../src/proxy/desk-events.js';

const MIB = 1024 * 1024;
const bytes = (text: string): Piece => ({ kind: 'bytes', bytes: Buffer.from(text) });
const file = (start: number, end: number): Piece => ({ kind: 'file', fd: 7, start, end });
const failed: Piece = { kind: 'failed', reason: 'disk-full' };
const end: Piece = { kind: 'end' };

/** The pieces that it gives, and how many of the fill's it had taken when it gave the first. */
async function read(length: number | undefined, ...pieces: Piece[]): Promise<{ given: Piece[]; taken: number }> {
  let at = 0;
  let closed = 0;
  const next = (): Promise<Piece> => Promise.resolve(pieces[Math.min(at++, pieces.length - 1)] ?? failed);
  const follower = carefully({ next, close: () => void closed++ }, length);
  const given = [await follower.next()];
  const taken = at;
  while (given.at(-1)?.kind !== 'end' && given.at(-1)?.kind !== 'failed') given.push(await follower.next());
  follower.close();
  expect(closed).toBe(1);
  return { given, taken };
}

test('nothing of what fails before it is in a file', async () => {
  expect((await read(100, bytes('a'), bytes('b'), failed)).given).toEqual([failed]);
  expect((await read(undefined, bytes('a'), file(1, MIB - 1), failed)).given).toEqual([failed]);
  expect((await read(500, file(0, 499), failed)).given).toEqual([failed]);
});

test('everything, in order, once enough is there', async () => {
  expect(await read(undefined, bytes('a'), bytes('b'), end)).toEqual({
    given: [bytes('a'), bytes('b'), end],
    taken: 3,
  });
  const all = [bytes('a'), file(1, 200), file(200, 500), end];
  expect(await read(500, ...all)).toEqual({ given: all, taken: 3 });
  const long = [file(0, 10), file(10, MIB), file(MIB, 2 * MIB), failed];
  expect(await read(9 * MIB, ...long)).toEqual({ given: long, taken: 2 });
});

test('a disk is in trouble for a while after it has failed, and for nothing else', () => {
  let now = 0;
  const events = new DeskEvents(undefined, undefined, () => now);
  for (const kind of ['opened', 'lost', 'corrupt', 'slow-disk', 'refused'] as const) events.tell({ kind, text: '' });
  expect(events.diskTroubled).toBe(false);
  for (const kind of ['disk-full', 'denied', 'io-error', 'stalled'] as const) {
    now += 20_000;
    events.tell({ kind, text: '' });
    expect(events.diskTroubled).toBe(true);
    now += 9_999;
    expect(events.diskTroubled).toBe(true);
    now += 1;
    expect(events.diskTroubled).toBe(false);
  }
});
