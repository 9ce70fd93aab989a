// splice-http with TLS, before it and behind it: the same messages, certificates that are checked, and connections that
// are cut.
import t from 'tap';
import { setTimeout as sleep } from 'node:timers/promises';
import { AuthorityFiles } from '../support/certificates.js';
import { Child, patient } from '../support/children.js';
import { ask, RawClient } from '../support/http-client.js';
import { pattern, PatternCheck } from '../support/http-message.js';
import { Origin } from '../support/http-origin.js';
import { emptyDirectory, file, httpGroup, startHttp } from '../support/http-proxy.js';

const MiB = 1024 * 1024;
const fresh = ['Cache-Control', 'max-age=600'] as const;
const noStore = ['Cache-Control', 'no-store'] as const;

const authority = new AuthorityFiles(emptyDirectory('authority'));
const one = authority.issue('one.example', '127.0.0.1');
const two = authority.issue('two.example');
const listen = ['--tls-listen', '127.0.0.1:0', '--tls-cert', one.cert, '--tls-key', one.key];
const both = [...listen, '--tls-cert', two.cert, '--tls-key', two.key];

const curl = (...args: readonly string[]): Child =>
  new Child('curl', ['-sS', '--max-time', '20', ...args], { input: '' });

await httpGroup('TLS in front', { args: both, listen: ['127.0.0.1:0'] }, async ({ origin, proxy, test }) => {
  const [plain = 0, secure = 0] = proxy.ports;
  const tls = { ca: authority.pem, servername: 'one.example', rejectUnauthorized: true };

  for (const count of [0, 1000, 100_000, 5 * MiB]) {
    for (const framing of ['length', 'chunked'] as const) {
      await test(`${count} bytes (${framing}): misses, hits, uploads`, async (t) => {
        const path = `/${framing}-${count}`;
        origin.on(path, async (reply, request) => {
          const body = await request.content();
          t.ok(body.equals(pattern(body.length, 0, 5)));
          const own = request.method === 'GET' ? fresh : noStore;
          if (framing === 'length') await reply.head(200, [own, ['Content-Length', `${count}`]]);
          else await reply.head(200, [own, ['Transfer-Encoding', 'chunked']]);
          if (framing === 'length') await reply.pattern(count);
          else {
            for (let at = 0; at < count; at += 50_000) await reply.chunk(pattern(Math.min(50_000, count - at), at));
            await reply.lastChunk();
          }
        });
        const client = await RawClient.connect(secure, { tls });
        for (const method of ['GET', 'GET', 'POST', 'GET']) {
          client.request(path, { method, ...(method === 'POST' && { body: pattern(count, 0, 5) }) });
          const check = new PatternCheck();
          const response = await client.answer({ take: check.take });
          t.same([response.status, response.whole, check.count, check.wrong], [200, true, count, undefined]);
          await sleep(20);
        }
        client.close();
        t.equal(origin.of(path).filter((request) => request.method === 'GET').length, 2, 'a hit, and a POST between');
      });
    }
  }

  await test('curl is content with certificate, name and protocol', async (t) => {
    origin.on('/curl', (reply) => reply.answer(200, [fresh], 'by TLS'));
    for (const [name, ok] of [
      ['one.example', true],
      ['two.example', true],
      ['three.example', false],
    ] as const) {
      for (const version of ['1.2', '1.3']) {
        const resolve = ['--resolve', `${name}:${secure}:127.0.0.1`, '--cacert', authority.ca];
        const limits = [`--tlsv${version}`, '--tls-max', version];
        const child = curl(...resolve, ...limits, '-w', ' %{http_version}', `https://${name}:${secure}/curl`);
        const { code, stdout, stderr } = await child.exited;
        t.equal(code === 0, ok, stderr);
        if (ok) t.equal(stdout.toString(), 'by TLS 1.1');
      }
    }
  });

  await test('the origin learns of the scheme, and http and https are stored apart', async (t) => {
    origin.on('/scheme', (reply, request) => reply.answer(200, [fresh], request.get('x-forwarded-proto') ?? 'none'));
    for (let round = 0; round < 2; round++) {
      t.equal((await ask(secure, '/scheme', { tls })).body.toString(), 'https');
      t.equal((await ask(plain, '/scheme')).body.toString(), 'http');
    }
    t.equal(origin.count('/scheme'), 2);
  });

  await test('an upgrade works here, too', async (t) => {
    origin.on('/socket', async (reply, request) => {
      await reply.raw('HTTP/1.1 101 Switching\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n');
      await request.stream.each(MiB, (piece) => void reply.raw(Buffer.from(piece)));
      reply.end();
    });
    const client = await RawClient.connect(secure, { tls });
    client.request('/socket', {
      fields: [
        ['Upgrade', 'echo'],
        ['Connection', 'Upgrade'],
      ],
    });
    t.equal((await client.answer()).status, 101);
    client.send(pattern(MiB));
    const check = new PatternCheck();
    await client.stream.each(MiB, check.take);
    t.same([check.count, check.wrong], [MiB, undefined]);
    client.close();
  });

  await test('an origin that dies: the end of the TLS connection is no proper one', async (t) => {
    for (const path of ['/dies', '/dies-until-close']) {
      origin.on(path, async (reply) => {
        await reply.head(200, [fresh, path === '/dies' ? ['Content-Length', '200000'] : ['Connection', 'close']]);
        await reply.pattern(100_000);
        await sleep(50);
        reply.reset();
      });
      const client = await RawClient.connect(secure, { tls });
      client.request(path, { version: 'HTTP/1.0' });
      const response = await client.response();
      t.notOk(response?.whole);
      t.not((await client.rest()).ending, 'fin');
    }
  });

  await test('plain HTTP on the port for TLS, and TLS on the port for plain HTTP', async (t) => {
    const lost = await RawClient.connect(secure);
    lost.request('/curl');
    const { bytes } = await lost.rest();
    t.notMatch(bytes.toString('latin1'), 'HTTP/1.1 200');
    const { code } = await curl('-k', `https://127.0.0.1:${plain}/curl`).exited;
    t.not(code, 0);
    t.equal((await ask(plain, '/curl')).status, 200);
  });

  await test('one that never finishes its handshake keeps nobody else', async (t) => {
    const silent = await Promise.all(Array.from({ length: 20 }, () => RawClient.connect(secure)));
    for (const client of silent) client.send('\x16\x03\x01');
    t.equal((await ask(secure, '/curl', { tls })).status, 200);
    for (const client of silent) client.close();
  });
});

