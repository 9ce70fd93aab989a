// Operating splice-http: signals, configuration, metrics, health, purges by hand, workers.
import t from 'tap';
import { eventually, patient } from '../support/children.js';
import { ask, RawClient } from '../support/http-client.js';
import { pattern, PatternCheck } from '../support/http-message.js';
import { Gate, Origin } from '../support/http-origin.js';
import { admin, emptyDirectory, file, runHttp, splicectl, startHttp, type HttpProxy } from '../support/http-proxy.js';

const MiB = 1024 * 1024;
const fresh = ['Cache-Control', 'max-age=600'] as const;
const noStore = ['Cache-Control', 'no-store'] as const;

t.setTimeout(3_600_000);
const origin = await Origin.start();
t.teardown(() => origin.close());
origin.on('/hello', (reply) => reply.answer(200, [fresh, ['Surrogate-Key', 'greetings']], 'hello'));
origin.on('/fresh', (reply) => reply.answer(200, [noStore], 'fresh'));
origin.on('/sink', async (reply, request) => {
  await request.content();
  await reply.answer(200, [noStore], 'taken');
});

const test = (name: string, body: (t: import('tap').Test) => Promise<void>) =>
  t.test(name, { timeout: patient(60_000) }, body);
const start = (...args: readonly string[]): Promise<HttpProxy> =>
  startHttp({ args: ['--origin', origin.url, ...args] });
const exit = async (proxy: HttpProxy): Promise<number | null> => (await proxy.child.exited).code;

/** An answer that waits in its middle. */
function halfWay(path: string): Gate {
  const gate = new Gate();
  origin.on(path, async (reply) => {
    await reply.head(200, [noStore, ['Content-Length', `${2 * MiB}`]]);
    await reply.pattern(MiB);
    await gate.opened;
    await reply.pattern(MiB, { from: MiB });
  });
  return gate;
}

await test('SIGTERM: nobody new is let in, what is under way is finished, and then it ends with 0', async (t) => {
  const proxy = await start();
  const idle = await RawClient.connect(proxy.port);
  idle.request('/hello');
  await idle.answer();
  const gate = halfWay('/drain');
  const busy = await RawClient.connect(proxy.port);
  busy.request('/drain');
  await busy.stream.until('\r\n\r\n');
  const check = new PatternCheck();
  await busy.stream.each(1000, check.take);
  proxy.child.signal('SIGTERM');
  await proxy.waitForLog((line) => String(line['msg']).startsWith('draining'));
  await t.rejects(RawClient.connect(proxy.port), /ECONNREFUSED/);
  t.equal((await idle.rest()).ending, 'fin', 'who rests is let go');
  const health = await admin(proxy, '/health');
  t.equal(health.status, 503);
  t.ok(proxy.child.running);
  gate.open();
  await busy.stream.each(2 * MiB - 1000, check.take);
  t.same([check.count, check.wrong], [2 * MiB, undefined]);
  t.equal((await busy.rest()).ending, 'fin', 'and its connection is closed behind it');
  t.equal(await exit(proxy), 0);
});

await test('SIGTERM ends a proxy with nothing to do at once', async (t) => {
  const proxy = await start();
  proxy.child.signal('SIGTERM');
  t.equal(await exit(proxy), 0);
});

for (const how of ['a second SIGTERM', 'the drain timeout'] as const) {
  await test(`${how} ends what is under way, by reset`, async (t) => {
    const proxy = await start('--drain-timeout', how === 'the drain timeout' ? '1s' : '1m');
    halfWay('/never');
    const busy = await RawClient.connect(proxy.port);
    busy.request('/never');
    await busy.stream.bytes(1000);
    proxy.child.signal('SIGTERM');
    if (how === 'a second SIGTERM') {
      await proxy.waitForLog((line) => String(line['msg']).startsWith('draining'));
      proxy.child.signal('SIGTERM');
    }
    t.equal(await exit(proxy), 0);
    t.equal((await busy.rest()).ending, 'reset');
  });
}

