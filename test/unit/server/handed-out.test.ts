/**
 * A thread that is terminated between two calls, with a connection's descriptor in JavaScript's hands: taken from the
 * reactor, and not given to the engine yet. The thread stands in an endless loop at exactly that place. Threads run
 * dist/: build before.
 */
import { once } from 'node:events';
import { fstatSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { afterEach, expect, test } from 'vitest';
import { native, packageRoot } from '../../../src/native.js';

const open: Socket[] = [];
afterEach(() => {
  for (const socket of open.splice(0)) socket.destroy();
});

/** The far end of a connection, and a descriptor of its near end that Node knows nothing of. */
async function pair(): Promise<{ far: Socket; fd: number; fate: Promise<string> }> {
  const listener = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const accepted = once(listener, 'connection') as Promise<[Socket]>;
  const far = connect((listener.address() as AddressInfo).port, '127.0.0.1');
  const [[near]] = await Promise.all([accepted, once(far, 'connect')]);
  listener.close();
  open.push(far, near);
  const fate = new Promise<string>((resolve) => {
    far.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
    far.on('end', () => resolve('end')).resume();
  });
  const { fd: own } = (near as unknown as { _handle: { fd: number } })._handle;
  const fd = native().duplicate(own);
  near.destroy();
  await once(near, 'close');
  return { far, fd, fate };
}

const at = (file: string): string => JSON.stringify(pathToFileURL(join(packageRoot, 'dist', file)).href);

/** A thread that has taken both descriptors from its reactor does `then`, and never ends. */
async function threadThat(then: string, descriptors: readonly number[]): Promise<Worker> {
  const program = `
    const { parentPort, workerData } = require('node:worker_threads');
    (async () => {
      const { ReactorHost } = await import(${at('server/reactor-host.js')});
      const { SpliceEngine } = await import(${at('index.js')});
      const { native } = await import(${at('native.js')});
      const net = require('node:net');
      const host = new ReactorHost();
      const engine = await SpliceEngine.open({ backend: 'splice' });
      const [client, upstream] = workerData.map((fd) => host.take(host.reactor.adopt(fd)));
      const there = (what) => parentPort.postMessage(what);
      const stand = () => { for (;;); };
      ${then}
    })().catch((error) => parentPort.postMessage(error.message));
  `;
  const thread = new Worker(program, { eval: true, workerData: descriptors });
  expect((await once(thread, 'message'))[0]).toBe('there');
  return thread;
}

test.each([
  ['before the engine has them', ''],
  ['when the engine has them', 'engine.spliceNow(client, upstream);'],
  ['when Node has them', 'const ends = [client, upstream].map((fd) => new net.Socket({ fd }));'],
])('connections end by RST with their thread: %s', async (_when, then) => {
  const [client, upstream] = [await pair(), await pair()];
  const thread = await threadThat(`${then} there('there'); stand();`, [client.fd, upstream.fd]);
  await thread.terminate();
  const cut = then.includes('net.Socket') ? 'end' : 'ECONNRESET';
  expect(await Promise.all([client.fate, upstream.fate])).toEqual([cut, cut]);
  for (const { fd } of [client, upstream]) expect(() => fstatSync(fd)).toThrow('EBADF');
});

test.each([
  ['native', 'native().close(client); native().reset(upstream);'],
  [
    'Node',
    'const ends = [client, upstream].map((fd) => new net.Socket({ fd })); for (const end of ends) end.destroy();',
  ],
])('a number that was closed (by %s) and is another connection by then is left alone', async (_by, then) => {
  const [client, upstream, other] = [await pair(), await pair(), await pair()];
  const thread = await threadThat(`${then} setImmediate(() => setImmediate(() => { there('there'); stand(); }));`, [
    client.fd,
    upstream.fd,
  ]);
  await Promise.all([client.fate, upstream.fate]);
  // The kernel gives the lowest numbers that are free, so these are among the next.
  const others: number[] = [];
  while (others.length < 32) others.push(native().duplicate(other.fd));
  expect(others).toEqual(expect.arrayContaining([client.fd, upstream.fd]));
  await thread.terminate();
  for (const fd of others) {
    expect(fstatSync(fd).isSocket()).toBe(true);
    native().close(fd);
  }
  native().close(other.fd);
});
