/** A wire with TLS on real sockets, on the server's side and on the client's. */
import { once } from 'node:events';
import type net from 'node:net';
import tls from 'node:tls';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { AcceptWire } from '../../../src/proxy/accept-wire.js';
import { TlsServer } from '../../../src/proxy/tls-server.js';
import { tlsWire } from '../../../src/proxy/tls-wire.js';
import type { Wire } from '../../../src/proxy/wire.js';
import {
  bytesOf,
  descriptors,
  fateOf,
  portOf,
  readAll,
  readBytes,
  resetArrives,
  settled,
  until,
} from '../../support/flow-bed.js';
import { AUTHORITY, SERVER } from './origin-certificates.js';
import { Listener, WireBed } from './wire-bed.js';

const MIB = 1024 * 1024;
const NAMED = { address: '192.0.2.1', port: 1 };

interface Near {
  readonly wire: Wire;
  readonly heard: Listener;
  readonly far: tls.TLSSocket;
}

let bed: WireBed;
let before: ReturnType<typeof descriptors>;
let server: tls.Server;
let fars: net.Socket[];
let wires: Wire[];

beforeEach(async () => {
  await settled(() => descriptors().all, 30);
  before = descriptors();
  bed = new WireBed();
  fars = [];
  wires = [];
  const options = { ...SERVER, allowHalfOpen: true, pauseOnConnect: true };
  server = tls.createServer(options as tls.TlsOptions).listen(0, '127.0.0.1');
  await once(server, 'listening');
});

afterEach(async () => {
  for (const wire of wires) wire.close(true);
  for (const far of fars) far.destroy();
  server.close();
  bed.close();
  await until('every descriptor is closed', () => descriptors().all <= before.all);
});

function keep(far: tls.TLSSocket): tls.TLSSocket {
  far.on('error', () => undefined);
  fars.push(far);
  return far;
}

/** The wire of an accepted client. */
async function asServer(): Promise<Near> {
  let near: Omit<Near, 'far'> | undefined;
  const stage = new AcceptWire({
    host: bed.host,
    settings: {
      tls: new TlsServer([SERVER]),
      proxyProtocol: false,
      handshakeTimeout: 60_000,
    },
    logger: { warn: () => undefined, debug: () => undefined } as never,
    accepted: (wire) => {
      const heard = new Listener();
      wire.owner = heard;
      near = { wire, heard };
      wires.push(wire);
    },
  });
  bed.accept((slot, peer) => stage.accept(slot, peer));
  const far = keep(tls.connect({ socket: await bed.dial(), ca: AUTHORITY, servername: 'origin.test' }));
  await once(far, 'secureConnect');
  await until('accepted', () => near !== undefined);
  return { ...near!, far };
}

/** The wire to an origin. */
async function asClient(): Promise<Near> {
  const accepted = once(server, 'secureConnection') as Promise<[tls.TLSSocket]>;
  const options = { host: '127.0.0.1', port: portOf(server), ca: AUTHORITY, servername: 'origin.test' };
  const socket = tls.connect({ ...options, allowHalfOpen: true } as tls.ConnectionOptions);
  await once(socket, 'secureConnect');
  const wire = tlsWire(socket, NAMED, NAMED, bed.host.lingering);
  const heard = new Listener();
  wire.owner = heard;
  wire.resume();
  const [far] = await accepted;
  wires.push(wire);
  return { wire, heard, far: keep(far) };
}

