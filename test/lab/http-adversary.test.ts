// Whoever means harm: clients that want their words in others' answers, or others' answers for themselves; clients that
// only take; an origin that never ends. What is asked is who got what, and what is left of it in the process.
import t from 'tap';
import { eventually } from '../support/children.js';
import { ask, RawClient, requestBytes, type RequestOptions, type Response } from '../support/http-client.js';
import { pattern, type FieldList } from '../support/http-message.js';
import { Gate, Origin } from '../support/http-origin.js';
import { admin, httpGroup, startHttp, type HttpProxy } from '../support/http-proxy.js';

const MiB = 1024 * 1024;
const fresh = ['Cache-Control', 'max-age=600'] as const;

const status = (response: Response): string => response.get('cache-status') ?? '';

/** What the gauges of the proxy count at this moment: all of them that must come back to 0. */
async function busy(proxy: HttpProxy): Promise<string[]> {
  const { text } = await admin(proxy, '/metrics');
  const gauges =
    /^symsplice_http_(?:connections\{state="active"\}|requests|tunnels|cache_filling|cache_waiting|origin_pool\{.*state="(?:busy|waiting)"\}) (?!0$)/;
  return text.split('\n').filter((line) => gauges.test(line));
}

const rests = (proxy: HttpProxy): Promise<string[]> =>
  eventually(
    () => busy(proxy),
    (lines) => lines.length === 0,
    'something is still under way',
    20_000,
  );

await httpGroup('poison', { args: ['--bypass-paths', '/account/'] }, async ({ origin, proxy, test }) => {
  /** All that an application could build a link or a page of. */
  origin.on('*', async (reply, request) => {
    const told = request.head.raw.split('\r\n').slice(1).sort().join('\n');
    await reply.answer(200, [fresh, ['ETag', '"e"']], `${request.method} ${request.target}\n${told}`);
  });

  const victim: RequestOptions = { fields: [['Host', 'shop.example']] };
  const attacks: readonly (readonly [name: string, target: string, fields: FieldList])[] = [
    ['an absolute target over another Host', 'http://shop.example/PATH', [['Host', 'evil.example']]],
    ['a Host in another spelling', '/PATH', [['Host', 'SHOP.example.:80']]],
    [
      'X-Forwarded-Host',
      '/PATH',
      [
        ['Host', 'shop.example'],
        ['X-Forwarded-Host', 'evil.example'],
      ],
    ],
    [
      'X-Forwarded-Proto',
      '/PATH',
      [
        ['Host', 'shop.example'],
        ['X-Forwarded-Proto', 'evil'],
      ],
    ],
    [
      'X-Forwarded-Port',
      '/PATH',
      [
        ['Host', 'shop.example'],
        ['X-Forwarded-Port', '666'],
      ],
    ],
    [
      'X-Forwarded-Prefix',
      '/PATH',
      [
        ['Host', 'shop.example'],
        ['X-Forwarded-Prefix', '/evil'],
      ],
    ],
    [
      'Forwarded',
      '/PATH',
      [
        ['Host', 'shop.example'],
        ['Forwarded', 'host=evil.example'],
      ],
    ],
    [
      'X-Host',
      '/PATH',
      [
        ['Host', 'shop.example'],
        ['X-Host', 'evil.example'],
      ],
    ],
    [
      'X-Original-URL',
      '/PATH',
      [
        ['Host', 'shop.example'],
        ['X-Original-URL', '/evil'],
      ],
    ],
    [
      'X-Rewrite-URL',
      '/PATH',
      [
        ['Host', 'shop.example'],
        ['X-Rewrite-URL', '/evil'],
      ],
    ],
    [
      'X-HTTP-Method-Override',
      '/PATH',
      [
        ['Host', 'shop.example'],
        ['X-HTTP-Method-Override', 'EVIL'],
      ],
    ],
  ];
  for (const [number, [name, target, fields]] of attacks.entries()) {
    await test(`${name} changes nothing of what others get`, async (t) => {
      await ask(proxy.port, target.replace('PATH', `poison-${number}`), { fields });
      const got = (await ask(proxy.port, `/poison-${number}`, victim)).body.toString().toLowerCase();
      t.equal(got, (await ask(proxy.port, `/poison-${number}`, victim)).body.toString().toLowerCase());
      t.match(got, /^get \/poison-/);
      t.match(got, /x-forwarded-host: shop\.example\n/);
      t.notMatch(got, /evil|666|shop\.example\.|:80\b/);
    });
  }

  await test('content in a GET: its answer is nobody else’s', async (t) => {
    await ask(proxy.port, '/fat', { ...victim, body: 'evil=1' });
    t.notMatch((await ask(proxy.port, '/fat', victim)).body.toString(), /content-length: 6/i);
  });

  for (const spelling of ['/%61ccount/', '//account/', '/./account/', '/x/../account/', '/account;x/', '/account%2F']) {
    await test(`${spelling} is kept away from the cache like /account/`, async (t) => {
      for (let i = 0; i < 2; i++) t.match(status(await ask(proxy.port, `${spelling}me`, victim)), /fwd=bypass/);
    });
  }

  await test('what Connection names is not there for Vary either', async (t) => {
    origin.on('/device', async (reply, request) => {
      await reply.answer(200, [fresh, ['Vary', 'X-Device']], request.get('x-device') ?? 'none');
    });
    const device = ['X-Device', 'phone'] as const;
    const client = await RawClient.connect(proxy.port);
    client.request('/device', { fields: [device, ['Connection', 'X-Device']] });
    t.equal((await client.answer()).body.toString(), 'none');
    client.close();
    t.equal((await ask(proxy.port, '/device', { fields: [device] })).body.toString(), 'phone');
  });

  await test('a response chosen by what we write ourselves is for one client', async (t) => {
    origin.on('/chosen', (reply) => reply.answer(200, [fresh, ['Vary', 'X-Forwarded-For']], 'yours'));
    for (let i = 0; i < 2; i++) t.match(status(await ask(proxy.port, '/chosen')), /detail=vary/);
  });

  for (const code of [428, 429, 431, 511]) {
    await test(`${code} is said to one client, however fresh it claims to be`, async (t) => {
      origin.on(`/${code}`, (reply) => reply.answer(code, [fresh], 'no'));
      for (let i = 0; i < 2; i++) t.match(status(await ask(proxy.port, `/${code}`)), /detail=status/);
    });
  }

  for (const [name, said] of [
    ['private', ['Cache-Control', 'private, max-age=600']],
    ['no-store', ['Cache-Control', 'no-store']],
    ['silent', ['X-Nothing', '']],
  ] as const) {
    await test(`a validation's ${name} answer for one client stays with that client`, async (t) => {
      const path = `/validated-${name}`;
      origin.on(path, async (reply, request) => {
        const fields: FieldList = [
          ['ETag', '"v"'],
          ['Set-Cookie', `id=${request.get('cookie') ?? 'nobody'}`],
        ];
        if (request.get('if-none-match') === undefined) {
          await reply.answer(
            200,
            [
              ['ETag', '"v"'],
              ['Cache-Control', 'max-age=0, stale-if-error=600'],
            ],
            'all',
          );
        } else await reply.head(304, [...fields, said]);
      });
      await ask(proxy.port, path);
      await rests(proxy);
      const alice = await ask(proxy.port, path, { fields: [['Cookie', 'alice']] });
      t.same([alice.status, alice.body.toString(), alice.get('set-cookie')], [200, 'all', 'id=alice']);
      const bob = await ask(proxy.port, path, { fields: [['Cookie', 'bob']] });
      t.equal(bob.body.toString(), 'all');
      t.notMatch(bob.get('set-cookie') ?? '', /alice/);
    });
  }
});

