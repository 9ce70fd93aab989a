/**
 * Takes a whole head apart, with the llhttp that Node is built with. The one file that knows how to reach it, and
 * `splitRequest` and `splitResponse` the whole interface: whoever wants another parser changes nothing but this file.
 *
 * Why llhttp, and why by this road. It is the parser of every Node server, fuzzed and patched with each release of
 * Node. It has no public interface: `node:_http_common` is an inner module, documented as deprecated since 22.19 and
 * 24.6 (DEP0199), and works without a warning from 20.17 to 26; should a Node warn or move it, this file is the place.
 * What else there is was weighed: undici brings llhttp as WebAssembly, but as an inner file of the package that any
 * release may move, and every head would be copied into the module's memory; the npm package `llhttp` stopped at 1.0;
 * `http-parser-js` lives for being more tolerant than Node, the opposite of what is wanted; `milo` is not at 1.0 yet.
 * C in the addon would be one more thing to keep up to date, for a step of about one microsecond.
 *
 * What llhttp is not trusted with: where a head ends and how lines end (head-gate.ts says that before, because old
 * versions that we support take bare line feeds), the meaning of lengths (framing.ts), and the number that it gives a
 * method, whose table differs between versions of Node. It is a second opinion: a message passes when both
 * agree (so a version that refuses more, such as a tab behind a Content-Length before 9.4, has its way).
 *
 * One parser per kind serves the whole process: it gets whole heads only and keeps nothing between them, and its
 * callbacks run inside `execute`.
 */
import { createRequire } from 'node:module';
import { SpliceError } from '../errors.js';

/** The part of Node's HTTPParser that is used here. */
interface NodeParser {
  initialize(type: number, resource: object, maxHeaderSize: number, lenientFlags: number): void;
  execute(bytes: Uint8Array): unknown;
  [callback: number]: (...values: unknown[]) => number | void;
}

interface NodeParserClass {
  new (): NodeParser;
  readonly REQUEST: number;
  readonly RESPONSE: number;
  readonly kOnHeaders: number;
  readonly kOnHeadersComplete: number;
  readonly kLenientNone: number;
}

/** A head in its parts. For a request `status` is 0, for a response `target` is empty. */
export interface HeadParts {
  readonly major: number;
  readonly minor: number;
  readonly target: string;
  readonly status: number;
  readonly reason: string;
  /** Names and values in turn, Latin-1, values without the white space around them. */
  readonly fields: readonly string[];
}

/** Two: there is no body for you, stop behind the head (llhttp's way to hand over an upgraded connection). */
const STOP = 2;
/** The gate has its own limit, which is smaller. */
const NO_LIMIT = 0x7fff_ffff;
const NUMBERS = ['REQUEST', 'RESPONSE', 'kOnHeaders', 'kOnHeadersComplete', 'kLenientNone'] as const;

function isParserClass(value: unknown): value is NodeParserClass {
  return typeof value === 'function' && NUMBERS.every((name) => typeof Reflect.get(value, name) === 'number');
}

function loadParserClass(): NodeParserClass {
  let cause: unknown;
  try {
    const common: unknown = createRequire(import.meta.url)('node:_http_common');
    const found: unknown =
      typeof common === 'object' && common !== null ? Reflect.get(common, 'HTTPParser') : undefined;
    if (isParserClass(found)) return found;
  } catch (error) {
    cause = error;
  }
  throw new SpliceError('ERR_SPLICE_SYSTEM', `Node ${process.version} does not give its HTTP parser to programs`, {
    cause,
  });
}

class Splitter {
  readonly #type: number;
  readonly #lenient: number;
  readonly #parser: NodeParser;
  #fields: string[] = [];
  #target = '';
  #parts: HeadParts | undefined;

  constructor(parserClass: NodeParserClass, type: number) {
    this.#type = type;
    this.#lenient = parserClass.kLenientNone;
    const parser = new parserClass();
    // With more than 32 fields they come in several calls, the target with the first.
    parser[parserClass.kOnHeaders] = (fields, target) => {
      this.#fields.push(...(fields as string[]));
      this.#target += target as string;
    };
    parser[parserClass.kOnHeadersComplete] = (major, minor, fields, _method, target, status, reason) => {
      this.#parts = {
        major: major as number,
        minor: minor as number,
        target: this.#target === '' ? ((target as string | undefined) ?? '') : this.#target,
        status: (status as number | undefined) ?? 0,
        reason: (reason as string | undefined) ?? '',
        fields: (fields as string[] | undefined) ?? this.#fields,
      };
      return STOP;
    };
    this.#parser = parser;
  }

  /** The pieces are one head and nothing else. */
  split(first: Uint8Array, second: Uint8Array | undefined): HeadParts | string {
    this.#parts = undefined;
    this.#target = '';
    this.#fields = [];
    // Each time anew: after a refusal, or a head that says "close", llhttp takes nothing more.
    this.#parser.initialize(this.#type, this.#parser, NO_LIMIT, this.#lenient);
    let used = this.#parser.execute(first);
    if (used === first.length && second !== undefined) used = this.#parser.execute(second);
    const parts: HeadParts | undefined = this.#parts;
    if (used === (second ?? first).length && parts !== undefined) return parts;
    const code: unknown = used instanceof Error ? Reflect.get(used, 'code') : undefined;
    return typeof code === 'string' ? code : 'HPE_END';
  }
}

let requests: Splitter | undefined;
let responses: Splitter | undefined;

/** Methods that llhttp is shown as they are: the only ones that can be common, and CONNECT, whose target has another form. */
const SHOWN: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'DELETE',
  'PATCH',
  'OPTIONS',
  'TRACE',
  'CONNECT',
]);
const STAND_IN = Buffer.from('POST', 'latin1');

/**
 * Takes apart a request head, from its first byte to its last. llhttp knows a fixed list of methods, so any other is
 * shown to it as one that it knows: extension methods pass (RFC 9110 section 16.1). Gives the code of llhttp where it
 * objects, or where it sees the end of the head somewhere else.
 *
 * @throws SpliceError when this Node does not give its parser to programs.
 */
export function splitRequest(head: Uint8Array, method: string): HeadParts | string {
  requests ??= makeSplitter('REQUEST');
  return SHOWN.has(method) ? requests.split(head, undefined) : requests.split(STAND_IN, head.subarray(method.length));
}

/** The same for a response head. */
export function splitResponse(head: Uint8Array): HeadParts | string {
  responses ??= makeSplitter('RESPONSE');
  return responses.split(head, undefined);
}

function makeSplitter(type: 'REQUEST' | 'RESPONSE'): Splitter {
  const parserClass = loadParserClass();
  return new Splitter(parserClass, parserClass[type]);
}
