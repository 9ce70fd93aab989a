// A transfer that began by copying is spliced in its middle: by the program's own call, and by the engine when a flow
// grows. Hundreds of times, at points that differ, both directions; every stream is compared by its sha256.
import t from 'tap';
import { fileURLToPath } from 'node:url';
import { amount } from '../support/amount.js';
import { startAgent, type Agent } from '../support/agent-client.js';
import type { ConnectionId, Digest } from '../support/agent-api.js';
import { eventually } from '../support/children.js';
import {
  kernelManners,
  overManners,
  proxyOf,
  serverOf,
  targetPort,
  withLab,
  type Version,
} from '../support/packet-group.js';
import type { MiddleFlow } from '../support/packet-middle-api.js';
import { LineTool } from '../support/packet-tool.js';

type Direction = 'up' | 'down' | 'both';
const directions = ['up', 'down', 'both'] as const;
const versions: readonly Version[] = [4, 6];
const transfer = 3_000_000;

async function pourAndEnd(agent: Agent, id: ConnectionId, bytes: number): Promise<Digest> {
  const digest = await agent.pour(id, bytes);
  await agent.end(id);
  return digest;
}

/** Sends in the directions that are meant and nothing in the others; what was sent and what arrived. */
async function transferOver(
  ends: { client: Agent; near: ConnectionId; server: Agent; far: ConnectionId },
  direction: Direction,
  bytes: number,
): Promise<{ sent: Digest[]; received: Digest[] }> {
  const { client, near, server, far } = ends;
  // A side without bytes ends last: a half-close before the splice would be another test.
  const receive = async (agent: Agent, id: ConnectionId, speaks: boolean): Promise<Digest> => {
    const digest = await agent.drain(id);
    if (!speaks) await agent.end(id);
    return digest;
  };
  const [speaksUp, speaksDown] = [direction !== 'down', direction !== 'up'];
  const [sentUp, sentDown, atServer, atClient] = await Promise.all([
    speaksUp ? pourAndEnd(client, near, bytes) : client.pour(near, 0),
    speaksDown ? pourAndEnd(server, far, bytes) : server.pour(far, 0),
    receive(server, far, speaksDown),
    receive(client, near, speaksUp),
  ]);
  return { sent: [sentUp, sentDown], received: [atServer, atClient] };
}

const [atOnce] = kernelManners();
const { title, backend } = atOnce!;
const program = fileURLToPath(new URL('../support/packet-middle.js', import.meta.url));

await withLab(async (lab) => {
  const client = startAgent(lab.cli, 60_000);
  const server = startAgent(lab.srv, 60_000);
  await server.listen({ host: '::', port: targetPort, mode: 'accept' });
  const options = { backend, packet: { afterBytes: 0, afterMs: 0 } };
  const middle = await LineTool.start(lab.prx, process.execPath, [program, JSON.stringify(options)]);
  let port = 2000;
  let told = 0;
  for (const version of versions) {
    for (const direction of directions) {
      await t.test(`${title}, IPv${version}: splice() in the middle of bulk, ${direction}`, async (t) => {
        const rounds = amount(20);
        for (const point of [1, 100_000, 1_000_000]) {
          port += 1;
          await middle.ask(`relay ${port} ${serverOf(version)} ${targetPort} ${point}`);
          for (let round = 0; round < rounds; round++) {
            const near = await client.connect({ host: proxyOf(version), port });
            const far = await server.accept(targetPort);
            const { sent, received } = await transferOver({ client, near, server, far }, direction, transfer);
            t.same(received, sent, `at ${point} bytes, round ${round}`);
            await Promise.all([client.forget(), server.forget()]);
          }
        }
        const all = await eventually(
          () => middle.json<MiddleFlow[]>('flows'),
          (flows) => flows.every((flow) => flow.reason !== undefined || flow.failed !== undefined),
          'not every flow has ended',
        );
        const ended = all.slice(told);
        told = all.length;
        t.same(
          ended.filter((flow) => flow.reason !== 'end'),
          [],
        );
        const whole = direction === 'both' ? 2 * transfer : transfer;
        t.same(
          ended.filter(({ copied, bytes = 0 }) => copied === 0 || bytes === 0 || copied + bytes !== whole),
          [],
          'part of each went by the streams, the rest by the flow',
        );
        // A transfer may be over before its sockets were ever at rest, on a busy machine more often; as a rule it is not.
        const carried = ended.filter((flow) => flow.backend === backend);
        t.ok(carried.length > 0.5 * ended.length, `${carried.length} of ${ended.length} were taken over`);
      });
    }
  }
  await t.test(`${title}: the engine closes`, async (t) => {
    await middle.ask('close').catch(() => undefined);
    t.equal((await middle.child.exited).code, 0, middle.child.transcript());
  });
});

// The same by the engine's own choice, at the points where a flow is large or old enough.
const adaptive = [
  ['--packet-after-bytes', '200000', '--packet-after-time', '10s'],
  ['--packet-after-bytes', '1000000000', '--packet-after-time', '5ms'],
];
const growing = adaptive.map((args) => ({ title: `${backend} ${args.join(' ')}`, backend, args, always: false }));
await overManners({ manners: growing }, async ({ client, server, open, carried, test }) => {
  for (const direction of directions) {
    await test(`a growing flow goes over in the middle of bulk, ${direction}`, async (t) => {
      for (let round = 0; round < amount(20); round++) {
        const flow = await open();
        const { sent, received } = await transferOver({ client, ...flow, server }, direction, 2 * transfer);
        t.same(received, sent, `round ${round}`);
        await carried(t, flow, { young: false });
        await Promise.all([client.forget(), server.forget()]);
      }
    });
  }
});
