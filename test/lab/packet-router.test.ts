// A router beyond the proxy that takes smaller packets than anybody was told: it answers "packet too big" about segments
// that the proxy host relayed, and whoever sent them must hear of it. Either side, IPv4 and IPv6.
import t from 'tap';
import { execFileSync } from 'node:child_process';
import { startAgent } from '../support/agent-client.js';
import { request5, greeting5 } from '../support/socks-bytes.js';
import { address, Host, type Lab } from '../support/lab.js';
import { manners, proxyOf, readAnswers, targetPort, withLab, type Version } from '../support/packet-group.js';
import { countersDuring, untilReleased } from '../support/packet-state.js';
import { startProxy } from '../support/proxy.js';

const narrow = 1300;
const bytes = 3_000_000;

/** A host behind an end host of the lab, which routes for it and takes only narrow packets towards it. */
function behind(lab: Lab, router: Host, name: string, net: number): { host: Host; v4: string; v6: string } {
  const host = new Host(`${lab.cli.namespace.slice(0, -3)}${name}`);
  const [v4, v6] = [`10.77.${net}`, `fd77:${net}`];
  execFileSync('ip', ['netns', 'add', host.namespace]);
  host.ip('link', 'set', 'lo', 'up');
  router.ip('link', 'add', name, 'type', 'veth', 'peer', 'name', name, 'netns', host.namespace);
  for (const [end, last] of [
    [router, 1],
    [host, 2],
  ] as const) {
    end.ip('addr', 'add', `${v4}.${last}/24`, 'dev', name);
    end.ip('-6', 'addr', 'add', `${v6}::${last}/64`, 'dev', name, 'nodad');
    end.ip('link', 'set', name, 'up');
  }
  host.ip('route', 'add', 'default', 'via', `${v4}.1`);
  host.ip('-6', 'route', 'add', 'default', 'via', `${v6}::1`);
  router.sysctl('net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
  // A device of that size would say so in its MSS.
  router.ip('route', 'replace', `${v4}.0/24`, 'dev', name, 'mtu', 'lock', String(narrow));
  router.ip('-6', 'route', 'replace', `${v6}::2`, 'dev', name, 'mtu', String(narrow));
  const [from4, from6] = router === lab.cli ? [address.client4, address.client6] : [address.server4, address.server6];
  lab.prx.ip('route', 'add', `${v4}.0/24`, 'via', from4);
  lab.prx.ip('-6', 'route', 'add', `${v6}::/64`, 'via', from6);
  return { host, v4: `${v4}.2`, v6: `${v6}::2` };
}

const manner = manners().find(({ always }) => always);
if (manner === undefined) throw new Error('this file is about flows that are spliced at once');

await withLab(async (lab) => {
  const near = behind(lab, lab.cli, 'nea', 4);
  const far = behind(lab, lab.srv, 'far', 3);
  const client = startAgent(near.host);
  const server = startAgent(far.host);
  await server.listen({ host: '::', port: targetPort, mode: 'accept' });
  const proxy = await startProxy(lab, { backend: manner.backend, args: ['--open', ...manner.args] });
  for (const version of [4, 6] as const satisfies readonly Version[]) {
    for (const direction of ['up', 'down'] as const) {
      const where = direction === 'up' ? 'server' : 'client';
      await t.test(
        `IPv${version}: a router beyond the ${where} takes ${narrow} bytes, bulk ${direction}`,
        async (t) => {
          // Whoever was told once announces a smaller MSS from then on.
          for (const host of [near.host, far.host, lab.prx]) {
            host.ip('route', 'flush', 'cache');
            host.ip('-6', 'route', 'flush', 'cache');
          }
          const near5 = await client.connect({ host: proxyOf(version), port: proxy.port });
          const request = request5(version === 4 ? far.v4 : far.v6, targetPort);
          await client.write(near5, Buffer.concat([greeting5(0), request]));
          const [far5, clientPort] = await Promise.all([server.accept(targetPort), client.localPort(near5)]);
          await readAnswers(client, near5);
          // No socket of the proxy is left, so none has heard of the router.
          await untilReleased(lab, proxy, clientPort);
          const [sender, from, receiver, to] =
            direction === 'up' ? [client, near5, server, far5] : [server, far5, client, near5];
          const told = await countersDuring(lab, proxy, async () => {
            const [sent, received] = await Promise.all([
              sender.pour(from, bytes).then(async (digest) => {
                await sender.end(from);
                return digest;
              }),
              receiver.drain(to),
            ]);
            t.same(received, sent);
          });
          t.ok(told('icmp-translated') > 0, 'the sender was told');
          await receiver.end(to);
          t.same(await sender.ending(from), { how: 'end' });
          await Promise.all([client.forget(), server.forget()]);
        },
      );
    }
  }
  await t.test('afterwards the proxy runs', async (t) => {
    t.ok(proxy.child.running, proxy.child.transcript());
    await proxy.child.stop();
  });
});
