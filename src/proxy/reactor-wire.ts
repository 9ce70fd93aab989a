/**
 * All stages: a connection in the clear, on a slot of the reactor. It sends at once what the kernel takes and keeps the
 * rest; it reads until it is paused. Made at accept, and by the pool when an origin is connected. Its descriptor can be
 * lent to the kernel: see Wire. Owners are called from events of the reactor, and from microtasks behind resume() and a
 * failed send(): never from within a method.
 */
import { constants } from 'node:os';
import { SpliceStateError } from '../errors.js';
import { decodeAddress, type SocketAddress } from '../flow/address.js';
import type { Leaver } from '../flow/lingering.js';
import type { ReactorHost, SlotOwner } from '../server/reactor-host.js';
import { NOBODY, type Wire, type WireOwner } from './wire.js';

const { EAGAIN, EPIPE, ECONNRESET } = constants.errno;

const NOTHING = new Uint8Array(0);
/** Places of buffers that have gone out at the front of the queue; then it is made shorter. */
const MOST_SENT = 256;

/** `over`: closed, broken or detached. `finishing`: nobody's any more, what is unsent goes out. */
type State = 'open' | 'finishing' | 'over';

export class ReactorWire implements Wire, SlotOwner, Leaver {
  readonly scheme = 'http';
  readonly slot: number;
  owner: WireOwner = NOBODY;
  readonly #host: ReactorHost;
  #peer: SocketAddress;
  #local: SocketAddress | undefined;
  #state: State = 'open';
  #paused: boolean;
  #ended = false;
  /** The kernel may hold what no turn has read: it was resumed, or the last read was a full one. */
  #maybeMore = false;
  /** A FIN that was read after the pause. */
  #endWaits = false;
  /** Bytes that were read after the pause: their event was on the way already. */
  #waiting: Uint8Array | undefined;
  /** What the kernel did not take, from `#first` on. */
  #queue: Uint8Array[] = [];
  #first = 0;
  #unsent = 0;
  /** Sending has failed: nothing goes out any more, but what the peer said before can still be read. */
  #sendErrno = 0;

  /**
   * @param local undefined: the socket is asked when somebody wants to know
   * @param paused how the slot is: one that has just been connected is held
   */
  constructor(host: ReactorHost, slot: number, peer: SocketAddress, local?: SocketAddress, paused = false) {
    this.#host = host;
    this.slot = slot;
    this.#peer = peer;
    this.#local = local;
    this.#paused = paused;
    host.own(slot, this);
  }

  get peer(): SocketAddress {
    return this.#peer;
  }

