// What goes wrong around splice-http: origins that die, stall and lie, clients that stall and leave, a full disk. No
// client is told that a part is the whole, and nothing that is not whole is served later.
import t from 'tap';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually, patient } from '../support/children.js';
import { ask, RawClient, type Response } from '../support/http-client.js';
import { pattern, PatternCheck, type FieldList } from '../support/http-message.js';
import { Gate, Origin, type Behaviour, type Reply } from '../support/http-origin.js';
import { emptyDirectory, httpGroup, startHttp } from '../support/http-proxy.js';

const MiB = 1024 * 1024;
const noStore = ['Cache-Control', 'no-store'] as const;
const fresh = ['Cache-Control', 'max-age=600'] as const;

/** What came of one request for content of the pattern. */
async function fetchPattern(port: number, target: string): Promise<{ response: Response; check: PatternCheck }> {
  const check = new PatternCheck();
  return { response: await ask(port, target, { take: check.take }), check };
}

/** A whole answer with so many bytes of the pattern. */
const good =
  (count: number, fields: FieldList = [fresh]): Behaviour =>
  async (reply) => {
    await reply.head(200, [...fields, ['Content-Length', String(count)]]);
    await reply.pattern(count);
  };

const kernel = ['--response-timeout', '1s', '--origin-timeout', '1s', '--client-timeout', '3s'];

await httpGroup('an origin that dies', {}, async ({ origin, proxy, test }) => {
  const deaths: readonly (readonly [name: string, die: (reply: Reply) => void])[] = [
    ['FIN', (reply) => reply.end()],
    ['RST', (reply) => reply.reset()],
  ];
  const framings = ['length', 'chunked', 'close'] as const;
  for (const [death, die] of deaths) {
    for (const framing of framings) {
      // A FIN is how content without a length ends.
      if (framing === 'close' && death === 'FIN') continue;
      for (const cached of [true, false]) {
        for (const [count, at] of [
          [20_000, 0],
          [20_000, 7000],
          [4 * MiB, 0],
          [4 * MiB, 1],
          [4 * MiB, 3 * MiB],
        ] as const) {
          const what = `${death} at byte ${at} of ${count}, ${framing}, ${cached ? 'to be stored' : 'not stored'}`;
          await test(`${what}: the client sees that it is cut, and gets the whole afterwards`, async (t) => {
            const path = `/${death}-${framing}-${cached ? 1 : 0}-${count}-${at}`;
            const store = cached ? fresh : noStore;
            let dies = true;
            origin.on(path, async (reply, request) => {
              if (!dies) return good(count, [store])(reply, request);
              if (framing === 'length') await reply.head(200, [store, ['Content-Length', String(count)]]);
              else if (framing === 'close') await reply.head(200, [store, ['Connection', 'close']]);
              else await reply.head(200, [store, ['Transfer-Encoding', 'chunked']]);
              if (framing === 'chunked') {
                await reply.raw(`${count.toString(16)}\r\n`);
              }
              await reply.pattern(at);
              // What a reset overtakes is lost; the client is to see a little of it.
              await sleep(30);
              die(reply);
              return undefined;
            });
            for (const version of ['HTTP/1.1', 'HTTP/1.0']) {
              const client = await RawClient.connect(proxy.port);
              client.request(path, { version });
              const check = new PatternCheck();
              const response = await client.response({ take: check.take });
              // Before anything was passed on it may also be told in words.
              if (response !== undefined && response.status !== 502) {
                t.equal(response.status, 200);
                t.notOk(response.whole, `${version}: not whole`);
                t.ok(check.count <= at, `${check.count} bytes of ${at}`);
                t.equal(check.wrong, undefined);
              }
              if (response?.status !== 502) t.equal((await client.rest()).ending, 'reset', version);
              client.close();
            }
            dies = false;
            for (let i = 0; i < 2; i++) {
              const { response, check } = await fetchPattern(proxy.port, path);
              t.same([response.status, response.whole, check.count, check.wrong], [200, true, count, undefined]);
            }
          });
        }
      }
    }
  }

  await test('what an origin said before it died is not combined with what it says now', async (t) => {
    let version = 1;
    origin.on('/versions', async (reply, request) => {
      const etag = ['ETag', `"${version}"`] as const;
      t.comment(request.get('range') ?? 'no range');
      await reply.head(200, [fresh, etag, ['Content-Length', '200000']]);
      await reply.pattern(version === 1 ? 100_000 : 200_000, { seed: version });
      if (version === 1) {
        await sleep(30);
        reply.reset();
      }
    });
    t.notOk((await ask(proxy.port, '/versions')).whole);
    version = 2;
    for (let i = 0; i < 2; i++) {
      const check = new PatternCheck(2);
      const response = await ask(proxy.port, '/versions', { take: check.take });
      t.same([response.status, response.whole, check.count, check.wrong], [200, true, 200_000, undefined]);
    }
  });

  await test('one that closes without a word: 502', async (t) => {
    for (const die of ['end', 'reset'] as const) {
      origin.on('/wordless', (reply) => reply[die]());
      t.equal((await ask(proxy.port, '/wordless')).status, 502);
      origin.on('/half-a-head', async (reply) => {
        await reply.raw('HTTP/1.1 200 OK\r\nContent-Le');
        await sleep(20);
        reply[die]();
      });
      t.equal((await ask(proxy.port, '/half-a-head')).status, 502);
    }
  });

  await test('a kept connection that turns out to be closed costs nobody an answer; POST is not sent twice', async (t) => {
    origin.on('/again', (reply) => reply.answer(200, [noStore], 'here'));
    for (let i = 0; i < 20; i++) {
      t.equal((await ask(proxy.port, '/again')).status, 200);
      origin.disconnect();
      t.equal((await ask(proxy.port, '/again')).status, 200);
    }
    // It dies at the second request of each connection.
    const first = new Set<number>();
    origin.on('/second', async (reply, request) => {
      if (first.has(request.connection)) return reply.reset();
      first.add(request.connection);
      await request.content();
      return reply.answer(200, [noStore], 'first');
    });
    for (let i = 0; i < 10; i++) {
      const before = origin.count('/second');
      const { status } = await ask(proxy.port, '/second', { method: 'POST', body: 'once' });
      t.ok(status === 200 || status === 502);
      t.equal(origin.count('/second') - before, 1, 'sent once');
    }
    for (let i = 0; i < 10; i++) t.equal((await ask(proxy.port, '/second')).status, 200);
  });
});

