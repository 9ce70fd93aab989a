/** What src/engine/endpoint.ts relies on in Node's sockets: a Node that changes it fails here first. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';
import { afterAll, describe, expect, test } from 'vitest';
import { SpliceEngine } from '../../../src/engine/engine.js';
import {
  borrowBuffered,
  flushed,
  muteListeners,
  startReading,
  stopReading,
  takePair,
  toEndpoint,
} from '../../../src/engine/endpoint.js';
import { native } from '../../../src/native.js';
import { Authority } from '../../support/certificates.js';
import {
  bytesOf,
  clear,
  connectPair,
  descriptorOf,
  descriptors,
  makeBed,
  readAll,
  readBytes,
  settled,
  until,
} from '../../support/flow-bed.js';

const engine = await SpliceEngine.open({ backend: 'splice' });
afterAll(() => engine.close());

interface Handle {
  fd: number;
  reading: boolean;
  readStart(): number;
  readStop(): number;
}
const handleOf = (socket: net.Socket): Handle => (socket as unknown as { _handle: Handle })._handle;

describe("Node's handle", () => {
  test('has a descriptor, and reading can be stopped and started', async () => {
    const { near, far } = await connectPair();
    near.resume();
    await until('Node reads', () => handleOf(near).reading);
    expect(handleOf(near).fd).toBeGreaterThan(2);
    expect(native().connectedStream(handleOf(near).fd)).toBe('');
    const restore = stopReading(toEndpoint(near, 'client'));
    far.write('waits in the kernel');
    expect(await settled(() => near.bytesRead, 50)).toBe(0);
    expect(near.readableFlowing).toBe(false);
    restore();
    await until('read again', () => near.bytesRead === 19);
    expect(near.readableFlowing).toBe(true);
    clear(near, far);
  });

  test('a stopped stream does not read on by resume() alone, but after startReading()', async () => {
    const { near, far } = await connectPair();
    near.read(0);
    await until('a read is under way', () => handleOf(near).reading);
    stopReading(toEndpoint(near, 'client'));
    far.write('x');
    startReading(near);
    await until('it is in the buffer', () => near.readableLength === 1);
    clear(near, far);
  });

  test('a read of what is buffered starts the handle again: the reason for the order in borrowBuffered()', async () => {
    const { near, far } = await connectPair();
    far.write('abc');
    near.read(0);
    await until('buffered', () => near.readableLength === 3);
    stopReading(toEndpoint(near, 'client'));
    const lent = borrowBuffered(toEndpoint(near, 'client'), 2);
    expect(Buffer.from(lent.head!).toString()).toBe('ab');
    expect(handleOf(near).reading).toBe(false);
    far.write('def');
    expect(await settled(() => near.bytesRead, 50)).toBe(3);
    lent.giveBack();
    startReading(near);
    expect((await readBytes(near, 6)).toString()).toBe('abcdef');
    clear(near, far);
  });

  test('a duplicate keeps the connection when Node closes its own: no FIN, no reset', async () => {
    const [a, b] = await Promise.all([connectPair(), connectPair()]);
    const [taken, other] = takePair(toEndpoint(a.near, 'client'), toEndpoint(b.near, 'upstream'));
    await until('Node has closed', () => a.near.closed && b.near.closed);
    a.far.resume();
    expect(await settled(() => (a.far.readableEnded ? 1 : 0), 50)).toBe(0);
    expect(native().connectedStream(taken.fd)).toBe('');
    native().close(taken.fd);
    native().close(other.fd);
    await once(a.far, 'end');
    clear(a.far, b.far);
  });

  test("a caller's listeners see nothing of what the engine reads", async () => {
    const bed = await makeBed();
    let seen = 0;
    const count = (chunk: Buffer): void => void (seen += chunk.length);
    bed.caller.write('early');
    bed.client.read(0);
    await until('buffered', () => bed.client.readableLength === 5);
    bed.client.on('data', count);
    await engine.splice(bed.client, bed.upstream);
    expect((await readBytes(bed.server, 5)).toString()).toBe('early');
    expect(seen).toBe(0);
    clear(bed.caller, bed.server);
  });

  test('muted listeners come back as they were, those for once too', async () => {
    const { near, far } = await connectPair();
    near.once('data', () => undefined);
    near.on('data', () => undefined);
    const before = near.rawListeners('data');
    const unmute = muteListeners(near, 'data', 'readable');
    expect(near.listenerCount('data')).toBe(0);
    unmute();
    expect(near.rawListeners('data')).toEqual(before);
    clear(near, far);
  });
});

describe('what was written', () => {
  test('leaves before the flow begins, then the reply, then the server', async () => {
    const bed = await makeBed();
    const written = bytesOf(8 * 1024 * 1024);
    bed.client.write(written);
    expect(bed.client.writableLength).toBeGreaterThan(0);
    bed.server.write('server');
    const arrived = readBytes(bed.caller, written.length + 11);
    await engine.splice(bed.client, bed.upstream, { replyBytes: written.length, reply: Buffer.from('reply') });
    expect((await arrived).equals(Buffer.concat([written, Buffer.from('replyserver')]))).toBe(true);
    clear(bed.caller, bed.server);
  });

  test('corked writes too', async () => {
    const bed = await makeBed();
    bed.client.cork();
    bed.client.write('one ');
    bed.client.write('two');
    await engine.splice(bed.client, bed.upstream);
    expect((await readBytes(bed.caller, 7)).toString()).toBe('one two');
    clear(bed.caller, bed.server);
  });

  test('a connection that breaks while it leaves: both sockets stay with the caller', async () => {
    const bed = await makeBed();
    bed.upstream.resume();
    bed.client.write(bytesOf(8 * 1024 * 1024));
    const splicing = engine.splice(bed.client, bed.upstream);
    const refused = expect(splicing).rejects.toMatchObject({ code: 'ERR_SPLICE_SYSTEM' });
    bed.caller.resetAndDestroy();
    await refused;
    expect([...engine.flows()]).toEqual([]);
    // The innocent one reads again as it did before, and may be spliced with another.
    let seen = '';
    bed.upstream.on('data', (chunk: Buffer) => (seen += chunk.toString()));
    bed.server.write('alive');
    await until('it flows', () => seen === 'alive');
    const again = await connectPair();
    await engine.splice(again.near, bed.upstream);
    again.far.end('second');
    expect((await readAll(bed.server)).toString()).toBe('second');
    clear(bed.client, bed.server, again.far);
  });

  test('flushed() of a stream with nothing to write is done', async () => {
    const { near, far } = await connectPair();
    await flushed(toEndpoint(near, 'client'));
    clear(near, far);
  });
});

describe('kinds of sockets', () => {
  test('a unix socket is spliced', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'endpoint-'));
    const path = join(directory, 'socket');
    const listener = net.createServer({ pauseOnConnect: true, allowHalfOpen: true }).listen(path);
    const accepted = once(listener, 'connection') as Promise<[net.Socket]>;
    const far = net.connect({ path, allowHalfOpen: true });
    const [[near]] = await Promise.all([accepted, once(far, 'connect')]);
    const other = await connectPair();
    const flow = await engine.splice(near, other.near);
    expect(flow.backend).toBe('splice');
    const sent = bytesOf(1_000_000);
    far.end(sent);
    expect((await readAll(other.far)).equals(sent)).toBe(true);
    other.far.end(sent);
    expect((await readAll(far)).equals(sent)).toBe(true);
    expect(await flow.closed).toMatchObject({ reason: 'end' });
    listener.close();
    rmSync(directory, { recursive: true });
  });

  test('TLS: splice refuses and says why, copy carries it, abort resets it', async () => {
    const { key, cert } = new Authority().issue('localhost');
    const listener = tls.createServer({ key, cert, allowHalfOpen: true, pauseOnConnect: true } as tls.TlsOptions);
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const open = async (): Promise<{ near: tls.TLSSocket; far: tls.TLSSocket }> => {
      const accepted = once(listener, 'secureConnection') as Promise<[tls.TLSSocket]>;
      const far = tls.connect({ port: (listener.address() as net.AddressInfo).port, rejectUnauthorized: false });
      const [[near]] = await Promise.all([accepted, once(far, 'secureConnect')]);
      near.on('error', () => undefined);
      far.on('error', () => undefined);
      return { near, far };
    };

    const { near, far } = await open();
    const other = await connectPair();
    far.write('secret early');
    const flow = await engine.splice(near, other.near);
    expect(flow.backend).toBe('copy');
    expect(flow.refusals).toContainEqual({
      backend: 'splice',
      reason: 'the client is TLS: its bytes must pass through user space',
    });
    expect((await readBytes(other.far, 12)).toString()).toBe('secret early');
    const sent = bytesOf(300_000);
    other.far.write(sent);
    expect((await readBytes(far, sent.length)).equals(sent)).toBe(true);
    flow.abort();
    expect(await flow.closed).toMatchObject({ reason: 'aborted', bytesUp: 12, bytesDown: sent.length });
    await until('both are cut', () => far.destroyed);

    const only = await SpliceEngine.open({ backend: 'splice' });
    const second = await open();
    const third = await connectPair();
    const carried = await only.splice(second.near, third.near);
    expect(carried.backend).toBe('copy');
    await only.close();
    clear(far, other.far, second.far, third.far);
    listener.close();
  });
});

test('a failed hand-over leaks no descriptor', async () => {
  const { near, far } = await connectPair();
  await settled(() => descriptors().all, 100);
  const before = descriptors().all;
  for (let i = 0; i < 50; i++) {
    await expect(engine.splice(near, new net.Socket())).rejects.toMatchObject({ code: 'ERR_SPLICE_STATE' });
  }
  expect(descriptors().all).toBe(before);
  expect(descriptorOf(near)).toBeGreaterThan(2);
  clear(near, far);
});