await t.test('TLS to origins', { timeout: patient(120_000) }, async (t) => {
  const origin = await Origin.start({ tls: one.pem });
  for (const count of [1000, 3 * MiB]) {
    origin.on(`/${count}`, async (reply, request) => {
      const body = await request.content();
      t.ok(body.equals(pattern(body.length, 0, 5)));
      await reply.head(200, [request.method === 'GET' ? fresh : noStore, ['Content-Length', `${count}`]]);
      await reply.pattern(count);
    });
  }
  for (const how of ['end', 'cut', 'reset'] as const) {
    origin.on(`/${how}`, async (reply) => {
      await reply.head(200, [fresh, ['Connection', 'close']]);
      await reply.pattern(100_000);
      await sleep(50);
      reply[how]();
    });
  }
  const at = (name: string): string => `https://${name}:${origin.port}`;
  const trusted = await startHttp({ args: ['--origin', at('127.0.0.1'), '--origin-ca', authority.ca] });
  for (const count of [1000, 3 * MiB]) {
    for (const method of ['GET', 'GET', 'POST']) {
      const check = new PatternCheck();
      const body = method === 'POST' ? { body: pattern(count, 0, 5) } : {};
      const response = await ask(trusted.port, `/${count}`, { method, ...body, take: check.take });
      t.same([response.status, response.whole, check.count, check.wrong], [200, true, count, undefined], method);
    }
    t.equal(origin.count(`/${count}`), 2);
  }
  // One of four may be new for each POST: it is not sent on a connection that has rested for a while.
  t.ok(origin.connections < 4, 'connections are used again');
  for (const how of ['end', 'cut', 'reset']) {
    // Node does not tell a proper end of TLS from a cut (RFC 9112 section 9.8): so neither is kept.
    for (let i = 0; i < 2; i++) {
      const { status, whole } = await ask(trusted.port, `/${how}`);
      t.same([status, whole], [200, how !== 'reset'], how);
    }
    t.equal(origin.count(`/${how}`), 2, `${how}: not stored`);
  }
  await trusted.child.stop();

  for (const [what, args, expected] of [
    ['an unknown authority', ['--origin', at('127.0.0.1')], 502],
    ['another name', ['--origin', at('localhost'), '--origin-ca', authority.ca], 502],
    [
      'the name that was given',
      ['--origin', at('localhost'), '--origin-ca', authority.ca, '--origin-name', 'one.example'],
      200,
    ],
    ['anything', ['--origin', at('localhost'), '--origin-insecure'], 200],
  ] as const) {
    const proxy = await startHttp({ args });
    const response = await ask(proxy.port, '/1000');
    t.equal(response.status, expected, what);
    if (expected === 502) t.match(response.get('cache-status'), /detail=tls-failed/);
    await proxy.child.stop();
  }
  await origin.close();

  const demanding = await Origin.start({ tls: { ...one.pem, ca: authority.pem, demand: true } });
  demanding.on('*', (reply) => reply.answer(200, [noStore], 'known'));
  const base = ['--origin', `https://127.0.0.1:${demanding.port}`, '--origin-ca', authority.ca];
  const unknown = await startHttp({ args: base });
  t.equal((await ask(unknown.port, '/')).status, 502);
  await unknown.child.stop();
  const client = authority.issueClient('client.example');
  const known = await startHttp({ args: [...base, '--origin-cert', client.cert, '--origin-key', client.key] });
  t.equal((await ask(known.port, '/')).body.toString(), 'known');
  await known.child.stop();
  await demanding.close();
});

