// splice-http hands messages through: every method and framing, one connection for many requests, what HTTP/1.1 has
// beside plain requests. Nothing is stored here: what the cache does is in http-cache.test.ts.
import { setTimeout as sleep } from 'node:timers/promises';
import { ask, RawClient, requestBytes } from '../support/http-client.js';
import { pattern, PatternCheck } from '../support/http-message.js';
import { Gate } from '../support/http-origin.js';
import { httpGroup } from '../support/http-proxy.js';

const MiB = 1024 * 1024;
const noStore = ['Cache-Control', 'no-store'] as const;

await httpGroup('relay', {}, async ({ origin, proxy, test }) => {
  origin.on('/echo', async (reply, request) => {
    await reply.answer(200, [noStore, ['X-Method', request.method]], await request.content());
  });

  for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND', 'X-OWN']) {
    await test(`${method} arrives with its content and its answer comes back`, async (t) => {
      const body = method === 'GET' ? undefined : `content of ${method}`;
      const response = await ask(proxy.port, '/echo?a=b%20c', { method, ...(body !== undefined && { body }) });
      t.equal(response.status, 200);
      t.equal(response.get('x-method'), method);
      t.equal(response.body.toString(), body ?? '');
      t.equal(origin.requests.at(-1)?.target, '/echo?a=b%20c');
    });
  }

  await test('fields arrive, those of the connection do not', async (t) => {
    origin.on('/fields', (reply) =>
      reply.answer(200, [
        noStore,
        ['X-Plain', 'from the origin'],
        ['X-Hop', 'not for the client'],
        ['Connection', 'X-Hop, keep-alive'],
        ['Keep-Alive', 'timeout=5'],
        ['Set-Cookie', 'a=1'],
        ['Set-Cookie', 'b=2'],
      ]),
    );
    const client = await RawClient.connect(proxy.port);
    client.request('/fields', {
      fields: [
        ['X-Plain', 'from the client'],
        ['X-Hop', 'not for the origin'],
        ['Connection', 'X-Hop'],
        ['Keep-Alive', 'timeout=5'],
        ['Proxy-Connection', 'keep-alive'],
        ['Proxy-Authorization', 'Basic eDp5'],
        ['TE', 'gzip'],
        ['Cookie', 'c=3'],
      ],
    });
    const response = await client.answer();
    t.equal(response.get('x-plain'), 'from the origin');
    t.equal(response.get('x-hop'), undefined);
    t.equal(response.get('keep-alive'), undefined);
    t.same(response.head.all('set-cookie'), ['a=1', 'b=2']);
    const request = origin.of('/fields')[0];
    t.equal(request?.get('x-plain'), 'from the client');
    t.equal(request?.get('cookie'), 'c=3');
    for (const name of ['x-hop', 'keep-alive', 'proxy-connection', 'proxy-authorization']) {
      t.equal(request?.get(name), undefined, name);
    }
    t.not(request?.get('te'), 'gzip');
    t.match(request?.get('x-forwarded-for'), '127.0.0.1');
    client.close();
  });

  for (const count of [0, 1, 1000, 70_000, 8 * MiB]) {
    await test(`content of ${count} bytes with a length, both ways`, async (t) => {
      const sent = pattern(count, 0, 3);
      origin.on('/both', async (reply, request) => {
        const check = new PatternCheck(3);
        await request.each(check.take);
        t.same([check.count, check.wrong], [count, undefined], 'what the origin got');
        await reply.head(200, [noStore, ['Content-Length', String(count)]]);
        await reply.pattern(count, { seed: 4 });
      });
      const client = await RawClient.connect(proxy.port);
      for (let round = 0; round < 3; round++) {
        client.request('/both', { method: 'POST', body: sent });
        const check = new PatternCheck(4);
        const response = await client.answer({ take: check.take });
        t.equal(response.status, 200);
        t.ok(response.whole);
        t.same([response.framing, check.count, check.wrong], ['length', count, undefined]);
      }
      client.close();
    });
  }

  await test('chunked content, cut up oddly, both ways', async (t) => {
    const pieces = [1, 2, 3, 4096, 65_536, 7, 300_000, 1];
    origin.on('/chunks', async (reply, request) => {
      const body = await request.content();
      t.ok(body.equals(pattern(body.length)), 'what the origin got');
      t.equal(
        body.length,
        pieces.reduce((a, b) => a + b),
      );
      await reply.head(200, [noStore, ['Transfer-Encoding', 'chunked']]);
      // Every byte of the framing in a segment of its own, then all at once.
      for (const c of '5;name="a;b"\r\nhello\r\n') await reply.raw(c);
      for (const size of pieces) await reply.chunk(pattern(size));
      await reply.raw('3\r\nabc\r\n0\r\n\r\n');
    });
    const client = await RawClient.connect(proxy.port);
    for (let round = 0; round < 2; round++) {
      client.request('/chunks', { method: 'POST', fields: [['Transfer-Encoding', 'chunked']] });
      let from = 0;
      for (const size of pieces) {
        const framed = `${size.toString(16)}\r\n`;
        for (const c of framed) client.send(c);
        client.send(pattern(size, from));
        client.send('\r\n');
        from += size;
        await sleep(1);
      }
      client.send('0\r\n\r\n');
      const response = await client.answer();
      t.equal(response.framing, 'chunked');
      t.ok(response.whole);
      const expected = Buffer.concat([
        Buffer.from('hello'),
        ...pieces.map((size) => pattern(size)),
        Buffer.from('abc'),
      ]);
      t.ok(response.body.equals(expected));
    }
    client.close();
  });

  await test('trailers reach a client that wants them, and chunked never reaches HTTP/1.0', async (t) => {
    origin.on('/trailers', async (reply) => {
      await reply.head(200, [noStore, ['Transfer-Encoding', 'chunked'], ['Trailer', 'X-Sum']]);
      await reply.chunk('some content');
      await reply.lastChunk([['X-Sum', '42']]);
    });
    const wants = await ask(proxy.port, '/trailers', {
      fields: [
        ['TE', 'trailers'],
        ['Connection', 'TE'],
      ],
    });
    t.same(wants.trailers, [['X-Sum', '42']]);
    t.equal(wants.body.toString(), 'some content');
    const old = await ask(proxy.port, '/trailers', { version: 'HTTP/1.0' });
    t.equal(old.framing, 'close');
    t.equal(old.get('transfer-encoding'), undefined);
    t.equal(old.body.toString(), 'some content');
    t.ok(old.whole);
  });

  await test('content that ends with the connection of the origin ends in a way the client can tell', async (t) => {
    origin.on('/until-close', async (reply, request) => {
      const count = request.target.endsWith('?big') ? 3 * MiB : 11;
      await reply.head(200, [noStore]);
      await reply.pattern(count);
      reply.end();
    });
    for (const [query, count] of [
      ['', 11],
      ['?big', 3 * MiB],
    ] as const) {
      const client = await RawClient.connect(proxy.port);
      for (let round = 0; round < 2; round++) {
        client.request(`/until-close${query}`);
        const check = new PatternCheck();
        const response = await client.answer({ take: check.take });
        t.equal(response.framing, 'chunked');
        t.same([response.whole, check.count, check.wrong], [true, count, undefined]);
      }
      client.close();
      const check = new PatternCheck();
      const old = await ask(proxy.port, `/until-close${query}`, { version: 'HTTP/1.0', take: check.take });
      t.same([old.framing, old.whole, check.count, check.wrong], ['close', true, count, undefined]);
    }
  });

  await test('HEAD, 204 and 304 have no content, whatever their fields say', async (t) => {
    origin.on('/head', (reply) => reply.head(200, [noStore, ['Content-Length', '1000']]));
    origin.on('/204', (reply) => reply.head(204, [noStore]));
    origin.on('/304', (reply) => reply.head(304, [noStore, ['ETag', '"x"'], ['Content-Length', '77']]));
    const client = await RawClient.connect(proxy.port);
    for (let round = 0; round < 3; round++) {
      client.request('/head', { method: 'HEAD' });
      const head = await client.answer({ method: 'HEAD' });
      t.equal(head.get('content-length'), '1000');
      client.request('/204');
      t.equal((await client.answer()).status, 204);
      client.request('/304', { fields: [['If-None-Match', '"x"']] });
      t.equal((await client.answer()).status, 304);
      client.request('/echo', { method: 'POST', body: 'still in step' });
      t.equal((await client.answer()).body.toString(), 'still in step');
    }
    client.close();
  });

  await test('one connection of a client carries many requests, and so does one to the origin', async (t) => {
    origin.on('/many', (reply, request) => reply.answer(200, [noStore], request.target));
    const client = await RawClient.connect(proxy.port);
    const before = origin.connections;
    for (let i = 0; i < 200; i++) {
      client.request(`/many?${i}`);
      t.equal((await client.answer()).body.toString(), `/many?${i}`);
    }
    t.ok(origin.connections - before <= 1, `${origin.connections - before} new connections`);
    client.close();
  });

  await test('Connection: close is obeyed, HTTP/1.0 closes unless it asks not to', async (t) => {
    const close = await RawClient.connect(proxy.port);
    close.request('/many', { fields: [['Connection', 'close']] });
    const closed = await close.answer();
    t.match(closed.get('connection'), /close/i);
    t.same(await close.rest(), { bytes: Buffer.alloc(0), ending: 'fin' });
    const old = await RawClient.connect(proxy.port);
    old.request('/many', { version: 'HTTP/1.0' });
    t.equal((await old.answer()).status, 200);
    t.equal((await old.rest()).ending, 'fin');
    const kept = await RawClient.connect(proxy.port);
    for (let i = 0; i < 2; i++) {
      kept.request('/many', { version: 'HTTP/1.0', fields: [['Connection', 'keep-alive']] });
      const response = await kept.answer();
      t.match(response.get('connection'), /keep-alive/i);
      t.equal(response.body.toString(), '/many');
    }
    kept.close();
  });

  await test('pipelined requests are answered in their order, whoever is slow', async (t) => {
    const gate = new Gate();
    origin.on('/slow', async (reply) => {
      await gate.opened;
      await reply.answer(200, [noStore], 'slow');
    });
    const client = await RawClient.connect(proxy.port);
    const post = requestBytes('/echo', { method: 'POST', body: pattern(100_000) });
    const chunked = requestBytes('/echo', {
      method: 'POST',
      fields: [['Transfer-Encoding', 'chunked']],
      body: '4;x=y\r\nfour\r\n0\r\n\r\n',
    });
    const ahead = Array.from({ length: 20 }, (_, i) => requestBytes(`/many?${i}`));
    client.send(
      Buffer.concat([requestBytes('/slow'), post, requestBytes('/head', { method: 'HEAD' }), chunked, ...ahead]),
    );
    await sleep(50);
    gate.open();
    t.equal((await client.answer()).body.toString(), 'slow');
    t.ok((await client.answer()).body.equals(pattern(100_000)));
    t.equal((await client.answer({ method: 'HEAD' })).get('content-length'), '1000');
    t.equal((await client.answer()).body.toString(), 'four');
    for (let i = 0; i < 20; i++) t.equal((await client.answer()).body.toString(), `/many?${i}`);
    client.close();
  });

  await test('requests that come byte by byte', async (t) => {
    const client = await RawClient.connect(proxy.port);
    const bytes = requestBytes('/echo', { method: 'POST', body: 'slowly' });
    for (let round = 0; round < 2; round++) {
      for (const byte of bytes) {
        client.send(Buffer.of(byte));
        await new Promise(setImmediate);
      }
      t.equal((await client.answer()).body.toString(), 'slowly');
    }
    client.close();
  });

  await test('a client may close its half behind its request and still gets the answer', async (t) => {
    for (const target of ['/many', '/until-close?big']) {
      const client = await RawClient.connect(proxy.port);
      client.request(target);
      client.finish();
      const check = new PatternCheck();
      const response = await client.answer({ take: check.take });
      t.ok(response.whole, target);
      t.equal((await client.rest()).ending, 'fin');
    }
  });

  await test('Expect: 100-continue: asked before the content is sent', async (t) => {
    const client = await RawClient.connect(proxy.port);
    client.request('/echo', {
      method: 'POST',
      fields: [
        ['Expect', '100-continue'],
        ['Content-Length', '5'],
      ],
    });
    const line = await client.stream.until('\r\n\r\n');
    t.match(line?.toString(), /^HTTP\/1\.1 100 /);
    client.send('later');
    t.equal((await client.answer()).body.toString(), 'later');
    client.close();
  });

  await test('Expect: 100-continue: an origin that does not want the content says so without it', async (t) => {
    origin.on('/refuses', async (reply, request) => {
      t.equal(request.get('expect'), '100-continue');
      await reply.answer(413, [noStore, ['Connection', 'close']], 'too much');
      reply.end();
    });
    const client = await RawClient.connect(proxy.port);
    client.request('/refuses', {
      method: 'PUT',
      fields: [
        ['Expect', '100-continue'],
        ['Content-Length', '5000000'],
      ],
    });
    const response = await client.answer();
    t.same([response.status, response.body.toString()], [413, 'too much']);
    client.close();
  });

  await test('an answer before the request is whole reaches the client, which is then rid of the connection', async (t) => {
    origin.on('/early', async (reply) => {
      await reply.answer(403, [noStore, ['Connection', 'close']], 'no');
      await sleep(20);
      reply.reset();
    });
    const client = await RawClient.connect(proxy.port);
    client.request('/early', { method: 'POST', fields: [['Content-Length', String(50 * MiB)]] });
    client.send(pattern(MiB));
    const response = await client.answer();
    t.same([response.status, response.body.toString()], [403, 'no']);
    client.close();
  });

  await test('interim responses are passed on, but not to HTTP/1.0', async (t) => {
    origin.on('/hints', async (reply) => {
      await reply.raw('HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n');
      await reply.raw('HTTP/1.1 103 Early Hints\r\nLink: </b.css>; rel=preload\r\n\r\n');
      await reply.answer(200, [noStore], 'page');
    });
    const response = await ask(proxy.port, '/hints');
    t.same(
      response.interim.map((head) => head.get('link')),
      ['</a.css>; rel=preload', '</b.css>; rel=preload'],
    );
    t.equal(response.body.toString(), 'page');
    const old = await ask(proxy.port, '/hints', { version: 'HTTP/1.0' });
    t.same([old.interim.length, old.body.toString()], [0, 'page']);
  });

  await test('an upgrade makes a tunnel: bytes at once, much both ways, and each half ends for itself', async (t) => {
    const total = 4 * MiB;
    origin.on('/socket', async (reply, request) => {
      t.equal(request.get('upgrade')?.toLowerCase(), 'websocket');
      t.match(request.get('connection'), /upgrade/i);
      t.equal(request.get('sec-websocket-key'), 'AAAAAAAAAAAAAAAAAAAAAA==');
      // The first bytes of the new protocol right behind the head.
      await reply.raw('HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello');
      const sending = reply.pattern(total, { seed: 2 });
      const check = new PatternCheck(1);
      await request.stream.each(total, check.take);
      t.same([check.count, check.wrong], [total, undefined], 'what the origin got');
      await sending;
      const rest = await request.stream.rest();
      t.same(rest, { bytes: Buffer.alloc(0), ending: 'fin' });
      await reply.raw('bye');
      reply.end();
    });
    const client = await RawClient.connect(proxy.port);
    client.request('/socket', {
      fields: [
        ['Upgrade', 'websocket'],
        ['Connection', 'Upgrade'],
        ['Sec-WebSocket-Key', 'AAAAAAAAAAAAAAAAAAAAAA=='],
        ['Sec-WebSocket-Version', '13'],
      ],
    });
    // Before the answer: it is the tunnel's.
    client.send(pattern(1000, 0, 1));
    const response = await client.answer();
    t.equal(response.status, 101);
    t.equal(response.get('upgrade')?.toLowerCase(), 'websocket');
    t.equal((await client.stream.bytes(5)).toString(), 'hello');
    client.send(pattern(total - 1000, 1000, 1));
    const check = new PatternCheck(2);
    await client.stream.each(total, check.take);
    t.same([check.count, check.wrong], [total, undefined]);
    client.finish();
    const rest = await client.rest();
    t.same([rest.bytes.toString(), rest.ending], ['bye', 'fin']);
  });

  await test('an upgrade that the origin does not want is an ordinary request', async (t) => {
    const client = await RawClient.connect(proxy.port);
    client.request('/many', {
      fields: [
        ['Upgrade', 'websocket'],
        ['Connection', 'Upgrade'],
      ],
    });
    t.equal((await client.answer()).body.toString(), '/many');
    client.request('/many?2');
    t.equal((await client.answer()).body.toString(), '/many?2');
    client.close();
  });

  await test('a 101 that nobody asked for is a bad answer', async (t) => {
    origin.on('/surprise', (reply) => reply.raw('HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n'));
    t.equal((await ask(proxy.port, '/surprise')).status, 502);
  });

  await test('Host arrives as the client sent it', async (t) => {
    await ask(proxy.port, '/many?host', { fields: [['Host', 'www.example.org:8080']] });
    t.same(origin.of('/many').at(-1)?.head.all('host'), ['www.example.org:8080']);
  });

  await test('CONNECT and absolute targets of others are no business of a reverse proxy', async (t) => {
    const client = await RawClient.connect(proxy.port);
    client.send('CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\n\r\n');
    const response = await client.answer();
    t.ok(response.status >= 400, `${response.status}`);
    client.close();
  });

  await test('an answer that begins before its request has ended: both go on at the same time', async (t) => {
    origin.on('/duplex', async (reply, request) => {
      await reply.head(200, [noStore, ['Transfer-Encoding', 'chunked']]);
      await request.each((piece) => void reply.chunk(Buffer.from(piece)));
      await reply.lastChunk();
    });
    for (const framing of ['chunked', 'length'] as const) {
      const client = await RawClient.connect(proxy.port);
      const how = framing === 'length' ? ['Content-Length', '1000'] : ['Transfer-Encoding', 'chunked'];
      client.request('/duplex', { method: 'POST', fields: [[how[0] ?? '', how[1] ?? '']] });
      await client.stream.until('\r\n\r\n');
      for (let i = 0; i < 10; i++) {
        const piece = pattern(100, 100 * i);
        client.send(framing === 'length' ? piece : Buffer.concat([Buffer.from('64\r\n'), piece, Buffer.from('\r\n')]));
        const line = (await client.stream.until('\r\n'))?.toString();
        t.equal(line, '64\r\n');
        t.ok((await client.stream.bytes(102)).subarray(0, 100).equals(piece), `${framing} ${i}`);
      }
      if (framing === 'chunked') client.send('0\r\n\r\n');
      t.equal((await client.stream.bytes(5)).toString(), '0\r\n\r\n');
      client.request('/many?next');
      t.equal((await client.answer()).body.toString(), '/many?next');
      client.close();
    }
  });

  for (const [what, head] of [
    ['HTTP/1.0', 'HTTP/1.0 200 OK\r\nCache-Control: no-store\r\n\r\n'],
    ['HTTP/1.0 with a length', 'HTTP/1.0 200 OK\r\nCache-Control: no-store\r\nContent-Length: 5\r\n\r\n'],
    ['no reason', 'HTTP/1.1 200 \r\nContent-Length: 5\r\nCache-Control: no-store\r\n\r\n'],
    ['neither reason nor space', 'HTTP/1.1 200\r\nContent-Length: 5\r\nCache-Control: no-store\r\n\r\n'],
    ['much white space', 'HTTP/1.1 200 OK\r\nContent-Length:\t 5  \r\nCache-Control:no-store\r\nX-Empty:\r\n\r\n'],
    ['small letters', 'HTTP/1.1 200 ok\r\ncontent-length: 5\r\ncache-control: NO-STORE\r\n\r\n'],
    [
      'bytes above ASCII',
      'HTTP/1.1 200 \xe4\xf6\r\nContent-Length: 5\r\nX-Text: \xe4\xf6\xfc\r\nCache-Control: no-store\r\n\r\n',
    ],
    [
      'many fields',
      `HTTP/1.1 200 OK\r\nContent-Length: 5\r\n${'X-Some: thing\r\n'.repeat(90)}Cache-Control: no-store\r\n\r\n`,
    ],
  ] as const) {
    await test(`an origin may say it in its own way: ${what}`, async (t) => {
      origin.on('/own-way', async (reply) => {
        await reply.raw(`${head}hello`);
        if (what === 'HTTP/1.0') reply.end();
      });
      for (let i = 0; i < 2; i++) {
        const response = await ask(proxy.port, '/own-way');
        t.same([response.status, response.whole, response.body.toString()], [200, true, 'hello']);
        t.equal(response.version, 'HTTP/1.1');
        if (what === 'bytes above ASCII') t.equal(response.get('x-text'), '\xe4\xf6\xfc');
        if (what === 'many fields') t.equal(response.head.all('x-some').length, 90);
      }
    });
  }

  await test('OPTIONS *, TRACE and Max-Forwards', async (t) => {
    const star = await RawClient.connect(proxy.port);
    star.send('OPTIONS * HTTP/1.1\r\nHost: site.example\r\n\r\n');
    t.ok((await star.answer({ method: 'OPTIONS' })).status < 500);
    star.close();
    const here = await ask(proxy.port, '/echo', { method: 'OPTIONS', fields: [['Max-Forwards', '0']] });
    t.ok(here.status < 300, 'answered here');
    t.equal(origin.of('/echo').filter((request) => request.get('max-forwards') !== undefined).length, 0);
    await ask(proxy.port, '/echo', { method: 'OPTIONS', fields: [['Max-Forwards', '3']] });
    t.equal(origin.of('/echo').at(-1)?.get('max-forwards'), '2');
    const trace = await ask(proxy.port, '/echo', {
      method: 'TRACE',
      fields: [
        ['Max-Forwards', '0'],
        ['Cookie', 'secret=1'],
      ],
    });
    t.notMatch(trace.body.toString(), 'secret=1');
  });

  await test('after a refusal in the middle of a pipeline, what went before is answered and nothing behind it', async (t) => {
    const client = await RawClient.connect(proxy.port);
    const before = origin.count('/many');
    client.send(
      Buffer.concat([
        requestBytes('/many?1'),
        requestBytes('/many?2'),
        Buffer.from('BAD REQUEST\r\n\r\n'),
        requestBytes('/many?3'),
      ]),
    );
    t.equal((await client.answer()).body.toString(), '/many?1');
    t.equal((await client.answer()).body.toString(), '/many?2');
    t.equal((await client.answer()).status, 400);
    t.equal((await client.rest()).ending, 'fin');
    t.equal(origin.count('/many') - before, 2);
  });

  await test('a hundred clients at once, each with content of its own', async (t) => {
    origin.on('/own', async (reply, request) => {
      const seed = Number(/\d+$/.exec(request.target)?.[0]);
      await reply.head(200, [noStore, ['Content-Length', '300000']]);
      await reply.pattern(300_000, { seed });
    });
    const one = async (seed: number): Promise<unknown> => {
      const check = new PatternCheck(seed);
      const response = await ask(proxy.port, `/own?${seed}`, { take: check.take });
      return [response.status, response.whole, check.count, check.wrong];
    };
    const results = await Promise.all(Array.from({ length: 100 }, (_, seed) => one(seed)));
    t.same(
      results,
      results.map(() => [200, true, 300_000, undefined]),
    );
  });
});
