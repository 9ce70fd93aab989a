// Every byte, in every order of events around the splice. What is compared is sha256 sums of whole streams.
import { randomBytes } from 'node:crypto';
import { amount } from '../support/amount.js';
import type { Agent } from '../support/agent-client.js';
import type { ConnectionId } from '../support/agent-api.js';
import { overManners, readAnswers } from '../support/packet-group.js';

const reset = { how: 'error', code: 'ECONNRESET' };

/** Sends so much, then FIN. */
async function pourAndEnd(agent: Agent, id: ConnectionId, bytes: number): Promise<unknown> {
  const digest = await agent.pour(id, bytes);
  await agent.end(id);
  return digest;
}

await overManners({}, async ({ client, server, open, openUnread, carried, test }) => {
  await test('both directions bulk at once from the first byte', async (t) => {
    for (const bytes of [1, 2_000, 70_000, 1_000_000, 8_000_000]) {
      for (let round = 0; round < amount(4); round++) {
        const flow = await openUnread();
        // Neither side waits for anything: the upload races the reply.
        const sending = [pourAndEnd(client, flow.near, bytes), pourAndEnd(server, flow.far, bytes)];
        await readAnswers(client, flow.near);
        const [atClient, atServer] = await Promise.all([client.drain(flow.near), server.drain(flow.far)]);
        t.same([atServer, atClient], await Promise.all(sending), `${bytes} bytes`);
        await carried(t, flow, bytes > 200_000 ? { young: false } : {});
      }
    }
  });

  await test('data right behind the CONNECT request arrives first, whole and once', async (t) => {
    for (const bytes of [1, 1_400, 60_000]) {
      for (let round = 0; round < amount(5); round++) {
        const early = randomBytes(bytes);
        const flow = await open(early);
        t.ok(Buffer.from(await server.read(flow.far, bytes)).equals(early), `${bytes} bytes`);
        const [up, atServer] = await Promise.all([pourAndEnd(client, flow.near, 300_000), server.drain(flow.far)]);
        t.same(atServer, up);
        await server.end(flow.far);
        await client.ending(flow.near);
        await carried(t, flow);
      }
    }
  });

  await test('a server that speaks first is heard, be it a banner or megabytes', async (t) => {
    for (const bytes of [5_000, 3_000_000]) {
      for (let round = 0; round < amount(5); round++) {
        const flow = await openUnread();
        const sent = pourAndEnd(server, flow.far, bytes);
        await readAnswers(client, flow.near);
        t.same(await client.drain(flow.near), await sent);
        await client.write(flow.near, Buffer.from('thanks'));
        t.equal((await server.read(flow.far, 6)).length, 6);
        await client.end(flow.near);
        await server.ending(flow.far);
        await carried(t, flow, bytes > 200_000 ? { young: false } : {});
      }
    }
  });

  await test('an upload right after the reply arrives', async (t) => {
    for (let round = 0; round < amount(10); round++) {
      const flow = await open();
      const [up, atServer] = await Promise.all([pourAndEnd(client, flow.near, 2_000_000), server.drain(flow.far)]);
      t.same(atServer, up);
      await server.end(flow.far);
      await client.ending(flow.near);
      await carried(t, flow, { young: false });
    }
  });

  await test('questions and answers of every size, one after another', async (t) => {
    const flow = await open();
    for (let round = 0; round < amount(200); round++) {
      const question = randomBytes(1 + ((round * 317) % 9_000));
      await client.write(flow.near, question);
      t.ok(Buffer.from(await server.read(flow.far, question.length)).equals(question));
      const answer = randomBytes(1 + ((round * 911) % 30_000));
      await server.write(flow.far, answer);
      t.ok(Buffer.from(await client.read(flow.near, answer.length)).equals(answer));
    }
    await client.end(flow.near);
    await server.ending(flow.far);
    await server.end(flow.far);
    t.same(await client.ending(flow.near), { how: 'end' });
    const line = await carried(t, flow, { young: false });
    t.equal(line['reason'], 'end');
  });

  for (const [first, name] of [
    ['client', 'bulk down arrives after the client has closed its side'],
    ['server', 'bulk up arrives after the server has closed its side'],
  ] as const) {
    await test(name, async (t) => {
      const flow = await open();
      const [a, near, b, far] =
        first === 'client' ? [client, flow.near, server, flow.far] : [server, flow.far, client, flow.near];
      await a.end(near);
      t.same(await b.ending(far), { how: 'end' });
      const [sent, received] = await Promise.all([pourAndEnd(b, far, amount(100_000_000)), a.drain(near)]);
      t.same(received, sent);
      t.equal((await carried(t, flow, { young: false }))['reason'], 'end');
    });
  }

  await test('a half-close in the middle of bulk the other way', async (t) => {
    for (let round = 0; round < amount(5); round++) {
      const flow = await open();
      const up = pourAndEnd(client, flow.near, amount(20_000_000));
      const received = server.drain(flow.far);
      // Somewhere in the middle of the upload.
      await server.write(flow.far, Buffer.from('stop soon'));
      await client.read(flow.near, 9);
      await server.end(flow.far);
      t.same(await received, await up);
      t.same(await client.ending(flow.near), { how: 'end' });
      await carried(t, flow, { young: false });
    }
  });

  await test('both sides close at the same moment', async (t) => {
    for (let round = 0; round < amount(20); round++) {
      const flow = await open();
      await client.write(flow.near, Buffer.from('?'));
      await server.read(flow.far, 1);
      await Promise.all([client.end(flow.near), server.end(flow.far)]);
      t.same(await Promise.all([client.ending(flow.near), server.ending(flow.far)]), [{ how: 'end' }, { how: 'end' }]);
      t.equal((await carried(t, flow))['reason'], 'end');
    }
  });

  await test('a reset from either side is a reset at the other, idle or in the middle of bulk', async (t) => {
    for (const bulk of [0, 3_000_000]) {
      for (const from of ['client', 'server'] as const) {
        for (let round = 0; round < amount(5); round++) {
          const flow = await open();
          if (bulk > 0) {
            const [sent, received] = await Promise.all([server.pour(flow.far, bulk), client.read(flow.near, bulk)]);
            t.equal(received.length, sent.bytes);
          }
          if (from === 'client') await client.reset(flow.near);
          else await server.reset(flow.far);
          t.same(await (from === 'client' ? server.ending(flow.far) : client.ending(flow.near)), reset);
          t.match((await carried(t, flow, bulk > 0 ? { young: false } : {}))['reason'], /reset/);
        }
      }
    }
  });

  await test('a download that is reset in the middle never looks complete', async (t) => {
    for (let round = 0; round < amount(10); round++) {
      const flow = await open();
      const draining = client.drain(flow.near).then(
        ({ bytes }) => `complete after ${bytes} bytes`,
        (error: Error) => error.message,
      );
      await server.pour(flow.far, 5_000_000);
      await server.reset(flow.far);
      t.match(await draining, /^ECONNRESET after \d+ bytes/);
    }
  });

  await test('a reader that stops closes the window, and opens it again', async (t) => {
    for (const [a, b, side] of [
      [server, client, 'client'],
      [client, server, 'server'],
    ] as const) {
      const flow = await open();
      const [from, to] = side === 'client' ? [flow.far, flow.near] : [flow.near, flow.far];
      await b.pause(to);
      // More than all buffers on the way take, so that the window must close.
      const sending = pourAndEnd(a, from, 40_000_000);
      for (let round = 0; round < 3; round++) {
        let taken = -1;
        // Until nothing moves any more, as only a closed window can make it.
        for (let now = await a.taken(from); now !== taken; now = await a.taken(from)) {
          taken = now;
          await new Promise((resolve) => setTimeout(resolve, 400));
        }
        await b.resume(to);
        await b.read(to, 0);
        await new Promise((resolve) => setTimeout(resolve, 20));
        await b.pause(to);
      }
      const received = b.drain(to);
      t.same(await received, await sending);
      await b.end(to);
      await a.ending(from);
      await carried(t, flow, { young: false });
    }
  });
});