await httpGroup('followers', {}, async ({ origin, proxy, test }) => {
  const own: readonly (readonly [name: string, fields: FieldList])[] = [
    ['private', [['Cache-Control', 'private, max-age=9']]],
    ['no-store', [['Cache-Control', 'no-store']]],
    ['Vary: Cookie', [fresh, ['Vary', 'Cookie']]],
    [
      'Set-Cookie without a lifetime',
      [
        ['Set-Cookie', 'id=1'],
        ['Last-Modified', 'Wed, 01 Jan 2020 00:00:00 GMT'],
      ],
    ],
    [
      'stale at once',
      [
        ['Cache-Control', 'no-cache'],
        ['ETag', '"x"'],
      ],
    ],
  ];
  for (const [name, fields] of own) {
    await test(`${name}: each of twelve who asked at once gets an answer of its own`, async (t) => {
      const path = `/own-${fields.length}-${name.length}`;
      const gate = new Gate();
      let held = true;
      origin.on(path, async (reply, request) => {
        if (held) await gate.opened;
        await reply.answer(200, fields, `for ${request.get('cookie')}`);
      });
      const asked = Array.from({ length: 12 }, (_, i) => ask(proxy.port, path, { fields: [['Cookie', `c${i}`]] }));
      await eventually(
        () => busy(proxy),
        (lines) => lines.some((line) => /cache_waiting 11$/.test(line)),
        'eleven do not wait for the first',
      );
      held = false;
      gate.open();
      const bodies = (await Promise.all(asked)).map(({ body }) => body.toString());
      t.same(bodies, asked.map((_, i) => `for c${i}`)); // prettier-ignore
      t.equal(origin.count(path), 12);
    });
  }

  await test('a thousand followers of a fill that never ends go with it, and leave nothing behind', async (t) => {
    for (const framing of ['length', 'chunked']) {
      const path = `/stalled-${framing}`;
      origin.on(path, async (reply) => {
        if (framing === 'length') await reply.head(200, [fresh, ['Content-Length', String(8 * MiB)]]);
        else await reply.head(200, [fresh, ['Transfer-Encoding', 'chunked']]);
        await (framing === 'length' ? reply.pattern(200_000) : reply.chunk(pattern(200_000)));
        await reply.gone;
      });
      const clients: RawClient[] = [];
      for (let i = 0; i < 1000; i++) {
        const client = await RawClient.connect(proxy.port);
        client.request(path);
        clients.push(client);
        // The first is there before the others, so that there is a fill to follow.
        if (i === 0) await client.stream.some();
      }
      await Promise.all(clients.slice(1).map((client) => client.stream.some()));
      t.equal(origin.count(path), 1, 'one question for all');
      origin.disconnect();
      const ends = await Promise.all(clients.map(async (client) => (await client.rest()).ending));
      t.same([...new Set(ends)], ['reset'], 'nobody takes it for whole');
      for (const client of clients) client.close();
      await rests(proxy);
    }
  });
});

