/** Every exit of the programs has its counter: what is not ours, what is broken, and what no test thought of. */
import { describe, expect, test } from 'vitest';
import { PACKET_NOTES, type PacketCounter } from '../../src/abi.gen.js';
import { ACTION, CLIENT, SERVER, hosts, type Device, type Family, PacketBench, type Passed } from './packet-bench.js';
import { MARK } from './packet-pair.js';
import { FLAG, build, type Segment } from './segment.js';

const devices: [Device, Family][] = [
  ['eth', 4],
  ['eth', 6],
  ['raw', 4],
  ['raw', 6],
];
const marks = [0, 0, ...Object.values(MARK)];
const notes: readonly PacketCounter[] = PACKET_NOTES;

/** The counters of exits that a run moved. */
export function exitsOf(passed: Passed): string[] {
  return (Object.keys(passed.counts) as PacketCounter[]).filter((name) => !notes.includes(name));
}

/** The same numbers in every run. */
function generator(seed: number): (below: number) => number {
  let word = seed;
  return (below) => {
    word = (Math.imul(word, 1664525) + 1013904223) >>> 0;
    return Math.floor((word / 2 ** 32) * below);
  };
}

export function exits(bench: () => PacketBench): void {
  describe.each(devices)('not ours, %s, IPv%d', (device, family) => {
    const ip = family === 4 ? 20 : 40;
    const untouched = (packet: Buffer, counter: PacketCounter): void => {
      const passed = bench().relay(packet, device);
      expect([passed.result, passed.counts]).toEqual([ACTION.pass, { [counter]: 1 }]);
      expect(passed.packet).toEqual(device === 'eth' ? packet : packet.subarray(14));
    };

    test('another connection, or an almost equal one', () => {
      const flow = bench().flow({ family });
      const changes: Partial<Segment>[] = [
        { source: hosts[family].stranger },
        { destination: hosts[family].stranger },
        { sourcePort: 40001 },
        { destinationPort: 1081 },
        { source: flow.legs[CLIENT].local, destination: flow.legs[CLIENT].remote },
      ];
      for (const change of changes) untouched(build(flow.from(CLIENT, change)), 'no-flow');
    });

    test('a slot that is free, although a key still names it', () => {
      const flow = bench().flow({ family, slot: { phase: 0 } });
      untouched(build(flow.from(CLIENT)), 'no-flow');
    });

    test('other protocols', () => {
      for (const protocol of [17, 2, 50, 132]) {
        const packet = build(bench().flow({ family }).from(CLIENT));
        packet[14 + (family === 4 ? 9 : 6)] = protocol;
        untouched(packet, 'not-tcp');
        bench().clear();
      }
    });

    test('headers that are cut off or contradict themselves', () => {
      const flow = bench().flow({ family });
      const whole = build(flow.from(CLIENT));
      const tcp = 14 + ip;
      const change = (edit: (packet: Buffer) => Buffer | void): Buffer => {
        const packet = Buffer.from(whole);
        return edit(packet) ?? packet;
      };
      untouched(
        change((packet) => packet.subarray(0, tcp + 19)),
        'short',
      );
      if (family === 4) {
        // Four bytes too far ahead the acknowledgement would be read as a sound TCP header's length.
        const shifted = build(flow.from(CLIENT, { ack: 0x50000000 }));
        shifted[14] = 0x44;
        untouched(shifted, 'short');
      }
      for (const words of [0, 4])
        untouched(
          change((packet) => void (packet[tcp + 12] = words << 4)),
          'short',
        );
      // Longer than the packet says it is.
      const length = family === 4 ? [14 + 2, ip + 24] : [14 + 4, 24];
      untouched(
        change((packet) => void packet.writeUInt16BE(length[1]!, length[0]!)),
        'short',
      );
    });

    test('a segment that says it is longer than it is', () => {
      const packet = build(bench().flow({ family }).from(CLIENT));
      for (const less of [1, 5, 9, 20]) untouched(packet.subarray(0, packet.length - less), 'short');
    });
  });

  test('neither IPv4 nor IPv6', () => {
    for (const type of [0x0806, 0x88cc, 0x8100, 0x0000]) {
      const packet = build(bench().flow().from(CLIENT));
      packet.writeUInt16BE(type, 12);
      const { result, counts } = bench().relay(packet);
      expect([result, counts]).toEqual([ACTION.pass, { 'not-ip': 1 }]);
      bench().clear();
    }
  });

  test('a full ring buffer is counted, and flows end all the same', () => {
    const narrow = new PacketBench({ flows: 512, legs: 1024, events: 4096 });
    try {
      const lost: number[] = [];
      // More than the ring holds; nobody reads it.
      for (let i = 0; i < 110; i++) {
        const flow = narrow.flow();
        const { counts } = narrow.relay(flow.from(CLIENT, { flags: FLAG.rst | FLAG.ack, payload: '' }));
        lost.push(counts['event-lost'] ?? 0);
        expect(flow.phase).toBe('ended');
        flow.remove();
      }
      expect([lost[0], lost.at(-1)]).toEqual([0, 1]);
      bench().seenCounters.add('event-lost');
    } finally {
      narrow.close();
    }
  });

  describe('whatever comes', () => {
    test.each(devices)(
      '%s, IPv%d: every packet leaves by one counted exit, by one of three actions',
      (device, family) => {
        const random = generator(family * 1000 + device.length);
        const flow = bench().flow({ family });
        const wholes = [
          build(flow.from(CLIENT)),
          build(flow.from(SERVER, { options: [{ kind: 'sack', blocks: [[7000, 7100]] }], payload: 'x'.repeat(300) })),
          build(flow.from(CLIENT, { ipOptions: family === 4 ? [148, 4, 0, 0] : [] })),
          build(flow.to(CLIENT)),
        ];
        const actions: number[] = Object.values(ACTION);
        for (let round = 0; round < 1500; round++) {
          let packet = Buffer.from(wholes[random(wholes.length)]!);
          // Not the addresses: then nothing would be tried but the look-up.
          for (let flips = random(4); flips > 0; flips--) {
            const at = 14 + random(Math.min(100, packet.length - 14));
            const isAddress = family === 4 ? at >= 26 && at < 34 : at >= 22 && at < 54;
            if (!isAddress) packet[at] = random(256);
          }
          if (random(4) === 0) packet = packet.subarray(0, 14 + 54 + random(packet.length - 67));
          const hook = random(4) === 0 ? 'guard' : 'relay';
          const passed = bench()[hook](packet, device, { mark: marks[random(marks.length)]! });
          const said = `${round}: ${passed.result} ${JSON.stringify(passed.counts)} ${packet.toString('hex')}`;
          if (!actions.includes(passed.result) || exitsOf(passed).length !== 1) expect.unreachable(said);
        }
      },
    );
  });
}
