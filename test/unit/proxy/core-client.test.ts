/** What a client may do: send all at once, read nothing, close its half, speak HTTP/1.0, go away in every stage. */
import { describe, expect, test } from 'vitest';
import { hangingPort, resetArrives, settled, until } from '../../support/flow-bed.js';
import { front, get, request, response, type Peer } from './front-bed.js';

const STORED = 'Cache-Control: max-age=60';
const KB = 1024;
const MB = 1024 * 1024;

async function answer(origin: Peer, content: string, ...fields: string[]): Promise<string> {
  const head = await origin.head();
  origin.write(response(200, content, ...fields));
  return head;
}

describe('pipelining', () => {
  test('answers come in the order of the requests, hits behind misses', async () => {
    const bed = await front();
    await bed.store('/hit', 'hit');
    const client = await bed.client(get('/a') + get('/hit') + get('/b') + get('/hit', 'Connection: close'));
    const origin = await bed.origin();
    expect(await answer(origin, 'a')).toMatch(/^GET \/a /);
    expect((await client.response()).content).toBe('a');
    expect((await client.response()).content).toBe('hit');
    expect(await answer(origin, 'b')).toMatch(/^GET \/b /);
    expect((await client.response()).content).toBe('b');
    expect((await client.response()).content).toBe('hit');
    await client.untilOver();
    expect(client.text).toBe('');
    await bed.done();
  });

  test('in single bytes', async () => {
    const bed = await front();
    await bed.store('/hit', 'hit');
    const client = await bed.client();
    for (const byte of get('/hit') + get('/hit')) client.write(byte);
    expect((await client.response()).content).toBe('hit');
    expect((await client.response()).content).toBe('hit');
    await bed.done();
  });

  test('what comes behind one that closes is not answered', async () => {
    const bed = await front();
    await bed.store('/hit', 'hit');
    const client = await bed.client(get('/hit', 'Connection: close') + get('/hit'));
    expect((await client.response()).content).toBe('hit');
    await client.untilOver();
    expect(client.text).toBe('');
    await bed.done();
  });

  test('garbage behind a request is refused after its answer', async () => {
    const bed = await front();
    const client = await bed.client(`${get('/a')}GET  / x\r\n\r\n`);
    await answer(await bed.origin(), 'a');
    expect((await client.response()).content).toBe('a');
    expect((await client.response()).status).toBe(400);
    await client.untilOver();
    expect(client.ended).toBe(true);
    await bed.done();
  });

  test.each([
    ['reads in the end', false],
    ['goes', true],
  ])('a client that asks and asks and reads nothing is not answered into memory; it %s', async (_name, goes) => {
    const bed = await front({ cacheInline: '64k', cacheMemory: '64m' });
    const size = 60 * KB;
    const times = 1000;
    await bed.store('/hit', 'x'.repeat(size));
    const client = await bed.client();
    client.socket.pause();
    client.write(get('/hit').repeat(times));
    const hits = (): number => bed.lines.filter(({ target }) => target === '/hit').length;
    await until('some are answered', () => hits() > 3);
    // What the kernel takes, and a little more; 60 MB were asked for.
    expect(await settled(hits)).toBeLessThan(times / 2);
    if (goes) client.reset();
    else {
      client.end();
      client.socket.resume();
      for (let i = 0; i < times; i++) expect((await client.response()).content.length).toBe(size);
      await client.untilOver();
      expect(client.ended).toBe(true);
    }
    await bed.done();
  });
});

describe('a half-closed client', () => {
  test('gets its answer', async () => {
    const bed = await front();
    const client = await bed.client(get('/a'));
    client.end();
    await answer(await bed.origin(), 'there');
    expect((await client.response()).content).toBe('there');
    await client.untilOver();
    expect(client.ended).toBe(true);
    await bed.done();
  });

  test.each([
    ['from memory', 900 * KB],
    ['from a file', 8 * MB],
  ])('gets all of a big one, %s', async (_name, size) => {
    const bed = await front({ cacheInline: '1m', cacheMemory: '64m' });
    const content = 'x'.repeat(size);
    await bed.store('/big', content);
    for (const times of [1, 3]) {
      const client = await bed.client();
      client.socket.pause();
      client.write(get('/big').repeat(times));
      client.end();
      await bed.resting().catch(() => undefined);
      client.socket.resume();
      for (let i = 0; i < times; i++) expect((await client.response()).content.length).toBe(size);
      await client.untilOver();
      expect(client.ended).toBe(true);
      expect(client.text).toBe('');
    }
    await bed.done();
  });

  test('that has said half a head is gone', async () => {
    const bed = await front();
    const client = await bed.client('GET / HT');
    client.end();
    await client.untilOver();
    await bed.done();
  });
});