await httpGroup('an origin that stalls', { args: kernel }, async ({ origin, proxy, test }) => {
  await test('before its head: 504', async (t) => {
    origin.on('/mute', (reply) => reply.gone);
    const response = await ask(proxy.port, '/mute');
    t.equal(response.status, 504);
    await eventually(
      () => origin.open,
      (open) => open === 0,
      'the proxy holds on to the connection',
    );
  });

  await test('in the middle of its head: 504', async (t) => {
    origin.on('/half', async (reply) => {
      await reply.raw('HTTP/1.1 200 OK\r\nContent-');
      await reply.gone;
    });
    t.equal((await ask(proxy.port, '/half')).status, 504);
  });

  for (const framing of ['length', 'chunked'] as const) {
    for (const [count, at] of [
      [10_000, 100],
      [4 * MiB, 2 * MiB],
    ] as const) {
      await test(`in the middle of ${count} bytes (${framing}): the client is cut off and nothing is kept`, async (t) => {
        const path = `/stall-${framing}-${count}`;
        const check = new PatternCheck();
        let said: number = at;
        let stalls = true;
        origin.on(path, async (reply, request) => {
          if (!stalls) return good(count)(reply, request);
          const how = framing === 'length' ? ['Content-Length', String(count)] : ['Transfer-Encoding', 'chunked'];
          await reply.head(200, [fresh, [how[0] ?? '', how[1] ?? '']]);
          if (framing === 'chunked') await reply.raw(`${count.toString(16)}\r\n`);
          await reply.pattern(at);
          // Until the client has that: what it has not read may be lost by the reset that will cut it off.
          for (await sleep(100); check.count < said; await sleep(100)) await reply.pattern(1, { from: said++ });
          return reply.gone;
        });
        const client = await RawClient.connect(proxy.port);
        client.request(path);
        const response = await client.answer({ take: check.take });
        t.same([response.whole, check.count, check.wrong], [false, said, undefined], 'it got what there was');
        t.equal((await client.rest()).ending, 'reset');
        stalls = false;
        const { response: next, check: whole } = await fetchPattern(proxy.port, path);
        t.same([next.status, next.whole, whole.count, whole.wrong], [200, true, count, undefined]);
      });
    }
  }

  await test('those that waited for its answer are not left waiting', async (t) => {
    origin.on('/all-wait', (reply) => reply.gone);
    const statuses = await Promise.all(
      Array.from({ length: 20 }, async () => (await ask(proxy.port, '/all-wait')).status),
    );
    t.same(
      statuses,
      statuses.map(() => 504),
    );
  });

  await test('slow is not dead: a byte now and then is enough', async (t) => {
    origin.on('/drip', async (reply) => {
      await reply.head(200, [fresh, ['Content-Length', '20']]);
      for (let i = 0; i < 20; i++) {
        await sleep(100);
        await reply.raw(pattern(1, i));
      }
    });
    const { response, check } = await fetchPattern(proxy.port, '/drip');
    t.same([response.whole, check.count, check.wrong], [true, 20, undefined]);
  });

  await test('one that reads nothing: the upload is given up', async (t) => {
    origin.on('/deaf', (reply) => reply.gone);
    const client = await RawClient.connect(proxy.port);
    client.request('/deaf', { method: 'POST', fields: [['Content-Length', String(200 * MiB)]] });
    const sending = (async () => {
      for (let i = 0; i < 200 && !client.socket.destroyed; i++) {
        if (client.socket.write(pattern(MiB))) continue;
        await Promise.race([new Promise((resolve) => client.socket.once('drain', resolve)), client.rest()]);
        if (client.stream.ending !== undefined) break;
      }
    })();
    await sending;
    t.not(client.stream.ending, undefined, 'the client hears of it');
    client.close();
  });
});

