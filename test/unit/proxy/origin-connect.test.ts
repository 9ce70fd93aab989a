/** How an origin is reached: names, several addresses, the PROXY protocol, and giving up at any moment. */
import { once } from 'node:events';
import net from 'node:net';
import { expect, test } from 'vitest';
import { decodeAddress } from '../../../src/flow/address.js';
import { parseProxyHeader } from '../../../src/http/proxy-protocol.js';
import { native } from '../../../src/native.js';
import type { OriginConnection } from '../../../src/proxy/origin.js';
import { descriptors, hangingPort, readBytes, settled, until } from '../../support/flow-bed.js';
import { answer, exchange, originOn, poolBed, refusal, REQUEST, RESPONSE, take } from './origin-bed.js';
import { anyWant } from './origin-fakes.js';

const bed = poolBed();

test('a name; the wire says where it leads', async () => {
  bed.names.set('origin.test', ['127.0.0.1']);
  const port = await bed.serve(net.createServer(answer));
  const connection = await take(bed.pool, originOn(port, { host: 'origin.test' }));
  expect(connection.wire.peer).toEqual({ address: '127.0.0.1', port });
  await until('accepted', () => bed.accepted.length === 1);
  expect(connection.wire.local).toEqual({ address: '127.0.0.1', port: bed.accepted[0]!.remotePort });
  expect(connection.wire.scheme).toBe('http');
  connection.release();
});

test('IPv6 that does not answer gives way to IPv4', async () => {
  const port = await bed.serve(net.createServer(answer));
  bed.names.set('origin.test', ['::1', '127.0.0.1']);
  const connection = await take(bed.pool, originOn(port, { host: 'origin.test' }));
  expect(connection.wire.peer.address).toBe('127.0.0.1');
  expect(await exchange(connection.wire)).toBe(RESPONSE);
  connection.discard();
});

test('an address that keeps silent is overtaken by the next, and closed', async () => {
  const silent = native().listen('127.0.0.2', 0, 0, false);
  const { port } = decodeAddress(native().describe(silent).local!);
  const first = net.connect(port, '127.0.0.2');
  await once(first, 'connect');
  await bed.serve(net.createServer(answer), '127.0.0.1', port);
  bed.names.set('origin.test', ['127.0.0.2', '127.0.0.1']);
  const before = descriptors().sockets;
  const connection = await take(bed.pool, originOn(port, { host: 'origin.test' }));
  expect(connection.wire.peer.address).toBe('127.0.0.1');
  await until('accepted', () => bed.accepted.length === 1);
  expect(descriptors().sockets).toBe(before + 2); // both ends of the one that is used
  connection.discard();
  first.destroy();
  native().close(silent);
});

test('addresses that a rule denies are not connected to', async () => {
  const port = await bed.serve(net.createServer(answer));
  bed.names.set('origin.test', ['127.0.0.1', '127.0.0.2']);
  const origin = originOn(port, { host: 'origin.test' });
  const error = await refusal(bed.pool, origin, { allows: () => false });
  expect(error.failure).toBe('denied');
  expect((await refusal(bed.pool, origin, { allows: (address) => address === '127.0.0.2' })).failure).toBe('refused');
  expect(await settled(() => bed.accepted.length, 30)).toBe(0);
});

test('a name without addresses, and one whose look-up takes too long', async () => {
  bed.names.set('empty.test', []);
  expect((await refusal(bed.pool, originOn(80, { host: 'empty.test' }))).failure).toBe('name-not-found');
  let late = (_addresses: string[]): void => undefined;
  bed.names.set('slow.test', new Promise((resolve) => (late = resolve)));
  const slow = originOn(await bed.serve(net.createServer()), { host: 'slow.test', connectTimeout: 20 });
  expect((await refusal(bed.pool, slow)).failure).toBe('connect-timeout');
  late(['127.0.0.1']);
  expect(await settled(() => bed.accepted.length, 30)).toBe(0);
});

