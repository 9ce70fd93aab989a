/**
 * Ring 2 of the packet backend: the loaded programs, flows put into their maps by hand, packets in and packets out.
 * No socket and no wire: what a test says is all there is. Counts what was counted, for the coverage at the end.
 */
import {
  PACKET_ANSWER_NAMES,
  PACKET_COUNTER_NAMES,
  PACKET_PHASE,
  PACKET_WAY,
  SIDE_EVENT_NAMES,
  SIDE_STATE,
  SIDE_STATE_NAMES,
  type PacketAnswer,
  type PacketCounter,
  type PacketPhase,
} from '../../src/abi.gen.js';
import { BpfObject, type BpfTestOutcome, type BpfTestSettings } from '../../src/engine/bpf-object.js';
import {
  LEG,
  keyBytes,
  readLeg,
  readSlot,
  flagsAt,
  slotBytes,
  type Connection,
  type LegState,
  type SlotState,
} from './packet-slot.js';
import { ETHERNET, FLAG, build, parse, type Parsed, type Segment } from './segment.js';

/** What tc does with the packet. */
export const ACTION = { pass: -1, drop: 2, redirect: 7 } as const;
export type Device = 'eth' | 'raw';
export const CLIENT = 0;
export const SERVER = 1;
export type Side = typeof CLIENT | typeof SERVER;

/**
 * The third and fourth byte of every IPv4 address, and the fifth and sixth of every IPv6 address, are not free: a test
 * run always takes an Ethernet header off, and reads the protocol there. On a device without that header they are the
 * beginning of the source address, which therefore reads as the number of its protocol.
 */
const hosts = {
  4: { client: '8.0.1.1', toClient: '8.0.1.2', toServer: '8.0.2.2', server: '8.0.2.3', stranger: '8.0.9.9' },
  6: {
    client: 'fd09:1:86dd::1',
    toClient: 'fd09:1:86dd::2',
    toServer: 'fd09:2:86dd::2',
    server: 'fd09:2:86dd::3',
    stranger: 'fd09:9:86dd::9',
    behindTunnel: 'fd09:7:86dd::1',
  },
} as const;

export type Family = 4 | 6;

export interface FlowSettings {
  family?: Family;
  slot?: Partial<SlotState>;
  client?: Partial<Connection & LegState>;
  server?: Partial<Connection & LegState>;
  /** Whether its keys are in the map already; else `control` shall put them there. Default: true. */
  keys?: boolean;
}

const legDefaults: LegState = {
  ifindex: 1,
  seqDelta: 0,
  tsDelta: 0,
  cut: 0,
  end: 0,
  finEnd: 0,
  ack: 0,
  edgeAck: 0,
  clockOffset: 0,
  segments: 0,
  active: 0,
  way: PACKET_WAY.fast,
  flags: LEG.timestamps | LEG.sack | LEG.seen,
  edgeWindow: 0,
  limit: 0,
  peerScale: 7,
  ownScale: 7,
  state: SIDE_STATE.SPLICED,
  promised: 0,
  told: 0,
  bytes: 0,
};

/** A flow in the maps. Its client's stream begins at 1000 and leaves at 7000; the server's at 500000, as 90000. */
export class Flow {
  readonly family: Family;
  readonly legs: readonly [Connection & LegState, Connection & LegState];
  readonly #bench: PacketBench;
  readonly index: number;
  readonly #index: Buffer;

