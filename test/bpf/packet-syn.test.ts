/** SYN alignment: the SYN towards a server offers no option that the client's leg has not got. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { ACTION, CLIENT, PacketBench, SERVER, parsed, type Device, type Family, type Passed } from './packet-bench.js';
import { LEG, keyBytes, type Connection } from './packet-slot.js';
import { FLAG, build, parse, type Segment, type TcpOption } from './segment.js';
import { bpfExcused } from './support.js';

const excused = bpfExcused([6, 1]);
/** What must not be offered, as map `intents` has it. */
const INTENT = { timestamps: LEG.timestamps, sack: LEG.sack, scale: 0x100 } as const;

const nop: TcpOption = { kind: 'nop' };
const mss: TcpOption = { kind: 'mss', bytes: 1460 };
const permitted: TcpOption = { kind: 'sack-permitted' };
const stamps: TcpOption = { kind: 'timestamps', value: 0x08040302, echo: 0 };
const scale: TcpOption = { kind: 'scale', shift: 7 };
const cookie: TcpOption = { kind: 'other', number: 34, bytes: [8, 4, 3, 8, 4, 3, 8, 4] };
const nops = (times: number): TcpOption[] => Array<TcpOption>(times).fill(nop);
/** As Linux sends them. */
const usual = [mss, permitted, stamps, nop, scale];

describe.skipIf(excused !== undefined)(`SYN${excused === undefined ? '' : ` (skipped: ${excused})`}`, () => {
  let bench: PacketBench;
  let intents: Buffer[] = [];
  beforeAll(() => {
    bench = new PacketBench();
  });
  afterEach(() => {
    for (const key of intents) bench.object.delete('intents', key);
    intents = [];
    bench.clear();
  });
  afterAll(() => bench.close());

  /** The engine is about to connect: which server, which port of ours, what not to offer. */
  const intend = (connection: Connection, remove: number): void => {
    const key = keyBytes({ ...connection, local: '::' });
    const value = Buffer.alloc(4);
    value.writeUInt32LE(remove);
    bench.object.update('intents', key, value);
    intents.push(key);
  };
  /** The SYN of the socket towards the server; no flow yet. */
  const syn = (family: Family, changes: Partial<Segment> = {}): { sent: Segment; connection: Connection } => {
    const flow = bench.flow({ family, keys: false });
    const sent = flow.to(SERVER, { flags: FLAG.syn, ack: 0, payload: '', options: usual, ...changes });
    return { sent, connection: flow.legs[SERVER] };
  };
  const counted = (passed: Passed): unknown => [passed.result, passed.counts];
  const aligned = [ACTION.pass, { 'guard-syn': 1 }];

  describe.each([
    ['eth', 4],
    ['eth', 6],
    ['raw', 4],
    ['raw', 6],
  ] as [Device, Family][])('%s, IPv%d', (device, family) => {
    test.each([
      ['nothing', 0, usual],
      ['timestamps', INTENT.timestamps, [mss, permitted, ...nops(11), scale]],
      ['SACK', INTENT.sack, [mss, ...nops(2), stamps, nop, scale]],
      ['window scale', INTENT.scale, [mss, permitted, stamps, ...nops(4)]],
      ['all three', INTENT.timestamps | INTENT.sack | INTENT.scale, [mss, ...nops(16)]],
    ])('%s taken out: NOPs, and a right checksum', (_, remove, options) => {
      const { sent, connection } = syn(family);
      intend(connection, remove);
      // Retransmitted SYNs are edited alike.
      for (let i = 0; i < 3; i++) {
        const passed = bench.guard(sent, device);
        expect(counted(passed)).toEqual(aligned);
        const from = device === 'raw' ? Buffer.concat([Buffer.alloc(14), passed.packet]) : passed.packet;
        expect(parse(from)).toEqual(parsed({ ...sent, options }));
      }
    });
  });

  const all = INTENT.timestamps | INTENT.sack | INTENT.scale;
  test.each<[string, TcpOption[], TcpOption[]]>([
    ['in another order', [scale, stamps, permitted, mss, nop], [...nops(15), mss, nop]],
    ['other options among them', [permitted, cookie, scale, mss], [...nops(2), cookie, ...nops(3), mss]],
    ['40 bytes full', [mss, ...nops(20), permitted, stamps, scale, nop], [mss, ...nops(36)]],
    ['twice', [stamps, stamps, permitted, permitted], nops(24)],
    ['none', [], []],
    ['nothing behind the end', [mss, { kind: 'end' }, ...nops(3)], [mss, { kind: 'end' }, ...nops(3)]],
  ])('options: %s', (_, options, expected) => {
    const { sent, connection } = syn(4, { options });
    intend(connection, all);
    const { packet, result, counts } = bench.guard(sent);
    expect([result, counts]).toEqual(aligned);
    expect(parse(packet)).toEqual(parsed({ ...sent, options: expected }));
  });

  test.each([
    ['a length that does not fit the option', [{ kind: 'other', number: 8, bytes: [1, 2, 3, 4, 5, 6] }, nop, nop]],
    ['one that points behind the header', [mss, { kind: 'other', number: 200, bytes: [] }, permitted]],
  ] as [string, TcpOption[]][])('options: %s is left as it is', (name, options) => {
    const { sent, connection } = syn(4, { options });
    intend(connection, all);
    const whole = build(sent);
    if (name.startsWith('one')) {
      whole[14 + 20 + 20 + 5] = 40;
      whole.writeUInt16BE(0, 14 + 20 + 16);
    }
    const { packet, counts } = bench.guard(whole);
    expect(counts).toEqual({ 'guard-syn': 1 });
    expect(packet).toEqual(whole);
  });

  test('data with the SYN stay', () => {
    const { sent, connection } = syn(4, { payload: 'early', options: [...usual.slice(0, 3), nop, nop, nop, nop] });
    intend(connection, INTENT.timestamps);
    expect(parse(bench.guard(sent).packet)).toEqual(parsed({ ...sent, options: [mss, permitted, ...nops(14)] }));
  });

  test('only SYNs of the very connection that is intended', () => {
    const { sent, connection } = syn(4);
    intend(connection, all);
    for (const other of [
      { ...sent, sourcePort: sent.sourcePort + 1 },
      { ...sent, destinationPort: sent.destinationPort + 1 },
      { ...sent, destination: '8.0.2.4' },
      { ...sent, flags: FLAG.syn | FLAG.ack },
      { ...sent, flags: FLAG.ack },
    ]) {
      const passed = bench.guard(other);
      expect(counted(passed)).toEqual([ACTION.pass, { 'guard-not-ours': 1 }]);
      expect(passed.packet).toEqual(build(other));
    }
  });

  test("the SYN of a connection whose key belongs to a flow is the guard's business", () => {
    const flow = bench.flow({ slot: { phase: 1 } });
    intend(flow.legs[SERVER], all);
    const sent = flow.to(SERVER, { flags: FLAG.syn, ack: 0, payload: '', options: usual });
    const { packet, counts } = bench.guard(sent);
    expect(counts).toEqual({ 'guard-local': 1 });
    expect(packet).toEqual(build(sent));
    expect(bench.guard(flow.to(CLIENT, { flags: FLAG.syn, payload: '' })).counts).toEqual({ 'guard-local': 1 });
  });
});
