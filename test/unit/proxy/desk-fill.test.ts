/** What is on its way: those who follow it, the kernel that writes it, and the moment at which it becomes an object. */
import { readlinkSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { describe, expect, test } from 'vitest';
import { decideRequest } from '../../../src/cache/decide.js';
import type { FillFile, LiveFill } from '../../../src/proxy/desk.js';
import {
  answer,
  ask,
  bodyOf,
  bytes,
  CACHE,
  fill,
  follow,
  get,
  ok,
  only,
  openDesk,
  readFd,
  response,
  store,
  stored,
  temporary,
  URI,
} from './desk-bed.js';

/** The kernel, writing a body by pieces. */
function kernel(file: FillFile, body: Buffer, from: number, to: number): void {
  const start = file.offset + from;
  writeSync(file.fd, body, start, to - from, start);
  file.growth.advance(file.offset + to);
}

async function fileOf(live: LiveFill): Promise<FillFile> {
  const file = await live.file();
  if (file === undefined) throw new Error('no file');
  return file;
}

describe('a fill by write()', () => {
  test.each([600, 9000])(
    'of %i bytes is followed from the first byte on, by those who come late too',
    async (length) => {
      const { desk } = await openDesk(await temporary());
      const body = bytes(length);
      const live = await fill(desk, ok(length));
      expect(desk.live(URI)).toEqual([live]);
      expect(live).toMatchObject({ key: URI, length, followable: true, opening: undefined });
      const first = follow(live.follow());
      await live.write(body.subarray(0, 500));
      const second = follow(live.follow());
      await live.write(body.subarray(500));
      await live.end(length, true);
      for (const reading of [first, second]) {
        const read = await reading;
        expect(read.whole && read.bytes.equals(body)).toBe(true);
      }
      // Nothing is left of it in the table, where a list would cost every later miss.
      expect(desk.live(URI)).toBe(desk.live('nobody'));
      // Who was told of the fill before, and begins only now, reads what was stored.
      const last = await follow(live.follow());
      expect(last.whole && last.bytes.equals(body)).toBe(true);
    },
  );

  test('answers requests while it lasts, and its response is that of the object afterwards', async () => {
    const { desk } = await openDesk(await temporary());
    const live = await fill(desk, ok(5000));
    const from = live.stored;
    expect(live.stored).toBe(from);
    expect(from.record.extent.total).toBe(5000);
    const decision = decideRequest({
      request: get({ Range: 'bytes=10-19' }),
      uri: URI,
      key: URI,
      stored: [from],
      now: Date.now(),
      policy: CACHE.policy,
      boundary: () => '',
    });
    expect(decision.kind === 'answer' && decision.answer.head.status).toBe(206);
    expect(desk.body(from)).toEqual({ kind: 'live', fill: live });
    await live.write(bytes(5000));
    await live.end(5000, true);
    const body = await desk.body(from);
    expect(body?.kind).toBe('file');
    if (body?.kind === 'file') body.release();
    expect((await bodyOf(desk, from))?.equals(bytes(5000))).toBe(true);
    desk.touch(from);
  });

  test('of unknown length gives a head without a length, and no ranges', async () => {
    const { desk } = await openDesk(await temporary());
    const live = await fill(desk, ok(undefined));
    expect(live.length).toBeUndefined();
    const decide = (request = get()) =>
      decideRequest({
        request,
        uri: URI,
        key: URI,
        stored: [live.stored],
        now: Date.now(),
        policy: CACHE.policy,
        boundary: () => '',
      });
    const decision = decide();
    expect(decision.kind === 'answer' && decision.answer.body).toEqual({
      kind: 'span',
      span: { first: 0, end: Infinity },
    });
    expect(decision.kind === 'answer' && decision.answer.head.fields.has('content-length')).toBe(false);
    expect(decide(get({ Range: 'bytes=0-9' })).kind).toBe('forward');
    const head = decide(get({}, 'HEAD'));
    expect(head.kind === 'answer' && head.answer.body).toEqual({ kind: 'none' });
    await live.write(bytes(3000));
    await live.end(3000, true);
    expect((await only(desk)).record.extent).toEqual({ total: 3000, spans: [{ first: 0, end: 3000 }] });
  });

  test.each(['kept', 'thrown away'])('that is cut tells its followers so, though it is %s', async (what) => {
    const { desk } = await openDesk(await temporary());
    const head = what === 'kept' ? ok(undefined) : response({ 'Cache-Control': 'max-age=60' });
    const live = await fill(desk, head);
    const reading = follow(live.follow());
    await live.write(bytes(2000));
    const ending = live.end(2000, false);
    expect(live.followable).toBe(false);
    expect(desk.live(URI)).toEqual([]);
    await ending;
    const read = await reading;
    expect([read.whole, read.bytes.length]).toEqual([false, 2000]);
    expect((await follow(live.follow())).whole).toBe(false);
    expect((await stored(desk)).length).toBe(what === 'kept' ? 1 : 0);
  });

  test('that will not become whole answers nobody else, from that very turn on', async () => {
    const { desk, ends } = await openDesk(await temporary());
    const live = await fill(desk, ok(undefined));
    const from = live.stored;
    const reading = follow(live.follow());
    const writing = live.write(bytes(2000));
    live.cut();
    expect([live.followable, desk.live(URI), desk.body(from)]).toEqual([false, [], undefined]);
    // The end need not wait for what is being written.
    await live.end(2000, false);
    expect(await writing).toBe(true);
    expect((await reading).bytes.length).toBe(2000);
    expect(ends).toEqual(['stored']);
    expect((await only(desk)).record.extent.spans).toEqual([{ first: 0, end: 2000 }]);
  });

  test('ends once, whatever is called how often', async () => {
    const { desk, ends } = await openDesk(await temporary());
    const live = await fill(desk, ok(10));
    await live.write(bytes(10));
    await Promise.all([live.end(10, true), live.end(3, false), live.end(10, true)]);
    await expect.poll(() => ends).toEqual(['stored']);
    expect(await live.file()).toBeUndefined();
  });

  test('replaces what it supersedes when it is there, not before', async () => {
    const { desk } = await openDesk(await temporary());
    await store(desk, bytes(50, 1), { Vary: 'Accept', 'Cache-Control': 'max-age=0' });
    const live = await fill(desk, response({ 'Cache-Control': 'max-age=60' }));
    await live.write(bytes(60, 2));
    expect((await bodyOf(desk, await only(desk)))?.equals(bytes(50, 1))).toBe(true);
    await live.end(60, true);
    expect((await bodyOf(desk, await only(desk)))?.equals(bytes(60, 2))).toBe(true);
  });

  test('at every moment a look finds the fill, or the object, or both', async () => {
    const { desk } = await openDesk(await temporary());
    for (const length of [10, 5000]) {
      const key = `http://example.org/${length}`;
      const live = await fill(desk, ok(length), { key });
      await live.write(bytes(length));
      let over = false;
      let looks = 0;
      const looking = (async () => {
        while (!over) {
          expect((desk.peek(key, CACHE.policy) ?? []).length + desk.live(key).length).toBeGreaterThan(0);
          looks++;
          // Now a microtask, now a turn of the loop.
          await (looks % 3 === 0 ? new Promise(setImmediate) : Promise.resolve());
        }
      })();
      await live.end(length, true);
      over = true;
      await looking;
      expect(looks).toBeGreaterThan(1);
    }
  });
});

describe('a fill by the kernel', () => {
  test.each([100, 70_000])('of %i bytes: growth, progress, and the object at the end', async (length) => {
    const directory = await temporary();
    const { desk, ends } = await openDesk(directory);
    const body = bytes(length);
    const live = await fill(desk, ok(length));
    const asked = live.file();
    expect(live.opening).toBe(asked);
    const file = await fileOf(live);
    expect(await live.file()).toBe(file);
    expect(readlinkSync(`/proc/self/fd/${file.fd}`)).toContain(directory);
    expect([file.offset, file.growth.filled]).toEqual([0, 0]);
    const holding = live.follow();
    const reading = follow(live.follow());
    kernel(file, body, 0, 60);
    desk.expire(Date.now());
    const early = live.follow();
    const piece = await early.next();
    early.close();
    expect(piece).toMatchObject({ kind: 'file', start: 0, end: 60 });
    kernel(file, body, 60, length);
    await live.end(length, true);
    expect(live.opening).toBeUndefined();
    expect(file.growth.filled).toBe(length);
    // A follower from before the end still has the file, under the same number.
    expect(readFd(file.fd, 0, length).equals(body)).toBe(true);
    holding.close();
    const read = await reading;
    expect(read.whole && read.bytes.equals(body)).toBe(true);
    expect(ends).toEqual(['stored']);
    expect((await bodyOf(desk, await only(desk)))?.equals(body)).toBe(true);
  });

  test('whoever waits for a piece gets what the kernel has written, before the end', async () => {
    const { desk } = await openDesk(await temporary());
    const body = bytes(9000);
    const live = await fill(desk, ok(9000));
    const follower = live.follow();
    const first = follower.next();
    const file = await fileOf(live);
    kernel(file, body, 0, 2000);
    expect(await first).toMatchObject({ kind: 'file', start: 0, end: 2000 });
    const second = follower.next();
    kernel(file, body, 2000, 9000);
    expect(await second).toMatchObject({ kind: 'file', start: 2000, end: 9000 });
    follower.close();
    await live.end(9000, true);
  });

  test('goes on behind what was written before', async () => {
    const { desk } = await openDesk(await temporary());
    const body = bytes(8000);
    const live = await fill(desk, ok(8000));
    await live.write(body.subarray(0, 300));
    const file = await fileOf(live);
    expect([file.offset, file.growth.filled]).toEqual([300, 300]);
    kernel(file, body, 0, 7700);
    await live.end(8000, true);
    expect((await bodyOf(desk, await only(desk)))?.equals(body)).toBe(true);
  });

  test('of a part writes at its place', async () => {
    const { desk } = await openDesk(await temporary());
    const body = bytes(9000);
    const live = await fill(desk, response({ ETag: '"1"', 'Content-Range': 'bytes 4000-8999/9000' }, 206), {
      request: get({ Range: 'bytes=4000-' }),
    });
    const file = await fileOf(live);
    expect(file.offset).toBe(4000);
    kernel(file, body, 0, 5000);
    await live.end(5000, true);
    expect((await bodyOf(desk, await only(desk)))?.equals(body.subarray(4000))).toBe(true);
  });

  test.each([
    [constants.errno.ENOSPC, 'disk-full'],
    [constants.errno.EIO, 'io-error'],
  ])('that the disk stopped (errno %i) is not stored, though the content was whole', async (errno, reason) => {
    const { desk, ends, events } = await openDesk(await temporary());
    const live = await fill(desk, ok(8000));
    const file = await fileOf(live);
    kernel(file, bytes(8000), 0, 3000);
    const reading = follow(live.follow());
    await live.end(8000, true, 3000, errno);
    expect((await reading).whole).toBe(false);
    expect(ends).toEqual([reason]);
    expect(events.map(({ kind }) => kind)).toContain(reason);
    expect(await stored(desk)).toEqual([]);
  });

  test('whose file has not the bytes that were said is not stored', async () => {
    const { desk, ends } = await openDesk(await temporary());
    const live = await fill(desk, ok(8000));
    kernel(await fileOf(live), bytes(8000), 0, 3000);
    await live.end(8000, true);
    expect(ends).toEqual(['short']);
    expect(await stored(desk)).toEqual([]);
  });

  test('that ends before its file is there gives no file', async () => {
    const { desk } = await openDesk(await temporary());
    const live = await fill(desk, ok(8000));
    const asked = live.file();
    await live.end(0, false);
    expect(await asked).toBeUndefined();
    expect(desk.stats()).toMatchObject({ live: 0, fills: 0 });
  });

  test('that is cut completes no follower of its growth', async () => {
    const { desk } = await openDesk(await temporary());
    const live = await fill(desk, ok(8000));
    const file = await fileOf(live);
    kernel(file, bytes(8000), 0, 3000);
    await live.end(3000, false);
    expect((await only(desk)).record.extent.spans).toEqual([{ first: 0, end: 3000 }]);
    const forwarded = await ask(desk);
    expect(forwarded.kind === 'forward' && forwarded.forward.purpose).toBe('complete');
  });
});

test('the answer to a POST that is its target is stored, and takes the place of what it made invalid', async () => {
  const { desk } = await openDesk(await temporary());
  await store(desk, bytes(50, 1));
  const head = response({ 'Cache-Control': 'max-age=60', 'Content-Location': '/a' });
  const decided = await answer(desk, head, { request: get({}, 'POST') });
  expect(desk.peek(URI, CACHE.policy)).toEqual([]);
  const live = decided.kind === 'relay' && decided.fill ? desk.begin(decided.fill, URI, CACHE) : undefined;
  await live?.write(bytes(60, 2));
  await live?.end(60, true);
  expect((await bodyOf(desk, await only(desk)))?.equals(bytes(60, 2))).toBe(true);
});
