/** Bodies from a file: whole, a range, or of a file that is still being filled. */
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { FileGrowth } from '../../../src/engine/file-growth.js';
import type { TapBody } from '../../../src/engine/tap-body.js';
import { Tap } from '../../../src/engine/tap.js';
import { FileBed, digestOf, endsOf } from '../../support/tap-bed.js';
import {
  bytesOf,
  clear,
  connectPair,
  descriptors,
  fateOf,
  makeBed,
  readAll,
  readBytes,
  settled,
  until,
  type Pair,
} from '../../support/flow-bed.js';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
/** More than the sockets between two ends of a loopback connection can hold. */
const BULK = 24 * MIB;

let tap: Tap;
let files: FileBed;
let pair: Pair;
beforeAll(() => {
  tap = new Tap({ fillThreads: 1, sendThreads: 2 });
});
afterAll(() => tap.close());
beforeEach(async () => {
  files = new FileBed();
  pair = await connectPair();
});
afterEach(() => {
  clear(pair.near, pair.far);
  files.dispose();
});

describe('a file that is whole', () => {
  test.each([
    [0, 0],
    [0, 1],
    [1, 4095],
    [4096, 65_536],
    [77, MIB],
    [0, BULK],
  ])('from %i, %i bytes, behind a head', async (offset, length) => {
    const { fd, path } = files.file();
    const content = bytesOf(offset + length + 100);
    writeSync(fd, content);
    const handle = await open(path);
    const body = tap.sendFile(handle, pair.near, { offset, length, prefix: Buffer.from('HEAD') });
    const got = await readBytes(pair.far, length + 4);
    expect(got.subarray(0, 4).toString()).toBe('HEAD');
    expect(digestOf(got.subarray(4))).toBe(digestOf(content.subarray(offset, offset + length)));
    expect(await endsOf(body)).toEqual({ source: undefined, file: undefined, client: `complete ${length}` });
    await handle.close();
    pair.near.end();
    expect((await readAll(pair.far)).length).toBe(0);
  });

  test('beyond 4 GiB', async () => {
    const { fd } = files.file();
    const content = bytesOf(70_000);
    writeSync(fd, content, 0, content.length, 5 * GIB);
    const body = tap.sendFile(fd, pair.near, { offset: 5 * GIB - 10, length: content.length + 10 });
    const got = await readBytes(pair.far, content.length + 10);
    expect(got.subarray(0, 10).equals(Buffer.alloc(10))).toBe(true);
    expect(digestOf(got.subarray(10))).toBe(digestOf(content));
    await body.closed;
  });

  test('its descriptor may be closed, and its name removed, meanwhile', async () => {
    const { path } = files.file();
    const content = bytesOf(BULK);
    const fd = openSync(path, 'r+');
    writeSync(fd, content);
    const body = tap.sendFile(fd, pair.near, { length: BULK });
    closeSync(fd);
    expect(digestOf(await readBytes(pair.far, BULK))).toBe(digestOf(content));
    expect(await body.delivered).toMatchObject({ end: 'complete' });
  });

  test('to many at once, of any pace', async () => {
    const { fd } = files.file();
    const content = bytesOf(8 * MIB);
    writeSync(fd, content);
    const pairs = await Promise.all(Array.from({ length: 40 }, () => connectPair()));
    const bodies = pairs.map(({ near }, i) => tap.sendFile(fd, near, { offset: i, length: 8 * MIB - 40 }));
    const digests = await Promise.all(
      pairs.map(async ({ far }, i) => {
        if (i % 2 === 0) await sleep(100);
        return digestOf(await readBytes(far, 8 * MIB - 40));
      }),
    );
    digests.forEach((digest, i) => expect(digest).toBe(digestOf(content.subarray(i, i + 8 * MIB - 40))));
    for (const body of bodies) expect(await body.delivered).toMatchObject({ end: 'complete', bytes: 8 * MIB - 40 });
    for (const { near, far } of pairs) clear(near, far);
  });
});

