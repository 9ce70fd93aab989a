// Loss, duplication, reordering, corruption and delay on both legs, from the SYN on: the same bytes arrive. How long it
// takes is measured beside a plain router in bench/, never judged here.
import t from 'tap';
import { amount } from '../support/amount.js';
import { patient } from '../support/children.js';
import type { Faults } from '../support/impair.js';
import { manners, withLab, type Version } from '../support/packet-group.js';
import { PeerBed } from '../support/packet-peers.js';

const versions: readonly Version[] = [4, 6];

const wires: readonly (readonly [string, Faults, { holdMs?: number; bytes?: number }])[] = [
  ['0.1 % loss', { loss: 0.001 }, {}],
  ['1 % loss', { loss: 0.01 }, {}],
  ['5 % loss', { loss: 0.05 }, { bytes: 500_000 }],
  ['5 % duplication', { duplicate: 0.05 }, {}],
  ['5 % reordering by 2 ms', { hold: 0.05 }, { holdMs: 2 }],
  ['1 % corruption', { corrupt: 0.01 }, {}],
  ['a little of everything', { loss: 0.005, duplicate: 0.005, hold: 0.01, corrupt: 0.002 }, { holdMs: 3 }],
  ['5 ms of delay per link', { hold: 1 }, { holdMs: 5 }],
  ['5 ms of delay per link and 0.5 % loss', { hold: 1, loss: 0.005 }, { holdMs: 5, bytes: 500_000 }],
];

await withLab(async (lab) => {
  for (const manner of manners()) {
    const bed = await PeerBed.open(lab, manner);
    for (const [name, faults, { holdMs = 3, bytes = 2_000_000 }] of wires) {
      await t.test(`${manner.title}: ${name}`, { timeout: patient(100_000) }, async (t) => {
        const before = await bed.wires.tallies();
        for (const version of versions) {
          const seeds = amount(3);
          for (let seed = 1; seed <= seeds; seed++) {
            await bed.wires.set(faults, { holdMs, seed });
            const flow = await bed.open(version);
            await bed.exchange(t, bytes, seed === 1 && seeds > 1 ? 0 : bytes);
            if (seed === 3) await bed.exchange(t, 0, bytes);
            // The FINs meet the same wire.
            const line = await bed.close(flow);
            t.equal(line['reason'], 'end', JSON.stringify(line));
            t.equal(line['backend'], manner.backend, JSON.stringify(line));
          }
        }
        await bed.wires.set({});
        const after = await bed.wires.tallies();
        const done = after.lost + after.duplicated + after.held + after.corrupted;
        t.ok(done > before.lost + before.duplicated + before.held + before.corrupted, 'the wires did it');
      });
    }
    await t.test(`${manner.title}: afterwards nothing of the flows is left`, async (t) => {
      t.ok(bed.proxy.child.running, bed.proxy.child.transcript());
      t.same(
        bed.proxy.log().filter((line) => line['level'] === 'error' || line['level'] === 'fatal'),
        [],
      );
      const { stdout } = await lab.prx.exec('ss', ['-Htna', 'state', 'established']);
      t.equal(stdout.toString(), '', 'no socket');
      await bed.wires.close();
      await bed.stop();
    });
  }
});
