/** A pool on a real reactor, with origins on loopback that the test plays. */
import { once } from 'node:events';
import net from 'node:net';
import { afterEach, beforeEach } from 'vitest';
import { Resolver } from '../../../src/flow/resolver.js';
import { OriginPool } from '../../../src/proxy/origin-pool.js';
import { OriginError, type Acquire, type Origin, type OriginConnection } from '../../../src/proxy/origin.js';
import type { Wire } from '../../../src/proxy/wire.js';
import { ReactorHost } from '../../../src/server/reactor-host.js';
import { clear, descriptors, portOf, settled, until } from '../../support/flow-bed.js';
import { anyWant, fakeOrigin } from './origin-fakes.js';

export interface PoolBed {
  readonly host: ReactorHost;
  readonly pool: OriginPool;
  /** What names resolve to; a name that is missing has no address. */
  readonly names: Map<string, string[] | Promise<string[]>>;
  /** `origin new|again` and `origin failure`, as the sink hears them. */
  readonly told: string[];
  /** Origins' ends of the connections, in the order in which they came. */
  readonly accepted: net.Socket[];
  serve(server: net.Server, address?: string, port?: number): Promise<number>;
}

/** One for each test of a file; after each, every descriptor must be closed. */
export function poolBed(): PoolBed {
  let made: PoolBed & { stop(): Promise<void> };
  let before: number;
  beforeEach(async () => {
    before = await settled(() => descriptors().all, 50);
    made = makePoolBed();
  });
  afterEach(async () => {
    await made.stop();
    await until('every descriptor is closed', () => descriptors().all <= before);
  });
  return {
    get host() {
      return made.host;
    },
    get pool() {
      return made.pool;
    },
    get names() {
      return made.names;
    },
    get told() {
      return made.told;
    },
    get accepted() {
      return made.accepted;
    },
    serve: (...rest) => made.serve(...rest),
  };
}

function makePoolBed(): PoolBed & { stop(): Promise<void> } {
  const host = new ReactorHost();
  const names: PoolBed['names'] = new Map();
  const told: string[] = [];
  const accepted: net.Socket[] = [];
  const servers: net.Server[] = [];
  const resolver = new Resolver(async (name) => {
    const found = await names.get(name);
    if (found === undefined) throw Object.assign(new Error('not found'), { code: 'ENOTFOUND' });
    return found;
  });
  const pool = new OriginPool({
    host,
    resolver,
    sink: {
      connected: (origin, reused) => told.push(`${origin} ${reused ? 'again' : 'new'}`),
      originFailed: (origin, failure) => told.push(`${origin} ${failure}`),
    },
  });
  return {
    host,
    pool,
    names,
    told,
    accepted,
    serve: async (server, address = '127.0.0.1', port = 0) => {
      server.on('connection', (socket) => {
        socket.on('error', () => undefined);
        accepted.push(socket);
      });
      server.listen(port, address);
      await once(server, 'listening');
      servers.push(server);
      return portOf(server);
    },
    stop: async () => {
      pool.close();
      host.stop();
      clear(...accepted);
      await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
    },
  };
}

/** Answers each head with `ok`. */
export function answer(socket: net.Socket): void {
  let text = '';
  socket.on('error', () => undefined);
  socket.on('data', (bytes: Buffer) => {
    text += bytes.toString('latin1');
    for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
      text = text.slice(end + 4);
      socket.write(RESPONSE);
    }
  });
}

export const REQUEST = Buffer.from('GET / HTTP/1.1\r\nHost: origin.test\r\n\r\n');
export const RESPONSE = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

/** Sends a request and reads its response; rejects when the connection ends or breaks before. */
export function exchange(wire: Wire, response = RESPONSE): Promise<string> {
  return new Promise((resolve, reject) => {
    let got = '';
    wire.owner = {
      onData: (bytes) => {
        got += Buffer.from(bytes).toString('latin1');
        if (got.length >= response.length) resolve(got);
      },
      onEnd: () => reject(new Error('it ended')),
      onBroken: (errno) => reject(new Error(`it broke: ${errno}`)),
      onDrained: () => undefined,
    };
    wire.resume();
    wire.send(REQUEST);
  });
}

/** Takes a connection that must be given, of what kind ever. */
export async function take(pool: OriginPool, origin: Origin, want: Partial<Acquire> = {}): Promise<OriginConnection> {
  const connection = await pool.acquire(origin, { ...anyWant, ...want });
  connection.wire.owner = { onData: ignore, onEnd: ignore, onBroken: ignore, onDrained: ignore };
  connection.wire.resume();
  return connection;
}

const ignore = (): void => undefined;

/** Why there is none. */
export async function refusal(pool: OriginPool, origin: Origin, want: Partial<Acquire> = {}): Promise<OriginError> {
  try {
    const connection = await pool.acquire(origin, { ...anyWant, ...want });
    connection.discard();
  } catch (error) {
    if (error instanceof OriginError) return error;
    throw error;
  }
  throw new Error('there is a connection');
}

/** An origin on that port of loopback; within 10 s, so that only what is meant to can run out of time. */
export function originOn(port: number, changes: Partial<Origin> = {}): Origin {
  const host = changes.host ?? '127.0.0.1';
  return fakeOrigin({
    name: `${changes.scheme ?? 'http'}://${host}:${port}`,
    host,
    port,
    connectTimeout: 10_000,
    keepAlive: 60_000,
    ...changes,
  });
}