  get local(): SocketAddress {
    return (this.#local ??= decodeAddress(this.#host.reactor.local(this.slot)));
  }

  get open(): boolean {
    return this.#state === 'open';
  }

  get ended(): boolean {
    return this.#ended;
  }

  quiet(): boolean {
    if (this.#state !== 'open' || this.#waiting !== undefined || this.#ended) return false;
    // Of one that reads the kernel holds nothing back, mostly: what comes in comes with a turn.
    return this.#paused || this.#maybeMore ? this.#host.quiet(this.slot) : !this.#host.announced(this.slot);
  }

  get unsent(): number {
    return this.#unsent;
  }

  get descriptor(): number | undefined {
    return this.#state === 'open' ? this.#host.reactor.descriptor(this.slot) : undefined;
  }

  /** What a PROXY protocol header says of both ends. */
  rename(peer: SocketAddress, local: SocketAddress): void {
    this.#peer = peer;
    this.#local = local;
  }

  send(bytes: Uint8Array, more?: Uint8Array): void {
    if (this.#state !== 'open' || this.#sendErrno !== 0) return;
    if (this.#unsent > 0) {
      this.#keep(bytes, 0);
      if (more !== undefined) this.#keep(more, 0);
      return;
    }
    const taken = this.#host.reactor.send(this.slot, bytes, more);
    if (taken !== bytes.length + (more === undefined ? 0 : more.length)) this.#short(taken, bytes, more);
  }

  pause(): void {
    if (this.#state !== 'open' || this.#paused) return;
    this.#paused = true;
    this.#host.reactor.hold(this.slot);
  }

  resume(): void {
    if (this.#state !== 'open' || !this.#paused) return;
    this.#paused = false;
    this.#maybeMore = true;
    if (this.#waiting === undefined && !this.#endWaits) this.#host.reactor.release(this.slot);
    else queueMicrotask(() => this.#catchUp());
  }

  unread(): Uint8Array | undefined {
    const waiting = this.#waiting ?? (this.#state === 'open' ? this.#host.unread(this.slot) : undefined);
    this.#waiting = undefined;
    return waiting;
  }

  detach(): number {
    if (this.#state !== 'open') return -1;
    if (this.unsent > 0) throw new SpliceStateError('detach', 'bytes are unsent', 'wait for onDrained');
    const unread = this.unread();
    if (unread !== undefined) {
      this.#waiting = unread;
      throw new SpliceStateError('detach', 'bytes of the peer wait in the wire', 'call unread() before');
    }
    this.#leave();
    return this.#host.take(this.slot);
  }

  finish(): void {
    if (this.#state !== 'open') return;
    if (this.unsent === 0) {
      this.#leave();
      this.#host.linger(this.slot);
      return;
    }
    this.owner = NOBODY;
    this.#waiting = undefined;
    this.#state = 'finishing';
    // What comes is thrown away: a peer that sends all before it reads must get to read.
    if (this.#paused) this.#host.reactor.release(this.slot);
    this.#host.lingering.add(this);
  }

  close(reset: boolean): void {
    if (this.#state !== 'open') return;
    this.#leave();
    this.#host.close(this.slot, reset);
  }

  /** Nothing went out for too long after finish(): what did must not look whole. */
  cut(): void {
    this.#leave();
    this.#host.close(this.slot, true);
  }

  onData(_slot: number, bytes: Uint8Array): void {
    if (this.#state !== 'open') return;
    this.#maybeMore = bytes.length >= this.#host.readSize;
    if (!this.#paused && this.#waiting === undefined) this.owner.onData(bytes);
    else this.#waiting = this.#waiting === undefined ? bytes.slice() : Buffer.concat([this.#waiting, bytes]);
  }

  onEnd(): void {
    if (this.#state !== 'open' || this.#ended) return;
    // The send took the socket's error, and what reads as an end now is none. EPIPE comes behind a FIN only.
    if (this.#sendErrno !== 0 && this.#sendErrno !== EPIPE) {
      this.onFailed(this.slot, this.#sendErrno);
      return;
    }
    this.#ended = true;
    if (this.#paused || this.#waiting !== undefined) this.#endWaits = true;
    else this.owner.onEnd();
  }

  onFailed(_slot: number, errno: number): void {
    if (this.#state === 'finishing') this.#host.lingering.delete(this);
    const { owner } = this;
    this.#leave();
    this.#host.close(this.slot, true);
    owner.onBroken(errno === 0 ? this.#sendErrno : errno);
  }

  onConnected(): void {
    // It is connected.
  }

  onWritable(): void {
    while (this.#unsent > 0) {
      const bytes = this.#queue[this.#first]!;
      const more = this.#queue[this.#first + 1];
      const taken = this.#host.reactor.send(this.slot, bytes, more);
      if (taken < 0 && taken !== -EAGAIN) {
        this.#failSending(-taken);
        return;
      }
      this.#advance(Math.max(0, taken));
      if (taken !== bytes.length + (more?.length ?? 0)) {
        this.#host.reactor.awaitWritable(this.slot);
        break;
      }
    }
    if (this.#state === 'open') {
      if (this.#unsent === 0) this.owner.onDrained();
      return;
    }
    this.#host.lingering.delete(this);
    if (this.#unsent > 0) {
      this.#host.lingering.add(this); // it reads, if slowly
    } else {
      this.#leave();
      this.#host.linger(this.slot);
    }
  }

  /** What came in while it was paused goes to the owner before anything that is read now. */
  #catchUp(): void {
    const waiting = this.#waiting;
    if (this.#state !== 'open' || this.#paused) return;
    this.#waiting = undefined;
    if (waiting !== undefined) this.owner.onData(waiting);
    if (this.#endWaits && this.#reads()) {
      this.#endWaits = false;
      this.owner.onEnd();
    }
    if (this.#reads()) this.#host.reactor.release(this.slot);
  }

  #reads(): boolean {
    return this.#state === 'open' && !this.#paused;
  }

  #keep(bytes: Uint8Array, from: number): void {
    if (bytes.length === from) return;
    this.#queue.push(from === 0 ? bytes : bytes.subarray(from));
    this.#unsent += bytes.length - from;
  }

  #short(taken: number, bytes: Uint8Array, more: Uint8Array | undefined): void {
    if (taken < 0 && taken !== -EAGAIN) {
      this.#failSending(-taken);
      return;
    }
    const sent = Math.max(0, taken);
    this.#keep(bytes, Math.min(sent, bytes.length));
    if (more !== undefined) this.#keep(more, Math.max(0, sent - bytes.length));
    this.#host.reactor.awaitWritable(this.slot);
  }

  #advance(taken: number): void {
    this.#unsent -= taken;
    if (this.#unsent === 0) {
      this.#queue = [];
      this.#first = 0;
      return;
    }
    let left = taken;
    while (left > 0) {
      const head = this.#queue[this.#first]!;
      if (left < head.length) {
        this.#queue[this.#first] = head.subarray(left);
        return;
      }
      left -= head.length;
      this.#queue[this.#first] = NOTHING;
      this.#first++;
    }
    if (this.#first < MOST_SENT) return;
    this.#queue.splice(0, this.#first);
    this.#first = 0;
  }

  /**
   * onBroken comes behind what the peer had said, a server's early answer perhaps: the reactor reports a reset when it
   * has read all that came before. What else may fail it does not see.
   */
  #failSending(errno: number): void {
    this.#sendErrno = errno;
    this.#unsent = 0;
    this.#queue = [];
    this.#first = 0;
    if (errno === EPIPE || errno === ECONNRESET) return;
    queueMicrotask(() => this.#state !== 'over' && this.onFailed(this.slot, errno));
  }

  #leave(): void {
    this.#state = 'over';
    this.#queue = [];
    this.#unsent = 0;
    this.#waiting = undefined;
  }
}
