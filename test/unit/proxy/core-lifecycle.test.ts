/** Drain, reload and stop, with connections in every state. */
import { describe, expect, test } from 'vitest';
import { settled, until } from '../../support/flow-bed.js';
import { asked, front, get, request, response, type Front } from './front-bed.js';

const STORED = 'Cache-Control: max-age=60';
const MB = 1024 * 1024;

/** So often was it answered from the cache. */
function answersTo(bed: Front, path: string): number {
  return bed.lines.filter(({ target, cache }) => target === path && cache === 'hit').length;
}

describe('drain', () => {
  test('idle connections close, busy ones are answered, half a head is waited for', async () => {
    const bed = await front();
    const idle = await bed.client();
    const half = await bed.client('GET /half HTTP/1.1\r\n');
    const busy = await bed.client(get('/busy') + get('/behind'));
    const origin = await bed.origin();
    await origin.head();
    await until('all are there', () => bed.left.connections === 3);
    const drained = bed.server.drain();
    await idle.untilOver();
    expect(idle.ended).toBe(true);
    idle.end();
    half.write('Host: front.test\r\n\r\n');
    const other = await bed.origin();
    expect(await other.head()).toMatch(/^GET \/half /);
    other.write(response(200, 'half'));
    const late = await half.response();
    expect(late.content).toBe('half');
    expect(late.head).toMatch(/connection: close/i);
    origin.write(response(200, 'busy'));
    const last = await busy.response();
    expect(last.content).toBe('busy');
    expect(last.head).toMatch(/connection: close/i);
    await busy.untilOver();
    // The second one of the connection was not begun.
    expect(busy.text).toBe('');
    busy.end();
    half.end();
    await drained;
    await bed.done();
  });

  test('what is unsent goes out', async () => {
    const bed = await front({ cacheInline: '1m', cacheMemory: '64m' });
    const size = 900 * 1024;
    await bed.store('/big', 'x'.repeat(size));
    const client = await bed.client();
    client.socket.pause();
    client.write(get('/big').repeat(20));
    const times = await settled(() => answersTo(bed, '/big'));
    expect(times).toBeLessThan(20);
    const drained = bed.server.drain();
    client.socket.resume();
    for (let i = 0; i < times; i++) expect((await client.response()).content.length).toBe(size);
    // One more was there already: it is answered, and it is the last.
    const last = await client.response();
    expect(last.content.length).toBe(size);
    expect(last.head).toMatch(/connection: close/i);
    await client.untilOver();
    expect(client.ended).toBe(true);
    client.end();
    await drained;
    await bed.done();
  });

  test('what is unsent of the last answer of a connection that rests goes out', async () => {
    const bed = await front({ cacheInline: '64k', cacheMemory: '64m' });
    const size = 60 * 1024;
    await bed.store('/hit', 'x'.repeat(size));
    const measure = await bed.client();
    measure.socket.pause();
    measure.write(get('/hit').repeat(1000));
    const most = await settled(() => answersTo(bed, '/hit'));
    // Two less than what makes it wait: the kernel is full, and something is unsent.
    const client = await bed.client();
    client.socket.pause();
    client.write(get('/hit').repeat(most - 2));
    await until('all are answered', () => answersTo(bed, '/hit') === 2 * most - 2);
    measure.reset();
    const drained = bed.server.drain();
    client.socket.resume();
    for (let i = 0; i < most - 2; i++) expect((await client.response()).content.length).toBe(size);
    await client.untilOver();
    client.end();
    await drained;
    await bed.done();
  });

  test('ends only when those who leave have got what was unsent', async () => {
    const bed = await front({ cacheInline: '1m', cacheMemory: '64m' });
    const size = 900 * 1024;
    await bed.store('/big', 'x'.repeat(size));
    const client = await bed.client();
    client.socket.pause();
    client.write(get('/big').repeat(20));
    const times = await settled(() => answersTo(bed, '/big'));
    const drained = bed.server.drain().then(() => bed.server.stop());
    client.socket.resume();
    for (let i = 0; i <= times; i++) expect((await client.response()).content.length).toBe(size);
    await client.untilOver();
    client.end();
    await drained;
  });

  test('waits for a fill that nobody looks at any more', async () => {
    const { bed, client, origin } = await asked(get('/a'));
    origin.write(response(200, 'some', 'Content-Length: 8', STORED));
    await client.until('the first half', () => client.text.endsWith('some'));
    client.reset();
    await until('it is gone', () => bed.left.connections === 0);
    const drained = bed.server.drain();
    origin.write('more');
    await drained;
    await bed.done();
  });
});

describe('stop', () => {
  test('in the middle of everything leaves nothing', async () => {
    const bed = await front();
    // A head, a wait for an answer, a wait for another's, a body by copy, one by the kernel, an upload, and a rest.
    await bed.client('GET /half HTTP/1.1\r\n');
    await bed.client(get('/asked'));
    await (await bed.origin()).head();
    await bed.client(get('/asked'));
    await until('it waits', () => bed.left.collapsed === 1);
    const copied = await bed.client(get('/copied'));
    const one = await bed.origin();
    await one.head();
    one.write(`${response(200, '', 'Transfer-Encoding: chunked', STORED)}4\r\nsome\r\n`);
    await copied.until('content', () => copied.text.includes('some'));
    const moved = await bed.client(get('/moved'));
    const two = await bed.origin();
    await two.head();
    two.write(response(200, 'x'.repeat(MB), `Content-Length: ${2 * MB}`, STORED));
    await moved.until('content', () => moved.text.length > MB / 2);
    await bed.client(request('POST', '/up', 'Content-Length: 8') + 'some');
    await (await bed.origin()).head();
    const gone = await bed.client(get('/fill'));
    const three = await bed.origin();
    await three.head();
    three.write(response(200, 'some', 'Content-Length: 8', STORED));
    await gone.until('content', () => gone.text.endsWith('some'));
    gone.reset();
    await until('it is gone', () => bed.left.connections === 6);
    await bed.server.stop();
    expect(bed.left).toMatchObject({ connections: 0, requests: 0, tunnels: 0, busy: 0 });
  });

  test('while an origin is connected to, and before anything', async () => {
    const bed = await front();
    await bed.server.stop();
  });
});

test('a reload between two requests of a connection: the new rules hold for the second', async () => {
  const bed = await front();
  const { loadHttpConfig } = await import('../../../src/server/http-config.js');
  const client = await bed.client(get('/a'));
  const origin = await bed.origin();
  await origin.head();
  // While the first is under way.
  const config = await loadHttpConfig({ listen: ['0'], origin: `http://127.0.0.1:${bed.originPort}`, via: 'renamed' });
  (await bed.server.prepareReload({ ...config, cacheDir: '' }))();
  origin.write(response(200, 'one'));
  expect((await client.response()).head).toMatch(/via: 1.1 splice-http/i);
  client.write(get('/b'));
  expect(await origin.head()).toMatch(/via: 1.1 renamed/i);
  origin.write(response(200, 'two'));
  expect((await client.response()).head).toMatch(/via: 1.1 renamed/i);
  await bed.done();
});
