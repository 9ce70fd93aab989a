/**
 * The reactor under fire: connections that are cut, reset, flooded and closed at any moment, many in one batch. What
 * the kernel was given must come out, every slot must be reused rightly, and no descriptor may stay behind.
 */
import { once } from 'node:events';
import net from 'node:net';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { decodeAddress } from '../../../src/flow/address.js';
import { native } from '../../../src/native.js';
import { ReactorHost, type ListenerOwner, type SlotOwner } from '../../../src/server/reactor-host.js';
import {
  clear,
  descriptors,
  hangingPort,
  readAll,
  readBytes,
  settled,
  until,
  untilClosed,
} from '../../support/flow-bed.js';

interface Seen {
  slot: number;
  data: Buffer[];
  events: string[];
}

let host: ReactorHost;
let port: number;
let listener: number;
let seen: Seen[];
let onAccepted: (seen: Seen) => void;
let onEvent: (seen: Seen, event: string) => void;
let before: ReturnType<typeof descriptors>;
const quota = () => new (native().Quota)(undefined, () => undefined);
let seats: ReturnType<typeof quota>;

/** Records what happens to a slot. */
function recorder(entry: Seen): SlotOwner {
  const note = (event: string): void => {
    entry.events.push(event);
    onEvent(entry, event);
  };
  return {
    onData: (_slot, bytes) => {
      entry.data.push(Buffer.from(bytes));
      note('data');
    },
    onEnd: () => note('end'),
    onFailed: (_slot, errno) => note(`failed ${errno}`),
    onConnected: (_slot, errno) => note(`connected ${errno}`),
  };
}

beforeEach(async () => {
  await settled(() => descriptors().all, 50);
  before = descriptors();
  host = new ReactorHost();
  seats = quota();
  seen = [];
  onAccepted = () => undefined;
  onEvent = () => undefined;
  const fd = native().listen('127.0.0.1', 0, 512, false);
  port = decodeAddress(native().describe(fd).local!).port;
  const owner: ListenerOwner = {
    onAccepted: (slot) => {
      const entry: Seen = { slot, data: [], events: [] };
      seen.push(entry);
      host.own(slot, recorder(entry));
      onAccepted(entry);
    },
    onAcceptFailed: (_listener, errno) => {
      throw new Error(`accept failed: ${errno}`);
    },
    onFull: () => undefined,
  };
  listener = host.listen(fd, seats, owner);
});

afterEach(async () => {
  host.stop();
  seats.close();
  await until('every descriptor is closed', () => descriptors().all <= before.all);
});

async function connect(): Promise<net.Socket> {
  const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

const received = (entry: Seen): Buffer => Buffer.concat(entry.data);

describe('reading', () => {
  test('bytes in any cut, and the FIN behind them', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 9000 }), { minLength: 1, maxLength: 8 }),
        fc.boolean(),
        async (pieces, pause) => {
          const index = seen.length;
          const socket = await connect();
          for (const piece of pieces) {
            socket.write(piece);
            if (pause) await new Promise((resolve) => setImmediate(resolve));
          }
          socket.end();
          await until('the end', () => seen[index]?.events.includes('end') ?? false);
          expect(received(seen[index]!).equals(Buffer.concat(pieces))).toBe(true);
          expect(seen[index]!.events.filter((event) => event !== 'data')).toEqual(['end']);
          host.close(seen[index]!.slot, false);
          socket.destroy();
        },
      ),
      { numRuns: 40 },
    );
  });

  test('a held connection is not read; released it brings what has come meanwhile, and the FIN', async () => {
    onAccepted = (entry) => host.reactor.hold(entry.slot);
    const socket = await connect();
    socket.end('patience');
    await until('accepted', () => seen.length === 1);
    expect(await settled(() => seen[0]!.events.length, 50)).toBe(0);
    host.reactor.release(seen[0]!.slot);
    await until('the end', () => seen[0]!.events.includes('end'));
    expect(received(seen[0]!).toString()).toBe('patience');
    socket.destroy();
  });

  test('a held connection still tells of a reset', async () => {
    onAccepted = (entry) => host.reactor.hold(entry.slot);
    const socket = await connect();
    await until('accepted', () => seen.length === 1);
    socket.resetAndDestroy();
    await until('it failed', () => seen[0]!.events.length > 0);
    expect(seen[0]!.events[0]).toBe('failed 104');
  });

  test('take() hands out the descriptor with all that is unread', async () => {
    onEvent = (entry) => host.reactor.hold(entry.slot);
    const socket = await connect();
    socket.write(Buffer.alloc(4096, 1));
    await until('the first read', () => seen[0]?.data.length === 1);
    socket.end(Buffer.alloc(10_000, 2));
    await settled(() => seen[0]!.events.length, 50);
    const fd = host.take(seen[0]!.slot);
    expect(received(seen[0]!).length).toBe(4096);
    const rest = await readAll(new net.Socket({ fd, allowHalfOpen: true }));
    expect(rest.equals(Buffer.alloc(10_000, 2))).toBe(true);
    socket.destroy();
    await settled(() => descriptors().all, 50);
    // A slot that is gone is gone: nothing can be done with it, and nothing breaks.
    expect(host.reactor.take(seen[0]!.slot)).toBe(-1);
    expect(host.reactor.send(seen[0]!.slot, Buffer.from('x'))).toBe(-9);
    native().close(fd);
  });
});

