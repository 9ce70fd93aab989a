/**
 * From bytes to a head. Stage: handshake; the server has a RequestParser for each client, the fetch a ResponseParser
 * for each connection to an origin. Three steps, each of which may refuse:
 *
 *     head-gate.ts   byte by byte: where the head ends, and nothing in it that could be read in two ways
 *     llhttp.ts      the parser of Node takes it apart, and has to see the same end
 *     here           what the parts mean together: target and Host, lengths
 *
 * Bytes behind the head are not touched: `end` says where in the last piece they begin, because the body goes by the
 * kernel. Pieces are copied only while a head is not whole. No input throws.
 *
 * What comes out depends on the bytes, never on how they were cut. After a refusal it stays the answer.
 */
import { type Authority, parseAuthority } from './authority.js';
import { BAD_CODING, BAD_LENGTH, type Framing, LENGTH_AND_CODING, SEVERAL_LENGTHS, requestFraming } from './framing.js';
import { Fields, HTTP_1_0, HTTP_1_1, type RequestHead, type ResponseHead, type Version, isHttp11 } from './head.js';
import { DEFAULT_HEAD_LIMITS, HeadGate, type HeadLimits, MORE, REFUSED } from './head-gate.js';
import { type HeadParts, splitRequest, splitResponse } from './llhttp.js';
import { type Refusal, asBadGateway, refuse } from './refusal.js';
import { RepeatedHead } from './repeated-head.js';
import { type Target, parseTarget } from './target.js';

export { DEFAULT_HEAD_LIMITS, type HeadLimits } from './head-gate.js';

/** The head is not whole yet. */
export interface PartialHead {
  readonly kind: 'partial';
}

export interface ParsedRequest {
  readonly kind: 'head';
  readonly head: RequestHead;
  readonly target: Target;
  /**
   * Whom the request is for: the authority of the target where that has one, whatever Host says (RFC 9112 section
   * 3.2.2), else Host. Undefined only in HTTP/1.0 without Host.
   */
  readonly authority: Authority | undefined;
  readonly framing: Framing;
  /** Offset in the piece last given of the first byte behind the head. */
  readonly end: number;
  /** Bytes of the head, from the method on. */
  readonly size: number;
}

export interface ParsedResponse {
  readonly kind: 'head';
  /** May be interim (1xx): then the next head is the answer to the same request. */
  readonly head: ResponseHead;
  readonly end: number;
  readonly size: number;
}

const PARTIAL: PartialHead = { kind: 'partial' };
const MALFORMED = refuse(400, 'malformed', 'The head is malformed.');

/** Gathers the pieces of a head until the gate has seen its end. */
class HeadCollector {
  readonly gate: HeadGate;
  /** What came before the present piece; our own copy. */
  #kept = new Uint8Array(0);
  #length = 0;

  constructor(kind: 'request' | 'response', limits: HeadLimits) {
    this.gate = new HeadGate(kind, limits);
  }

  /** Offset behind the head in `bytes`, `MORE` or `REFUSED`. */
  add(bytes: Uint8Array, from: number): number {
    const end = this.gate.scan(bytes, from);
    if (end === MORE) this.#keep(bytes, from);
    return end;
  }

