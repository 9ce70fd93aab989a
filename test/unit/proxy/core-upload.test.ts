/** Content of requests: answered early, never sent, malformed, in the way of what follows. */
import { describe, expect, test } from 'vitest';
import { until } from '../../support/flow-bed.js';
import { asked, front, get, request, response, type Peer } from './front-bed.js';

const MB = 1024 * 1024;

test('a request behind the content of another', async () => {
  const { bed, client, origin, head } = await asked(request('POST', '/p', 'Content-Length: 4') + `four${get('/next')}`);
  expect(head).toMatch(/^POST \/p .*content-length: 4\r\n/is);
  expect(await origin.bytes(4)).toBe('four');
  origin.write(response(201, 'made'));
  expect((await client.response()).content).toBe('made');
  expect(await origin.head()).toMatch(/^GET \/next /);
  origin.write(response(200, 'next'));
  expect((await client.response()).content).toBe('next');
  await bed.done();
});

test('a request behind chunked content', async () => {
  const { bed, client, origin } = await asked(
    request('POST', '/p', 'Transfer-Encoding: chunked') + `4\r\nfour\r\n0\r\n\r\n${get('/next')}`,
  );
  await origin.until('the end of the content', () => origin.text.endsWith('0\r\n\r\n'));
  origin.take();
  origin.write(response(201, 'made'));
  expect((await client.response()).content).toBe('made');
  expect(await origin.head()).toMatch(/^GET \/next /);
  origin.write(response(200, 'next'));
  expect((await client.response()).content).toBe('next');
  await bed.done();
});

test('content of no bytes says nothing against the connection', async () => {
  const { bed, client, origin } = await asked(request('POST', '/p', 'Content-Length: 0'));
  origin.write(response(200, 'one'));
  expect((await client.response()).head).not.toMatch(/connection: close/i);
  client.write(get('/b'));
  await origin.head();
  origin.write(response(200, 'two', 'Cache-Control: max-age=60'));
  expect((await client.response()).content).toBe('two');
  await bed.resting();
  client.write(get('/b', 'Content-Length: 0'));
  const third = await client.response();
  expect(third.content).toBe('two');
  expect(third.head).not.toMatch(/connection: close/i);
  client.write(get('/b'));
  expect((await client.response()).content).toBe('two');
  await bed.done();
});

test('content of no bytes, and a question that is asked twice: what came behind is still the next request', async () => {
  const bed = await front();
  const client = await bed.client(get('/v'));
  const origin = await bed.origin();
  await origin.head();
  origin.write(response(200, 'old', 'Cache-Control: max-age=0', 'ETag: "a"'));
  expect((await client.response()).content).toBe('old');
  await bed.resting();
  client.write(get('/v', 'Content-Length: 0') + get('/next'));
  expect(await origin.head()).toMatch(/if-none-match: "a"/i);
  // About nothing that is stored: it is asked again, without a condition.
  origin.write('HTTP/1.1 304 Not Modified\r\nETag: "other"\r\n\r\n');
  expect(await origin.head()).not.toMatch(/if-none-match/i);
  origin.write(response(200, 'new'));
  expect((await client.response()).content).toBe('new');
  expect(await origin.head()).toMatch(/^GET \/next /);
  origin.write(response(200, 'next'));
  expect((await client.response()).content).toBe('next');
  await bed.done();
});