describe('goodbye', () => {
  test('the last reply arrives though the peer still sends', async () => {
    onEvent = (entry, event) => {
      if (event !== 'data' || entry.events.length > 1) return;
      host.reactor.send(entry.slot, Buffer.from('no'));
      if (host.reactor.linger(entry.slot)) host.close(entry.slot, false);
    };
    const socket = await connect();
    socket.write(Buffer.alloc(100_000));
    expect((await readAll(socket)).toString()).toBe('no');
    socket.end();
    await until('the peer is done', () => seen[0]!.events.includes('end'));
    host.close(seen[0]!.slot, false);
    await until('the socket is closed', () => socket.closed);
    expect(socket.errored).toBeNull();
  });
});

describe('connecting', () => {
  const owned = (slot: number): Seen => {
    const entry: Seen = { slot, data: [], events: [] };
    host.own(slot, recorder(entry));
    return entry;
  };

  test('succeeds, and what the server says first waits', async () => {
    const server = net.createServer((socket) => void socket.end('banner')).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const entry = owned(host.reactor.connect('127.0.0.1', (server.address() as net.AddressInfo).port));
    await until('connected', () => entry.events.length > 0);
    expect(entry.events).toEqual(['connected 0']);
    expect(await settled(() => entry.events.length, 50)).toBe(1);
    const socket = new net.Socket({ fd: host.take(entry.slot), allowHalfOpen: false });
    expect((await readAll(socket)).toString()).toBe('banner');
    server.close();
  });

  test('refused, a nonsense address, and one that hangs', async () => {
    const closed = net.createServer().listen(0, '127.0.0.1');
    await once(closed, 'listening');
    const { port: nobody } = closed.address() as net.AddressInfo;
    closed.close();
    await once(closed, 'close');
    const slot = host.reactor.connect('127.0.0.1', nobody);
    if (slot >= 0) {
      const entry = owned(slot);
      await until('refused', () => entry.events.length > 0);
      expect(entry.events).toEqual(['connected 111']);
      host.close(slot, false);
    } else {
      expect(slot).toBe(-111);
    }
    expect(host.reactor.connect('not an address', 80)).toBe(-22);
    const hanging = await hangingPort();
    const entry = owned(host.reactor.connect('127.0.0.1', hanging.port));
    expect(await settled(() => entry.events.length, 100)).toBe(0);
    host.close(entry.slot, false);
    hanging.dispose();
  });
});

