/**
 * The gate that the bytes of a head pass before llhttp sees them: finds the byte where the head ends, and refuses what
 * lets two recipients read two different messages (RFC 9112 sections 2.2, 3 and 5; the attack is section 11.2). Called
 * by head-parser.ts, and by chunked.ts for the trailer section.
 *
 * llhttp refuses most of it too, but what it is lax about has changed with its versions, and so with the version of
 * Node; and its messages have. The gate makes both independent of that. It keeps a few numbers from piece to piece and
 * no bytes; what it says depends on the bytes, never on how they were cut.
 */
import {
  COLON,
  CR,
  FIELD_BYTES,
  HTAB,
  LF,
  SP,
  TOKEN_BYTES,
  isDigit,
  isFieldByte,
  isMethodByte,
  isTargetByte,
  isTokenByte,
} from './characters.js';
import { type Refusal, asBadGateway, refuse } from './refusal.js';

export interface HeadLimits {
  /** Bytes from the first to the last of a head, empty lines before it included; more is 431. Default: 32768. */
  readonly maxHeadBytes: number;
  /** Bytes of a request target; more is 414. Default: 8192. */
  readonly maxTargetBytes: number;
  /** Fields of a head; more is 431. Default: 128. */
  readonly maxFields: number;
}

export const DEFAULT_HEAD_LIMITS: HeadLimits = { maxHeadBytes: 32_768, maxTargetBytes: 8192, maxFields: 128 };

/** Longer than any registered method; more is 501 (RFC 9112 section 3). */
const MAX_METHOD_BYTES = 32;

const NAME = [...'HTTP/'].map((c) => c.charCodeAt(0));

export type HeadKind = 'request' | 'response' | 'trailers';

type State =
  | 'before' // nothing but empty lines yet
  | 'before-lf'
  | 'method'
  | 'target'
  | 'version'
  | 'status'
  | 'reason'
  | 'line-lf' // the CR of the first line or of a field is there
  | 'field' // at the beginning of a line
  | 'name'
  | 'value'
  | 'end-lf';

/** The head is not whole yet. */
export const MORE = -1;
/** `gate.refusal` says why. */
export const REFUSED = -2;

export class HeadGate {
  readonly #kind: HeadKind;
  readonly #limits: HeadLimits;
  #state: State;
  /** Bytes seen of this head, empty lines included. */
  #seen = 0;
  /** Bytes of the present element (method, target, version, status). */
  #length = 0;
  #major = 0;
  #fields = 0;
  /** Empty lines before a request line: bytes that belong to no message. */
  #skipped = 0;
  #methodBytes = 0;
  #refusal: Refusal | undefined;

  constructor(kind: HeadKind, limits: HeadLimits) {
    this.#kind = kind;
    this.#limits = limits;
    this.#state = this.#first();
  }

  get refusal(): Refusal | undefined {
    return this.#refusal;
  }

  /** Whether bytes of a head have been seen, and its end has not. */
  get begun(): boolean {
    return this.#seen > this.#skipped;
  }

  /** Bytes of the empty lines before the request line. */
  get skipped(): number {
    return this.#skipped;
  }

  /** Length of the method; once the target has begun. */
  get methodBytes(): number {
    return this.#methodBytes;
  }

  /** Makes ready for the next head. */
  reset(): void {
    this.#state = this.#first();
    this.#seen = this.#length = this.#fields = this.#skipped = this.#methodBytes = 0;
    this.#refusal = undefined;
  }

