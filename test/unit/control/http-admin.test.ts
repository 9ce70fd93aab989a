/** The cache on the admin endpoint and the control socket, by real HTTP requests. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { startAdminServer, type AdminHttp } from '../../../src/control/admin-server.js';
import { askControl } from '../../../src/control/control-client.js';
import { startControlServer } from '../../../src/control/control-server.js';
import type { CacheActions } from '../../../src/control/http-actions.js';
import { HttpMetrics } from '../../../src/control/http-metrics.js';
import { readToken } from '../../../src/control/http-token.js';
import { FakeCache, STORED, STORE } from './http-fixture.js';

const TOKEN = '0123456789abcdef-token';

let directory: string;
let cache: FakeCache;
let open: { close(): Promise<void> }[];
let failures: unknown[];
const failed = (error: unknown) => void failures.push(error);

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'symsplice-test-'));
  cache = new FakeCache();
  open = [];
  failures = [];
});
afterEach(async () => {
  await Promise.all(open.map((server) => server.close()));
  await rm(directory, { recursive: true });
});

interface Asked {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly value: unknown;
}

async function admin(http: Partial<AdminHttp> = {}) {
  const server = await startAdminServer({
    address: { host: '127.0.0.1', port: 0 },
    metrics: new HttpMetrics('1'),
    draining: () => false,
    failed,
    http: { cache, ...http },
  });
  open.push(server);
  return (method: string, path: string, body?: string | Buffer, headers: Record<string, string> = {}) =>
    new Promise<Asked>((resolve, reject) => {
      const call = request({ host: '127.0.0.1', port: server.address.port, method, path, headers, agent: false });
      call.on('error', reject);
      call.on('response', (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          const value: unknown = response.headers['content-type'] === 'application/json' ? JSON.parse(text) : text;
          resolve({ status: response.statusCode ?? 0, headers: response.headers, value });
        });
      });
      call.end(body);
    });
}

const URL_A = 'https://example.com/a?b=c';

describe('purge', () => {
  test.each([
    ['POST', '/purge', { url: URL_A }, { kind: 'uri', uri: URL_A }, 'hard'],
    ['POST', '/purge', { url: URL_A, mode: 'hard' }, { kind: 'uri', uri: URL_A }, 'hard'],
    [
      'POST',
      '/purge',
      { url: 'HTTP://Example.COM:80/%2fx#y' },
      { kind: 'uri', uri: 'http://example.com/%2Fx' },
      'hard',
    ],
    [
      'POST',
      '/purge',
      { prefix: 'http://e.com/s/', mode: 'soft' },
      { kind: 'prefix', prefix: 'http://e.com/s/' },
      'soft',
    ],
    // Not also http://e.com.example/.
    ['POST', '/purge', { prefix: 'http://e.com' }, { kind: 'prefix', prefix: 'http://e.com/' }, 'hard'],
    ['POST', '/purge', { tag: 'product-7' }, { kind: 'tag', tag: 'product-7' }, 'hard'],
    ['POST', '/purge', { all: true, mode: 'soft' }, { kind: 'all' }, 'soft'],
    ['POST', `/purge?url=${encodeURIComponent(URL_A)}`, undefined, { kind: 'uri', uri: URL_A }, 'hard'],
    ['PURGE', '/purge?tag=t&mode=soft', undefined, { kind: 'tag', tag: 't' }, 'soft'],
    ['POST', '/purge?mode=soft', { tag: 't' }, { kind: 'tag', tag: 't' }, 'soft'],
  ] as const)('%s %s %j', async (method, path, body, order, mode) => {
    const ask = await admin();
    const answer = await ask(method, path, body && JSON.stringify(body));
    expect(answer).toMatchObject({ status: 200, value: { status: 'purged', mode, objects: 3, durable: true } });
    expect(cache.purged).toEqual([[order, mode]]);
  });

  test.each([
    ['/purge', '', 'bad-purge'],
    ['/purge', '{}', 'bad-purge'],
    ['/purge', '{"url":"https://a/","tag":"t"}', 'bad-purge'],
    ['/purge', '{"all":false}', 'bad-purge'],
    ['/purge', '{"all":"true"}', 'bad-purge'],
    ['/purge', '{"all":true,"tag":"t"}', 'bad-purge'],
    ['/purge', '{"tag":"t","mode":"gentle"}', 'bad-purge'],
    ['/purge', '{"tag":"t","sfot":true}', 'bad-purge'],
    ['/purge', '["tag"]', 'bad-purge'],
    ['/purge', 'null', 'bad-purge'],
    ['/purge', '7', 'bad-purge'],
    ['/purge', '{tag:t}', 'bad-json'],
    ['/purge', '{"url":"/a"}', 'bad-url'],
    ['/purge', '{"url":""}', 'bad-url'],
    ['/purge', '{"url":"ftp://a/"}', 'bad-url'],
    ['/purge', '{"url":"https://u:p@a/"}', 'bad-url'],
    ['/purge', '{"prefix":""}', 'bad-url'],
    ['/purge', '{"prefix":"https://"}', 'bad-url'],
    ['/purge', '{"tag":""}', 'bad-tag'],
    ['/purge', '{"tag":"a b"}', 'bad-tag'],
    ['/purge', '{"tag":"a,b"}', 'bad-tag'],
    ['/purge', JSON.stringify({ tag: 'x'.repeat(1025) }), 'bad-tag'],
    ['/purge?all=true', '', 'bad-purge'],
    ['/purge?all', '{"all":true}', 'bad-purge'],
    ['/purge?tag=a&tag=b', '', 'bad-purge'],
    ['/purge?tag=a', '{"tag":"b"}', 'bad-purge'],
    ['/purge?tag=a', '{"url":"https://a/"}', 'bad-purge'],
  ])('%s %s is refused, with a code and a next step', async (path, body, code) => {
    const ask = await admin();
    const answer = await ask('POST', path, body);
    expect(answer).toMatchObject({ status: 400, value: { code, error: expect.any(String), next: expect.any(String) } });
    expect(cache.purged).toEqual([]);
  });

  test.each([
    ['too long', Buffer.from(`{"tag":"t"${' '.repeat(70_000)}}`)],
    ['not UTF-8', Buffer.from([0x7b, 0xff, 0x7d])],
  ])('a body that is %s', async (_name, body) => {
    const ask = await admin();
    expect(await ask('POST', '/purge', body)).toMatchObject({ status: 413, value: { code: 'body-too-large' } });
    expect(cache.purged).toEqual([]);
  });

  test('reading does not purge', async () => {
    const ask = await admin();
    for (const method of ['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS']) {
      const { status, headers } = await ask(method, '/purge?tag=t');
      expect([status, headers['allow']], method).toEqual([405, 'POST, PURGE']);
    }
    expect(cache.purged).toEqual([]);
  });

  test('a purge that the disk did not take down says so', async () => {
    cache.durable = false;
    expect((await (await admin())('PURGE', '/purge?tag=t')).value).toMatchObject({ durable: false });
  });

  test('a failure is told to the log, not to the caller', async () => {
    const error = new Error('internals');
    const broken: CacheActions = {
      ...cache,
      stats: cache.stats,
      lookup: cache.lookup,
      purge: () => Promise.reject(error),
    };
    const answer = await (await admin({ cache: broken }))('PURGE', '/purge?tag=t');
    expect([answer.status, answer.value]).toEqual([500, 'internal error\n']);
    expect(failures).toEqual([error]);
  });
});

describe('cache', () => {
  test('numbers', async () => {
    const answer = await (await admin())('GET', '/cache');
    expect(answer).toMatchObject({
      status: 200,
      value: {
        requests: 3,
        hitRatio: 0.5,
        byteHitRatio: 0.25,
        outcomes: { hit: { requests: 1, bytes: 1000 }, miss: { requests: 1, bytes: 3000 } },
        store: STORE,
      },
    });
    expect(answer.headers['cache-control']).toBe('no-store');
  });

  test('lookup', async () => {
    const ask = await admin();
    const answer = await ask('GET', `/cache/lookup?url=${encodeURIComponent('HTTPS://Example.com')}`);
    expect(answer).toMatchObject({ status: 200, value: { url: 'https://example.com/', stored: [STORED] } });
    expect(cache.asked).toEqual(['https://example.com/']);
  });

  test.each(['', '?url=', '?url=/a', '?uri=https%3A%2F%2Fa%2F'])('lookup%s', async (query) => {
    const answer = await (await admin())('GET', `/cache/lookup${query}`);
    expect(answer).toMatchObject({ status: 400, value: { code: 'bad-url' } });
    expect(cache.asked).toEqual([]);
  });

  test('the index names the routes', async () => {
    expect((await (await admin())('GET', '/')).value).toMatch(/^symsplice splice-http\n[^]*\/purge/);
  });

  test('a server without a cache says so', async () => {
    const ask = await admin({ cache: undefined });
    for (const [method, path] of [
      ['POST', '/purge'],
      ['GET', '/cache'],
      ['GET', '/cache/lookup'],
    ] as const) {
      expect(await ask(method, path), path).toMatchObject({ status: 404, value: { code: 'no-cache' } });
    }
  });
});

describe('who may', () => {
  const purge = (ask: Awaited<ReturnType<typeof admin>>, headers: Record<string, string>) =>
    ask('POST', '/purge', '{"tag":"t"}', headers);

  test.each(['127.0.0.1', '127.0.0.1:9090', 'localhost', 'LOCALHOST:1', '[::1]:9090', '192.0.2.1', 'cache-1:80'])(
    'under the name %s',
    async (host) => {
      expect((await purge(await admin({ names: ['Cache-1'] }), { host })).status).toBe(200);
    },
  );

  test.each([
    'evil.example',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    '127.1',
    'a b',
    'x@localhost',
    '2130706433',
  ])('not under the name %s', async (host) => {
    const ask = await admin({ names: ['cache-1'] });
    expect(await purge(ask, { host })).toMatchObject({ status: 421, value: { code: 'unknown-host' } });
    for (const path of ['/cache', '/cache/lookup?url=https%3A%2F%2Fa%2F']) {
      expect((await ask('GET', path, undefined, { host })).status, path).toBe(421);
    }
    expect(cache.purged).toEqual([]);
    // Scrapers use whatever name they know.
    expect((await ask('GET', '/metrics', undefined, { host })).status).toBe(200);
    expect((await ask('GET', '/health', undefined, { host })).status).toBe(200);
  });

  test.each([
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
  ])('no web page: %j', async (headers) => {
    expect(await purge(await admin(), headers)).toMatchObject({ status: 403, value: { code: 'cross-site' } });
    expect(cache.purged).toEqual([]);
  });

  test('a token, where there is one, for all that tells or changes something', async () => {
    const ask = await admin({ token: () => TOKEN });
    for (const authorization of [
      '',
      TOKEN,
      `Basic ${TOKEN}`,
      `Bearer ${TOKEN}x`,
      `Bearer ${TOKEN.slice(1)}`,
      'Bearer ',
    ]) {
      const answer = await purge(ask, { authorization });
      expect(answer, authorization).toMatchObject({ status: 401, value: { code: 'token-wanted' } });
      expect(answer.headers['www-authenticate']).toBe('Bearer');
      for (const path of ['/metrics', '/cache', '/cache/lookup', '/nowhere']) {
        expect((await ask('GET', path, undefined, { authorization })).status, path).toBe(401);
      }
    }
    expect(cache.purged).toEqual([]);
    expect((await ask('GET', '/health')).status).toBe(200);
    // Under any name: a page cannot have it.
    const right = { authorization: `bearer ${TOKEN}`, host: 'proxy.example' };
    expect((await purge(ask, right)).status).toBe(200);
    expect((await ask('GET', '/metrics', undefined, right)).status).toBe(200);
  });

  test('a reload changes the token', async () => {
    let token: string | undefined = TOKEN;
    const ask = await admin({ token: () => token });
    expect((await purge(ask, {})).status).toBe(401);
    token = undefined;
    expect((await purge(ask, {})).status).toBe(200);
  });
});

describe('token file', () => {
  test('the first line counts', async () => {
    const path = join(directory, 'token');
    await writeFile(path, `${TOKEN}\r\nsecond\n`);
    expect(await readToken(path)).toBe(TOKEN);
  });

  test.each(['', '\n', 'short', `${'x'.repeat(8)} ${'x'.repeat(8)}`, 'ä'.repeat(20), 'x'.repeat(1025)])(
    '%j is none',
    async (text) => {
      const path = join(directory, 'token');
      await writeFile(path, text);
      const mistake = await readToken(path).catch((error: unknown) => error);
      expect(mistake).toMatchObject({ code: 'ERR_SPLICE_CONFIG', message: expect.stringContaining(path) });
      if (text.trim() !== '') expect((mistake as Error).message).not.toContain(text.trim());
    },
  );

  test('a file that is not there', async () => {
    await expect(readToken(join(directory, 'none'))).rejects.toThrow(/--admin-token.*ENOENT/);
  });
});

describe('control socket', () => {
  async function control(actions: CacheActions | undefined) {
    const { path, close } = await startControlServer({
      path: join(directory, 'c.sock'),
      failed,
      actions: {
        flows: () => ({ pid: 1, flows: [] }),
        stats: () => Promise.reject(new Error('not asked')),
        draining: () => false,
        drain: () => undefined,
        reload: () => Promise.resolve(),
        cache: actions,
      },
    });
    open.push({ close });
    return path;
  }

  test('the same questions and answers; a splice-socks says that it has no cache', async () => {
    const path = await control(cache);
    expect(await askControl(path, 'POST', '/purge', { tag: 't' })).toMatchObject({
      status: 200,
      value: { objects: 3 },
    });
    expect(cache.purged).toEqual([[{ kind: 'tag', tag: 't' }, 'hard']]);
    expect(await askControl(path, 'GET', '/cache')).toMatchObject({ status: 200, value: { requests: 3 } });
    await open.pop()?.close();
    const socks = await control(undefined);
    expect(await askControl(socks, 'POST', '/purge', { tag: 't' })).toMatchObject({
      status: 404,
      value: { code: 'no-cache', next: expect.stringContaining('splice-http') },
    });
  });
});
