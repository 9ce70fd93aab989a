// Either side says "I have no more to send" while the other still has much to say.
import { overBackends } from '../support/group.js';
import { openEnds } from '../support/handshake.js';

const port = 7000;
const much = 30_000_000;

await overBackends(
  {},
  (_lab, server) => server.listen({ host: '::', port, mode: 'accept' }),
  async ({ client, server, proxy, test }) => {
    await test('the server reads the end of the client and can still send', async (t) => {
      const { near, far } = await openEnds(client, server, proxy, port);
      await client.write(near, Buffer.from('question'));
      await client.end(near);
      t.same(Buffer.from(await server.readAll(far)), Buffer.from('question'));
      await server.write(far, Buffer.from('answer'));
      t.same(Buffer.from(await client.read(near, 6)), Buffer.from('answer'));
      await server.end(far);
      t.same(await client.ending(near), { how: 'end' });
    });

    await test('the client reads the end of the server and can still send', async (t) => {
      const { near, far } = await openEnds(client, server, proxy, port);
      await server.write(far, Buffer.from('banner'));
      await server.end(far);
      t.same(Buffer.from(await client.readAll(near)), Buffer.from('banner'));
      await client.write(near, Buffer.from('thanks'));
      t.same(Buffer.from(await server.read(far, 6)), Buffer.from('thanks'));
      await client.end(near);
      t.same(await server.ending(far), { how: 'end' });
    });

    await test('30 MB down arrive whole after the client has closed its side', async (t) => {
      const { near, far } = await openEnds(client, server, proxy, port);
      await client.end(near);
      t.same(await server.ending(far), { how: 'end' });
      const [sent, received] = await Promise.all([
        server.pour(far, much).then(async (d) => (await server.end(far), d)),
        client.drain(near),
      ]);
      t.same(received, sent);
    });

    await test('30 MB up arrive whole after the server has closed its side', async (t) => {
      const { near, far } = await openEnds(client, server, proxy, port);
      await server.end(far);
      t.same(await client.ending(near), { how: 'end' });
      const [sent, received] = await Promise.all([
        client.pour(near, much).then(async (d) => (await client.end(near), d)),
        server.drain(far),
      ]);
      t.same(received, sent);
    });

    await test('30 MB each way at once, each ended right after its last byte, arrive whole', async (t) => {
      const { near, far } = await openEnds(client, server, proxy, port);
      const [up, down, atServer, atClient] = await Promise.all([
        client.pour(near, much).then(async (d) => (await client.end(near), d)),
        server.pour(far, much).then(async (d) => (await server.end(far), d)),
        server.drain(far),
        client.drain(near),
      ]);
      t.same(atServer, up);
      t.same(atClient, down);
    });

    await test('an end that comes while the receiver is stopped does not overtake the data', async (t) => {
      const { near, far } = await openEnds(client, server, proxy, port);
      await client.pause(near);
      // More than sockets and pipes on the way hold, less than would block for ever in this process.
      const sending = server.pour(far, 12_000_000).then(async (d) => (await server.end(far), d));
      await server.read(far, 0);
      await client.resume(near);
      t.same(await client.drain(near), await sending);
      await client.end(near);
    });

    await test('a flow without a byte ends from either side', async (t) => {
      for (const first of ['client', 'server'] as const) {
        const { near, far } = await openEnds(client, server, proxy, port);
        if (first === 'client') await client.end(near);
        else await server.end(far);
        t.same(first === 'client' ? await server.ending(far) : await client.ending(near), { how: 'end' });
        if (first === 'client') await server.end(far);
        else await client.end(near);
        t.same(first === 'client' ? await client.ending(near) : await server.ending(far), { how: 'end' });
      }
    });
  },
);
