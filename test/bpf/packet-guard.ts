/** Splice and teardown stages, outgoing: what local sockets may still say, and what their peers get of it. */
import { describe, expect, test } from 'vitest';
import { ACTION, CLIENT, SERVER, hosts, parsed, type Device, type Family, type PacketBench } from './packet-bench.js';
import { DIRECTIONS, EMPTY, MARK, otherSide, type TransitBed } from './packet-pair.js';
import { LEG } from './packet-slot.js';
import { FLAG, build, parse } from './segment.js';

const devices: [Device, Family][] = [
  ['eth', 4],
  ['eth', 6],
  ['raw', 4],
  ['raw', 6],
];

export function guardReleased(bench: () => PacketBench): void {
  describe('the guard, after the release', () => {
    test.each(devices)('%s, IPv%d: no local socket speaks, relayed segments and strangers pass', (device, family) => {
      const flow = bench().flow({ family });
      for (const side of [CLIENT, SERVER] as const) {
        for (const flags of [FLAG.ack, FLAG.rst, FLAG.rst | FLAG.ack, FLAG.fin | FLAG.ack]) {
          const { result, counts } = bench().guard(flow.to(side, { flags }), device);
          expect([result, counts]).toEqual([ACTION.drop, { 'guard-silenced': 1 }]);
        }
        const relayed = bench().guard(flow.to(side), device, { mark: MARK.relay });
        expect([relayed.result, relayed.counts]).toEqual([ACTION.pass, { 'guard-relayed': 1 }]);
        const stranger = bench().guard({ ...flow.to(side), destination: hosts[family].stranger }, device);
        expect([stranger.result, stranger.counts]).toEqual([ACTION.pass, { 'guard-not-ours': 1 }]);
      }
    });
  });
}

export function guardReuse(bench: () => PacketBench): void {
  test('S9: a SYN of our own on an ended flow takes its place; on a living one it does not', () => {
    const syn = { flags: FLAG.syn, payload: '', ack: 0, options: [] };
    const living = bench().flow();
    const silenced = bench().guard(living.to(SERVER, syn));
    expect([silenced.result, silenced.counts, living.known]).toEqual([ACTION.drop, { 'guard-silenced': 1 }, true]);
    living.remove();
    const ended = bench().flow({ slot: { phase: 3 } });
    const answer = bench().guard(ended.to(SERVER, { ...syn, flags: FLAG.syn | FLAG.ack }));
    expect([answer.result, ended.known]).toEqual([ACTION.drop, true]);
    const { result, packet } = bench().guard(ended.to(SERVER, syn));
    expect([result, ended.known]).toEqual([ACTION.pass, false]);
    expect(packet).toEqual(build(ended.to(SERVER, syn)));
  });
}

