// What splice-http stores and when it asks: hits byte for byte, validation, variants, ranges, one question for many
// clients, stale answers where they are allowed, purges, and a store that survives whatever ends the process.
import t from 'tap';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually, patient } from '../support/children.js';
import { ask, RawClient, type RequestOptions, type Response } from '../support/http-client.js';
import { pattern, PatternCheck, type FieldList } from '../support/http-message.js';
import { Gate, Origin, type Behaviour } from '../support/http-origin.js';
import { admin, emptyDirectory, httpGroup, startHttp, untilStored } from '../support/http-proxy.js';

const MiB = 1024 * 1024;
const fresh = ['Cache-Control', 'max-age=600'] as const;
const noStore = ['Cache-Control', 'no-store'] as const;

const status = (response: Response): string => response.get('cache-status') ?? '';
const isHit = (response: Response): boolean => /splice-http; hit/.test(status(response));

type Framing = 'length' | 'chunked' | 'close';

/** A whole answer with so many bytes of the pattern, framed one way or another. */
const content =
  (count: number, fields: FieldList, { framing = 'length' as Framing, seed = 0 } = {}): Behaviour =>
  async (reply) => {
    if (framing === 'length') await reply.head(200, [...fields, ['Content-Length', String(count)]]);
    else if (framing === 'close') await reply.head(200, [...fields, ['Connection', 'close']]);
    else await reply.head(200, [...fields, ['Transfer-Encoding', 'chunked']]);
    if (framing !== 'chunked') await reply.pattern(count, { seed });
    else {
      for (let at = 0; at < count; at += 60_000) await reply.chunk(pattern(Math.min(60_000, count - at), at, seed));
      await reply.lastChunk();
    }
    if (framing === 'close') reply.end();
  };

/** What came of a request for content of the pattern, in a form to compare. */
async function fetched(port: number, target: string, seed = 0, options: RequestOptions = {}): Promise<unknown[]> {
  const check = new PatternCheck(seed);
  const response = await ask(port, target, { ...options, take: check.take });
  return [response.status, response.whole, check.count, check.wrong];
}

