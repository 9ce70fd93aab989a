/** Ring 2 of the packet backend: packets in and packets out of the loaded programs, without a peer or a wire. */
import { afterAll, afterEach, beforeAll, describe } from 'vitest';
import { PacketBench } from './packet-bench.js';
import { control } from './packet-control.js';
import { coverage } from './packet-coverage.js';
import { exits } from './packet-exits.js';
import { guardReleased, guardReuse, guardTransit } from './packet-guard.js';
import { headers } from './packet-headers.js';
import { lives } from './packet-lives.js';
import { nextHop } from './packet-next-hop.js';
import { TransitBed } from './packet-pair.js';
import { transit } from './packet-transit.js';
import { bpfExcused } from './support.js';

const excused = bpfExcused([6, 1]);

// One file, because the programs count for all of them together, and the last suite asks what was never counted.
describe.skipIf(excused !== undefined)(`packet${excused === undefined ? '' : ` (skipped: ${excused})`}`, () => {
  let bench: PacketBench | undefined;
  const current = (): PacketBench => bench!;
  beforeAll(() => {
    bench = new PacketBench();
  });
  afterEach(() => bench?.clear());
  afterAll(() => bench?.close());

  headers(current);
  lives(current);
  exits(current);
  guardReleased(current);
  guardReuse(current);
  nextHop(current);

  describe('transit', () => {
    let bed: TransitBed | undefined;
    beforeAll(() => {
      bed = new TransitBed(current());
    });
    afterEach(() => bed?.host.clear());
    afterAll(() => bed?.close());

    control(() => bed!);
    transit(() => bed!);
    guardTransit(() => bed!);
  });

  coverage(current);
});