await test('a tunnel counts as under way', async (t) => {
  const proxy = await start();
  origin.on('/socket', async (reply, request) => {
    await reply.raw('HTTP/1.1 101 Switching\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n');
    for (let piece = await request.stream.some(); piece !== undefined; piece = await request.stream.some()) {
      await reply.raw(piece);
    }
    reply.end();
  });
  const client = await RawClient.connect(proxy.port);
  client.request('/socket', {
    fields: [
      ['Upgrade', 'echo'],
      ['Connection', 'Upgrade'],
    ],
  });
  t.equal((await client.answer()).status, 101);
  proxy.child.signal('SIGTERM');
  await proxy.waitForLog((line) => String(line['msg']).startsWith('draining'));
  client.send('still here');
  t.equal((await client.stream.bytes(10)).toString(), 'still here');
  t.ok(proxy.child.running);
  client.finish();
  t.equal((await client.rest()).ending, 'fin');
  t.equal(await exit(proxy), 0);
});

await test('SIGHUP: other origins for new requests, old ones for those under way; a mistake changes nothing', async (t) => {
  const other = await Origin.start();
  other.on('*', (reply) => reply.answer(200, [noStore], 'other'));
  const config = (url: string): string => file('http.yaml', `origin: ${url}\nvia: none\n`);
  const proxy = await startHttp({ args: ['--config', config(origin.url)] });
  const gate = halfWay('/reload');
  const busy = await RawClient.connect(proxy.port);
  busy.request('/reload');
  await busy.stream.bytes(1000);
  const kept = await RawClient.connect(proxy.port);
  kept.request('/fresh');
  t.equal((await kept.answer()).body.toString(), 'fresh');
  config(other.url);
  proxy.child.signal('SIGHUP');
  await eventually(
    async () => (await ask(proxy.port, '/fresh')).body.toString(),
    (body) => body === 'other',
    'the new configuration does not hold',
  );
  kept.request('/fresh');
  t.equal((await kept.answer()).body.toString(), 'other', 'also on a connection that was there');
  gate.open();
  const { bytes } = await new Promise<{ bytes: Buffer }>((resolve) => {
    void busy.stream.bytes(MiB).then((part) => resolve({ bytes: part }));
  });
  t.equal(bytes.length, MiB, 'what was under way goes on');
  file('http.yaml', 'origin: nonsense\n');
  const before = proxy.log().length;
  proxy.child.signal('SIGHUP');
  const line = await proxy.waitForLog((entry) => /http\.yaml/.test(JSON.stringify(entry)), before);
  t.match(JSON.stringify(line), /origin/);
  t.equal((await ask(proxy.port, '/fresh')).body.toString(), 'other');
  busy.close();
  kept.close();
  await proxy.child.stop();
  await other.close();
});

await test('sites: by host and path, with rules of their own', async (t) => {
  const other = await Origin.start();
  other.on('*', (reply, request) => reply.answer(200, [fresh], `other ${request.get('host')}`));
  origin.on('*', (reply) => reply.answer(200, [fresh], 'first'));
  const config = file(
    'sites.yaml',
    `sites:
  - host: [www.example, "*.shop.example"]
    origin: ${origin.url}
  - host: www.example
    path: /api/
    origin: ${other.url}
    cache: off
  - host: origin.example
    origin: ${other.url}
    host-header: origin
`,
  );
  const proxy = await startHttp({ args: ['--config', config] });
  const get = (host: string, path: string) => ask(proxy.port, path, { fields: [['Host', host]] });
  t.equal((await get('www.example', '/')).body.toString(), 'first');
  t.equal((await get('a.shop.example', '/')).body.toString(), 'first');
  t.equal((await get('WWW.Example:80', '/apix')).body.toString(), 'first');
  for (let i = 0; i < 2; i++) {
    const api = await get('www.example', '/api/x');
    t.equal(api.body.toString(), 'other www.example');
    t.match(api.get('cache-status'), /fwd=bypass/);
  }
  t.equal(other.count('/api/x'), 2);
  t.equal((await get('origin.example', '/')).body.toString(), `other 127.0.0.1:${other.port}`);
  const nobody = await get('elsewhere.example', '/');
  t.ok(nobody.status === 404 || nobody.status === 421, `${nobody.status}`);
  await proxy.child.stop();
  await other.close();
});

