/**
 * Stage relay, seen from TypeScript: a flow is watched here, never carried. Its counters come
 * from where the bytes move.
 */
import type { CloseReason, FlowStateName } from '../abi.gen.js';
import { throwUncaught } from '../errors.js';
import type { BackendName, Carriage, Carrier, OnEnd, PacketDetails, Refusal } from './backend.js';

/** How a flow ended. */
export interface FlowEnd {
  /** `kept`: the engine was closed, and the kernel carries the flow on without it. */
  reason: CloseReason | 'kept';
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

/** Both ends of a flow that was found in the kernel: nobody of this process connected them. */
export interface FlowEnds {
  /** `HOST:PORT` */
  readonly client: string;
  readonly server: string;
  /** Milliseconds that it lived before it was found. */
  readonly ageMs: number;
}

export class Flow {
  /** Unique in this engine. */
  readonly id: string;
  /** For a flow that an earlier process began and left in the kernel; else undefined. */
  readonly adopted: FlowEnds | undefined;

  readonly #startedAt = performance.now();
  readonly #onEnd: (flow: Flow) => void;
  #carriage: Carriage;
  #carrier: Carrier | undefined;
  #end: FlowEnd | undefined;
  #listeners: ((end: FlowEnd) => void)[] | undefined;

  /** Flows are made by {@link SpliceEngine}. */
  constructor(
    id: string,
    carriage: Carriage,
    start: (onEnd: OnEnd) => Carrier,
    onEnd: (flow: Flow) => void,
    adopted?: FlowEnds,
  ) {
    this.id = id;
    this.adopted = adopted;
    this.#carriage = carriage;
    this.#onEnd = onEnd;
    this.#carrier = start((end, last) => this.#ended(end, last));
  }

  /** Which backend carries the bytes now; after the end, which one did last. */
  get backend(): BackendName {
    return this.#now().backend;
  }

  /** Why better backends do not, now; empty when the best one does. */
  get refusals(): readonly Refusal[] {
    return this.#now().refusals;
  }

  /** What the packet backend's programs, or the kernel module, know of the flow while they carry it. */
  packet(): PacketDetails | undefined {
    return this.#carrier?.packet?.();
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

  /** The kernel carries it by itself: it goes on when this process ends. Stays so for as long as the flow lives. */
  get independent(): boolean {
    return this.#carrier?.independent?.() === true;
  }

  /**
   * For an engine that closes and keeps what the kernel carries by itself: ends the flow here only, with reason `kept`.
   * False, changing nothing, when this flow needs the process.
   */
  leave(): boolean {
    const carriage = this.#now();
    const { bytesUp, bytesDown } = this.counters();
    if (this.#carrier?.leave?.() !== true) return false;
    const durationMs = performance.now() - this.#startedAt;
    this.#ended({ reason: 'kept', errno: 0, bytesUp, bytesDown, durationMs }, carriage);
    return true;
  }

  #ended(end: FlowEnd, last: Carriage | undefined): void {
    this.#end = end;
    this.#carriage = last ?? this.#carriage;
    this.#carrier = undefined;
    this.#onEnd(this);
    for (const listener of this.#listeners ?? []) {
      try {
        listener(end);
      } catch (error) {
        throwUncaught(error); // the others must hear of the end as well
      }
    }
  }

  #now(): Carriage {
    return this.#carrier?.carriage?.() ?? this.#carriage;
  }
}
