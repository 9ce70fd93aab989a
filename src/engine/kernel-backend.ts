/**
 * What the packet and module backends have in common. A flow begins in a relay like the splice backend's
 * (addon/relay_loop.cc), which gives it over when it is due (addon/transit.h); from then on the kernel has it, and this
 * process is needed no more. Here it is only begun, watched and ended.
 */
import { FLOW_STATE_NAMES, PACKET_PHASE_NAMES, PACKET_WAY_NAMES, SIDE_STATE_NAMES } from '../abi.gen.js';
import {
  BOUNDED,
  PACKET_DETAIL,
  PACKET_DETAIL_WORDS,
  PACKET_STATUS,
  native,
  type AdoptedFlow,
  type KernelFlows,
  type Relay,
  type RelaySettings,
} from '../native.js';
import { decodeAddress, formatEndpoint, isLoopbackAddress } from '../flow/address.js';
import type { Backend, Carriage, Carrier, CarrierCounters, Handover, OnEnd, PacketDetails } from './backend.js';
import { peekDescriptor, refuseDescriptor, takePair, type Endpoint } from './endpoint.js';
import type { FlowEnds } from './flow.js';
import type { PacketChoice } from './packet-options.js';
import type { Carriages } from './packet-words.js';
import { ReportedFlows, join } from './reported-flows.js';

/** The kernel's half of such a backend, as one engine sees it. */
export interface KernelPlane {
  readonly kernel: KernelFlows;
  /** Flows that an earlier process left here, and that are ours now. */
  readonly left: readonly AdoptedFlow[];
  /** Takes this engine's handle off. */
  close(keep: boolean): void;
}

export interface KernelParts<Plane> {
  readonly settings: RelaySettings;
  /** When a flow is given over. */
  readonly choice: Pick<PacketChoice, 'afterBytes' | 'afterMs'>;
  readonly carriages: Carriages;
  /** @throws SpliceError with the reason in plain words; nothing stays behind then */
  plane(onReports: (words: Float64Array) => void): Plane;
  relay(settings: RelaySettings, onReports: (words: Float64Array) => void): Relay;
}

export const makeRelay = (settings: RelaySettings, onReports: (words: Float64Array) => void): Relay =>
  new (native().Relay)(settings, onReports);

/** Of a flow: the half of the addon that knows it, the relay for flows of this engine, the plane for adopted ones. */
interface Keeper {
  counters(id: number, out: Float64Array): boolean;
  detail(id: number, out: Float64Array): boolean;
  end(id: number): void;
}

export abstract class KernelBackend<Plane extends KernelPlane = KernelPlane> implements Backend {
  abstract readonly name: 'packet' | 'module';
  readonly plane: Plane;
  readonly #relay: Relay;
  readonly #flows: ReportedFlows;
  readonly #adopted: ReportedFlows;
  readonly #carriages: Carriages;

  /** @throws as `parts.plane`, or an ErrnoException when no thread can be had; nothing stays behind then */
  protected constructor({ settings, choice, carriages, plane, relay }: KernelParts<Plane>) {
    this.#carriages = carriages;
    this.#flows = new ReportedFlows(carriages);
    this.#adopted = new ReportedFlows(carriages);
    this.plane = plane((words) => this.#adopted.deliver(words));
    try {
      this.#relay = relay(
        {
          ...settings,
          kernel: this.plane.kernel,
          kernelAfterBytes: choice.afterBytes,
          kernelAfterMs: choice.afterMs,
        },
        (words) => this.#flows.deliver(words),
      );
    } catch (error) {
      this.plane.close(true);
      throw error;
    }
  }

  // What is known without a system call, or for pairs whose caller vouches for nothing; the rest the addon finds out
  // when the flow is due, and a flow that ends before never pays for the question.
  refuse(handover: Handover): string | undefined {
    if (handover.bound !== undefined) return 'a bounded flow hands its sockets back';
    if (handover.prepared) return undefined;
    return refuseEnd(handover.client, 'client') ?? refuseEnd(handover.upstream, 'server');
  }

  start(handover: Handover, onEnd: OnEnd): Carrier {
    const [client, upstream] = takePair(handover.client, handover.upstream);
    const id = this.#relay.add(
      client.fd,
      upstream.fd,
      handover.idleMs,
      handover.reply,
      join(handover.clientHead, client.head),
      join(handover.upstreamHead, upstream.head),
      BOUNDED.none,
      0,
      handover.prepared,
    );
    this.#flows.expect(id, onEnd);
    return new KernelCarrier(this.#relay, this.#flows, this.#carriages, id);
  }

