/** TLS to origins: whose certificate is believed, sessions that are resumed, and that settings are never shared. */
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import { expect, test } from 'vitest';
import type { Origin, OriginConnection, OriginTls } from '../../../src/proxy/origin.js';
import { until } from '../../support/flow-bed.js';
import { answer, exchange, originOn, poolBed, refusal, RESPONSE, take } from './origin-bed.js';
import { AUTHORITY, CLIENT, SERVER } from './origin-certificates.js';
import { anyWant } from './origin-fakes.js';

const bed = poolBed();

interface Seen {
  reused: boolean;
  servername: string | false;
  alpn: string | false | null;
  client: string | undefined;
}

/** What each connection looked like from the origin's side. */
async function serveTls(options: tls.TlsOptions = {}): Promise<{ port: number; seen: Seen[] }> {
  const seen: Seen[] = [];
  const server = tls.createServer({
    ...SERVER,
    ALPNProtocols: ['h2', 'http/1.1'],
    ...options,
  });
  server.on('tlsClientError', () => undefined);
  server.on('secureConnection', (socket) => {
    const subject = socket.getPeerCertificate().subject as { CN?: string } | undefined;
    seen.push({
      reused: socket.isSessionReused(),
      servername: (socket as unknown as { servername: string | false }).servername,
      alpn: socket.alpnProtocol,
      client: subject?.CN,
    });
    answer(socket);
  });
  return { port: await bed.serve(server), seen };
}

function secure(port: number, changes: Partial<OriginTls> = {}, origin: Partial<Origin> = {}): Origin {
  const settings = { serverName: 'origin.test', ca: AUTHORITY, verify: true, certificate: undefined, ...changes };
  return originOn(port, { scheme: 'https', tls: settings, ...origin });
}

test('a certificate that is right; the connection is used again', async () => {
  const { port, seen } = await serveTls();
  const origin = secure(port);
  const connection = await take(bed.pool, origin);
  expect(connection.wire.scheme).toBe('https');
  expect(connection.wire.descriptor).toBeUndefined();
  expect(connection.wire.peer).toEqual({ address: '127.0.0.1', port });
  expect(await exchange(connection.wire)).toBe(RESPONSE);
  expect(seen).toEqual([{ reused: false, servername: 'origin.test', alpn: 'http/1.1', client: undefined }]);
  connection.release();
  const again = bed.pool.acquire(origin, anyWant) as OriginConnection;
  expect(again.wire).toBe(connection.wire);
  expect(await exchange(again.wire)).toBe(RESPONSE);
  again.discard(false);
});

test('an address as the name to check: no SNI', async () => {
  const { port, seen } = await serveTls();
  const connection = await take(bed.pool, secure(port, { serverName: '127.0.0.1' }));
  expect(await exchange(connection.wire)).toBe(RESPONSE);
  expect(seen[0]!.servername).toBe(false);
  connection.discard();
  expect((await refusal(bed.pool, secure(port, { serverName: '127.0.0.2' }))).failure).toBe('tls-failed');
});

test.each([
  ['of another name', { serverName: 'other.test' }, /altnames/],
  ['of an unknown authority', { ca: undefined }, /certificate/],
])('a certificate %s is refused, unless any will do', async (_what, changes, message) => {
  const { port, seen } = await serveTls();
  const error = await refusal(bed.pool, secure(port, changes));
  expect(error.failure).toBe('tls-failed');
  expect(error.message).toMatch(message);
  const connection = await take(bed.pool, secure(port, { ...changes, verify: false }));
  expect(await exchange(connection.wire)).toBe(RESPONSE);
  expect(seen.at(-1)!.reused).toBe(false);
  connection.discard();
});

test('origins with different settings share neither connections nor sessions', async () => {
  const { port, seen } = await serveTls();
  const careless = await take(bed.pool, secure(port, { serverName: 'other.test', verify: false }));
  expect(await exchange(careless.wire)).toBe(RESPONSE);
  careless.release();
  expect((await refusal(bed.pool, secure(port, { serverName: 'other.test' }))).failure).toBe('tls-failed');
  const right = await take(bed.pool, secure(port));
  expect(right.wire).not.toBe(careless.wire);
  expect(await exchange(right.wire)).toBe(RESPONSE);
  expect(seen.some(({ reused }) => reused)).toBe(false);
  right.discard();
});

test.each(['TLSv1.2', 'TLSv1.3'] as const)('the session is resumed by the next connection (%s)', async (version) => {
  const { port, seen } = await serveTls({ minVersion: version, maxVersion: version });
  for (let i = 0; i < 3; i++) {
    const connection = await take(bed.pool, secure(port));
    expect(await exchange(connection.wire)).toBe(RESPONSE);
    connection.discard();
  }
  expect(seen.map(({ reused }) => reused)).toEqual([false, true, true]);
});

test('our own certificate is shown', async () => {
  const { port, seen } = await serveTls({ requestCert: true, ca: AUTHORITY });
  const certificate = CLIENT;
  const connection = await take(bed.pool, secure(port, { certificate }));
  expect(await exchange(connection.wire)).toBe(RESPONSE);
  expect(seen[0]!.client).toBe('proxy.test');
  connection.discard();
  expect((await refusal(bed.pool, secure(port, { certificate: { cert: 'none', key: '' } }))).failure).toBe(
    'tls-failed',
  );
});

test('an origin that speaks no TLS, one that hangs up, and one that says nothing', async () => {
  const plain = await bed.serve(net.createServer((socket) => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')));
  expect((await refusal(bed.pool, secure(plain))).failure).toBe('tls-failed');
  const rude = await bed.serve(net.createServer((socket) => void socket.end()));
  expect((await refusal(bed.pool, secure(rude))).failure).toBe('tls-failed');
  const mute = await bed.serve(net.createServer(() => undefined));
  expect((await refusal(bed.pool, secure(mute, {}, { connectTimeout: 50 }))).failure).toBe('connect-timeout');
  expect(bed.pool.stats().every(({ busy, connecting }) => busy + connecting === 0)).toBe(true);
});

test('the PROXY protocol header comes before TLS, in the clear', async () => {
  const inner = tls.createServer(SERVER);
  inner.on('secureConnection', answer);
  let header = '';
  const port = await bed.serve(
    net.createServer(async (socket) => {
      await once(socket, 'readable');
      header = String(socket.read(15));
      inner.emit('connection', socket);
    }),
  );
  const connection = await take(bed.pool, secure(port, {}, { proxyProtocol: 1 }));
  expect(await exchange(connection.wire)).toBe(RESPONSE);
  expect(header).toBe('PROXY UNKNOWN\r\n');
  connection.discard();
});

test('an idle connection with TLS that ends is forgotten', async () => {
  const { port } = await serveTls();
  const connection = await take(bed.pool, secure(port));
  await exchange(connection.wire);
  connection.release();
  bed.accepted[0]!.destroy();
  await until('it is forgotten', () => bed.pool.stats()[0]!.idle === 0);
  expect(connection.wire.open).toBe(false);
});
