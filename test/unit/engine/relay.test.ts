/** Whole flows, on every backend: what goes in comes out, and every way to end is passed on. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SpliceEngine } from '../../../src/engine/engine.js';
import { native } from '../../../src/native.js';
import { BACKENDS_UNDER_TEST } from '../../support/backends.js';
import {
  bytesOf,
  clear,
  descriptors,
  fateOf,
  makeBed,
  rawDescriptor,
  readAll,
  readBytes,
  resetArrives,
  settled,
  until,
  type Bed,
} from '../../support/flow-bed.js';

const MIB = 1024 * 1024;

/** Writes `length` bytes as fast as the stream takes them; resolves with their hash when all is written. */
async function pour(socket: net.Socket, length: number, end = true): Promise<string> {
  const hash = createHash('sha1');
  const block = bytesOf(MIB);
  for (let left = length; left > 0;) {
    const chunk = block.subarray(0, Math.min(left, block.length));
    hash.update(chunk);
    left -= chunk.length;
    if (!socket.write(chunk)) await once(socket, 'drain');
  }
  if (end) socket.end();
  return hash.digest('hex');
}

async function hashOf(socket: net.Socket): Promise<{ hash: string; length: number }> {
  const hash = createHash('sha1');
  let length = 0;
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    hash.update(chunk as Buffer);
    length += (chunk as Buffer).length;
  }
  return { hash: hash.digest('hex'), length };
}

/** Writes until nothing moves any more; how many bytes the path has swallowed. */
async function fill(socket: net.Socket): Promise<number> {
  const block = Buffer.alloc(64 * 1024, 7);
  let more = true;
  const write = (): void => {
    while (more && socket.writableLength < MIB) socket.write(block);
  };
  socket.on('drain', write);
  write();
  const written = (): number => socket.bytesWritten - socket.writableLength;
  await settled(written);
  more = false;
  socket.off('drain', write);
  return written();
}

