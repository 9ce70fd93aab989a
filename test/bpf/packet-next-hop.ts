/**
 * Relay stage: the Ethernet addresses that the guard reads off a relayed frame, and the relay uses for a moment. Both
 * maps are per processor; the test writes them for all, since it does not say on which one a test run happens.
 */
import { describe, expect, test } from 'vitest';
import { ACTION, CLIENT, SERVER, type Flow, type PacketBench, type Side } from './packet-bench.js';
import { MARK } from './packet-pair.js';
import { build, type Segment } from './segment.js';

const HOP_BYTES = 24;
const HOP_TICKS = 16;
const PLACES = 4096;
const NEXT_HOP = Buffer.from([2, 0, 0, 0, 9, 9, 2, 0, 0, 0, 8, 8]);
const LOOPBACK = 1;

interface Hop {
  leg: number;
  tick: number;
  ifindex: number;
  addresses: string;
}

const word = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
};
const legNumber = (flow: Flow, side: Side): number => (flow.index << 1) | side;
/** As the kernel counts them, or a few later: its coarse clock lags behind. */
const ticksNow = (): number => Number((process.hrtime.bigint() >> 20n) & 0xffffffffn);

export function nextHop(bench: () => PacketBench): void {
  const place = (leg: number): Buffer => word(leg % PLACES);

  function read(leg: number): Hop[] {
    const values = Buffer.from(bench().object.lookup('next_hops', place(leg))!);
    return Array.from({ length: values.length / HOP_BYTES }, (_, cpu) => {
      const value = values.subarray(cpu * HOP_BYTES, (cpu + 1) * HOP_BYTES);
      return {
        leg: value.readUInt32LE(0),
        tick: value.readUInt32LE(4),
        ifindex: value.readUInt32LE(8),
        addresses: value.toString('hex', 12),
      };
    });
  }

  function write(leg: number, hop: Partial<Hop> = {}): void {
    const { leg: named = leg + 1, tick = ticksNow() - HOP_TICKS / 2, ifindex = LOOPBACK } = hop;
    const value = Buffer.concat([word(named), word(tick), word(ifindex), NEXT_HOP]);
    bench().object.update('next_hops', place(leg), Buffer.concat(read(leg).map(() => value)));
  }

  /** The legs, per processor, that a frame is to be learned from; all of them as given, when given. */
  function learning(leg?: number): number[] {
    const values = Buffer.from(bench().object.lookup('learning', word(0))!);
    for (let at = 0; leg !== undefined && at < values.length; at += 8) values.writeUInt32LE(leg, at);
    if (leg !== undefined) bench().object.update('learning', word(0), values);
    return Array.from({ length: values.length / 8 }, (_, cpu) => values.readUInt32LE(8 * cpu));
  }

  /** The frame of this segment with the addresses that the kernel has found. */
  function frame(segment: Segment): Buffer {
    const bytes = build(segment);
    NEXT_HOP.copy(bytes);
    return bytes;
  }

  const addressesOf = (packet: Buffer): string => packet.toString('hex', 0, 12);
  const own = (segment: Segment): string => addressesOf(build(segment));

  describe.each([4, 6] as const)('the next hop, IPv%d', (family) => {
    test('a relayed segment asks the kernel, and its frame is to be learned from', () => {
      learning(0);
      const flow = bench().flow({ family });
      const sent = flow.from(CLIENT);
      const { result, packet } = bench().relay(sent);
      expect([result, addressesOf(packet)]).toEqual([ACTION.redirect, own(sent)]);
      expect(learning()).toContain(legNumber(flow, SERVER) + 1);
    });

    test('learned once, from the frame of that leg', () => {
      const flow = bench().flow({ family });
      const leg = legNumber(flow, SERVER);
      write(leg, { leg: 0, tick: 0 });
      learning(leg + 1);
      const { result, counts } = bench().guard(frame(flow.to(SERVER)), 'eth', { mark: MARK.relay });
      expect([result, counts]).toEqual([ACTION.pass, { 'guard-relayed': 1 }]);
      const learned = read(leg).filter((hop) => hop.leg === leg + 1);
      expect(learned).toMatchObject([{ ifindex: LOOPBACK, addresses: NEXT_HOP.toString('hex') }]);
      expect(learning()).toContain(0);
    });

    test('not from a frame of another leg, another flow, or one that was not relayed', () => {
      const flow = bench().flow({ family });
      const leg = legNumber(flow, SERVER);
      write(leg, { leg: 0 });
      learning(leg + 1);
      bench().guard(frame(flow.to(CLIENT)), 'eth', { mark: MARK.relay });
      bench().guard(frame(flow.to(SERVER, { destinationPort: 444 })), 'eth', { mark: MARK.relay });
      bench().guard(frame(flow.to(SERVER)), 'eth');
      expect(read(leg).filter((hop) => hop.leg !== 0)).toEqual([]);
    });

    test('used while it is fresh', () => {
      const flow = bench().flow({ family });
      for (let used = false; !used;) {
        const started = ticksNow();
        write(legNumber(flow, SERVER));
        const { result, packet, counts } = bench().relay(flow.from(CLIENT));
        expect([result, counts]).toEqual([ACTION.redirect, { relayed: 1 }]);
        used = addressesOf(packet) === NEXT_HOP.toString('hex');
        // Not, only where this process had to wait in between.
        if (!used) expect(ticksNow() - started).toBeGreaterThanOrEqual(HOP_TICKS / 2);
        expect(packet.subarray(14)).toEqual(build(flow.relayed(CLIENT, flow.from(CLIENT))).subarray(14));
      }
    });

    test.each([
      ['too old', { tick: ticksNow() - 1_000 }],
      ['of another leg', { leg: 4_711 }],
      ['out of another device', { ifindex: 77 }],
    ])('not used: %s', (_, hop) => {
      const flow = bench().flow({ family });
      write(legNumber(flow, SERVER), hop);
      const sent = flow.from(CLIENT);
      const { packet } = bench().relay(sent);
      expect(addressesOf(packet)).toBe(own(sent));
    });
  });
}