  constructor(bench: PacketBench, index: number, settings: FlowSettings) {
    this.#bench = bench;
    this.index = index;
    this.family = settings.family ?? 4;
    const host = hosts[this.family];
    this.#index = Buffer.alloc(4);
    this.#index.writeUInt32LE(index);
    this.legs = [
      {
        ...legDefaults,
        ...{ remote: host.client, remotePort: 40000, local: host.toClient, localPort: 1080 },
        ...{ seqDelta: 6000, tsDelta: 250, end: 1000, ack: 90000, promised: 154000 },
        ...settings.client,
      },
      {
        ...legDefaults,
        ...{ remote: host.server, remotePort: 443, local: host.toServer, localPort: 20001 },
        ...{ seqDelta: (90000 - 500000) >>> 0, tsDelta: -4000 >>> 0, end: 500000, ack: 7000, promised: 71000 },
        ...settings.server,
      },
    ];
    const slot = { phase: PACKET_PHASE.released, moved: 0, ended: 0, generation: 3, family: this.family, reason: 0 };
    bench.object.update('flows', this.#index, slotBytes([...this.legs], { ...slot, ...settings.slot }));
    if (settings.keys === false) return;
    this.legs.forEach((leg, side) => {
      const value = Buffer.alloc(4);
      value.writeUInt32LE((index << 1) | side);
      bench.object.update('legs', keyBytes(leg), value);
    });
  }

  /** A segment as the peer of this side sends it: in order, 5 bytes, with timestamps. */
  from(side: Side, changes: Partial<Segment> = {}): Segment {
    const [x, y] = [this.legs[side], this.legs[1 - side]!];
    return {
      family: this.family,
      source: x.remote,
      destination: x.local,
      hops: 64,
      traffic: 0,
      label: 0x1234,
      fragment: this.family === 4 ? 0x4000 : 0,
      ipOptions: [],
      extensions: [],
      sourcePort: x.remotePort,
      destinationPort: x.localPort,
      seq: x.end,
      // What came to this side last: the other stream, mapped.
      ack: (y.end + y.seqDelta) >>> 0,
      flags: FLAG.ack | FLAG.psh,
      window: 500,
      urgent: 0,
      options: [{ kind: 'nop' }, { kind: 'nop' }, { kind: 'timestamps', value: 111_000, echo: 222_000 }],
      payload: 'hello',
      ...changes,
    };
  }

  /** A segment of the local socket to the peer of this side, as the guard sees it. */
  to(side: Side, changes: Partial<Segment> = {}): Segment {
    const leg = this.legs[side];
    return this.from(side, {
      source: leg.local,
      destination: leg.remote,
      sourcePort: leg.localPort,
      destinationPort: leg.remotePort,
      ...changes,
    });
  }

  /**
   * What must leave on the other leg, by the rules of the header table. Timestamps, SACK and the rest that not every
   * segment has are added by the test that is about them.
   */
  relayed(side: Side, sent: Segment, changes: Partial<Segment> = {}): Segment {
    const [x, y] = [this.legs[side], this.legs[1 - side]!];
    return {
      ...sent,
      source: y.local,
      destination: y.remote,
      sourcePort: y.localPort,
      destinationPort: y.remotePort,
      hops: sent.hops - 1,
      ipOptions: [],
      seq: (sent.seq + x.seqDelta) >>> 0,
      ack: (sent.flags & FLAG.ack) !== 0 ? (sent.ack - y.seqDelta) >>> 0 : sent.ack,
      window: Math.min(65535, Math.floor((sent.window * 2 ** x.peerScale) / 2 ** y.ownScale)),
      options: sent.options.map((option) =>
        option.kind === 'timestamps'
          ? { ...option, value: (option.value + x.tsDelta) >>> 0, echo: (option.echo - y.tsDelta) >>> 0 }
          : option,
      ),
      ...changes,
    };
  }

  get #bytes(): Uint8Array {
    return this.#bench.object.lookup('flows', this.#index)!;
  }

