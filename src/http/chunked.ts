/**
 * The chunked transfer coding (RFC 9112 section 7.1), taken apart without moving a byte. Stage: relay. The server gives
 * the decoder what it has read, and gets back which bytes are data, which framing, which trailers, and at which byte the
 * message ends:
 *
 *     receive(piece) ──► { spans } ... { spans, end, trailers }
 *         └─ ahead > 0: so many of the bytes that follow in the socket are data; the kernel may move them ──► moved(n)
 *
 * Strict, because a chunk that two recipients measure differently is a smuggled request: the size is hexadecimal digits
 * and nothing else, lines end with CRLF, after the data comes CRLF. Extensions are passed over, whatever they say, but
 * their bytes are limited. What comes out depends on the bytes, never on how they were cut. No input throws; only
 * `moved()` with a wrong count does.
 */
import { SpliceArgumentError } from '../errors.js';
import { CR, HTAB, LF, SP, isFieldByte, isHexDigit } from './characters.js';
import { Fields } from './head.js';
import { HeadGate, MORE, REFUSED } from './head-gate.js';
import { type Refusal, asBadGateway, refuse } from './refusal.js';
import { readTrailers } from './trailers.js';

export type SpanKind = 'data' | 'framing' | 'trailers';

/** Bytes from `start` to `end` of the piece last given. Neighbours are of different kinds. */
export interface Span {
  readonly kind: SpanKind;
  readonly start: number;
  readonly end: number;
}

export type ChunkedResult =
  | { readonly kind: 'more'; readonly spans: readonly Span[] }
  /** `end` is the offset of the first byte behind the message. */
  | { readonly kind: 'end'; readonly spans: readonly Span[]; readonly end: number; readonly trailers: Fields }
  /** Nothing of this piece is to be passed on. */
  | Refusal;

export interface ChunkedLimits {
  /** Bytes of data in one chunk. Default: none but what a number holds exactly. */
  readonly maxChunkBytes: number;
  /** Bytes of data of all chunks together; more is 413. Default: none. */
  readonly maxBodyBytes: number;
  /** Bytes of chunk extensions of the whole body. Default: 4096. */
  readonly maxExtensionBytes: number;
  /** Bytes of the trailer section, and of its fields. Default: 8192 and 32. */
  readonly maxTrailerBytes: number;
  readonly maxTrailers: number;
}

const DEFAULT_CHUNKED_LIMITS: ChunkedLimits = {
  maxChunkBytes: Number.MAX_SAFE_INTEGER,
  maxBodyBytes: Number.MAX_SAFE_INTEGER,
  maxExtensionBytes: 4096,
  maxTrailerBytes: 8192,
  maxTrailers: 32,
};

/** Digits of a chunk size; leading zeros count. Thirteen hold every exact integer below 2^52. */
const MAX_DIGITS = 13;
const SEMICOLON = 0x3b;

type State = 'size' | 'extension' | 'size-lf' | 'data' | 'data-cr' | 'data-lf' | 'trailers' | 'end' | 'refused';

export class ChunkedDecoder {
  readonly #limits: ChunkedLimits;
  readonly #response: boolean;
  readonly #gate: HeadGate;
  #state: State = 'size';
  #size = 0;
  #digits = 0;
  #extensionBytes = 0;
  #body = 0;
  /** What is still to come of the present chunk's data. */
  #ahead = 0;
  /** The trailer section so far; our own copies. */
  #trailerBytes: Uint8Array[] = [];
  /** Set when the message has ended. */
  #trailers: Fields | undefined;
  #refusal: Refusal | undefined;

  /** `of` says who sent it: a fault of a response is a 502. */
  constructor(of: 'request' | 'response', limits: Partial<ChunkedLimits> = {}) {
    this.#response = of === 'response';
    this.#limits = { ...DEFAULT_CHUNKED_LIMITS, ...limits };
    const { maxTrailerBytes, maxTrailers } = this.#limits;
    this.#gate = new HeadGate('trailers', { maxHeadBytes: maxTrailerBytes, maxTargetBytes: 0, maxFields: maxTrailers });
  }

  /** Bytes of data decoded or moved so far. */
  get bodyBytes(): number {
    return this.#body;
  }

  /** How many of the bytes that follow are data for certain. */
  get ahead(): number {
    return this.#ahead;
  }

  get ended(): boolean {
    return this.#state === 'end';
  }

  /**
   * So many bytes of data went by without passing here.
   *
   * @throws SpliceArgumentError when that is more than `ahead`.
   */
  moved(count: number): void {
    if (!Number.isSafeInteger(count) || count < 0 || count > this.#ahead) {
      throw new SpliceArgumentError(`ChunkedDecoder.moved: ${count} is not from 0 to ${this.#ahead}`);
    }
    this.#advance(count);
  }

