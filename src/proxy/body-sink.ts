/**
 * Stage relay: content on its way out of a wire, in the receiver's framing. Used by all movers; knows nothing of where
 * the content comes from. A chunked message is ended by finish() alone, so what was cut never looks whole.
 */
import { CHUNK_END, chunkHead, lastChunk } from '../http/chunked-encoder.js';
import { Fields } from '../http/head.js';
import { ticksOf } from './body-clock.js';
import { NOTHING, SLOW_BYTES } from './body-movers.js';
import type { Outgoing } from './body.js';
import type { Wire } from './wire.js';

export class BodySink {
  readonly wire: Wire;
  /** Bytes of content that the wire or the kernel has been given. */
  content = 0;
  readonly chunked: boolean;
  readonly idleTimeout: number;
  /** The head is all: content is not for this receiver. */
  readonly headOnly: boolean;
  /** Bytes of content that were announced; undefined: it ends with its framing. */
  readonly #announced: number | undefined;
  #prefix: Uint8Array;
  /** Bytes given to the wire since, and what of them it had passed on at the last tick. */
  #given = 0;
  #taken = 0;
  #quiet = 0;
  readonly #patience: number;

  constructor(to: Outgoing) {
    this.wire = to.wire;
    this.idleTimeout = to.idleTimeout;
    this.chunked = to.framing.kind === 'chunked';
    this.headOnly = to.framing.kind === 'none';
    this.#announced = to.framing.kind === 'length' ? to.framing.length : undefined;
    this.#prefix = to.prefix;
    this.#patience = ticksOf(to.idleTimeout);
    // What is unsent already counts as given: that it moves is a sign of life.
    this.#given = to.wire.unsent;
  }

  get slow(): boolean {
    return this.wire.unsent > SLOW_BYTES;
  }

  /** Nothing was sent: the head still waits for content. */
  get untouched(): boolean {
    return this.#prefix.length > 0;
  }

  /** Whether so many bytes more are within what was announced. */
  fits(count: number): boolean {
    return this.#announced === undefined || this.content + count <= this.#announced;
  }

  /** The head alone, when content keeps one waiting. */
  open(): void {
    this.#send(this.#takePrefix());
  }

  /** What stands behind `count` bytes, and at the `last` ones all that stands behind the content. */
  tail(count: number, last: Fields | undefined): Uint8Array {
    if (!this.chunked) return NOTHING;
    if (last === undefined) return count === 0 ? NOTHING : CHUNK_END;
    return count === 0 ? lastChunk(last) : Buffer.concat([CHUNK_END, lastChunk(last)]);
  }

  /** `count` bytes of content with their {@link tail} behind them, in memory that is the wire's from now on. */
  write(count: number, framed: Uint8Array): void {
    const lead = this.lead(count);
    this.led(count);
    if (lead.length === 0) this.#send(framed);
    else if (framed.length === 0) this.#send(lead);
    else this.#send(lead, framed);
  }

  /** Content in memory that is the wire's from now on. */
  send(bytes: Uint8Array): void {
    if (this.chunked && bytes.length > 0) this.write(bytes.length, Buffer.concat([bytes, CHUNK_END]));
    else this.write(bytes.length, bytes);
  }

  /** Content that goes out together with what comes next; not for a chunked message. */
  preface(bytes: Uint8Array): void {
    this.#prefix = this.#prefix.length === 0 ? bytes : Buffer.concat([this.#prefix, bytes]);
    this.content += bytes.length;
  }

  /** What goes out in front of `count` bytes. The kernel may send both: then {@link led}, and {@link moved} behind them. */
  lead(count: number): Uint8Array {
    const head = this.chunked && count > 0 ? chunkHead(count) : NOTHING;
    if (this.#prefix.length === 0) return head;
    return head.length === 0 ? this.#prefix : Buffer.concat([this.#prefix, head]);
  }

  led(count: number): void {
    this.#prefix = NOTHING;
    this.content += count;
  }

  /** The kernel has sent `moved` of the `count` bytes that were led. Only all of them are followed by a tail. */
  moved(moved: number, count: number): void {
    this.content -= count - moved;
    if (this.chunked && moved === count) this.#send(CHUNK_END);
  }

  /** The content is whole; what stands behind it goes out, unless `written` says that it was in the last tail. */
  finish(trailers: Fields, written = false): boolean {
    if (this.#announced !== undefined && this.content !== this.#announced) return false;
    const prefix = this.#takePrefix();
    if (written || !this.chunked) this.#send(prefix);
    else this.#send(Buffer.concat([prefix, lastChunk(trailers)]));
    return true;
  }

  /** Once a tick. True: the peer took nothing of what there is for it, for its idle time. */
  stalls(): boolean {
    const { unsent } = this.wire;
    const taken = this.#given - unsent;
    if (unsent === 0 || taken !== this.#taken) {
      this.#taken = taken;
      this.#quiet = 0;
      return false;
    }
    return ++this.#quiet >= this.#patience;
  }

  #takePrefix(): Uint8Array {
    const prefix = this.#prefix;
    this.#prefix = NOTHING;
    return prefix;
  }

  #send(bytes: Uint8Array, more?: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#given += bytes.length + (more?.length ?? 0);
    if (more === undefined) this.wire.send(bytes);
    else this.wire.send(bytes, more);
  }
}
