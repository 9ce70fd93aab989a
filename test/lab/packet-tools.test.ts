// The tools of the packet tests, proved where the kernel itself forwards: a tool that does nothing would prove anything.
import t, { type Test } from 'tap';
import { eventually } from '../support/children.js';
import { Forge, plus, type Tuple } from '../support/forge.js';
import { openWires, type Faults, type Tally } from '../support/impair.js';
import { address, Lab } from '../support/lab.js';
import { setHabits, DisguisedHost } from '../support/peer-host.js';
import { Peer } from '../support/peer.js';

t.setTimeout(3_600_000);
const lab = Lab.open();
t.teardown(() => lab.close());
// A router, for once.
lab.prx.sysctl('net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
for (const [host, device] of [
  [lab.cli, 'c'],
  [lab.srv, 's'],
] as const) {
  // Segments as a wire carries them, so that a fault hits one.
  host.ip('link', 'set', 'dev', device, 'gso_max_segs', '1');
}
const client = await Peer.start(lab, lab.cli);
const server = await Peer.start(lab, lab.srv);
const watch = await Forge.open(lab, lab.cli, 'c');
const port = 7000;
await server.listen('::', port);

async function connected(host: string = address.server4): Promise<Tuple> {
  const sourcePort = await client.connect(host, port);
  await server.accept();
  const source = host === address.server4 ? address.client4 : address.client6;
  return { source, sourcePort, target: host, targetPort: port };
}

/** Both ways at once; fails on a wrong byte. */
async function exchange(t: Test, bytes: number): Promise<void> {
  const [near, far] = await Promise.all([
    client.pump({ send: bytes, receive: bytes }),
    server.pump({ send: bytes, receive: bytes }),
  ]);
  for (const end of [near, far]) t.match(end, { wrong: -1, ended: 'no' });
}

const wires = await openWires(lab);

for (const [name, faults, tally, trace] of [
  ['loss', { loss: 0.02 }, 'lost', 'retransmits'],
  ['duplication', { duplicate: 0.05 }, 'duplicated', 'dsack'],
  ['reordering', { hold: 0.02 }, 'held', 'reordered'],
  ['corruption', { corrupt: 0.01 }, 'corrupted', 'retransmits'],
] as const satisfies readonly (readonly [string, Faults, keyof Tally, string])[]) {
  await t.test(`${name} is done, is seen by TCP, and changes no byte`, async (t) => {
    for (const host of [address.server4, address.server6]) {
      await wires.set(faults, { holdMs: 5 });
      const before = await wires.tallies();
      await connected(host);
      await exchange(t, 5_000_000);
      const [near, far] = [await client.info(), await server.info()];
      const after = await wires.tallies();
      t.ok(after[tally] - before[tally] > 10, `${after[tally] - before[tally]} of ${after.segments} segments`);
      t.ok(near[trace] + far[trace] > 0, `${trace}: ${near[trace]} and ${far[trace]}`);
    }
    await wires.set({});
  });
}

await t.test('a wire of 10 ms delays each way', async (t) => {
  await wires.set({ hold: 1 }, { holdMs: 10 });
  await connected();
  const started = performance.now();
  await exchange(t, 1);
  t.ok(performance.now() - started >= 20, 'two links');
  await wires.close();
});

await t.test('sequence numbers and timestamps begin where they are told to, and wrap', async (t) => {
  const disguises = [await DisguisedHost.open(lab, lab.cli, 'c'), await DisguisedHost.open(lab, lab.srv, 's')];
  for (const disguise of disguises)
    await disguise.wear({ sequence: 2 ** 32 - 1_000_000, clock: 2 ** 32 - 20, order: 'first' });
  for (const host of [address.server4, address.server6]) {
    const tuple = await connected(host);
    await exchange(t, 5_000_000);
    const end = plus(2 ** 32 - 1_000_000, 5_000_001);
    // The last acknowledgement may wait for a timer.
    const { from, to } = await eventually(
      () => watch.known(tuple),
      (seen) => seen.from.ack === end && seen.to.ack === end,
      'not everything is acknowledged',
    );
    for (const seen of [from, to]) {
      t.equal(seen.first, 2 ** 32 - 1_000_000);
      t.equal(seen.end, end);
      t.ok(seen.tsval < 2 ** 31 || seen.tsval >= 2 ** 32 - 20, `clock ${seen.tsval}`);
    }
  }
  for (const order of ['middle', 'last'] as const) {
    for (const disguise of disguises) await disguise.wear({ order });
    await connected();
    await exchange(t, 1_000_000);
  }
  for (const disguise of disguises) await disguise.stop();
});

await t.test('a host can be without timestamps, SACK, scaling; with MSS 536; with ECN', async (t) => {
  const undo = setHabits(lab.cli, 'c', { timestamps: false, sack: false, scaling: false, mss: 536, ecn: true });
  for (const host of [address.server4, address.server6]) {
    const { from } = await watch.known(await connected(host));
    t.match(from, { timestamps: false, sackPermitted: false, scale: -1, mss: 536, synEce: true });
    await exchange(t, 100_000);
  }
  undo();
  const { from } = await watch.known(await connected());
  t.match(from, { timestamps: true, sackPermitted: true, mss: 1460, synEce: false });
  t.ok(from.scale >= 0);
});

await t.test('a forged reset ends a plain connection only with the right number', async (t) => {
  for (const host of [address.server4, address.server6]) {
    for (const options of [false, true]) {
      const tuple = await connected(host);
      await exchange(t, 1000);
      const { from } = await watch.known(tuple);
      for (const distance of [-1, 1, 100_000, -1_000_000]) {
        await watch.send(tuple, { flags: 'R', seq: plus(from.end, distance), options });
      }
      await watch.send(tuple, { flags: 'R', seq: from.end, bad: true, options });
      await exchange(t, 1000);
      const { from: later } = await watch.known(tuple);
      await watch.send(tuple, { flags: 'R', seq: later.end, options });
      t.match(await server.drain(), { ended: 'reset' });
    }
  }
});

await t.test('forged data arrives, in one piece or in two fragments', async (t) => {
  for (const host of [address.server4, address.server6]) {
    const tuple = await connected(host);
    await exchange(t, 1000);
    const { from, to } = await watch.known(tuple);
    const stamps = { tsval: plus(from.tsval, 1), tsecr: to.tsval };
    await watch.send(tuple, { flags: 'PA', seq: from.end, ack: to.end, data: 64, fragment: 40, ...stamps });
    t.match(await server.pump({ receive: 64 }), { received: 1064, wrong: 1000 });
  }
});
