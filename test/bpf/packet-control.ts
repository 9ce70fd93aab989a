/** Splice stage: what `control` answers, what it writes into a flow, and how a transit ends. */
import { describe, expect, test } from 'vitest';
import { SIDE_STATE, type PacketCounter } from '../../src/abi.gen.js';
import { ACTION, CLIENT, PacketBench, SERVER, hosts, type Flow } from './packet-bench.js';
import {
  DIRECTIONS,
  EMPTY,
  MARK,
  OPERATION,
  otherSide,
  type Pair,
  type PairSettings,
  type TransitBed,
} from './packet-pair.js';
import { LEG } from './packet-slot.js';
import { FLAG } from './segment.js';

export function control(bed: () => TransitBed): void {
  describe.each([4, 6] as const)('control, IPv%d', (family) => {
    test('installs a flow from its sockets: what is unread, in hand and unsent is between the positions', async () => {
      const { flow, client, server } = await bed().pair({ family });
      await client.queue(50);
      await client.read(20);
      await server.queue(9);
      await server.write(300);
      const { answer, counts, edges } = bed().install(flow, [7, 11]);
      expect([answer, counts]).toEqual(['done', { 'control-done': 1 }]);
      expect(edges.sort()).toEqual(['CLOSE CONNECT', 'CLOSE CONNECT', 'ESTABLISHED SPLICE', 'ESTABLISHED SPLICE']);
      expect([flow.phase, flow.states, bed().ways(flow), flow.known]).toEqual([
        'transit',
        'PRE_SPLICED/PRE_SPLICED',
        'slow/slow',
        true,
      ]);
      const flags = LEG.timestamps | LEG.sack;
      expect(flow.leg(CLIENT)).toMatchObject({
        seqDelta: 7_000 + 300 + 7 - 1_020,
        end: 1_050,
        ack: 90_000,
        bytes: 30,
        ifindex: bed().host.ifindex,
        peerScale: 7,
        ownScale: 7,
        segments: 0,
      });
      expect(flow.leg(SERVER)).toMatchObject({ seqDelta: (90_000 + 11 - 500_000) >>> 0, end: 500_009, bytes: 9 });
      for (const side of [CLIENT, SERVER] as const) {
        expect(flow.leg(side).flags & (flags | LEG.seen | LEG.fin | LEG.edge)).toBe(flags);
      }
    });

    test('knows what was negotiated on each leg', async () => {
      const { flow } = await bed().pair({
        family,
        client: { sack: false, peerScale: 2, ownScale: 9, timestamps: false },
        server: { peerScale: 14, ownScale: 0, timestamps: false },
      });
      expect(bed().install(flow).answer).toBe('done');
      expect(flow.leg(CLIENT)).toMatchObject({ peerScale: 2, ownScale: 9 });
      expect(flow.leg(SERVER)).toMatchObject({ peerScale: 14, ownScale: 0 });
      expect([flow.leg(CLIENT).flags & 3, flow.leg(SERVER).flags & 3]).toEqual([0, LEG.sack]);
    });

    test('releases a flow that owns nothing, at rest, and it is a flow without sockets', async () => {
      const { flow, client, server } = await bed().seen({ family });
      const { answer, edges } = bed().advance(flow);
      expect([answer, edges]).toEqual(['done', ['PRE_SPLICED RELEASE', 'PRE_SPLICED RELEASE']]);
      expect([flow.phase, flow.states, bed().ways(flow)]).toEqual(['released', 'SPLICED/SPLICED', 'fast/fast']);
      expect(bed().advance(flow)).toMatchObject({ answer: 'done', edges: [] });
      await client.close();
      await server.close();
      expect(bed().bench.relay(flow.from(CLIENT))).toMatchObject({ result: ACTION.redirect, counts: { relayed: 1 } });
      // A copy that comes late finds no socket, and the host would answer it (S10).
      expect(bed().bench.relay(flow.from(CLIENT), 'eth', { mark: MARK.bare })).toMatchObject({
        result: ACTION.drop,
        counts: { 'drop-late-copy': 1 },
      });
    });
  });

  describe('control refuses', () => {
    const refused = (flow: Flow): [string, Partial<Record<PacketCounter, number>>, boolean, string] => {
      const { answer, counts } = bed().install(flow);
      return [answer, counts, flow.known, flow.phase];
    };
    const no = (answer: string) => [answer, { 'control-refused': 1 }, false, 'free'];

    test('a client or a server that is not there', async () => {
      const first = await bed().pair();
      await first.client.close();
      expect(refused(first.flow)).toEqual(no('no-client'));
      const second = await bed().pair();
      await second.server.close();
      expect(refused(second.flow)).toEqual(no('no-server'));
    });

    test('timestamps on one leg only', async () => {
      for (const one of ['client', 'server']) {
        const { flow } = await bed().pair({ [one]: { timestamps: false } });
        expect(refused(flow)).toEqual(no('timestamps'));
      }
    });

    test('a leg that stays on this host, or goes through a tunnel', async () => {
      const local = await bed().pair({ from: { remote: '127.0.0.1', local: '127.0.0.1' } });
      expect(refused(local.flow)).toEqual(no('local'));
      const tunneled = await bed().pair({ family: 6, from: { remote: hosts[6].behindTunnel } });
      expect(refused(tunneled.flow)).toEqual(no('tunneled'));
    });

    test('segments that are signed', async () => {
      const { flow, server } = await bed().pair();
      await server.sign();
      expect(refused(flow)).toEqual(no('authenticated'));
    });

    test('a peer that takes smaller segments than its family can be told of', async () => {
      const { flow } = await bed().pair({ server: { mss: 88 } });
      expect(refused(flow)).toEqual(no('small-segments'));
    });

    test('addresses and ports that another flow has', async () => {
      const { flow } = await bed().pair();
      expect(bed().install(flow).answer).toBe('done');
      const again = bed().bench.flow({ keys: false, slot: { phase: 0 }, client: flow.legs[0], server: flow.legs[1] });
      const { answer } = bed().install(again);
      expect([answer, again.phase, flow.phase, flow.known]).toEqual(['key-taken', 'free', 'transit', true]);
      // Only one of the two keys is taken: nothing of the other may stay.
      const half = await bed().pair();
      bed().bench.object.delete('legs', half.flow.keyOf(CLIENT));
      const taken = bed().bench.flow({ keys: true, slot: { phase: 2 }, server: half.flow.legs[SERVER] });
      expect(bed().install(half.flow).answer).toBe('key-taken');
      expect(bed().bench.object.lookup('legs', half.flow.keyOf(CLIENT))).toBeUndefined();
      expect(taken.known).toBe(true);
    });

    test('a flow for which the map has no room, and leaves nothing of it there', async () => {
      const tight = new PacketBench({ flows: 8, legs: 3, events: 4096 });
      try {
        tight.place = bed().bench.place;
        const room = tight.flow({ keys: true, client: { remotePort: 39_000 }, server: { localPort: 19_000 } });
        const { flow } = await bed().pair();
        const full = tight.flow({ keys: false, slot: { phase: 0 }, client: flow.legs[0], server: flow.legs[1] });
        expect(tight.control(OPERATION.install, full.index).answer).toBe('map-full');
        bed().bench.seenAnswers.add('map-full');
        expect([full.known, full.phase, room.known]).toEqual([false, 'free', true]);
      } finally {
        tight.close();
      }
    });

    test('what is no request', async () => {
      const { flow } = await bed().pair();
      expect(bed().bench.control(9, flow.index).answer).toBe('bad-request');
      expect(bed().bench.control(OPERATION.install, 1 << 30).answer).toBe('bad-request');
      expect(bed().bench.run('control', Buffer.alloc(20))).toMatchObject({ counts: { 'control-refused': 1 } });
      expect(bed().advance(flow).answer).toBe('bad-request');
    });
  });

  describe('the end of a transit', () => {
    test.each(DIRECTIONS)('%s: a FIN and a reset count also before the release', async (_, side) => {
      const { flow } = await bed().cut(side);
      const fin = flow.from(side, { ...EMPTY, seq: flow.leg(side).end, flags: FLAG.fin | FLAG.ack });
      expect(bed().bench.relay(fin)).toMatchObject({ result: ACTION.redirect, edges: ['PRE_SPLICED FIN'] });
      const reset = flow.from(side, { ...EMPTY, seq: flow.leg(side).end, flags: FLAG.rst | FLAG.ack });
      expect(bed().bench.relay(reset).edges.sort()).toEqual(['FIN_RELAYED RESET', 'PRE_SPLICED RESET']);
      expect([flow.phase, bed().advance(flow).answer]).toEqual(['ended', 'ended']);
    });

    describe('not released, and not cut at rest', () => {
      /** Both legs seen; `before` is what the sockets did before the splice. */
      async function seenAfter(before: (made: Pair) => Promise<void>, settings: PairSettings = {}): Promise<Pair> {
        const made = await bed().pair(settings);
        await before(made);
        bed().install(made.flow);
        for (const side of [CLIENT, SERVER] as const) bed().bench.relay(made.flow.from(side, { ...EMPTY, seq: 1 }));
        return made;
      }
      const asked = (flow: Flow): [string, string, string] => [
        bed().advance(flow).answer,
        bed().ways(flow),
        flow.phase,
      ];

      test('while a byte is unread', async () => {
        const { flow, client } = await bed().seen();
        await client.queue(10);
        expect(bed().advance(flow)).toMatchObject({ answer: 'not-yet', counts: { 'control-not-yet': 1 } });
        expect(bed().ways(flow)).toBe('slow/fast');
      });

      test('while a byte is in the engine’s hands', async () => {
        const { flow } = await bed().pair();
        bed().install(flow, [5, 0]);
        for (const side of [CLIENT, SERVER] as const) bed().bench.relay(flow.from(side, { ...EMPTY, seq: 1 }));
        expect(asked(flow)).toEqual(['not-yet', 'slow/fast', 'transit']);
      });

      test('while a byte is unsent', async () => {
        const { flow } = await seenAfter(({ server }) => server.write(100), { server: { sendWindow: 4 } });
        expect(asked(flow)).toEqual(['not-yet', 'slow/fast', 'transit']);
      });

      test('S11: while a byte is unacknowledged, although both ways are fast', async () => {
        const { flow } = await seenAfter(({ client }) => client.write(10));
        expect(asked(flow)).toEqual(['not-yet', 'fast/fast', 'transit']);
      });

      test('S7: while out-of-order bytes are queued, although that way is fast', async () => {
        const { flow, client } = await bed().cut(CLIENT);
        await client.arrives(flow.from(CLIENT, { seq: 2_000 }));
        expect(asked(flow)).toEqual(['not-yet', 'fast/fast', 'transit']);
      });

      test('while a leg has not been seen', async () => {
        const { flow } = await bed().pair();
        bed().install(flow);
        bed().bench.relay(flow.from(CLIENT, { ...EMPTY, seq: 1 }));
        expect(asked(flow)).toEqual(['not-yet', 'slow/slow', 'transit']);
      });
    });

    test('removed after 2 MSL: nothing is left of it', () => {
      const waiting = { state: SIDE_STATE.TIMEWAIT };
      const flow = bed().bench.flow({ slot: { phase: 3 }, client: waiting, server: waiting });
      const { answer, edges } = bed().remove(flow);
      expect([answer, edges]).toEqual(['done', ['TIMEWAIT EXPIRE', 'TIMEWAIT EXPIRE']]);
      expect([flow.phase, flow.states, flow.known]).toEqual(['free', 'CLOSE/CLOSE', false]);
    });

    test('S9: a removal leaves the keys to a flow that has them by now', () => {
      const old = bed().bench.flow({ slot: { phase: 3 } });
      const next = bed().bench.flow();
      expect(bed().remove(old).answer).toBe('done');
      expect([old.phase, next.phase, next.known]).toEqual(['free', 'released', true]);
      for (const side of [CLIENT, SERVER] as const) {
        expect(bed().bench.relay(next.from(side)).counts).toEqual({ relayed: 1 });
      }
    });

    test('a cancelled flow stays with the pump for good', async () => {
      const { flow } = await bed().seen();
      expect(bed().cancel(flow).answer).toBe('done');
      expect(bed().ways(flow)).toBe('held/held');
      for (const [, side] of DIRECTIONS) {
        expect(bed().bench.relay(flow.from(side))).toMatchObject({ result: ACTION.pass, counts: { 'local-slow': 1 } });
      }
      expect(bed().advance(flow).answer).toBe('not-yet');
    });

    test.each(DIRECTIONS)('not cancelled when a way is fast: %s', async (_, side) => {
      const { flow } = await bed().cut(side);
      expect(bed().cancel(flow).answer).toBe('fast-already');
      expect(bed().ways(flow)).toBe(side === CLIENT ? 'fast/slow' : 'slow/fast');
    });

    test('one socket lost: its engine lives and will end the flow', async () => {
      const { flow, client } = await bed().seen();
      await client.close();
      expect(bed().bench.relay(flow.from(CLIENT))).toMatchObject({
        result: ACTION.pass,
        counts: { 'local-orphan': 1 },
      });
      expect([flow.phase, flow.known]).toEqual(['transit', true]);
    });

    test('both sockets lost before the cuts: the flow is removed, the host resets both ends', async () => {
      const { flow, client, server } = await bed().seen();
      await client.close();
      await server.close();
      expect(bed().bench.relay(flow.from(CLIENT))).toMatchObject({
        result: ACTION.pass,
        counts: { 'local-orphan': 1 },
      });
      expect([flow.phase, flow.known]).toEqual(['ended', false]);
    });

    test.each(DIRECTIONS)('%s: one socket lost, the other still owes bytes: they are brought', async (_, side) => {
      const { flow, client, server } = await bed().seen();
      const [own, other] = side === CLIENT ? [client, server] : [server, client];
      const [end, out, back] = side === CLIENT ? [1_000, 7_000, 500_000] : [500_000, 90_000, 1_000];
      await own.queue(300);
      await own.read(300);
      await other.write(300);
      for (const each of [CLIENT, SERVER] as const) {
        const seq = each === side ? end + 300 : back;
        expect(bed().bench.relay(flow.from(each, { ...EMPTY, seq })).counts).toMatchObject({ cut: 1 });
      }
      expect(bed().ways(flow)).toBe('fast/fast');
      await own.close();
      // Whose socket is gone is relayed, without a word to the host.
      const gone = bed().bench.relay(flow.from(side, { seq: end + 300 }));
      expect([gone.result, gone.counts]).toEqual([ACTION.redirect, { relayed: 1 }]);
      // What the other peer acknowledges reaches the socket that waits for it.
      const heard = bed().bench.relay(flow.from(otherSide(side), { ...EMPTY, seq: back, ack: out + 100 }));
      expect(heard).toMatchObject({ result: ACTION.pass, counts: { 'local-ack': 1 } });
      expect(flow.phase).toBe('transit');
      // It must go on to speak.
      const again = flow.to(otherSide(side), { seq: out + 100, ack: back });
      expect(bed().bench.guard(again)).toMatchObject({ result: ACTION.pass, counts: { 'guard-local': 1 } });
      await other.arrives(flow.from(otherSide(side), { ...EMPTY, seq: back, ack: out + 300 }));
      expect(bed().bench.relay(flow.from(side, { seq: end + 305 })).counts).toEqual({ relayed: 1 });
      expect(flow.phase).toBe('released');
    });

    test('one socket lost, the other owes but the FIN of its stream: it is brought', async () => {
      const { flow, client, server } = await bed().seen();
      await client.arrives(flow.from(CLIENT, { ...EMPTY, flags: FLAG.fin | FLAG.ack }));
      await client.read(0);
      bed().bench.relay(flow.from(CLIENT, { ...EMPTY, flags: FLAG.fin | FLAG.ack }));
      await server.shut();
      for (const [side, seq] of [
        [CLIENT, 1_001],
        [SERVER, 500_000],
      ] as const) {
        expect(bed().bench.relay(flow.from(side, { ...EMPTY, seq })).counts).toMatchObject({ cut: 1 });
      }
      await client.close();
      expect(bed().bench.relay(flow.from(CLIENT, { ...EMPTY, seq: 1_001 })).result).toBe(ACTION.redirect);
      expect(flow.phase).toBe('transit');
    });

    test('the FIN of a process that died is nothing owed', async () => {
      const { flow, client, server } = await bed().cut(CLIENT);
      bed().bench.relay(flow.from(SERVER));
      expect(bed().ways(flow)).toBe('fast/fast');
      await client.close();
      await server.shut();
      expect(bed().bench.relay(flow.from(CLIENT, { seq: 1_005 })).counts).toEqual({ relayed: 1 });
      expect(flow.phase).toBe('released');
    });

    test('both sockets lost behind both cuts: the flow can do without', async () => {
      const { flow, client, server } = await bed().cut(CLIENT);
      bed().bench.relay(flow.from(SERVER));
      expect(bed().ways(flow)).toBe('fast/fast');
      await client.close();
      await server.close();
      const { result, counts, edges } = bed().bench.relay(flow.from(CLIENT, { seq: 1_005 }));
      expect([result, counts, edges]).toEqual([
        ACTION.redirect,
        { relayed: 1 },
        ['PRE_SPLICED RELEASE', 'PRE_SPLICED RELEASE'],
      ]);
      expect([flow.phase, flow.states]).toEqual(['released', 'SPLICED/SPLICED']);
    });
  });
}