await httpGroup('takers', {}, async ({ origin, proxy, test }) => {
  await test('ten thousand requests in a row: all answered, in their order', async (t) => {
    origin.on('*', (reply, request) => reply.answer(200, [fresh], request.target.repeat(20)));
    const client = await RawClient.connect(proxy.port, { limitMs: 60_000 });
    const many = 10_000;
    client.send(Buffer.concat(Array.from({ length: many }, (_, i) => requestBytes(`/row-${i % 50}`))));
    let wrong = 0;
    for (let i = 0; i < many; i++) {
      if ((await client.answer()).body.toString() !== `/row-${i % 50}`.repeat(20)) wrong++;
    }
    t.equal(wrong, 0);
    client.close();
  });

  await test('who asks on and on and never reads is not read either', async (t) => {
    origin.on('/page', (reply) => reply.answer(200, [fresh], pattern(30_000)));
    await ask(proxy.port, '/page');
    const before = proxy.child.residentBytes();
    const client = await RawClient.connect(proxy.port);
    client.socket.pause();
    const block = Buffer.concat(Array.from({ length: 1000 }, () => requestBytes('/page')));
    // 48 MiB of requests are a million answers, 30 GiB: the kernel's buffers take a few of them, the proxy no more.
    for (let i = 0; i < 1000; i++) client.send(block);
    let last = -1;
    let still = 0;
    await eventually(
      () => client.socket.writableLength,
      (waiting) => {
        still = waiting === last ? still + 1 : 0;
        last = waiting;
        return still === 40;
      },
      'it reads for ever',
    );
    t.ok(client.socket.writableLength > 0, 'requests wait');
    t.ok(proxy.child.residentBytes() - before < 100 * MiB, 'and cost no memory');
    t.equal((await ask(proxy.port, '/page')).status, 200, 'others are served meanwhile');
    client.reset();
    await rests(proxy);
  });

  await test('long variants cost the next request nothing to speak of, and are told apart', async (t) => {
    origin.on('/varied', (reply, request) =>
      reply.answer(200, [fresh, ['Vary', 'Accept']], String((request.get('accept') ?? '').length)),
    );
    const accept = (i: number): string =>
      Array.from({ length: 900 }, (_, j) => `a/b${i}x${j};q=0.${1 + (j % 9)}`).join();
    for (let i = 0; i < 40; i++) await ask(proxy.port, '/varied', { fields: [['Accept', accept(i)]] });
    const turned = accept(7).split(',').reverse().join(' , ');
    const again = await ask(proxy.port, '/varied', { fields: [['Accept', turned]] });
    t.match(status(again), /hit/, 'another order, the same question');
    t.equal(again.body.toString(), String(accept(7).length));
  });
});

await t.test('a forward proxy beside an origin for every host', async (t) => {
  const own = await Origin.start();
  const real = await Origin.start();
  own.on('*', (reply) => reply.answer(200, [fresh], 'the default origin'));
  real.on('*', (reply) => reply.answer(200, [fresh], 'the real host'));
  const proxy = await startHttp({ args: ['--origin', own.url, '--forward', '--open'] });
  const host: FieldList = [['Host', `127.0.0.1:${real.port}`]];
  const viaFront = () => ask(proxy.port, '/page', { fields: host });
  const viaForward = () => ask(proxy.port, `${real.url}/page`, { fields: host });
  for (let i = 0; i < 2; i++) {
    t.equal((await viaFront()).body.toString(), 'the default origin');
    t.equal((await viaForward()).body.toString(), 'the real host');
  }
  t.same([own.count('/page'), real.count('/page')], [1, 1], 'both are stored');
  await ask(proxy.port, `${real.url}/page`, { fields: host, method: 'POST', body: 'changed' });
  await viaForward();
  t.equal(real.count('/page'), 3, 'a POST through the forward proxy makes its own invalid');
  await proxy.child.stop();
  await own.close();
  await real.close();
});
