/** From accept to wire: PROXY protocol headers in any cut, TLS in front and behind one, and those who get no further. */
import { once } from 'node:events';
import type net from 'node:net';
import { Duplex } from 'node:stream';
import tls from 'node:tls';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { buildProxyHeader } from '../../../src/http/proxy-protocol.js';
import { AcceptWire, type AcceptFailure, type AcceptSettings } from '../../../src/proxy/accept-wire.js';
import { TlsServer } from '../../../src/proxy/tls-server.js';
import type { Wire } from '../../../src/proxy/wire.js';
import { bytesOf, descriptors, fateOf, readBytes, resetArrives, settled, until } from '../../support/flow-bed.js';
import { AUTHORITY, SERVER, WILD } from './origin-certificates.js';
import { Listener, WireBed } from './wire-bed.js';

const SOURCE = { address: '192.0.2.77', port: 4711 };
const DESTINATION = { address: '198.51.100.1', port: 443 };
const TRUSTING = { trusted: (address: string) => address === '127.0.0.1' };

let bed: WireBed;
let before: ReturnType<typeof descriptors>;
let stage: AcceptWire;
let wires: { wire: Wire; heard: Listener }[];
let refused: AcceptFailure[];
let logged: string[];
let server: TlsServer;

beforeEach(async () => {
  await settled(() => descriptors().all, 30);
  before = descriptors();
  bed = new WireBed();
  wires = [];
  refused = [];
  logged = [];
  server = new TlsServer([SERVER, WILD]);
});

afterEach(async () => {
  stage.stop();
  for (const { wire } of wires) wire.close(true);
  bed.close();
  await until('every descriptor is closed', () => descriptors().all <= before.all);
});