await test('what cannot start says why: usage is 2, an address or a directory in use is 1', async (t) => {
  const proxy = await start();
  const cases = [
    [[], 2, /--origin/],
    [['--origin', 'nonsense'], 2, /nonsense/],
    [['--origin', origin.url, '--no-such-flag'], 2, /no-such-flag/],
    [['--origin', origin.url, '--listen', `127.0.0.1:${proxy.port}`, '--no-cache'], 1, /another process listens/],
    [['--forward', '--listen', '0.0.0.0:0'], 2, /users|rules|open/],
  ] as const;
  for (const [args, code, message] of cases) {
    const finished = await runHttp('--no-control', ...args);
    t.equal(finished.code, code, args.join(' '));
    t.match(finished.stderr, message);
  }
  const cache = emptyDirectory('shared-cache');
  const first = await startHttp({ cache, args: ['--origin', origin.url] });
  const second = await runHttp('--no-control', '--origin', origin.url, '--listen', '127.0.0.1:0', '--cache-dir', cache);
  t.equal(second.code, 1);
  t.match(second.stderr, /in use/);
  t.equal((await ask(first.port, '/hello')).status, 200);
  await first.child.stop();
  await proxy.child.stop();
  t.equal((await runHttp('--origin', origin.url, '--cache-dir', cache, '--check')).code, 0);
  t.equal((await runHttp('--origin', 'nonsense', '--check')).code, 1);
});

