// End-to-end against split recovery, in one run: the same transfers over the same wires through packet (the end hosts
// repair what is lost, over the whole way), through splice (each leg repairs its own), taken in turns. Not a test: it
// judges nothing and prints a line of JSON a transfer. docs/recovery.md says how it is run and what came of it.
import { startAgent } from '../support/agent-client.js';
import { makeOpener, targetPort, withLab } from '../support/packet-group.js';
import { startProxy } from '../support/proxy.js';
import { Wires, type Netem } from '../support/vm/link.js';

interface Corner {
  readonly name: string;
  readonly client: Netem;
  readonly server: Netem;
  readonly bytes: number;
  readonly congestion?: 'bbr';
}

// The delay of a leg is its round trip; netem delays half of it each way.
const corners: readonly Corner[] = [
  {
    name: 'short lossy client leg, long clean server leg',
    client: 'delay 2ms loss 1%',
    server: 'delay 50ms',
    bytes: 1_000_000,
  },
  {
    name: 'short clean client leg, long lossy server leg',
    client: 'delay 2ms',
    server: 'delay 50ms loss 1%',
    bytes: 1_000_000,
  },
  { name: 'equal legs, the client leg lossy', client: 'delay 25ms loss 1%', server: 'delay 25ms', bytes: 1_000_000 },
  { name: 'equal legs, both lossy', client: 'delay 25ms loss 1%', server: 'delay 25ms loss 1%', bytes: 1_000_000 },
  { name: 'equal legs, little loss', client: 'delay 25ms loss 0.1%', server: 'delay 25ms loss 0.1%', bytes: 3_000_000 },
  { name: 'equal legs, no loss', client: 'delay 25ms', server: 'delay 25ms', bytes: 3_000_000 },
  { name: 'equal legs, no loss, short transfer', client: 'delay 25ms', server: 'delay 25ms', bytes: 100_000 },
  {
    name: 'short lossy client leg, long clean server leg, BBR',
    client: 'delay 2ms loss 1%',
    server: 'delay 50ms',
    bytes: 1_000_000,
    congestion: 'bbr',
  },
  {
    name: 'equal legs, both lossy, BBR',
    client: 'delay 25ms loss 1%',
    server: 'delay 25ms loss 1%',
    bytes: 1_000_000,
    congestion: 'bbr',
  },
];

const backends = ['packet', 'splice'] as const;
const repetitions = Number(process.env['RECOVERY_REPETITIONS'] ?? 7);
const chosen = process.env['RECOVERY_CORNERS'] ?? '';

await withLab(async (lab) => {
  const client = startAgent(lab.cli, 120_000);
  const server = startAgent(lab.srv, 120_000);
  await server.listen({ host: '::', port: targetPort, mode: 'accept' });
  const now = ['--packet-after-bytes', '0', '--packet-after-time', '0'];
  const proxies = [];
  for (const backend of backends) {
    const args = ['--open', ...(backend === 'packet' ? now : [])];
    proxies.push(await startProxy(lab, { backend, args }));
  }
  const links = new Wires(lab);
  for (const corner of corners.filter(({ name }) => name.includes(chosen))) {
    links.set('c', corner.client);
    links.set('s', corner.server);
    for (const host of [lab.cli, lab.prx, lab.srv]) {
      // Nothing is remembered of earlier flows, such as where slow start ended.
      host.sysctl('net.ipv4.tcp_no_metrics_save=1', `net.ipv4.tcp_congestion_control=${corner.congestion ?? 'cubic'}`);
    }
    for (let repetition = 0; repetition < repetitions; repetition++) {
      for (const proxy of proxies) {
        const { open, closed } = makeOpener({ proxy, version: 4, client, server });
        const flow = await open();
        // The first byte shows that the flow is up and, through packet, relayed; what follows is measured.
        await server.write(flow.far, Buffer.from('.'));
        await client.read(flow.near, 1);
        const started = performance.now();
        const sending = server.pour(flow.far, corner.bytes).then(async (digest) => {
          await server.end(flow.far);
          return digest;
        });
        const received = await client.drain(flow.near);
        const seconds = (performance.now() - started) / 1000;
        const sent = await sending;
        await client.end(flow.near);
        const line = await closed(flow);
        const clean = received.sha256 === sent.sha256 && line['backend'] === proxy.backend;
        const figure = { corner: corner.name, backend: proxy.backend, repetition, bytes: corner.bytes, seconds, clean };
        process.stdout.write(`figure ${JSON.stringify(figure)}\n`);
        await Promise.all([client.forget(), server.forget()]);
      }
    }
  }
  for (const child of [...proxies.map((proxy) => proxy.child), client.child, server.child]) await child.stop();
});
