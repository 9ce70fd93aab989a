/**
 * Stages accept and handshake: turns the reactor's records into calls on whoever owns the slot.
 * Runs on the thread that made it; owners must not keep the byte views that they are given.
 */
import { REACTOR_EVENT, REACTOR_WORDS } from '../abi.gen.js';
import { throwUncaught } from '../errors.js';
import { native, type Quota, type Reactor } from '../native.js';

/** What happens to a connection that is being accepted, shaken hands with, or connected. */
export interface SlotOwner {
  onData(slot: number, bytes: Uint8Array): void;
  /** The peer sent FIN (a lingering slot: is done). */
  onEnd(slot: number): void;
  /** The connection is broken; `errno` may be 0 when the kernel told it already. */
  onFailed(slot: number, errno: number): void;
  /** connect(2) has ended; `errno` 0 and our own address, encoded, when it succeeded. */
  onConnected(slot: number, errno: number, local: Uint8Array): void;
}

export interface ListenerOwner {
  /** A new connection. `peer` is its encoded address. */
  onAccepted(slot: number, listener: number, peer: Uint8Array): void;
  /** accept(2) failed for want of descriptors or memory. */
  onAcceptFailed(listener: number, errno: number): void;
  /** Nobody was accepted, because no seat was free. Comes again and again until the listener is paused. */
  onFull(listener: number): void;
}

/** Records of one batch; more than that many events come as several batches. */
const RECORDS = 512;
/** Bytes of one batch: room for many handshakes, or 64 full reads. */
const BYTES = 256 * 1024;

export class ReactorHost {
  readonly reactor: Reactor;
  readonly #records = new Int32Array(RECORDS * REACTOR_WORDS);
  readonly #bytes = new Uint8Array(BYTES);
  readonly #owners: (SlotOwner | undefined)[] = [];
  readonly #listeners = new Map<number, ListenerOwner>();
  #quota: Quota | undefined;

  constructor() {
    this.reactor = new (native().Reactor)(this.#records, this.#bytes, (count) => this.#dispatch(count));
  }

  /** Watches a listening descriptor, whose connections take seats of `quota`; returns its slot. */
  listen(fd: number, quota: Quota, owner: ListenerOwner): number {
    const slot = this.reactor.listen(fd, quota);
    this.#quota = quota;
    this.#listeners.set(slot, owner);
    return slot;
  }

  /** Says who hears of a slot. */
  own(slot: number, owner: SlotOwner): void {
    this.#owners[slot] = owner;
  }

  /** Closes a connection's slot, by RST when `reset`. */
  close(slot: number, reset: boolean): void {
    this.#owners[slot] = undefined;
    this.reactor.close(slot, reset);
  }

  closeListener(slot: number): void {
    this.#listeners.delete(slot);
    this.reactor.close(slot, false);
  }

  /** Takes the descriptor out; it belongs to the caller. */
  take(slot: number): number {
    this.#owners[slot] = undefined;
    return this.reactor.take(slot);
  }

  stop(): void {
    this.reactor.stop();
    this.#owners.length = 0;
    this.#listeners.clear();
  }

  #dispatch(count: number): void {
    for (let at = 0; at < count * REACTOR_WORDS; at += REACTOR_WORDS) {
      try {
        this.#hand(at);
      } catch (error) {
        // Uncaught, as from any event; but the batch's other connections must not lose theirs.
        throwUncaught(error);
      }
    }
  }

  #hand(at: number): void {
    const slot = this.#records[at + 1]!;
    const value = this.#records[at + 2]!;
    switch (this.#records[at]) {
      case REACTOR_EVENT.accepted: {
        const listener = this.#listeners.get(value);
        // Its listener was closed earlier in this batch: nobody else would ever close it.
        if (listener === undefined) {
          this.close(slot, true);
          this.#quota?.leaveSeat();
        } else {
          listener.onAccepted(slot, value, this.#view(at));
        }
        break;
      }
      case REACTOR_EVENT.data:
        this.#owners[slot]?.onData(slot, this.#view(at));
        break;
      case REACTOR_EVENT.end:
        this.#owners[slot]?.onEnd(slot);
        break;
      case REACTOR_EVENT.failed:
        this.#owners[slot]?.onFailed(slot, value);
        break;
      case REACTOR_EVENT.connected:
        this.#owners[slot]?.onConnected(slot, value, this.#view(at));
        break;
      case REACTOR_EVENT['accept-failed']:
        this.#listeners.get(slot)?.onAcceptFailed(slot, value);
        break;
      case REACTOR_EVENT.full:
        this.#listeners.get(slot)?.onFull(slot);
        break;
    }
  }

  #view(at: number): Uint8Array {
    const offset = this.#records[at + 3]!;
    return this.#bytes.subarray(offset, offset + this.#records[at + 4]!);
  }
}