await httpGroup('cache', {}, async ({ origin, proxy, test }) => {
  for (const framing of ['length', 'chunked', 'close'] as const) {
    for (const count of [0, 1, 1000, 40_000, 300_000, 6 * MiB]) {
      await test(`${count} bytes (${framing}): a miss, then hits, the same for every version and for HEAD`, async (t) => {
        const path = `/hit-${framing}-${count}`;
        origin.on(path, content(count, [fresh, ['ETag', '"e"'], ['X-Own', 'kept']], { framing }));
        const client = await RawClient.connect(proxy.port);
        for (let i = 0; i < 4; i++) {
          const check = new PatternCheck();
          client.request(path);
          const response = await client.answer({ take: check.take });
          t.same([response.status, response.whole, check.count, check.wrong], [200, true, count, undefined], `${i}`);
          t.equal(response.get('x-own'), 'kept');
          t.match(status(response), i === 0 ? /^splice-http; fwd=uri-miss/ : /^splice-http; hit; ttl=(600|59\d)$/);
          t.equal(response.get('age') !== undefined, i > 0);
          if (i > 0) t.equal(response.get('content-length'), String(count), 'it is known by now');
          if (i === 0) await untilStored(proxy, path);
        }
        client.request(path, { method: 'HEAD' });
        const head = await client.answer({ method: 'HEAD' });
        t.ok(isHit(head));
        t.equal(head.get('content-length'), String(count));
        client.close();
        t.same(await fetched(proxy.port, path, 0, { version: 'HTTP/1.0' }), [200, true, count, undefined]);
        t.equal(origin.count(path), 1);
      });
    }
  }

  await test('a HEAD that is not stored does not spoil the GET behind it', async (t) => {
    origin.on('/head-first', async (reply, request) => {
      if (request.method === 'HEAD') await reply.head(200, [fresh, ['Content-Length', '500']]);
      else await content(500, [fresh])(reply, request);
    });
    t.equal((await ask(proxy.port, '/head-first', { method: 'HEAD' })).get('content-length'), '500');
    for (let i = 0; i < 2; i++) t.same(await fetched(proxy.port, '/head-first'), [200, true, 500, undefined]);
  });

  for (const [what, fields, request] of [
    ['no-store', [noStore], []],
    ['private', [['Cache-Control', 'private, max-age=600']], []],
    ['Vary: *', [fresh, ['Vary', '*']], []],
    ['Authorization', [fresh], [['Authorization', 'Basic eDp5']]],
    ['no-store of the request', [fresh], [['Cache-Control', 'no-store']]],
  ] as const) {
    await test(`${what}: never from the store`, async (t) => {
      const path = `/never-${what.replaceAll(/[^a-z]/gi, '')}`;
      origin.on(path, (reply) => reply.answer(200, fields, `${origin.count(path)}`));
      for (let i = 1; i <= 3; i++) {
        const response = await ask(proxy.port, path, { fields: request });
        t.equal(response.body.toString(), `${i}`);
        t.match(status(response), /^splice-http; fwd=/);
      }
    });
  }

  for (const count of [1000, 3 * MiB]) {
    await test(`validation: a 304 makes ${count} stored bytes good again, and a 200 replaces them`, async (t) => {
      const path = `/validate-${count}`;
      let etag = '"1"';
      let seed = 1;
      origin.on(path, async (reply, request) => {
        if (request.get('if-none-match') === etag) {
          return reply.head(304, [
            ['ETag', etag],
            ['Cache-Control', 'no-cache'],
            ['X-Round', `${origin.count(path)}`],
          ]);
        }
        return content(
          count,
          [
            ['ETag', etag],
            ['Cache-Control', 'no-cache'],
            ['X-Round', '1'],
          ],
          { seed },
        )(reply, request);
      });
      t.same(await fetched(proxy.port, path, 1), [200, true, count, undefined]);
      await untilStored(proxy, path);
      for (let round = 2; round < 5; round++) {
        const check = new PatternCheck(1);
        const response = await ask(proxy.port, path, { take: check.take });
        t.same([response.status, check.count, check.wrong], [200, count, undefined]);
        t.equal(response.get('x-round'), `${round}`, 'updated by the 304');
        t.match(status(response), /fwd=stale/);
        t.match(status(response), /fwd-status=304/);
        t.equal(origin.of(path).at(-1)?.get('if-none-match'), '"1"');
      }
      etag = '"2"';
      seed = 2;
      t.same(await fetched(proxy.port, path, 2), [200, true, count, undefined]);
      await untilStored(proxy, path, (stored) => stored.complete && stored.etag === '"2"');
      t.same(await fetched(proxy.port, path, 2), [200, true, count, undefined]);
      t.equal(origin.of(path).at(-1)?.get('if-none-match'), '"2"');
    });
  }

  await test('conditions of clients are answered from the store', async (t) => {
    const modified = 'Mon, 02 Nov 2026 10:00:00 GMT';
    origin.on('/conditional', content(100, [fresh, ['ETag', '"c"'], ['Last-Modified', modified]]));
    t.equal((await ask(proxy.port, '/conditional')).status, 200);
    for (const [name, value, expected] of [
      ['If-None-Match', '"c"', 304],
      ['If-None-Match', 'W/"c"', 304],
      ['If-None-Match', '"x", "c"', 304],
      ['If-None-Match', '*', 304],
      ['If-None-Match', '"x"', 200],
      ['If-Modified-Since', modified, 304],
      ['If-Modified-Since', 'Sun, 01 Nov 2026 10:00:00 GMT', 200],
      ['If-Modified-Since', 'nonsense', 200],
    ] as const) {
      const response = await ask(proxy.port, '/conditional', { fields: [[name, value]] });
      t.same([response.status, response.body.length], [expected, expected === 200 ? 100 : 0], `${name}: ${value}`);
      t.equal(response.get('etag'), '"c"');
    }
    t.equal(origin.count('/conditional'), 1);
  });

  await test('variants: each is stored and found by the fields that Vary names', async (t) => {
    origin.on('/vary', (reply, request) =>
      reply.answer(
        200,
        [fresh, ['Vary', 'X-Flavour, Accept-Language']],
        `${request.get('x-flavour')}/${request.get('accept-language')}`,
      ),
    );
    for (let round = 0; round < 2; round++) {
      for (const flavour of ['salt', 'sweet']) {
        for (const language of ['de', 'en']) {
          const fields: FieldList = [
            ['X-Flavour', flavour],
            ['Accept-Language', language],
          ];
          const response = await ask(proxy.port, '/vary', { fields });
          t.equal(response.body.toString(), `${flavour}/${language}`);
          t.equal(isHit(response), round === 1);
        }
      }
    }
    t.equal(origin.count('/vary'), 4);
  });

  for (const count of [1000, 5 * MiB]) {
    await test(`ranges of ${count} stored bytes, one and several, and If-Range`, async (t) => {
      const path = `/ranges-${count}`;
      origin.on(path, content(count, [fresh, ['ETag', '"r"'], ['Content-Type', 'text/x-pattern']]));
      t.same(await fetched(proxy.port, path), [200, true, count, undefined]);
      const client = await RawClient.connect(proxy.port);
      const range = async (value: string, more: FieldList = []): Promise<Response> => {
        client.request(path, { fields: [['Range', value], ...more] });
        return client.answer();
      };
      for (const [value, from, to] of [
        ['bytes=0-0', 0, 0],
        ['bytes=0-99', 0, 99],
        ['bytes=500-', 500, count - 1],
        ['bytes=-1', count - 1, count - 1],
        ['bytes=-300', count - 300, count - 1],
        [`bytes=-${count + 5}`, 0, count - 1],
        [`bytes=10-${count + 10}`, 10, count - 1],
      ] as const) {
        const response = await range(value);
        t.equal(response.status, 206, value);
        t.equal(response.get('content-range'), `bytes ${from}-${to}/${count}`);
        t.ok(response.body.equals(pattern(to - from + 1, from)), value);
        t.ok(response.whole);
      }
      const several = await range(`bytes=0-9,100-199,-5`);
      t.equal(several.status, 206);
      const boundary = /^multipart\/byteranges; ?boundary="?([^";]+)"?$/.exec(several.get('content-type') ?? '')?.[1];
      t.type(boundary, 'string', several.get('content-type') ?? 'no type');
      const parts = several.body.toString('latin1').split(`--${boundary}`);
      t.equal(parts.length, 5);
      t.equal(parts[4]?.trim(), '--');
      for (const [index, [from, to]] of [
        [0, 9],
        [100, 199],
        [count - 5, count - 1],
      ].entries()) {
        const part = parts[index + 1] ?? '';
        t.match(part, new RegExp(`content-range: bytes ${from}-${to}/${count}`, 'i'));
        t.match(part, /content-type: text\/x-pattern/i);
        const body = part.slice(part.indexOf('\r\n\r\n') + 4, -2);
        t.equal(body, pattern((to ?? 0) - (from ?? 0) + 1, from).toString('latin1'));
      }
      const beyond = await range(`bytes=${count}-`);
      t.same([beyond.status, beyond.get('content-range')], [416, `bytes */${count}`]);
      for (const [value, more] of [
        ['bytes=5-1', []],
        ['lines=1-2', []],
        ['bytes=1-2', [['If-Range', '"other"']]],
        ['bytes=1-2', [['If-Range', 'W/"r"']]],
      ] as const) {
        const whole = await range(value, more);
        t.same([whole.status, whole.body.length], [200, count], `${value} ${JSON.stringify(more)}`);
      }
      t.equal((await range('bytes=1-2', [['If-Range', '"r"']])).status, 206);
      client.close();
      t.equal(origin.count(path), 1);
    });
  }

  await test('parts that came one after the other become the whole, if a validator holds them together', async (t) => {
    const count = 400_000;
    origin.on('/parts', async (reply, request) => {
      const etag = ['ETag', '"p"'] as const;
      const [, from = '', to = ''] = /^bytes=(\d+)-(\d*)$/.exec(request.get('range') ?? '') ?? [];
      if (from === '') return content(count, [fresh, etag])(reply, request);
      const last = to === '' ? count - 1 : Number(to);
      const length = last - Number(from) + 1;
      await reply.head(206, [
        fresh,
        etag,
        ['Content-Range', `bytes ${from}-${last}/${count}`],
        ['Content-Length', `${length}`],
      ]);
      return reply.pattern(length, { from: Number(from) });
    });
    for (const [from, to] of [
      [0, 149_999],
      [150_000, 299_999],
    ] as const) {
      const response = await ask(proxy.port, '/parts', { fields: [['Range', `bytes=${from}-${to}`]] });
      t.equal(response.status, 206);
      t.ok(response.body.equals(pattern(to - from + 1, from)));
      await untilStored(proxy, '/parts', ({ bytes }) => bytes >= to + 1);
    }
    const stored = await ask(proxy.port, '/parts', { fields: [['Range', 'bytes=100000-200000']] });
    t.equal(stored.status, 206);
    t.ok(stored.body.equals(pattern(100_001, 100_000)), 'over the seam');
    t.equal(origin.count('/parts'), 2);
    t.same(await fetched(proxy.port, '/parts'), [200, true, count, undefined]);
    await untilStored(proxy, '/parts');
    t.match(origin.of('/parts').at(-1)?.get('range'), /^bytes=300000-/, 'only the rest was asked for');
    t.same(await fetched(proxy.port, '/parts'), [200, true, count, undefined]);
    t.equal(origin.count('/parts'), 3);
  });

  for (const [count, clients] of [
    [1000, 1000],
    [300_000, 1000],
    [4 * MiB, 60],
  ] as const) {
    await test(`${clients} clients at once on one cold URL of ${count} bytes: the origin is asked once`, async (t) => {
      const path = `/cold-${count}`;
      origin.on(path, async (reply, request) => {
        await sleep(300);
        await content(count, [fresh])(reply, request);
      });
      const results = await Promise.all(Array.from({ length: clients }, () => fetched(proxy.port, path)));
      t.same(
        results.filter((result) => JSON.stringify(result) !== JSON.stringify([200, true, count, undefined])),
        [],
      );
      t.equal(results.length, clients);
      t.equal(origin.count(path), 1);
    });
  }

  await test('those that wait get the bytes as they come, not when all are there', async (t) => {
    const gate = new Gate();
    origin.on('/stream', async (reply) => {
      await reply.head(200, [fresh, ['Content-Length', '200000']]);
      await reply.pattern(100_000);
      await gate.opened;
      await reply.pattern(100_000, { from: 100_000 });
    });
    const clients = await Promise.all([1, 2, 3].map(() => RawClient.connect(proxy.port)));
    const checks = clients.map(() => new PatternCheck());
    for (const [index, client] of clients.entries()) {
      client.request('/stream');
      await client.stream.until('\r\n\r\n');
      await client.stream.each(90_000, checks[index]?.take ?? (() => undefined));
    }
    gate.open();
    for (const [index, client] of clients.entries()) {
      await client.stream.each(110_000, checks[index]?.take ?? (() => undefined));
      t.same([checks[index]?.count, checks[index]?.wrong], [200_000, undefined]);
      client.close();
    }
    t.equal(origin.count('/stream'), 1);
  });

  await test('an answer that may not be shared does not make the others stand in line', async (t) => {
    let under = 0;
    const all = new Gate();
    origin.on('/alone', async (reply, request) => {
      if (++under > 1 && under === 30) all.open();
      // The first answers at once, so that the others learn of it; those wait for one another.
      if (origin.count('/alone') > 1) await all.opened;
      await reply.answer(200, [noStore, ['Set-Cookie', `id=${request.connection}`]], 'mine');
    });
    const responses = await Promise.all(Array.from({ length: 30 }, () => ask(proxy.port, '/alone')));
    t.ok(responses.every((response) => response.body.toString() === 'mine'));
    t.equal(origin.count('/alone'), 30);
  });

  await test('stale-while-revalidate: answered at once, asked behind the scenes, once', async (t) => {
    let gate = new Gate();
    gate.open();
    origin.on('/swr', async (reply) => {
      const round = origin.count('/swr');
      await gate.opened;
      await reply.answer(200, [['Cache-Control', 'max-age=1, stale-while-revalidate=600']], `round ${round}`);
    });
    t.equal((await ask(proxy.port, '/swr')).body.toString(), 'round 1');
    await sleep(2100);
    gate = new Gate();
    const stale = await Promise.all(Array.from({ length: 20 }, () => ask(proxy.port, '/swr')));
    for (const response of stale) {
      t.equal(response.body.toString(), 'round 1');
      t.match(status(response), /hit; ttl=-\d/);
    }
    await eventually(
      () => origin.count('/swr'),
      (count) => count === 2,
      'it is not asked for',
    );
    gate.open();
    await eventually(
      async () => (await ask(proxy.port, '/swr')).body.toString(),
      (body) => body !== 'round 1',
      'it is not renewed',
    );
    t.ok(origin.count('/swr') <= 3);
  });

  await test('stale-if-error: an error of the origin is covered, a 404 is not', async (t) => {
    let answer = 200;
    origin.on('/sie', (reply) =>
      reply.answer(answer, [['Cache-Control', 'max-age=1, stale-if-error=600']], `${answer}`),
    );
    t.equal((await ask(proxy.port, '/sie')).body.toString(), '200');
    await sleep(2100);
    answer = 500;
    const covered = await ask(proxy.port, '/sie');
    t.same([covered.status, covered.body.toString()], [200, '200']);
    t.match(status(covered), /fwd=stale; fwd-status=500/);
    answer = 404;
    t.equal((await ask(proxy.port, '/sie')).status, 404);
  });

  await test('what an unsafe method changed is asked for again', async (t) => {
    origin.on('/changes', async (reply, request) => {
      await request.content();
      await reply.answer(
        200,
        [request.method === 'GET' ? fresh : noStore],
        `${request.method} ${origin.count('/changes')}`,
      );
    });
    t.equal((await ask(proxy.port, '/changes')).body.toString(), 'GET 1');
    t.equal((await ask(proxy.port, '/changes')).body.toString(), 'GET 1');
    t.equal((await ask(proxy.port, '/changes', { method: 'POST', body: 'x' })).body.toString(), 'POST 2');
    t.equal((await ask(proxy.port, '/changes')).body.toString(), 'GET 3');
  });

  await test('hosts do not share what is stored', async (t) => {
    origin.on('/host', (reply, request) => reply.answer(200, [fresh], request.get('host') ?? ''));
    for (let round = 0; round < 2; round++) {
      for (const host of ['a.example', 'b.example', 'b.example:81']) {
        t.equal((await ask(proxy.port, '/host', { fields: [['Host', host]] })).body.toString(), host);
      }
    }
    t.equal(origin.count('/host'), 3);
  });

  await test('only-if-cached: 504 where there is nothing, and no question', async (t) => {
    const fields: FieldList = [['Cache-Control', 'only-if-cached']];
    t.equal((await ask(proxy.port, '/not-there', { fields })).status, 504);
    t.equal(origin.count('/not-there'), 0);
  });

  await test('purges by URL, prefix and tag, hard and soft, while a fill is under way, too', async (t) => {
    const purge = async (order: Record<string, unknown>): Promise<number> => {
      const { status: code, text } = await admin(proxy, '/purge', order);
      t.equal(code, 200, text);
      return Number((JSON.parse(text) as { objects: unknown }).objects);
    };
    for (const path of ['/p/a', '/p/b', '/p/c/d', '/q/a']) {
      const tags = path.startsWith('/p/') ? 'all letters' : 'all';
      origin.on(path, (reply, request) => {
        const etag = ['ETag', `"${path}"`] as const;
        if (request.get('if-none-match') === etag[1]) return reply.head(304, [fresh, etag]);
        return reply.answer(200, [fresh, etag, ['Surrogate-Key', tags]], `${path} ${origin.count(path)}`);
      });
    }
    const paths = ['/p/a', '/p/b', '/p/c/d', '/q/a'];
    const hits = async (): Promise<string[]> => {
      const found: string[] = [];
      for (const path of paths) if (isHit(await ask(proxy.port, path))) found.push(path);
      return found;
    };
    const base = 'http://site.example';
    t.same(await hits(), []);
    t.same(await hits(), paths);
    t.equal(await purge({ url: `${base}/p/a` }), 1);
    t.same(await hits(), ['/p/b', '/p/c/d', '/q/a']);
    t.equal(await purge({ url: `${base}/p/never` }), 0);
    t.equal(await purge({ prefix: `${base}/p/` }), 3);
    t.same(await hits(), ['/q/a']);
    t.equal(await purge({ tag: 'letters' }), 3);
    t.same(await hits(), ['/q/a']);
    t.equal(await purge({ tag: 'all', mode: 'soft' }), 4);
    const softly = await ask(proxy.port, '/p/b');
    t.match(status(softly), /fwd=stale; fwd-status=304/, 'validated, not fetched');
    t.ok(isHit(await ask(proxy.port, '/p/b')));

    const gate = new Gate();
    origin.on('/p/slow', async (reply) => {
      const round = origin.count('/p/slow');
      await reply.head(200, [fresh, ['Content-Length', '100000'], ['Surrogate-Key', 'slow']]);
      await reply.pattern(50_000, { seed: round });
      if (round === 1) await gate.opened;
      await reply.pattern(50_000, { seed: round, from: 50_000 });
    });
    const filling = fetched(proxy.port, '/p/slow', 1);
    await eventually(
      () => origin.count('/p/slow'),
      (count) => count === 1,
      'it is not asked for',
    );
    await sleep(100);
    await purge({ tag: 'slow' });
    gate.open();
    t.same(await filling, [200, true, 100_000, undefined], 'whoever was served is served');
    t.same(await fetched(proxy.port, '/p/slow', 2), [200, true, 100_000, undefined], 'but nobody after the purge');
    t.equal((await admin(proxy, '/purge', { nonsense: 1 })).status, 400);
  });
});

