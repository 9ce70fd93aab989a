/** The load generator as an HTTP client and origin: what is asked for, what counts, and what is found out. */
import http from 'node:http';
import net from 'node:net';

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';

import { LoadProgram, Peer, type Printed } from './load-program.js';

let load: LoadProgram;
let port: number;
beforeAll(async () => {
  load = new LoadProgram();
  port = await load.serve('--threads', '2');
});
afterAll(() => load.close());

interface Got {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Buffer;
}

function get(path: string, agent: http.Agent | false = false, method = 'GET'): Promise<Got> {
  return new Promise((resolve, reject) => {
    const request = http.request({ port, host: '127.0.0.1', path, agent, method }, (response) => {
      const pieces: Buffer[] = [];
      response.on('data', (piece: Buffer) => pieces.push(piece));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(pieces) }),
      );
    });
    request.on('error', reject).end();
  });
}

/** The number of the response, behind the dash of its ETag. */
const serialOf = ({ headers }: Got): number => Number(/^"\d+-(\d+)"$/.exec(headers.etag ?? '')?.[1]);

describe('the origin', () => {
  test('has objects of every size under every number, each with its own content', async () => {
    const one = await get('/o/100000/17');
    expect(one).toMatchObject({
      status: 200,
      headers: { 'content-length': '100000', 'cache-control': 'max-age=86400' },
    });
    expect(Date.parse(one.headers.date ?? '')).toBeGreaterThan(Date.now() - 60_000);
    expect(one.body).toHaveLength(100_000);
    expect((await get('/o/100000/17?anything')).body.equals(one.body)).toBe(true);
    expect((await get('/o/100000/18')).body.equals(one.body)).toBe(false);
    expect((await get('/o/0/1')).body).toHaveLength(0);
  });

  test('numbers its responses, so that a copy is known', async () => {
    const [one, other] = [await get('/o/10/1'), await get('/o/10/1')];
    expect(serialOf(other)).toBeGreaterThan(serialOf(one));
  });

  test.each(['/', '/o/', '/o/12', '/o/x/1', '/o/1/x', '/o/1/2/3', '/o/1/99999999999', '/o/9999999999999999999/1'])(
    'has no %s, and the connection goes on',
    async (path) => {
      const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
      expect(await get(path, agent)).toMatchObject({ status: 404, body: Buffer.alloc(0) });
      expect(await get('/o/5/1', agent)).toMatchObject({ status: 200 });
      agent.destroy();
    },
  );

  test('HEAD brings the length and no content', async () => {
    const head = await get('/o/1000/1', false, 'HEAD');
    expect(head).toMatchObject({ status: 200, headers: { 'content-length': '1000' }, body: Buffer.alloc(0) });
  });

  /** What comes for requests as they stand, until the server ends. */
  const said = (...pieces: readonly string[]): Promise<string> =>
    new Promise((resolve) => {
      const socket = net.connect({ port, host: '127.0.0.1' });
      let text = '';
      // A reset is an end, too: what was sent behind a bad request is not read any more.
      socket.on('data', (data) => (text += data.toString('latin1'))).on('close', () => resolve(text));
      socket
        .on('error', () => undefined)
        .on('connect', () => {
          for (const piece of pieces) socket.write(piece);
        });
    });

  test('pipelined requests are answered in order; HTTP/1.0 and "close" end the connection', async () => {
    const closing = 'GET /o/3/2 HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n';
    const two = await said('GET /o/2/1 HTTP/1.1\r\nHost: a\r\n\r\n' + closing);
    expect([...two.matchAll(/ETag: "(\d+)-/g)].map(([, number]) => number)).toEqual(['1', '2']);
    expect(two.match(/Connection: close/g)).toHaveLength(1);
    expect(await said('GET /o/2/1 HTTP/1.0\r\n\r\n')).toContain('Connection: close');
  });

  test('what is no HTTP ends the connection without an answer', async () => {
    expect(await said('GET\r\n\r\n')).toBe('');
    expect(await said('GET /o/1/1 HTTP/1.1\r\nHost: a\r\n\r\n', 'POST /o/1/1 HTTP/1.1\r\n\r\n')).toMatch(
      /^HTTP\/1.1 200/,
    );
    expect(await said(`GET /${'x'.repeat(9000)}`)).toBe('');
  });
});

/** A cache without rules: what it has got once it gives again. Keeps the paths that it was asked for. */
class Cache {
  readonly asked: string[] = [];
  readonly #kept = new Map<string, Promise<Got>>();
  readonly server: http.Server;

  constructor() {
    this.server = http.createServer((request, response) => {
      const path = request.url ?? '';
      this.asked.push(path);
      const found = this.#kept.get(path) ?? get(path);
      this.#kept.set(path, found);
      void found.then(({ status, headers, body }) => response.writeHead(status, headers).end(body));
    });
    this.server.keepAliveTimeout = 60_000;
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return (this.server.address() as net.AddressInfo).port;
  }

  close(): void {
    this.server.close();
    this.server.closeAllConnections();
  }
}

let cache: Cache | undefined;
afterEach(() => cache?.close());

async function throughCache(...args: string[]): Promise<{ result: Printed; asked: readonly string[] }> {
  cache = new Cache();
  const result = await load.run('http', await cache.listen(), ...args);
  return { result, asked: cache.asked };
}

describe('mode http', () => {
  test.each([1, 3])(
    'with --threads %d: so many responses, every byte of them, over connections that last',
    async (threads) => {
      const args = [
        '--connections',
        '5',
        '--threads',
        String(threads),
        '--objects',
        '7',
        '--size',
        '3000',
        '--count',
        '60',
      ];
      const result = await load.run('http', port, ...args);
      expect(result).toMatchObject({ mode: 'http', errors: 0, corrupt: 0, reopened: 0, clean: true });
      expect(result.operations).toBeGreaterThanOrEqual(60);
      expect(result.bytes).toBeGreaterThanOrEqual(60 * 3000);
      expect(result.handshakeUs.count).toBe(5);
      expect(result.latencyUs.count).toBe(result.operations);
      expect(result.fresh).toBeGreaterThanOrEqual(result.operations);
    },
  );

  test('for a time, with an object larger than any buffer', async () => {
    const result = await load.run(
      'http',
      port,
      '--size',
      '3e6',
      '--connections',
      '2',
      '--seconds',
      '0.2',
      '--warmup',
      '0.1',
    );
    expect(result).toMatchObject({ errors: 0, corrupt: 0, clean: true });
    expect(result.bytes).toBeGreaterThan(0);
  });

  test('what a cache has kept is not fresh', async () => {
    const { result, asked } = await throughCache('--objects', '4', '--count', '40');
    expect(result).toMatchObject({ operations: 40, fresh: 4, clean: true });
    expect(asked.slice(0, 5)).toEqual(['/o/1024/0', '/o/1024/1', '/o/1024/2', '/o/1024/3', '/o/1024/0']);
  });

  test('nor is what came before --known, whoever sees it first', async () => {
    cache = new Cache();
    const through = await cache.listen();
    const filled = await load.run('http', through, '--objects', '4', '--count', '4');
    expect(filled).toMatchObject({ fresh: 4 });
    const known = String(filled.lastSerial);
    expect(await load.run('http', through, '--objects', '4', '--count', '8', '--known', known)).toMatchObject({
      fresh: 0,
    });
    expect(await load.run('http', through, '--objects', '5', '--count', '10', '--known', known)).toMatchObject({
      fresh: 1,
    });
  });

  test('--cold: no URL twice, also not in the next run', async () => {
    const one = await throughCache('--cold', '--count', '20');
    expect(one.result).toMatchObject({ operations: 20, fresh: 20, clean: true });
    cache?.close();
    const other = await throughCache('--cold', '--count', '20');
    const urls = [...one.asked, ...other.asked];
    expect(new Set(urls).size).toBe(urls.length);
  });

  test('a connection that is ended in order after a response is replaced, and that is no error', async () => {
    const body = (await get('/o/10/0')).body;
    let connections = 0;
    const peer = await Peer.listen((socket) => {
      connections++;
      socket.once('data', () =>
        socket.end(
          Buffer.concat([
            Buffer.from(
              `HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\nETag: "0-${connections}"\r\n\r\n`,
            ),
            body,
          ]),
        ),
      );
    });
    const result = await load.run('http', peer.port, '--size', '10', '--count', '5');
    await peer.close();
    expect(result).toMatchObject({ operations: 5, fresh: 5, errors: 0, clean: true });
    expect(result.reopened).toBeGreaterThanOrEqual(4);
    expect(connections).toBeGreaterThanOrEqual(5);
  });

  test('a head that comes byte by byte is a head', async () => {
    const body = (await get('/o/10/0')).body;
    const peer = await Peer.listen((socket) => {
      let serial = 0;
      socket.on('data', () => {
        const head = Buffer.from(`HTTP/1.1 200 OK\r\nETag: "0-${++serial}"\r\nContent-Length: 10\r\n\r\n`);
        const pieces = [...Buffer.concat([head, body])];
        const next = (): void => {
          const byte = pieces.shift();
          if (byte !== undefined && socket.writable) socket.write(Buffer.of(byte), () => setImmediate(next));
        };
        next();
      });
    });
    const result = await load.run('http', peer.port, '--size', '10', '--count', '3');
    await peer.close();
    expect(result).toMatchObject({ operations: 3, clean: true });
  });
});

describe('what is no proper response is an error', () => {
  const good = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\nETag: "0-1"\r\n\r\n';
  test.each([
    ['another status', 'HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\nETag: "0-1"\r\n\r\nabcd', 'status 502'],
    ['no status at all', 'nonsense\r\n\r\n', 'status -1'],
    ['no length', 'HTTP/1.1 200 OK\r\nETag: "0-1"\r\n\r\nabcd', 'without Content-Length'],
    ['another length', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: "0-1"\r\n\r\nabcde', 'not the object'],
    ['no ETag', 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd', 'ETag'],
    ['an ETag of somebody else', 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\nETag: "abc"\r\n\r\nabcd', 'ETag'],
    ['wrong bytes', `${good}abcd`, 'corrupt'],
    ['too many bytes', `${good}abcdefgh`, 'more bytes than Content-Length'],
    ['an end before the content', good, 'end of stream before the end'],
    ['a head without end', `HTTP/1.1 200 OK\r\n${'X: y\r\n'.repeat(4000)}`, 'does not end'],
  ])('%s', async (_name, reply, reason) => {
    const peer = await Peer.listen((socket) => socket.once('data', () => socket.end(reply, 'latin1')));
    const result = await load.run('http', peer.port, '--size', '4', '--count', '1', '--timeout', '3');
    await peer.close();
    expect(result.clean).toBe(false);
    expect(result.firstError).toContain(reason);
  });
});

describe('mode web', () => {
  test('is the mixture that bench/README.md promises, and the same in every run', async () => {
    const shares = async (): Promise<string[]> => {
      cache = new Cache();
      await load.run('web', await cache.listen(), '--objects', '200', '--count', '2000');
      cache.close();
      return cache.asked.slice(0, 2000);
    };
    const asked = await shares();
    const cold = asked.filter((path) => path.includes('?new='));
    const large = asked.filter((path) => path.startsWith('/o/1048576/'));
    // Four standard deviations: the row is fixed, so this cannot come out differently one day.
    const near = (count: number, share: number): void =>
      expect(Math.abs(count / 2000 - share)).toBeLessThan(4 * Math.sqrt((share * (1 - share)) / 2000));
    near(cold.length, 0.05);
    near(large.length, 0.01);
    expect(new Set(cold).size).toBe(cold.length);
    const warm = asked.filter((path) => !cold.includes(path) && !large.includes(path));
    const counts = new Map<string, number>();
    for (const path of warm) counts.set(path, (counts.get(path) ?? 0) + 1);
    expect(counts.size).toBeLessThanOrEqual(200);
    for (const path of warm) {
      const size = Number(path.split('/')[2]);
      expect(size).toBeGreaterThanOrEqual(1024);
      expect(size).toBeLessThanOrEqual(64 * 1024);
    }
    // By Zipf the first has 1/H(200), nearly a sixth, and the second half of it.
    const times = (number: number): number => [...counts].find(([path]) => path.endsWith(`/${number}`))?.[1] ?? 0;
    const first = warm.length / Array.from({ length: 200 }, (_, k) => 1 / (k + 1)).reduce((a, b) => a + b);
    expect(Math.abs(times(0) - first)).toBeLessThan(4 * Math.sqrt(first));
    expect(Math.abs(times(1) - first / 2)).toBeLessThan(4 * Math.sqrt(first / 2));
    const plain = (paths: readonly string[]): string[] => paths.map((path) => path.replace(/\?.*/, ''));
    expect(plain(await shares())).toEqual(plain(asked));
  });

  test('--in-turn asks for every object once, those of the mixture and no others', async () => {
    cache = new Cache();
    const args = ['--objects', '30', '--in-turn', '--count', '46'];
    const result = await load.run('web', await cache.listen(), ...args);
    expect(result).toMatchObject({ fresh: 46, clean: true });
    expect(new Set(cache.asked.slice(0, 46)).size).toBe(46);
    expect(cache.asked.filter((path) => path.startsWith('/o/1048576/')).length).toBeGreaterThanOrEqual(16);
  });
});

describe('--rate', () => {
  test('so many requests a second, not more', async () => {
    const result = await load.run('http', port, '--rate', '500', '--connections', '4', '--seconds', '0.6');
    expect(result).toMatchObject({ errors: 0, clean: true });
    expect(result.operations).toBeLessThanOrEqual(302);
    expect(result.operations).toBeGreaterThan(0);
  });

  test('who finds no connection free counts from when the request was due', async () => {
    // One connection, each response after 50 ms: of 200 requests a second all but every tenth have to wait, ever longer.
    const body = (await get('/o/10/0')).body;
    let serial = 0;
    const peer = await Peer.listen((socket) => {
      socket.on('data', () =>
        setTimeout(() => {
          const head = `HTTP/1.1 200 OK\r\nContent-Length: 10\r\nETag: "0-${++serial}"\r\n\r\n`;
          socket.write(Buffer.concat([Buffer.from(head), body]));
        }, 50),
      );
    });
    const result = await load.run('http', peer.port, '--size', '10', '--rate', '200', '--count', '10');
    await peer.close();
    expect(result).toMatchObject({ operations: 10, clean: true });
    // The tenth was due 45 ms after the first and answered 500 ms after it.
    expect(result.latencyUs.max).toBeGreaterThan(400_000);
    expect(result.responseUs?.max).toBeLessThan(result.latencyUs.max / 2);
  });
});

test.each([
  [
    ['--mode', 'ping', '--count', '1', '--rate', '5'],
    /--objects, --rate, --cold and --known are for http and web: ping/,
  ],
  [['--mode', 'download', '--bytes', '1', '--cold'], /are for http and web: download/],
  [['--mode', 'web', '--count', '1', '--size', '9'], /--size is not for this mode: web/],
  [['--mode', 'http', '--count', '1', '--in-turn'], /--in-turn is for web: http/],
  [['--mode', 'http', '--count', '1', '--objects', '0'], /--objects must be a number from 1/],
])('%j is refused with the reason', async (args, reason) => {
  const end = await load.try('run', '--target', `127.0.0.1:${port}`, ...args);
  expect(end).toMatchObject({ code: 2, stdout: Buffer.alloc(0) });
  expect(end.stderr).toMatch(reason);
});
