/** Bodies through the TCP tap: to a client and into a file, to the exact byte, whatever happens to whom and when. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync, closeSync, readFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { SpliceArgumentError, SpliceStateError } from '../../../src/errors.js';
import { native } from '../../../src/native.js';
import { FileGrowth } from '../../../src/engine/file-growth.js';
import { Tap } from '../../../src/engine/tap.js';
import { FileBed, digestOf, endsOf, wrote } from '../../support/tap-bed.js';
import {
  bytesOf,
  clear,
  descriptors,
  fateOf,
  makeBed,
  portOf,
  rawDescriptor,
  readAll,
  readBytes,
  settled,
  until,
  untilClosed,
  type Bed,
} from '../../support/flow-bed.js';

const MIB = 1024 * 1024;
/** More than the sockets between two ends of a loopback connection can hold. */
const BULK = 24 * MIB;
const root = fileURLToPath(new URL('../../..', import.meta.url));

let tap: Tap;
let files: FileBed;
let bed: Bed;
beforeAll(() => {
  tap = new Tap({ fillThreads: 1, sendThreads: 1 });
});
afterAll(() => tap.close());
beforeEach(async () => {
  files = new FileBed();
  bed = await makeBed();
});
afterEach(() => {
  clear(bed.client, bed.upstream, bed.caller, bed.server);
  files.dispose();
});

