/**
 * Ring 2's flows in transit: `control` installs them from real sockets, and what each of those has read, written and
 * promised, the test says. In every flow the client's stream stands at 1000 and goes out at 7000, the server's at
 * 500000 and goes out at 90000.
 */
import { expect } from 'vitest';
import { PACKET_WAY_NAMES } from '../../src/abi.gen.js';
import { CLIENT, SERVER, type Asked, type Family, type Flow, type PacketBench, type Side } from './packet-bench.js';
import { SocketHost, type LocalSocket, type SocketState } from './packet-sockets.js';
import type { Connection } from './packet-slot.js';
import { FLAG, type Segment } from './segment.js';

export const OPERATION = { install: 0, advance: 1, cancel: 2, remove: 3 } as const;
/** A segment's mark on its way through ourselves. */
export const MARK = { whole: 0x5eed1, bare: 0x5eed2, relay: 0x5eed3 } as const;
/** A bare acknowledgement. */
export const EMPTY: Partial<Segment> = { payload: '', flags: FLAG.ack };
export const DIRECTIONS: [string, Side][] = [
  ['client to server', CLIENT],
  ['server to client', SERVER],
];
export const otherSide = (side: Side): Side => (side === CLIENT ? SERVER : CLIENT);

export interface Pair {
  flow: Flow;
  client: LocalSocket;
  server: LocalSocket;
}

export interface PairSettings {
  family?: Family;
  /** In place of the addresses that every host of ring 2 has. */
  from?: Partial<Connection>;
  client?: Partial<SocketState>;
  server?: Partial<SocketState>;
}

export class TransitBed {
  readonly bench: PacketBench;
  readonly host = new SocketHost();
  #pairs = 0;

  constructor(bench: PacketBench) {
    this.bench = bench;
    bench.place = { network: `/run/netns/${this.host.namespace}`, ifindex: this.host.ifindex };
  }

  /** Two sockets and a slot that knows only their addresses. */
  async pair({ family = 4, from, client, server }: PairSettings = {}): Promise<Pair> {
    const port = this.#pairs++;
    const flow = this.bench.flow({
      family,
      keys: false,
      slot: { phase: 0 },
      client: { remotePort: 40_000 + port, ...from },
      server: { localPort: 20_000 + port },
    });
    return {
      flow,
      client: await this.host.open(flow.legs[CLIENT], { writeSeq: 90_000, readSeq: 1_000, ...client }),
      server: await this.host.open(flow.legs[SERVER], { writeSeq: 7_000, readSeq: 500_000, ...server }),
    };
  }

  /** Installed, and a bare acknowledgement of each peer has been seen, at places where nothing can be cut. */
  async seen(settings: PairSettings = {}): Promise<Pair> {
    const made = await this.pair(settings);
    expect(this.install(made.flow).answer).toBe('done');
    this.bench.relay(made.flow.from(CLIENT, { ...EMPTY, seq: 999 }));
    this.bench.relay(made.flow.from(SERVER, { ...EMPTY, seq: 499_999 }));
    expect(this.ways(made.flow)).toBe('slow/slow');
    return made;
  }

  /** As {@link seen}; then this direction is cut over by a segment of 5 bytes. */
  async cut(side: Side, settings: PairSettings = {}): Promise<Pair> {
    const made = await this.seen(settings);
    expect(this.bench.relay(made.flow.from(side)).counts).toMatchObject({ cut: 1 });
    return made;
  }

  install(flow: Flow, pending: [number, number] = [0, 0]): Asked {
    return this.bench.control(OPERATION.install, flow.index, pending);
  }

  advance(flow: Flow): Asked {
    return this.bench.control(OPERATION.advance, flow.index);
  }

  cancel(flow: Flow): Asked {
    return this.bench.control(OPERATION.cancel, flow.index);
  }

  remove(flow: Flow): Asked {
    return this.bench.control(OPERATION.remove, flow.index);
  }

  /** The client's and the server's way. */
  ways(flow: Flow): string {
    return `${PACKET_WAY_NAMES[flow.leg(CLIENT).way]!}/${PACKET_WAY_NAMES[flow.leg(SERVER).way]!}`;
  }

  async close(): Promise<void> {
    this.bench.place = {};
    await this.host.close();
  }
}
