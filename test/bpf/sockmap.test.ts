/** Backend sockmap, native part: the verdict program and its thread over real loopback connections. */
import { createHash, randomBytes, type Hash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, readSync, readdirSync, readlinkSync } from 'node:fs';
import type { Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { native } from '../../src/native.js';
import { Bench, bpfExcused, type Leg } from './support.js';

const excused = bpfExcused();
const MiB = 1 << 20;

/** Everything that comes until FIN. */
async function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(socket, 'end');
  return Buffer.concat(chunks);
}

/** Bytes and their sum until FIN, without keeping them. */
async function sumAll(socket: Socket): Promise<{ bytes: number; sum: string }> {
  const hash = createHash('sha256');
  let bytes = 0;
  socket.on('data', (chunk: Buffer) => {
    hash.update(chunk);
    bytes += chunk.length;
  });
  await once(socket, 'end');
  return { bytes, sum: hash.digest('hex') };
}

/** Waits for exactly this many bytes. */
async function take(socket: Socket, count: number): Promise<string> {
  let text = '';
  while (text.length < count) {
    const chunk = socket.read() as Buffer | null;
    if (chunk === null) await once(socket, 'readable');
    else text += chunk.toString('latin1');
  }
  return text;
}

/** Writes random blocks until `total` bytes were taken by the socket, and sums them. */
async function pour(socket: Socket, total: number, hash: Hash, block = 256 * 1024): Promise<void> {
  for (let left = total; left > 0;) {
    const chunk = randomBytes(Math.min(left, block));
    left -= chunk.length;
    hash.update(chunk);
    if (!socket.write(chunk)) await once(socket, 'drain');
  }
}

