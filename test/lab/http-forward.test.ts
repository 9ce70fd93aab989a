// splice-http as a forward proxy, asked by real curl and byte by byte: URLs of others, tunnels, and who may go where.
import t from 'tap';
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { AuthorityFiles } from '../support/certificates.js';
import { Child, patient, type Finished } from '../support/children.js';
import { RawClient } from '../support/http-client.js';
import { pattern, PatternCheck } from '../support/http-message.js';
import { Origin } from '../support/http-origin.js';
import { emptyDirectory, file, httpGroup, startHttp, type HttpProxy } from '../support/http-proxy.js';

const MiB = 1024 * 1024;
const fresh = ['Cache-Control', 'max-age=600'] as const;
const noStore = ['Cache-Control', 'no-store'] as const;

const authority = new AuthorityFiles(emptyDirectory('authority'));
const certificate = authority.issue('localhost', '127.0.0.1');

/** curl with a proxy, whatever the surroundings say of proxies. */
const curl = (proxy: HttpProxy, ...args: readonly string[]): Promise<Finished> =>
  new Child('curl', ['-sS', '--max-time', '30', '--noproxy', '', '-x', `http://127.0.0.1:${proxy.port}`, ...args], {
    input: '',
  }).exited;

await httpGroup(
  'forward',
  { noOrigin: true, args: ['--forward', '--connect-ports', 'any', '--connect-timeout', '2s'] },
  async ({ origin, proxy, test }) => {
    origin.on('/hello', (reply, request) => reply.answer(200, [fresh], `hello ${request.get('host')}`));
    origin.on('/echo', async (reply, request) => reply.answer(200, [noStore], await request.content()));

    await test('curl gets a URL, and gets it from the store the second time', async (t) => {
      for (let i = 0; i < 2; i++) {
        const { code, stdout, stderr } = await curl(proxy, '-i', `${origin.url}/hello`);
        t.equal(code, 0, stderr);
        t.match(stdout.toString(), `hello 127.0.0.1:${origin.port}`);
        t.match(stdout.toString(), i === 0 ? /cache-status: .*fwd=uri-miss/i : /cache-status: .*hit/i);
      }
      t.equal(origin.count('/hello'), 1);
      t.equal(origin.of('/hello')[0]?.target, '/hello', 'in origin form');
    });

    await test('curl sends content', async (t) => {
      const body = file('content', pattern(3 * MiB));
      const { code, stdout, stderr } = await curl(proxy, '-X', 'PUT', '-T', body, `${origin.url}/echo`);
      t.equal(code, 0, stderr);
      t.ok(stdout.equals(pattern(3 * MiB)));
    });

    await test('the target counts, not Host', async (t) => {
      const client = await RawClient.connect(proxy.port);
      client.send(`GET ${origin.url}/hello?target HTTP/1.1\r\nHost: other.example\r\n\r\n`);
      t.equal((await client.answer()).body.toString(), `hello 127.0.0.1:${origin.port}`);
      client.close();
    });

    await test('a path alone is for nobody here', async (t) => {
      const client = await RawClient.connect(proxy.port);
      client.request('/hello', { fields: [['Host', `127.0.0.1:${origin.port}`]] });
      t.ok((await client.answer()).status >= 400);
      client.close();
    });

    await test('CONNECT: curl speaks TLS with the origin itself, 64 MB of it', async (t) => {
      const secure = await Origin.start({ tls: certificate.pem });
      const count = 64 * MiB;
      secure.on('/big', async (reply) => {
        await reply.head(200, [['Content-Length', `${count}`]]);
        await reply.pattern(count);
      });
      const saved = file('received', '');
      const { code, stderr } = await curl(
        proxy,
        '--cacert',
        authority.ca,
        '-o',
        saved,
        `https://localhost:${secure.port}/big`,
      );
      t.equal(code, 0, stderr);
      const { stdout } = await new Child('sha256sum', [saved]).exited;
      t.equal(stdout.toString().slice(0, 64), createHash('sha256').update(pattern(count)).digest('hex'));
      await secure.close();
    });

    await test('CONNECT: bytes right behind the head, each half ends for itself, a reset goes through', async (t) => {
      origin.on('/raw', async (reply, request) => {
        const { bytes, ending } = await request.stream.rest();
        await reply.raw(`${ending} ${bytes.toString()}`);
        await sleep(20);
        reply.end();
      });
      origin.on('/reset', async (reply) => {
        await reply.raw('some');
        await sleep(20);
        reply.reset();
      });
      const place = `127.0.0.1:${origin.port}`;
      const client = await RawClient.connect(proxy.port);
      client.send(`CONNECT ${place} HTTP/1.1\r\nHost: ${place}\r\n\r\nGET /raw HTTP/1.1\r\nHost: a\r\n\r\nand this`);
      t.equal((await client.answer({ method: 'CONNECT' })).status, 200);
      client.finish();
      const rest = await client.rest();
      t.same([rest.bytes.toString(), rest.ending], ['fin and this', 'fin']);
      const reset = await RawClient.connect(proxy.port);
      reset.send(`CONNECT ${place} HTTP/1.1\r\nHost: ${place}\r\n\r\n`);
      t.equal((await reset.answer({ method: 'CONNECT' })).status, 200);
      reset.send('GET /reset HTTP/1.1\r\nHost: a\r\n\r\n');
      t.equal((await reset.rest()).ending, 'reset');
    });

    await test('CONNECT: much both ways at the same time', async (t) => {
      const total = 8 * MiB;
      origin.on('/both', async (reply, request) => {
        const sending = reply.pattern(total, { seed: 2 });
        const check = new PatternCheck(1);
        await request.stream.each(total, check.take);
        t.same([check.count, check.wrong], [total, undefined]);
        await sending;
        reply.end();
      });
      const place = `127.0.0.1:${origin.port}`;
      const client = await RawClient.connect(proxy.port);
      client.send(`CONNECT ${place} HTTP/1.1\r\nHost: ${place}\r\n\r\n`);
      t.equal((await client.answer({ method: 'CONNECT' })).status, 200);
      client.send('GET /both HTTP/1.1\r\nHost: a\r\n\r\n');
      client.send(pattern(total, 0, 1));
      const check = new PatternCheck(2);
      await client.stream.each(total, check.take);
      t.same([check.count, check.wrong], [total, undefined]);
      t.equal((await client.rest()).ending, 'fin');
      client.close();
    });

    await test('what cannot be reached: 502 and 504, for URLs and tunnels', async (t) => {
      const closed = await Origin.start();
      await closed.close();
      for (const [place, expected] of [
        [`127.0.0.1:${closed.port}`, 502],
        ['no-such-host.invalid:80', 502],
      ] as const) {
        for (const line of [`GET http://${place}/ HTTP/1.1`, `CONNECT ${place} HTTP/1.1`]) {
          const client = await RawClient.connect(proxy.port);
          client.send(`${line}\r\nHost: ${place}\r\n\r\n`);
          t.equal((await client.answer()).status, expected, line);
          client.close();
        }
      }
    });

    await test('it does not call itself', async (t) => {
      for (const line of [`GET http://127.0.0.1:${proxy.port}/ HTTP/1.1`, `CONNECT 127.0.0.1:${proxy.port} HTTP/1.1`]) {
        const client = await RawClient.connect(proxy.port);
        client.send(`${line}\r\nHost: a\r\n\r\n`);
        t.equal((await client.answer()).status, 403, line);
        client.close();
      }
    });
  },
);