export function guardTransit(bed: () => TransitBed): void {
  describe('the guard', () => {
    test('S1: what a socket acknowledges is raised to what was relayed to its peer', async () => {
      // The server's stream is fast, and the server has acknowledged 900 relayed bytes of the client's.
      const { flow } = await bed().cut(CLIENT);
      bed().bench.relay(flow.from(CLIENT, { seq: 1_005, payload: 'x'.repeat(895) }));
      bed().bench.relay(flow.from(SERVER, { ...EMPTY, ack: 7_900, window: 321 }));
      const said = flow.to(CLIENT, { seq: 90_000, ack: 1_000, window: 77, payload: 'from the socket' });
      const { result, packet, counts } = bed().bench.guard(said);
      expect([result, counts]).toEqual([ACTION.pass, { 'guard-local': 1, 'guard-ack-raised': 1 }]);
      expect(parse(packet)).toEqual(parsed({ ...said, ack: 1_900, window: 321 }));
      // What is up to date stays.
      expect(bed().bench.guard({ ...said, ack: 1_900 }).counts).toEqual({ 'guard-local': 1 });
    });

    test('S1: also what went there alone, because its payload was for the socket', async () => {
      const { flow } = await bed().cut(SERVER, { server: { sendWindow: 3 } });
      bed().bench.relay(flow.from(SERVER, { seq: 500_005, payload: 'x'.repeat(1000) }));
      expect(bed().bench.relay(flow.from(CLIENT, { ack: 90_905 })).counts).toMatchObject({ 'relayed-ack': 1 });
      const said = flow.to(SERVER, { seq: 7_000, ack: 500_000 });
      const { packet, counts } = bed().bench.guard(said);
      expect(counts).toEqual({ 'guard-local': 1, 'guard-ack-raised': 1 });
      expect(parse(packet)).toMatchObject({ seq: 7_000, ack: 500_905, tcpError: 0 });
    });

    test('S2: a bare acknowledgement is raised to the end of what was relayed to its peer', async () => {
      const { flow } = await bed().cut(SERVER);
      bed().bench.relay(flow.from(SERVER, { seq: 500_005, payload: 'x'.repeat(1000) }));
      const said = flow.to(CLIENT, { ...EMPTY, seq: 90_000, ack: 1_000 });
      const { result, packet, counts } = bed().bench.guard(said);
      expect([result, counts]).toEqual([ACTION.pass, { 'guard-local': 1, 'guard-seq-raised': 1 }]);
      expect(parse(packet)).toEqual(parsed({ ...said, seq: 91_005 }));
      // Data stands where it stands.
      const data = flow.to(CLIENT, { seq: 90_000, ack: 1_000 });
      expect(bed().bench.guard(data).packet).toEqual(build(data));
    });

    test('S4: a socket promises no more than the other peer does, when that is asked for', async () => {
      const settings = { client: { receiveWindow: 20_000 }, server: { sendWindow: 30_000 } };
      const { flow } = await bed().seen(settings);
      const said = flow.to(CLIENT, { ...EMPTY, seq: 90_000, ack: 6_000, window: 512 });
      flow.raise(CLIENT, LEG.narrow);
      const windowOf = () => {
        const { result, packet, counts } = bed().bench.guard(said);
        expect([result, counts]).toEqual([ACTION.pass, { 'guard-local': 1 }]);
        const { window, ...rest } = parse(packet);
        expect(rest).toMatchObject({ ack: 6_000, seq: 90_000, tcpError: 0 });
        return window;
      };
      // Up to 1000 + 64000, which the server has promised with the segment by which its leg was seen.
      expect(windowOf()).toBe((65_000 - 6_000) >> 7);
      bed().bench.relay(flow.from(SERVER, { ...EMPTY, seq: 499_999, ack: 7_000, window: 504 }));
      expect(windowOf()).toBe((1_000 + (504 << 7) - 6_000) >> 7);
      // What it has promised once it does not take back.
      bed().bench.relay(flow.from(SERVER, { ...EMPTY, seq: 499_999, ack: 7_000, window: 10 }));
      expect(windowOf()).toBe((1_000 + (504 << 7) - 6_000) >> 7);
    });

    test('S6: a FIN or a reset of a dying socket does not cut a relayed stream', async () => {
      const { flow } = await bed().cut(SERVER);
      bed().bench.relay(flow.from(SERVER, { seq: 500_005, payload: 'x'.repeat(1000) }));
      const fin = flow.to(CLIENT, { ...EMPTY, seq: 90_000, flags: FLAG.fin | FLAG.ack });
      expect(bed().bench.guard(fin)).toMatchObject({ result: ACTION.drop, counts: { 'guard-fin': 1 } });
      // Behind bytes that the engine itself pumped it may say so.
      const pumped = flow.to(CLIENT, { ...EMPTY, seq: 89_999, flags: FLAG.fin | FLAG.ack });
      expect(bed().bench.guard(pumped)).toMatchObject({ result: ACTION.pass });
      // In the direction that is slow a FIN is the engine's own.
      const slow = flow.to(SERVER, { ...EMPTY, seq: 7_000, ack: 500_000, flags: FLAG.fin | FLAG.ack });
      expect(bed().bench.guard(slow)).toMatchObject({ result: ACTION.pass });
    });

    test.each(DIRECTIONS)('%s: a FIN on its way to its socket at the cut ends the other stream', async (_, side) => {
      const { flow, client, server } = await bed().seen();
      const [own, other] = side === CLIENT ? [client, server] : [server, client];
      const [end, out] = side === CLIENT ? [1_001, 7_001] : [500_001, 90_001];
      await own.queue(1);
      await own.whileLocked(() => {
        const last = flow.from(side, { ...EMPTY, seq: end, flags: FLAG.fin | FLAG.ack });
        expect(bed().bench.relay(last).counts).toMatchObject({ 'wait-busy': 1, 'local-slow': 1 });
      });
      await other.write(1);
      // Before the socket has it, the direction is cut at rest.
      expect(bed().advance(flow).answer).toBe('not-yet');
      expect(flow.leg(side)).toMatchObject({ way: 1, cut: end });
      const fin = (seq: number) => flow.to(otherSide(side), { ...EMPTY, seq, flags: FLAG.fin | FLAG.ack });
      expect(bed().bench.guard(fin(out))).toMatchObject({ result: ACTION.pass, counts: { 'guard-local': 1 } });
      expect(bed().bench.guard(fin(out + 1))).toMatchObject({ result: ACTION.drop, counts: { 'guard-fin': 1 } });
    });

    test('after the release no socket speaks', async () => {
      const { flow } = await bed().seen();
      expect(bed().advance(flow).answer).toBe('done');
      for (const flags of [FLAG.ack, FLAG.rst, FLAG.fin | FLAG.ack]) {
        const { result, counts } = bed().bench.guard(flow.to(CLIENT, { ...EMPTY, flags }));
        expect([result, counts]).toEqual([ACTION.drop, { 'guard-silenced': 1 }]);
      }
    });

    test('what was relayed passes, and so does what is not ours', async () => {
      const { flow } = await bed().seen();
      const relayed = bed().bench.guard(flow.to(CLIENT), 'eth', { mark: MARK.relay });
      expect(relayed).toMatchObject({ result: ACTION.pass, counts: { 'guard-relayed': 1 }, mark: MARK.relay });
      const stranger = { ...flow.to(CLIENT), destination: hosts[4].stranger };
      expect(bed().bench.guard(stranger)).toMatchObject({ result: ACTION.pass, counts: { 'guard-not-ours': 1 } });
    });
  });
}