function listen(settings: Partial<AcceptSettings>): void {
  stage = new AcceptWire({
    host: bed.host,
    settings: { tls: undefined, proxyProtocol: false, handshakeTimeout: 60_000, ...settings },
    logger: { warn: () => void logged.push('warn'), debug: () => void logged.push('debug') } as never,
    accepted: (wire) => {
      const heard = new Listener();
      wire.owner = heard;
      wires.push({ wire, heard });
    },
    refused: (failure) => void refused.push(failure),
  });
  bed.accept((slot, peer) => stage.accept(slot, peer));
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Writes in two pieces that are not read together. */
async function writeCut(far: net.Socket, bytes: Uint8Array, cut: number): Promise<void> {
  far.write(bytes.subarray(0, cut));
  for (let turn = 0; turn < 3; turn++) await nextTurn();
  far.write(bytes.subarray(cut));
}

/** The client's end of a connection below TLS: `head` goes in front of the first bytes, and is cut off at `cut`. */
class Fronted extends Duplex {
  readonly #far: net.Socket;
  #head: Uint8Array | undefined;
  readonly #cut: number;

  constructor(far: net.Socket, head: Uint8Array, cut: number) {
    super({ allowHalfOpen: true });
    this.#far = far;
    this.#head = head;
    this.#cut = cut;
    far.on('data', (bytes) => this.push(bytes));
    far.on('end', () => this.push(null));
  }

  override _read(): void {
    this.#far.resume();
  }

  override _write(bytes: Uint8Array, _encoding: string, done: () => void): void {
    const head = this.#head;
    this.#head = undefined;
    if (head === undefined) {
      this.#far.write(bytes, done);
      return;
    }
    void writeCut(this.#far, Buffer.concat([head, bytes]), this.#cut).then(done);
  }

  override _final(done: () => void): void {
    this.#far.end(done);
  }
}

function secure(socket: Duplex, options: tls.ConnectionOptions = {}): tls.TLSSocket {
  const client = tls.connect({ socket, ca: AUTHORITY, servername: 'origin.test', ...options });
  client.on('error', () => undefined);
  return client;
}

describe('in the clear', () => {
  test('accepted at once, by its own name', async () => {
    listen({});
    const far = await bed.dial();
    far.write('GET');
    await until('heard', () => wires[0]?.heard.events.length === 1);
    const { wire, heard } = wires[0]!;
    expect(wire.peer).toEqual({ address: '127.0.0.1', port: far.localPort });
    expect([wire.scheme, heard.received.toString(), stage.pending]).toEqual(['http', 'GET', 0]);
    expect(wire.descriptor).toBeGreaterThan(0);
  });
});

describe('PROXY protocol', () => {
  test.each([1, 2] as const)(
    'version %i, cut at every byte: both ends are named, what follows is delivered',
    async (version) => {
      listen({ proxyProtocol: TRUSTING });
      const header = buildProxyHeader(version, SOURCE, DESTINATION);
      const all = Buffer.concat([header, Buffer.from('GET / HTTP/1.1\r\n')]);
      for (let cut = 0; cut <= header.length + 1; cut++) {
        const far = await bed.dial();
        await writeCut(far, all, cut);
        await until('all is heard', () => (wires[cut]?.heard.received.length ?? 0) === all.length - header.length);
        const { wire, heard } = wires[cut]!;
        expect(wire.peer).toEqual(SOURCE);
        expect(wire.local).toEqual(DESTINATION);
        expect(heard.received.toString()).toBe('GET / HTTP/1.1\r\n');
      }
      expect([refused, stage.pending]).toEqual([[], 0]);
    },
  );

  test('an owner that pauses at once gets what stood behind the header when it resumes', async () => {
    listen({ proxyProtocol: TRUSTING });
    const far = await bed.dial();
    const accepted = wires;
    bed.accept((slot, peer) => stage.accept(slot, peer));
    const push = accepted.push.bind(accepted);
    accepted.push = (...added) => {
      added.forEach(({ wire }) => wire.pause());
      return push(...added);
    };
    far.write(Buffer.concat([buildProxyHeader(2, SOURCE, DESTINATION), Buffer.from('early')]));
    await until('accepted', () => wires.length === 1);
    const { wire, heard } = wires[0]!;
    expect(await settled(() => heard.events.length, 30)).toBe(0);
    wire.resume();
    await until('heard', () => heard.events.length === 1);
    expect(heard.received.toString()).toBe('early');
  });

  test.each([1, 2] as const)(
    'version %i of a connection of the proxy itself: the socket names its ends',
    async (version) => {
      listen({ proxyProtocol: TRUSTING });
      const far = await bed.dial();
      far.write(buildProxyHeader(version));
      await until('accepted', () => wires.length === 1);
      expect(wires[0]!.wire.peer).toEqual({ address: '127.0.0.1', port: far.localPort });
      expect(wires[0]!.wire.local.port).toBe(bed.port);
    },
  );

  test('who is not trusted is not asked: a header is what it says', async () => {
    listen({ proxyProtocol: { trusted: () => false } });
    const header = buildProxyHeader(1, SOURCE, DESTINATION);
    const far = await bed.dial();
    far.write(header);
    await until('heard', () => wires[0]?.heard.received.length === header.length);
    expect(wires[0]!.wire.peer.address).toBe('127.0.0.1');
  });

  test.each(['GET / HTTP/1.1\r\n', 'PROXY TCP4 1.2.3.4\r\n', '\r\n\r\n\0\r\nQUIX'])(
    'no header: %j is reset',
    async (bytes) => {
      listen({ proxyProtocol: TRUSTING });
      const far = await bed.dial();
      far.write(bytes, 'latin1');
      expect(await fateOf(far)).toBe('ECONNRESET');
      expect([refused, logged, wires]).toEqual([['proxy-header'], ['warn'], []]);
      expect([stage.pending, bed.quota.seats()]).toEqual([0, 0]);
    },
  );

  test('nothing within the deadline: reset', async () => {
    listen({ proxyProtocol: TRUSTING });
    const far = await bed.dial();
    far.write('PROXY');
    await until('one is there', () => stage.pending === 1);
    stage.sweep(performance.now());
    expect(stage.pending).toBe(1);
    stage.sweep(performance.now() + 70_000);
    expect([refused, stage.pending, bed.quota.seats()]).toEqual([['proxy-timeout'], 0, 0]);
    expect(await fateOf(far)).toBe('ECONNRESET');
  });

  test('a client that leaves in the middle of it', async () => {
    listen({ proxyProtocol: TRUSTING });
    const [ends, resets] = [await bed.dial(), await bed.dial()];
    await until('both are there', () => stage.pending === 2);
    ends.end('PROXY TCP4');
    await until('one has left', () => refused.length === 1);
    resets.resetAndDestroy();
    await until('both have left', () => refused.length === 2);
    expect([refused, stage.pending, bed.quota.seats()]).toEqual([['proxy-header', 'client-gone'], 0, 0]);
  });
});

describe('TLS', () => {
  test('bytes both ways, by the certificate of the name that was asked for, with ALPN', async () => {
    listen({ tls: server });
    for (const [servername, subject] of [
      ['origin.test', 'origin.test'],
      ['a.wild.test', '*.wild.test'],
    ] as const) {
      const client = secure(await bed.dial(), { servername, ALPNProtocols: ['h2', 'http/1.1'] });
      await once(client, 'secureConnect');
      expect([client.authorized, client.getPeerCertificate().subject.CN]).toEqual([true, subject]);
      expect(client.alpnProtocol).toBe('http/1.1');
      const { wire, heard } = wires.at(-1) ?? (await until('accepted', () => wires.length > 0), wires.at(-1)!);
      client.write('hello');
      await until('heard', () => heard.events.length > 0);
      expect(heard.received.toString()).toBe('hello');
      wire.send(Buffer.from('good '), Buffer.from('day'));
      expect((await readBytes(client, 8)).toString()).toBe('good day');
      expect([wire.scheme, wire.descriptor, wire.peer.address]).toEqual(['https', undefined, '127.0.0.1']);
      client.destroy();
      wires.splice(0).forEach(({ wire: each }) => each.close(true));
    }
  });

  test('a name that no certificate is for, or none: the first certificate', async () => {
    listen({ tls: server });
    for (const servername of ['nobody.test', '']) {
      const client = secure(await bed.dial(), { servername, rejectUnauthorized: false });
      await once(client, 'secureConnect');
      expect(client.getPeerCertificate().subject.CN).toBe('origin.test');
      client.destroy();
    }
  });

  test.each([1, 2] as const)('behind a PROXY header of version %i, however they are cut', async (version) => {
    listen({ tls: server, proxyProtocol: TRUSTING });
    const header = buildProxyHeader(version, SOURCE, DESTINATION);
    const cuts = [0, 1, header.length - 1, header.length, header.length + 1, header.length + 5, header.length + 100];
    for (const [index, cut] of cuts.entries()) {
      const client = secure(new Fronted(await bed.dial(), header, cut));
      await once(client, 'secureConnect');
      client.write('hello');
      await until('heard', () => wires[index]?.heard.events.length === 1);
      const { wire, heard } = wires[index]!;
      expect([wire.peer, wire.local, wire.scheme]).toEqual([SOURCE, DESTINATION, 'https']);
      expect(heard.received.toString()).toBe('hello');
      const body = bytesOf(100_000);
      wire.send(body);
      expect((await readBytes(client, body.length)).equals(body)).toBe(true);
      client.destroy();
    }
  });

  test('no TLS, no common protocol, or a client that leaves: closed, counted, its seat left', async () => {
    listen({ tls: server });
    const clear = await bed.dial();
    clear.write('GET / HTTP/1.1\r\n\r\n');
    await until('refused', () => refused.length === 1);
    const http2 = secure(await bed.dial(), { ALPNProtocols: ['h2'] });
    await until('refused', () => refused.length === 2);
    const leaves = await bed.dial();
    await until('it is there', () => stage.pending === 1);
    leaves.end();
    await until('refused', () => refused.length === 3);
    const resets = await bed.dial();
    await until('it is there', () => stage.pending === 1);
    resets.resetAndDestroy();
    await until('refused', () => refused.length === 4);
    expect(refused.slice(0, 3)).toEqual(['tls-failed', 'tls-failed', 'client-gone']);
    expect(refused[3]).toMatch(/^(tls-failed|client-gone)$/);
    expect([wires, stage.pending, bed.quota.seats()]).toEqual([[], 0, 0]);
    expect(new Set(logged)).toEqual(new Set(['debug']));
    http2.destroy();
  });

  test('a handshake that takes too long is reset', async () => {
    listen({ tls: server });
    const far = await bed.dial();
    await until('it is there', () => stage.pending === 1);
    stage.sweep(performance.now() + 70_000);
    expect([refused, bed.quota.seats()]).toEqual([['tls-timeout'], 0]);
    await resetArrives(far);
  });

  test('stop() gives up whoever is under way, and nobody else', async () => {
    listen({ tls: server });
    const client = secure(await bed.dial());
    await once(client, 'secureConnect');
    await until('accepted', () => wires.length === 1);
    const far = await bed.dial();
    await until('it is there', () => stage.pending === 1);
    stage.stop();
    expect([refused, stage.pending, bed.quota.seats()]).toEqual([['shutdown'], 0, 1]);
    await resetArrives(far);
    wires[0]!.wire.send(Buffer.from('still here'));
    expect((await readBytes(client, 10)).toString()).toBe('still here');
    client.destroy();
  });

  test('a reload holds for those who come after it', async () => {
    listen({ tls: server });
    stage.use({ tls: undefined, proxyProtocol: false, handshakeTimeout: 1000 });
    const far = await bed.dial();
    far.write('clear');
    await until('heard', () => wires[0]?.heard.events.length === 1);
    expect(wires[0]!.heard.received.toString()).toBe('clear');
  });

  test('a record that was tampered with breaks the wire', async () => {
    listen({ tls: server });
    const far = await bed.dial();
    const client = secure(new Fronted(far, Buffer.alloc(0), 0));
    await once(client, 'secureConnect');
    client.write('fine');
    await until('heard', () => wires[0]?.heard.events.length === 1);
    const record = Buffer.concat([Buffer.from([23, 3, 3, 0, 40]), bytesOf(40)]);
    far.write(record);
    await until('broken', () => wires[0]!.heard.words.length === 1);
    expect(wires[0]!.heard.words[0]).toMatch(/^broken \d+$/);
    expect(wires[0]!.wire.open).toBe(false);
    client.destroy();
  });

  test('certificates that cannot be used', () => {
    listen({});
    expect(() => new TlsServer([])).toThrow(expect.objectContaining({ code: 'ERR_SPLICE_CONFIG' }));
    const mixed = { cert: SERVER.cert, key: WILD.key };
    expect(() => new TlsServer([mixed])).toThrow(expect.objectContaining({ code: 'ERR_SPLICE_CONFIG' }));
  });
});
