// Backend auto, flow by flow: one on a short way goes over at once; on a long way only when it has run without a loss, and
// while it loses it stays with splice, whose sockets repair each leg by itself (docs/recovery.md).
import t from 'tap';
import { startAgent } from '../support/agent-client.js';
import { openWires, type Faults } from '../support/impair.js';
import { makeOpener, targetPort, withLab } from '../support/packet-group.js';
import { untilReleased } from '../support/packet-state.js';
import { startProxy } from '../support/proxy.js';

const MiB = 2 ** 20;
/** Held back by this at each of four places: 20 ms there and back on either leg. */
const holdMs = 5;

interface Way {
  readonly title: string;
  readonly faults: Faults;
  readonly bytes: number;
  readonly backend: 'packet' | 'splice';
}

const ways: readonly Way[] = [
  { title: 'a short way', faults: {}, bytes: 2 * MiB, backend: 'packet' },
  { title: 'a long way, not far yet', faults: { hold: 1 }, bytes: 2 * MiB, backend: 'splice' },
  { title: 'a long way without a loss', faults: { hold: 1 }, bytes: 16 * MiB, backend: 'packet' },
  { title: 'a long way that loses', faults: { hold: 1, loss: 0.02 }, bytes: 6 * MiB, backend: 'splice' },
];

await withLab(async (lab) => {
  const client = startAgent(lab.cli, 120_000);
  const server = startAgent(lab.srv, 120_000);
  await server.listen({ host: '::', port: targetPort, mode: 'accept' });
  const proxy = await startProxy(lab, { backend: 'auto' });
  const wires = await openWires(lab);
  for (const { title, faults, bytes, backend } of ways) {
    await t.test(`${title}: ${backend}`, async (t) => {
      await wires.set(faults, { holdMs });
      const { open, closed } = makeOpener({ proxy, version: 4, client, server });
      const flow = await open();
      const sending = server.pour(flow.far, bytes).then(async (digest) => {
        if (backend === 'packet') await untilReleased(lab, proxy, flow.clientPort);
        await server.end(flow.far);
        return digest;
      });
      t.same(await client.drain(flow.near), await sending);
      await client.end(flow.near);
      const line = await closed(flow);
      t.equal(line['backend'], backend);
      if (backend === 'splice') t.match(line['refused'], /packet: young: .*on a way of 10 ms or more/);
      await Promise.all([client.forget(), server.forget()]);
    });
  }
  await wires.close();
  for (const child of [proxy.child, client.child, server.child]) await child.stop();
});
