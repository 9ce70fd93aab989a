/** The pool on loopback: what is used again, what is not, and who waits. */
import { once } from 'node:events';
import net from 'node:net';
import { expect, test } from 'vitest';
import type { OriginConnection } from '../../../src/proxy/origin.js';
import { hangingPort, until } from '../../support/flow-bed.js';
import { answer, exchange, originOn, poolBed, refusal, REQUEST, RESPONSE, take } from './origin-bed.js';
import { anyWant } from './origin-fakes.js';

const bed = poolBed();

const stats = (): unknown => bed.pool.stats()[0];

test('a released connection is used again, at once and without a promise', async () => {
  const origin = originOn(await bed.serve(net.createServer(answer)));
  const first = await take(bed.pool, origin);
  expect(first.used).toBe(false);
  expect(await exchange(first.wire)).toBe(RESPONSE);
  first.release();
  const second = bed.pool.acquire(origin, anyWant) as OriginConnection;
  expect(second.wire).toBe(first.wire);
  expect(second.used).toBe(true);
  expect(await exchange(second.wire)).toBe(RESPONSE);
  // An equal origin is the same one: of a configuration that was read again, say.
  second.release();
  const third = bed.pool.acquire({ ...origin, maxConnections: 5 }, anyWant) as OriginConnection;
  expect(third.wire).toBe(first.wire);
  expect(stats()).toEqual({
    origin: origin.name,
    busy: 1,
    idle: 0,
    connecting: 0,
    waiting: 0,
    opened: 1,
    reused: 2,
  });
  expect(bed.told).toEqual([`${origin.name} new`, `${origin.name} again`, `${origin.name} again`]);
  third.discard(false);
});

test('the one that was used last is used first', async () => {
  const origin = originOn(await bed.serve(net.createServer(answer)));
  const [a, b] = [await take(bed.pool, origin), await take(bed.pool, origin)];
  a!.release();
  b!.release();
  const again = bed.pool.acquire(origin, anyWant) as OriginConnection;
  expect(again.wire).toBe(b!.wire);
  again.release();
});

test('a release that comes twice does not touch the next borrower', async () => {
  const origin = originOn(await bed.serve(net.createServer(answer)));
  const first = await take(bed.pool, origin);
  first.release();
  const second = bed.pool.acquire(origin, anyWant) as OriginConnection;
  first.release();
  first.discard();
  expect(second.wire.open).toBe(true);
  expect(await exchange(second.wire)).toBe(RESPONSE);
  second.discard();
});

test('what a paused connection had pending is noticed when it is idle: its FIN', async () => {
  const origin = originOn(await bed.serve(net.createServer(answer)));
  const connection = await take(bed.pool, origin);
  await exchange(connection.wire);
  connection.wire.pause();
  bed.accepted[0]!.end();
  await until('the FIN is there', () => !connection.wire.quiet());
  connection.release();
  await until('it is forgotten', () => bed.pool.stats()[0]!.idle === 0);
  expect(connection.wire.open).toBe(false);
});

test.each([
  ['FIN', (socket: net.Socket) => socket.end()],
  ['reset', (socket: net.Socket) => socket.resetAndDestroy()],
  ['bytes', (socket: net.Socket) => socket.write('HTTP/1.1 408 Request Timeout\r\n\r\n')],
])('an idle connection that gets %s is closed', async (_what, act) => {
  const origin = originOn(await bed.serve(net.createServer({ allowHalfOpen: true }, answer)));
  const connection = await take(bed.pool, origin);
  await exchange(connection.wire);
  connection.release();
  expect(bed.pool.stats()[0]!.idle).toBe(1);
  act(bed.accepted[0]!);
  await until('it is forgotten', () => bed.pool.stats()[0]!.idle === 0);
  expect(connection.wire.open).toBe(false);
  expect(stats()).toMatchObject({ busy: 0, opened: 1 });
});

test('a connection whose FIN the borrower has heard is not kept', async () => {
  const origin = originOn(await bed.serve(net.createServer((socket) => void socket.end(RESPONSE))));
  const connection = await take(bed.pool, origin);
  await until('it has ended', () => connection.wire.ended);
  connection.release();
  expect(stats()).toMatchObject({ busy: 0, idle: 0 });
  expect(connection.wire.open).toBe(false);
});

