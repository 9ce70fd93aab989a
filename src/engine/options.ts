/**
 * What callers may ask of the engine, and the checks that no state changes: a value that is wrong here is wrong always.
 */
import { SpliceArgumentError } from '../errors.js';
import type { BackendName, Bound } from './backend.js';
import type { Endpoint } from './endpoint.js';
import type { PacketOptions } from './packet-options.js';
import { requireInteger } from './require.js';

/**
 * Who repairs what is lost: the two end hosts, over the whole way, or the relay's sockets, each leg for itself; `auto`
 * leaves a flow to the sockets for as long as it gains by that.
 */
export const PREFERENCES = ['auto', 'end-to-end', 'split'] as const;
export type Preference = (typeof PREFERENCES)[number];

export interface EngineOptions {
  /**
   * `auto` takes the best backend that machine and connections allow. A name takes that one,
   * throws at open when the machine has it not, and falls back per flow when a pair refuses it.
   * **Default:** `'auto'`.
   */
  backend?: BackendName | 'auto';
  /**
   * What backend `auto` takes where it has the choice: `end-to-end` is `packet` (or `module`), `split` leaves these out;
   * `auto` is `end-to-end`, but a flow whose round trip is 10 ms or more goes over only when it has run for 4 MiB or
   * 10 s without a loss on a leg that is clearly shorter than the whole way. See docs/recovery.md.
   * **Default:** `'auto'`.
   */
  prefer?: Preference;
  /** Milliseconds without a byte after which a flow ends; 0: never. **Default:** `0`. */
  idleTimeoutMs?: number;
  /** Native relay threads of the `splice` backend. **Default:** the processors, at most 4. */
  relayThreads?: number;
  /** Bytes asked of each pipe. **Default:** 131072. */
  pipeSize?: number;
  /**
   * Bytes that a direction of the `splice` backend copies before it goes over to splice(2), which
   * it then does when its reads prove bulky. **Default:** 65536.
   */
  spliceAfter?: number;
  /** Settings of the `packet` backend; `afterBytes`, `afterMs` and `sourcePorts` are the `module` backend's, too. */
  packet?: PacketOptions;
}

export interface SpliceOptions {
  /** The handshake's last words: written to the client before any byte of the server. Not counted. */
  reply?: Uint8Array;
  /**
   * Bytes of a reply that the caller has written to the client's stream, and that may still sit
   * there: the hand-over lets them leave first. More than were ever written is a mistake, and
   * refused. Not for raw descriptors: use `reply`. **Default:** `0`.
   */
  replyBytes?: number;
  /** Bytes that the caller has read from the client beyond the handshake. Bytes that sit in a Node socket's buffer are found without this. */
  clientHead?: Uint8Array;
  /** The same of the server. */
  upstreamHead?: Uint8Array;
  /**
   * Moves one direction only, at most so many bytes (heads included), and hands both sockets back:
   * Node's sockets as they were, flowing or paused. After a close reason other than `limit` and
   * `end` bytes may have been lost on the way, and all that is left to do is to destroy both.
   */
  maxBytes?: number;
  /** Which one, with `maxBytes`. **Default:** `'down'`. */
  direction?: 'up' | 'down';
  /** Overrides the engine's `idleTimeoutMs`. */
  idleTimeoutMs?: number;
}

/** Where an upstream that is a raw descriptor, and not connected yet, will be connected to. */
export interface Destination {
  /** An IP address. */
  host: string;
  port: number;
}

export interface CloseOptions {
  /**
   * Leaves flows that need no process any more (`packet` and `module` backend) to the kernel; the next engine
   * that opens here adopts them. **Default:** `false`, every flow ends.
   */
  keep?: boolean;
}

export interface SpliceNowOptions extends Omit<SpliceOptions, 'replyBytes' | 'maxBytes' | 'direction'> {
  /**
   * The caller vouches that both descriptors are connected, do not block and have TCP_NODELAY:
   * nothing of it is asked of the kernel, or set, again. **Default:** `false`.
   */
  prepared?: boolean;
}

/** Longer than any timer of Node's can wait, and long enough: 24 days. */
const LONGEST_IDLE_MS = 2 ** 31 - 1;

/** Whole milliseconds that a timer can wait; 0: never. */
export function timerOf(idleMs: number): number {
  return idleMs === Infinity ? 0 : Math.min(Math.ceil(idleMs), LONGEST_IDLE_MS);
}

export function requireReply(client: Endpoint, replyBytes: number): void {
  requireInteger('replyBytes', replyBytes, 0, Number.MAX_SAFE_INTEGER);
  if (replyBytes === 0) return;
  if (client.kind === 'descriptor') {
    throw new SpliceArgumentError(
      'replyBytes: nobody can see what is written to a descriptor; give the bytes as `reply`',
    );
  }
  if (client.socket.bytesWritten < replyBytes) {
    throw new SpliceArgumentError(
      `replyBytes: only ${client.socket.bytesWritten} bytes were written; write the reply first, or give it as \`reply\``,
    );
  }
}

export function requireBytes(options: SpliceOptions): void {
  for (const name of ['reply', 'clientHead', 'upstreamHead'] as const) {
    if (options[name] !== undefined && !(options[name] instanceof Uint8Array)) {
      throw new SpliceArgumentError(`${name}: give a Uint8Array`);
    }
  }
}

export function boundOf(options: SpliceOptions): Bound | undefined {
  const direction = options.direction ?? 'down';
  if (direction !== 'up' && direction !== 'down') throw new SpliceArgumentError('direction: give "up" or "down"');
  if (options.maxBytes === undefined) {
    if (options.direction !== undefined) throw new SpliceArgumentError('direction: only together with maxBytes');
    return undefined;
  }
  requireInteger('maxBytes', options.maxBytes, 0, Number.MAX_SAFE_INTEGER);
  const head = (direction === 'up' ? options.clientHead : options.upstreamHead)?.length ?? 0;
  const other = (direction === 'up' ? options.upstreamHead : options.clientHead)?.length ?? 0;
  if (head > options.maxBytes) throw new SpliceArgumentError(`maxBytes: the head alone has ${head} bytes`);
  if (other > 0) throw new SpliceArgumentError('a bounded flow moves one direction: keep the head of the other');
  return { direction, maxBytes: options.maxBytes };
}