describe('an early response', () => {
  test('goes out whole, and the connections close behind it', async () => {
    const { bed, client, origin } = await asked(request('POST', '/p', 'Content-Length: 1000') + 'some');
    origin.write(response(413, 'too much'));
    const answer = await client.response();
    expect(answer.content).toBe('too much');
    await client.untilOver();
    expect(client.ended).toBe(true);
    await origin.untilOver();
    expect(bed.idleOrigins).toBe(0);
    await bed.done();
  });

  test('and the content goes on to its end: both connections can be used again', async () => {
    const { bed, client, origin } = await asked(request('POST', '/p', 'Content-Length: 8') + 'some');
    origin.write(response(200, 'ear', 'Content-Length: 5'));
    await client.until('the early part', () => client.text.endsWith('ear'));
    client.write('more');
    expect(await origin.bytes(8)).toBe('somemore');
    origin.write('ly');
    expect((await client.response()).content).toBe('early');
    client.write(get('/b'));
    await origin.head();
    origin.write(response(200, 'again'));
    expect((await client.response()).content).toBe('again');
    await bed.done();
  });

  test('to content that the origin does not read: its connection is not used again', async () => {
    const bed = await front({ noCache: true });
    const size = 64 * MB;
    const client = await bed.client(request('POST', '/p', `Content-Length: ${size}`));
    const origin = await bed.origin();
    await origin.head();
    origin.socket.pause();
    client.write(Buffer.alloc(size, 'x'));
    origin.write(response(200, 'early'));
    expect((await client.response()).content).toBe('early');
    await client.untilOver();
    expect(bed.idleOrigins).toBe(0);
    await bed.done();
  });

  test('to content that is still on its way: no other request gets into the middle of it', async () => {
    const bed = await front({ noCache: true });
    for (let size = MB / 4; size < 12 * MB; size += 4 * MB) {
      const client = await bed.client(request('POST', '/p', `Content-Length: ${size}`));
      const origin = await bed.origin();
      await origin.head();
      origin.socket.pause();
      client.write(Buffer.alloc(size, 'x'));
      origin.write(response(200, 'early'));
      expect((await client.response()).content).toBe('early');
      const next = await bed.client(get('/next'));
      await until('it is asked', () => bed.left.requests > 0);
      origin.socket.resume();
      await until('it is there', () => bed.unasked > 0 || origin.text.includes('GET') || origin.over);
      const other = origin.text.includes('GET') ? origin : await bed.origin();
      // Behind all of the content, or on a connection of its own.
      expect(await origin.bytes(other === origin ? size : 0)).toBe(other === origin ? 'x'.repeat(size) : '');
      expect(await other.head()).toMatch(/^GET /);
      other.write(response(200, 'next', 'Connection: close'));
      expect((await next.response()).content).toBe('next');
      client.reset();
      next.reset();
      origin.reset();
      await until('the origins are forgotten', () => bed.idleOrigins === 0);
    }
    await bed.done();
  });

  test('that is an end of the connection is a bad gateway, and the content is let go', async () => {
    const { bed, client, origin } = await asked(request('POST', '/p', `Content-Length: ${MB}`) + 'some');
    origin.end();
    expect((await client.response()).status).toBe(502);
    await client.untilOver();
    await bed.done();
  });
});

test('an answer of our own behind content that has been read: the connection goes on, with what came behind it', async () => {
  const { bed, client, origin } = await asked(request('POST', '/p', 'Content-Length: 4') + `four${get('/next')}`);
  await origin.bytes(4);
  origin.end();
  const failed = await client.response();
  expect(failed.status).toBe(502);
  expect(failed.head).not.toMatch(/connection: close/i);
  const other = await bed.origin();
  expect(await other.head()).toMatch(/^GET \/next /);
  other.write(response(200, 'next'));
  expect((await client.response()).content).toBe('next');
  await bed.done();
});

describe('content that fails', () => {
  test('a client that goes in the middle of it', async () => {
    const { bed, client, origin } = await asked(request('POST', '/p', 'Content-Length: 1000') + 'some');
    client.reset();
    await origin.untilOver();
    await bed.done();
  });

  test('a client that ends in the middle of it', async () => {
    const { bed, client, origin } = await asked(request('POST', '/p', 'Content-Length: 1000') + 'some');
    client.end();
    await origin.untilOver();
    await bed.done();
  });

  test.each([
    ['malformed chunks', 'zz\r\n', 400],
    ['an endless chunk line', `${'0'.repeat(100_000)}`, 413],
  ])('%s', async (_name, bad, status) => {
    const bed = await front();
    const client = await bed.client(request('POST', '/p', 'Transfer-Encoding: chunked') + `4\r\nfour\r\n${bad}`);
    const answer = await client.response();
    expect(answer.status).toBe(status);
    await client.untilOver();
    await (await bed.origin()).untilOver();
    await bed.done();
  });

  test('malformed chunks behind an expectation are told at once, not when the origin gives up', async () => {
    const { bed, client, origin } = await asked(
      request('POST', '/p', 'Transfer-Encoding: chunked', 'Expect: 100-continue'),
      { responseTimeout: '1h' },
    );
    origin.write('HTTP/1.1 100 Continue\r\n\r\n');
    expect(await client.head()).toBe('HTTP/1.1 100 Continue\r\n\r\n');
    client.write('zz\r\n');
    expect((await client.response()).status).toBe(400);
    await origin.untilOver();
    await bed.done();
  });

  test('an origin that takes nothing of it for its idle time is a timeout, not a client that has gone', async () => {
    const bed = await front({ noCache: true, originTimeout: '300ms' });
    const size = 64 * MB;
    const client = await bed.client(request('POST', '/p', `Content-Length: ${size}`));
    const origin = await bed.origin();
    await origin.head();
    origin.socket.pause();
    client.write(Buffer.alloc(size, 'x'));
    expect((await client.response()).status).toBe(504);
    await bed.done();
  });
});