  /** Flows that an earlier process left, for the engine to make Flows of. Each is to be begun once. */
  *adopted(): Iterable<{ ends: FlowEnds; begin: (onEnd: OnEnd) => Carrier }> {
    for (const flow of this.plane.left) {
      yield { ends: endsOf(flow), begin: (onEnd) => this.#adopt(flow.id, onEnd) };
    }
  }

  #adopt(id: number, onEnd: OnEnd): Carrier {
    this.#adopted.expect(id, onEnd);
    return new KernelCarrier(this.plane.kernel, this.#adopted, this.#carriages, id);
  }

  stop(keep: boolean): void {
    this.#relay.stop(keep);
    this.plane.close(keep);
  }
}

/** Scratch for reads: they are copied out before anybody else reads. */
const counters = new Float64Array(6);
const detail = new Float64Array(PACKET_DETAIL_WORDS);

class KernelCarrier implements Carrier {
  readonly #keeper: Keeper;
  readonly #flows: ReportedFlows;
  readonly #carriages: Carriages;
  readonly #id: number;

  constructor(keeper: Keeper, flows: ReportedFlows, carriages: Carriages, id: number) {
    this.#keeper = keeper;
    this.#flows = flows;
    this.#carriages = carriages;
    this.#id = id;
  }

  // Between its end and its report the addon knows the flow no longer: it is then in teardown as far as anybody here can
  // tell, and the report will carry the numbers.
  counters(): CarrierCounters {
    if (!this.#keeper.counters(this.#id, counters)) return { bytesUp: 0, bytesDown: 0, idleMs: 0, state: 'teardown' };
    return {
      bytesUp: counters[0]!,
      bytesDown: counters[1]!,
      idleMs: counters[3]!,
      state: FLOW_STATE_NAMES[counters[2]!]!,
    };
  }

  carriage(): Carriage {
    const known = this.#keeper.counters(this.#id, counters);
    return this.#carriages.of(known ? counters[4]! : PACKET_STATUS.young, known ? counters[5]! : 0);
  }

  packet(): PacketDetails | undefined {
    if (!this.#keeper.detail(this.#id, detail)) return undefined;
    const { phase, states, ways, segments } = PACKET_DETAIL;
    return {
      phase: PACKET_PHASE_NAMES[detail[phase]!]!,
      sides: { client: SIDE_STATE_NAMES[detail[states]!]!, server: SIDE_STATE_NAMES[detail[states + 1]!]! },
      ways: { up: PACKET_WAY_NAMES[detail[ways]!]!, down: PACKET_WAY_NAMES[detail[ways + 1]!]! },
      segments: { up: detail[segments]!, down: detail[segments + 1]! },
    };
  }

  abort(): void {
    this.#keeper.end(this.#id);
  }

  independent(): boolean {
    return this.#keeper.counters(this.#id, counters) && counters[4] === PACKET_STATUS.released;
  }

  leave(): boolean {
    if (!this.independent()) return false;
    this.#flows.forget(this.#id);
    return true;
  }
}

function endsOf({ client, server, ageMs }: AdoptedFlow): FlowEnds {
  const shown = (encoded: Uint8Array): string => {
    const { address, port } = decodeAddress(encoded);
    return formatEndpoint(address, port);
  };
  return { client: shown(client), server: shown(server), ageMs };
}

/** Why the segments of this end cannot be had at an interface, or undefined. */
function refuseEnd(endpoint: Endpoint, role: string): string | undefined {
  const reason = refuseDescriptor(endpoint, role);
  if (reason !== undefined) return reason;
  const { tcpState, local, peer } = native().describe(peekDescriptor(endpoint)!);
  if (tcpState === null) return `the ${role} is no TCP connection`;
  // A connection that broke a moment ago is no reason: whoever carries it will say how it ended.
  if (local === null || peer === null) return undefined;
  const { address } = decodeAddress(peer);
  if (isLoopbackAddress(address) || address === decodeAddress(local).address) {
    return `the ${role} is on this host: its segments come by no interface`;
  }
  return undefined;
}
