/** The load generator through proxies: HTTP CONNECT and SOCKS5, friendly ones and others. */
import net from 'node:net';

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';

import { join, LoadProgram, Peer, type Printed } from './load-program.js';

let load: LoadProgram;
let port: number;
let proxy: Peer | undefined;
beforeAll(async () => {
  load = new LoadProgram();
  port = await load.serve();
});
afterEach(() => proxy?.close());
afterAll(() => load.close());

const ESTABLISHED = 'HTTP/1.1 200 Connection established\r\n\r\n';

async function through(
  via: 'connect' | 'socks5',
  talk: (socket: net.Socket) => void,
  args: readonly string[] = ['--count', '1'],
): Promise<Printed> {
  proxy = await Peer.listen(talk);
  const at = ['--via', via, '--proxy', `127.0.0.1:${proxy.port}`];
  return await load.run('connect', port, ...at, ...args);
}

/** A proxy that answers a whole request with `reply`, and is a tunnel from then on. */
const tunnel =
  (reply: (socket: net.Socket) => void | Promise<void>, seen: string[] = []) =>
  (socket: net.Socket): void => {
    let request = '';
    const read = (data: Buffer): void => {
      request += data.toString('latin1');
      if (!request.includes('\r\n\r\n')) return;
      socket.off('data', read);
      socket.pause();
      seen.push(request);
      const server = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
      server.once('connect', () => {
        void Promise.resolve(reply(socket)).then(() => join(socket, server));
      });
    };
    socket.on('data', read);
  };