await t.test('a restart keeps what is stored', { timeout: patient(60_000) }, async (t) => {
  const origin = await Origin.start();
  const cache = emptyDirectory('restart');
  const args = ['--origin', origin.url];
  const sizes = [0, 10, 20_000, 200_000, 3 * MiB];
  for (const size of sizes) origin.on(`/${size}`, content(size, [fresh, ['Surrogate-Key', 'kept']]));
  for (const [round, how] of (['SIGKILL', 'SIGTERM', 'SIGKILL'] as const).entries()) {
    const proxy = await startHttp({ cache, args });
    for (const size of sizes)
      t.same(await fetched(proxy.port, `/${size}`), [200, true, size, undefined], `${how} ${size}`);
    // The log is written behind the answers.
    const written = round === 0 ? sizes.length : 0;
    await eventually(
      async () => (await admin(proxy, '/metrics')).text,
      (text) => text.includes(`symsplice_http_cache_fills_stored_total ${written}\n`),
      'the store does not write',
    );
    proxy.child.signal(how);
    await proxy.child.exited;
  }
  for (const size of sizes) t.equal(origin.count(`/${size}`), 1);
  const proxy = await startHttp({ cache, args });
  const { text } = await admin(proxy, '/purge', { tag: 'kept' });
  t.equal((JSON.parse(text) as { objects: unknown }).objects, sizes.length, 'tags are kept, too');
  proxy.child.signal('SIGKILL');
  await proxy.child.exited;
  const last = await startHttp({ cache, args });
  for (const size of sizes) t.same(await fetched(last.port, `/${size}`), [200, true, size, undefined]);
  for (const size of sizes) t.equal(origin.count(`/${size}`), 2, 'a purge holds over a kill');
  await last.child.stop();
  await origin.close();
});

