/** What an origin may do to us: answers that are too long, too short, too early, unasked for, or none at all. */
import { describe, expect, test } from 'vitest';
import { front, get, request, response, type Front, type Peer } from './front-bed.js';

const STORED = 'Cache-Control: max-age=60';
const MB = 1024 * 1024;

/** One request is answered; the connection to the origin is there then, and used. */
async function warm(bed: Front, client: Peer): Promise<Peer> {
  client.write(get('/warm'));
  const origin = await bed.origin();
  await origin.head();
  origin.write(response(200, 'warm', 'Cache-Control: no-store'));
  expect((await client.response()).content).toBe('warm');
  await bed.resting();
  expect(bed.idleOrigins).toBe(1);
  return origin;
}

describe('bytes behind a response', () => {
  const poison = response(200, 'poison');
  test.each([
    ['a HEAD', 'HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n', `hello${poison}`],
    ['a 204', 'GET', 'HTTP/1.1 204 No Content\r\n\r\n', poison],
    ['a 304', 'GET', 'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n', poison],
    ['a length', 'GET', response(200, 'right'), poison],
    ['chunks', 'GET', `${response(200, '', 'Transfer-Encoding: chunked')}5\r\nright\r\n0\r\n\r\n`, poison],
    ['an empty one', 'GET', response(200), poison],
  ])('%s: the connection is not used again', async (_name, method, right, excess) => {
    const bed = await front();
    const client = await bed.client(request(method, '/a', 'If-None-Match: "a"'));
    const origin = await bed.origin();
    await origin.head();
    origin.write(right + excess);
    await client.head();
    await origin.untilOver();
    expect(bed.idleOrigins).toBe(0);
    const next = await bed.client(get('/b', 'Connection: close'));
    const other = await bed.origin();
    await other.head();
    other.write(response(200, 'right'));
    expect((await next.response()).content).toBe('right');
    await bed.done();
  });

  test('a 304 that validates: the connection is not used again', async () => {
    const bed = await front();
    const client = await bed.client(get('/v'));
    const origin = await bed.origin();
    await origin.head();
    origin.write(response(200, 'stored', 'Cache-Control: max-age=0', 'ETag: "a"'));
    await client.response();
    await bed.resting();
    client.write(get('/v'));
    await origin.head();
    origin.write(`HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n${poison}`);
    expect((await client.response()).content).toBe('stored');
    await origin.untilOver();
    expect(bed.idleOrigins).toBe(0);
    await bed.done();
  });
});

describe('101', () => {
  test('that nobody asked for is a bad gateway', async () => {
    const bed = await front();
    const client = await bed.client(get('/a'));
    const origin = await bed.origin();
    await origin.head();
    origin.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\nConnection: Upgrade\r\n\r\nbytes');
    expect((await client.response()).status).toBe(502);
    await origin.untilOver();
    await bed.done();
  });

  test('before the content of the request is there is a bad gateway', async () => {
    const bed = await front();
    const client = await bed.client(
      request('POST', '/a', 'Content-Length: 100', 'Upgrade: other', 'Connection: Upgrade') + 'some',
    );
    const origin = await bed.origin();
    await origin.head();
    origin.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\nConnection: Upgrade\r\n\r\n');
    expect((await client.response()).status).toBe(502);
    await client.untilOver();
    await bed.done();
  });

  test('for another protocol than those that were offered is a bad gateway', async () => {
    const bed = await front();
    const client = await bed.client(get('/a', 'Upgrade: websocket', 'Connection: Upgrade'));
    const origin = await bed.origin();
    await origin.head();
    origin.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\nConnection: Upgrade\r\n\r\n');
    expect((await client.response()).status).toBe(502);
    await bed.done();
  });
});

describe('interim responses', () => {
  test('go on to the client, but 100, which is not for it', async () => {
    const bed = await front();
    const client = await bed.client(get('/a'));
    const origin = await bed.origin();
    await origin.head();
    origin.write(
      'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\nX-Own: 1\r\nConnection: x-own\r\n\r\n',
    );
    const early = await client.head();
    expect(early).toMatch(/^HTTP\/1.1 103 .*\r\nLink: <\/x>\r\n/s);
    expect(early).not.toMatch(/x-own|connection/i);
    origin.write(response(200, 'final'));
    expect((await client.response()).content).toBe('final');
    await bed.done();
  });

  test('are not for HTTP/1.0', async () => {
    const bed = await front();
    const client = await bed.client('GET /a HTTP/1.0\r\n\r\n');
    const origin = await bed.origin();
    await origin.head();
    origin.write(`HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n${response(200, 'final')}`);
    expect((await client.response()).content).toBe('final');
    await client.untilOver();
    await bed.done();
  });

  test('without end are a bad gateway', async () => {
    const bed = await front();
    const client = await bed.client('GET /a HTTP/1.0\r\n\r\n');
    const origin = await bed.origin();
    await origin.head();
    origin.write('HTTP/1.1 102 Processing\r\n\r\n'.repeat(100));
    expect((await client.response()).status).toBe(502);
    await bed.done();
  });

  test('behind the final one spoil the connection', async () => {
    const bed = await front();
    const client = await bed.client(get('/a'));
    const origin = await bed.origin();
    await origin.head();
    origin.write(`${response(200, 'final')}HTTP/1.1 103 Early Hints\r\n\r\n`);
    expect((await client.response()).content).toBe('final');
    await origin.untilOver();
    await bed.done();
  });
});