/** Byte by byte, each in a segment of its own. */
async function dribble(socket: net.Socket, text: string): Promise<void> {
  for (const byte of text) {
    await new Promise((resolve) => socket.write(byte, resolve));
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe('HTTP CONNECT', () => {
  test('sends the request of RFC 9110 and names the way in the result', async () => {
    const seen: string[] = [];
    const result = await through(
      'connect',
      tunnel((socket) => void socket.write(ESTABLISHED), seen),
    );
    expect(result).toMatchObject({ via: 'connect', operations: 1, clean: true });
    expect(seen[0]).toBe(`CONNECT 127.0.0.1:${port} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`);
  });

  test.each([
    ['[::1]:7', '[::1]:7'],
    ['example.test:7', 'example.test:7'],
  ])('writes the target %s', async (target, authority) => {
    const seen: string[] = [];
    await through(
      'connect',
      tunnel((socket) => void socket.write(ESTABLISHED), seen),
      ['--target', target, '--count', '1'],
    );
    expect(seen[0]).toBe(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
  });

  test.each([
    ['with fields', 'HTTP/1.0 200 OK\r\nProxy-Agent: x\r\nContent-Length: 5\r\n\r\n'],
    ['of another 2xx', 'HTTP/1.1 204 \r\n\r\n'],
    ['with bare LF', 'HTTP/1.1 200 OK\nVia: x\n\n'],
    ['after interim ones', `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n${ESTABLISHED}`],
    ['of many bytes', `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(12_000)}\r\n\r\n`],
  ])('takes a reply %s', async (_, reply) => {
    expect(
      await through(
        'connect',
        tunnel((socket) => void socket.write(reply)),
      ),
    ).toMatchObject({ clean: true });
  });

  test('takes a reply that comes byte by byte', async () => {
    expect(
      await through(
        'connect',
        tunnel((socket) => dribble(socket, ESTABLISHED)),
      ),
    ).toMatchObject({ clean: true });
  });

  test('leaves to the tunnel what comes with the head', async () => {
    // The answer to a byte that has not even been sent.
    const result = await through('connect', (socket) => socket.once('data', () => socket.end(`${ESTABLISHED}!`)));
    expect(result).toMatchObject({ operations: 1, errors: 0, clean: true });
  });

  test('reads what comes with the head even if nothing follows that would wake it', async () => {
    const header = Buffer.alloc(16);
    header.write('D');
    header.writeBigUInt64LE(2n, 8);
    const server = net.connect({ port, host: '127.0.0.1' }, () => server.write(header));
    const [first, second] = Buffer.concat(await server.toArray());
    const talk = (socket: net.Socket): void => {
      let come = -1;
      socket.on('data', (data) => {
        // After the request: 16 bytes of a header, one that has its answer already, and at the end one more.
        if (come === -1) socket.write(Buffer.concat([Buffer.from(ESTABLISHED), Buffer.from([first ?? 0])]));
        come += come === -1 ? 1 : data.length;
        if (come === 18) socket.write(Buffer.from([second ?? 0]));
      });
    };
    proxy = await Peer.listen(talk);
    const at = ['--via', 'connect', '--proxy', `127.0.0.1:${proxy.port}`];
    expect(await load.run('idle', port, ...at, '--seconds', '0.1')).toMatchObject({
      errors: 0,
      corrupt: 0,
      clean: true,
    });
  });

  test.each(['download', 'upload', 'ping', 'small', 'fetch', 'mixed'] as const)('%s works', async (mode) => {
    proxy = await Peer.listen(tunnel((socket) => void socket.write(ESTABLISHED)));
    const limit = mode === 'download' || mode === 'upload' ? ['--bytes', '2000000'] : ['--count', '20'];
    const at = ['--via', 'connect', '--proxy', `127.0.0.1:${proxy.port}`, '--connections', '3', '--threads', '2'];
    expect(await load.run(mode, port, ...at, ...limit)).toMatchObject({ via: 'connect', clean: true });
  });

  const answer = (text: string) => (socket: net.Socket) => void socket.once('data', () => socket.end(text));
  test.each([
    ['a refusal', answer('HTTP/1.1 403 Not for you\r\n\r\nsorry'), 'refusedRequest', /: HTTP\/1.1 403 Not for you$/],
    ['a redirection', answer('HTTP/1.1 302 Found\r\n\r\n'), 'refusedRequest', /: HTTP\/1.1 302 Found$/],
    ['101', answer('HTTP/1.1 101 Switching\r\n\r\n'), 'refusedRequest', /: HTTP\/1.1 101 Switching$/],
    ['another protocol', answer('\x05\x00'), 'protocol', /answer is not HTTP$/],
    ['a broken status line', answer('HTTP/1.1 2x0 OK\r\n\r\n'), 'protocol', /no proper status line$/],
    ['a head without end', answer(`HTTP/1.1 200 OK\r\nX: ${'x'.repeat(20_000)}`), 'protocol', /does not end$/],
    ['half a head', answer('HTTP/1.1 200 OK\r\n'), 'closedEarly', /closed before the end of its reply$/],
    ['no reply', answer(''), 'closedEarly', /closed before the end of its reply$/],
  ])('%s is a failure of its own kind', async (_, talk, kind, text) => {
    const result = await through('connect', talk);
    expect(result).toMatchObject({ errors: 1, errorKinds: { [kind]: 1 }, operations: 0, clean: false });
    expect(result.firstError).toMatch(new RegExp(`^${kind} after the CONNECT request, at byte 0: `));
    expect(result.firstError).toMatch(text);
  });
});

describe('SOCKS5', () => {
  const answers =
    (...replies: readonly (readonly number[])[]) =>
    (socket: net.Socket): void => {
      let next = 0;
      socket.on('data', () => socket.write(Uint8Array.from(replies[next++] ?? [])));
    };
  test.each([
    [
      'authentication',
      answers([5, 2]),
      'refusedMethod',
      /after the SOCKS5 greeting, at byte 0: .* wants authentication$/,
    ],
    ['SOCKS4', answers([0, 91]), 'protocol', /after the SOCKS5 greeting, at byte 0: .* does not speak SOCKS5$/],
    ['a refusal', answers([5, 0], [5, 5, 0, 1, 0, 0, 0, 0, 0, 0]), 'refusedRequest', /SOCKS reply code 5$/],
    ['a wrong address type', answers([5, 0], [5, 0, 0, 9, 0, 0]), 'protocol', /malformed SOCKS reply/],
  ])('%s is a failure of its own kind', async (_, talk, kind, text) => {
    const result = await through('socks5', talk);
    expect(result).toMatchObject({ via: 'socks5', errors: 1, errorKinds: { [kind]: 1 }, clean: false });
    expect(result.firstError).toMatch(text);
  });
});

test.each(['connect', 'socks5'] as const)('a proxy that says nothing is an error of --via %s', async (via) => {
  proxy = await Peer.listen(() => undefined);
  const at = ['--via', via, '--proxy', `127.0.0.1:${proxy.port}`, '--timeout', '0.2', '--connections', '3'];
  const result = await load.run('ping', port, ...at, '--seconds', '0.05');
  expect(result).toMatchObject({ errors: 3, errorKinds: { timeout: 3 }, clean: false });
  expect(result.firstError).toMatch(/^timeout after the .*: no answer until the time was over$/);
});