describe('keep-alive', () => {
  test.each([
    ['HTTP/1.0', 'GET /hit HTTP/1.0\r\n\r\n', false],
    ['HTTP/1.0 with keep-alive', 'GET /hit HTTP/1.0\r\nHost: front.test\r\nConnection: keep-alive\r\n\r\n', true],
    ['HTTP/1.1', get('/hit'), true],
    ['HTTP/1.1 with close', get('/hit', 'Connection: close'), false],
    ['HTTP/1.1 with close among others', get('/hit', 'Connection: x-a, CLOSE'), false],
  ])('%s', async (_name, said, keeps) => {
    const bed = await front();
    await bed.store('/hit', 'hit');
    const client = await bed.client(said);
    const origin = /Host/.test(said) ? undefined : await bed.origin();
    if (origin !== undefined) await answer(origin, 'hit');
    const got = await client.response();
    expect(got.content).toBe('hit');
    if (keeps) {
      client.write(get('/hit'));
      expect((await client.response()).content).toBe('hit');
    } else {
      expect(got.head).toMatch(/connection: close/i);
      await client.untilOver();
    }
    await bed.done();
  });

  test('content without a length goes to HTTP/1.0 until the end of the connection', async () => {
    const bed = await front();
    const client = await bed.client('GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
    const origin = await bed.origin();
    await origin.head();
    origin.write(`${response(200, '', 'Transfer-Encoding: chunked')}4\r\nsome\r\n0\r\n\r\n`);
    const head = await client.head();
    expect(head).not.toMatch(/transfer-encoding|content-length/i);
    await client.untilOver();
    expect(client.text).toBe('some');
    expect(client.ended).toBe(true);
    await bed.done();
  });

  test('as many requests as a connection may carry', async () => {
    const bed = await front({ maxRequests: 2 });
    await bed.store('/hit', 'hit');
    const client = await bed.client(get('/hit') + get('/hit') + get('/hit'));
    expect((await client.response()).head).not.toMatch(/connection: close/i);
    expect((await client.response()).head).toMatch(/connection: close/i);
    await client.untilOver();
    expect(client.text).toBe('');
    await bed.done();
  });

  test('a connection that rests too long is closed', async () => {
    const bed = await front({ keepAlive: '200ms' });
    await bed.store('/hit', 'hit');
    const client = await bed.client(get('/hit'));
    await client.response();
    await client.untilOver();
    expect(client.ended).toBe(true);
    await bed.done();
  });

  test('one that does not read its answers is reset, not closed as if it had got them', async () => {
    const bed = await front({ keepAlive: '200ms', cacheInline: '1m', cacheMemory: '64m' });
    const size = 900 * KB;
    await bed.store('/big', 'x'.repeat(size));
    const client = await bed.client();
    client.socket.pause();
    client.write(get('/big').repeat(20));
    await until('it is given up', () => bed.left.connections === 0);
    await resetArrives(client.socket);
    await bed.done();
  });

  test('half a head is not waited for for ever', async () => {
    const bed = await front({ headTimeout: '1s' });
    const client = await bed.client('GET / HTTP/1.1\r\n');
    expect((await client.response()).status).toBe(408);
    await client.untilOver();
    const silent = await bed.client();
    await silent.untilOver();
    expect(silent.text).toBe('');
    await bed.done();
  });
});

describe('a client that goes', () => {
  test('while the origin thinks: the origin is let go', async () => {
    const bed = await front({ noCache: true });
    const client = await bed.client(get('/a'));
    const origin = await bed.origin();
    await origin.head();
    client.reset();
    await origin.untilOver();
    await bed.done();
  });

  test('while it is connected to', async () => {
    const hanging = await hangingPort();
    try {
      const bed = await front({ noCache: true, origin: `http://127.0.0.1:${hanging.port}` });
      const client = await bed.client(get('/a'));
      await until('it connects', () => bed.left.connecting === 1);
      client.reset();
      await bed.done();
    } finally {
      hanging.dispose();
    }
  });

  test.each([
    ['copied', 20 * KB],
    ['by the kernel', 20 * MB],
  ])('in the middle of content, %s', async (_name, size) => {
    const bed = await front({ noCache: true });
    const client = await bed.client(get('/a'));
    const origin = await bed.origin();
    await origin.head();
    origin.write(response(200, 'x'.repeat(size / 2), `Content-Length: ${size}`));
    await client.until('a part', () => client.text.length > 10 * KB);
    client.reset();
    await origin.untilOver();
    await bed.done();
  });

  test('in the middle of what is worth storing: the store gets it', async () => {
    const bed = await front();
    const size = MB;
    const client = await bed.client(get('/a'));
    const origin = await bed.origin();
    await origin.head();
    origin.write(response(200, 'x'.repeat(size / 2), `Content-Length: ${size}`, STORED));
    await client.until('a part', () => client.text.length > 10 * KB);
    client.reset();
    await until('it is gone', () => bed.left.connections === 0);
    origin.write('x'.repeat(size / 2));
    await bed.resting();
    const next = await bed.client(get('/a'));
    expect((await next.response()).content.length).toBe(size);
    expect(bed.unasked).toBe(0);
    await bed.done();
  });

  test('while a stored answer is sent from a file', async () => {
    const bed = await front();
    const size = 16 * MB;
    await bed.store('/big', 'x'.repeat(size));
    const client = await bed.client();
    client.socket.pause();
    client.write(get('/big'));
    await until('it is sent', () => bed.left.requests === 1);
    client.reset();
    await bed.done();
  });
});

test('a head that is too big, too odd, or none', async () => {
  const bed = await front();
  for (const [said, status] of [
    [get('/', `X: ${'x'.repeat(100 * KB)}`), 431],
    ['GET / HTTP/1.1\r\n\r\n', 400],
    [request('POST', '/', 'Content-Length: 1', 'Content-Length: 2'), 400],
    [request('POST', '/', 'Content-Length: 1', 'Transfer-Encoding: chunked'), 400],
    ['\x16\x03\x01\x02\x00\x01\x00\x01', 400],
  ] as const) {
    const client = await bed.client(said);
    expect((await client.response()).status).toBe(status);
    await client.untilOver();
  }
  await bed.done();
});

test('a site answers absolute targets by the scheme of the connection, and no other', async () => {
  const bed = await front();
  const client = await bed.client(get('https://front.test/a'));
  expect((await client.response()).status).toBe(421);
  client.write(get('http://front.test/a'));
  const origin = await bed.origin();
  expect(await origin.head()).toMatch(/^GET \/a HTTP/);
  origin.write(response(200, 'by http'));
  expect((await client.response()).content).toBe('by http');
  client.end();
  await bed.done();
});
