/** A router's duties towards the sender: "too big" said by us, and errors about relayed segments passed on to it. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { PACKET_PHASE, PACKET_WAY } from '../../src/abi.gen.js';
import { buildIcmp, parseIcmp, type IcmpError, type Oddities } from './icmp.js';
import {
  ACTION,
  CLIENT,
  PacketBench,
  SERVER,
  hosts,
  parsed,
  type Device,
  type Family,
  type Flow,
  type FlowSettings,
  type Passed,
  type Side,
} from './packet-bench.js';
import { ETHERNET, build, parse, sum16, type Segment } from './segment.js';
import { bpfExcused } from './support.js';

const excused = bpfExcused([6, 1]);
const families: Family[] = [4, 6];
const sides: [string, Side][] = [
  ['from the client', CLIENT],
  ['from the server', SERVER],
];
/** IP and TCP header without options. */
const headers = { 4: 40, 6: 60 } as const;
const ipHeader = { 4: 20, 6: 40 } as const;
/** All that an answer may quote: it is not to be longer than 576 or 1280 bytes. */
const quoted = { 4: 548, 6: 1232 } as const;
const tooBig = { 4: { type: 3, code: 4 }, 6: { type: 2, code: 0 } } as const;
const counted = (passed: Passed): unknown => [passed.result, passed.counts];

