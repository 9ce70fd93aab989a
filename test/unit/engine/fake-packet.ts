/** A data plane without a kernel: what the addon's Packet and Relay would say, set by the test. */
import {
  PACKET_DETAIL,
  PACKET_STATUS,
  type AdoptedFlow,
  type ForeignPlane,
  type Packet,
  type PacketSettings,
  type Relay,
  type RelaySettings,
} from '../../../src/native.js';
import type { Link } from '../../../src/engine/links.js';
import type { PacketParts } from '../../../src/engine/packet-backend.js';
import type { PlaneParts } from '../../../src/engine/packet-plane.js';

/** A flow as the addon knows it. */
export interface FakeFlow {
  bytesUp: number;
  bytesDown: number;
  status: number;
  answer: number;
  phase: number;
  states: [client: number, server: number];
}

export const youngFlow = (): FakeFlow => ({
  bytesUp: 0,
  bytesDown: 0,
  status: PACKET_STATUS.young,
  answer: 0,
  phase: 0,
  states: [1, 1],
});

/** The half of the addon that knows flows: of a plane, or a relay. */
export class FakeKeeper {
  readonly flows = new Map<number, FakeFlow>();
  readonly ended: number[] = [];
  report: ((words: Float64Array) => void) | undefined;

  counters(id: number, out: Float64Array): boolean {
    const flow = this.flows.get(id);
    if (flow === undefined) return false;
    out.set([flow.bytesUp, flow.bytesDown, 2, 5, flow.status, flow.answer].slice(0, out.length));
    return true;
  }

  detail(id: number, out: Float64Array): boolean {
    const flow = this.flows.get(id);
    if (flow === undefined || flow.phase === 0) return false;
    out.fill(0);
    out[PACKET_DETAIL.phase] = flow.phase;
    out.set(flow.states, PACKET_DETAIL.states);
    out.set([1, 0], PACKET_DETAIL.ways);
    out.set([7, 9], PACKET_DETAIL.segments);
    return true;
  }

  /** Ends the flow by its report, in a later turn as the addon does. */
  end(id: number): void {
    this.ended.push(id);
    setImmediate(() => this.close(id, 5));
  }

  close(id: number, reason: number): void {
    const flow = this.flows.get(id);
    if (flow === undefined) return;
    this.flows.delete(id);
    this.report?.(Float64Array.of(id, reason, 0, flow.bytesUp, flow.bytesDown, 3, flow.status, flow.answer));
  }
}

export class FakeMachine {
  readonly plane = new FakeKeeper();
  readonly relay = new FakeKeeper();
  readonly attached: [ifindex: number, ethernet: boolean][] = [];
  readonly stopped: string[] = [];
  links: Link[] = [{ name: 'eth0', ifindex: 2, type: 1, flags: 1, enslaved: false }];
  kernel = '6.1.0';
  adopted: AdoptedFlow[] = [];
  foreign: ForeignPlane[] = [];
  settings: (PacketSettings & { relay?: RelaySettings }) | undefined;
  attachFails: Error | undefined;
  /** The only index that it fails on; undefined: each. */
  attachFailsOn: number | undefined;
  openFails: Error | undefined;
  relayFails: Error | undefined;
  #next = 1;

  get packet(): Packet {
    const { plane } = this;
    return {
      attach: (ifindex, ethernet) => {
        if (this.attachFails !== undefined && (this.attachFailsOn ?? ifindex) === ifindex) throw this.attachFails;
        this.attached.push([ifindex, ethernet]);
      },
      detach: () => undefined,
      interfaces: () => this.attached.map(([ifindex]) => ifindex),
      adopt: () => {
        for (const { id } of this.adopted) plane.flows.set(id, { ...youngFlow(), status: 2, phase: 2, states: [3, 3] });
        return { flows: this.adopted, foreign: this.foreign };
      },
      counters: (id, out) => plane.counters(id, out),
      detail: (id, out) => plane.detail(id, out),
      end: (id) => plane.end(id),
      exits: () => [1, 2, 3],
      edges: () => [],
      usage: () => ({ maxFlows: 8, transit: 1, released: 2, ended: 3, ports: 4, refused: 5, tag: 'tag' }),
      sourcePort: () => 0,
      intend: () => 0,
      socket: () => -98,
      close: (keep) => {
        this.stopped.push(`plane ${keep ? 'kept' : 'taken off'}`);
        return 0;
      },
    };
  }

  get planeParts(): PlaneParts {
    return {
      kernel: this.kernel,
      open: (settings, onReports) => {
        if (this.openFails !== undefined) throw this.openFails;
        this.settings = settings;
        this.plane.report = onReports;
        return this.packet;
      },
      links: () => this.links,
      ports: (asked) => (asked === 'auto' ? { range: [61000, 65535] } : { problem: 'no ports today' }),
    };
  }

  get parts(): PacketParts {
    return {
      plane: this.planeParts,
      relay: (settings, onReports): Relay => {
        if (this.relayFails !== undefined) throw this.relayFails;
        this.settings = { ...this.settings!, relay: settings };
        this.relay.report = onReports;
        return {
          add: () => {
            const id = this.#next++;
            this.relay.flows.set(id, youngFlow());
            return id;
          },
          counters: (id, out) => this.relay.counters(id, out),
          detail: (id, out) => this.relay.detail(id, out),
          end: (id) => this.relay.end(id),
          stop: (keep) => {
            this.stopped.push(`relay ${keep === true ? 'keeping' : 'all'}`);
            return 0;
          },
        };
      },
    };
  }
}