describe.each(BACKENDS_UNDER_TEST)('$title', ({ name, options, watchesUnread, afterFin = name }) => {
  let engine: SpliceEngine;
  beforeAll(async () => {
    engine = await SpliceEngine.open(options);
  });
  afterAll(() => engine.close());

  const spliced = async (bed: Bed, more = {}) => {
    const flow = await engine.splice(bed.client, bed.upstream, more);
    expect(flow.backend).toBe(name);
    return flow;
  };

  describe('bytes', () => {
    test('64 MiB both ways at once', async () => {
      const bed = await makeBed();
      const flow = await spliced(bed);
      const size = 64 * MIB;
      const [up, down, atServer, atCaller] = await Promise.all([
        pour(bed.caller, size),
        pour(bed.server, size),
        hashOf(bed.server),
        hashOf(bed.caller),
      ]);
      expect(atServer).toEqual({ hash: up, length: size });
      expect(atCaller).toEqual({ hash: down, length: size });
      expect(await flow.closed).toMatchObject({ reason: 'end', errno: 0, bytesUp: size, bytesDown: size });
      expect(flow.counters()).toMatchObject({ bytesUp: size, bytesDown: size });
      expect(flow.state).toBe('closed');
    });

    const sizes = [0, 1, 4095, 4096, 32767, 32768, 32769, 65535, 65536, 65537, 262143, 262144, 262145, MIB + 1];
    test.each(sizes)('%i bytes, and their echo', async (size) => {
      const bed = await makeBed();
      const flow = await spliced(bed);
      const sent = bytesOf(size);
      bed.caller.end(sent);
      const arrived = await readAll(bed.server);
      bed.server.end(arrived);
      expect((await readAll(bed.caller)).equals(sent)).toBe(true);
      expect(await flow.closed).toMatchObject({ reason: 'end', bytesUp: size, bytesDown: size });
    });

    test('sent before the hand-over, by both sides', async () => {
      const bed = await makeBed();
      bed.caller.write('early ');
      bed.server.write('banner ');
      // Node has read the server's already, the client's waits in the kernel.
      bed.upstream.read(0);
      await until('the banner is in the stream', () => bed.upstream.readableLength > 0);
      const flow = await spliced(bed);
      bed.caller.end('late');
      bed.server.end('greeting');
      expect((await readAll(bed.server)).toString()).toBe('early late');
      expect((await readAll(bed.caller)).toString()).toBe('banner greeting');
      expect(await flow.closed).toMatchObject({ bytesUp: 10, bytesDown: 15 });
    });

    test('reply and heads go first, in order; heads are counted, the reply is not', async () => {
      const bed = await makeBed();
      const flow = await spliced(bed, {
        reply: Buffer.from('REPLY '),
        clientHead: Buffer.from('head-up '),
        upstreamHead: Buffer.from('head-down '),
      });
      bed.caller.end('up');
      bed.server.end('down');
      expect((await readAll(bed.server)).toString()).toBe('head-up up');
      expect((await readAll(bed.caller)).toString()).toBe('REPLY head-down down');
      expect(await flow.closed).toMatchObject({ bytesUp: 10, bytesDown: 14 });
    });

    test('heads that were given go before those that Node has read', async () => {
      const bed = await makeBed();
      bed.caller.write('GREETreqDATA');
      expect((await readBytes(bed.client, 5)).toString()).toBe('GREET');
      expect((await readBytes(bed.client, 3)).toString()).toBe('req');
      const head = await readBytes(bed.client, 2);
      await spliced(bed, { clientHead: head });
      bed.caller.end('!');
      expect((await readAll(bed.server)).toString()).toBe('DATA!');
      clear(bed.caller, bed.server);
    });

    test('FIN before the reply', async () => {
      const bed = await makeBed();
      bed.caller.end('all I have to say');
      await until(
        'the FIN has come',
        () => native().describe((bed.client as never as { _handle: { fd: number } })._handle.fd).tcpState === 8,
      );
      const flow = await engine.splice(bed.client, bed.upstream, { reply: Buffer.from('ok ') });
      expect(flow.backend).toBe(afterFin);
      expect((await readAll(bed.server)).toString()).toBe('all I have to say');
      bed.server.end('bye');
      expect((await readAll(bed.caller)).toString()).toBe('ok bye');
    });

    test('over raw descriptors, with spliceNow', async () => {
      const bed = await makeBed();
      const flow = engine.spliceNow(rawDescriptor(bed.client), rawDescriptor(bed.upstream), {
        reply: Buffer.from('ok '),
      });
      bed.caller.end('up');
      expect((await readAll(bed.server)).toString()).toBe('up');
      bed.server.end('down');
      expect((await readAll(bed.caller)).toString()).toBe('ok down');
      expect(await flow.closed).toMatchObject({ reason: 'end', bytesUp: 2, bytesDown: 4 });
    });

    test('counters while it runs', async () => {
      const bed = await makeBed();
      const flow = await spliced(bed, { reply: Buffer.from('reply'), clientHead: Buffer.from('12') });
      bed.caller.write('345');
      expect((await readBytes(bed.server, 5)).toString()).toBe('12345');
      expect((await readBytes(bed.caller, 5)).toString()).toBe('reply');
      expect(flow.counters()).toMatchObject({ bytesUp: 5, bytesDown: 0 });
      expect(flow.state).toBe('relay');
      flow.abort();
      await flow.closed;
      clear(bed.caller, bed.server);
    });
  });

  describe('half-close', () => {
    test.each(['caller', 'server'] as const)('%s ends first, 4 MiB still come the other way', async (first) => {
      const bed = await makeBed();
      const flow = await spliced(bed);
      const [early, late] = first === 'caller' ? [bed.caller, bed.server] : [bed.server, bed.caller];
      early.end('last words');
      expect((await readAll(late)).toString()).toBe('last words');
      await until('the flow knows', () => flow.state === 'teardown');
      const sent = pour(late, 4 * MIB);
      expect(await hashOf(early)).toEqual({ hash: await sent, length: 4 * MIB });
      expect(await flow.closed).toMatchObject({ reason: 'end' });
    });

    test('a FIN right behind the bytes loses none of them, into a slow reader', async () => {
      const bed = await makeBed();
      const flow = await spliced(bed);
      const sent = pour(bed.caller, 8 * MIB);
      await settled(() => flow.counters().bytesUp, 100);
      expect(await hashOf(bed.server)).toEqual({ hash: await sent, length: 8 * MIB });
      bed.server.end();
      expect(await flow.closed).toMatchObject({ reason: 'end', bytesUp: 8 * MIB });
    });

    test('both at once', async () => {
      const bed = await makeBed();
      const flow = await spliced(bed);
      bed.caller.end('a');
      bed.server.end('b');
      expect((await readAll(bed.server)).toString()).toBe('a');
      expect((await readAll(bed.caller)).toString()).toBe('b');
      expect(await flow.closed).toMatchObject({ reason: 'end', bytesUp: 1, bytesDown: 1 });
    });
  });

  describe.each(['caller', 'server'] as const)('reset by the %s', (who) => {
    const sides = (bed: Bed) =>
      (who === 'caller' ? [bed.caller, bed.server] : [bed.server, bed.caller]) as [net.Socket, net.Socket];
    const reason = who === 'caller' ? 'client-reset' : 'upstream-reset';

    test('is passed on as a reset', async () => {
      const bed = await makeBed();
      const flow = await spliced(bed);
      const [breaker, other] = sides(bed);
      breaker.write('x');
      await readBytes(other, 1);
      const fate = fateOf(other);
      breaker.resetAndDestroy();
      expect(await fate).toBe('ECONNRESET');
      expect(await flow.closed).toMatchObject({ reason, errno: 104 });
    });

    test('after its FIN', async () => {
      const bed = await makeBed();
      const flow = await spliced(bed);
      const [breaker, other] = sides(bed);
      breaker.end('x');
      expect((await readAll(other)).toString()).toBe('x');
      breaker.resetAndDestroy();
      if (!watchesUnread) other.write('this meets the reset');
      expect(await flow.closed).toMatchObject({ reason });
      clear(other);
    });

    test('together with its FIN', async () => {
      const bed = await makeBed();
      const [breaker, other] = sides(bed);
      const reactor = new (native().Reactor)(new Int32Array(64), new Uint8Array(8192), () => undefined);
      const slot = reactor.adopt(rawDescriptor(breaker));
      reactor.send(slot, Buffer.from('x'));
      const flow = engine.spliceNow(rawDescriptor(bed.client), rawDescriptor(bed.upstream));
      // A flow that grows old changes threads, and the new one looks at the sockets afresh: not what is tested here.
      await sleep(250);
      // Without a turn of the event loop in between: one wake-up tells of both.
      reactor.linger(slot);
      reactor.close(slot, true);
      reactor.stop();
      if (!watchesUnread) other.write('this meets the reset');
      expect(await flow.closed).toMatchObject({ reason });
      clear(other);
    });

    test('while the other side is blocked', async () => {
      const bed = await makeBed();
      const flow = await spliced(bed);
      const [breaker, other] = sides(bed);
      await fill(breaker);
      breaker.resetAndDestroy();
      if (!watchesUnread) other.resume();
      expect(await flow.closed).toMatchObject({ reason });
      await resetArrives(other);
      clear(other);
    });

    test('while it is blocked itself', async () => {
      const bed = await makeBed();
      const flow = await spliced(bed);
      const [breaker, other] = sides(bed);
      await fill(other);
      breaker.resetAndDestroy();
      expect(await flow.closed).toMatchObject({ reason });
      await resetArrives(other);
      clear(other);
    });

    test('behind bytes that are not read yet', async () => {
      const bed = await makeBed();
      const [breaker, other] = sides(bed);
      breaker.write(bytesOf(200_000));
      await until('the bytes have left', () => breaker.writableLength === 0);
      const flow = await spliced(bed);
      breaker.resetAndDestroy();
      expect(await flow.closed).toMatchObject({ reason });
      await resetArrives(other);
      clear(other);
    });
  });

  test('backpressure: a reader that stops holds the writer after a bounded amount; then all arrives', async () => {
    const bed = await makeBed();
    const flow = await spliced(bed);
    const before = process.memoryUsage().rss;
    const swallowed = await fill(bed.caller);
    // Socket buffers of both connections (tcp_wmem and tcp_rmem end at 4 and 6 MiB by default, loopback
    // fills them all) and one read's worth of ours.
    expect(swallowed).toBeLessThan(40 * MIB);
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * MIB);
    bed.caller.end();
    const { length } = await hashOf(bed.server);
    expect(length).toBe(bed.caller.bytesWritten);
    bed.server.end();
    bed.caller.resume();
    expect(await flow.closed).toMatchObject({ reason: 'end', bytesUp: length });
  });

  describe('endings of ours', () => {
    test('idle', async () => {
      const bed = await makeBed();
      const flow = await spliced(bed, { idleTimeoutMs: 600 });
      bed.caller.write('x');
      expect((await readBytes(bed.server, 1)).toString()).toBe('x');
      const [caller, server] = [fateOf(bed.caller), fateOf(bed.server)];
      expect(await flow.closed).toMatchObject({ reason: 'idle', bytesUp: 1 });
      expect(await caller).toBe('ECONNRESET');
      expect(await server).toBe('ECONNRESET');
    });

    test('not idle while bytes move, either way', async () => {
      const bed = await makeBed();
      // Far longer than a busy machine stands still.
      const idleTimeoutMs = 2000;
      const flow = await spliced(bed, { idleTimeoutMs });
      const started = performance.now();
      while (performance.now() - started < 1.5 * idleTimeoutMs) {
        bed.caller.write('.');
        await readBytes(bed.server, 1);
        await sleep(20);
        expect(flow.state).toBe('relay');
      }
      flow.abort();
      clear(bed.caller, bed.server);
    });

    test('an idle time beyond what timers can wait is no timeout', async () => {
      const bed = await makeBed();
      const flow = await spliced(bed, { idleTimeoutMs: 2 ** 40 });
      bed.caller.write('x');
      await readBytes(bed.server, 1);
      expect(flow.state).toBe('relay');
      flow.abort();
      expect(await flow.closed).toMatchObject({ reason: 'aborted' });
      clear(bed.caller, bed.server);
    });

    test('abort resets both', async () => {
      const bed = await makeBed();
      const flow = await spliced(bed);
      bed.server.write('y');
      await readBytes(bed.caller, 1);
      const [caller, server] = [fateOf(bed.caller), fateOf(bed.server)];
      flow.abort();
      expect(await flow.closed).toMatchObject({ reason: 'aborted', errno: 0, bytesDown: 1 });
      expect(await caller).toBe('ECONNRESET');
      expect(await server).toBe('ECONNRESET');
    });
  });

  test('2,000 flows leave no descriptor and no pipe behind', async () => {
    // The pool of pipes, libuv's own and the like are made before we count.
    const once = async (size: number): Promise<void> => {
      const bed = await makeBed();
      const flow = await spliced(bed);
      bed.caller.end(bytesOf(size));
      const arrived = await readAll(bed.server);
      bed.server.end(arrived.subarray(0, 16));
      await readAll(bed.caller);
      await flow.closed;
      clear(bed.caller, bed.server);
    };
    await Promise.all([once(8 * MIB), once(8 * MIB)]);
    await settled(() => descriptors().sockets);
    const before = descriptors();
    for (let i = 0; i < 2000; i += 50) {
      await Promise.all(Array.from({ length: 50 }, (_, k) => once((i + k) % 250 === 0 ? MIB : 100)));
    }
    // Sockets that the test itself has destroyed are closed in the loop's next turns.
    await until('all sockets are closed', () => descriptors().sockets <= before.sockets);
    const after = descriptors();
    // Each thread, and the control plane's own loop, keeps 32 empty pipes for the flows to come.
    expect(after.pipes).toBeLessThanOrEqual(before.pipes + 3 * 2 * 32);
    expect(after.all - after.pipes).toBe(before.all - before.pipes);
    expect([...engine.flows()]).toEqual([]);
  });
});