describe.skipIf(excused !== undefined)(`ICMP${excused === undefined ? '' : ` (skipped: ${excused})`}`, () => {
  let bench: PacketBench;
  beforeAll(() => {
    bench = new PacketBench();
  });
  afterEach(() => bench.clear());
  afterAll(() => bench.close());

  describe.each(families)('too big for the other leg, IPv%d', (family) => {
    /** What is sent to `side` may have 1360 bytes of options and payload. */
    const narrow = (side: Side): Flow =>
      bench.flow({ family, [side === CLIENT ? 'client' : 'server']: { limit: 1360 } });
    /** With 12 bytes of timestamps. */
    const sized = (flow: Flow, side: Side, options: number, payload: number): Segment =>
      flow.from(side, {
        payload: 'x'.repeat(payload),
        options: options === 0 ? [] : flow.from(side).options,
      });

    test.each(sides)('the sender is told as by a router, %s', (_, side) => {
      const flow = narrow(side === CLIENT ? SERVER : CLIENT);
      const sent = sized(flow, side, 12, 1448);
      const passed = bench.relay(sent);
      expect(counted(passed)).toEqual([ACTION.redirect, { 'too-big': 1 }]);
      expect(passed.mark).not.toBe(0);
      expect(parseIcmp(passed.packet)).toEqual({
        family,
        source: flow.legs[side].local,
        destination: flow.legs[side].remote,
        hops: 64,
        ...tooBig[family],
        info: 1360 + headers[family],
        quote: build(sent).subarray(ETHERNET, ETHERNET + quoted[family]),
        ipError: 0,
        icmpError: 0,
      });
      expect(passed.packet.length).toBe(ETHERNET + (family === 4 ? 576 : 1280));
      const [to, from] = [build(sent).subarray(0, 6), build(sent).subarray(6, 12)];
      expect([passed.packet.subarray(0, 6), passed.packet.subarray(6, 12)]).toEqual([from, to]);
      // It did not go, so nothing of it is remembered.
      expect(flow.leg(side)).toMatchObject({ end: flow.legs[side].end, bytes: 0, segments: 0 });
    });

    test('options count, and a segment that just fits goes on', () => {
      const flow = narrow(SERVER);
      for (const [options, payload, counter] of [
        [0, 1360, 'relayed'],
        [12, 1348, 'relayed'],
      ] as const) {
        expect(counted(bench.relay(sized(flow, CLIENT, options, payload)))).toEqual([
          ACTION.redirect,
          { [counter]: 1 },
        ]);
      }
      for (const [options, payload] of [
        [0, 1361],
        [12, 1349],
      ] as const) {
        const { counts } = bench.relay(sized(narrow(SERVER), CLIENT, options, payload));
        expect(counts).toEqual({ 'too-big': 1 });
        bench.clear();
      }
    });

    test('the other direction has its own limit', () => {
      const flow = narrow(SERVER);
      expect(bench.relay(sized(flow, SERVER, 12, 1448)).counts).toEqual({ relayed: 1 });
    });

    test('of merged segments it is the size of one that counts, and one that is quoted', () => {
      const flow = narrow(SERVER);
      const sent = sized(flow, CLIENT, 12, 2 * 1400);
      const { packet, counts } = bench.relay(sent, 'eth', { gsoSize: 1400, gsoSegments: 2 });
      expect(counts).toEqual({ 'too-big': 1 });
      const { quote, icmpError } = parseIcmp(packet);
      const one = build(sized(flow, CLIENT, 12, 1400)).subarray(ETHERNET, ETHERNET + quoted[family]);
      // All alike but TCP's checksum, which is that of the whole.
      const tcp = ipHeader[family] + 16;
      one.copy(quote, tcp, tcp, tcp + 2);
      expect([quote, icmpError]).toEqual([one, 0]);

      const fits = sized(narrow(SERVER), CLIENT, 12, 2 * 1348);
      expect(bench.relay(fits, 'eth', { gsoSize: 1348, gsoSegments: 2 }).counts).toEqual({ relayed: 1 });
    });

    test('once a millisecond is enough; and then again', () => {
      const flow = narrow(SERVER);
      const sent = sized(flow, CLIENT, 12, 1448);
      const deadline = Date.now() + 10_000;
      const seen: string[] = [];
      // The clock is not ours to stop: until both have happened, and an answer after the silence.
      while (!/too-big,(drop-too-big,)+too-big/.test(`${seen.join()},`) && Date.now() < deadline) {
        const { counts, result } = bench.relay(sent);
        seen.push(...Object.keys(counts));
        expect(result).toBe('drop-too-big' in counts ? ACTION.drop : ACTION.redirect);
      }
      expect(seen.slice(-1)).toEqual(['too-big']);
      expect(new Set(seen)).toEqual(new Set(['too-big', 'drop-too-big']));
    });

    test('what is too short to be quoted in full is no packet of a flow that was let in', () => {
      const flow = bench.flow({ family, server: { limit: 100 } });
      expect(counted(bench.relay(sized(flow, CLIENT, 12, 200)))).toEqual([ACTION.drop, { 'drop-too-big': 1 }]);
    });
  });

  /** An error about what the peer of the other side got, or did not get. The stream in question is 4000 bytes long. */
  interface Case {
    flow: Flow;
    error: IcmpError;
    sent: Segment;
  }
  const about = (side: Side, family: Family, changes: Partial<Segment> = {}, settings: FlowSettings = {}): Case => {
    const leg = side === CLIENT ? 'client' : 'server';
    const flow = bench.flow({
      family,
      ...settings,
      [leg]: { end: side === CLIENT ? 5000 : 504_000, ...settings[leg] },
    });
    const sent = flow.from(side, { seq: flow.legs[side].end - 4000, payload: 'x'.repeat(1448), ...changes });
    const relayed = flow.relayed(side, sent);
    const quote = build({ ...relayed, hops: relayed.hops - 3 }).subarray(ETHERNET);
    return {
      flow,
      sent,
      error: {
        family,
        source: hosts[family].stranger,
        destination: relayed.source,
        hops: 61,
        ...tooBig[family],
        info: 1400,
        quote: quote.subarray(0, family === 4 ? 548 : 1232),
      },
    };
  };
  const send = (error: IcmpError, oddities?: Oddities, device?: Device): Passed =>
    bench.relay(buildIcmp(error, oddities), device);

  /** The quote as the sender knows it: its addresses, ports and SEQ; all the rest as the router saw it. */
  const translated = ({ flow, error, sent }: Case, side: Side): Buffer => {
    const quote = Buffer.from(error.quote);
    const original = build(sent).subarray(ETHERNET);
    const { family } = error;
    const tcp = ipHeader[family];
    const addresses = family === 4 ? 12 : 8;
    original.copy(quote, addresses, addresses, tcp);
    original.copy(quote, tcp, tcp, tcp + 8);
    if (family === 4) {
      quote.writeUInt16BE(0, 10);
      quote.writeUInt16BE(~sum16(quote.subarray(0, 20)) & 0xffff, 10);
    }
    expect(quote.readUInt16BE(tcp)).toBe(flow.legs[side].remotePort);
    return quote;
  };

  describe.each([
    ['eth', 4],
    ['eth', 6],
    ['raw', 4],
    ['raw', 6],
  ] as [Device, Family][])('errors about relayed segments, %s, IPv%d', (device, family) => {
    test.each(sides)('reach the sender, which is %s', (_, side) => {
      const one = about(side, family);
      const passed = send(one.error, {}, device);
      expect(counted(passed)).toEqual([ACTION.redirect, { 'icmp-translated': 1 }]);
      expect(passed.mark).not.toBe(0);
      expect(parseIcmp(passed.packet)).toEqual({
        ...one.error,
        // From us: the router's address may mean nothing there.
        source: one.flow.legs[side].local,
        destination: one.flow.legs[side].remote,
        hops: 64,
        quote: translated(one, side),
        ipError: 0,
        icmpError: 0,
      });
    });
  });

  describe.each(families)('errors about relayed segments, IPv%d', (family) => {
    const types = { 4: [3, 11, 12], 6: [1, 2, 3, 4] } as const;
    test.each(types[family].map((type) => [type]))('type %d, any code', (type) => {
      const one = about(CLIENT, family);
      for (const code of [0, 1, 3, 13]) {
        const { packet, counts } = send({ ...one.error, type, code, info: 0x01020304 });
        expect(counts).toEqual({ 'icmp-translated': 1 });
        expect(parseIcmp(packet)).toMatchObject({ type, code, info: 0x01020304, icmpError: 0, ipError: 0 });
      }
    });

    test('a quote need have no more than the ports and SEQ', () => {
      const one = about(SERVER, family);
      one.error.quote = one.error.quote.subarray(0, ipHeader[family] + 8);
      const { packet, counts } = send(one.error);
      expect(counts).toEqual({ 'icmp-translated': 1 });
      expect(parseIcmp(packet)).toMatchObject({ quote: translated(one, SERVER), icmpError: 0, ipError: 0 });
    });

    test('a shorter one names no flow', () => {
      const one = about(SERVER, family);
      one.error.quote = one.error.quote.subarray(0, ipHeader[family] + 7);
      expect(counted(send(one.error))).toEqual([ACTION.pass, { 'icmp-no-flow': 1 }]);
    });

    test('only bytes that are under way can cause one', () => {
      const ends = { seqDelta: 6000, end: 3000 };
      // As the server's leg counts: acknowledged up to 7000, sent up to 9000.
      const settings = { client: ends, server: { ack: 7000 } };
      for (const [seq, counter] of [
        [1000, 'icmp-translated'],
        [3000, 'icmp-translated'],
        [999, 'icmp-dropped'],
        [3001, 'icmp-dropped'],
        [0x80001000, 'icmp-dropped'],
      ] as const) {
        const { error } = about(CLIENT, family, { seq }, settings);
        const expected = counter === 'icmp-dropped' ? ACTION.drop : ACTION.redirect;
        expect([seq, ...(counted(send(error)) as unknown[])]).toEqual([seq, expected, { [counter]: 1 }]);
        bench.clear();
      }
    });

    test('across the wrap-around of either leg', () => {
      for (const [end, seqDelta] of [
        [100, 6000],
        [5000, 0xffffff00],
        [0xfffffff0, 0x20],
      ] as const) {
        const ack = (end - 4000 + seqDelta) >>> 0;
        const one = about(CLIENT, family, {}, { client: { end, seqDelta }, server: { ack } });
        expect(parseIcmp(send(one.error).packet)).toMatchObject({ quote: translated(one, CLIENT), icmpError: 0 });
        bench.clear();
      }
    });

    test('damage stays damage, by just as much', () => {
      const one = about(CLIENT, family);
      const whole = buildIcmp(one.error);
      const icmp = ETHERNET + ipHeader[family];
      for (const at of [icmp + 1, icmp + 7, icmp + 8 + 1, whole.length - 1]) {
        const damaged = Buffer.from(whole);
        damaged[at]! ^= 0x41;
        const was = parseIcmp(damaged);
        expect(was.icmpError).not.toBe(0);
        const { packet, counts } = bench.relay(damaged);
        expect(counts).toEqual({ 'icmp-translated': 1 });
        expect(parseIcmp(packet).icmpError).toBe(was.icmpError);
      }
    });

    test('after the end of the flow too', () => {
      const one = about(CLIENT, family, {}, { slot: { phase: PACKET_PHASE.ended } });
      expect(counted(send(one.error))).toEqual([ACTION.redirect, { 'icmp-translated': 1 }]);
    });

    test('in transit: the local socket hears of what it sent itself', () => {
      const transit = { phase: PACKET_PHASE.transit };
      const slow = about(CLIENT, family, {}, { slot: transit, client: { way: PACKET_WAY.slow } });
      const whole = buildIcmp(slow.error);
      const passed = bench.relay(whole);
      expect(counted(passed)).toEqual([ACTION.pass, { 'icmp-local': 1 }]);
      expect(passed.packet).toEqual(whole);
      bench.clear();

      const cut = { way: PACKET_WAY.fast, cut: 2000, end: 5000 };
      for (const [seq, counter] of [
        [1999, 'icmp-local'],
        [2000, 'icmp-translated'],
      ] as const) {
        const { error } = about(CLIENT, family, { seq }, { slot: transit, client: cut });
        expect(send(error).counts).toEqual({ [counter]: 1 });
        bench.clear();
      }
    });

    test('what is about no flow passes to the host, untouched', () => {
      const { error, flow } = about(CLIENT, family);
      const changed = (at: number, value: number): Buffer => {
        const quote = Buffer.from(error.quote);
        quote[at] = value;
        return quote;
      };
      const others: [string, Buffer][] = [
        ['another port', buildIcmp({ ...error, quote: changed(ipHeader[family], 9) })],
        ['UDP', buildIcmp({ ...error, quote: changed(family === 4 ? 9 : 6, 17) })],
        ['sent by somebody else', buildIcmp({ ...error, destination: flow.legs[CLIENT].local })],
        ['no error', buildIcmp({ ...error, type: family === 4 ? 8 : 128 })],
        ['a redirect', buildIcmp({ ...error, type: family === 4 ? 5 : 137 })],
        ['nothing in it', buildIcmp({ ...error, quote: Buffer.alloc(0) })],
      ];
      for (const [name, packet] of others) {
        const passed = bench.relay(packet);
        expect([name, ...(counted(passed) as unknown[])]).toEqual([name, ACTION.pass, { 'icmp-no-flow': 1 }]);
        expect(passed.packet).toEqual(packet);
      }
    });

    test('a flow whose slot was given back is none', () => {
      const { error } = about(CLIENT, family, {}, { slot: { phase: PACKET_PHASE.free } });
      expect(counted(send(error))).toEqual([ACTION.pass, { 'icmp-no-flow': 1 }]);
    });
  });

  test('IPv4: what is in fragments or has options is dropped, where a flow has no socket to hear it', () => {
    const { error } = about(CLIENT, 4);
    const dropped = [ACTION.drop, { 'icmp-dropped': 1 }];
    expect(counted(send(error, { ipOptions: [1, 1, 1, 0] }))).toEqual(dropped);
    expect(counted(send(error, { fragment: 0x2000 }))).toEqual(dropped);
    // Later fragments hold no ICMP header, whatever their bytes look like.
    expect(counted(send(error, { fragment: 0x0001 }))).toEqual([ACTION.pass, { 'icmp-no-flow': 1 }]);
    const quote = Buffer.concat([error.quote.subarray(0, 20), Buffer.from([1, 1, 1, 0]), error.quote.subarray(20)]);
    quote[0] = 0x46;
    expect(counted(send({ ...error, quote }))).toEqual(dropped);
  });

  test('IPv4: the quoted packet may be the first fragment that a router made of it, not a later one', () => {
    const { error } = about(CLIENT, 4);
    const quote = Buffer.from(error.quote);
    quote.writeUInt16BE(0x2000, 6);
    expect(send({ ...error, quote }).counts).toEqual({ 'icmp-translated': 1 });
    quote.writeUInt16BE(0x20b9, 6);
    expect(counted(send({ ...error, quote }))).toEqual([ACTION.pass, { 'icmp-no-flow': 1 }]);
  });

  test('a segment that we answered reads, in the quote, as it was', () => {
    const flow = bench.flow({ server: { limit: 1000 } });
    const sent = flow.from(CLIENT, { payload: 'y'.repeat(1200) });
    const { quote } = parseIcmp(bench.relay(sent).packet);
    const whole = Buffer.concat([quote, build(sent).subarray(ETHERNET + quote.length)]);
    expect(parse(whole, 0)).toEqual(parsed(sent));
  });
});
