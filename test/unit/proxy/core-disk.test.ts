/**
 * A disk that takes nothing more, under a whole front: it costs objects, and no client its answer. Whoever asked gets it
 * without the store, and of those who wait for it whoever has got nothing yet asks for himself.
 */
import { readdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { until } from '../../support/flow-bed.js';
import { temporary } from './desk-bed.js';
import { front, get, response, type Front, type Peer } from './front-bed.js';

const STORED = 'Cache-Control: max-age=60';
const CHUNKED = 'Transfer-Encoding: chunked';

/** A front, and the end of its disk: no file can be made any more. */
async function bed(): Promise<{ bed: Front; breakDisk: () => Promise<void> }> {
  const directory = await temporary();
  const { TMPDIR } = process.env;
  process.env['TMPDIR'] = directory;
  onTestFinished(() => {
    if (TMPDIR === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = TMPDIR;
  });
  const bed = await front();
  const [cache = ''] = await readdir(directory);
  const bodies = join(directory, cache, 'bodies');
  const breakDisk = async (): Promise<void> => {
    await rename(bodies, `${bodies}-gone`);
    await writeFile(bodies, 'no directory');
  };
  return { bed, breakDisk };
}

/** One who asks, and one who waits for the same answer. */
async function two(bed: Front, path: string): Promise<{ leader: Peer; origin: Peer; follower: Peer }> {
  const leader = await bed.client(get(path));
  const origin = await bed.origin();
  await origin.head();
  const follower = await bed.client(get(path));
  await until('it waits', () => bed.left['collapsed'] === 1);
  return { leader, origin, follower };
}

const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;
const contentOf = (text: string): string =>
  text.slice(text.indexOf('\r\n\r\n') + 4).replaceAll(/[0-9a-f]+\r\n([^\r]*)\r\n/g, '$1');

test('known length, by the kernel: who follows asks the origin, before it has so much as a head', async () => {
  const { bed: front, breakDisk } = await bed();
  await breakDisk();
  const content = 'k'.repeat(300_000);
  const { leader, origin, follower } = await two(front, '/k');
  origin.write(response(200, content.slice(0, 1000), STORED, `Content-Length: ${content.length}`));
  const again = await front.origin();
  await again.head();
  expect(follower.text).toBe('');
  again.write(response(200, content, STORED));
  expect((await follower.response()).content).toBe(content);
  origin.write(content.slice(1000));
  expect((await leader.response()).content).toBe(content);
  await front.resting();
  expect(front.lines.filter(({ reason }) => reason === 'store')).toEqual([]);
  await front.done();
});

test('chunks, by copying: once the disk has failed, nobody is given what it may not take', async () => {
  const { bed: front, breakDisk } = await bed();
  await breakDisk();
  // Three of them are more than a record of the log takes.
  const piece = 'c'.repeat(30_000);
  // The first to fail: the next ones know. Small ones go on as if nothing had been.
  const failing = await two(front, '/known');
  failing.origin.write(response(200, piece, STORED, 'Content-Length: 200000'));
  const retried = await front.origin();
  await retried.head();
  const small = await two(front, '/small');
  small.origin.write(`${response(200, '', STORED, CHUNKED, 'Connection: close')}${chunk('small')}0\r\n\r\n`);
  await small.follower.until('all of it', () => small.follower.text.includes('\r\nsmall'));

  const { leader, origin, follower } = await two(front, '/c');
  origin.write(`${response(200, '', STORED, CHUNKED)}${chunk(piece)}`);
  await leader.until('the first of it', () => leader.text.includes('ccc'));
  origin.write(chunk(piece) + chunk(piece));
  const again = await front.origin();
  await again.head();
  expect(follower.text).toBe('');
  again.write(`${response(200, '', STORED, CHUNKED)}${chunk(piece).repeat(3)}0\r\n\r\n`);
  origin.write('0\r\n\r\n');
  for (const each of [leader, follower]) {
    await each.until('its end', () => each.text.endsWith('0\r\n\r\n'));
    expect(contentOf(each.text).startsWith(piece.repeat(3))).toBe(true);
  }
  for (const each of [failing.origin, retried]) each.reset();
  await front.done();
});

test('who follows and has gone is not asked for', async () => {
  const { bed: front, breakDisk } = await bed();
  await breakDisk();
  const { leader, origin, follower } = await two(front, '/k');
  follower.reset();
  await until('it has gone', () => front.left['collapsed'] === 0);
  origin.write(response(200, 'k'.repeat(300_000), STORED));
  expect((await leader.response()).content.length).toBe(300_000);
  await front.resting();
  expect(front.unasked).toBe(0);
  await front.done();
});
