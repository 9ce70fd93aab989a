// A peer that takes bytes more slowly than the other one sends them: its window is never open far enough for what waits in
// the relay's sockets. The flow must come to be relayed all the same, in the middle of the transfer, and outlive the process.
import t from 'tap';
import { amount } from '../support/amount.js';
import { startAgent } from '../support/agent-client.js';
import { eventually } from '../support/children.js';
import { greeting5, request5 } from '../support/socks-bytes.js';
import { kernelManners, proxyOf, readAnswers, serverOf, withLab, type Version } from '../support/packet-group.js';
import { proxySockets, untilReleased } from '../support/packet-state.js';
import { splicectl, startProxy } from '../support/proxy.js';

const port = 7000;
const stream = amount(80_000_000, 30_000_000);
const { backend } = kernelManners()[0]!;

await withLab(async (lab) => {
  const client = startAgent(lab.cli, 60_000);
  const server = startAgent(lab.srv, 60_000);
  await server.listen({ host: '::', port, mode: 'accept' });

  for (const slow of ['client', 'server'] as const) {
    for (const version of [4, 6] as const satisfies readonly Version[]) {
      await t.test(`the ${slow} reads slowly, IPv${version}: relayed, and the process is killed`, async (t) => {
        const proxy = await startProxy(lab, { backend, args: ['--open'] });
        try {
          const near = await client.connect({ host: proxyOf(version), port: proxy.port });
          const from = await client.localPort(near);
          await client.write(near, Buffer.concat([greeting5(0), request5(serverOf(version), port)]));
          const far = await server.accept(port);
          await readAnswers(client, near);
          const [source, origin, sink, end] =
            slow === 'client' ? ([server, far, client, near] as const) : ([client, near, server, far] as const);

          await sink.pace(end, 4);
          const received = sink.drain(end);
          const sent = source.pour(origin, stream).then(async (digest) => {
            await source.end(origin);
            return digest;
          });
          await untilReleased(lab, proxy, from);
          const taken = await source.taken(origin);
          t.ok(taken > 1_000_000 && taken < stream, `in the middle: ${taken}`);
          proxy.child.signal('SIGKILL');
          await proxy.child.exited;
          await sink.pace(end, 0);
          t.same(await received, await sent);
          await sink.end(end);
          await eventually(
            () => proxySockets(lab),
            (left) => left.length === 0,
            'the proxy host has sockets still',
          );
        } finally {
          await Promise.all([client.forget(), server.forget()]);
          await proxy.child.stop();
          await splicectl(lab, ['uninstall']);
        }
      });
    }
  }
});
