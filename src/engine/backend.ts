/**
 * What a backend is: the one interface behind which packet, splice, copy, sockmap and module
 * carry a flow. The engine chooses and keeps the books; a backend moves bytes.
 */
import type { FlowStateName } from '../abi.gen.js';
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

/** A flow inside its backend. */
export interface Carrier {
  counters(): CarrierCounters;
  /** Ends the flow by RST to both sides. Its end is reported as `aborted`. */
  abort(): void;
}

export interface Backend {
  readonly name: BackendName;
  /** Why this pair cannot be carried, or undefined. Must not change either socket. */
  refuse(handover: Handover): string | undefined;
  /**
   * Takes the pair over. Calls `onEnd` once, never before it has returned. When it throws, nothing
   * was taken and no byte was read, so that another backend can carry the pair.
   */
  start(handover: Handover, onEnd: (end: FlowEnd) => void): Carrier;
  /** Ends every flow and frees threads and maps. */
  stop(): void;
}