  /** The whole head, whose last piece is `bytes` from `from` to `end`. Valid until the next call. */
  take(bytes: Uint8Array, from: number, end: number): Uint8Array {
    const skipped = this.gate.skipped;
    if (this.#length === 0) return bytes.subarray(from + skipped, end);
    const whole = new Uint8Array(this.#length + end - from);
    whole.set(this.#kept.subarray(0, this.#length));
    whole.set(bytes.subarray(from, end), this.#length);
    return whole.subarray(skipped);
  }

  reset(): void {
    this.gate.reset();
    this.#kept = new Uint8Array(0);
    this.#length = 0;
  }

  /** Doubles its room, so that a head in single bytes costs no more than a few copies. */
  #keep(bytes: Uint8Array, from: number): void {
    const length = this.#length + bytes.length - from;
    if (length > this.#kept.length) {
      const room = new Uint8Array(Math.max(length, 2 * this.#kept.length));
      room.set(this.#kept.subarray(0, this.#length));
      this.#kept = room;
    }
    this.#kept.set(from === 0 ? bytes : bytes.subarray(from), this.#length);
    this.#length = length;
  }
}

export class RequestParser {
  readonly #collector: HeadCollector;
  readonly #repeated: RepeatedHead;
  #refusal: Refusal | undefined;

  constructor(limits: Partial<HeadLimits> = {}) {
    const all = { ...DEFAULT_HEAD_LIMITS, ...limits };
    this.#collector = new HeadCollector('request', all);
    this.#repeated = new RepeatedHead(all);
  }

  /** Whether a head has begun and is not whole: the end of the stream now is an error, and a clock should run. */
  get begun(): boolean {
    return this.#collector.gate.begun;
  }

  /** Takes the next piece, from `from` on; the caller may reuse the buffer afterwards. After a head the next may begin. */
  receive(bytes: Uint8Array, from = 0): ParsedRequest | PartialHead | Refusal {
    if (this.#refusal !== undefined) return this.#refusal;
    const { gate } = this.#collector;
    if (!gate.begun) {
      const again = this.#repeated.read(bytes, from);
      if (again !== undefined) return again;
    }
    // In one piece, with the empty lines before it: only then does `skipped` count bytes of this piece.
    const whole = !gate.begun && gate.skipped === 0;
    const end = this.#collector.add(bytes, from);
    if (end === MORE) return PARTIAL;
    const result = end === REFUSED ? gate.refusal : this.#read(this.#collector.take(bytes, from, end), end);
    if (result?.kind === 'head') {
      if (whole) this.#repeated.remember(result, bytes.subarray(from + gate.skipped, end));
      this.#collector.reset();
      return result;
    }
    this.#refusal = result ?? MALFORMED;
    return this.#refusal;
  }

  #read(bytes: Uint8Array, end: number): ParsedRequest | Refusal {
    const method = readMethod(bytes, this.#collector.gate.methodBytes);
    const parts = splitRequest(bytes, method);
    if (typeof parts === 'string') return explain(parts, bytes);
    const target = parseTarget(method, parts.target);
    if (target.kind === 'refused') return target;
    const fields = Fields.fromRaw(parts.fields);
    const head: RequestHead = { method, target: parts.target, version: versionOf(parts), fields };
    const host = readHost(head);
    if (host !== undefined && 'kind' in host) return host;
    if (hidesLength(fields)) return HIDDEN_LENGTH;
    const framing = requestFraming(head);
    if (framing.kind === 'refused') return framing;
    const authority = target.kind === 'absolute' || target.kind === 'authority' ? target.authority : host;
    return { kind: 'head', head, target, authority, framing, end, size: bytes.length };
  }
}

export class ResponseParser {
  readonly #collector: HeadCollector;
  #refusal: Refusal | undefined;

  constructor(limits: Partial<HeadLimits> = {}) {
    this.#collector = new HeadCollector('response', { ...DEFAULT_HEAD_LIMITS, ...limits });
  }

  get begun(): boolean {
    return this.#collector.gate.begun;
  }

  receive(bytes: Uint8Array, from = 0): ParsedResponse | PartialHead | Refusal {
    if (this.#refusal !== undefined) return this.#refusal;
    const { gate } = this.#collector;
    const end = this.#collector.add(bytes, from);
    if (end === MORE) return PARTIAL;
    const result = end === REFUSED ? gate.refusal : readResponse(this.#collector.take(bytes, from, end), end);
    if (result?.kind === 'head') {
      this.#collector.reset();
      return result;
    }
    this.#refusal = asBadGateway(result ?? MALFORMED);
    return this.#refusal;
  }
}

function readResponse(bytes: Uint8Array, end: number): ParsedResponse | Refusal {
  const parts = splitResponse(bytes);
  if (typeof parts === 'string') return explain(parts, bytes);
  const head: ResponseHead = {
    status: parts.status,
    reason: parts.reason,
    version: versionOf(parts),
    fields: Fields.fromRaw(parts.fields),
  };
  return { kind: 'head', head, end, size: bytes.length };
}

function versionOf(parts: HeadParts): Version {
  return parts.minor === 0 ? HTTP_1_0 : HTTP_1_1;
}

/** The gate has let only capitals, digits, "-" and "_" through. */
function readMethod(bytes: Uint8Array, length: number): string {
  if (length === 3 && bytes[0] === 0x47 && bytes[1] === 0x45 && bytes[2] === 0x54) return 'GET';
  return latin1(bytes.subarray(0, length));
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}

const HIDDEN_LENGTH = refuse(
  400,
  'bad-field-name',
  'A field name becomes Content-Length or Transfer-Encoding for servers that take "_" for "-".',
);

/** Gateways of the CGI family (RFC 3875 section 4.1.18) make both spellings one variable. */
function hidesLength({ names }: Fields): boolean {
  return names.includes('content_length') || names.includes('transfer_encoding');
}

/** RFC 9112 section 3.2: HTTP/1.1 has exactly one Host, and it must be a host. */
function readHost(head: RequestHead): Authority | Refusal | undefined {
  const count = head.fields.count('host');
  if (count > 1) return refuse(400, 'several-hosts', 'There is more than one Host field.');
  if (count === 0) {
    return isHttp11(head.version) ? refuse(400, 'no-host', 'An HTTP/1.1 request needs a Host field.') : undefined;
  }
  return (
    parseAuthority(head.fields.get('host') ?? '') ??
    refuse(400, 'bad-host', 'The Host field holds something else than a host and perhaps a port.')
  );
}

/** What llhttp objects to, in our words. Its codes are stable; which of two it meets first is not, so the head decides. */
function explain(code: string, bytes: Uint8Array): Refusal {
  switch (code) {
    case 'HPE_INVALID_URL':
      return refuse(400, 'bad-target', 'The request target has no form that its method could have.');
    case 'HPE_INVALID_CONTENT_LENGTH':
    case 'HPE_UNEXPECTED_CONTENT_LENGTH':
    case 'HPE_INVALID_TRANSFER_ENCODING': {
      const text = latin1(bytes);
      const lengths = text.match(/\r\ncontent-length:/gi)?.length ?? 0;
      const codings = text.match(/\r\ntransfer-encoding:/gi)?.length ?? 0;
      if (lengths > 0 && codings > 0) return LENGTH_AND_CODING;
      if (lengths > 1) return SEVERAL_LENGTHS;
      return lengths > 0 ? BAD_LENGTH : BAD_CODING;
    }
    default:
      return MALFORMED;
  }
}