describe('many at once', () => {
  test('200 connections, each cut at random: every byte that arrived whole is seen, every slot ends once', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ length: fc.nat(20_000), how: fc.constantFrom('fin', 'reset', 'stay') }), {
          minLength: 50,
          maxLength: 200,
        }),
        async (plans) => {
          seen = [];
          // Half of them are closed from inside the batch that brings their first bytes: their later events must vanish.
          onEvent = (entry, event) => {
            if (event === 'data' && entry.slot % 2 === 0) {
              entry.events.push('closed');
              host.close(entry.slot, entry.slot % 4 === 0);
            }
          };
          const sockets = await Promise.all(plans.map(connect));
          plans.forEach(({ length, how }, index) => {
            const socket = sockets[index]!;
            if (length > 0) socket.write(Buffer.alloc(length, index));
            if (how === 'fin') socket.end();
            if (how === 'reset') socket.resetAndDestroy();
          });
          await until('all are accepted', () => seen.length === plans.length);
          await settled(() => seen.reduce((sum, entry) => sum + entry.events.length, 0), 40);
          for (const entry of seen) {
            const terminal = entry.events.findIndex((event) => event !== 'data');
            if (entry.events.includes('closed')) expect(entry.events).toEqual(['data', 'closed']);
            else if (terminal >= 0) expect(entry.events.slice(terminal)).toHaveLength(1);
            else expect(new Set(received(entry)).size).toBeLessThanOrEqual(1);
            if (!entry.events.includes('closed')) host.close(entry.slot, true);
          }
          clear(...sockets);
        },
      ),
      { numRuns: 6 },
    );
  });

  test('a slot that is freed in a batch is not given away before the batch ends', async () => {
    // Every accepted connection closes the one before it and begins a new one in the same batch.
    const server = net.createServer((socket) => void socket.on('error', () => undefined)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const target = (server.address() as net.AddressInfo).port;
    const dialled: Seen[] = [];
    let previous: Seen | undefined;
    onEvent = (entry, event) => {
      if (event !== 'data') return;
      if (previous !== undefined) host.close(previous.slot, true);
      previous = entry;
      const attempt: Seen = { slot: host.reactor.connect('127.0.0.1', target), data: [], events: [] };
      host.own(attempt.slot, {
        ...recorder(attempt),
        onConnected: (_slot, errno) => attempt.events.push(`connected ${errno}`),
        onData: () => attempt.events.push('data'),
      });
      dialled.push(attempt);
    };
    const sockets = await Promise.all(Array.from({ length: 60 }, connect));
    for (const socket of sockets) socket.end('x');
    await until('all have dialled', () => dialled.length === 60 && dialled.every(({ events }) => events.length > 0));
    for (const { events } of dialled) expect(events).toEqual(['connected 0']);
    clear(...sockets);
    server.close();
  });

  test('a listener that is closed in a batch leaves no connection of that batch behind', async () => {
    host.reactor.pause(listener);
    const sockets = await Promise.all(Array.from({ length: 20 }, connect));
    onAccepted = () => host.closeListener(listener);
    host.reactor.resume(listener);
    await until('the first is accepted', () => seen.length === 1);
    await Promise.all(sockets.slice(1).map((socket) => untilClosed(socket.resume())));
    expect(seats.seats()).toBe(1);
    clear(...sockets);
  });

  test('more connections than records in a batch', async () => {
    const sockets = await Promise.all(Array.from({ length: 600 }, connect));
    for (const socket of sockets) socket.write('hello');
    await until('all are seen', () => seen.length === 600 && seen.every((entry) => received(entry).length === 5));
    for (const entry of seen) host.reactor.send(entry.slot, Buffer.from('bye'));
    for (const socket of sockets) expect((await readBytes(socket, 3)).toString()).toBe('bye');
    clear(...sockets);
  });
});

test('an owner that throws does not cost the others their events', async () => {
  const thrown: unknown[] = [];
  const listeners = process.rawListeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  process.on('uncaughtException', (error) => thrown.push(error));
  onEvent = (entry, event) => {
    if (event === 'data' && received(entry).toString() === 'bad') throw new Error('owner');
  };
  const sockets = await Promise.all(Array.from({ length: 10 }, connect));
  sockets.forEach((socket, index) => socket.write(index % 2 === 0 ? 'bad' : 'good'));
  await until('all are served', () => seen.length === 10 && seen.every((entry) => entry.data.length === 1));
  await until('all errors are told', () => thrown.length === 5);
  process.removeAllListeners('uncaughtException');
  for (const listener of listeners) process.on('uncaughtException', listener as NodeJS.UncaughtExceptionListener);
  clear(...sockets);
});