describe('exactly', () => {
  test.each([0, 1, 4096, 65_537, MIB + 1, BULK])('%i bytes, to the client and into the file', async (size) => {
    const { fd, path } = files.file();
    const sent = bytesOf(size + 1000);
    const next = Buffer.from('GET /next');
    bed.server.write(sent);
    bed.caller.write(next);
    const body = tap.relayBody(bed.upstream, bed.client, { length: size, file: fd, prefix: Buffer.from('HEAD') });
    const got = await readBytes(bed.caller, size + 4);
    const all = `complete ${size}`;
    expect(await endsOf(body)).toEqual({ source: all, file: all, client: all });
    expect(body.counters()).toEqual({ received: size, stored: size, delivered: size });
    expect(got.subarray(0, 4).toString()).toBe('HEAD');
    expect(digestOf(got.subarray(4))).toBe(digestOf(sent.subarray(0, size)));
    expect(digestOf(readFileSync(path))).toBe(digestOf(sent.subarray(0, size)));
    // What lies behind the body either way was not touched, and both sockets go on.
    expect((await readBytes(bed.upstream, 1000)).equals(sent.subarray(size))).toBe(true);
    expect((await readBytes(bed.client, next.length)).equals(next)).toBe(true);
    bed.client.end('bye');
    expect((await readAll(bed.caller)).toString()).toBe('bye');
  });

  test('the same over descriptors, one body after another over the same sockets', async () => {
    const ends = [rawDescriptor(bed.upstream), rawDescriptor(bed.client)] as const;
    const bodies = [1, 70_000, 0, 3 * MIB, 17].map(bytesOf);
    bed.server.write(Buffer.concat(bodies));
    for (const expected of bodies) {
      const { fd, path } = files.file();
      const body = tap.relayBody(...ends, { length: expected.length, file: fd });
      expect(digestOf(await readBytes(bed.caller, expected.length))).toBe(digestOf(expected));
      await body.closed;
      expect(digestOf(readFileSync(path))).toBe(digestOf(expected));
    }
    for (const fd of ends) native().close(fd);
  });

  test('bytes that were read before go first: a head, and what Node has buffered', async () => {
    const { fd, path } = files.file();
    const sent = bytesOf(200_000);
    await wrote(bed.server, sent);
    bed.upstream.resume();
    bed.upstream.pause();
    await until('Node has read', () => bed.upstream.readableLength > 10);
    const head = bed.upstream.read(10) as Buffer;
    const body = tap.relayBody(bed.upstream, bed.client, { length: 150_000, head, file: fd });
    expect(digestOf(await readBytes(bed.caller, 150_000))).toBe(digestOf(sent.subarray(0, 150_000)));
    await body.closed;
    expect(digestOf(readFileSync(path))).toBe(digestOf(sent.subarray(0, 150_000)));
    expect(digestOf(await readBytes(bed.upstream, 50_000))).toBe(digestOf(sent.subarray(150_000)));
  });

  test('what the client’s stream holds leaves before the body', async () => {
    const before = bytesOf(BULK);
    bed.client.write(before);
    expect(bed.client.writableLength).toBeGreaterThan(0);
    bed.server.write('body');
    const file = openSync(files.file().path, 'r+');
    const body = tap.relayBody(bed.upstream, bed.client, { length: 4, file });
    closeSync(file);
    expect(body.counters()).toEqual({ received: 0, stored: 0, delivered: 0 });
    const got = await readBytes(bed.caller, before.length + 4);
    expect(digestOf(got.subarray(0, before.length))).toBe(digestOf(before));
    expect(got.subarray(before.length).toString()).toBe('body');
    expect(await endsOf(body)).toEqual({ source: 'complete 4', file: 'complete 4', client: 'complete 4' });
  });

  test('into a file at its place, and no further than the body', async () => {
    const { fd, path } = files.file();
    for (const [offset, text] of [
      [6, 'second'],
      [0, 'first '],
    ] as const) {
      bed.server.write(`${text}, and more`);
      const body = tap.relayBody(bed.upstream, undefined, { length: 6, offset, file: fd });
      expect(await endsOf(body)).toEqual({ source: 'complete 6', file: 'complete 6', client: undefined });
      await readBytes(bed.upstream, 10);
    }
    expect(readFileSync(path).toString()).toBe('first second');
  });

  test('any size, cut anyhow, to a client of any pace', async () => {
    const piece = fc.integer({ min: 1, max: 120_000 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(piece, { maxLength: 12 }),
        fc.record({ file: fc.boolean(), head: fc.nat(5000), more: fc.nat(5000), every: piece }),
        async (pieces, { file, head, more, every }) => {
          const one = await makeBed();
          const size = pieces.reduce((sum, length) => sum + length, 0);
          const given = Math.min(head, size);
          const sent = bytesOf(size + more);
          const into = file ? files.file() : undefined;
          const body = tap.relayBody(one.upstream, one.client, {
            length: size,
            head: sent.subarray(0, given),
            ...(into && { file: into.fd }),
          });
          const writing = (async () => {
            for (let at = given; at < sent.length; at += every) await wrote(one.server, sent.subarray(at, at + every));
          })();
          const got: Buffer[] = [];
          for (let left = size; left > 0; left -= every) got.push(await readBytes(one.caller, Math.min(left, every)));
          const all = `complete ${size}`;
          expect(await endsOf(body)).toEqual({ source: all, file: file ? all : undefined, client: all });
          expect(digestOf(Buffer.concat(got))).toBe(digestOf(sent.subarray(0, size)));
          if (into) expect(digestOf(readFileSync(into.path))).toBe(digestOf(sent.subarray(0, size)));
          await writing;
          expect(digestOf(await readBytes(one.upstream, more))).toBe(digestOf(sent.subarray(size)));
          clear(one.client, one.upstream, one.caller, one.server);
        },
      ),
      { numRuns: 25 },
    );
  });
});