test('bytes behind a response are never the next answer', async () => {
  const origin = originOn(await bed.serve(net.createServer({ allowHalfOpen: true }, answer)));
  const connection = await take(bed.pool, origin);
  await exchange(connection.wire);
  connection.wire.pause();
  bed.accepted[0]!.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison');
  await until('it is there', () => !connection.wire.quiet());
  connection.release();
  // In the same turn: nothing of it was read yet.
  const next = bed.pool.acquire(origin, anyWant);
  expect(next).toBeInstanceOf(Promise);
  const clean = await next;
  expect(await exchange(clean.wire)).toBe(RESPONSE);
  clean.discard();
});

test('keepAlive: swept when it was idle for too long, and not used after it; 0 keeps nothing', async () => {
  const port = await bed.serve(net.createServer(answer));
  const origin = originOn(port, { keepAlive: 5000 });
  const connection = await take(bed.pool, origin);
  connection.release();
  bed.pool.sweep(performance.now() + 4000);
  expect(bed.pool.stats()[0]!.idle).toBe(1);
  bed.pool.sweep(performance.now() + 6000);
  expect(bed.pool.stats()[0]!.idle).toBe(0);
  expect(connection.wire.open).toBe(false);
  const other = await take(bed.pool, { ...origin, keepAlive: 0 });
  other.release();
  expect(other.wire.open).toBe(false);
});

test('maxIdle 0 is for a new connection, and idle ones make room for it', async () => {
  const origin = originOn(await bed.serve(net.createServer(answer)), { maxConnections: 1 });
  const first = await take(bed.pool, origin);
  first.release();
  const fresh = await take(bed.pool, origin, { maxIdle: 0 });
  expect(fresh.used).toBe(false);
  expect(first.wire.open).toBe(false);
  expect(await exchange(fresh.wire)).toBe(RESPONSE);
  fresh.discard();
});

test('a connection is lent only to whom its address is allowed', async () => {
  const origin = originOn(await bed.serve(net.createServer(answer)));
  (await take(bed.pool, origin)).release();
  const asked: string[] = [];
  const error = await refusal(bed.pool, origin, { allows: (address) => asked.push(address) < 0 });
  expect(error.failure).toBe('denied');
  expect(asked).toEqual(['127.0.0.1', '127.0.0.1']);
  expect(bed.accepted.length).toBeLessThanOrEqual(1);
  const allowed = bed.pool.acquire(origin, { ...anyWant, allows: () => true });
  expect(allowed).not.toBeInstanceOf(Promise);
  (allowed as OriginConnection).release();
});

test('discard resets what is in the middle of a message, and ends what is not', async () => {
  const origin = originOn(await bed.serve(net.createServer({ allowHalfOpen: true })));
  const cut = await take(bed.pool, origin);
  await until('accepted', () => bed.accepted.length === 1);
  const broken = once(bed.accepted[0]!.resume(), 'error');
  cut.discard();
  expect(((await broken)[0] as NodeJS.ErrnoException).code).toBe('ECONNRESET');
  const whole = await take(bed.pool, origin);
  await until('accepted', () => bed.accepted.length === 2);
  const ended = once(bed.accepted[1]!.resume(), 'end');
  whole.discard(false);
  await ended;
});

test('at the limit requests wait, in their order, and a connection that is free goes to the first', async () => {
  const origin = originOn(await bed.serve(net.createServer(answer)), { maxConnections: 1 });
  const first = await take(bed.pool, origin);
  const order: number[] = [];
  const waiting = [1, 2, 3].map(async (n) => {
    const connection = await take(bed.pool, origin);
    order.push(n);
    expect(await exchange(connection.wire)).toBe(RESPONSE);
    if (n === 2) connection.discard();
    else connection.release();
    return connection;
  });
  expect(stats()).toMatchObject({ busy: 1, waiting: 3 });
  first.release();
  const [one, two, three] = await Promise.all(waiting);
  expect(order).toEqual([1, 2, 3]);
  expect(one!.wire).toBe(first.wire);
  expect(two!.wire).toBe(first.wire);
  expect(three!.used).toBe(false);
  expect(stats()).toMatchObject({ busy: 0, idle: 1, waiting: 0, opened: 2 });
});

test('whoever waits for too long is told so, whoever leaves leaves the others their turn', async () => {
  const origin = originOn(await bed.serve(net.createServer(answer)), { maxConnections: 1, connectTimeout: 5000 });
  const first = await take(bed.pool, origin);
  const leaving = new AbortController();
  const left = refusal(bed.pool, origin, { signal: leaving.signal });
  const late = refusal(bed.pool, origin);
  leaving.abort();
  expect((await left).failure).toBe('aborted');
  bed.pool.sweep(performance.now() + 5001);
  expect((await late).failure).toBe('no-connection');
  expect(stats()).toMatchObject({ busy: 1, waiting: 0 });
  expect(bed.told).toEqual([`${origin.name} new`, `${origin.name} no-connection`]);
  first.discard();
});