/** The value of one line of metrics; undefined: there is none. */
function metric(text: string, name: string, labels: Readonly<Record<string, string>> = {}): number | undefined {
  for (const line of text.split('\n')) {
    const [, found, list = '', value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    if (found !== name) continue;
    if (Object.entries(labels).every(([key, wanted]) => list.includes(`${key}="${wanted}"`))) return Number(value);
  }
  return undefined;
}

for (const workers of [1, 2]) {
  await test(`metrics, access log, splice-ctl with ${workers} worker(s)`, async (t) => {
    const proxy = await start('--workers', `${workers}`);
    const before = origin.count('/hello');
    // Each on a connection of its own: they spread over the workers.
    for (let i = 0; i < 20; i++) t.equal((await ask(proxy.port, '/hello')).body.toString(), 'hello');
    const asked = origin.count('/hello') - before;
    t.ok(asked >= 1 && asked <= workers, `${asked} questions`);
    t.equal((await ask(proxy.port, '/fresh')).status, 200);
    t.equal((await ask(proxy.port, '/hello', { method: 'POST', body: pattern(1000) })).status, 200);
    for (let i = 0; i < 2 * workers; i++) await ask(proxy.port, '/hello');

    const requests = 'symsplice_http_requests_total';
    const counted = (seen: string, cache: string): number =>
      metric(seen, requests, { cache, method: 'GET', status: '2xx' }) ?? 0;
    // What was answered from an origin is counted a moment after the client has it.
    const text = await eventually(
      async () => (await admin(proxy, '/metrics')).text,
      (seen) =>
        metric(seen, 'symsplice_http_request_bytes_total') === 1000 &&
        counted(seen, 'hit') + counted(seen, 'collapsed') >= 20 - workers &&
        counted(seen, 'miss') >= 2,
      'the numbers do not come',
    );
    t.ok((metric(text, 'symsplice_http_cache_objects') ?? 0) >= 1);
    t.ok((metric(text, 'symsplice_http_origin_connections_total') ?? 0) >= 1);
    t.equal((await admin(proxy, '/health')).status, 200);

    const line = await proxy.waitForLog((entry) => entry['target'] === '/fresh');
    t.match(line, {
      client: /^127\.0\.0\.1/,
      method: 'GET',
      host: 'site.example',
      version: /1\.1/,
      status: 200,
      bytes_out: 5,
      cache: 'miss',
      route: 'default',
      origin: origin.url,
      reason: 'ok',
    });
    t.type(line['ms'], 'number');

    t.match(await splicectl(proxy, 'stats'), /request/i);
    t.match(await splicectl(proxy, 'cache', 'http://site.example/hello'), /200/);
    t.match(await splicectl(proxy, 'purge', '--tag', 'greetings'), /purged/);
    const after = origin.count('/hello');
    const statuses = new Set<boolean>();
    for (let i = 0; i < 4 * workers; i++) {
      statuses.add(/; hit/.test((await ask(proxy.port, '/hello')).get('cache-status') ?? ''));
    }
    t.ok(statuses.has(false), 'it is gone');
    t.ok(origin.count('/hello') - after <= workers);
    t.match(await splicectl(proxy, 'purge', 'http://site.example/hello'), /purged/);
    t.equal((await ask(proxy.port, '/hello')).status, 200);
    t.match(await splicectl(proxy, 'purge', '--everything'), /purged/);
    await t.rejects(splicectl(proxy, 'purge'));
    t.same(proxy.complaints(), []);
    await splicectl(proxy, 'drain');
    t.equal(await exit(proxy), 0);
  });
}

await test('several workers: content is right whoever serves it, and a worker cache survives a restart', async (t) => {
  const cache = emptyDirectory('workers');
  const args = ['--origin', origin.url, '--workers', '3'];
  for (const size of [500, 100_000, 2 * MiB]) {
    origin.on(`/size/${size}`, async (reply) => {
      await reply.head(200, [fresh, ['Content-Length', `${size}`]]);
      await reply.pattern(size);
    });
  }
  for (let round = 0; round < 2; round++) {
    const proxy = await startHttp({ cache, args });
    const all = [500, 100_000, 2 * MiB].flatMap((size) => Array.from({ length: 20 }, () => size));
    await Promise.all(
      all.map(async (size) => {
        const check = new PatternCheck();
        const response = await ask(proxy.port, `/size/${size}`, { take: check.take });
        t.same([response.status, response.whole, check.count, check.wrong], [200, true, size, undefined]);
      }),
    );
    proxy.child.signal(round === 0 ? 'SIGKILL' : 'SIGTERM');
    await proxy.child.exited;
  }
  for (const size of [500, 100_000, 2 * MiB]) t.ok(origin.count(`/size/${size}`) <= 6);
});

await test('limits: connections in all and of one client, requests of a connection, sizes', async (t) => {
  const proxy = await start(
    '--max-per-client',
    '3',
    '--max-requests',
    '2',
    '--max-request-body',
    '1000',
    '--max-head',
    '2k',
  );
  const clients = await Promise.all([1, 2, 3].map(() => RawClient.connect(proxy.port)));
  for (const client of clients) {
    client.request('/fresh');
    t.equal((await client.answer()).status, 200);
  }
  // The reset may be here before it is known that the connection is.
  const fourth = await RawClient.connect(proxy.port).catch(() => undefined);
  t.equal((await fourth?.rest())?.bytes.length ?? 0, 0, 'closed without a word');
  t.equal((await ask(proxy.port, '/fresh', { from: '127.0.0.7' })).status, 200, 'another client');
  for (const client of clients) {
    client.request('/fresh');
    t.match((await client.answer()).get('connection'), /close/i, 'the last of its requests');
    t.equal((await client.rest()).ending, 'fin');
  }
  await eventually(
    async () => (await ask(proxy.port, '/fresh').catch(() => undefined))?.status,
    (code) => code === 200,
    'the seats are not given back',
  );
  for (const fields of [[['Content-Length', '1001']], [['Transfer-Encoding', 'chunked']]] as const) {
    const client = await RawClient.connect(proxy.port, { from: '127.0.0.8' });
    // An origin that answers before it has the content would be as right.
    client.request('/sink', { method: 'POST', fields });
    client.send(fields[0][0] === 'Content-Length' ? pattern(1001) : `3e9\r\n${'x'.repeat(1001)}\r\n0\r\n\r\n`);
    t.equal((await client.answer()).status, 413, fields[0][0]);
    client.close();
  }
  const long = await RawClient.connect(proxy.port, { from: '127.0.0.8' });
  long.request(`/fresh`, { fields: [['X', 'y'.repeat(3000)]] });
  t.equal((await long.answer()).status, 431);
  long.close();
  await proxy.child.stop();
});