await t.test('who may go where', { timeout: patient(90_000) }, async (t) => {
  const origin = await Origin.start();
  origin.on('*', (reply, request) =>
    reply.answer(200, [noStore], `${request.get('proxy-authorization') ?? 'nothing'}`),
  );
  const place = `127.0.0.1:${origin.port}`;

  const ports = await startHttp({ args: ['--forward', '--connect-ports', '443'] });
  const tunnel = await RawClient.connect(ports.port);
  tunnel.send(`CONNECT ${place} HTTP/1.1\r\nHost: ${place}\r\n\r\n`);
  t.equal((await tunnel.answer()).status, 403, 'a port that CONNECT may not name');
  tunnel.close();
  await ports.child.stop();

  const passwd = new Child(process.execPath, ['dist/cli/splice-ctl.js', 'passwd', 'alice'], { input: 'secret\n' });
  const users = file('users', (await passwd.exited).stdout, 0o600);
  const login = await startHttp({ args: ['--forward', '--connect-ports', 'any', '--users', users] });
  for (const [credentials, expected] of [
    [undefined, '407'],
    ['alice:wrong', '407'],
    ['bob:secret', '407'],
    ['alice:secret', '200'],
  ] as const) {
    const user = credentials === undefined ? [] : ['--proxy-user', credentials];
    const { stdout } = await curl(login, ...user, '-o', '/dev/null', '-w', '%{http_code}', `${origin.url}/`);
    t.equal(stdout.toString(), expected, credentials ?? 'nobody');
    const through = await curl(login, ...user, '-p', '-o', '/dev/null', '-w', '%{http_connect}', `${origin.url}/`);
    t.equal(through.stdout.toString(), expected, `CONNECT: ${credentials ?? 'nobody'}`);
  }
  const { stdout } = await curl(login, '--proxy-user', 'alice:secret', `${origin.url}/`);
  t.equal(stdout.toString(), 'nothing', 'the password is for the proxy only');
  const line = await login.waitForLog((entry) => entry['user'] === 'alice');
  t.equal(line['status'], 200);
  t.notMatch(login.child.transcript(), 'secret');
  await login.child.stop();

  const rules = file('rules.yaml', '- deny: { to: [127.0.0.0/8] }\n- allow: { port: 1-65535 }\n');
  const ruled = await startHttp({ args: ['--forward', '--connect-ports', 'any', '--rules', rules] });
  const before = origin.connections;
  for (const target of [`http://${place}/`, `http://localhost:${origin.port}/`]) {
    for (const how of [[], ['-p']]) {
      const { stdout: code } = await curl(
        ruled,
        ...how,
        '-o',
        '/dev/null',
        '-w',
        '%{http_code}%{http_connect}',
        target,
      );
      t.match(code.toString(), '403', `${how.join()} ${target}`);
    }
  }
  t.equal(origin.connections, before);
  await ruled.child.stop();
  await origin.close();
});
