// Limits: connections of one client, connections in all, and the time a handshake may take.
import { setTimeout as sleep } from 'node:timers/promises';
import { overBackends } from '../support/group.js';
import { ask5, connectToProxy, open5 } from '../support/handshake.js';
import { address } from '../support/lab.js';
import { eventually } from '../support/children.js';
import { backends, isOurs } from '../support/proxy.js';
import { greeting5 } from '../support/socks-bytes.js';

const port = 7000;
const some = backends().filter(isOurs).slice(0, 1);
const listen = (
  _lab: unknown,
  server: { listen: (options: { host: string; port: number; mode: 'echo' }) => Promise<void> },
) => server.listen({ host: '::', port, mode: 'echo' });

for (const [flag, what] of [
  ['--max-per-client', 'one client'],
  ['--max-connections', 'all together'],
] as const) {
  await overBackends(
    { backends: some, proxy: () => ({ args: ['--open', flag, '3'] }) },
    listen,
    async ({ client, proxy, test }) => {
      await test(`${flag} 3: a fourth connection of ${what} is not served, and there is room again when another has ended`, async (t) => {
        const ids = [];
        for (let flow = 0; flow < 3; flow++) ids.push(await open5(client, proxy, address.server4, port));
        const knock = (): Promise<boolean> =>
          ask5(client, proxy, address.server4, port).then(
            ({ code }) => code === 0,
            () => false,
          );
        // One client's is turned away; of all together it is left waiting in the listener's queue.
        const waits = flag === '--max-connections';
        const fourth = knock();
        t.equal(await (waits ? Promise.race([fourth, sleep(1_000, 'waits')]) : fourth), waits ? 'waits' : false);
        for (const id of ids) {
          await client.write(id, Buffer.from('still here'));
          t.equal((await client.read(id, 10)).length, 10);
        }
        await client.reset(ids[0] ?? 0);
        // Who waited comes first; who was turned away may come again. A fifth is one too many as before.
        t.ok(waits ? await fourth : await eventually(knock, Boolean, 'there is no room again'));
        const fifth = knock();
        t.equal(await (waits ? Promise.race([fifth, sleep(1_000, 'waits')]) : fifth), waits ? 'waits' : false);
      });
    },
  );
}

await overBackends(
  { backends: some, proxy: () => ({ args: ['--open', '--handshake-timeout', '3s'] }) },
  listen,
  async ({ client, proxy, test }) => {
    for (const [what, bytes] of [
      ['says nothing', Buffer.alloc(0)],
      ['stops in the middle of its greeting', Buffer.from([5, 2, 0])],
      ['never sends its request', greeting5(0)],
      ['stops in the middle of a SOCKS4 user name', Buffer.from([4, 1, 0, 80, 10, 77, 2, 3, 65])],
    ] as const) {
      await test(`a client that ${what} is shown the door at the handshake timeout`, async (t) => {
        const id = await connectToProxy(client, proxy);
        if (bytes.length > 0) await client.write(id, bytes);
        const ending = await client.ending(id);
        t.ok(ending.how === 'end' || ending.code === 'ECONNRESET');
        await client.reset(id);
      });
    }

    await test('the handshake timeout does not end an open flow', async (t) => {
      const id = await open5(client, proxy, address.server4, port);
      await sleep(5_000);
      await client.write(id, Buffer.from('alive'));
      t.equal((await client.read(id, 5)).length, 5);
      await client.reset(id);
    });
  },
);