test('a waiter that was promised a connection which is lost then keeps its place', async () => {
  const origin = originOn(await bed.serve(net.createServer(answer)), { maxConnections: 1 });
  const first = await take(bed.pool, origin);
  const order: string[] = [];
  const wait = async (name: string): Promise<void> => {
    const connection = await take(bed.pool, origin);
    order.push(name);
    expect(connection.used).toBe(name === 'second');
    connection.release();
  };
  const both = [wait('first'), wait('second')];
  first.release();
  // Before the turn is over, and before anybody has it.
  first.wire.owner.onData(Buffer.from('HTTP/1.1 408 Request Timeout\r\n\r\n'));
  await Promise.all(both);
  expect(order).toEqual(['first', 'second']);
  expect(first.wire.open).toBe(false);
});

test('failures are told apart, and each leaves room for the next', async () => {
  const hanging = await hangingPort();
  const none = net.createServer();
  const closed = originOn(await bed.serve(none), { maxConnections: 1 });
  none.close();
  await once(none, 'close');
  expect((await refusal(bed.pool, closed)).failure).toBe('refused');
  expect((await refusal(bed.pool, closed)).failure).toBe('refused');
  const silent = originOn(hanging.port, { connectTimeout: 50 });
  expect((await refusal(bed.pool, silent)).failure).toBe('connect-timeout');
  expect((await refusal(bed.pool, originOn(80, { host: 'nobody.test' }))).failure).toBe('name-not-found');
  expect(bed.pool.stats().every(({ busy, idle, connecting }) => busy + idle + connecting === 0)).toBe(true);
  hanging.dispose();
});

test('close: idle connections go, who waits is told, what is lent closes when it comes back', async () => {
  const hanging = await hangingPort();
  const port = await bed.serve(net.createServer(answer));
  const origin = originOn(port, { maxConnections: 1 });
  bed.names.set('origin.test', ['127.0.0.1']);
  const lent = await take(bed.pool, origin);
  const idle = await take(bed.pool, originOn(port, { host: 'origin.test' }));
  idle.release();
  const waits = refusal(bed.pool, origin);
  const dials = refusal(bed.pool, originOn(hanging.port));
  bed.pool.close();
  expect((await waits).failure).toBe('aborted');
  expect((await dials).failure).toBe('aborted');
  expect(idle.wire.open).toBe(false);
  expect(await exchange(lent.wire)).toBe(RESPONSE);
  lent.release();
  expect(lent.wire.open).toBe(false);
  expect((await refusal(bed.pool, origin)).failure).toBe('aborted');
  expect((await refusal(bed.pool, originOn(1))).failure).toBe('aborted');
  hanging.dispose();
});

test('closeIdle, and origins that are forgotten', async () => {
  const origin = originOn(await bed.serve(net.createServer(answer)));
  const [lent, idle] = [await take(bed.pool, origin), await take(bed.pool, origin)];
  idle!.release();
  bed.pool.closeIdle();
  expect(idle!.wire.open).toBe(false);
  expect(stats()).toMatchObject({ busy: 1, idle: 0 });
  const now = performance.now();
  bed.pool.sweep(now + 1e6);
  lent!.discard();
  bed.pool.sweep(now + 1e6);
  expect(bed.pool.stats()).toHaveLength(1);
  bed.pool.sweep(now + 2e6);
  expect(bed.pool.stats()).toEqual([]);
  const back = await take(bed.pool, origin);
  expect(await exchange(back.wire)).toBe(RESPONSE);
  expect(stats()).toMatchObject({ busy: 1, opened: 1 });
  back.discard();
});

test('a detached connection counts until it is given back', async () => {
  const origin = originOn(await bed.serve(net.createServer(answer)), { maxConnections: 1 });
  const tunnel = await take(bed.pool, origin);
  const fd = tunnel.wire.detach() as number;
  const next = take(bed.pool, origin);
  expect(stats()).toMatchObject({ busy: 1, waiting: 1 });
  tunnel.discard();
  (await next).discard();
  const socket = new net.Socket({ fd });
  socket.write(REQUEST);
  expect(String((await once(socket, 'data'))[0])).toBe(RESPONSE);
  socket.destroy();
});
