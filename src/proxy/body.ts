/**
 * Stages splice and relay of one message's content: what goes in, what comes out, how it ended. The movers
 * (relay-body.ts, stored-body.ts) decide between the kernel (src/engine/tap.ts) and copying, which is for TLS, for
 * content whose end only its own bytes tell (chunked), and for what is too small to be worth two threads.
 */
import type { Framing } from '../http/framing.js';
import type { Fields } from '../http/head.js';
import type { Wire } from './wire.js';

/** Content that is about to be read. */
export interface Incoming {
  readonly wire: Wire;
  readonly framing: Exclude<Framing, { kind: 'tunnel' }>;
  /** What was read behind the head already; our own copy. May hold more than the content. */
  readonly rest: Uint8Array;
  /** `response` for an origin's: its faults are a bad gateway's. */
  readonly of: 'request' | 'response';
  /** Milliseconds without a byte while one is waited for. */
  readonly idleTimeout: number;
  /** Bytes of content; more ends it as `too-large`. */
  readonly maxBytes: number;
}

/** Where content goes. */
export interface Outgoing {
  readonly wire: Wire;
  /** The head, sent in front. */
  readonly prefix: Uint8Array;
  /** How the content is framed there. `none`: the head is all. */
  readonly framing: Framing;
  /** Milliseconds in which the peer takes none of what there is for it. */
  readonly idleTimeout: number;
}

/**
 * How one side ended. `short`: the connection ended before the content did. `refused`: its framing is malformed.
 * `too-large`: more than allowed. `unwanted`: nobody was left to take it. `store`: the cache lost what it was sent from.
 */
export type BodyReason =
  'complete' | 'short' | 'reset' | 'idle' | 'refused' | 'too-large' | 'aborted' | 'unwanted' | 'store';

export interface BodyEnd {
  readonly reason: BodyReason;
  readonly errno: number;
  /** Bytes of content (not of its framing). */
  readonly bytes: number;
  /** With `store`: the receiver was sent nothing yet, not even the head. Whoever else has the content may send it. */
  readonly untouched?: true;
}

export interface ReceivedEnd extends BodyEnd {
  /** What the sender sent behind the content: the client's next request; from an origin a fault. */
  readonly leftover: Uint8Array;
  readonly trailers: Fields;
}

/**
 * Content on its way. An end is known when its field is set: at the call already where all of the content was in `rest`,
 * and then the source's wire was not touched. Its promise resolves, always, and never rejects.
 */
export interface Transfer extends SendTransfer {
  /**
   * Nothing more is read of the source; its wire is paused, and has the owner again that it had before. Complete, or not
   * at all to be reused.
   */
  readonly received: Promise<ReceivedEnd>;
  readonly receivedEnd: ReceivedEnd | undefined;
}

/** The receiver's side. */
export interface SendTransfer {
  /**
   * The receiver's wire has been given everything (`complete`; some may be unsent yet, which is for its owner to watch),
   * or is in the middle of a message: then all that is left is close(true). A chunked or close-delimited one that was cut
   * is never ended as if it were whole. Where nobody was to receive anything it is `unwanted`, at once.
   */
  readonly delivered: Promise<BodyEnd>;
  readonly deliveredEnd: BodyEnd | undefined;
  /** Bytes of content that the receiver has got so far. */
  readonly sent: number;
  /** The receiver's wire broke; a fill that is worth it goes on. The owner of that wire is the caller of the mover. */
  lost(): void;
  /** The receiver's wire has drained. */
  drained(): void;
  /** Ends everything now. */
  abort(): void;
}