test.each([1, 2] as const)('a PROXY protocol header of version %i comes first', async (proxyProtocol) => {
  const port = await bed.serve(net.createServer({ pauseOnConnect: true }));
  const origin = originOn(port, { proxyProtocol });
  const client = { peer: { address: '192.0.2.7', port: 4711 }, local: { address: '198.51.100.1', port: 8080 } };
  const connection = await take(bed.pool, origin, { client });
  connection.wire.send(REQUEST);
  await until('accepted', () => bed.accepted.length === 1);
  const length = proxyProtocol === 1 ? 'PROXY TCP4 192.0.2.7 198.51.100.1 4711 8080\r\n'.length : 28;
  const bytes = await readBytes(bed.accepted[0]!, length + REQUEST.length);
  expect(parseProxyHeader(bytes)).toEqual({
    kind: 'proxied',
    end: length,
    source: client.peer,
    destination: client.local,
  });
  expect(bytes.subarray(length).equals(REQUEST)).toBe(true);
  // It is that client's, and of nobody else.
  connection.release();
  expect(connection.wire.open).toBe(false);
  expect(bed.pool.stats()[0]).toMatchObject({ busy: 0, idle: 0 });
});

test('the PROXY protocol header of our own request names nobody', async () => {
  const port = await bed.serve(net.createServer({ pauseOnConnect: true }));
  const connection = await take(bed.pool, originOn(port, { proxyProtocol: 1 }));
  await until('accepted', () => bed.accepted.length === 1);
  expect((await readBytes(bed.accepted[0]!, 15)).toString()).toBe('PROXY UNKNOWN\r\n');
  connection.discard();
});

test('aborted in each phase, nothing stays open', async () => {
  const hanging = await hangingPort();
  const mute = await bed.serve(net.createServer({ pauseOnConnect: true }));
  bed.names.set('slow.test', new Promise<string[]>(() => undefined));
  const tls = { serverName: 'origin.test', ca: undefined, verify: true, certificate: undefined };
  const full = originOn(mute, { maxConnections: 1 });
  const lent = await take(bed.pool, full);
  await until('accepted', () => bed.accepted.length === 1);
  const before = descriptors().all;
  const reached = {
    resolving: () => true,
    connecting: () => descriptors().all > before,
    shaking: () => bed.accepted.length === 2,
    waiting: () => true,
  };
  const origins = {
    resolving: originOn(80, { host: 'slow.test' }),
    connecting: originOn(hanging.port),
    shaking: originOn(mute, { scheme: 'https', tls }),
    waiting: full,
  };
  for (const phase of ['resolving', 'connecting', 'shaking', 'waiting'] as const) {
    const leaving = new AbortController();
    const outcome = refusal(bed.pool, origins[phase], { signal: leaving.signal });
    await until(phase, reached[phase]);
    leaving.abort();
    expect((await outcome).failure).toBe('aborted');
    // The accepted end of the third is the test's own.
    if (phase === 'shaking') bed.accepted[1]!.destroy();
    await until(`nothing is open after ${phase}`, () => descriptors().all <= before);
  }
  expect((await refusal(bed.pool, full, { signal: AbortSignal.abort() })).failure).toBe('aborted');
  expect(bed.told.filter((line) => line.includes('aborted'))).toEqual([]);
  expect(bed.pool.stats().map(({ busy, connecting, waiting }) => busy + connecting + waiting)).toEqual([1, 0, 0, 0]);
  lent.discard();
  hanging.dispose();
});

test('an abort after the connection was lent changes nothing', async () => {
  const origin = originOn(await bed.serve(net.createServer(answer)));
  const leaving = new AbortController();
  const connection = await take(bed.pool, origin, { signal: leaving.signal });
  leaving.abort();
  expect(await exchange(connection.wire)).toBe(RESPONSE);
  connection.release();
  expect((bed.pool.acquire(origin, anyWant) as OriginConnection).wire).toBe(connection.wire);
});

test('a hundred at once, each with a connection of its own', async () => {
  const origin = originOn(await bed.serve(net.createServer(answer)));
  const all = await Promise.all(Array.from({ length: 100 }, () => take(bed.pool, origin)));
  expect(await Promise.all(all.map(({ wire }) => exchange(wire)))).toEqual(all.map(() => RESPONSE));
  for (const connection of all) connection.release();
  expect(bed.pool.stats()[0]).toMatchObject({ busy: 0, idle: 100, opened: 100 });
});
