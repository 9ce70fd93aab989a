// A peer that is gone without a word: the idle timeout ends its flow, and only its flow.
import { setTimeout as sleep } from 'node:timers/promises';
import { address } from '../support/lab.js';
import { eventually } from '../support/children.js';
import { overBackends } from '../support/group.js';
import { openEnds } from '../support/handshake.js';
import { backends, isOurs } from '../support/proxy.js';

const port = 7000;

await overBackends(
  {
    backends: backends().filter(isOurs),
    proxy: () => ({ args: ['--open', '--idle-timeout', '3s'] }),
  },
  (_lab, server) => server.listen({ host: '::', port, mode: 'accept' }),
  async ({ lab, client, server, proxy, test }) => {
    await test('a flow that carries data now and then outlives the idle timeout', async (t) => {
      const { near, far } = await openEnds(client, server, proxy, port);
      const started = performance.now();
      while (performance.now() - started < 5_000) {
        await client.write(near, Buffer.from('tick'));
        t.equal((await server.read(far, 4)).length, 4);
        await sleep(500);
      }
      await client.end(near);
      t.same(await server.ending(far), { how: 'end' });
      await server.end(far);
      await client.ending(near);
    });

    await test('a flow without a byte either way is ended at the idle timeout', async (t) => {
      const { near, far } = await openEnds(client, server, proxy, port);
      const own = `${address.client4}:${await client.localPort(near)}`;
      await Promise.all([client.ending(near), server.ending(far)]);
      const line = await proxy.waitForLog((entry) => entry['client'] === own);
      t.match(line['reason'], /idle/);
    });

    for (const host of ['client', 'server'] as const) {
      await test(`a flow whose ${host} vanished is ended, and the proxy gives its descriptors back`, async (t) => {
        const idle = proxy.descriptors();
        const { near, far } = await openEnds(client, server, proxy, port);
        await client.write(near, Buffer.from('x'));
        await server.read(far, 1);
        const [end, link, survivor] =
          host === 'client'
            ? ([lab.cli, 'c', () => server.ending(far)] as const)
            : ([lab.srv, 's', () => client.ending(near)] as const);
        const addresses = host === 'client' ? [address.client6, address.proxy6] : [address.server6, 'fd77:2::2'];
        end.ip('link', 'set', link, 'down');
        try {
          const ending = await survivor();
          t.ok(ending.how === 'end' || ending.code === 'ECONNRESET', JSON.stringify(ending));
          await eventually(
            () => proxy.descriptors(),
            (count) => count <= idle,
            `descriptors are not back at ${idle}`,
          );
        } finally {
          // Taking a link down forgets its IPv6 address and the routes through it.
          end.ip('link', 'set', link, 'up');
          end.ip('-6', 'addr', 'replace', `${addresses[0]}/64`, 'dev', link, 'nodad');
          end.ip('-6', 'route', 'replace', 'default', 'via', addresses[1] ?? '');
          end.ip('route', 'replace', 'default', 'via', host === 'client' ? address.proxy4 : address.proxyServerSide4);
        }
        await Promise.all([client.reset(near), server.reset(far)]);
      });
    }

    await test('a new flow works when the link is back', async (t) => {
      const { near, far } = await openEnds(client, server, proxy, port);
      await client.write(near, Buffer.from('again'));
      t.same(Buffer.from(await server.read(far, 5)), Buffer.from('again'));
      await Promise.all([client.reset(near), server.ending(far)]);
    });
  },
);