  /** Goes on at `from`; gives the offset of the first byte behind the head, `MORE` or `REFUSED`. */
  scan(bytes: Uint8Array, from: number): number {
    if (this.#refusal !== undefined) return REFUSED;
    const budget = this.#limits.maxHeadBytes - this.#seen;
    const end = Math.min(bytes.length, from + budget);
    let at = from;
    let state = this.#state;
    for (; at < end; at++) {
      const c = bytes[at] ?? 0;
      switch (state) {
        case 'value':
          if (FIELD_BYTES[c] === 1) {
            while (at + 1 < end && FIELD_BYTES[bytes[at + 1] ?? 0] === 1) at++;
            continue;
          }
          if (c !== CR) return this.#badByte(c);
          state = 'line-lf';
          continue;
        case 'name':
          if (TOKEN_BYTES[c] === 1) {
            while (at + 1 < end && TOKEN_BYTES[bytes[at + 1] ?? 0] === 1) at++;
            continue;
          }
          if (c !== COLON) return this.#badName(c);
          state = 'value';
          continue;
        case 'field':
          if (isTokenByte(c)) {
            if (++this.#fields > this.#limits.maxFields) return this.#tooManyFields();
            state = 'name';
          } else if (c === CR) state = 'end-lf';
          else if (c === SP || c === HTAB) {
            return this.#refuse(400, 'folded-field', 'A line begins with white space; fields must not be folded.');
          } else return this.#badName(c);
          continue;
        case 'line-lf':
          if (c !== LF) return this.#bareCr();
          state = 'field';
          continue;
        case 'end-lf':
          if (c !== LF) return this.#bareCr();
          this.#seen += at + 1 - from;
          return at + 1;
        case 'target':
          if (isTargetByte(c)) {
            if (++this.#length > this.#limits.maxTargetBytes) return this.#targetTooLong();
          } else if (c === SP && this.#length > 0) {
            state = 'version';
            this.#length = 0;
          } else return this.#badTarget(c);
          continue;
        case 'version':
          if (this.#length === 8) {
            if (this.#kind === 'request' && c === CR) state = 'line-lf';
            else if (this.#kind === 'response' && c === SP) {
              state = 'status';
              this.#length = 0;
            } else return this.#badVersion(c);
          } else if (!this.#takeVersion(c)) return REFUSED;
          continue;
        case 'method':
          if (isMethodByte(c) && this.#length < MAX_METHOD_BYTES) this.#length++;
          else if (c === SP) {
            this.#methodBytes = this.#length;
            this.#length = 0;
            state = 'target';
          } else return this.#badMethod(c);
          continue;
        case 'before':
          if (c === CR) {
            state = 'before-lf';
            continue;
          }
          if (c === 0x16 && this.#skipped === 0) return this.#tls();
          if (!isMethodByte(c) || isDigit(c)) return this.#badMethod(c);
          this.#length = 1;
          state = 'method';
          continue;
        case 'before-lf':
          if (c !== LF) return this.#bareCr();
          this.#skipped += 2;
          state = 'before';
          continue;
        case 'status':
          if (this.#length < 3) {
            if (!isDigit(c) || (this.#length === 0 && c === 0x30)) return this.#badStatus();
            this.#length++;
          } else if (c === SP) state = 'reason';
          else if (c === CR) state = 'line-lf';
          else return this.#badStatus();
          continue;
        case 'reason':
          if (isFieldByte(c)) continue;
          if (c !== CR) return this.#badByte(c);
          state = 'line-lf';
          continue;
      }
    }
    this.#state = state;
    this.#seen += at - from;
    if (this.#seen === this.#limits.maxHeadBytes) return this.#tooLarge();
    return MORE;
  }

  #first(): State {
    if (this.#kind === 'request') return 'before';
    return this.#kind === 'response' ? 'version' : 'field';
  }

  /** One of the eight bytes of `HTTP/1.1`. */
  #takeVersion(c: number): boolean {
    const at = this.#length++;
    if (at < 5 ? c === NAME[at] : at === 6 ? c === 0x2e : isDigit(c)) {
      if (at === 5) this.#major = c - 0x30;
      // After the minor digit, so that "HTTP/2x" is no version rather than one that is not supported.
      if (at !== 7 || (this.#major === 1 && c - 0x30 <= 1)) return true;
      this.#refuse(505, 'version-not-supported', 'Only HTTP/1.0 and HTTP/1.1 are spoken here.');
      return false;
    }
    this.#badVersion(c);
    return false;
  }

  #refuse(status: Refusal['status'], reason: Refusal['reason'], message: string): typeof REFUSED {
    const refusal = refuse(status, reason, message);
    this.#refusal = this.#kind === 'response' ? asBadGateway(refusal) : refusal;
    return REFUSED;
  }

  #bareCr(): typeof REFUSED {
    return this.#refuse(400, 'bare-cr', 'A carriage return without a line feed behind it.');
  }

  #badByte(c: number): typeof REFUSED {
    if (c === LF) return this.#refuse(400, 'bare-lf', 'A line feed without a carriage return before it.');
    return this.#refuse(400, 'control-character', 'A control character in a field.');
  }

  #badName(c: number): typeof REFUSED {
    if (c === LF) return this.#badByte(c);
    if (c === SP || c === HTAB) {
      return this.#refuse(400, 'space-before-colon', 'White space in or behind the name of a field.');
    }
    return this.#refuse(400, 'bad-field-name', 'A line that does not begin with the name of a field and a colon.');
  }

  #tls(): typeof REFUSED {
    return this.#refuse(400, 'tls-client-hello', 'This port speaks HTTP without TLS; use http:// for it.');
  }

  #badMethod(c: number): typeof REFUSED {
    if (c === LF) return this.#badByte(c);
    if (c === CR) return this.#refuse(400, 'bad-request-line', 'The request line has no target.');
    if (isTokenByte(c)) {
      return this.#refuse(501, 'bad-method', 'No method known here is so long, or has such letters in its name.');
    }
    return this.#refuse(400, 'bad-method', 'The request does not begin with a method.');
  }

  #badTarget(c: number): typeof REFUSED {
    if (c === SP) return this.#refuse(400, 'bad-request-line', 'More than one space in the request line.');
    if (c === LF) return this.#badByte(c);
    if (c === CR) return this.#refuse(400, 'http-0.9', 'The request line has no version; HTTP/0.9 is not spoken here.');
    return this.#refuse(400, 'bad-target', 'The request target has a character that must be percent-encoded.');
  }

  #badVersion(c: number): typeof REFUSED {
    if (c === LF) return this.#badByte(c);
    if (this.#kind === 'response') return this.#badStatus();
    return this.#refuse(400, 'bad-version', 'The request line does not end with "HTTP/1.1".');
  }

  #badStatus(): typeof REFUSED {
    return this.#refuse(502, 'bad-status-line', 'The origin answers with something that is no HTTP/1.1 status line.');
  }

  #targetTooLong(): typeof REFUSED {
    return this.#refuse(414, 'target-too-long', `The request target has over ${this.#limits.maxTargetBytes} bytes.`);
  }

  #tooManyFields(): typeof REFUSED {
    return this.#refuse(431, 'too-many-fields', `There are over ${this.#limits.maxFields} fields.`);
  }

  #tooLarge(): typeof REFUSED {
    return this.#refuse(431, 'head-too-large', `The head has over ${this.#limits.maxHeadBytes} bytes.`);
  }
}