describe('it ends', () => {
  test('where the file does: short, and the client sees a reset', async () => {
    const { fd } = files.file();
    writeSync(fd, 'short');
    const body = tap.sendFile(fd, pair.near, { length: 10 });
    expect(await endsOf(body)).toMatchObject({ client: 'short 5' });
    pair.near.destroy();
    expect(await fateOf(pair.far)).toBe('ECONNRESET');
  });

  test('with a file that cannot be read', async () => {
    const directory = openSync(files.directory, 'r');
    const body = tap.sendFile(directory, pair.near, { length: 10 });
    expect(await body.delivered).toMatchObject({ end: 'error', bytes: 0 });
    closeSync(directory);
  });

  test('with a client that resets, whether there is something to send or not', async () => {
    const { fd } = files.file();
    ftruncateSync(fd, BULK);
    const growth = new FileGrowth(BULK);
    const other = await connectPair();
    const blocked = tap.sendFile(fd, pair.near, { length: BULK });
    const waiting = tap.sendFile(fd, other.near, { length: 2 * BULK, offset: BULK, growth });
    await settled(() => blocked.counters().delivered, 100);
    pair.far.resetAndDestroy();
    other.far.resetAndDestroy();
    expect(await blocked.delivered).toMatchObject({ end: 'reset' });
    expect(await waiting.delivered).toMatchObject({ end: 'reset', bytes: 0 });
    clear(other.near);
  });

  test('with a client that takes nothing', async () => {
    const { fd } = files.file();
    ftruncateSync(fd, BULK);
    const body = tap.sendFile(fd, pair.near, { length: BULK, clientIdleMs: 150 });
    expect(await body.delivered).toMatchObject({ end: 'idle' });
  });

  test('when the caller says so', async () => {
    const { fd } = files.file();
    ftruncateSync(fd, BULK);
    const body = tap.sendFile(fd, pair.near, { length: BULK });
    await until('it is under way', () => body.counters().delivered > 0);
    body.abort();
    expect(await body.delivered).toMatchObject({ end: 'aborted' });
  });
});