describe('a client', () => {
  test('that is slow does not slow the fill, and gets every byte', async () => {
    const { fd, path } = files.file();
    const sent = bytesOf(BULK);
    bed.server.write(sent);
    const body = tap.relayBody(bed.upstream, bed.client, { length: BULK, file: fd });
    expect(await body.received).toMatchObject({ end: 'complete', bytes: BULK });
    expect(await body.stored).toMatchObject({ end: 'complete', bytes: BULK });
    // Nothing was read of it yet: it has what its socket takes.
    expect(body.counters().delivered).toBeLessThan(BULK);
    // The source goes on with the next message meanwhile.
    bed.server.write('next');
    expect((await readBytes(bed.upstream, 4)).toString()).toBe('next');
    expect(digestOf(await readBytes(bed.caller, BULK))).toBe(digestOf(sent));
    expect(await body.delivered).toMatchObject({ end: 'complete', bytes: BULK });
    expect(digestOf(readFileSync(path))).toBe(digestOf(sent));
  });

  test('that catches up goes on with the source', async () => {
    const { fd, path } = files.file();
    const [first, second] = [bytesOf(BULK), bytesOf(BULK)];
    const body = tap.relayBody(bed.upstream, bed.client, { length: 2 * BULK, file: fd });
    bed.server.write(first);
    await until('the first half is stored', () => body.counters().stored === BULK);
    expect(body.counters().delivered).toBeLessThan(BULK);
    expect(digestOf(await readBytes(bed.caller, BULK))).toBe(digestOf(first));
    bed.server.write(second);
    expect(digestOf(await readBytes(bed.caller, BULK))).toBe(digestOf(second));
    await body.closed;
    expect(digestOf(readFileSync(path))).toBe(digestOf(Buffer.concat([first, second])));
  });

  test.each([true, false])('that resets: the fill goes on as told (%s)', async (withoutClient) => {
    const { fd, path } = files.file();
    const sent = bytesOf(2 * BULK);
    const body = tap.relayBody(bed.upstream, bed.client, { length: sent.length, file: fd, withoutClient });
    bed.server.write(sent.subarray(0, BULK));
    await until('it is under way', () => body.counters().stored > 0);
    bed.caller.resetAndDestroy();
    expect(await body.delivered).toMatchObject({ end: 'reset' });
    bed.server.write(sent.subarray(BULK));
    if (withoutClient) {
      const all = `complete ${sent.length}`;
      expect(await endsOf(body)).toMatchObject({ source: all, file: all });
      expect(digestOf(readFileSync(path))).toBe(digestOf(sent));
    } else {
      expect(await body.received).toMatchObject({ end: 'unwanted' });
      expect(await body.stored).toMatchObject({ end: 'unwanted' });
    }
  });

  test('that is gone is noticed while there is nothing to send', async () => {
    const body = tap.relayBody(bed.upstream, bed.client, { length: 10, file: files.file().fd });
    bed.caller.resetAndDestroy();
    expect(await endsOf(body)).toEqual({ source: 'unwanted 0', file: 'unwanted 0', client: 'reset 0' });
  });

  test('that takes nothing is lost after its idle time, and the fill goes on', async () => {
    const { fd, path } = files.file();
    const sent = bytesOf(BULK);
    bed.server.write(sent.subarray(0, BULK - 1));
    const body = tap.relayBody(bed.upstream, bed.client, {
      length: BULK,
      file: fd,
      withoutClient: true,
      clientIdleMs: 200,
    });
    expect(await body.delivered).toMatchObject({ end: 'idle' });
    bed.server.write(sent.subarray(BULK - 1));
    expect(await body.stored).toMatchObject({ end: 'complete', bytes: BULK });
    expect(digestOf(readFileSync(path))).toBe(digestOf(sent));
  });

  test('that has all there is does not idle', async () => {
    const body = tap.relayBody(bed.upstream, bed.client, { length: 8, file: files.file().fd, clientIdleMs: 50 });
    bed.server.write('half');
    await readBytes(bed.caller, 4);
    expect(await settled(() => body.counters().delivered, 250)).toBe(4);
    bed.server.write('half');
    expect(await endsOf(body)).toEqual({ source: 'complete 8', file: 'complete 8', client: 'complete 8' });
  });

  test('without a file sets the pace, and is given no byte more than the body', async () => {
    const sent = bytesOf(2 * BULK);
    bed.server.write(sent);
    const body = tap.relayBody(bed.upstream, bed.client, { length: BULK + 5 });
    const blocked = await settled(() => body.counters().received, 150);
    expect(blocked).toBeLessThan(BULK);
    expect(digestOf(await readBytes(bed.caller, BULK + 5))).toBe(digestOf(sent.subarray(0, BULK + 5)));
    const all = `complete ${BULK + 5}`;
    expect(await endsOf(body)).toEqual({ source: all, file: undefined, client: all });
    expect(digestOf(await readBytes(bed.upstream, BULK - 5))).toBe(digestOf(sent.subarray(BULK + 5)));
  });

  test.each([true, false])('whose body is whole sees no reset, whoever closes it: with a file %s', async (withFile) => {
    bed.server.write('some');
    const body = tap.relayBody(bed.upstream, bed.client, { length: 4, ...(withFile && { file: files.file().fd }) });
    expect(await body.delivered).toMatchObject({ end: 'complete' });
    bed.client.destroy();
    expect((await readAll(bed.caller)).toString()).toBe('some');
  });

  test('whose body was cut sees a reset, however it is closed', async () => {
    bed.server.write('some');
    const body = tap.relayBody(bed.upstream, bed.client, {});
    await readBytes(bed.caller, 4);
    bed.server.resetAndDestroy();
    expect(await body.delivered).toMatchObject({ end: 'short', bytes: 4 });
    bed.client.destroy();
    expect(await fateOf(bed.caller)).toBe('ECONNRESET');
  });
});

