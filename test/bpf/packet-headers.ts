/** Every row of the header table (design, "Headers"): a segment of a spliced flow goes in, another comes out. */
import { describe, expect, test } from 'vitest';
import {
  ACTION,
  CLIENT,
  SERVER,
  parsed,
  type Device,
  type Family,
  type PacketBench,
  type Side,
} from './packet-bench.js';
import { LEG } from './packet-slot.js';
import { FLAG, build, parse, type Segment, type TcpOption } from './segment.js';

const sides: [string, Side][] = [
  ['client to server', CLIENT],
  ['server to client', SERVER],
];
const devices: [Device, Family][] = [
  ['eth', 4],
  ['eth', 6],
  ['raw', 4],
  ['raw', 6],
];

const timestamps = (value: number, echo: number): TcpOption => ({ kind: 'timestamps', value, echo });
const nop: TcpOption = { kind: 'nop' };

export function headers(bench: () => PacketBench): void {
  describe.each(devices)('headers, %s, IPv%d', (device, family) => {
    test.each(sides)('addresses, ports, SEQ, ACK, timestamps, window: %s', (_, side) => {
      const flow = bench().flow({ family });
      const sent = flow.from(side);
      const { result, packet, counts, mark } = bench().relay(sent, device);
      expect(parse(packet)).toEqual(parsed(flow.relayed(side, sent)));
      expect([result, counts]).toEqual([ACTION.redirect, { relayed: 1 }]);
      expect(mark).not.toBe(0);
    });

    test.each(sides)('wrap-around of SEQ, ACK and both timestamps: %s', (_, side) => {
      const near = 0xfffffff0;
      for (const delta of [0x7fffffff, 0x80000000, 0xffffffff, 1, 0x20]) {
        const flow = bench().flow({
          family,
          client: { seqDelta: delta, tsDelta: delta, end: near, ack: near },
          server: { seqDelta: delta, tsDelta: delta, end: near, ack: near },
        });
        for (const at of [near, 0, 0x7fffffff, 0x80000000, 0xffffffff]) {
          const sent = flow.from(side, { seq: at, ack: at, options: [nop, nop, timestamps(at, at)] });
          expect(parse(bench().relay(sent, device).packet)).toEqual(parsed(flow.relayed(side, sent)));
        }
        bench().clear();
      }
    });

    test('payload of any length, and everything that has no rule, stay as they are', () => {
      const flow = bench().flow({ family });
      let seq = flow.legs[CLIENT].end;
      for (const length of [0, 1, 2, 3, 7, 64, 127, 128, 129, 1000, 1447, 1448]) {
        const payload = Array.from({ length }, (_, i) => String.fromCharCode((i * 7 + length) & 255)).join('');
        const sent = flow.from(CLIENT, { payload, seq, label: 0xabc, traffic: 0xb8 });
        seq += length;
        const { packet } = bench().relay(sent, device);
        expect(packet.subarray(14)).toEqual(build(flow.relayed(CLIENT, sent)).subarray(14));
      }
    });

    test('TTL or hop limit: one less, and nothing goes on at 0', () => {
      const flow = bench().flow({ family });
      for (const hops of [255, 64, 2]) {
        const sent = flow.from(CLIENT, { hops });
        expect(parse(bench().relay(sent, device).packet)).toEqual(parsed(flow.relayed(CLIENT, sent)));
      }
      for (const hops of [1, 0]) {
        const { result, counts } = bench().relay(flow.from(CLIENT, { hops }), device);
        expect([result, counts]).toEqual([ACTION.drop, { 'drop-ttl': 1 }]);
      }
    });

    test('an urgent pointer is relative to SEQ, so it stays', () => {
      const flow = bench().flow({ family });
      const sent = flow.from(CLIENT, { flags: FLAG.ack | FLAG.urg | FLAG.psh, urgent: 5 });
      expect(parse(bench().relay(sent, device).packet)).toEqual(parsed(flow.relayed(CLIENT, sent)));
    });

    test('a damaged segment stays damaged, by just as much', () => {
      const flags = LEG.timestamps | LEG.sack | LEG.ecn | LEG.seen;
      const flow = bench().flow({ family, client: { flags }, server: { flags } });
      const whole = build(flow.from(CLIENT, { payload: 'x'.repeat(101) }));
      const tcp = 14 + (family === 4 ? 20 : 40);
      const places = [tcp + 32, whole.length - 1, tcp + 14, tcp + 25];
      for (const at of family === 4 ? [...places, 14 + 1, 14 + 4] : places) {
        for (const flip of [0x01, 0x80, 0xff]) {
          const damaged = Buffer.from(whole);
          damaged[at]! ^= flip;
          const was = parse(damaged);
          const { packet, counts } = bench().relay(damaged, device);
          const is = parse(packet);
          expect(was.tcpError + was.ipError).not.toBe(0);
          // A window of another scale is rounded, and the damage with it: here both are alike.
          expect([is.tcpError, is.ipError, counts]).toEqual([was.tcpError, was.ipError, { relayed: 1 }]);
        }
      }
    });

    test('without an acknowledgement the field of it is nothing to map', () => {
      const flow = bench().flow({ family });
      const sent = flow.from(CLIENT, { flags: FLAG.rst, ack: 0, payload: '', options: [] });
      expect(parse(bench().relay(sent, device).packet)).toEqual(parsed(flow.relayed(CLIENT, sent)));
    });
  });

  describe('window', () => {
    test('every pair of scales: never more than was promised', () => {
      for (let peerScale = 0; peerScale <= 14; peerScale++) {
        for (let ownScale = 0; ownScale <= 14; ownScale++) {
          const flow = bench().flow({ client: { peerScale, ownScale: 3 }, server: { peerScale: 3, ownScale } });
          for (const window of [0, 1, 127, 0x8000, 65535]) {
            const sent = flow.from(CLIENT, { window, payload: '' });
            expect(parse(bench().relay(sent).packet)).toEqual(parsed(flow.relayed(CLIENT, sent)));
          }
          bench().clear();
        }
      }
    });
  });

  describe('SACK', () => {
    /** Blocks speak of the other direction's bytes. */
    const blocksOf = (side: Side, count: number): [number, number][] => {
      const base = side === CLIENT ? 90000 : 7000;
      return Array.from({ length: count }, (_, i) => [base + 1000 * (count - i), base + 1000 * (count - i) + 500]);
    };
    const map = (blocks: [number, number][], delta: number): [number, number][] =>
      blocks.map(([left, right]) => [(left - delta) >>> 0, (right - delta) >>> 0]);

    test.each(sides)('1 to 4 blocks, the first of them a duplicate or not: %s', (_, side) => {
      for (const count of [1, 2, 3, 4]) {
        const flow = bench().flow();
        const { seqDelta } = flow.legs[1 - side]!;
        const before: TcpOption[] = count < 4 ? [nop, nop, timestamps(5, 6)] : [];
        for (const duplicate of [false, true]) {
          const blocks = blocksOf(side, count);
          // A duplicate lies below the acknowledgement (RFC 2883).
          if (duplicate) blocks[0] = [blocks[0]![0] - 50_000, blocks[0]![0] - 49_000];
          const sent = flow.from(side, { payload: '', options: [...before, nop, nop, { kind: 'sack', blocks }] });
          const mapped: TcpOption[] = [nop, nop, { kind: 'sack', blocks: map(blocks, seqDelta) }];
          const expected = flow.relayed(side, sent);
          expected.options = [...expected.options.slice(0, before.length), ...mapped];
          const { packet, counts } = bench().relay(sent);
          expect(parse(packet)).toEqual(parsed(expected));
          expect(counts).toEqual({ relayed: 1 });
        }
        bench().clear();
      }
    });

    test('edges on both sides of 2^32', () => {
      const flow = bench().flow({ server: { seqDelta: 0x1000 } });
      const blocks: [number, number][] = [
        [0xfffffff0, 0x10],
        [0x0ff0, 0x1010],
      ];
      const sent = flow.from(CLIENT, { payload: '', options: [nop, nop, { kind: 'sack', blocks }] });
      const expected = flow.relayed(CLIENT, sent, {
        options: [nop, nop, { kind: 'sack', blocks: map(blocks, 0x1000) }],
      });
      expect(parse(bench().relay(sent).packet)).toEqual(parsed(expected));
    });

    test('towards a leg that did not negotiate it: no-operation, and the rest still mapped', () => {
      const flow = bench().flow({ server: { flags: LEG.timestamps | LEG.seen } });
      for (const before of [[nop, nop, timestamps(5, 6)], []]) {
        const sent = flow.from(CLIENT, {
          payload: '',
          options: [...before, nop, nop, { kind: 'sack', blocks: blocksOf(CLIENT, 2) }],
        });
        const expected = flow.relayed(CLIENT, sent);
        expected.options = [...expected.options.slice(0, before.length), ...Array<TcpOption>(20).fill(nop)];
        expect(parse(bench().relay(sent).packet)).toEqual(parsed(expected));
      }
    });
  });

  describe('options in any order', () => {
    const sack: TcpOption = {
      kind: 'sack',
      blocks: [
        [91000, 92000],
        [93000, 94000],
      ],
    };
    const mappedSack: TcpOption = {
      kind: 'sack',
      blocks: [
        [501000, 502000],
        [503000, 504000],
      ],
    };
    const strange: TcpOption = { kind: 'other', number: 253, bytes: [1, 2, 3] };
    const orders: [string, TcpOption[]][] = [
      ['timestamps first, at an even offset', [timestamps(7, 8)]],
      ['timestamps at an odd offset', [nop, timestamps(7, 8), nop]],
      ['timestamps last', [nop, nop, nop, nop, nop, nop, timestamps(7, 8)]],
      ['SACK before timestamps', [nop, nop, sack, nop, nop, timestamps(7, 8)]],
      ['SACK before timestamps, nothing between', [sack, timestamps(7, 8)]],
      ['SACK at an odd offset', [nop, sack, timestamps(7, 8)]],
      ['an unknown option before', [strange, timestamps(7, 8), nop]],
      ['an unknown option between', [timestamps(7, 8), strange, nop, sack]],
      ['end of the list behind', [timestamps(7, 8), sack, { kind: 'end' }]],
      ['no options', []],
      ['nothing but no-operation', Array<TcpOption>(40).fill(nop)],
    ];

    test.each(orders)('%s', (_, options) => {
      const flow = bench().flow();
      const sent = flow.from(CLIENT, { payload: 'data', options });
      const expected = flow.relayed(CLIENT, sent);
      expected.options = expected.options.map((option) => (option.kind === 'sack' ? mappedSack : option));
      const { packet, counts } = bench().relay(sent);
      expect(parse(packet)).toEqual(parsed(expected));
      expect(counts).toEqual({ relayed: 1 });
    });

    /** Bytes behind a broken length mean nothing: their receiver will not read them either. */
    const broken: [string, number[]][] = [
      ['a length of 0', [254, 0, 8, 10, 0, 0, 0, 7, 0, 0, 0, 8]],
      ['a length of 1', [254, 1, 8, 10, 0, 0, 0, 7, 0, 0, 0, 8]],
      ['a length beyond the header', [1, 1, 8, 20, 0, 0, 0, 7, 0, 0, 0, 8]],
      ['timestamps that are cut off', [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 8, 10]],
      ['timestamps of another length', [8, 6, 0, 0, 0, 7, 1, 1]],
      ['timestamps behind the end of the list', [0, 0, 8, 10, 0, 0, 0, 7, 0, 0, 0, 8]],
      ['SACK without a block', [5, 2, 1, 1]],
      ['a kind without a length in the last byte', [1, 1, 1, 254]],
    ];
    test.each(broken)('what makes no sense goes on untouched: %s', (_, bytes) => {
      const flow = bench().flow();
      // Written through the data offset: options are bytes here.
      const raw = (segment: Segment): Buffer => {
        const packet = build({ ...segment, options: [], payload: Buffer.from(bytes).toString('latin1') + 'data' });
        packet[14 + 20 + 12] = ((20 + bytes.length) / 4) << 4;
        const [field, error] = [packet.readUInt16BE(14 + 20 + 16), parse(packet).tcpError];
        packet.writeUInt16BE((field + error) % 0xffff, 14 + 20 + 16);
        return packet;
      };
      const sent = flow.from(CLIENT, { payload: '' });
      const { packet, counts } = bench().relay(raw(sent));
      expect(packet.subarray(14)).toEqual(raw(flow.relayed(CLIENT, sent)).subarray(14));
      expect(counts).toEqual({ relayed: 1 });
    });

    test('timestamps that were never negotiated are nobody’s clock', () => {
      const flow = bench().flow({ client: { flags: LEG.sack | LEG.seen }, server: { flags: LEG.sack | LEG.seen } });
      for (const options of [[nop, nop, timestamps(7, 8)], [timestamps(7, 8)]]) {
        const sent = flow.from(CLIENT, { options });
        expect(parse(bench().relay(sent).packet)).toEqual(
          parsed(flow.relayed(CLIENT, sent, { options: sent.options })),
        );
      }
    });
  });

  describe.each([4, 6] as const)('ECN, IPv%d', (family) => {
    const ecn = LEG.timestamps | LEG.sack | LEG.seen | LEG.ecn;
    const none = LEG.timestamps | LEG.sack | LEG.seen;
    const all = FLAG.ack | FLAG.ece | FLAG.cwr;

    test('on both legs: untouched, also the mark', () => {
      const flow = bench().flow({ family, client: { flags: ecn }, server: { flags: ecn } });
      for (const traffic of [0, 1, 2, 3, 0xba, 0xbb]) {
        const sent = flow.from(CLIENT, { traffic, flags: all });
        expect(parse(bench().relay(sent).packet)).toEqual(parsed(flow.relayed(CLIENT, sent)));
      }
    });

    test.each([
      ['on the client’s leg only', ecn, none],
      ['on the server’s leg only', none, ecn],
    ])('%s: neither leg hears of the other’s', (_, client, server) => {
      const flow = bench().flow({ family, client: { flags: client }, server: { flags: server } });
      for (const [, side] of sides) {
        for (const traffic of [0, 1, 2, 0xb9, 0xba]) {
          const sent = flow.from(side, { traffic, flags: all });
          const expected = flow.relayed(side, sent, { traffic: traffic & 0xfc, flags: FLAG.ack });
          expect(parse(bench().relay(sent).packet)).toEqual(parsed(expected));
        }
      }
    });

    test('a mark that could not be echoed is a loss', () => {
      const flow = bench().flow({ family, client: { flags: ecn }, server: { flags: none } });
      const { result, counts } = bench().relay(flow.from(CLIENT, { traffic: 3 }));
      expect([result, counts]).toEqual([ACTION.drop, { 'drop-ce': 1 }]);
    });

    test('a mark in a stream without ECN is none', () => {
      const flow = bench().flow({ family, client: { flags: none }, server: { flags: none } });
      const sent = flow.from(CLIENT, { traffic: 3 });
      expect(parse(bench().relay(sent).packet)).toEqual(parsed(flow.relayed(CLIENT, sent)));
    });
  });

  describe('what IP adds', () => {
    test('IPv4 options come off, of every length', () => {
      const flow = bench().flow();
      for (let words = 1; words <= 10; words++) {
        const ipOptions = [148, 4, 0, 0, ...Array<number>(4 * (words - 1)).fill(1)];
        const sent = flow.from(CLIENT, { ipOptions, options: words % 2 ? [] : [timestamps(7, 8)] });
        const { result, packet, counts } = bench().relay(sent);
        expect(parse(packet)).toEqual(parsed(flow.relayed(CLIENT, sent)));
        expect([result, counts]).toEqual([ACTION.redirect, { relayed: 1, 'options-removed': 1 }]);
      }
    });

    test.each([
      ['hop-by-hop options', [{ number: 0, length: 0, bytes: [1, 4, 0, 0, 0, 0] }]],
      ['destination options', [{ number: 60, length: 1, bytes: [1, 12, ...Array<number>(12).fill(0)] }]],
      ['a routing header', [{ number: 43, length: 0, bytes: [4, 0, 0, 0, 0, 0] }]],
      [
        'three of them',
        [
          { number: 0, length: 0, bytes: [1, 4, 0, 0, 0, 0] },
          { number: 60, length: 0, bytes: [1, 4, 0, 0, 0, 0] },
          { number: 60, length: 0, bytes: [1, 4, 0, 0, 0, 0] },
        ],
      ],
    ])('IPv6 with %s is dropped, not given to a host without a socket', (_, extensions) => {
      const flow = bench().flow({ family: 6 });
      const { result, counts } = bench().relay(flow.from(CLIENT, { extensions }));
      expect([result, counts]).toEqual([ACTION.drop, { 'drop-extension': 1 }]);
    });

    test('the first fragment is dropped: nobody would put it together', () => {
      const v4 = bench().flow();
      const v6 = bench().flow({ family: 6 });
      const fragmentHeader = { number: 44, length: 0, bytes: [0, 1, 0, 0, 0, 9] };
      for (const packet of [v4.from(CLIENT, { fragment: 0x2000 }), v6.from(CLIENT, { extensions: [fragmentHeader] })]) {
        const { result, counts } = bench().relay(packet);
        expect([result, counts]).toEqual([ACTION.drop, { 'drop-fragment': 1 }]);
      }
    });

    test('later fragments have no ports and so no flow: the host waits for the first in vain', () => {
      const v4 = bench().flow();
      const v6 = bench().flow({ family: 6 });
      const later = { number: 44, length: 0, bytes: [0, 0xb8, 0, 0, 0, 9] };
      for (const packet of [v4.from(CLIENT, { fragment: 0x00b9 }), v6.from(CLIENT, { extensions: [later] })]) {
        const { result, counts } = bench().relay(packet);
        expect([result, counts]).toEqual([ACTION.pass, { 'not-tcp': 1 }]);
      }
    });
  });

  test('segments that the device has merged keep their size', () => {
    const flow = bench().flow();
    const sent = flow.from(CLIENT, { payload: 'x'.repeat(2800) });
    const { packet, gsoSize, counts } = bench().relay(sent, 'eth', { gsoSize: 1400, gsoSegments: 2 });
    expect(parse(packet)).toEqual(parsed(flow.relayed(CLIENT, sent)));
    expect([gsoSize, counts]).toEqual([1400, { relayed: 1 }]);
  });
}