  /** Takes what was read, from `from` on. Behind the end of the message it takes nothing. */
  receive(bytes: Uint8Array, from = 0): ChunkedResult {
    const spans = new Spans();
    let at = from;
    while (at < bytes.length && this.#state !== 'end' && this.#state !== 'refused') {
      if (this.#state === 'data') {
        const count = Math.min(this.#ahead, bytes.length - at);
        spans.add('data', at, at + count);
        this.#advance(count);
        at += count;
      } else if (this.#state === 'trailers') {
        const end = this.#takeTrailers(bytes, at);
        spans.add('trailers', at, end);
        at = end;
      } else {
        const end = this.#takeFraming(bytes, at);
        spans.add('framing', at, end);
        at = end;
      }
    }
    if (this.#state === 'end' && this.#trailers === undefined) this.#judgeTrailers();
    if (this.#refusal !== undefined) return this.#refusal;
    if (this.#trailers === undefined) return { kind: 'more', spans: spans.list };
    return { kind: 'end', spans: spans.list, end: at, trailers: this.#trailers };
  }

  #judgeTrailers(): void {
    const trailers = readTrailers(this.#trailerBytes);
    this.#trailerBytes = [];
    if (trailers instanceof Fields) this.#trailers = trailers;
    else this.#fail(trailers);
  }

  #advance(count: number): void {
    this.#ahead -= count;
    this.#body += count;
    if (this.#ahead === 0 && this.#state === 'data') this.#state = 'data-cr';
  }

  /** Goes on until data, trailers or the end of the piece; gives where it stands. */
  #takeFraming(bytes: Uint8Array, from: number): number {
    for (let at = from; at < bytes.length; at++) {
      const c = bytes[at] ?? 0;
      switch (this.#state) {
        case 'size':
          if (isHexDigit(c)) {
            if (!this.#addDigit(c)) return at;
          } else if (c === CR && this.#digits > 0) this.#state = 'size-lf';
          else if (c === SEMICOLON && this.#digits > 0) this.#state = 'extension';
          else return this.#badSize(at, c);
          break;
        case 'extension':
          if (c === CR) this.#state = 'size-lf';
          else if (!isFieldByte(c)) return this.#bad(at, 'A control character in a chunk extension.');
          else if (++this.#extensionBytes > this.#limits.maxExtensionBytes) {
            return this.#bad(at, 'There are too many chunk extensions.');
          }
          break;
        case 'size-lf':
          if (c !== LF) return this.#bad(at, 'The line of a chunk size does not end with CRLF.');
          this.#digits = 0;
          if (this.#size === 0) this.#state = 'trailers';
          else {
            this.#state = 'data';
            this.#ahead = this.#size;
          }
          this.#size = 0;
          return at + 1;
        case 'data-cr':
          if (c !== CR) return this.#bad(at, 'The data of a chunk goes on behind its size.');
          this.#state = 'data-lf';
          break;
        case 'data-lf':
          if (c !== LF) return this.#bad(at, 'The data of a chunk does not end with CRLF.');
          this.#state = 'size';
          break;
        case 'data':
        case 'trailers':
        case 'end':
        case 'refused':
          return at;
      }
    }
    return bytes.length;
  }

  #addDigit(c: number): boolean {
    this.#size = this.#size * 16 + (c <= 0x39 ? c - 0x30 : (c | 0x20) - 0x57);
    if (++this.#digits > MAX_DIGITS || this.#size > this.#limits.maxChunkBytes) {
      this.#fail(refuse(413, 'chunk-too-large', 'A chunk is larger than is accepted here.'));
      return false;
    }
    if (this.#body + this.#size > this.#limits.maxBodyBytes) {
      this.#fail(refuse(413, 'chunk-too-large', 'The content is larger than is accepted here.'));
      return false;
    }
    return true;
  }

  #takeTrailers(bytes: Uint8Array, from: number): number {
    const end = this.#gate.scan(bytes, from);
    if (end === REFUSED) {
      const { status, reason, message } = this.#gate.refusal ?? BAD_TRAILER;
      this.#fail(
        status === 431
          ? refuse(431, 'trailers-too-large', 'The trailer section is too large.')
          : refuse(status, reason, message),
      );
      return from;
    }
    const upTo = end === MORE ? bytes.length : end;
    this.#trailerBytes.push(bytes.slice(from, upTo));
    if (end !== MORE) this.#state = 'end';
    return upTo;
  }

  #badSize(at: number, c: number): number {
    if (c === SP || c === HTAB) return this.#bad(at, 'White space in the line of a chunk size.');
    if (c === LF) return this.#bad(at, 'The line of a chunk size does not end with CRLF.');
    return this.#bad(at, 'A chunk size is not hexadecimal.');
  }

  #bad(at: number, message: string): number {
    this.#fail(refuse(400, 'bad-chunk', message));
    return at;
  }

  #fail(refusal: Refusal): void {
    this.#refusal = this.#response ? asBadGateway(refusal) : refusal;
    this.#state = 'refused';
  }
}

const BAD_TRAILER = refuse(400, 'bad-trailer', 'The trailer section is malformed.');

/** Joins neighbours of one kind. */
class Spans {
  readonly list: Span[] = [];

  add(kind: SpanKind, start: number, end: number): void {
    if (start === end) return;
    const last = this.list.at(-1);
    if (last?.kind === kind) this.list[this.list.length - 1] = { kind, start: last.start, end };
    else this.list.push({ kind, start, end });
  }
}