await httpGroup('an origin that lies about its length', {}, async ({ origin, proxy, test }) => {
  for (const count of [500, 100_000, 2 * MiB]) {
    await test(`${count} bytes and more behind them: the client gets what was announced, the rest is nobody's`, async (t) => {
      const path = `/long-${count}`;
      origin.on(path, async (reply) => {
        await reply.head(200, [fresh, ['Content-Length', String(count)]]);
        await reply.pattern(count + 100_000);
        await reply.gone;
      });
      origin.on('/other', (reply) => reply.answer(200, [noStore], 'other'));
      for (let i = 0; i < 3; i++) {
        const { response, check } = await fetchPattern(proxy.port, path);
        t.same([response.status, response.whole, check.count, check.wrong], [200, true, count, undefined]);
        t.equal((await ask(proxy.port, '/other')).body.toString(), 'other');
      }
    });

    await test(`${count} bytes announced, fewer sent and the next answer begun: nothing of it is served`, async (t) => {
      const path = `/short-${count}`;
      let lies = true;
      origin.on(path, async (reply, request) => {
        if (!lies) return good(count)(reply, request);
        await reply.head(200, [fresh, ['Content-Length', String(count)]]);
        await reply.pattern(count - 1);
        await sleep(20);
        return reply.end();
      });
      const { response } = await fetchPattern(proxy.port, path);
      t.notOk(response.status === 200 && response.whole);
      lies = false;
      const next = await fetchPattern(proxy.port, path);
      t.same([next.response.whole, next.check.count, next.check.wrong], [true, count, undefined]);
    });
  }
});

