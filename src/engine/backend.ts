/**
 * What a backend is: the one interface behind which packet, splice, copy, sockmap and module
 * carry a flow. The engine chooses and keeps the books; a backend moves bytes.
 */
import type { FlowStateName, PacketPhase, PacketWay, SideState } from '../abi.gen.js';
import type { Endpoint } from './endpoint.js';
import type { FlowEnd } from './flow.js';

/** Every backend there is or will be, the best first. */
export const BACKENDS = ['packet', 'module', 'splice', 'copy', 'sockmap'] as const;
export type BackendName = (typeof BACKENDS)[number];

/** Why a better backend does not carry this flow. */
export interface Refusal {
  backend: BackendName;
  reason: string;
}

/** Whether a backend can be used on this machine, with the reason either way. */
export interface BackendCapability {
  backend: BackendName;
  available: boolean;
  reason: string;
  /** The error behind the reason, such as a VerifierError with its log. */
  cause?: unknown;
}

/** One direction to a limit, after which the sockets come back. */
export interface Bound {
  direction: 'up' | 'down';
  maxBytes: number;
}

/** Two established connections, and all that belongs to the flow already. */
export interface Handover {
  client: Endpoint;
  upstream: Endpoint;
  /** Written to the client first; not part of the stream. */
  reply: Uint8Array | undefined;
  /** Read from the client before the hand-over; first bytes of the stream up. */
  clientHead: Uint8Array | undefined;
  /** Read from the server before the hand-over. */
  upstreamHead: Uint8Array | undefined;
  /** Milliseconds without a byte after which the flow ends; 0: never. */
  idleMs: number;
  bound: Bound | undefined;
  /** Both are descriptors that do not block and have TCP_NODELAY; nothing need be set. */
  prepared: boolean;
}

export interface CarrierCounters {
  bytesUp: number;
  bytesDown: number;
  idleMs: number;
  state: FlowStateName;
}

/** What carries a flow at a moment, and why nothing better does. */
export interface Carriage {
  readonly backend: BackendName;
  readonly refusals: readonly Refusal[];
}

/** One value for each direction: `up` is from client to server. */
export interface BothWays<T> {
  readonly up: T;
  readonly down: T;
}

/** A flow inside the packet or module backend, as the kernel sees it. */
export interface PacketDetails {
  readonly phase: PacketPhase;
  /** What has happened towards each side, by the names of the thesis. */
  readonly sides: { readonly client: SideState; readonly server: SideState };
  readonly ways: BothWays<PacketWay>;
  /** Segments relayed. */
  readonly segments: BothWays<number>;
}

/** A flow inside its backend. */
export interface Carrier {
  counters(): CarrierCounters;
  /** Only where it changes while the flow lives: what carries it now. */
  carriage?(): Carriage;
  /** While segments of the flow are rewritten; else undefined. */
  packet?(): PacketDetails | undefined;
  /** Ends the flow by RST to both sides. Its end is reported as `aborted`. */
  abort(): void;
  /** Only where it can be: the kernel carries the flow on when this process ends. Once true, always true. */
  independent?(): boolean;
  /** Where the kernel can carry the flow on without this process: forgets it, and returns true. No end is reported then. */
  leave?(): boolean;
}

/** Reports the end of a flow; `carriage` where what carried it last is not what it began with. */
export type OnEnd = (end: FlowEnd, carriage?: Carriage) => void;

export interface Backend {
  readonly name: BackendName;
  /** Why this pair cannot be carried, or undefined. Must not change either socket. */
  refuse(handover: Handover): string | undefined;
  /**
   * Takes the pair over. Calls `onEnd` once, never before it has returned. When it throws, nothing
   * was taken and no byte was read, so that another backend can carry the pair.
   */
  start(handover: Handover, onEnd: OnEnd): Carrier;
  /** Ends every flow and frees threads and maps, but for flows that were left to the kernel when `keep` is true. */
  stop(keep: boolean): void;
}
