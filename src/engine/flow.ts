/**
 * Stage relay, seen from TypeScript: a flow is watched here, never carried. Its counters come
 * from where the bytes move.
 */
import type { CloseReason, FlowStateName } from '../abi.gen.js';
import { throwUncaught } from '../errors.js';
import type { BackendName, Carrier, Refusal } from './backend.js';

/** How a flow ended. */
export interface FlowEnd {
  reason: CloseReason;
  /** errno behind a reset or an error, 0 when there was none. */
  errno: number;
  /** Bytes of the client's stream that the server's socket has taken, left-over bytes included. */
  bytesUp: number;
  bytesDown: number;
  /** Milliseconds from splice() to the end. */
  durationMs: number;
  /**
   * Only for bounded flows over raw descriptors on the `copy` backend: bytes that were read
   * beyond the bound. They belong to the caller.
   */
  leftover?: Uint8Array;
}

export interface FlowCounters {
  bytesUp: number;
  bytesDown: number;
  /** Milliseconds since the last byte either way. */
  idleMs: number;
}

export class Flow {
  /** Unique in this engine. */
  readonly id: string;
  /** Which backend carries the bytes. */
  readonly backend: BackendName;
  /** Why better backends do not; empty when the best one does. */
  readonly refusals: readonly Refusal[];

  #carrier: Carrier | undefined;
  #end: FlowEnd | undefined;
  #listeners: ((end: FlowEnd) => void)[] | undefined;

  /** Flows are made by {@link SpliceEngine.splice}. */
  constructor(
    id: string,
    backend: BackendName,
    refusals: readonly Refusal[],
    start: (onEnd: (end: FlowEnd) => void) => Carrier,
    onEnd: (flow: Flow) => void,
  ) {
    this.id = id;
    this.backend = backend;
    this.refusals = refusals;
    this.#carrier = start((end) => {
      this.#end = end;
      this.#carrier = undefined;
      onEnd(this);
      for (const listener of this.#listeners ?? []) {
        try {
          listener(end);
        } catch (error) {
          throwUncaught(error); // the others must hear of the end as well
        }
      }
    });
  }

  /** Resolves once, when both sockets are closed (or handed back, for a bounded flow). Never rejects. */
  get closed(): Promise<FlowEnd> {
    return new Promise((resolve) => this.onClosed(resolve));
  }

  /**
   * {@link closed} without a promise, for servers that end thousands of flows a second: `listener` is called once,
   * in the turn in which the end is known; at once when it is known already.
   */
  onClosed(listener: (end: FlowEnd) => void): void {
    if (this.#end !== undefined) listener(this.#end);
    else (this.#listeners ??= []).push(listener);
  }

  /** The stage the flow is in: `relay`, `teardown` once one direction has ended, `closed`. */
  get state(): FlowStateName {
    return this.#carrier?.counters().state ?? 'closed';
  }

  /** Counters of this moment; after the end, those of the end. */
  counters(): FlowCounters {
    if (this.#carrier !== undefined) {
      const { bytesUp, bytesDown, idleMs } = this.#carrier.counters();
      return { bytesUp, bytesDown, idleMs };
    }
    return { bytesUp: this.#end?.bytesUp ?? 0, bytesDown: this.#end?.bytesDown ?? 0, idleMs: 0 };
  }

  /** Ends the flow by RST to both sides; `closed` then says `aborted`. Nothing happens when it has ended. */
  abort(): void {
    this.#carrier?.abort();
  }
}