await t.test('killed in the middle of fills: whole or absent afterwards', { timeout: patient(240_000) }, async (t) => {
  const origin = await Origin.start();
  const cache = emptyDirectory('killed');
  const args = ['--origin', origin.url, '--cache-size', '2g'];
  const objects = Array.from({ length: 30 }, (_, i) => ({
    path: `/o${i}`,
    size: [700, 20_000, 250_000, 2 * MiB][i % 4] ?? 0,
  }));
  // Each start has contents of its own: what is served must be one of them from its first byte to its last.
  let generation = 0;
  for (const { path, size } of objects) {
    origin.on(path, async (reply) => {
      const seed = generation;
      await reply.head(200, [
        ['Cache-Control', 'max-age=6000'],
        ['X-Generation', `${seed}`],
        ['Content-Length', `${size}`],
      ]);
      for (let at = 0; at < size; at += 50_000) {
        await reply.pattern(Math.min(50_000, size - at), { from: at, seed });
        await sleep(2);
      }
    });
  }
  let kept = 0;
  for (generation = 1; generation <= 12; generation++) {
    const proxy = await startHttp({ cache, args });
    const clients = objects.map(async ({ path, size }) => {
      const pieces: Buffer[] = [];
      let response: Response;
      try {
        response = await ask(proxy.port, path, { take: (piece) => pieces.push(piece) });
      } catch {
        return;
      }
      const seed = Number(response.get('x-generation'));
      if (isHit(response)) kept++;
      const body = Buffer.concat(pieces);
      if (!response.whole) t.not(seed, undefined);
      else t.equal(body.length, size);
      t.ok(body.equals(pattern(body.length, 0, seed)), `${path} of generation ${seed} in ${generation}`);
    });
    // Anywhere; but by the last two something has been kept to be found again.
    if (generation > 10) await untilStored(proxy, '/o0');
    await sleep(generation > 10 ? 1500 : 20 + 40 * generation);
    proxy.child.signal('SIGKILL');
    await Promise.all(clients);
    // Each generation leaves a few behind and the store keeps the others.
    if (generation % 4 === 0) {
      const purging = await startHttp({ cache, args });
      await admin(purging, '/purge', { prefix: `http://site.example/o${generation / 4}` });
      purging.child.signal('SIGKILL');
      await purging.child.exited;
    }
  }
  t.ok(kept > 0, `${kept} hits after a kill`);
  const proxy = await startHttp({ cache, args });
  for (const { path, size } of objects) {
    const check = await ask(proxy.port, path);
    t.equal(check.body.length, size);
    t.ok(check.body.equals(pattern(size, 0, Number(check.get('x-generation')))), path);
  }
  t.same(proxy.complaints(), []);
  await proxy.child.stop();
  await origin.close();
});
