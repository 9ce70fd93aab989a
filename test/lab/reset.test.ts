// A reset on one side is a reset on the other: nobody may take a cut connection for a complete one.
import { overBackends } from '../support/group.js';
import { openEnds } from '../support/handshake.js';

const port = 7000;
const reset = { how: 'error', code: 'ECONNRESET' };

await overBackends(
  {},
  (_lab, server) => server.listen({ host: '::', port, mode: 'accept' }),
  async ({ client, server, proxy, test }) => {
    await test('a reset by the client reaches the server as a reset', async (t) => {
      const { near, far } = await openEnds(client, server, proxy, port);
      await client.reset(near);
      t.same(await server.ending(far), reset);
    });

    await test('a reset by the server reaches the client as a reset', async (t) => {
      const { near, far } = await openEnds(client, server, proxy, port);
      await server.reset(far);
      t.same(await client.ending(near), reset);
    });

    await test('a reset by the client after data both ways reaches the server', async (t) => {
      const { near, far } = await openEnds(client, server, proxy, port);
      await client.write(near, Buffer.from('ping'));
      await server.read(far, 4);
      await server.write(far, Buffer.from('pong'));
      await client.read(near, 4);
      await client.reset(near);
      t.same(await server.ending(far), reset);
    });

    await test('a download that the server resets never looks complete to the client', async (t) => {
      // Several times: data and reset may arrive together or apart, and both must be understood.
      for (let round = 0; round < 15; round++) {
        const { near, far } = await openEnds(client, server, proxy, port);
        const draining = client.drain(near).then(
          ({ bytes }) => `complete after ${bytes} bytes`,
          (error: Error) => error.message,
        );
        await server.pour(far, 5_000_000);
        await server.reset(far);
        t.match(await draining, /^ECONNRESET after \d+ bytes/);
      }
    });

    await test('a reset by the client in the middle of a download stops the server', async (t) => {
      const { near, far } = await openEnds(client, server, proxy, port);
      const pouring = server.pour(far, 500_000_000).then(
        () => 'took it all',
        (error: Error) => error.message,
      );
      await client.read(near, 1_000_000);
      await client.reset(near);
      t.not(await pouring, 'took it all');
      t.match(await server.ending(far), { how: 'error', code: /ECONNRESET|EPIPE/ });
    });

    await test('a reset after the other side was closed still arrives', async (t) => {
      const { near, far } = await openEnds(client, server, proxy, port);
      await server.end(far);
      t.same(await client.ending(near), { how: 'end' });
      await client.write(near, Buffer.from('x'));
      await server.read(far, 1);
      await client.reset(near);
      t.same(await server.ending(far), reset);
    });
  },
);