describe('a source', () => {
  test('that ends early', async () => {
    const { fd, path } = files.file();
    const sent = bytesOf(MIB);
    const body = tap.relayBody(bed.upstream, bed.client, { length: MIB + 1, file: fd });
    bed.server.end(sent);
    expect(digestOf(await readBytes(bed.caller, MIB))).toBe(digestOf(sent));
    const some = `short ${MIB}`;
    expect(await endsOf(body)).toEqual({ source: some, file: some, client: some });
    expect(digestOf(readFileSync(path))).toBe(digestOf(sent));
  });

  test('that ends early before a slow client has what there was', async () => {
    const sent = bytesOf(BULK);
    const body = tap.relayBody(bed.upstream, bed.client, { length: BULK + 1, file: files.file().fd });
    bed.server.end(sent);
    expect(await body.stored).toMatchObject({ end: 'short', bytes: BULK });
    expect(digestOf(await readBytes(bed.caller, BULK))).toBe(digestOf(sent));
    expect(await body.delivered).toMatchObject({ end: 'short', bytes: BULK });
  });

  test.each([false, true])('whose end is the body’s: with a file %s', async (withFile) => {
    const sent = bytesOf(3 * MIB);
    const into = files.file();
    const body = tap.relayBody(bed.upstream, bed.client, withFile ? { file: into.fd } : {});
    bed.server.end(sent);
    expect(digestOf(await readBytes(bed.caller, sent.length))).toBe(digestOf(sent));
    expect(await body.received).toMatchObject({ end: 'complete', bytes: sent.length });
    expect(await body.delivered).toMatchObject({ end: 'complete', bytes: sent.length });
    // The client's stream goes on: its FIN is the caller's to send.
    bed.client.end('tail');
    expect((await readAll(bed.caller)).toString()).toBe('tail');
  });

  test.each([false, true])('that resets does not look whole: with a file %s', async (withFile) => {
    bed.server.write('some');
    const body = tap.relayBody(bed.upstream, bed.client, withFile ? { file: files.file().fd } : {});
    await readBytes(bed.caller, 4);
    bed.server.resetAndDestroy();
    expect(await body.received).toMatchObject({ end: 'reset', errno: 104 });
    if (withFile) expect(await body.stored).toMatchObject({ end: 'short', bytes: 4 });
    expect(await body.delivered).toMatchObject({ end: 'short', bytes: 4 });
  });

  test.each([false, true])('that resets right behind its FIN does not look whole: with a file %s', async (withFile) => {
    const source = rawDescriptor(bed.upstream);
    bed.server.end('some');
    await once(bed.server, 'finish');
    bed.server.resetAndDestroy();
    // Both are there before anything is read, so reading tells of the FIN only.
    await until('it is broken', () => native().connectedStream(source) === 'ENOTCONN');
    const body = tap.relayBody(source, bed.client, withFile ? { file: files.file().fd } : {});
    expect(await body.received).toMatchObject({ end: 'reset', bytes: 4 });
    expect(await body.delivered).toMatchObject({ end: 'short', bytes: 4 });
    native().close(source);
  });

  test('that resets while a client without a file is blocked', async () => {
    bed.server.write(bytesOf(2 * BULK));
    const body = tap.relayBody(bed.upstream, bed.client, { length: 2 * BULK });
    await settled(() => body.counters().received, 150);
    bed.server.resetAndDestroy();
    expect(await body.received).toMatchObject({ end: 'reset' });
    const taken = body.counters().received;
    await readBytes(bed.caller, taken);
    expect(await body.delivered).toMatchObject({ end: 'short', bytes: taken });
  });

  test('that says nothing for its idle time', async () => {
    bed.server.write('some');
    const body = tap.relayBody(bed.upstream, bed.client, { length: 5, file: files.file().fd, sourceIdleMs: 100 });
    expect(await endsOf(body)).toEqual({ source: 'idle 4', file: 'short 4', client: 'short 4' });
  });

  test('that has to wait for its client does not idle', async () => {
    const sent = bytesOf(2 * BULK);
    bed.server.write(sent);
    const body = tap.relayBody(bed.upstream, bed.client, { length: sent.length, sourceIdleMs: 100 });
    await settled(() => body.counters().received, 400);
    expect(digestOf(await readBytes(bed.caller, sent.length))).toBe(digestOf(sent));
    await body.closed;
  });

  test('with urgent data in line: nothing is cut or stalled', async () => {
    const listener = net.createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const program = join(files.directory, 'urgent');
    execFileSync('cc', ['-O1', '-o', program, join(root, 'test/support/urgent.c')]);
    const sender = spawn(program, [String(portOf(listener)), '20', '60000']);
    const [source] = (await once(listener, 'connection')) as [net.Socket];
    const { fd, path } = files.file();
    const body = tap.relayBody(source, bed.client, { file: fd });
    const got: Buffer[] = [];
    bed.caller.on('data', (chunk: Buffer) => got.push(chunk));
    expect(await body.received).toMatchObject({ end: 'complete' });
    const { bytes } = (await body.delivered)!;
    await until('all has arrived', () => Buffer.concat(got).length === bytes);
    const all = Buffer.concat(got).toString();
    // The kernel keeps an urgent byte that a later one overtakes in the stream, and takes the others out.
    expect(all.replaceAll('!', '')).toBe(`${'a'.repeat(20 * 60_000)}end`);
    expect(readFileSync(path).toString()).toBe(all);
    sender.kill();
    clear(source);
    listener.close();
  });
});