describe('Expect: 100-continue', () => {
  const expecting = request('POST', '/p', 'Content-Length: 4', 'Expect: 100-continue');

  test('the origin decides', async () => {
    const { bed, client, origin, head } = await asked(expecting);
    expect(head).toMatch(/expect: 100-continue/i);
    origin.write('HTTP/1.1 100 Continue\r\n\r\n');
    expect(await client.head()).toMatch(/^HTTP\/1.1 100 /);
    client.write('four');
    expect(await origin.bytes(4)).toBe('four');
    origin.write(response(200, 'ok'));
    expect((await client.response()).content).toBe('ok');
    client.write(get('/b'));
    await origin.head();
    origin.write(response(200, 'again'));
    expect((await client.response()).content).toBe('again');
    await bed.done();
  });

  test('a final answer in its place ends both connections, and says so', async () => {
    const { bed, client, origin } = await asked(expecting);
    origin.write(response(417, 'no'));
    const answer = await client.response();
    expect(answer.status).toBe(417);
    expect(answer.head).toMatch(/connection: close/i);
    await client.untilOver();
    await origin.untilOver();
    await bed.done();
  });

  test('an origin that says nothing is not waited for for ever', async () => {
    const { bed, client, origin } = await asked(expecting);
    expect(await client.head()).toMatch(/^HTTP\/1.1 100 /);
    client.write('four');
    expect(await origin.bytes(4)).toBe('four');
    origin.write(`HTTP/1.1 100 Continue\r\n\r\n${response(200, 'ok')}`);
    expect((await client.response()).content).toBe('ok');
    await bed.done();
  });

  test('a client that goes while it waits', async () => {
    const { bed, client, origin } = await asked(expecting);
    client.reset();
    await origin.untilOver();
    await bed.done();
  });

  test('a client that does not wait', async () => {
    const { bed, client, origin } = await asked(`${expecting}four`);
    expect(await origin.bytes(4)).toBe('four');
    origin.write(`HTTP/1.1 100 Continue\r\n\r\n${response(200, 'ok')}`);
    expect((await client.response()).content).toBe('ok');
    await bed.done();
  });
});

test('content that nobody asked for behind a GET is not taken for a request', async () => {
  const { bed, client, origin } = await asked(get('/stored'));
  origin.write(response(200, 'stored', 'Cache-Control: max-age=60'));
  await client.response();
  await bed.resting();
  const inner = get('/smuggled');
  client.write(request('TRACE', '/', 'Max-Forwards: 0') + get('/stored'));
  expect((await client.response()).status).toBe(200);
  expect((await client.response()).content).toBe('stored');
  client.write(get('/stored', `Content-Length: ${inner.length}`) + inner);
  // A GET with content is not answered from the store.
  expect(await origin.head()).toMatch(/^GET \/stored /);
  expect(await origin.bytes(inner.length)).toBe(inner);
  origin.write(response(200, 'fresh'));
  expect((await client.response()).content).toBe('fresh');
  await bed.done();
});

test('an answer that comes before the kernel has told that the content is through: the connection goes on', async () => {
  const bed = await front({ noCache: true });
  const client = await bed.client();
  let origin: Peer | undefined;
  for (let turn = 0; turn < 10; turn++) {
    client.write(request('POST', '/p', `Content-Length: ${MB}`));
    origin ??= await bed.origin();
    await origin.head();
    origin.write(response(200, `done ${turn}`));
    expect((await client.response()).content).toBe(`done ${turn}`);
    client.write(Buffer.alloc(MB, 'x'));
    expect((await origin.bytes(MB)).length).toBe(MB);
  }
  client.end();
  await bed.done();
});
