// The bytes around the moment of the splice: those that came too early, and those that come at once.
import { address } from '../support/lab.js';
import { overBackends } from '../support/group.js';
import { connectToProxy, openEnds, readReply5 } from '../support/handshake.js';
import { isOurs } from '../support/proxy.js';
import { greeting5, request4, request5 } from '../support/socks-bytes.js';

const port = 7000;

await overBackends(
  {},
  (_lab, server) => server.listen({ host: '::', port, mode: 'accept' }),
  async ({ backend, client, server, proxy, test }) => {
    const request = request5(address.server4, port);

    await test('a server that speaks first is heard', async (t) => {
      const { near, far } = await openEnds(client, server, proxy, port);
      await server.write(far, Buffer.from('220 ready\r\n'));
      t.same(Buffer.from(await client.read(near, 11)), Buffer.from('220 ready\r\n'));
      await client.reset(near);
    });

    await test('data that follows the request at once reaches the server first', async (t) => {
      const id = await connectToProxy(client, proxy);
      await client.write(id, greeting5(0));
      await client.read(id, 2);
      await client.write(id, Buffer.concat([request, Buffer.from('early')]));
      const far = await server.accept(port);
      t.equal(await readReply5(client, id), 0);
      await client.write(id, Buffer.from(' and late'));
      t.same(Buffer.from(await server.read(far, 14)), Buffer.from('early and late'));
      await client.reset(id);
    });

    await test('greeting, request and data in one segment lose nothing', async (t) => {
      const id = await connectToProxy(client, proxy);
      await client.write(id, Buffer.concat([greeting5(0), request, Buffer.from('early')]));
      const far = await server.accept(port);
      await client.read(id, 2);
      t.equal(await readReply5(client, id), 0);
      t.same(Buffer.from(await server.read(far, 5)), Buffer.from('early'));
      await server.write(far, Buffer.from('answer'));
      t.same(Buffer.from(await client.read(id, 6)), Buffer.from('answer'));
      await client.reset(id);
    });

    await test('3 MB that the client sends without waiting for any reply arrive whole and in order', async (t) => {
      const id = await connectToProxy(client, proxy);
      await client.write(id, Buffer.concat([greeting5(0), request]));
      const pouring = client.pour(id, 3_000_000);
      const far = await server.accept(port);
      const received = server.drain(far);
      const sent = await pouring;
      await client.end(id);
      t.same(await received, sent);
      await server.end(far);
      await client.ending(id);
    });

    await test('a client that closes its side before the reply gets reply and answer', async (t) => {
      const id = await connectToProxy(client, proxy);
      await client.write(id, Buffer.concat([greeting5(0), request, Buffer.from('all I have')]));
      await client.end(id);
      const far = await server.accept(port);
      t.same(Buffer.from(await server.readAll(far)), Buffer.from('all I have'));
      await server.write(far, Buffer.from('answer'));
      await server.end(far);
      await client.read(id, 2);
      t.equal(await readReply5(client, id), 0);
      t.same(Buffer.from(await client.readAll(id)), Buffer.from('answer'));
    });

    await test('a handshake that comes byte by byte is as good as any', async (t) => {
      const id = await connectToProxy(client, proxy);
      for (const byte of Buffer.concat([greeting5(0), request, Buffer.from('early')])) {
        await client.write(id, Buffer.from([byte]));
      }
      const far = await server.accept(port);
      t.same(Buffer.from(await server.read(far, 5)), Buffer.from('early'));
      await client.reset(id);
    });

    if (!isOurs(backend)) return;
    await test('a SOCKS4a request with data in the same segment loses nothing', async (t) => {
      const id = await connectToProxy(client, proxy);
      await client.write(id, Buffer.concat([request4('behind.lab', port, 'someone'), Buffer.from('early')]));
      const far = await server.accept(port);
      const reply = await client.read(id, 8);
      t.same([...reply.subarray(0, 2)], [0, 0x5a]);
      t.same(Buffer.from(await server.read(far, 5)), Buffer.from('early'));
      await client.reset(id);
    });
  },
);
