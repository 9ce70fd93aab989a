// Somebody on a link knows the four-tuple of a flow, but not its numbers; and segments of a kind that the backend does
// not relay. The end hosts judge (RFC 5961): what they would refuse must not end the flow at the proxy either.
import t, { type Test } from 'tap';
import { eventually, patient } from '../support/children.js';
import { plus, reversed, type Forge, type Forged, type Tuple } from '../support/forge.js';
import { kernelManners, withLab, type Version } from '../support/packet-group.js';
import { PeerBed, type PeerFlow } from '../support/packet-peers.js';
import { countersDuring, listedFlow, proxySockets, untilReleased } from '../support/packet-state.js';

const versions: readonly Version[] = [4, 6];

interface Side {
  readonly name: string;
  /** Where the adversary is. */
  readonly link: Forge;
  /** The connection as the end host there sends on it. */
  readonly tuple: Tuple;
}

await withLab(async (lab) => {
  const manner = kernelManners().find(({ always }) => always)!;
  const bed = await PeerBed.open(lab, manner);
  const { client, server, proxy } = bed;
  const test = (name: string, body: (t: Test) => Promise<void>) => t.test(name, { timeout: patient(60_000) }, body);

  const sidesOf = (flow: PeerFlow): Side[] => [
    { name: 'client', link: bed.atClient, tuple: flow.client },
    { name: 'server', link: bed.atServer, tuple: reversed(flow.server) },
  ];

  async function openReleased(t: Test, version: Version): Promise<PeerFlow> {
    const flow = await bed.open(version);
    await bed.exchange(t, 50_000);
    await untilReleased(lab, proxy, flow.clientPort);
    // Last bytes that nobody has acknowledged could be sent again, with a FIN: a forged one at their place may be true.
    for (const { name, link, tuple } of sidesOf(flow)) {
      await eventually(
        () => link.known(tuple),
        ({ from, to }) => to.ack === from.end,
        `the bytes of the ${name} are not acknowledged`,
      );
    }
    return flow;
  }

  /** What the end host would send next, to be falsified. */
  async function next({ link, tuple }: Side): Promise<Omit<Forged, 'flags'>> {
    const { from, to } = await link.known(tuple);
    return {
      seq: from.end,
      ack: to.end,
      window: from.window,
      tsval: plus(from.tsval, 1),
      tsecr: to.tsval,
    };
  }

  await test('resets and FINs with wrong sequence numbers do not end a flow', async (t) => {
    for (const version of versions) {
      const flow = await openReleased(t, version);
      for (const side of sidesOf(flow)) {
        const sane = await next(side);
        for (const distance of [-1, 1, 2, -1_000, 1_000, 30_000, -(2 ** 20), 2 ** 30, 2 ** 31]) {
          for (const flags of ['R', 'RA']) {
            await side.link.send(side.tuple, { ...sane, flags, seq: plus(sane.seq, distance) });
          }
        }
        // Not within the window: there an end host keeps a FIN for later, and a reset behind it is a right one then.
        for (const distance of [-1, -2, -1_000, -(2 ** 20), 2 ** 30, 2 ** 31]) {
          await side.link.send(side.tuple, { ...sane, flags: 'FA', seq: plus(sane.seq, distance) });
        }
        t.match(
          (await listedFlow(lab, proxy, flow.clientPort))?.sides,
          { client: 'SPLICED', server: 'SPLICED' },
          side.name,
        );
      }
      await bed.exchange(t, 500_000);
      t.equal((await bed.close(flow))['reason'], 'end');
    }
  });

  await test('acknowledgements of what was never sent, and data far ahead, change nothing', async (t) => {
    for (const version of versions) {
      const flow = await openReleased(t, version);
      for (const side of sidesOf(flow)) {
        const sane = await next(side);
        for (const distance of [1, 100_000, 2 ** 30, -(2 ** 30)]) {
          await side.link.send(side.tuple, { ...sane, flags: 'A', ack: plus(sane.ack ?? 0, distance) });
        }
        // Beyond any window; within it an end host would take the bytes for its peer's.
        for (const distance of [20_000_000, 2 ** 30, -(2 ** 30)]) {
          await side.link.send(side.tuple, { ...sane, flags: 'PA', seq: plus(sane.seq, distance), data: 500 });
        }
      }
      await bed.exchange(t, 500_000);
      const line = await bed.close(flow);
      t.match(line, { reason: 'end', bytes_up: 550_000, bytes_down: 550_000 });
    }
  });

  await test('a SYN on a living tuple is answered by the end host, and the flow goes on', async (t) => {
    for (const version of versions) {
      const flow = await openReleased(t, version);
      for (const side of sidesOf(flow)) {
        const sane = await next(side);
        for (const flags of ['S', 'SA', 'SEC']) {
          await side.link.send(side.tuple, { ...sane, flags, seq: plus(sane.seq, 12_345_678) });
        }
      }
      await bed.exchange(t, 500_000);
      t.same(await proxySockets(lab), []);
      t.equal((await bed.close(flow))['reason'], 'end');
    }
  });

  await test('a damaged reset or FIN with the right number does not end a flow', async (t) => {
    for (const version of versions) {
      const flow = await openReleased(t, version);
      const damaged = await countersDuring(lab, proxy, async () => {
        for (const side of sidesOf(flow)) {
          for (const flags of ['R', 'FA'])
            await side.link.send(side.tuple, { ...(await next(side)), flags, bad: true });
        }
      });
      t.ok(damaged('drop-checksum') >= 4);
      await bed.exchange(t, 500_000);
      t.equal((await bed.close(flow))['reason'], 'end');
    }
  });

  await test('fragments, extension headers and hop limits of a released flow never reach a socket', async (t) => {
    for (const version of versions) {
      const flow = await openReleased(t, version);
      const [side] = sidesOf(flow);
      if (side === undefined) throw new Error('a flow has two sides');
      const before = await bed.seen(flow);
      const counted = await countersDuring(lab, proxy, async () => {
        const sane = await next(side);
        // Bytes that the server has already: whatever is let through does no harm.
        const old = { ...sane, flags: 'PA', seq: plus(sane.seq, -64), data: 64 };
        await side.link.send(side.tuple, { ...old, fragment: 40 });
        await side.link.send(side.tuple, { ...old, options: true });
        await side.link.send(side.tuple, { ...old, ttl: 1 });
      });
      // The second names no ports, and waits in vain for the first.
      t.ok(counted('drop-fragment') >= 1, 'the first fragment');
      t.ok(counted(version === 4 ? 'options-removed' : 'drop-extension') >= 1, 'options or extension header');
      t.ok(counted('drop-ttl') >= 1, 'hop limit');
      await bed.exchange(t, 500_000);
      const after = await bed.seen(flow);
      t.equal(after.toClient.rst - before.toClient.rst, 0);
      t.equal((await bed.close(flow))['reason'], 'end');
    }
  });

  await test('a reset with the right number ends both sides, and the flow', async (t) => {
    for (const version of versions) {
      for (const index of [0, 1]) {
        const flow = await openReleased(t, version);
        const side = sidesOf(flow)[index];
        if (side === undefined) throw new Error('a flow has two sides');
        // Everything has arrived: this is the next number for both, the proxy and the other end.
        await side.link.send(side.tuple, { ...(await next(side)), flags: 'R' });
        t.match(await (index === 0 ? server : client).drain(), { ended: 'reset' }, 'the other end is told');
        t.match((await bed.logged(flow))['reason'], /reset/);
        // The one in whose name it was sent knows nothing yet, and learns when it speaks.
        await (index === 0 ? client : server).reset();
      }
    }
  });

  await test('afterwards the proxy runs and complained of nothing', async (t) => {
    t.ok(proxy.child.running, proxy.child.transcript());
    t.same(
      proxy.log().filter((line) => line['level'] === 'error' || line['level'] === 'fatal'),
      [],
    );
    await bed.wires.close();
    await bed.stop();
  });
});
