// Many at once, and many one after another.
import { amount } from '../support/amount.js';
import { address } from '../support/lab.js';
import { eventually } from '../support/children.js';
import { overBackends } from '../support/group.js';

const port = 7000;

await overBackends(
  { limitMs: 110_000 },
  (_lab, server) => server.listen({ host: '::', port, mode: 'echo' }),
  async ({ client, proxy, test }) => {
    const way = { proxyHost: address.proxy4, proxyPort: proxy.port, targetHost: address.server4, targetPort: port };

    const [crowd, row] = [amount(1_000), amount(10_000)];
    await test(`${crowd} flows at once echo 64 KiB each without a wrong byte`, async (t) => {
      const { done, errors } = await client.swarm({ ...way, flows: crowd, bytes: 65_536 });
      t.same(errors, []);
      t.equal(done, crowd);
    });

    await test(`after ${row} connections one after another the descriptors are back where they were`, async (t) => {
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
      const { done, errors } = await client.sequence({ ...way, count: row });
      t.same(errors, []);
      t.equal(done, row);
      await eventually(
        () => proxy.descriptors(),
        (count) => count <= settled,
        `descriptors are not back at ${settled}`,
      );
      t.ok(proxy.child.running);
    });
  },
);
