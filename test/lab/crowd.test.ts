// Many at once, and many one after another.
import { address } from '../support/lab.js';
import { eventually } from '../support/children.js';
import { overBackends } from '../support/group.js';

const port = 7000;

await overBackends(
  { limitMs: 110_000 },
  (_lab, server) => server.listen({ host: '::', port, mode: 'echo' }),
  async ({ client, proxy, test }) => {
    const way = { proxyHost: address.proxy4, proxyPort: proxy.port, targetHost: address.server4, targetPort: port };

    await test('1,000 flows at once echo 64 KiB each without a wrong byte', async (t) => {
      const { done, errors } = await client.swarm({ ...way, flows: 1_000, bytes: 65_536 });
      t.same(errors, []);
      t.equal(done, 1_000);
    });

    await test('after 10,000 connections one after another the descriptors are back where they were', async (t) => {
      // What is opened once and kept is open after the first hundred.
      await client.sequence({ ...way, count: 100 });
      let settled = proxy.descriptors();
      await eventually(
        () => {
          const before = settled;
          settled = proxy.descriptors();
          return before - settled;
        },
        (change) => change === 0,
        'the descriptor count does not settle',
      );
      const { done, errors } = await client.sequence({ ...way, count: 10_000 });
      t.same(errors, []);
      t.equal(done, 10_000);
      await eventually(
        () => proxy.descriptors(),
        (count) => count <= settled,
        `descriptors are not back at ${settled}`,
      );
      t.ok(proxy.child.running);
    });
  },
);