describe('a file', () => {
  test('that takes nothing ends the tap, and the client gets its body', async () => {
    const full = openSync('/dev/full', 'r+');
    const sent = bytesOf(4 * MIB);
    bed.server.write(sent);
    const body = tap.relayBody(bed.upstream, bed.client, { length: sent.length, file: full, withoutClient: true });
    expect(await body.stored).toMatchObject({ end: 'error', errno: 28, bytes: 0 });
    expect(digestOf(await readBytes(bed.caller, sent.length))).toBe(digestOf(sent));
    expect(await endsOf(body)).toMatchObject({ source: `complete ${sent.length}`, client: `complete ${sent.length}` });
    closeSync(full);
  });

  test('that takes nothing, and nobody else wants the body', async () => {
    const full = openSync('/dev/full', 'r+');
    bed.server.write('body');
    const body = tap.relayBody(bed.upstream, undefined, { length: 10, file: full });
    expect(await endsOf(body)).toEqual({ source: 'unwanted 4', file: 'error 0', client: undefined });
    closeSync(full);
  });
});

test('descriptors whose connections have broken are no mistake: the parts say so', async () => {
  const [source, client] = [rawDescriptor(bed.upstream), rawDescriptor(bed.client)];
  bed.server.resetAndDestroy();
  bed.caller.resetAndDestroy();
  await until('both are broken', () => [source, client].every((fd) => native().connectedStream(fd) === 'ENOTCONN'));
  const body = tap.relayBody(source, client, { length: 4, file: files.file().fd });
  expect((await endsOf(body)).client).toBe('reset 0');
  expect((await endsOf(body)).source).toMatch(/^(reset|unwanted) 0$/);
  for (const fd of [source, client]) native().close(fd);
});