describe('a file that grows', () => {
  /** A follower whose bytes are read as they come. */
  const follow = async (fd: number, growth: FileGrowth | number, options = {}) => {
    const { near, far } = await connectPair();
    const got: Buffer[] = [];
    far.on('data', (chunk: Buffer) => got.push(chunk));
    const body = tap.sendFile(fd, near, { growth, ...options });
    return {
      body,
      got: () => Buffer.concat(got),
      clear: () => clear(near, far),
    };
  };

  test('by the tap: followers from its beginning, its middle and its end get all of it', async () => {
    const bed = await makeBed();
    const { fd } = files.file();
    const content = bytesOf(BULK);
    const growth = new FileGrowth();
    bed.caller.resume();
    const fill = tap.relayBody(bed.upstream, bed.client, { length: BULK, file: fd, growth });
    const followers = [await follow(fd, growth), await follow(fd, growth, { length: BULK })];
    const step = BULK / 4;
    for (let at = 0; at < BULK; at += step) {
      bed.server.write(content.subarray(at, at + step));
      await until('it is filled so far', () => growth.filled === at + step);
      followers.push(await follow(fd, growth.number), await follow(fd, growth, { offset: at, length: step + 1 }));
    }
    expect(await fill.stored).toMatchObject({ end: 'complete', bytes: BULK });
    // All that have a length know their end; the others wait to hear that the file is whole.
    growth.complete();
    const ends = await Promise.all(followers.map(({ body }) => body.delivered));
    const ranges = followers.map((_, i) => {
      if (i < 2 || i % 2 === 0) return content;
      const at = ((i - 3) / 2) * step;
      return content.subarray(at, at + step + 1);
    });
    for (const [i, range] of ranges.entries()) {
      // The last one wants a byte that the file has not.
      const whole = i < ranges.length - 1;
      expect([i, ends[i]!.end, ends[i]!.bytes]).toEqual([i, whole ? 'complete' : 'short', range.length]);
      await until('all has arrived', () => followers[i]!.got().length === range.length);
      expect(digestOf(followers[i]!.got())).toBe(digestOf(range));
      followers[i]!.clear();
    }
    clear(bed.client, bed.upstream, bed.caller, bed.server);
  });

  test('body after body, as the chunks of a message do, with gaps of another program’s writing', async () => {
    const bed = await makeBed();
    const { fd } = files.file();
    const growth = new FileGrowth();
    const follower = await follow(fd, growth);
    const expected: Buffer[] = [];
    for (const size of [1, 70_000, 3, MIB]) {
      const chunk = bytesOf(size);
      expected.push(chunk);
      bed.server.write(chunk);
      await tap.relayBody(bed.upstream, undefined, { length: size, offset: growth.filled, file: fd, growth }).closed;
      writeSync(fd, 'own', growth.filled);
      growth.advance(growth.filled + 3);
      expected.push(Buffer.from('own'));
    }
    growth.complete();
    const all = Buffer.concat(expected);
    expect(await follower.body.delivered).toMatchObject({ end: 'complete', bytes: all.length });
    await until('all has arrived', () => follower.got().length === all.length);
    expect(digestOf(follower.got())).toBe(digestOf(all));
    follower.clear();
    clear(bed.client, bed.upstream, bed.caller, bed.server);
  });

  test('and fails: followers get what there is, and end short', async () => {
    const { fd } = files.file();
    const growth = new FileGrowth();
    const followers = [await follow(fd, growth), await follow(fd, growth, { length: 10 })];
    writeSync(fd, 'some');
    growth.advance(4);
    growth.advance(2);
    await until('it is sent', () => followers.every(({ body }) => body.counters().delivered === 4));
    growth.fail();
    growth.complete();
    for (const { body, got, clear } of followers) {
      expect(await body.delivered).toMatchObject({ end: 'short', bytes: 4 });
      expect(got().toString()).toBe('some');
      clear();
    }
  });

  test('and has ended before the follower came', async () => {
    const { fd } = files.file();
    writeSync(fd, 'whole');
    const growth = new FileGrowth(5);
    growth.complete();
    const enough = await follow(fd, growth);
    const more = await follow(fd, growth, { length: 6 });
    const beyond = await follow(fd, growth, { offset: 7, length: 1 });
    expect(await enough.body.delivered).toMatchObject({ end: 'complete', bytes: 5 });
    expect(await more.body.delivered).toMatchObject({ end: 'short', bytes: 5 });
    expect(await beyond.body.delivered).toMatchObject({ end: 'short', bytes: 0 });
    for (const one of [enough, more, beyond]) one.clear();
  });

  test('slower than its followers are patient: they do not idle while there is nothing', async () => {
    const { fd } = files.file();
    const growth = new FileGrowth();
    const follower = await follow(fd, growth, { clientIdleMs: 50 });
    expect(await settled(() => follower.body.counters().delivered, 250)).toBe(0);
    writeSync(fd, 'late');
    growth.advance(4);
    growth.complete();
    expect(await follower.body.delivered).toMatchObject({ end: 'complete', bytes: 4 });
    follower.clear();
  });

  test('with a hundred followers, many of which leave', async () => {
    const { fd } = files.file();
    const growth = new FileGrowth();
    const before = descriptors();
    const bodies: TapBody[] = [];
    const pairs = await Promise.all(Array.from({ length: 100 }, () => connectPair()));
    for (const { near } of pairs) bodies.push(tap.sendFile(fd, near, { length: 100, growth }));
    for (let step = 0; step < 10; step++) {
      writeSync(fd, Buffer.alloc(10, step), 0, 10, step * 10);
      growth.advance((step + 1) * 10);
      bodies[step]!.abort();
      pairs[10 + step]!.far.resetAndDestroy();
      await sleep(1);
    }
    growth.complete();
    const ends = await Promise.all(bodies.map((body) => body.delivered));
    for (const end of ends.slice(20)) expect(end).toMatchObject({ end: 'complete', bytes: 100 });
    for (const { far } of pairs.slice(20)) {
      const got = await readBytes(far, 100);
      expect(got.every((byte, at) => byte === Math.floor(at / 10))).toBe(true);
    }
    for (const { near, far } of pairs) clear(near, far);
    await until('all is closed', () => descriptors().sockets <= before.sockets);
  });
});
