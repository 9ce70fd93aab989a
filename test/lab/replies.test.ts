// Reply codes tell the truth. The handshake is the same on every backend, so one is enough.
import { address } from '../support/lab.js';
import { overBackends } from '../support/group.js';
import { ask4, ask5, connectToProxy, readReply5 } from '../support/handshake.js';
import { backends, isOurs } from '../support/proxy.js';
import { greeting5, reply5, request5 } from '../support/socks-bytes.js';

const port = 7000;

const rules = `- deny: { to: 10.77.2.0/24, port: 7001 }
- deny: { to: ["*.denied.lab", "fd77:2::/64"] }
- deny: { to: v6only.lab }
- allow: {}
`;

await overBackends(
  {
    backends: backends().filter(isOurs).slice(0, 1),
    proxy: (lab) => ({ args: ['--rules', lab.file('rules.yaml', rules), '--connect-timeout', '2s'] }),
  },
  (_lab, server) => server.listen({ host: '::', port, mode: 'accept' }),
  async ({ client, server, proxy, test }) => {
    await test('a target that can be reached: 0, succeeded, with an address', async (t) => {
      const { id, code } = await ask5(client, proxy, address.server4, port);
      t.equal(code, reply5.succeeded);
      await server.reset(await server.accept(port));
      await client.ending(id);
    });

    for (const [what, host, at, code] of [
      ['nobody listens', address.server4, 9, reply5.refused],
      ['nobody listens, by name', 'v4only.lab', 9, reply5.refused],
      ['the host is unreachable', address.unreachable4, 80, reply5.hostUnreachable],
      ['the IPv6 host is unreachable', address.unreachable6, 80, reply5.hostUnreachable],
      ['the network is unreachable', address.noRoute4, 80, reply5.networkUnreachable],
      ['nobody answers in time', address.silent4, 80, reply5.ttlExpired],
      ['nobody answers in time over IPv6', address.silent6, 80, reply5.ttlExpired],
      ['the name does not exist', 'nowhere.lab', 80, reply5.hostUnreachable],
      ['a rule denies address and port', address.server4, 7001, reply5.denied],
      ['a rule denies a name', 'www.denied.lab', 80, reply5.denied],
      ['a rule denies the network that a name resolves to', 'v6only.lab', port, reply5.denied],
      ['a rule denies an IPv6 network', address.server6, port, reply5.denied],
    ] as const) {
      await test(`${what}: SOCKS5 reply ${code}, then the end`, async (t) => {
        const { id, code: found } = await ask5(client, proxy, host, at);
        t.equal(found, code);
        t.same(await client.ending(id), { how: 'end' });
        await client.end(id);
      });
    }

    for (const [what, host, at] of [
      ['nobody listens', address.server4, 9],
      ['a rule denies it', address.server4, 7001],
      ['the name does not exist', 'nowhere.lab', 80],
    ] as const) {
      await test(`${what}: SOCKS4 reply 91, then the end`, async (t) => {
        const { id, code } = await ask4(client, proxy, host, at);
        t.equal(code, 0x5b);
        t.same(await client.ending(id), { how: 'end' });
        await client.end(id);
      });
    }

    for (const [what, command] of [
      ['BIND', 2],
      ['UDP ASSOCIATE', 3],
      ['an unknown command', 9],
    ] as const) {
      await test(`${what}: reply ${reply5.commandNotSupported}`, async (t) => {
        const id = await connectToProxy(client, proxy);
        await client.write(id, greeting5(0));
        await client.read(id, 2);
        await client.write(id, request5(address.server4, port, command));
        t.equal(await readReply5(client, id), reply5.commandNotSupported);
        await client.end(id);
      });
    }

    await test('an unknown address type: reply 8', async (t) => {
      const id = await connectToProxy(client, proxy);
      await client.write(id, greeting5(0));
      await client.read(id, 2);
      await client.write(id, Buffer.from([5, 1, 0, 9, 1, 2, 3, 4, 0, 80]));
      t.equal(await readReply5(client, id), reply5.addressNotSupported);
      await client.end(id);
    });

    await test('no acceptable method: 5 255, then the end', async (t) => {
      const id = await connectToProxy(client, proxy);
      await client.write(id, greeting5(1));
      t.same([...(await client.readAll(id))], [5, 255]);
      await client.end(id);
    });
  },
);
