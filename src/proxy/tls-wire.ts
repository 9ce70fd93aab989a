/**
 * All stages: a connection with TLS, over one of Node's sockets whose handshake is done. Its bytes pass through this
 * process, so it has no descriptor to lend. Made by accept-wire.ts for clients and by the pool for origins.
 *
 * A FIN without close_notify before it looks like one with it: Node does not tell them apart.
 */
import { constants } from 'node:os';
import type { TLSSocket } from 'node:tls';
import { resetSocket, wasReset } from '../engine/endpoint.js';
import { errnoOf } from '../engine/errno-of.js';
import { SpliceStateError } from '../errors.js';
import type { SocketAddress } from '../flow/address.js';
import type { Leaver, Lingering } from '../flow/lingering.js';
import { NOBODY, type Wire, type WireOwner } from './wire.js';

/**
 * Bytes that Node's socket may hold, and the most that it gets at once: it encrypts what it is given in one go, and says
 * when all of it has gone out. A body in one piece would stop the thread, and a slow reader would look like none.
 */
const WINDOW = 64 * 1024;

/** The wire begins paused. `lingering` is the server's: who finishes waits there. */
export function tlsWire(socket: TLSSocket, peer: SocketAddress, local: SocketAddress, lingering: Lingering): Wire {
  return new TlsWire(socket, peer, local, lingering);
}

class TlsWire implements Wire, Leaver {
  readonly scheme = 'https';
  readonly descriptor = undefined;
  readonly peer: SocketAddress;
  readonly local: SocketAddress;
  owner: WireOwner = NOBODY;
  readonly #socket: TLSSocket;
  readonly #lingering: Lingering;
  #state: 'open' | 'finishing' | 'over' = 'open';
  #ended = false;
  #queue: Uint8Array[] = [];
  #queued = 0;
  /** The owner waits for onDrained. */
  #owed = false;

  readonly #onData = (bytes: Uint8Array): void => {
    if (this.#state === 'open') this.owner.onData(bytes);
  };

  readonly #onEnd = (): void => {
    if (this.#state !== 'open') return;
    if (wasReset(this.#socket)) {
      this.#break(constants.errno.ECONNRESET);
      return;
    }
    this.#ended = true;
    this.owner.onEnd();
  };

  readonly #onError = (error: Error): void => {
    this.#break(errnoOf(error));
  };

  readonly #onClose = (): void => {
    this.#break(0);
  };

  readonly #onWritten = (error?: Error | null): void => {
    if (error || this.#state === 'over') return; // the event 'error' says so, too
    this.#pump();
    if (this.#state === 'finishing') {
      this.#lingering.add(this); // it reads, if slowly
      if (this.#queued === 0) this.#socket.end();
    } else if (this.#owed && this.unsent === 0) {
      this.#owed = false;
      this.owner.onDrained();
    }
  };

  constructor(socket: TLSSocket, peer: SocketAddress, local: SocketAddress, lingering: Lingering) {
    this.#socket = socket;
    this.peer = peer;
    this.local = local;
    this.#lingering = lingering;
    socket.pause();
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    socket.on('error', this.#onError);
    socket.on('close', this.#onClose);
  }

  get open(): boolean {
    return this.#state === 'open';
  }

  get ended(): boolean {
    return this.#ended;
  }

  get unsent(): number {
    return this.#queued + this.#socket.writableLength;
  }

  quiet(): boolean {
    const { readableLength, readableEnded, destroyed } = this.#socket;
    return this.#state === 'open' && !this.#ended && readableLength === 0 && !readableEnded && !destroyed;
  }

  send(bytes: Uint8Array, more?: Uint8Array): void {
    if (this.#state !== 'open') return;
    this.#keep(bytes);
    if (more !== undefined) this.#keep(more);
    this.#pump();
    if (this.unsent > 0) this.#owed = true;
  }

  pause(): void {
    if (this.#state === 'open') this.#socket.pause();
  }

  resume(): void {
    if (this.#state === 'open') this.#socket.resume();
  }

  /** What was read and not told is still in the socket, also when that is detached. */
  unread(): undefined {
    return undefined;
  }

  detach(): TLSSocket {
    if (this.#state === 'open' && this.unsent > 0)
      throw new SpliceStateError('detach', 'bytes are unsent', 'wait for onDrained');
    this.#socket.pause();
    this.#leave();
    return this.#socket;
  }

  finish(): void {
    if (this.#state !== 'open') return;
    this.owner = NOBODY;
    this.#state = 'finishing';
    if (this.#queued === 0) this.#socket.end();
    this.#socket.resume();
    this.#lingering.add(this);
  }

  close(reset: boolean): void {
    if (this.#state !== 'open') return;
    this.#leave();
    if (reset) resetSocket(this.#socket);
    else this.#socket.destroy();
  }

  /** Nothing went out for too long after finish(): what did must not look whole. */
  cut(): void {
    const whole = this.unsent === 0;
    this.#leave();
    if (whole) this.#socket.destroy();
    else resetSocket(this.#socket);
  }

  #keep(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += WINDOW) {
      this.#queue.push(bytes.length <= WINDOW ? bytes : bytes.subarray(at, at + WINDOW));
    }
    this.#queued += bytes.length;
  }

  #pump(): void {
    const socket = this.#socket;
    if (this.#queued === 0 || socket.writableLength >= WINDOW) return;
    let taken = 0;
    socket.cork(); // head and content in one record
    while (taken < this.#queue.length && socket.writableLength < WINDOW) {
      const bytes = this.#queue[taken]!;
      socket.write(bytes, this.#onWritten);
      this.#queued -= bytes.length;
      taken++;
    }
    socket.uncork();
    this.#queue.splice(0, taken);
  }

  #break(errno: number): void {
    if (this.#state === 'over') return;
    const { owner } = this;
    this.#lingering.delete(this);
    this.#leave();
    this.#socket.destroy();
    owner.onBroken(errno);
  }

  #leave(): void {
    const socket = this.#socket;
    this.#state = 'over';
    this.#queue = [];
    this.#queued = 0;
    socket.off('data', this.#onData);
    socket.off('end', this.#onEnd);
    socket.off('close', this.#onClose);
    // What still goes wrong concerns nobody, but an error that nobody listens for would end the process.
    socket.off('error', this.#onError);
    socket.on('error', ignore);
  }
}

function ignore(): void {
  // Said above.
}
