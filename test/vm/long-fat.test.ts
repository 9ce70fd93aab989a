// Long fat pipes: far more than 64 KiB are under way, so that a window whose scale was mapped wrongly stalls the flow or
// overruns its reader. The two ends scale by different powers, one end does not scale, has no timestamps or no SACK; and
// flows are taken over in their middle, with a full pipe. The legs have 40 ms each.
import { eventually } from '../support/children.js';
import { manners, moduleManners, overManners, type Manner } from '../support/packet-group.js';
import { exchange } from '../support/vm/flows.js';
import { Wires } from '../support/vm/link.js';

const settings = ['tcp_window_scaling', 'tcp_timestamps', 'tcp_sack'] as const;
const usualBuffers = 'net.ipv4.tcp_rmem=4096 131072 6291456';
// Room for 16 MiB scales by 2^9 (the kernel's tcp_select_initial_window), for 100 KB by 2^1.
interface Corner {
  readonly name: string;
  readonly srv: readonly string[];
  readonly prx: readonly string[];
  /** Whether far more than 64 KiB can be under way. */
  readonly wide: boolean;
  /** Only with flows that are relayed from their beginning; the others run a few. */
  readonly once?: boolean;
  /** Why packet leaves it to splice. */
  readonly refused?: RegExp;
}
const corners: readonly Corner[] = [
  { name: 'equal scales', srv: [], prx: [], wide: true },
  {
    name: 'the server scales by more than the proxy',
    srv: ['net.ipv4.tcp_rmem=4096 131072 16777216'],
    prx: ['net.ipv4.tcp_rmem=4096 131072 1000000'],
    wide: true,
    once: true,
  },
  { name: 'the server scales by less', srv: ['net.ipv4.tcp_rmem=4096 131072 400000'], prx: [], wide: true },
  { name: 'the server does not scale', srv: ['net.ipv4.tcp_window_scaling=0'], prx: [], wide: false, once: true },
  {
    name: 'the server has no timestamps',
    srv: ['net.ipv4.tcp_timestamps=0'],
    prx: [],
    wide: false,
    once: true,
    refused: /only one side speaks TCP timestamps/,
  },
  { name: 'the server has no SACK', srv: ['net.ipv4.tcp_sack=0'], prx: [], wide: true, once: true },
];

const growing: Manner = {
  title: 'packet, taken over at 300 kB',
  backend: 'packet',
  args: ['--packet-after-bytes', '300000', '--packet-after-time', '10s'],
  always: false,
};
const splice: Manner = { title: 'splice', backend: 'splice', args: [], always: true };
const [atOnce] = manners();

/** The most that was under way to the client at once, while a transfer ran. */
const unacknowledged = (shown: string): number =>
  Math.max(
    0,
    ...[...shown.matchAll(/\bmss:(\d+)[^\n]*?\bunacked:(\d+)/g)].map((match) => Number(match[1]) * Number(match[2])),
  );

await overManners(
  {
    versions: [4],
    limitMs: 60_000,
    manners: [...(atOnce === undefined ? [] : [atOnce]), growing, ...moduleManners(), splice],
  },
  async (group) => {
    const { lab, client, server, open, carried, test, manner } = group;
    const links = new Wires(lab);
    // Sockets scale as the kernel has it; theirs is the transfer beside which the others stand.
    const mine =
      manner === splice ? corners.slice(0, 1) : corners.filter(({ once }) => once !== true || manner === atOnce);
    for (const corner of mine) {
      await test(corner.name, async (t) => {
        lab.srv.sysctl(...corner.srv);
        lab.prx.sysctl(...corner.prx);
        links.set('c', 'delay 20ms');
        links.set('s', 'delay 20ms');
        try {
          const flow = await open();
          const look = "ss -Htin state connected 'sport = :7000'";
          const watch = lab.srv.spawn('sh', ['-c', `while true; do ${look}; sleep 0.05; done`]);
          await exchange(group, t, flow, 1_500_000, 4_000_000).finally(() => watch.stop());
          const most = unacknowledged(watch.stdout);
          if (corner.wide) t.ok(most > 65_535 * 2, `${most} bytes were under way to the client`);
          const line = await carried(t, flow, { young: corner.refused !== undefined });
          if (corner.refused !== undefined) t.match(line['refused'], corner.refused);
          t.equal(line['reason'], 'end');
        } finally {
          links.set('c', '');
          links.set('s', '');
          for (const host of [lab.srv, lab.prx]) {
            host.sysctl(usualBuffers, ...settings.map((name) => `net.ipv4.${name}=1`));
          }
        }
      });
    }

    // Once relayed, a flow is the same however it came to be.
    if (manner === splice || manner === growing) return;
    await test('a reader that stops closes a scaled window, and opens it again', async (t) => {
      links.set('s', 'delay 20ms');
      try {
        const flow = await open();
        await client.pause(flow.near);
        const sending = server.pour(flow.far, 12_000_000).then(async (digest) => (await server.end(flow.far), digest));
        let taken = -1;
        await eventually(
          async () => {
            const before = taken;
            taken = await server.taken(flow.far);
            await new Promise((resolve) => setTimeout(resolve, 1_000));
            return taken === before && taken > 0;
          },
          (rests) => rests,
          'the window does not close',
          60_000,
        );
        t.ok(taken < 12_000_000, `${taken} bytes were taken`);
        await client.resume(flow.near);
        t.same(await client.drain(flow.near), await sending);
        await client.end(flow.near);
        await carried(t, flow, { young: true });
      } finally {
        links.set('s', '');
      }
    });
  },
);
