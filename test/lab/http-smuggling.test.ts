// Requests that could be read in two ways never become two: whatever an origin makes of its bytes, it sees no request
// that the client did not frame. Each trick goes to each origin, lax ones and strict ones.
import t from 'tap';
import { eventually, patient } from '../support/children.js';
import { ask, RawClient } from '../support/http-client.js';
import { tricks, type Trick } from '../support/http-corpus.js';
import { dialects, startLax, startNode, type SeenOrigin } from '../support/http-lax.js';
import { httpGroup, startHttp, type HttpProxy } from '../support/http-proxy.js';

/** Statuses of the final answers that the client gets; undefined: the connection stays open. */
async function play(proxy: HttpProxy, trick: Trick): Promise<number[] | undefined> {
  const client = await RawClient.connect(proxy.port, { limitMs: 5000 });
  client.send(trick.bytes);
  // What is unfinished ends here; what was refused is closed from the other side.
  if (trick.must === 'once') client.finish();
  try {
    const text = (await client.rest()).bytes.toString('latin1');
    const statuses = [...text.matchAll(/^HTTP\/1\.1 (\d{3}) /gm)].map((match) => Number(match[1]));
    return statuses.filter((status) => status >= 200);
  } catch {
    return undefined;
  } finally {
    client.close();
  }
}

/** Faults of one trick at one origin. */
async function judge(proxy: HttpProxy, origin: SeenOrigin, trick: Trick): Promise<string[]> {
  const before = origin.seen.length;
  const statuses = await play(proxy, trick);
  // A request behind it on another connection: whatever hides on the way to the origin is in front of it.
  const after = await ask(proxy.port, '/after');
  await eventually(
    () => origin.seen.slice(before),
    (seen) => seen.some((line) => line.includes('/after')),
    `${trick.name}: the honest request did not arrive`,
  );
  const seen = origin.seen.slice(before);
  const faults: string[] = [];
  const others = seen.filter((line) => !/^(?:GET \/after|[A-Z]+ \/trick)/.test(line));
  if (others.length > 0) faults.push(`the origin saw ${JSON.stringify(others)}`);
  const tricked = seen.filter((line) => line.includes('/trick')).length;
  if (tricked > (trick.must === 'refuse' ? 0 : 1)) faults.push(`the origin saw it ${tricked} times`);
  if (after.status !== 200) faults.push(`the request behind it got ${after.status}`);
  if (statuses === undefined) faults.push('the connection stays open');
  else if (trick.must === 'refuse') {
    const { statuses: allowed = [] } = trick;
    if (statuses.length !== 1 || !allowed.includes(statuses[0] ?? 0)) faults.push(`answered with [${statuses}]`);
  } else if (statuses.length > 2) faults.push(`answered ${statuses.length} times`);
  return faults.map((fault) => `${trick.name}: ${fault}`);
}

await t.test(
  'without a proxy the lax origins are tricked: what follows can fail',
  { timeout: patient(60_000) },
  async (t) => {
    for (const dialect of dialects) {
      const origin = await startLax(dialect);
      const clients = await Promise.all(tricks.map(() => RawClient.connect(origin.port)));
      for (const [index, client] of clients.entries()) client.send(tricks[index]?.bytes ?? '');
      await eventually(
        () => origin.seen.filter((line) => line.includes('/canary')).length,
        (count) => count >= 5,
        `"${dialect.name}" takes next to nothing for a second request`,
      );
      t.pass(dialect.name);
      for (const client of clients) client.close();
      await origin.close();
    }
  },
);

const origins: (() => Promise<SeenOrigin>)[] = [
  () => startNode(false),
  () => startNode(true),
  ...dialects.map((dialect) => () => startLax(dialect)),
];
for (const start of origins) {
  const origin = await start();
  await t.test(`before an origin of the kind "${origin.name}"`, { timeout: patient(240_000) }, async (t) => {
    const proxy = await startHttp({ args: ['--origin', `http://127.0.0.1:${origin.port}`] });
    try {
      for (const trick of tricks) t.same(await judge(proxy, origin, trick), [], trick.name);
      t.same(proxy.complaints(), []);
    } finally {
      await proxy.child.stop();
    }
  });
  await origin.close();
}

