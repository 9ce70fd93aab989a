/**
 * Stages accept and handshake: turns the reactor's records into calls on whoever owns the slot.
 * Runs on the thread that made it; owners must not keep the byte views that they are given.
 */
import { REACTOR_EVENT, REACTOR_WORDS } from '../abi.gen.js';
import { throwUncaught } from '../errors.js';
import { Lingering, type Leaver } from '../flow/lingering.js';
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
  /** The kernel takes bytes again; only after `reactor.awaitWritable`. */
  onWritable?(slot: number): void;
}

export interface ListenerOwner {
  /** A new connection. `peer` is its encoded address. */
  onAccepted(slot: number, listener: number, peer: Uint8Array): void;
  /** accept(2) failed for want of descriptors or memory. */
  onAcceptFailed(listener: number, errno: number): void;
  /** Nobody was accepted, because no seat was free. Comes again and again until the listener is paused. */
  onFull(listener: number): void;
}

export interface ReactorHostOptions {
  /** Bytes of a read. **Default:** 4096, in which a handshake fits many times */
  readonly readSize?: number;
  /** Milliseconds for a peer that we have said goodbye to. **Default:** 2000 */
  readonly lingerMs?: number;
  /** How many of them there may be. **Default:** 256 */
  readonly mostLingering?: number;
  /** They are closed by RST when their time is over. What the kernel still has to send is lost with it. **Default:** false */
  readonly resetLingering?: boolean;
}

/** Records of one batch; more than that many events come as several batches. */
const RECORDS = 512;
/** Full reads of one batch; of shorter ones more fit. */
const READS = 64;
const READ_SIZE = 4096;
const LINGER_MS = 2000;
/** An event of no meaning: its record was taken out of the batch. */
const TAKEN = -1;

export class ReactorHost {
  readonly reactor: Reactor;
  /** Whom {@link linger} waits for, and whoever else is on the way out. Its owner sweeps it. */
  readonly lingering: Lingering;
  /** Bytes of a full read: behind one the kernel may have more. */
  readonly readSize: number;
  readonly #records = new Int32Array(RECORDS * REACTOR_WORDS);
  readonly #bytes: Uint8Array;
  readonly #resetLingering: boolean;
  readonly #owners: (SlotOwner | undefined)[] = [];
  readonly #listeners = new Map<number, ListenerOwner>();
  #quota: Quota | undefined;
  /** Words of the batch under way: where its next record stands, and where it ends. */
  #next = 0;
  #end = 0;

  constructor(options: ReactorHostOptions = {}) {
    this.readSize = options.readSize ?? READ_SIZE;
    this.#bytes = new Uint8Array(READS * this.readSize);
    this.#resetLingering = options.resetLingering ?? false;
    this.lingering = new Lingering(options.lingerMs ?? LINGER_MS, options.mostLingering);
    this.reactor = new (native().Reactor)(this.#records, this.#bytes, (count) => this.#dispatch(count), this.readSize);
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

  /**
   * Closes a connection's slot so that what was sent last arrives: FIN, then what the peer still sends is thrown away
   * for a while. Nobody hears of it any more.
   */
  linger(slot: number): void {
    if (this.reactor.linger(slot)) {
      this.close(slot, false);
      return;
    }
    const goodbye = new Goodbye(this, slot, this.#resetLingering);
    this.own(slot, goodbye);
    this.lingering.add(goodbye);
  }

  /** Whether neither the kernel nor the batch under way has something of this slot that was not told yet. */
  quiet(slot: number): boolean {
    return !this.announced(slot) && this.reactor.quiet(slot);
  }

  /** Whether the batch under way has something of this slot that was not told yet. */
  announced(slot: number): boolean {
    for (let at = this.#next; at < this.#end; at += REACTOR_WORDS) {
      if (this.#records[at + 1] === slot && this.#records[at] !== TAKEN) return true;
    }
    return false;
  }

  /**
   * What was read of a slot and would come later in the batch that is under way: it comes no more, and is the caller's.
   * For whoever reads the descriptor itself from now on.
   */
  unread(slot: number): Uint8Array | undefined {
    for (let at = this.#next; at < this.#end; at += REACTOR_WORDS) {
      if (this.#records[at + 1] === slot && this.#records[at] === REACTOR_EVENT.data) {
        this.#records[at] = TAKEN;
        return this.#view(at).slice();
      }
    }
    return undefined;
  }

  /** Gives back the seat of a connection that was accepted and that nobody has counted in. */
  leaveSeat(): void {
    this.#quota?.leaveSeat();
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
    this.#end = count * REACTOR_WORDS;
    for (let at = 0; at < this.#end; at += REACTOR_WORDS) {
      this.#next = at + REACTOR_WORDS;
      try {
        this.#hand(at);
      } catch (error) {
        // Uncaught, as from any event; but the batch's other connections must not lose theirs.
        throwUncaught(error);
      }
    }
    this.#end = 0;
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
          this.leaveSeat();
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
      case REACTOR_EVENT.writable:
        this.#owners[slot]?.onWritable?.(slot);
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

/** Waits, within a deadline, until the peer has read what it was told last and closed. */
class Goodbye implements SlotOwner, Leaver {
  readonly #host: ReactorHost;
  readonly #slot: number;
  readonly #reset: boolean;

  constructor(host: ReactorHost, slot: number, reset: boolean) {
    this.#host = host;
    this.#slot = slot;
    this.#reset = reset;
  }

  onEnd(): void {
    this.#host.lingering.delete(this);
    this.#host.close(this.#slot, false);
  }

  onFailed(): void {
    this.onEnd();
  }

  onData(): void {
    // A lingering slot's bytes are thrown away in the reactor.
  }

  onConnected(): void {
    // It is not connecting.
  }

  cut(): void {
    this.#host.close(this.#slot, this.#reset);
  }
}
