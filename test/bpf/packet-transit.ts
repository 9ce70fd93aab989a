/** Splice stage, incoming: segments of a flow whose local sockets still own bytes, before and behind the cuts. */
import { describe, expect, test } from 'vitest';
import { PACKET_WAY } from '../../src/abi.gen.js';
import { ACTION, CLIENT, SERVER, parsed } from './packet-bench.js';
import { DIRECTIONS, EMPTY, MARK, otherSide, type TransitBed } from './packet-pair.js';
import { LEG } from './packet-slot.js';
import { FLAG, build, parse, type Segment, type TcpOption } from './segment.js';

export function transit(bed: () => TransitBed): void {
  describe('before the cut', () => {
    test.each(DIRECTIONS)('%s: the first segment proves its leg and goes to its socket untouched', async (_, side) => {
      const { flow } = await bed().pair();
      bed().install(flow);
      const sent = flow.from(side);
      const { result, packet, counts, mark } = bed().bench.relay(sent);
      expect([result, mark, counts]).toEqual([ACTION.pass, 0, { 'local-slow': 1, 'wait-proof': 1 }]);
      expect(packet).toEqual(build(sent));
      expect([bed().ways(flow), flow.leg(side).flags & LEG.seen]).toEqual(['slow/slow', LEG.seen]);
    });

    test.each(DIRECTIONS)('%s: cut at the very next byte, clean, and relayed from there', async (_, side) => {
      const { flow } = await bed().seen();
      const sent = flow.from(side);
      const { result, counts } = bed().bench.relay(sent);
      expect([result, counts]).toEqual([ACTION.redirect, { cut: 1, 'relayed-transit': 1 }]);
      expect(flow.leg(side)).toMatchObject({ way: PACKET_WAY.fast, cut: sent.seq, end: sent.seq + 5, segments: 1 });
      expect(flow.leg(otherSide(side)).way).toBe(PACKET_WAY.slow);
    });

    test('not at a byte that is not the next, nor at a reset or at urgent data', async () => {
      const { flow } = await bed().seen();
      for (const changes of [
        { seq: 1001 },
        { seq: 999 },
        { flags: FLAG.ack | FLAG.urg, urgent: 1 },
        { flags: FLAG.rst },
      ]) {
        const { result, counts } = bed().bench.relay(flow.from(CLIENT, changes));
        expect([result, counts]).toEqual([ACTION.pass, { 'local-slow': 1, 'wait-next': 1 }]);
      }
      expect(bed().ways(flow)).toBe('slow/slow');
    });

    test('bytes that the socket did not take, and that come again behind the cut, are counted once', async () => {
      const { flow } = await bed().seen();
      bed().bench.relay(flow.from(CLIENT, { seq: 1_100 }));
      expect(bed().bench.relay(flow.from(CLIENT, { payload: 'x'.repeat(100) })).counts).toMatchObject({ cut: 1 });
      bed().bench.relay(flow.from(CLIENT, { seq: 1_100, payload: 'x'.repeat(50) }));
      expect(flow.leg(CLIENT)).toMatchObject({ end: 1_150, bytes: 150 });
    });

    test('S7: not while out-of-order bytes are queued', async () => {
      const { flow, client } = await bed().seen();
      await client.arrives(flow.from(CLIENT, { seq: 2_000 }));
      const { counts } = bed().bench.relay(flow.from(CLIENT));
      expect(counts).toEqual({ 'local-slow': 1, 'wait-hole': 1 });
    });

    test('S7: not while a process works on the socket: what arrives then waits in its backlog', async () => {
      const { flow, client } = await bed().seen();
      await client.queue(10);
      await client.whileLocked(() => {
        const { counts } = bed().bench.relay(flow.from(CLIENT, { seq: 1_010 }));
        expect(counts).toEqual({ 'local-slow': 1, 'wait-busy': 1 });
        expect(bed().advance(flow).answer).toBe('not-yet');
      });
      expect(bed().bench.relay(flow.from(CLIENT, { seq: 1_010 })).counts).toEqual({ cut: 1, 'relayed-transit': 1 });
    });

    test('S4: not while the other peer’s window is smaller than what was promised', async () => {
      const { flow, client } = await bed().seen({ server: { sendWindow: 20_000 } });
      // Something unread: the positions differ, so that only the windows can say yes.
      await client.queue(100);
      const next = flow.from(CLIENT, { seq: 1_100 });
      expect(bed().bench.relay(next).counts).toEqual({ 'local-slow': 1, 'wait-room': 1 });
      const roomy = await bed().seen({ server: { sendWindow: 70_000 } });
      await roomy.client.queue(100);
      expect(bed().bench.relay(roomy.flow.from(CLIENT, { seq: 1_100 })).counts).toEqual({
        cut: 1,
        'relayed-transit': 1,
      });
    });

    test('S4: where a peer was promised no more than the other one has, it fits', async () => {
      const window = 300;
      for (const narrow of [false, true]) {
        const { flow, client } = await bed().pair({
          client: { receiveWindow: 20_000 },
          server: { sendWindow: window << 7 },
        });
        bed().install(flow);
        bed().bench.relay(flow.from(CLIENT, { ...EMPTY, seq: 999 }));
        bed().bench.relay(flow.from(SERVER, { ...EMPTY, seq: 499_999, window }));
        if (narrow) flow.raise(CLIENT, LEG.narrow);
        // The socket is read, and would promise more than it did at the install.
        for (let i = 0; i < 3; i++) {
          await client.queue(3_000);
          await client.read(3_000);
        }
        const { counts } = bed().bench.relay(flow.from(CLIENT, { seq: 10_000 }));
        expect(counts).toEqual(narrow ? { cut: 1, 'relayed-transit': 1 } : { 'local-slow': 1, 'wait-room': 1 });
      }
    });

    test('clean, but the segment itself is too long for the other peer’s window', async () => {
      const { flow } = await bed().seen({ server: { sendWindow: 4 } });
      expect(bed().bench.relay(flow.from(CLIENT)).counts).toEqual({ 'local-slow': 1, 'wait-room': 1 });
    });

    test('S14: not with a segment that is too big for the other leg', async () => {
      const { flow } = await bed().seen({ server: { mss: 536 } });
      const { limit } = flow.leg(SERVER);
      expect(limit).toBe(536);
      const big = flow.from(CLIENT, { payload: 'x'.repeat(limit - 12 + 1) });
      expect(bed().bench.relay(big).counts).toEqual({ 'local-slow': 1, 'wait-size': 1 });
      const fits = flow.from(CLIENT, { payload: 'x'.repeat(limit - 12) });
      expect(bed().bench.relay(fits).counts).toEqual({ cut: 1, 'relayed-transit': 1 });
    });

    test('what the socket itself asked for is believed, however far the other peer is behind', async () => {
      const { flow, client } = await bed().seen({ server: { sendWindow: 30_000 } });
      let seq = 1_000;
      for (; seq < 2_500_000; seq += 60_000) {
        await client.queue(60_000);
        await client.read(60_000);
      }
      // The client sends so far because the socket has told it that it may.
      bed().bench.guard(flow.to(CLIENT, { ...EMPTY, seq: 90_000, ack: seq, window: 512 }));
      const next = flow.from(CLIENT, { seq });
      expect(bed().bench.relay(next).counts).toEqual({ 'local-slow': 1, 'wait-room': 1 });
      expect(flow.leg(CLIENT)).toMatchObject({ end: seq + 5, bytes: seq - 1_000 + 5 });
      // And so is the other peer, when it acknowledges all of it.
      bed().bench.relay(flow.from(SERVER, { ...EMPTY, ack: seq + 6_000 + 5 }));
      expect(flow.leg(SERVER).ack).toBe(seq + 6_000 + 5);
    });

    test('a damaged segment is dropped: its header would be believed', async () => {
      const { flow } = await bed().seen();
      for (const length of [0, 1, 127, 128, 129, 1400]) {
        const damaged = build(flow.from(CLIENT, { payload: 'x'.repeat(length) }));
        damaged[14 + 20 + 9]! ^= 4;
        const { result, counts } = bed().bench.relay(damaged);
        expect([result, counts]).toEqual([ACTION.drop, { 'drop-checksum': 1 }]);
      }
    });

    test('a SYN, and fragments, are for the socket', async () => {
      const { flow } = await bed().seen();
      const syn = flow.from(CLIENT, { flags: FLAG.syn, payload: '' });
      expect(bed().bench.relay(syn)).toMatchObject({ result: ACTION.pass, counts: { 'local-syn': 1 } });
      const fragment = flow.from(CLIENT, { fragment: 0x2000 });
      expect(bed().bench.relay(fragment)).toMatchObject({ result: ACTION.pass, counts: { 'local-fragment': 1 } });
      expect(bed().ways(flow)).toBe('slow/slow');
    });
  });

  describe('unusual IP headers', () => {
    const router = { number: 60, length: 0, bytes: [1, 4, 0, 0, 0, 0] };
    const fragment = { number: 44, length: 0, bytes: [0, 1, 0, 0, 0, 9] };

    test('IPv4 options are taken off: they are nothing to wait for, and nothing to a socket', async () => {
      const { flow } = await bed().seen();
      const { result, counts } = bed().bench.relay(flow.from(CLIENT, { ipOptions: [148, 4, 0, 0] }));
      expect([result, counts]).toEqual([ACTION.redirect, { cut: 1, 'options-removed': 1, 'relayed-transit': 1 }]);
      const old = bed().bench.relay(flow.from(CLIENT, { seq: 900, ipOptions: [148, 4, 0, 0] }));
      expect([old.result, old.counts]).toEqual([ACTION.pass, { 'options-removed': 1, 'local-old': 1 }]);
      expect(parse(old.packet)).toEqual(parsed(flow.from(CLIENT, { seq: 900 })));
    });

    test('what cannot be relayed is for the socket before the cut, and for nobody behind it', async () => {
      for (const family of [4, 6] as const) {
        const { flow } = await bed().seen({ family });
        const oddities: Partial<Segment>[] =
          family === 4 ? [{ fragment: 0x2000 }] : [{ extensions: [router] }, { extensions: [fragment] }];
        for (const oddity of oddities) expect(bed().bench.relay(flow.from(CLIENT, oddity)).result).toBe(ACTION.pass);
        expect(bed().ways(flow)).toBe('slow/slow');
        expect(bed().bench.relay(flow.from(CLIENT)).counts).toMatchObject({ cut: 1 });
        for (const oddity of oddities) {
          // The socket would keep what follows relayed bytes for ever, and say that it has it.
          const { result, counts } = bed().bench.relay(flow.from(CLIENT, { seq: 1_005, ...oddity }));
          expect(result).toBe(ACTION.drop);
          expect((counts['drop-fragment'] ?? 0) + (counts['drop-extension'] ?? 0)).toBe(1);
        }
        if (family === 4) continue;
        const old = bed().bench.relay(flow.from(CLIENT, { seq: 900, extensions: [router] }));
        expect([old.result, old.counts]).toEqual([ACTION.pass, { 'local-old': 1 }]);
      }
    });
  });

  describe('one way fast, the other slow', () => {
    test('S5: relayed payload carries what the other socket says: ack, window, TSecr, and no SACK', async () => {
      const { flow, server } = await bed().seen({ server: { receiveWindow: 30_000, ownScale: 5 } });
      // Acknowledged by the socket, not yet pumped: the client knows nothing of these bytes.
      await server.queue(40);
      const sack: TcpOption = { kind: 'sack', blocks: [[90_500, 91_000]] };
      const sent = flow.from(CLIENT, {
        options: [{ kind: 'timestamps', value: 111, echo: 222 }, sack, { kind: 'nop' }, { kind: 'nop' }],
      });
      const before = Math.floor(Number(process.hrtime.bigint() / 1_000_000n));
      const out = parse(bed().bench.relay(sent).packet);
      const after = Math.floor(Number(process.hrtime.bigint() / 1_000_000n));
      const stamp = out.options[0]!;
      if (stamp.kind !== 'timestamps') throw new Error('no timestamps');
      // S8: the clock of the socket that still sends there.
      const clock = (stamp.value - flow.leg(SERVER).clockOffset) >>> 0;
      expect(clock).toBeGreaterThanOrEqual(before >>> 0);
      expect(clock).toBeLessThanOrEqual(after >>> 0);
      expect(stamp.echo).toBe(0);
      const expected = parsed(flow.relayed(CLIENT, sent, { ack: 500_040, window: 29_960 >> 5, options: out.options }));
      expect(out).toEqual(expected);
      expect(out.options.slice(1, 13)).toEqual(Array<TcpOption>(12).fill({ kind: 'nop' }));
    });

    test('a bare acknowledgement of what only the socket sent is for the socket, and acceptable to it', async () => {
      const { flow, client } = await bed().cut(CLIENT);
      await client.write(100);
      const sent = flow.from(CLIENT, { ...EMPTY, seq: 1_005, ack: 90_060 });
      const { result, packet, counts } = bed().bench.relay(sent);
      expect([result, counts]).toEqual([ACTION.pass, { 'local-ack': 1 }]);
      // At the place where the socket stands: it has not seen the relayed bytes.
      expect(parse(packet)).toMatchObject({ seq: 1_000, ack: 90_060, tcpError: 0, payload: '' });
    });

    test('S11: a segment that also acknowledges the socket’s own bytes comes to it as a bare copy', async () => {
      const { flow, client } = await bed().cut(CLIENT);
      await client.write(100);
      const sent = flow.from(CLIENT, { seq: 1_005, ack: 90_100, flags: FLAG.ack | FLAG.psh });
      expect(bed().bench.relay(sent)).toMatchObject({ result: ACTION.redirect, counts: { 'relayed-transit': 1 } });
      const { result, packet, counts, mark } = bed().bench.relay(sent, 'eth', { mark: MARK.bare });
      expect([result, mark, counts]).toEqual([ACTION.pass, 0, { 'local-copy': 1 }]);
      expect(parse(packet)).toMatchObject({
        seq: 1_000,
        ack: 90_100,
        flags: FLAG.ack,
        payload: '',
        tcpError: 0,
        ipError: 0,
      });
      expect(packet.length).toBe(14 + 20 + 32);
    });

    test('S8: a copy that comes late is not older than what the socket has seen', async () => {
      const { flow, client } = await bed().cut(CLIENT);
      const clock = (value: number): TcpOption[] => [{ kind: 'timestamps', value, echo: 0 }];
      await client.arrives(flow.from(CLIENT, { ...EMPTY, seq: 1_000, options: clock(5_000_000) }));
      await client.write(100);
      for (const [sent, seen] of [
        [4_999_999, 5_000_000],
        [5_000_001, 5_000_001],
      ] as const) {
        const late = flow.from(CLIENT, { seq: 1_005, ack: 90_100, options: clock(sent) });
        const out = parse(bed().bench.relay(late, 'eth', { mark: MARK.bare }).packet);
        expect([out.options[0], out.tcpError]).toEqual([{ kind: 'timestamps', value: seen, echo: 0 }, 0]);
      }
    });

    test('both ways fast: an acknowledgement of bytes before the cut says the cut, and keeps the edge', async () => {
      const { flow } = await bed().cut(SERVER);
      bed().bench.relay(flow.from(CLIENT));
      expect(bed().ways(flow)).toBe('fast/fast');
      const sent = flow.from(CLIENT, { seq: 1_005, ack: 89_990, window: 500 });
      const { packet, counts } = bed().bench.relay(sent);
      expect(counts).toEqual({ 'relayed-transit': 1 });
      expect(parse(packet)).toMatchObject({
        seq: 7_005,
        ack: 500_000,
        window: (500 * 128 - 10) >> 7,
        payload: 'hello',
      });
    });

    test('a copy that cannot be made is counted; the segment itself is relayed', async () => {
      const { flow, client } = await bed().cut(CLIENT);
      await client.write(100);
      const sent = flow.from(CLIENT, { seq: 1_005, ack: 90_100 });
      const { result, counts } = bed().bench.relay(sent, 'eth', { ifindex: bed().host.deadIfindex });
      expect([result, counts]).toEqual([ACTION.redirect, { 'relayed-transit': 1, 'copy-failed': 1 }]);
    });

    test('an acknowledgement beyond what the socket sent is held back to that', async () => {
      const { flow, client } = await bed().cut(SERVER);
      await client.write(10);
      bed().bench.relay(flow.from(SERVER, { seq: 500_005, payload: 'x'.repeat(1000) }));
      const sent = flow.from(CLIENT, { ack: 90_900, payload: 'from the slow side' });
      const { packet } = bed().bench.relay(sent, 'eth', { mark: MARK.whole });
      expect(parse(packet)).toMatchObject({ seq: 1_000, ack: 90_010, payload: 'from the slow side', tcpError: 0 });
    });

    test('S5: data for the slow socket, its acknowledgement, bare, for the other leg', async () => {
      const { flow } = await bed().cut(SERVER, { client: { receiveWindow: 65_536 }, server: { sendWindow: 3 } });
      bed().bench.relay(flow.from(SERVER, { seq: 500_005, payload: 'x'.repeat(1000) }));
      // Where its own bytes stand is no matter for the other leg: the acknowledgement is said at that socket's place.
      const sent = flow.from(CLIENT, { seq: 1_500, ack: 90_905, payload: 'from the slow side' });
      const { result, packet, counts } = bed().bench.relay(sent);
      expect([result, counts]).toMatchObject([ACTION.redirect, { 'relayed-ack': 1, 'relayed-transit': 1 }]);
      const out = parse(packet);
      expect(out).toMatchObject({ seq: 7_000, ack: 500_905, payload: '', flags: FLAG.ack, tcpError: 0, ipError: 0 });
      expect(packet.length).toBe(14 + 20 + 32);
    });

    test('bytes from before the cut that come again are for the socket', async () => {
      const { flow } = await bed().cut(CLIENT);
      for (const [seq, payload] of [
        [990, 'old'],
        [995, 'straddles'],
      ] as const) {
        const { result, counts } = bed().bench.relay(flow.from(CLIENT, { seq, payload }));
        expect([result, counts]).toEqual([ACTION.pass, { 'local-old': 1 }]);
      }
    });

    test('S5: a keepalive or a probe of a fast peer is answered by the other end: it is relayed', async () => {
      const { flow } = await bed().cut(CLIENT);
      const probe = flow.from(CLIENT, { ...EMPTY, seq: 1_004 });
      expect(bed().bench.relay(probe)).toMatchObject({ result: ACTION.redirect, counts: { 'relayed-transit': 1 } });
    });

    test('S3: the cut follows the stream, so that 3 GiB later nothing looks old', async () => {
      const { flow, server } = await bed().cut(CLIENT, { server: { peerScale: 14 } });
      await server.queue(1);
      let seq = 1_005;
      for (let i = 0; i < 7; i++) {
        const ack = (seq + flow.leg(CLIENT).seqDelta) >>> 0;
        bed().bench.relay(flow.from(SERVER, { ...EMPTY, ack, window: 65_535 }));
        const next = flow.from(CLIENT, { seq: (seq + 500_000_000) >>> 0 });
        expect(bed().bench.relay(next).counts).toMatchObject({ 'relayed-transit': 1 });
        seq = (next.seq + 5) >>> 0;
        // What its socket stands at is old, and from half of the numbers on looks new.
        expect(bed().advance(flow).answer).toBe('not-yet');
      }
      expect(flow.leg(CLIENT).end).toBe(seq);
      expect((seq - flow.leg(CLIENT).cut) >>> 0).toBeLessThanOrEqual((1 << 30) + 500_000_005);
      expect(bed().bench.relay(flow.from(CLIENT, { seq })).counts).toMatchObject({ 'relayed-transit': 1 });
    });

    test('a number far ahead, which may be forged, does not move the cut', async () => {
      const { flow } = await bed().cut(CLIENT);
      for (const far of [2 ** 30 + 1, 2 ** 30 + 2 ** 29, 2 ** 31 - 1000]) {
        bed().bench.relay(flow.from(CLIENT, { seq: 1_005 + far }));
        expect(flow.leg(CLIENT).cut).toBe(1_000);
      }
      expect(bed().bench.relay(flow.from(CLIENT, { seq: 1_005 })).counts).toMatchObject({ 'relayed-transit': 1 });
    });
  });
}
