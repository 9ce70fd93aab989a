/** Relay and teardown of a spliced flow: which segments move its states, and which only claim to. */
import { describe, expect, test } from 'vitest';
import { CLOSE_REASON, SIDE_STATE } from '../../src/abi.gen.js';
import { ACTION, CLIENT, SERVER, parsed, type Flow, type PacketBench, type Passed, type Side } from './packet-bench.js';
import { LEG } from './packet-slot.js';
import { FLAG, build, parse, type Segment } from './segment.js';

const FIN = FLAG.fin | FLAG.ack;
const RST = FLAG.rst | FLAG.ack;
const sides: [string, Side][] = [
  ['the client', CLIENT],
  ['the server', SERVER],
];
const other = (side: Side): Side => (side === CLIENT ? SERVER : CLIENT);
const empty: Partial<Segment> = { payload: '' };

/** A bare acknowledgement by `side` of the other's stream, up to a position in what that one sends. */
function acknowledges(flow: Flow, side: Side, position: number): Segment {
  const y = flow.legs[other(side)];
  return flow.from(side, { ...empty, flags: FLAG.ack, ack: (position + y.seqDelta) >>> 0 });
}

export function lives(bench: () => PacketBench): void {
  const send = (segment: Segment): Passed => bench().relay(segment);

  describe('the state machine, by segments', () => {
    test.each(sides)('an orderly end that %s begins', (_, first) => {
      const flow = bench().flow();
      const second = other(first);
      const edges = [
        // Data together with the FIN: it stands behind them.
        send(flow.from(first, { flags: FIN })).edges,
        send(acknowledges(flow, second, flow.legs[first].end + 6)).edges,
        send(flow.from(second, { ...empty, flags: FIN })).edges,
        send(flow.from(first, { ...empty, seq: flow.legs[first].end + 6, ack: flow.from(first).ack + 1 })).edges,
      ];
      expect(edges).toEqual([
        ['SPLICED FIN'],
        ['FIN_RELAYED FIN_ACKED'],
        ['SPLICED FIN'],
        ['FIN_RELAYED FIN_ACKED', 'SHUTDOWN BOTH_SHUT', 'SHUTDOWN BOTH_SHUT'],
      ]);
      expect([flow.states, flow.phase]).toEqual(['TIMEWAIT/TIMEWAIT', 'ended']);
      expect(flow.slot).toMatchObject({ reason: CLOSE_REASON.end });
      expect(flow.slot.ended).toBeGreaterThan(0);
      expect([flow.leg(first).bytes, flow.leg(second).bytes]).toEqual([5, 0]);
    });

    test('a simultaneous end', () => {
      const flow = bench().flow();
      const [client, server] = [flow.legs[CLIENT].end, flow.legs[SERVER].end];
      send(flow.from(CLIENT, { ...empty, flags: FIN }));
      send(flow.from(SERVER, { ...empty, flags: FIN }));
      expect(flow.states).toBe('FIN_RELAYED/FIN_RELAYED');
      send(acknowledges(flow, CLIENT, server + 1));
      send(acknowledges(flow, SERVER, client + 1));
      expect([flow.states, flow.phase]).toEqual(['TIMEWAIT/TIMEWAIT', 'ended']);
    });

    test('half-closed: the other direction goes on, and its bytes are counted', () => {
      const flow = bench().flow();
      send(flow.from(CLIENT, { ...empty, flags: FIN }));
      send(acknowledges(flow, SERVER, flow.legs[CLIENT].end + 1));
      let seq = flow.legs[SERVER].end;
      for (let i = 0; i < 20; i++, seq += 1000) {
        expect(send(flow.from(SERVER, { seq, payload: 'x'.repeat(1000) })).counts).toEqual({ relayed: 1 });
      }
      expect([flow.states, flow.phase]).toEqual(['SPLICED/SHUTDOWN', 'released']);
      expect(flow.leg(SERVER)).toMatchObject({ bytes: 20_000, segments: 21 });
    });

    test('a note of the last bytes that got lost between two processors does not hide the end', () => {
      // The FIN is known, but `end` was overwritten by an older segment that passed at the same time.
      const flow = bench().flow({
        client: { state: SIDE_STATE.FIN_RELAYED },
        server: { state: SIDE_STATE.SPLICED, flags: LEG.timestamps | LEG.sack | LEG.seen | LEG.fin, finEnd: 501_001 },
      });
      expect(send(acknowledges(flow, CLIENT, 501_001)).edges).toEqual(['FIN_RELAYED FIN_ACKED']);
      expect(flow.leg(SERVER).end).toBe(501_001);
    });

    test('what follows the end is still relayed: a last acknowledgement may be lost', () => {
      const flow = bench().flow({ slot: { phase: 3 }, client: { state: SIDE_STATE.TIMEWAIT } });
      const sent = flow.from(SERVER, { ...empty, flags: FIN });
      expect(send(sent)).toMatchObject({ result: ACTION.redirect, counts: { relayed: 1 }, edges: [] });
    });

    test('the same FIN again, and acknowledgements that repeat, change nothing', () => {
      const flow = bench().flow();
      for (let i = 0; i < 3; i++) send(flow.from(CLIENT, { ...empty, flags: FIN }));
      const edges = [1, 2, 3].flatMap(() => send(acknowledges(flow, SERVER, flow.legs[CLIENT].end + 1)).edges);
      expect(edges).toEqual(['FIN_RELAYED FIN_ACKED']);
    });

    test.each(sides)('a reset by %s, at the next byte: relayed, and the end', (_, side) => {
      for (const [state, flags] of [
        ['SPLICED', RST],
        ['FIN_RELAYED', RST],
        ['SHUTDOWN', FLAG.rst],
      ] as const) {
        const leg = { state: SIDE_STATE[state] };
        const flow = bench().flow({ client: leg, server: leg });
        const sent = flow.from(side, { ...empty, flags, options: [], ack: flags === RST ? flow.from(side).ack : 0 });
        const { result, packet, counts, edges } = send(sent);
        expect(parse(packet)).toEqual(parsed(flow.relayed(side, sent)));
        expect([result, counts]).toEqual([ACTION.redirect, { relayed: 1 }]);
        expect(edges).toEqual([`${state} RESET`, `${state} RESET`]);
        expect([flow.states, flow.phase]).toEqual(['CLOSE/CLOSE', 'ended']);
        const reason = side === CLIENT ? CLOSE_REASON['client-reset'] : CLOSE_REASON['upstream-reset'];
        expect(flow.slot.reason).toBe(reason);
        bench().clear();
      }
    });

    test('a reset at what the other side acknowledged last: what is under way does not hide it', () => {
      const flow = bench().flow();
      send(flow.from(CLIENT, { payload: 'x'.repeat(1000) }));
      send(flow.from(CLIENT, { ...empty, flags: RST }));
      expect(flow.phase).toBe('ended');
    });
  });

  describe('a reset behind a FIN', () => {
    test.each(sides)(
      'by %s, at the place of the FIN, which is acknowledged: Linux takes it, and so do we',
      (_, side) => {
        const other = side === CLIENT ? SERVER : CLIENT;
        const flow = bench().flow();
        const fin = flow.from(side, { ...empty, flags: FLAG.fin | FLAG.ack });
        send(fin);
        // The other goes on sending, and has acknowledged all.
        const more = flow.from(other, { ack: (flow.relayed(side, fin).seq + 1) >>> 0 });
        expect(send(more).edges).toEqual(['FIN_RELAYED FIN_ACKED']);
        const { edges } = send(flow.from(side, { ...empty, flags: RST, seq: fin.seq }));
        expect([edges.sort(), flow.phase]).toEqual([['SHUTDOWN RESET', 'SPLICED RESET'], 'ended']);
      },
    );

    test.each(sides)('by %s, at the place of a FIN that nobody has acknowledged: both may be forged', (_, side) => {
      const flow = bench().flow();
      const seq = flow.legs[side].end + 1000;
      send(flow.from(side, { ...empty, flags: FLAG.fin | FLAG.ack, seq }));
      expect(send(flow.from(side, { ...empty, flags: RST, seq })).edges).toEqual([]);
      expect(flow.phase).toBe('released');
    });
  });

  describe('forgeries', () => {
    const wrong = [-1, 1, 1000, -70_000, 70_000, 0x7fffffff, 0x80000000, -0x40000000];

    test.each(wrong)('a reset %d bytes off is relayed, for the end host to judge, and ends nothing', (offset) => {
      const flow = bench().flow();
      const sent = flow.from(CLIENT, { ...empty, flags: RST, seq: (flow.legs[CLIENT].end + offset) >>> 0 });
      const { packet, edges } = send(sent);
      expect(parse(packet)).toEqual(parsed(flow.relayed(CLIENT, sent)));
      expect([edges, flow.states, flow.phase]).toEqual([[], 'SPLICED/SPLICED', 'released']);
      // And the true one still does.
      send(flow.from(CLIENT, { ...empty, flags: RST }));
      expect(flow.phase).toBe('ended');
    });

    test('a FIN ahead of the stream is found out when the stream passes it, and the true one counts', () => {
      const flow = bench().flow();
      const start = flow.legs[CLIENT].end;
      const edges = [
        send(flow.from(CLIENT, { ...empty, flags: FIN, seq: start + 500 })).edges,
        send(flow.from(CLIENT, { payload: 'x'.repeat(1000) })).edges,
        send(acknowledges(flow, SERVER, start + 1000)).edges,
        send(flow.from(CLIENT, { ...empty, flags: FIN, seq: start + 1000 })).edges,
        send(acknowledges(flow, SERVER, start + 1001)).edges,
      ];
      expect(edges).toEqual([
        ['SPLICED FIN'],
        [],
        ['FIN_RELAYED FIN_VOID'],
        ['SPLICED FIN'],
        ['FIN_RELAYED FIN_ACKED'],
      ]);
      expect(flow.phase).toBe('released');
    });

    test('a FIN behind what was acknowledged is none', () => {
      const flow = bench().flow();
      const start = flow.legs[CLIENT].end;
      send(flow.from(CLIENT, { payload: 'x'.repeat(1000) }));
      send(acknowledges(flow, SERVER, start + 1000));
      for (const seq of [start, start + 998, start + 999, start - 100_000]) {
        expect(send(flow.from(CLIENT, { ...empty, flags: FIN, seq: seq >>> 0 })).edges).toEqual([]);
      }
      expect(flow.states).toBe('SPLICED/SPLICED');
    });

    test('a FIN beyond what its receiver allows is none', () => {
      const flow = bench().flow();
      for (const far of [2_000_000, 0x20000000, 0x3ffffffe]) {
        expect(send(flow.from(CLIENT, { ...empty, flags: FIN, seq: flow.legs[CLIENT].end + far })).edges).toEqual([]);
      }
      expect(flow.states).toBe('SPLICED/SPLICED');
    });

    test.each([20_000, 500])('a FIN %d bytes ahead, which the stream never comes to, does not hide the end', (far) => {
      const flow = bench().flow();
      const start = flow.legs[CLIENT].end;
      send(flow.from(CLIENT, { ...empty, flags: FIN, seq: start + far }));
      send(flow.from(CLIENT, { flags: FIN }));
      expect(send(acknowledges(flow, SERVER, start + 6)).edges).toEqual(['FIN_RELAYED FIN_ACKED']);
      // From now on it stands.
      send(flow.from(CLIENT, { ...empty, flags: FIN, seq: start + far }));
      expect([flow.leg(CLIENT).finEnd, flow.states]).toEqual([start + 6, 'SPLICED/SHUTDOWN']);
    });

    test('FINs of both sides out of nowhere do not end a flow that goes on', () => {
      const flow = bench().flow();
      const [client, server] = [flow.legs[CLIENT].end, flow.legs[SERVER].end];
      send(flow.from(CLIENT, { ...empty, flags: FIN, seq: client + 100 }));
      send(flow.from(SERVER, { ...empty, flags: FIN, seq: server + 100 }));
      send(flow.from(CLIENT, { payload: 'x'.repeat(1000) }));
      send(flow.from(SERVER, { payload: 'x'.repeat(1000) }));
      send(acknowledges(flow, CLIENT, server + 1000));
      send(acknowledges(flow, SERVER, client + 1000));
      expect([flow.states, flow.phase]).toEqual(['SPLICED/SPLICED', 'released']);
    });

    test('an acknowledgement of what was never sent does not hide the end', () => {
      const flow = bench().flow();
      const [client, server] = [flow.legs[CLIENT].end, flow.legs[SERVER].end];
      for (const far of [0x10000, 0x1000000, 0x3fffffff, 0x7ffffff0]) {
        send(acknowledges(flow, SERVER, (client + far) >>> 0));
        send(acknowledges(flow, CLIENT, (server + far) >>> 0));
      }
      send(flow.from(CLIENT, { ...empty, flags: FIN }));
      send(acknowledges(flow, SERVER, client + 1));
      send(flow.from(SERVER, { ...empty, flags: FIN }));
      send(acknowledges(flow, CLIENT, server + 1));
      expect([flow.states, flow.phase]).toEqual(['TIMEWAIT/TIMEWAIT', 'ended']);
    });

    test('an acknowledgement with a damaged bit does not hide the end either', () => {
      for (const bit of [1, 16, 1 << 10, 1 << 15, 1 << 16, 1 << 24, 2 ** 31]) {
        const flow = bench().flow();
        const [client, server] = [flow.legs[CLIENT].end, flow.legs[SERVER].end];
        const damaged = build(flow.from(SERVER, { ...empty, flags: FLAG.ack }));
        damaged.writeUInt32BE((damaged.readUInt32BE(14 + 20 + 8) ^ bit) >>> 0, 14 + 20 + 8);
        bench().relay(damaged);
        send(flow.from(CLIENT, { ...empty, flags: FIN }));
        send(acknowledges(flow, SERVER, client + 1));
        send(flow.from(SERVER, { ...empty, flags: FIN }));
        send(acknowledges(flow, CLIENT, server + 1));
        expect([bit, flow.states]).toEqual([bit, 'TIMEWAIT/TIMEWAIT']);
        bench().clear();
      }
    });

    test('data far ahead of the window is not counted as bytes of the stream', () => {
      const flow = bench().flow();
      for (const far of [0x20000000, 0x3fffff00, 0x7fffff00, -0x40000000]) {
        send(flow.from(CLIENT, { seq: (flow.legs[CLIENT].end + far) >>> 0 }));
      }
      send(flow.from(CLIENT));
      expect(flow.leg(CLIENT).bytes).toBe(5);
    });

    test.each([
      ['reset', FLAG.rst],
      ['FIN', FLAG.fin],
    ])('a damaged segment that looks like a %s is dropped here: it must not be believed', (_, flag) => {
      for (const family of [4, 6] as const) {
        const flow = bench().flow({ family });
        for (const payload of ['', 'x', 'x'.repeat(129), 'x'.repeat(1448)]) {
          const damaged = build(flow.from(CLIENT, { payload, flags: FLAG.ack }));
          damaged[14 + (family === 4 ? 20 : 40) + 13]! ^= flag;
          const { result, counts, edges } = bench().relay(damaged);
          expect([result, counts, edges]).toEqual([ACTION.drop, { 'drop-checksum': 1 }, []]);
        }
        expect([flow.states, flow.phase]).toEqual(['SPLICED/SPLICED', 'released']);
      }
    });

    test('a SYN on a living flow goes to the end hosts, who challenge it', () => {
      const flow = bench().flow();
      for (const flags of [FLAG.syn, FLAG.syn | FLAG.ack]) {
        const sent = flow.from(CLIENT, { ...empty, flags, options: [], ack: flags === FLAG.syn ? 0 : 99 });
        const { result, edges } = send(sent);
        expect([result, edges]).toEqual([ACTION.redirect, []]);
      }
      expect([flow.states, flow.phase, flow.known]).toEqual(['SPLICED/SPLICED', 'released', true]);
      expect(flow.leg(CLIENT).end).toBe(flow.legs[CLIENT].end);
    });
  });

  describe('reuse', () => {
    test.each(sides)('S9: a SYN of %s on an ended flow takes its place', (_, side) => {
      const flow = bench().flow({ slot: { phase: 3 } });
      const { result, counts } = send(flow.from(side, { ...empty, flags: FLAG.syn, ack: 0, options: [] }));
      expect([result, counts, flow.known]).toEqual([ACTION.pass, { 'local-reuse': 1 }, false]);
    });

    test.each(sides)('S10: a late answer to a SYN, by %s, takes no place: the host would reset it', (_, side) => {
      const flow = bench().flow({ slot: { phase: 3 } });
      const { result, counts } = send(flow.from(side, { ...empty, flags: FLAG.syn | FLAG.ack, options: [] }));
      expect([result, counts, flow.known]).toEqual([ACTION.redirect, { relayed: 1 }, true]);
    });
  });

  describe('counting', () => {
    test('bytes once, however often and in whatever order they come', () => {
      const flow = bench().flow({ client: { bytes: 700 } });
      const start = flow.legs[CLIENT].end;
      const pieces: [number, number][] = [
        [0, 100],
        [0, 100],
        [200, 100],
        [100, 100],
        [250, 100],
        [50, 300],
      ];
      for (const [at, length] of pieces) send(flow.from(CLIENT, { seq: start + at, payload: 'x'.repeat(length) }));
      send(flow.from(CLIENT, { ...empty, seq: start + 350, flags: FIN }));
      expect(flow.leg(CLIENT)).toMatchObject({ bytes: 700 + 350, segments: 7, end: start + 351 });
      expect(flow.leg(CLIENT).flags & LEG.fin).toBe(LEG.fin);
    });

    test('keepalive: a byte from before is relayed and counts nothing', () => {
      const flow = bench().flow();
      const seq = flow.legs[CLIENT].end - 1;
      for (const payload of ['', 'x']) {
        const sent = flow.from(CLIENT, { seq, payload });
        expect(parse(send(sent).packet)).toEqual(parsed(flow.relayed(CLIENT, sent)));
      }
      expect(flow.leg(CLIENT).bytes).toBe(0);
    });

    test('idle time is that of the side that was heard', () => {
      const flow = bench().flow();
      send(flow.from(SERVER));
      expect(flow.leg(SERVER).active).toBeGreaterThan(0);
      expect(flow.leg(CLIENT).active).toBe(0);
    });
  });
}