await httpGroup('requests', {}, async ({ origin, proxy, test }) => {
  origin.on('*', async (reply, request) => {
    await reply.answer(200, [['Cache-Control', 'no-store']], await request.content());
  });

  await test('what stands behind a refused request is not looked at', async (t) => {
    const client = await RawClient.connect(proxy.port);
    client.send(
      'GET /good HTTP/1.1\r\nHost: a\r\n\r\nGET /bad HTTP/1.1\r\nHost : a\r\n\r\nGET /never HTTP/1.1\r\nHost: a\r\n\r\n',
    );
    t.equal((await client.answer()).status, 200);
    const refused = await client.answer();
    t.equal(refused.status, 400);
    t.match(refused.get('connection'), /close/i);
    t.same(await client.rest(), { bytes: Buffer.alloc(0), ending: 'fin' });
    t.equal(origin.count('/never') + origin.count('/bad'), 0);
  });

  await test('a request whose content ends early reaches nobody as a whole one', async (t) => {
    for (const fields of ['Content-Length: 1000', 'Transfer-Encoding: chunked']) {
      const client = await RawClient.connect(proxy.port);
      client.send(`POST /unfinished HTTP/1.1\r\nHost: a\r\n${fields}\r\n\r\n5\r\nhello\r\n`);
      client.finish();
      await client.rest();
      client.close();
    }
    t.equal((await ask(proxy.port, '/next')).status, 200);
    for (const request of origin.of('/unfinished')) t.equal(request.body?.length ?? 0, 0, 'never complete');
  });

  await test('length and coding arrive as one of them, with the content that the client framed', async (t) => {
    const canary = 'GET /canary HTTP/1.1\r\nHost: a\r\n\r\n';
    const client = await RawClient.connect(proxy.port);
    const chunked = `Transfer-Encoding: chunked\r\n\r\n${canary.length.toString(16)}\r\n${canary}\r\n0\r\n\r\n`;
    for (const rest of [
      `Connection: Content-Length\r\nContent-Length: ${canary.length}\r\n\r\n${canary}`,
      `Connection: Transfer-Encoding\r\n${chunked}`,
      `Connection: close, Transfer-Encoding\r\n${chunked}`,
    ]) {
      client.send(`POST /framed HTTP/1.1\r\nHost: a\r\n${rest}`);
      t.equal((await client.answer()).body.toString(), canary);
      const head = origin.of('/framed').at(-1)?.head;
      t.equal([...(head?.all('content-length') ?? []), ...(head?.all('transfer-encoding') ?? [])].length, 1);
    }
    t.equal(origin.count('/canary'), 0);
  });

  await test('fields that Connection names are taken off, but not what the origin needs to be safe', async (t) => {
    await ask(proxy.port, '/safe', {
      fields: [
        ['Connection', 'Host, X-Forwarded-For, Cookie, Cache-Control, Authorization'],
        ['X-Forwarded-For', '203.0.113.9'],
        ['Cookie', 'a=b'],
      ],
    });
    const request = origin.of('/safe')[0];
    t.equal(request?.head.all('host').length, 1);
    t.match(request?.get('x-forwarded-for'), /127\.0\.0\.1$/);
  });
});