await httpGroup('clients', { args: ['--client-timeout', '2s'] }, async ({ origin, proxy, test }) => {
  await test('one that reads nothing does not keep another waiting for the same object', async (t) => {
    const count = 24 * MiB;
    origin.on('/shared', good(count));
    const lazy = await RawClient.connect(proxy.port);
    lazy.socket.pause();
    lazy.request('/shared');
    await eventually(
      () => origin.count('/shared'),
      (seen) => seen === 1,
      'it is not asked for',
    );
    const { response, check } = await fetchPattern(proxy.port, '/shared');
    t.same([response.whole, check.count, check.wrong], [true, count, undefined]);
    t.equal(origin.count('/shared'), 1);
    lazy.close();
  });

  await test('one that reads nothing is cut off after its time, and others are not', async (t) => {
    const count = 24 * MiB;
    origin.on('/lazy', good(count, [noStore]));
    const lazy = await RawClient.connect(proxy.port);
    lazy.request('/lazy');
    await lazy.stream.until('\r\n\r\n');
    await sleep(4000);
    let got = 0;
    let ended = false;
    try {
      await lazy.stream.each(count, (piece) => (got += piece.length));
    } catch {
      ended = true;
    }
    t.ok(ended, `it got ${got} bytes, not all`);
    t.equal(lazy.stream.ending, 'reset');
  });

  await test('one that reads slowly gets everything', async (t) => {
    const count = 8 * MiB;
    origin.on('/patient', good(count));
    for (let round = 0; round < 2; round++) {
      const client = await RawClient.connect(proxy.port);
      client.request('/patient');
      await client.stream.until('\r\n\r\n');
      const check = new PatternCheck();
      for (let left = count; left > 0; left -= MiB) {
        await client.stream.each(MiB, check.take);
        await sleep(50);
      }
      t.same([check.count, check.wrong], [count, undefined]);
      client.close();
    }
    t.equal(origin.count('/patient'), 1);
  });

  for (const how of ['close', 'reset'] as const) {
    await test(`one that leaves by ${how} near the end: the fill goes on without it`, async (t) => {
      const count = 6 * MiB;
      const path = `/left-${how}`;
      const gate = new Gate();
      origin.on(path, async (reply) => {
        await reply.head(200, [fresh, ['Content-Length', String(count)]]);
        await reply.pattern(count - 1000);
        await gate.opened;
        await reply.pattern(1000, { from: count - 1000 });
      });
      const client = await RawClient.connect(proxy.port);
      client.request(path);
      await client.stream.bytes(4 * MiB);
      client[how]();
      await sleep(100);
      gate.open();
      const { response, check } = await fetchPattern(proxy.port, path);
      t.same([response.whole, check.count, check.wrong], [true, count, undefined]);
      t.equal(origin.count(path), 1, 'from the store, or along with the fill');
    });
  }

  await test('a hundred that read nothing cost next to no memory, whoever sends to them', async (t) => {
    const count = 24 * MiB;
    origin.on('/miss', good(count, [noStore]));
    origin.on('/hit', good(count));
    origin.on('/chunks', async (reply) => {
      await reply.head(200, [fresh, ['Transfer-Encoding', 'chunked']]);
      for (let at = 0; at < count; at += 60_000) await reply.chunk(pattern(Math.min(60_000, count - at), at));
      await reply.lastChunk();
    });
    t.same((await fetchPattern(proxy.port, '/hit')).check.count, count);
    for (const path of ['/hit', '/miss', '/chunks']) {
      const before = proxy.child.memory();
      const lazy = await Promise.all(Array.from({ length: 100 }, () => RawClient.connect(proxy.port)));
      for (const client of lazy) {
        client.socket.pause();
        client.request(path);
      }
      await sleep(1000);
      const more = proxy.child.memory() - before;
      t.ok(more < 100 * MiB, `${path}: ${Math.round(more / MiB)} MiB`);
      for (const client of lazy) client.reset();
    }
  });

  await test('one that sends much to an origin that reads nothing costs next to no memory', async (t) => {
    for (const framing of ['Content-Length', 'Transfer-Encoding'] as const) {
      origin.on('/deaf', (reply) => reply.gone);
      const before = proxy.child.memory();
      const clients = await Promise.all(Array.from({ length: 20 }, () => RawClient.connect(proxy.port)));
      for (const client of clients) {
        const value = framing === 'Content-Length' ? `${64 * MiB}` : 'chunked';
        client.request('/deaf', { method: 'PUT', fields: [[framing, value]] });
        if (framing === 'Transfer-Encoding') client.send(`${(64 * MiB).toString(16)}\r\n`);
        client.send(pattern(30 * MiB));
      }
      await sleep(1000);
      const more = proxy.child.memory() - before;
      t.ok(more < 100 * MiB, `${framing}: ${Math.round(more / MiB)} MiB`);
      for (const client of clients) client.reset();
    }
  });

  await test('one that leaves what nobody else wants: the origin is left, too', async (t) => {
    origin.on('/endless', async (reply) => {
      await reply.head(200, [noStore, ['Transfer-Encoding', 'chunked']]);
      let gone = false;
      void reply.gone.then(() => (gone = true));
      while (!gone) {
        await reply.chunk(pattern(10_000));
        await sleep(5);
      }
    });
    const client = await RawClient.connect(proxy.port);
    client.request('/endless');
    await client.stream.bytes(100_000);
    const before = origin.open;
    client.reset();
    await eventually(
      () => origin.open,
      (open) => open < before,
      'the origin goes on for nobody',
    );
    t.pass();
  });

  await test('one that leaves while its request waits: the next is served', async (t) => {
    const gate = new Gate();
    origin.on('/waits', async (reply) => {
      await gate.opened;
      await reply.answer(200, [fresh], 'at last');
    });
    const clients = await Promise.all(Array.from({ length: 10 }, () => RawClient.connect(proxy.port)));
    for (const client of clients) client.request('/waits');
    await eventually(
      () => origin.count('/waits'),
      (seen) => seen === 1,
      'it is not asked for',
    );
    await sleep(100);
    // The one that leads, whichever it is, is among them.
    for (const client of clients.slice(0, 9)) client.reset();
    await sleep(100);
    gate.open();
    t.equal((await clients[9]?.answer())?.body.toString(), 'at last');
    clients[9]?.close();
  });

  await test('one that leaves in the middle of its upload leaves no half request behind', async (t) => {
    origin.on('/upload', async (reply, request) => {
      await request.content();
      await reply.answer(200, [noStore], 'got it');
    });
    for (let i = 0; i < 20; i++) {
      const client = await RawClient.connect(proxy.port);
      client.request('/upload', { method: 'PUT', fields: [['Content-Length', String(MiB)]] });
      client.send(pattern(100_000 * (i % 4)));
      await sleep(10);
      client[i % 2 === 0 ? 'reset' : 'close']();
    }
    const response = await ask(proxy.port, '/upload', { method: 'PUT', body: pattern(MiB) });
    t.equal(response.body.toString(), 'got it');
  });

  await test('one that says nothing, or half a head, is let go', async (t) => {
    const impatient = await startHttp({ args: ['--origin', origin.url, '--head-timeout', '1s', '--keep-alive', '1s'] });
    const silent = await RawClient.connect(impatient.port);
    t.equal((await silent.rest()).ending, 'fin');
    const half = await RawClient.connect(impatient.port);
    half.send('GET / HTTP/1.1\r\nHo');
    t.equal((await half.answer()).status, 408);
    t.equal((await half.rest()).ending, 'fin');
    const drip = await RawClient.connect(impatient.port);
    const dripping = setInterval(() => drip.send('X'), 100);
    drip.send('GET / HTTP/1.1\r\n');
    t.equal((await drip.answer()).status, 408);
    clearInterval(dripping);
    drip.close();
    const idle = await RawClient.connect(impatient.port);
    idle.request('/nothing');
    t.equal((await idle.answer()).status, 404);
    t.same(await idle.rest(), { bytes: Buffer.alloc(0), ending: 'fin' });
    await impatient.child.stop();
  });
});