describe('a connection that was used before', () => {
  test('and ends instead of answering: a GET is sent once more, on a new one', async () => {
    const bed = await front();
    const client = await bed.client();
    const origin = await warm(bed, client);
    client.write(get('/again'));
    await origin.head();
    origin.reset();
    const other = await bed.origin();
    expect(await other.head()).toMatch(/^GET \/again /);
    other.write(response(200, 'there'));
    expect((await client.response()).content).toBe('there');
    await bed.done();
  });

  test('and the new one too: 502, and no third', async () => {
    const bed = await front();
    const client = await bed.client();
    const origin = await warm(bed, client);
    client.write(get('/again'));
    await origin.head();
    origin.end();
    const other = await bed.origin();
    await other.head();
    other.end();
    expect((await client.response()).status).toBe(502);
    expect(bed.unasked).toBe(0);
    await bed.done();
  });

  test('dies in the middle of a head: not sent again', async () => {
    const bed = await front();
    const client = await bed.client();
    const origin = await warm(bed, client);
    client.write(get('/again'));
    await origin.head();
    origin.write('HTTP/1.1 2');
    origin.end();
    expect((await client.response()).status).toBe(502);
    expect(bed.unasked).toBe(0);
    await bed.done();
  });

  test.each([
    ['POST with content', request('POST', '/p', 'Content-Length: 4') + 'once'],
    ['POST without content', request('POST', '/p', 'Content-Length: 0')],
    ['PUT with content', request('PUT', '/p', 'Content-Length: 4') + 'once'],
  ])('%s is never sent twice', async (_name, sent) => {
    const bed = await front();
    const client = await bed.client();
    const origin = await warm(bed, client);
    client.write(sent);
    await origin.head();
    origin.reset();
    expect((await client.response()).status).toBe(502);
    expect(bed.unasked).toBe(0);
    await bed.done();
  });

  test('and is to be closed by its own word is not kept', async () => {
    const bed = await front();
    const client = await bed.client(get('/a'));
    const origin = await bed.origin();
    await origin.head();
    origin.write(response(200, 'last', 'Connection: close'));
    expect((await client.response()).content).toBe('last');
    await origin.untilOver();
    // By FIN: it has got all.
    expect(origin.ended).toBe(true);
    expect(origin.broken).toBeUndefined();
    expect(bed.idleOrigins).toBe(0);
    await bed.done();
  });
});

describe('content that ends early', () => {
  test.each([
    ['by FIN, by length', response(200, 'half', 'Content-Length: 8', STORED), false],
    ['by RST, by length', response(200, 'half', 'Content-Length: 8', STORED), true],
    ['by FIN, chunked', `${response(200, '', 'Transfer-Encoding: chunked', STORED)}4\r\nhalf\r\n`, false],
    ['by RST, to its end', 'HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n\r\nhalf', true],
  ])('%s: the client is cut, nothing is stored as if it were whole', async (_name, said, reset) => {
    const bed = await front();
    const client = await bed.client(get('/a'));
    const origin = await bed.origin();
    await origin.head();
    origin.write(said);
    await client.until('the first half', () => client.text.includes('half'));
    if (reset) origin.reset();
    else origin.end();
    await client.untilOver();
    expect(client.broken).toBe('ECONNRESET');
    expect(client.text).not.toContain('0\r\n\r\n');
    await bed.resting();
    const next = await bed.client(get('/a', 'Connection: close'));
    const other = await bed.origin();
    await other.head();
    other.write(response(200, 'all of it'));
    expect((await next.response()).content).toBe('all of it');
    await bed.done();
  });

  test('and is long, so that the kernel moves it', async () => {
    const bed = await front();
    const client = await bed.client(get('/a'));
    const origin = await bed.origin();
    await origin.head();
    origin.write(response(200, 'x'.repeat(MB), `Content-Length: ${2 * MB}`, STORED));
    await client.until('the first half', () => client.text.length > MB);
    origin.reset();
    await client.untilOver();
    expect(client.broken).toBe('ECONNRESET');
    await bed.done();
  });
});

describe('garbage', () => {
  test.each([
    ['no HTTP', 'SSH-2.0-OpenSSH\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'],
    ['a bad chunk first', `${response(200, '', 'Transfer-Encoding: chunked')}zz\r\n`],
  ])('%s', async (_name, said) => {
    const bed = await front();
    const client = await bed.client(get('/a'));
    const origin = await bed.origin();
    await origin.head();
    origin.write(said);
    await client
      .until('an answer or an end', () => client.text.includes('\r\n\r\n') || client.over)
      .catch(() => undefined);
    expect(client.text).toMatch(/^(HTTP\/1.1 502|HTTP\/1.1 200.*chunked|$)/s);
    await origin.untilOver();
    await bed.done();
  });

  test('a failed validation: the stale response goes out where that is allowed', async () => {
    const bed = await front();
    const client = await bed.client(get('/s'));
    const origin = await bed.origin();
    await origin.head();
    origin.write(
      response(200, 'stale', 'Cache-Control: max-age=0, stale-if-error=60', 'ETag: "a"', 'Connection: close'),
    );
    await client.response();
    await bed.resting();
    client.write(get('/s'));
    const other = await bed.origin();
    await other.head();
    other.reset();
    const answer = await client.response();
    expect(answer.content).toBe('stale');
    expect(answer.head).toMatch(/cache-status: .*(unreachable|stale)/i);
    await bed.done();
  });
});