/** Answers that two recipients could read in two ways, with a poisoned one in them or behind them. */
const POISON = 'HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 6\r\n\r\npoison';
const OK = 'HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\n';
const answers: readonly (readonly [name: string, bytes: string])[] = [
  ['two lengths', `${OK}Content-Length: 5\r\nContent-Length: ${5 + POISON.length}\r\n\r\nhello${POISON}`],
  ['a list of lengths', `${OK}Content-Length: 5, 5\r\n\r\nhello${POISON}`],
  ['length and coding', `${OK}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${POISON}`],
  ['coding twice', `${OK}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${POISON}`],
  ['unknown coding', `${OK}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${POISON}`],
  ['negative length', `${OK}Content-Length: -5\r\n\r\nhello${POISON}`],
  ['length with a plus', `${OK}Content-Length: +5\r\n\r\nhello${POISON}`],
  ['space before the colon', `${OK}Content-Length : 5\r\n\r\nhello${POISON}`],
  ['folded', `${OK}X: y\r\n z\r\nContent-Length: 5\r\n\r\nhello${POISON}`],
  ['LF for CRLF', `${OK}Content-Length: 5\r\n\r\nhello${POISON}`.replaceAll('\r\n', '\n')],
  ['bare CR', `${OK}X: y\rz\r\nContent-Length: 5\r\n\r\nhello${POISON}`],
  ['NUL', `${OK}X: y\x00z\r\nContent-Length: 5\r\n\r\nhello${POISON}`],
  ['HTTP/2.0', `HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\nhello${POISON}`],
  ['no status', `HTTP/1.1 OK\r\nContent-Length: 5\r\n\r\nhello${POISON}`],
  ['status of four digits', `HTTP/1.1 2000 OK\r\nContent-Length: 5\r\n\r\nhello${POISON}`],
  ['HTTP/0.9', 'hello\r\n'],
  ['not HTTP', 'SSH-2.0-OpenSSH_9.9\r\n'],
  ['a head without end', `HTTP/1.1 200 OK\r\n${'X: y\r\n'.repeat(100_000)}`],
  ['interim responses without end', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(100_000)],
];

await httpGroup('answers', {}, async ({ origin, proxy, test }) => {
  for (const [name, bytes] of answers) {
    await test(`${name}: 502, nothing stored, nothing of it in later answers`, async (t) => {
      const path = `/${name.replaceAll(' ', '-')}`;
      let bad = true;
      origin.on(path, async (reply) => {
        if (!bad) return reply.answer(200, [['Cache-Control', 'max-age=600']], 'good');
        await reply.raw(bytes);
        await reply.gone;
        return undefined;
      });
      const client = await RawClient.connect(proxy.port);
      client.request(path);
      t.equal((await client.answer()).status, 502);
      client.close();
      bad = false;
      const response = await ask(proxy.port, path);
      t.same([response.status, response.body.toString()], [200, 'good']);
      t.equal((await ask(proxy.port, path)).body.toString(), 'good');
    });
  }

  for (const [name, bytes] of [
    ['behind a length', `${OK}Content-Length: 5\r\n\r\nhello${POISON}`],
    ['behind chunks', `${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n${POISON}`],
    ['behind a 304', `HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n${POISON}`],
    ['behind a 204', `HTTP/1.1 204 No Content\r\n\r\n${POISON}`],
    ['as the content of a HEAD', `${OK}Content-Length: ${POISON.length}\r\n\r\n${POISON}`],
  ] as const) {
    await test(`a second answer ${name} is nobody's`, async (t) => {
      const path = `/second-${name.replaceAll(' ', '-')}`;
      const method = name.endsWith('HEAD') ? 'HEAD' : 'GET';
      origin.on(path, async (reply) => {
        await reply.raw(bytes);
        await reply.gone;
      });
      origin.on('/clean', (reply, request) => reply.answer(200, [['Cache-Control', 'no-store']], request.target));
      for (let round = 0; round < 5; round++) {
        const first = await ask(proxy.port, `${path}?${round}`, { method });
        t.ok(!first.body.includes('poison'), 'not in its own');
        for (let i = 0; i < 4; i++) {
          t.equal((await ask(proxy.port, `/clean?${round}-${i}`)).body.toString(), `/clean?${round}-${i}`);
        }
      }
      // Later on an idle connection.
      origin.on('/late', async (reply) => {
        await reply.answer(200, [['Cache-Control', 'no-store']], 'late');
        await reply.raw(POISON);
      });
      t.equal((await ask(proxy.port, '/late')).body.toString(), 'late');
      for (let i = 0; i < 4; i++) t.equal((await ask(proxy.port, `/clean?${i}`)).body.toString(), `/clean?${i}`);
    });
  }
});
