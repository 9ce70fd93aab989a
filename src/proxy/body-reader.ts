/**
 * Stage relay: which bytes of a connection are content, by any framing. Sans-io; fed by copied-body.ts with what was
 * read, and told of what the kernel moved instead. Counts, and moves nothing.
 */
import { ChunkedDecoder, type Span } from '../http/chunked.js';
import { Fields } from '../http/head.js';
import type { Incoming } from './body.js';

export type ContentFault = 'refused' | 'too-large';

const NO_SPANS: readonly Span[] = [];

export class ContentReader {
  /** Bytes of content so far. */
  bytes = 0;
  ended = false;
  trailers = Fields.EMPTY;
  /** Of the piece taken last: offset of the first byte behind what belongs to the content. */
  end = 0;
  /** How long the content is; undefined where only its end tells. */
  readonly length: number | undefined;
  readonly #most: number;
  readonly #decoder: ChunkedDecoder | undefined;
  #spans: readonly Span[] = NO_SPANS;

  constructor(from: Incoming) {
    const { framing, of, maxBytes } = from;
    this.#most = maxBytes;
    this.length = framing.kind === 'length' ? framing.length : framing.kind === 'none' ? 0 : undefined;
    this.#decoder = framing.kind === 'chunked' ? new ChunkedDecoder(of, { maxBodyBytes: maxBytes }) : undefined;
    this.ended = this.length === 0;
  }

  /** More than is allowed is announced. */
  get tooLarge(): boolean {
    return this.length !== undefined && this.length > this.#most;
  }

  /** Bytes that follow and are content for certain; Infinity: all that comes. */
  get ahead(): number {
    if (this.length !== undefined) return this.length - this.bytes;
    if (this.#decoder !== undefined) return this.#decoder.ahead;
    return this.#most === Infinity ? Infinity : 0;
  }

  /** Takes the next piece and gives how many bytes of it are content. A fault spoils the whole piece. */
  receive(piece: Uint8Array): number | ContentFault {
    if (this.#decoder !== undefined) return this.#decode(this.#decoder, piece);
    const count = this.length === undefined ? piece.length : Math.min(this.length - this.bytes, piece.length);
    if (this.bytes + count > this.#most) return 'too-large';
    this.bytes += count;
    this.end = count;
    this.ended = this.bytes === this.length;
    return count;
  }

  /** The content of the piece taken last where it is in one place: a view of it. */
  viewOf(piece: Uint8Array): Uint8Array | undefined {
    if (this.#decoder === undefined) return piece.subarray(0, this.end);
    let view: Uint8Array | undefined;
    for (const { kind, start, end } of this.#spans) {
      if (kind !== 'data') continue;
      if (view !== undefined) return undefined;
      view = piece.subarray(start, end);
    }
    return view;
  }

  /** Copies the content of the piece taken last to the beginning of `target`. */
  copyOf(piece: Uint8Array, target: Uint8Array): void {
    if (this.#decoder === undefined) {
      target.set(piece.subarray(0, this.end));
      return;
    }
    let at = 0;
    for (const { kind, start, end } of this.#spans) {
      if (kind !== 'data') continue;
      target.set(piece.subarray(start, end), at);
      at += end - start;
    }
  }

  /** So many bytes of content went by without passing here. */
  moved(count: number): void {
    this.#decoder?.moved(count);
    this.bytes += count;
    this.ended = this.bytes === this.length;
  }

  /** The sender has sent FIN. True: that is how this content ends. */
  finish(): boolean {
    if (this.length === undefined && this.#decoder === undefined) this.ended = true;
    return this.ended;
  }

  #decode(decoder: ChunkedDecoder, piece: Uint8Array): number | ContentFault {
    const result = decoder.receive(piece);
    if (result.kind === 'refused') return result.reason === 'chunk-too-large' ? 'too-large' : 'refused';
    this.#spans = result.spans;
    this.end = piece.length;
    if (result.kind === 'end') {
      this.end = result.end;
      this.trailers = result.trailers;
      this.ended = true;
    }
    let count = 0;
    for (const { kind, start, end } of result.spans) if (kind === 'data') count += end - start;
    this.bytes += count;
    return count;
  }
}