await t.test('no origin at all', { timeout: patient(60_000) }, async (t) => {
  const origin = await Origin.start();
  const proxy = await startHttp({ args: ['--origin', origin.url, '--connect-timeout', '2s'] });
  origin.on('/stale', (reply) => reply.answer(200, [['Cache-Control', 'max-age=1, stale-if-error=600']], 'old'));
  origin.on('/strict', (reply) => reply.answer(200, [['Cache-Control', 'max-age=1, must-revalidate']], 'old'));
  t.equal((await ask(proxy.port, '/stale')).body.toString(), 'old');
  t.equal((await ask(proxy.port, '/strict')).body.toString(), 'old');
  await origin.close();
  await sleep(2100);
  const refused = await ask(proxy.port, '/never-seen');
  t.equal(refused.status, 502);
  t.match(refused.get('cache-status'), /splice-http/);
  const stale = await ask(proxy.port, '/stale');
  t.same([stale.status, stale.body.toString()], [200, 'old']);
  t.ok(Number(stale.get('age')) >= 1);
  t.equal((await ask(proxy.port, '/strict')).status, 504, 'RFC 9111 section 5.2.2.2');
  const back = await Origin.start({ port: origin.port });
  back.on('/never-seen', (reply) => reply.answer(200, [noStore], 'back'));
  t.equal((await ask(proxy.port, '/never-seen')).body.toString(), 'back');
  t.same(proxy.complaints(), []);
  await proxy.child.stop();
  await back.close();
});

await t.test('the disk is full', { timeout: patient(120_000) }, async (t) => {
  const origin = await Origin.start();
  const cache = emptyDirectory('small-disk');
  const proxy = await startHttp({
    cache,
    args: ['--origin', origin.url, '--cache-size', '1g'],
    mounts: `mount -t tmpfs -o size=12m none ${cache}`,
  });
  origin.on('*', async (reply, request) => {
    const count = Number(/\d+$/.exec(request.path)?.[0]);
    await reply.head(200, [fresh, ['Content-Length', String(count)]]);
    await reply.pattern(count);
  });
  for (let round = 0; round < 3; round++) {
    for (const count of [20 * MiB, 5 * MiB, 1000, 3 * MiB, 4 * MiB, 100_000]) {
      for (let i = 0; i < 3; i++) {
        const { response, check } = await fetchPattern(proxy.port, `/${round}-${i}/${count}`);
        t.same([response.status, response.whole, check.count, check.wrong], [200, true, count, undefined]);
      }
    }
  }
  t.ok(proxy.child.running);
  // It still stores what fits, once something has made room.
  const { response } = await fetchPattern(proxy.port, '/2-2/100000');
  t.equal(response.status, 200);
  t.same(
    proxy.log().filter((line) => line['level'] === 'fatal'),
    [],
  );
  await proxy.child.stop();
  await origin.close();
});