await t.test('certificates are read again at SIGHUP, and connections stay', { timeout: patient(60_000) }, async (t) => {
  const origin = await Origin.start();
  origin.on('*', (reply) => reply.answer(200, [noStore], 'here'));
  const cert = file('renewed/cert.pem', one.pem.cert);
  const key = file('renewed/key.pem', one.pem.key, 0o600);
  const args = ['--origin', origin.url, '--tls-listen', '127.0.0.1:0', '--tls-cert', cert, '--tls-key', key];
  const proxy = await startHttp({ args, listen: [] });
  const old = await RawClient.connect(proxy.port, {
    tls: { ca: authority.pem, servername: 'one.example', rejectUnauthorized: true },
  });
  file('renewed/cert.pem', two.pem.cert);
  file('renewed/key.pem', two.pem.key, 0o600);
  proxy.child.signal('SIGHUP');
  await proxy.waitForLog((line) => /reload|configuration/i.test(String(line['msg'])));
  const renewed = { ca: authority.pem, servername: 'two.example', rejectUnauthorized: true };
  t.equal((await ask(proxy.port, '/', { tls: renewed })).status, 200);
  old.request('/');
  t.equal((await old.answer()).status, 200);
  // Nonsense is refused, and what was there stays.
  file('renewed/cert.pem', 'nonsense');
  const before = proxy.log().length;
  proxy.child.signal('SIGHUP');
  await proxy.waitForLog((line) => ['warn', 'error'].includes(String(line['level'])), before);
  t.equal((await ask(proxy.port, '/', { tls: renewed })).status, 200);
  old.close();
  await proxy.child.stop();
  await origin.close();
});