describe('a request', () => {
  test('goes up while its answer comes down over the same two sockets', async () => {
    const [request, answer] = [bytesOf(BULK), bytesOf(BULK)];
    const up = tap.relayBody(bed.client, bed.upstream, { length: BULK });
    const down = tap.relayBody(bed.upstream, bed.client, { length: BULK, file: files.file().fd });
    bed.caller.write(request);
    bed.server.write(answer);
    const [above, below] = await Promise.all([readBytes(bed.server, BULK), readBytes(bed.caller, BULK)]);
    expect(digestOf(above)).toBe(digestOf(request));
    expect(digestOf(below)).toBe(digestOf(answer));
    const all = `complete ${BULK}`;
    expect(await endsOf(up)).toEqual({ source: all, file: undefined, client: all });
    expect(await endsOf(down)).toEqual({ source: all, file: all, client: all });
  });

  test('whose origin stops reading and answers: the answer is there', async () => {
    const up = tap.relayBody(bed.client, bed.upstream, { length: 4 * BULK });
    bed.caller.write(bytesOf(BULK));
    await settled(() => up.counters().delivered, 150);
    const down = tap.relayBody(bed.upstream, bed.client, { length: 3 });
    bed.server.write('413');
    expect((await readBytes(bed.caller, 3)).toString()).toBe('413');
    await down.closed;
    up.abort();
    expect((await endsOf(up)).client).toMatch(/^aborted/);
  });
});