  leg(side: Side): LegState {
    return readLeg(this.#bytes, side);
  }

  /** As the engine asks for something. */
  raise(side: Side, flag: number): void {
    const bytes = Buffer.from(this.#bytes);
    const at = flagsAt(side);
    bytes.writeUInt32LE(bytes.readUInt32LE(at) | flag, at);
    this.#bench.object.update('flows', this.#index, bytes);
  }

  get slot(): SlotState {
    return readSlot(this.#bytes);
  }

  get phase(): PacketPhase {
    return (Object.keys(PACKET_PHASE) as PacketPhase[]).find((name) => PACKET_PHASE[name] === this.slot.phase)!;
  }

  /** The client's and the server's state, by the names of the thesis. */
  get states(): string {
    return `${SIDE_STATE_NAMES[this.leg(CLIENT).state]!}/${SIDE_STATE_NAMES[this.leg(SERVER).state]!}`;
  }

  keyOf(side: Side): Buffer {
    return keyBytes(this.legs[side]);
  }

  /** Whether the keys still lead to it. */
  get known(): boolean {
    return this.legs.some((leg) => this.#bench.object.lookup('legs', keyBytes(leg)) !== undefined);
  }

  remove(): void {
    for (const leg of this.legs) this.#bench.object.delete('legs', keyBytes(leg));
  }
}

/** What one packet caused. */
export interface Passed extends Omit<BpfTestOutcome, 'packet'> {
  packet: Buffer;
  /** Counters that moved: all of them, so that an exit without one shows. */
  counts: Partial<Record<PacketCounter, number>>;
  /** Edges of the state machine that were taken: "SPLICED FIN". */
  edges: string[];
}

export interface Asked extends Pick<Passed, 'counts' | 'edges'> {
  answer: PacketAnswer;
}

export class PacketBench {
  readonly object: BpfObject;
  /** Everything that any test has made to be counted. */
  readonly seenCounters = new Set<PacketCounter>();
  readonly seenEdges = new Set<string>();
  readonly seenAnswers = new Set<PacketAnswer>();
  /** Settings of every run: the namespace and device, where a test has made one. */
  place: BpfTestSettings = {};
  #slots = 0;
  #flows: Flow[] = [];

  constructor(sizes: Record<string, number> = { flows: 512, legs: 1024 }) {
    this.object = BpfObject.open('packet', { sizes });
    this.object.load();
  }

  flow(settings: FlowSettings = {}): Flow {
    const flow = new Flow(this, this.#slots++ % 512, settings);
    this.#flows.push(flow);
    return flow;
  }

  /** Between two tests: no flow is left. */
  clear(): void {
    for (const flow of this.#flows) flow.remove();
    this.#flows = [];
  }

  close(): void {
    this.object.close();
  }

  #names(map: 'counters' | 'edges'): Map<string, number> {
    const named = this.object.counters(map).map((value, slot): [string, number] => {
      const events = SIDE_EVENT_NAMES.length;
      const edge = `${SIDE_STATE_NAMES[Math.floor(slot / events)]!} ${SIDE_EVENT_NAMES[slot % events]!}`;
      return [map === 'counters' ? PACKET_COUNTER_NAMES[slot]! : edge, value];
    });
    return new Map(named);
  }

  #difference(map: 'counters' | 'edges', before: Map<string, number>): Map<string, number> {
    const moved = new Map<string, number>();
    for (const [name, value] of this.#names(map)) {
      const difference = value - before.get(name)!;
      if (difference !== 0) moved.set(name, difference);
    }
    return moved;
  }

  run(program: string, packet: Uint8Array, settings: BpfTestSettings = {}): Passed {
    const counters = this.#names('counters');
    const edges = this.#names('edges');
    const outcome = this.object.testRun(program, packet, { ...this.place, ...settings });
    const counts = Object.fromEntries(this.#difference('counters', counters)) as Partial<Record<PacketCounter, number>>;
    const taken = [...this.#difference('edges', edges)].flatMap(([edge, times]) => Array<string>(times).fill(edge));
    for (const name of Object.keys(counts) as PacketCounter[]) this.seenCounters.add(name);
    for (const edge of taken) this.seenEdges.add(edge);
    return { ...outcome, packet: Buffer.from(outcome.packet), counts, edges: taken };
  }

  /** Through the relay's hook, on a device of that kind. */
  relay(packet: Segment | Buffer, device: Device = 'eth', settings: BpfTestSettings = {}): Passed {
    const bytes = Buffer.isBuffer(packet) ? packet : build(packet);
    return this.run(`relay_${device}`, device === 'raw' ? bytes.subarray(ETHERNET) : bytes, settings);
  }

  /** Asks `control`; gives its answer by name. */
  control(operation: number, slot: number, pending: [number, number] = [0, 0]): Asked {
    const request = Buffer.alloc(ETHERNET + 20);
    [operation, slot, ...pending].forEach((word, i) => request.writeUInt32LE(word, ETHERNET + 4 * i));
    const { result, counts, edges } = this.run('control', request);
    const answer = PACKET_ANSWER_NAMES[result]!;
    this.seenAnswers.add(answer);
    return { answer, counts, edges };
  }

  /** Through the guard's hook. */
  guard(packet: Segment | Buffer, device: Device = 'eth', settings: BpfTestSettings = {}): Passed {
    const bytes = Buffer.isBuffer(packet) ? packet : build(packet);
    return this.run(`guard_${device}`, device === 'raw' ? bytes.subarray(ETHERNET) : bytes, settings);
  }
}

/** What a segment would be parsed as, checksums right. */
export function parsed(segment: Segment): Parsed {
  return parse(build(segment));
}

export { hosts };
