/**
 * One connection as the HTTP proxy sees it, to a client or to an origin, in the clear or with TLS. All stages use it;
 * reactor-wire.ts and tls-wire.ts make them. A wire has one owner at a time, which hears what happens on it; whoever
 * lends its descriptor to the kernel (bodies, tunnels) keeps JavaScript away from that direction meanwhile.
 */
import type { Duplex } from 'node:stream';
import type { SocketAddress } from '../flow/address.js';

/** Who hears of a wire. Called in the turn of the event, never from within a method of the wire. */
export interface WireOwner {
  /** The view is overwritten after the call: copy what is kept. */
  onData(bytes: Uint8Array): void;
  /** The peer sent FIN; it can still be written to. */
  onEnd(): void;
  /** The connection is broken, and the wire closed already. `errno` may be 0 where it is not known. */
  onBroken(errno: number): void;
  /** The kernel has taken everything that was sent; only after `unsent` was not 0. */
  onDrained(): void;
}

/** The owner of a wire that nobody has taken yet. */
export const NOBODY: WireOwner = {
  onData: () => undefined,
  onEnd: () => undefined,
  onBroken: () => undefined,
  onDrained: () => undefined,
};

export interface Wire {
  readonly peer: SocketAddress;
  /** Our end. */
  readonly local: SocketAddress;
  readonly scheme: 'http' | 'https';
  /** False once it is closed, broken or detached; calls do nothing then. */
  readonly open: boolean;
  /** The peer's FIN was read: nothing more comes, and an origin's connection cannot be used again. */
  readonly ended: boolean;
  /** Whether neither bytes nor a FIN nor an error wait to be read: asks the kernel, so not for every packet. */
  quiet(): boolean;
  /** Bytes that the kernel has not taken yet. */
  readonly unsent: number;
  /**
   * For bodies that the kernel moves, and for nothing else; it stays the wire's. Undefined where bytes have to pass
   * through this process (TLS). Bytes that are unsent come first: wait for onDrained before the kernel writes.
   */
  readonly descriptor: number | undefined;
  owner: WireOwner;
  /** Sends in order, `more` behind `bytes` in the same segment where that can be. Both are the wire's from now on. */
  send(bytes: Uint8Array, more?: Uint8Array): void;
  /**
   * Reads no more, from this moment on: bytes and FIN wait, onBroken still comes. Idempotent. A pair of pause and resume
   * costs no system call where nothing came between them.
   */
  pause(): void;
  /** What waits comes with the next turn. */
  resume(): void;
  /**
   * What the wire had read already when it was paused, for whoever reads its descriptor now: to be asked once before
   * that, and before detach(). Never anything for who paused it in its own onData. What is not taken comes with resume().
   */
  unread(): Uint8Array | undefined;
  /**
   * Hands the connection out; the wire is over, without a word to the peer.
   * @throws SpliceStateError while bytes are unsent or unread
   */
  detach(): number | Duplex;
  /**
   * The last word was sent: FIN behind it, then what the peer still sends is thrown away for a while, so that it gets to
   * read that word (a close with unread bytes would be a reset). Nothing more is heard of it.
   */
  finish(): void;
  /** At once; by RST when `reset`, for a message that must not look whole. What is unsent is lost. */
  close(reset: boolean): void;
}
