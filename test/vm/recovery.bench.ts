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

const short = 'delay 2ms';
const long = 'delay 50ms';
const equal = 'delay 25ms';
const lossy = 'loss 1%';
const bulk = 3_000_000;

// netem delays each way: `delay 50ms` is a leg of 100 ms there and back.
const corners: readonly Corner[] = [
  { name: 'client leg 4 ms, 1 % loss; server leg 100 ms', client: `${short} ${lossy}`, server: long, bytes: bulk },
  { name: 'client leg 4 ms; server leg 100 ms, 1 % loss', client: short, server: `${long} ${lossy}`, bytes: bulk },
  { name: 'legs of 50 ms; client leg 1 % loss', client: `${equal} ${lossy}`, server: equal, bytes: bulk },
  { name: 'legs of 50 ms; 1 % loss on both', client: `${equal} ${lossy}`, server: `${equal} ${lossy}`, bytes: bulk },
  {
    name: 'legs of 50 ms; 0.1 % loss on both',
    client: `${equal} loss 0.1%`,
    server: `${equal} loss 0.1%`,
    bytes: bulk,
  },
  { name: 'legs of 50 ms; no loss', client: equal, server: equal, bytes: bulk },
  { name: 'legs of 50 ms; no loss; short', client: equal, server: equal, bytes: 100_000 },
  { name: 'client leg 4 ms, 1 % loss; short', client: `${short} ${lossy}`, server: long, bytes: 100_000 },
  {
    name: 'client leg 4 ms, 1 % loss; server leg 100 ms; BBR',
    client: `${short} ${lossy}`,
    server: long,
    bytes: bulk,
    congestion: 'bbr',
  },
  {
    name: 'legs of 50 ms; 1 % loss on both; BBR',
    client: `${equal} ${lossy}`,
    server: `${equal} ${lossy}`,
    bytes: bulk,
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
  const meant = corners.filter(({ name }) => name.includes(chosen));
  // In rounds over all wires, so that a figure that drifts drifts for all.
  for (let repetition = 0; repetition < repetitions; repetition++) {
    for (const corner of meant) {
      links.set('c', corner.client);
      links.set('s', corner.server);
      for (const host of [lab.cli, lab.prx, lab.srv]) {
        // Nothing is remembered of earlier flows, such as where slow start ended.
        const congestion = `net.ipv4.tcp_congestion_control=${corner.congestion ?? 'cubic'}`;
        host.sysctl('net.ipv4.tcp_no_metrics_save=1', congestion);
      }
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
