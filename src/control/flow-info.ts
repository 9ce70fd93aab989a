/** One live flow as operators see it: in `splice-ctl flows`, on the control socket, in the metrics' gauges. */
export interface FlowInfo {
  /** Unique within one process for its whole life. */
  readonly id: string;
  /** Address of the client, `HOST:PORT`. */
  readonly client: string;
  /** Address connected to, `HOST:PORT`; empty until it is known. */
  readonly server: string;
  /** What the client asked for, `NAME:PORT` or `HOST:PORT`. */
  readonly target: string;
  readonly user?: string | undefined;
  readonly backend: string;
  readonly state: string;
  /** What has happened towards each side, by the names of the thesis: only while the packet or module backend carries the flow. */
  readonly sides?: { readonly client: string; readonly server: string } | undefined;
  /** The same condition. */
  readonly packet?: PacketInfo | undefined;
  /** An earlier process began it: `target` is the server's address then. Else absent. */
  readonly adopted?: true | undefined;
  /** Bytes from client to server. */
  readonly bytesUp: number;
  /** Bytes from server to client. */
  readonly bytesDown: number;
  /** Milliseconds since accept. */
  readonly ageMs: number;
  /** Milliseconds since the last byte either way. */
  readonly idleMs: number;
  /** Better backends that were refused for this flow, best first, and why. */
  readonly refusals: readonly Refusal[];
}

/** What the packet backend's programs, or the kernel module, do with a flow. `up` is from client to server. */
export interface PacketInfo {
  readonly phase: string;
  readonly ways: { readonly up: string; readonly down: string };
  /** Segments relayed. */
  readonly segments: { readonly up: number; readonly down: number };
}

export interface Refusal {
  readonly backend: string;
  readonly reason: string;
}

/** `packet: no CAP_BPF; splice: ...`, or undefined if nothing was refused. */
export function formatRefusals(refusals: readonly Refusal[]): string | undefined {
  return refusals.length === 0 ? undefined : refusals.map((r) => `${r.backend}: ${r.reason}`).join('; ');
}