describe('the caller', () => {
  test('aborts, and each part says so once', async () => {
    const ends: string[] = [];
    bed.server.write(bytesOf(BULK));
    const body = tap.relayBody(bed.upstream, bed.client, { length: 2 * BULK, file: files.file().fd });
    for (const part of ['source', 'file', 'client'] as const)
      body.onEnd(part, ({ end }) => ends.push(`${part} ${end}`));
    await until('it is under way', () => body.counters().received > 0);
    body.abort();
    body.abort();
    await body.closed;
    body.abort();
    expect(ends).toEqual(['source aborted', 'file aborted', 'client aborted']);
  });

  test('aborts before the client’s stream has written what it holds', async () => {
    bed.client.write(bytesOf(BULK));
    const body = tap.relayBody(bed.upstream, bed.client, { length: 10, file: files.file().fd });
    body.abort();
    expect(await endsOf(body)).toEqual({ source: 'aborted 0', file: 'aborted 0', client: 'aborted 0' });
    await readBytes(bed.caller, BULK);
    bed.server.write('still');
    expect((await readBytes(bed.upstream, 5)).toString()).toBe('still');
  });

  test('is told of a client that broke before its stream had written what it held', async () => {
    bed.client.write(bytesOf(BULK), () => undefined);
    const body = tap.relayBody(bed.upstream, bed.client, { length: 10, file: files.file().fd });
    bed.caller.resetAndDestroy();
    expect(await endsOf(body)).toEqual({ source: 'unwanted 0', file: 'unwanted 0', client: 'reset 0' });
  });

  test('hears of the end of each part in its own time, late as well', async () => {
    bed.server.write('body');
    const body = tap.relayBody(bed.upstream, bed.client, { length: 4 });
    await body.closed;
    const late: number[] = [];
    body.onEnd('client', ({ bytes }) => late.push(bytes));
    body.onEnd('file', () => late.push(-1));
    expect(late).toEqual([4]);
    expect(await body.stored).toBeUndefined();
  });

  test('closes the tap with bodies under way', async () => {
    const own = new Tap();
    bed.server.write('some');
    const body = own.relayBody(bed.upstream, bed.client, { length: 10, file: files.file().fd });
    await until('it is under way', () => body.counters().received === 4);
    await own.close();
    expect(await endsOf(body)).toEqual({ source: 'aborted 4', file: 'aborted 4', client: 'aborted 4' });
    expect(() => own.relayBody(bed.upstream, bed.client, { length: 1 })).toThrow(SpliceStateError);
  });

  test('makes mistakes, and nothing is changed', async () => {
    const { fd, path } = files.file();
    const { upstream, client } = bed;
    const wrong: [() => unknown, new (...args: never[]) => Error][] = [
      [() => new Tap({ fillThreads: 0 }), SpliceArgumentError],
      [() => tap.relayBody(upstream, undefined, {}), SpliceArgumentError],
      [() => tap.relayBody(upstream, upstream, {}), SpliceArgumentError],
      [() => tap.relayBody(upstream, client, { length: -1 }), SpliceArgumentError],
      [() => tap.relayBody(upstream, client, { length: 1.5 }), SpliceArgumentError],
      [() => tap.relayBody(upstream, client, { length: 3, head: Buffer.from('four') }), SpliceArgumentError],
      [() => tap.relayBody(upstream, client, { growth: new FileGrowth() }), SpliceArgumentError],
      [() => tap.relayBody(upstream, client, { file: -1 }), SpliceArgumentError],
      [() => tap.relayBody(upstream, client, { file: openAs(path, 'r') }), SpliceArgumentError],
      [() => tap.relayBody(upstream, client, { file: openAs(path, 'a+') }), SpliceArgumentError],
      [() => tap.relayBody(upstream, client, { file: openAs(path, 'r+'), clientIdleMs: NaN }), SpliceArgumentError],
      [() => tap.relayBody(999_999, client, {}), SpliceArgumentError],
      [() => tap.sendFile(fd, client, {}), SpliceArgumentError],
      [() => tap.sendFile(fd, client, { growth: 2 ** 40 }), SpliceStateError],
    ];
    for (const [call, error] of wrong) expect(call).toThrow(error);
    const body = tap.relayBody(upstream, client, { length: 4 });
    expect(() => tap.relayBody(upstream, bed.caller, { length: 4 })).toThrow(SpliceStateError);
    expect(() => tap.sendFile(fd, client, { length: 4 })).toThrow(SpliceStateError);
    bed.server.write('body');
    await body.closed;
    expect((await readBytes(bed.caller, 4)).toString()).toBe('body');
    upstream.destroy();
    expect(() => tap.relayBody(upstream, client, { length: 4 })).toThrow(SpliceStateError);
  });
});

test('no descriptor is left, whatever the end', async () => {
  const { fd } = files.file();
  // Threads keep a few empty pipes, so the first round is not counted.
  const round = async (): Promise<void> => {
    const ends = await Promise.all(
      Array.from({ length: 8 }, async (_, i) => {
        const one = await makeBed();
        one.server.write(bytesOf(BULK / 8));
        const body = tap.relayBody(one.upstream, one.client, { length: BULK, file: fd, withoutClient: i % 2 === 0 });
        await until('it is under way', () => body.counters().received > 0);
        if (i < 2) one.caller.resetAndDestroy();
        else if (i < 4) one.server.resetAndDestroy();
        else if (i < 6) body.abort();
        else one.server.end();
        one.caller.resume();
        one.server.end();
        await body.closed;
        for (const socket of [one.client, one.upstream, one.caller, one.server]) {
          const gone = untilClosed(socket);
          clear(socket);
          await gone;
        }
        return 1;
      }),
    );
    expect(ends).toHaveLength(8);
  };
  await round();
  const before = descriptors();
  await round();
  expect(descriptors()).toEqual(before);
});

function openAs(path: string, flags: string): number {
  const fd = openSync(path, flags);
  // Checked, and refused, before anything else; closed at the end of the turn.
  setImmediate(() => closeSync(fd));
  return fd;
}
