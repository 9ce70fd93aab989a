// A client that does not read must cost the proxy little memory, and must find everything when it reads again.
import { amount } from '../support/amount.js';
import { eventually } from '../support/children.js';
import { address } from '../support/lab.js';
import { overBackends } from '../support/group.js';
import { openEnds } from '../support/handshake.js';
import { isOurs } from '../support/proxy.js';

const port = 7000;
const stream = amount(150_000_000, 60_000_000);
/** What a proxy may hold for one stalled flow: sockets' and its own buffers, far below the stream. */
const held = 40_000_000;

await overBackends(
  { limitMs: 60_000 },
  (_lab, server) => server.listen({ host: '::', port, mode: 'accept' }),
  async ({ backend, client, server, proxy, test }) => {
    for (const reader of ['client', 'server'] as const) {
      await test(`a ${reader} that does not read stops the sender, costs bounded memory, and loses nothing`, async (t) => {
        const ends = await openEnds(client, server, proxy, port);
        const [from, source, to, sink] =
          reader === 'client'
            ? ([server, ends.far, client, ends.near] as const)
            : ([client, ends.near, server, ends.far] as const);
        const before = proxy.child.residentBytes();
        await to.pause(sink);
        const pouring = from.pour(source, stream).then(async (digest) => {
          await from.end(source);
          return digest;
        });
        // Stalled: the kernel takes no more from the sender over a while.
        let last = -1;
        let still = 0;
        const taken = await eventually(
          async () => {
            const now = await from.taken(source);
            still = now === last ? still + 1 : 0;
            last = now;
            return now;
          },
          () => still >= 40,
          'the sender is not stopped',
          40_000,
        );
        t.ok(taken < held, `the sender got rid of ${taken} bytes`);
        t.ok(
          proxy.child.residentBytes() - before < held,
          `the proxy grew by ${proxy.child.residentBytes() - before} bytes`,
        );
        const received = to.drain(sink);
        t.same(await received, await pouring);
        await to.end(sink);
      });
    }

    if (!isOurs(backend)) return;
    await test('a stalled flow does not hold up another', async (t) => {
      const stalled = await openEnds(client, server, proxy, port);
      await client.pause(stalled.near);
      const pouring = server.pour(stalled.far, stream).catch((error: Error) => error.message);
      const free = await openEnds(client, server, proxy, port);
      const [sent, received] = await Promise.all([
        server.pour(free.far, amount(20_000_000)).then(async (digest) => {
          await server.end(free.far);
          return digest;
        }),
        client.drain(free.near),
      ]);
      t.same(received, sent);
      await client.reset(stalled.near);
      t.type(await pouring, 'string', `to ${address.client4}`);
      await client.reset(free.near);
    });
  },
);