/** Waits until the kernel holds so many bytes for this descriptor, without taking any. */
async function waitForBytes(fd: number, count = 1): Promise<void> {
  const inode = /\[(\d+)\]/.exec(readlinkSync(`/proc/self/fd/${fd}`))![1]!;
  for (;;) {
    const line = readFileSync('/proc/net/tcp', 'utf8')
      .split('\n')
      .find((text) => text.trim().split(/\s+/)[9] === inode);
    const receiveQueue = line?.trim().split(/\s+/)[4]?.split(':')[1];
    if (receiveQueue !== undefined && parseInt(receiveQueue, 16) >= count) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const descriptors = (): number => readdirSync('/proc/self/fd').length;

/** Bytes of all TCP socket buffers of this network namespace. */
function socketMemory(): number {
  const match = /^TCP: .* mem (\d+)$/m.exec(readFileSync('/proc/net/sockstat', 'utf8'));
  return Number(match![1]) * 4096;
}

describe.skipIf(excused !== undefined)(`sockmap relay${excused === undefined ? '' : ` (skipped: ${excused})`}`, () => {
  let bench: Bench;
  let client: Leg;
  let upstream: Leg;
  let before: Record<string, number>;

  async function pair(): Promise<void> {
    client = await bench.leg();
    upstream = await bench.leg();
    before = bench.counts();
  }
  const counted = (name: string): number => bench.counts()[name]! - before[name]!;

  beforeAll(async () => {
    bench = await Bench.open();
  });
  afterAll(() => bench.close());

  test('moves bytes both ways without user space, and ends with both FINs', async () => {
    await pair();
    const flow = bench.start(client.fd, upstream.fd);
    client.peer.write('question');
    expect(await take(upstream.peer, 8)).toBe('question');
    upstream.peer.write('answer');
    expect(await take(client.peer, 6)).toBe('answer');
    expect(counted('REDIRECTED')).toBe(2);
    const counters = new Float64Array(6);
    expect(bench.sockmap.counters(flow.id, counters)).toBe(true);
    expect([counters[0], counters[1], counters[4], counters[5]]).toEqual([8, 6, 8, 6]);
    client.peer.end();
    upstream.peer.end();
    expect(await flow.closed).toMatchObject({ reason: 'end', errno: 0, bytesUp: 8, bytesDown: 6 });
    expect(bench.sockmap.counters(flow.id, counters)).toBe(false);
    expect(bench.entries()).toBe(0);
    client.peer.destroy();
    upstream.peer.destroy();
  });

  test('writes the reply first, then what was read before, then the stream', async () => {
    await pair();
    const up = readAll(upstream.peer);
    const down = readAll(client.peer);
    client.peer.write('third');
    upstream.peer.write('later');
    const flow = bench.start(client.fd, upstream.fd, {
      reply: Buffer.from('reply|'),
      clientHead: Buffer.from('first second '),
      upstreamHead: Buffer.from('banner '),
    });
    client.peer.end(' fourth');
    upstream.peer.end(' last');
    expect((await up).toString()).toBe('first second third fourth');
    expect((await down).toString()).toBe('reply|banner later last');
    // The reply is no byte of the stream.
    expect(await flow.closed).toMatchObject({ reason: 'end', bytesUp: 25, bytesDown: 17 });
    expect(bench.entries()).toBe(0);
  });

  test('bytes queued before insertion leave without waiting for more', async () => {
    await pair();
    client.peer.write('early');
    await waitForBytes(client.fd);
    const flow = bench.start(client.fd, upstream.fd);
    expect(await take(upstream.peer, 5)).toBe('early');
    client.peer.end();
    upstream.peer.end();
    expect(await flow.closed).toMatchObject({ reason: 'end', bytesUp: 5 });
    client.peer.destroy();
    upstream.peer.destroy();
  });

  test('a segment of which a part was read before is not relayed twice', async () => {
    await pair();
    client.peer.write('greeting+data');
    await waitForBytes(client.fd);
    const part = Buffer.alloc(9);
    expect(part.toString('latin1', 0, readSync(client.fd, part, 0, 9, null))).toBe('greeting+');
    const up = readAll(upstream.peer);
    const flow = bench.start(client.fd, upstream.fd);
    client.peer.end(' and more');
    upstream.peer.end();
    expect((await up).toString()).toBe('data and more');
    expect(await flow.closed).toMatchObject({ reason: 'end', bytesUp: 13 });
    expect(counted('TRIMMED')).toBe(1);
    client.peer.destroy();
  });

  test('nor is the larger part of a large segment', async () => {
    await pair();
    const sent = randomBytes(60_000);
    client.peer.write(sent);
    await waitForBytes(client.fd, sent.length);
    const part = Buffer.alloc(50_001);
    expect(readSync(client.fd, part, 0, part.length, null)).toBe(part.length);
    const up = readAll(upstream.peer);
    const flow = bench.start(client.fd, upstream.fd);
    client.peer.end();
    upstream.peer.end();
    expect(Buffer.concat([part, await up]).equals(sent)).toBe(true);
    expect(await flow.closed).toMatchObject({ reason: 'end', bytesUp: 9_999 });
    client.peer.destroy();
  });

  test('half-close: the answer still comes after FIN', async () => {
    await pair();
    const up = readAll(upstream.peer);
    const flow = bench.start(client.fd, upstream.fd);
    client.peer.end('request');
    expect((await up).toString()).toBe('request');
    const down = readAll(client.peer);
    upstream.peer.write('late ');
    upstream.peer.end('answer');
    expect((await down).toString()).toBe('late answer');
    expect(await flow.closed).toMatchObject({ reason: 'end', bytesUp: 7, bytesDown: 11 });
  });

  test.each(['client', 'upstream'] as const)('a reset of the %s reaches the other side', async (who) => {
    await pair();
    const [breaks, sees] = who === 'client' ? [client.peer, upstream.peer] : [upstream.peer, client.peer];
    breaks.on('error', () => undefined);
    const flow = bench.start(client.fd, upstream.fd);
    breaks.write('x');
    expect(await take(sees, 1)).toBe('x');
    const error = once(sees, 'error') as Promise<[NodeJS.ErrnoException]>;
    breaks.resetAndDestroy();
    expect((await flow.closed).reason).toBe(`${who}-reset`);
    expect((await error)[0].code).toBe('ECONNRESET');
    expect(bench.entries()).toBe(0);
  });

  test('ends by RST when nothing moves for the idle time, and not before', async () => {
    await pair();
    const flow = bench.start(client.fd, upstream.fd, { idleMs: 1000 });
    const reset = Promise.all([once(client.peer, 'error'), once(upstream.peer, 'error')]);
    client.peer.write('x');
    const ended = await flow.closed;
    expect(ended).toMatchObject({ reason: 'idle', bytesUp: 1 });
    expect(ended.durationMs).toBeGreaterThanOrEqual(1000);
    await reset;
  });

  test('abort resets both sides', async () => {
    await pair();
    const flow = bench.start(client.fd, upstream.fd);
    const reset = Promise.all([once(client.peer, 'error'), once(upstream.peer, 'error')]);
    bench.sockmap.end(flow.id);
    expect((await flow.closed).reason).toBe('aborted');
    await reset;
  });

  test('refuses a socket after FIN and leaves its bytes for another backend', async () => {
    await pair();
    client.peer.end('still here');
    await once(client.peer, 'finish');
    while (bench.sockmap.refuse(client.fd, upstream.fd) === '') await new Promise((resolve) => setImmediate(resolve));
    expect(bench.sockmap.refuse(client.fd, upstream.fd)).toContain('FIN');
    expect(bench.sockmap.add(client.fd, upstream.fd, 0, Buffer.from('reply'), undefined, undefined)).toBeLessThan(0);
    const buffer = Buffer.alloc(20);
    expect(buffer.toString('latin1', 0, readSync(client.fd, buffer, 0, 20, null))).toBe('still here');
    expect(bench.entries()).toBe(0);
    native().close(client.fd);
    native().close(upstream.fd);
    upstream.peer.destroy();
    client.peer.destroy();
  });

  test('what finds no target is copied in order, and redirected when the target is there', async () => {
    await pair();
    const flow = bench.start(client.fd, upstream.fd);
    client.peer.write('one ');
    expect(await take(upstream.peer, 4)).toBe('one ');
    // The key of the direction up is the cookie of the client's socket: the one whose target is
    // taken away is the one whose bytes now find none.
    const keys = bench.object.native.keys('halves');
    const ups = keys.filter((key) => Buffer.from(bench.object.lookup('halves', key)!).readBigUInt64LE(0) === 4n);
    expect(ups.length).toBe(1);
    expect(bench.object.delete('peers', ups[0]!)).toBe(true);
    client.peer.write('two ');
    expect(await take(upstream.peer, 4)).toBe('two ');
    expect(counted('NO_TARGET')).toBe(1);
    client.peer.end('three');
    upstream.peer.end();
    expect((await readAll(upstream.peer)).toString()).toBe('three');
    expect(await flow.closed).toMatchObject({ reason: 'end', bytesUp: 13 });
  });

  test('64 MiB each way arrive whole, by checksum', async () => {
    await pair();
    const sums = [createHash('sha256'), createHash('sha256')] as const;
    const arrived = [sumAll(upstream.peer), sumAll(client.peer)] as const;
    const flow = bench.start(client.fd, upstream.fd);
    await Promise.all([
      pour(client.peer, 64 * MiB, sums[0]).then(() => client.peer.end()),
      pour(upstream.peer, 64 * MiB, sums[1]).then(() => upstream.peer.end()),
    ]);
    const [up, down] = await Promise.all(arrived);
    expect([up.sum, down.sum]).toEqual(sums.map((sum) => sum.digest('hex')));
    expect(await flow.closed).toMatchObject({ reason: 'end', bytesUp: 64 * MiB, bytesDown: 64 * MiB });
    expect(counted('REDIRECTED')).toBeGreaterThan(0);
    expect(counted('NOT_TRIMMED') + counted('TARGET_LOST') + counted('NOT_TCP')).toBe(0);
  });

  test('a reader that stands still stops the sender, and memory stays bounded', async () => {
    await pair();
    const total = 128 * MiB;
    const start = socketMemory();
    const flow = bench.start(client.fd, upstream.fd);
    upstream.peer.pause();
    const hash = createHash('sha256');
    let done = false;
    const poured = pour(client.peer, total, hash, 64 * 1024).then(() => (done = true));
    // Until the sender has made no progress for a while: then every buffer on the way is full.
    for (let last = -1, still = 0; still < 20; await new Promise((resolve) => setTimeout(resolve, 20))) {
      const now = client.peer.bytesWritten - client.peer.writableLength;
      still = now === last ? still + 1 : 0;
      last = now;
    }
    expect(done).toBe(false);
    expect(counted('OVER_LIMIT')).toBeGreaterThan(0);
    const counters = new Float64Array(6);
    bench.sockmap.counters(flow.id, counters);
    // 8 MiB on their way to the reader, what its own window holds included, and a rounding of one segment.
    expect(counters[4]).toBeLessThanOrEqual(8 * MiB + 6 * MiB);
    expect(socketMemory() - start).toBeLessThan(64 * MiB);
    const up = sumAll(upstream.peer);
    upstream.peer.resume();
    await poured;
    client.peer.end();
    upstream.peer.end();
    expect(await up).toEqual({ bytes: total, sum: hash.digest('hex') });
    expect(await flow.closed).toMatchObject({ reason: 'end', bytesUp: total });
  });

  test('500 flows one after another leave no descriptor and no map entry', async () => {
    await pair();
    client.peer.destroy();
    upstream.peer.destroy();
    native().close(client.fd);
    native().close(upstream.fd);
    const start = descriptors();
    for (let i = 0; i < 500; i++) {
      await pair();
      const [up, down] = [readAll(upstream.peer), readAll(client.peer)];
      const flow = bench.start(client.fd, upstream.fd);
      client.peer.end('hello');
      upstream.peer.end('world');
      expect(`${await up}${await down}`).toBe('helloworld');
      expect((await flow.closed).reason).toBe('end');
    }
    expect(bench.entries()).toBe(0);
    // The peers' own descriptors close a moment later; one that leaks fails by the test's time limit.
    while (descriptors() > start) await new Promise((resolve) => setTimeout(resolve, 5));
  });

  test('100 flows at a time, cut into pieces of every size, with a bound that is always reached', async () => {
    const tight = await Bench.open(100_000);
    try {
      await Promise.all(
        Array.from({ length: 100 }, async (_, i) => {
          const [a, b] = [await tight.leg(), await tight.leg()];
          const sums = [createHash('sha256'), createHash('sha256')] as const;
          const sizes = [(i * 7919) % 600_000, (i * 104_729) % 600_000] as const;
          const arrived = [sumAll(b.peer), sumAll(a.peer)] as const;
          const flow = tight.start(a.fd, b.fd);
          await Promise.all([
            pour(a.peer, sizes[0], sums[0], 1 + ((i * 613) % 70_000)).then(() => a.peer.end()),
            pour(b.peer, sizes[1], sums[1], 1 + ((i * 997) % 9_000)).then(() => b.peer.end()),
          ]);
          const [up, down] = await Promise.all(arrived);
          expect([up.sum, down.sum]).toEqual(sums.map((sum) => sum.digest('hex')));
          expect(await flow.closed).toMatchObject({ reason: 'end', bytesUp: sizes[0], bytesDown: sizes[1] });
        }),
      );
      expect(tight.counts()['OVER_LIMIT']).toBeGreaterThan(0);
      expect(tight.entries()).toBe(0);
    } finally {
      tight.close();
    }
  });

  test('stopping ends live flows by RST', async () => {
    const other = await Bench.open();
    const [a, b] = [await other.leg(), await other.leg()];
    other.start(a.fd, b.fd);
    const reset = Promise.all([once(a.peer, 'error'), once(b.peer, 'error')]);
    other.close();
    await reset;
  });
});