describe.each([
  ['server', asServer],
  ['client', asClient],
] as const)('as %s', (_side, open) => {
  test('many bytes to a slow reader, in order, and drained behind them', async () => {
    const { wire, heard, far } = await open();
    const parts = [10, 5 * MIB, 1, 70_000, 0, 4 * MIB].map(bytesOf);
    heard.call(() => {
      wire.send(parts[0]!, parts[1]);
      wire.send(parts[2]!, parts[3]);
      wire.send(parts[4]!);
      wire.send(parts[5]!);
    });
    const all = Buffer.concat(parts);
    expect(wire.unsent).toBeGreaterThan(MIB);
    expect(() => wire.detach()).toThrow(expect.objectContaining({ code: 'ERR_SPLICE_STATE' }));
    expect((await readBytes(far, all.length)).equals(all)).toBe(true);
    await until('drained', () => heard.events.length > 0);
    expect(heard.events).toEqual(['drained']);
    expect(wire.unsent).toBe(0);
  });

  test('bytes, then the end; the other direction lives on', async () => {
    const { wire, heard, far } = await open();
    const sent = bytesOf(3 * MIB);
    far.end(sent);
    await until('the end', () => heard.words.length > 0);
    expect(heard.received.equals(sent)).toBe(true);
    expect([heard.words, wire.ended, wire.open]).toEqual([['end'], true, true]);
    wire.send(Buffer.from('answer'));
    wire.finish();
    expect((await readAll(far)).toString()).toBe('answer');
    await until('nobody lingers', () => bed.host.lingering.size === 0);
  });

  test('paused, bytes and end wait; resumed, all of it comes once', async () => {
    const { wire, heard, far } = await open();
    heard.on = () => {
      if (heard.events.length === 1) wire.pause();
    };
    const sent = bytesOf(MIB);
    far.end(sent);
    await until('the first', () => heard.events.length === 1);
    expect(await settled(() => heard.events.length, 50)).toBe(1);
    expect(wire.unread()).toBeUndefined();
    heard.call(() => wire.resume());
    await until('the end', () => heard.words.length > 0);
    expect(heard.received.equals(sent)).toBe(true);
    expect(heard.words).toEqual(['end']);
  });

  test('the last reply arrives though the peer has sent more', async () => {
    const { wire, heard, far } = await open();
    heard.on = () => {
      if (heard.events.length > 1) return;
      wire.send(Buffer.from('no'));
      heard.call(() => wire.finish());
    };
    far.write(bytesOf(300_000));
    expect((await readAll(far)).toString()).toBe('no');
    expect(wire.open).toBe(false);
    far.end();
    await until('nobody lingers', () => bed.host.lingering.size === 0);
    expect(far.errored).toBeNull();
    expect(heard.events).toEqual(['data']);
  });

  test('what is unsent goes out before the end, to a slow reader', async () => {
    const { wire, heard, far } = await open();
    const sent = bytesOf(8 * MIB);
    wire.send(sent);
    wire.finish();
    expect((await readAll(far)).equals(sent)).toBe(true);
    far.end();
    await until('nobody lingers', () => bed.host.lingering.size === 0);
    expect(heard.events).toEqual([]);
  });

  test('a deadline ends a goodbye: with bytes unsent by RST, else in silence', async () => {
    const stuck = await open();
    stuck.wire.send(bytesOf(16 * MIB));
    stuck.wire.finish();
    const idle = await open();
    idle.wire.finish();
    expect(await fateOf(idle.far)).toBe('FIN');
    expect(bed.host.lingering.size).toBe(2);
    bed.host.lingering.sweep(performance.now() + 1e6);
    expect(bed.host.lingering.size).toBe(0);
    await resetArrives(stuck.far);
  });

  test('close(true) resets, close(false) closes; nothing is heard or done afterwards', async () => {
    const [first, second] = [await open(), await open()];
    for (const { far, heard } of [first, second]) {
      // A session's tickets come before this; unread they would make a reset of any close.
      far.write('x');
      await until('heard', () => heard.events.length === 1);
    }
    first.heard.call(() => first.wire.close(true));
    expect(await fateOf(first.far)).toBe('ECONNRESET');
    second.heard.call(() => second.wire.close(false));
    expect(await fateOf(second.far)).toBe('FIN');
    for (const { wire, heard } of [first, second]) {
      expect(wire.open).toBe(false);
      wire.send(Buffer.from('x'));
      wire.pause();
      wire.resume();
      wire.finish();
      wire.close(true);
      expect(await settled(() => heard.events.length, 30)).toBe(1);
    }
  });

  test('a peer that resets is heard, once', async () => {
    const { wire, heard, far } = await open();
    far.on('error', () => undefined);
    wire.send(bytesOf(8 * MIB));
    await readBytes(far, 1000);
    far.destroy(); // with bytes unread, which is a reset
    await until('broken', () => heard.events.length > 0);
    expect(heard.events).toEqual([expect.stringMatching(/^broken \d+$/)]);
    expect([wire.open, wire.unsent >= 0]).toEqual([false, true]);
    expect(await settled(() => heard.events.length, 30)).toBe(1);
  });

  test('detach() hands out the socket, with what it has read', async () => {
    const { wire, heard, far } = await open();
    heard.on = () => wire.pause();
    const sent = bytesOf(200_000);
    far.write(sent);
    await until('the first', () => heard.events.length === 1);
    await settled(() => heard.events.length, 30);
    const socket = heard.call(() => wire.detach()) as tls.TLSSocket;
    expect(wire.open).toBe(false);
    far.end();
    expect(Buffer.concat([heard.received, await readAll(socket)]).equals(sent)).toBe(true);
    socket.end('bye');
    expect((await readAll(far)).toString()).toBe('bye');
    expect(heard.words).toEqual([]);
  });

  test('quiet() sees what nobody has told yet', async () => {
    const { wire, heard, far } = await open();
    expect(wire.quiet()).toBe(true);
    wire.pause();
    far.write('x');
    await until('something is there', () => !wire.quiet());
    expect(heard.events).toEqual([]);
    wire.resume();
    await until('it is read', () => heard.events.length === 1);
    expect(wire.quiet()).toBe(true);
  });
});
