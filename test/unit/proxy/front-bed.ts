/** A whole front in this process: raw clients, HttpServer, and an origin that says, byte for byte, what the test says. */
import { once } from 'node:events';
import net from 'node:net';
import pino from 'pino';
import { expect, onTestFinished } from 'vitest';
import { native } from '../../../src/native.js';
import { loadHttpConfig, type HttpFlags } from '../../../src/server/http-config.js';
import { MetricCounts } from '../../../src/control/metric-counts.js';
import { HttpServer } from '../../../src/server/http-server.js';
import { clear, descriptors, until } from '../../support/flow-bed.js';

export const get = (path = '/', ...fields: string[]): string => request('GET', path, ...fields);

export function request(method: string, path: string, ...fields: string[]): string {
  return [`${method} ${path} HTTP/1.1`, 'Host: front.test', ...fields, '', ''].join('\r\n');
}

/** A response; with a Content-Length of its own unless one is among the fields. */
export function response(status: number | string, content = '', ...fields: string[]): string {
  const framed = fields.some((field) => /^(content-length|transfer-encoding):/i.test(field));
  const length = framed ? [] : [`Content-Length: ${content.length}`];
  return [`HTTP/1.1 ${status} Whatever`, ...fields, ...length, '', content].join('\r\n');
}

/** One end of a connection that a test plays: what came is kept until it is asked for. */
export class Peer {
  readonly socket: net.Socket;
  ended = false;
  /** `error` code, or 'closed'. */
  broken: string | undefined;
  #bytes = Buffer.alloc(0);
  #wake: (() => void)[] = [];

  constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on('data', (bytes: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, bytes]);
      this.#tell();
    });
    socket.on('end', () => {
      this.ended = true;
      this.#tell();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.broken ??= error.code ?? 'error';
      this.#tell();
    });
    socket.on('close', () => {
      this.broken ??= 'closed';
      this.#tell();
    });
  }

  /** All that has come and was not taken. */
  get text(): string {
    return this.#bytes.toString('latin1');
  }

  get over(): boolean {
    return this.ended || this.broken !== undefined;
  }

  write(text: string | Uint8Array): void {
    this.socket.write(typeof text === 'string' ? Buffer.from(text, 'latin1') : text);
  }

  end(): void {
    this.socket.end();
  }

  /** By RST. */
  reset(): void {
    this.socket.resetAndDestroy();
  }

  /** Waits until it is so. */
  async until(what: string, condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.broken !== undefined) throw new Error(`${what}: ${this.broken}, with ${JSON.stringify(this.text)}`);
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  async untilOver(): Promise<void> {
    while (!this.over) await new Promise<void>((resolve) => this.#wake.push(resolve));
  }

  take(count = this.#bytes.length): string {
    const taken = this.#bytes.subarray(0, count).toString('latin1');
    this.#bytes = this.#bytes.subarray(count);
    return taken;
  }

  /** The next head, with the empty line. */
  async head(): Promise<string> {
    await this.until('a head', () => this.text.includes('\r\n\r\n'));
    return this.take(this.text.indexOf('\r\n\r\n') + 4);
  }

  async bytes(count: number): Promise<string> {
    await this.until(`${count} bytes`, () => this.#bytes.length >= count);
    return this.take(count);
  }

  /** The next final response with a Content-Length (or without content); interim ones may come before it, or not. */
  async response(): Promise<{ status: number; head: string; content: string }> {
    let head = await this.head();
    while (/^HTTP\/1\.1 1\d\d /.test(head)) head = await this.head();
    const status = Number(head.split(' ')[1]);
    const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0);
    return { status, head, content: await this.bytes(length) };
  }

  #tell(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}

/** What of exchanges there is at a moment. */
export type Left = Record<
  'connections' | 'requests' | 'tunnels' | 'busy' | 'connecting' | 'waiting' | 'fills' | 'collapsed',
  number
>;

export class Front {
  readonly server: HttpServer;
  readonly port: number;
  readonly originPort: number;
  readonly lines: Record<string, unknown>[];
  readonly metrics: MetricCounts;
  /** Connections of the origin that nobody has taken yet. */
  readonly #arrived: Peer[];
  readonly #peers: Peer[] = [];
  readonly #wake: (() => void)[];
  origins = 0;

  constructor(
    server: HttpServer,
    originPort: number,
    arrived: Peer[],
    wake: (() => void)[],
    lines: Record<string, unknown>[],
    metrics: MetricCounts,
  ) {
    this.server = server;
    this.port = server.listening[0]!.port;
    this.originPort = originPort;
    this.#arrived = arrived;
    this.#wake = wake;
    this.lines = lines;
    this.metrics = metrics;
  }

  async client(text?: string): Promise<Peer> {
    const socket = net.connect({ port: this.port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    await once(socket, 'connect');
    const peer = new Peer(socket);
    this.#peers.push(peer);
    if (text !== undefined) peer.write(text);
    return peer;
  }

  get clients(): readonly net.Socket[] {
    return this.#peers.map(({ socket }) => socket);
  }

  /** The next connection that the front makes to its origin. */
  async origin(): Promise<Peer> {
    while (this.#arrived.length === 0) await new Promise<void>((resolve) => this.#wake.push(resolve));
    this.origins++;
    return this.#arrived.shift()!;
  }

  /** Connections at the origin that no test has asked for. */
  get unasked(): number {
    return this.#arrived.length;
  }

  /** Everything that an exchange could leave behind. */
  get left(): Left {
    const { http } = this.server.live();
    const sums = { busy: 0, connecting: 0, waiting: 0 };
    for (const row of http.pool) {
      sums.busy += row.busy;
      sums.connecting += row.connecting;
      sums.waiting += row.waiting;
    }
    const { connections, requests, tunnels } = http;
    return {
      connections,
      requests,
      tunnels,
      ...sums,
      fills: http.store?.live ?? 0,
      collapsed: http.store?.waiting ?? 0,
    };
  }

  get idleOrigins(): number {
    return this.server.live().http.pool.reduce((sum, { idle }) => sum + idle, 0);
  }

  /** Puts a response into the cache, over connections of its own. */
  async store(path: string, content: string): Promise<void> {
    const client = await this.client(get(path, 'Connection: close'));
    const origin = await this.origin();
    await origin.head();
    origin.write(response(200, content, 'Cache-Control: max-age=60', 'Connection: close'));
    expect((await client.response()).content).toBe(content);
    await client.untilOver();
    client.end();
    await this.resting();
  }

  /** Nothing is left of any exchange, though clients may still be connected. */
  async resting(): Promise<void> {
    const busy = (): number =>
      Object.entries(this.left).reduce((sum, [what, n]) => sum + (what === 'connections' ? 0 : n), 0);
    await until('all exchanges are over', () => busy() === 0).catch(() => expect(this.left).toEqual({}));
  }

  /** All clients go; then nothing may be left of anybody. */
  async done(): Promise<void> {
    for (const { socket } of this.#peers) socket.destroy();
    const sum = (): number => Object.values(this.left).reduce((a, b) => a + b, 0);
    await until('nothing is left', () => sum() === 0).catch(() => expect(this.left).toEqual({}));
  }
}

/** Its listener, server and sockets go with the test; every descriptor must be back then. */
export async function front(flags: HttpFlags = {}, origins?: (port: number) => HttpFlags): Promise<Front> {
  const before = descriptors().all;
  const clocks = timers();
  const arrived: Peer[] = [];
  const wake: (() => void)[] = [];
  const sockets: net.Socket[] = [];
  const listener = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.push(socket);
    arrived.push(new Peer(socket));
    for (const each of wake.splice(0)) each();
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const originPort = (listener.address() as net.AddressInfo).port;
  const config = {
    ...(await loadHttpConfig({
      listen: ['0'],
      backend: 'splice',
      origin: `http://127.0.0.1:${originPort}`,
      ...flags,
      ...origins?.(originPort),
    })),
    cacheDir: '',
  };
  const lines: Record<string, unknown>[] = [];
  const logger = pino(
    { level: 'info' },
    { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) },
  );
  const metrics = new MetricCounts();
  const listeners = [native().listen('127.0.0.1', 0, 512, false)];
  const server = await HttpServer.serve({ config, logger, metrics, listeners });
  const bed = new Front(server, originPort, arrived, wake, lines, metrics);
  onTestFinished(async () => {
    await server.stop();
    listener.close();
    clear(...sockets, ...bed.clients);
    await until('every descriptor is back', () => descriptors().all <= before);
    await until('no timer is left', () => timers() <= clocks);
  });
  return bed;
}

/** A front, a client that has sent this, and the origin's connection with the head of what the front made of it. */
export async function asked(
  text: string,
  flags: HttpFlags = {},
): Promise<{ readonly bed: Front; readonly client: Peer; readonly origin: Peer; readonly head: string }> {
  const bed = await front(flags);
  const client = await bed.client(text);
  const origin = await bed.origin();
  return { bed, client, origin, head: await origin.head() };
}

/** Timers that keep the process alive. */
function timers(): number {
  return process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
}
