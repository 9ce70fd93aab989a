/**
 * HTTP/1 as the tests read it: heads and contents from a ByteStream, and bytes that can be checked wherever they come
 * from. Knows nothing of src/http on purpose: what both got wrong would not be noticed. Strict: no test wants a repair.
 */
import type { ByteStream } from './byte-stream.js';

export type FieldList = readonly (readonly [name: string, value: string])[];

export class Head {
  readonly raw: string;
  readonly start: string;
  readonly fields: FieldList;

  constructor(raw: string) {
    this.raw = raw;
    const [start = '', ...lines] = raw.slice(0, -4).split('\r\n');
    this.start = start;
    this.fields = lines.map((line) => {
      const colon = line.indexOf(':');
      if (colon < 1) throw new Error(`no field: ${JSON.stringify(line)}`);
      return [line.slice(0, colon), line.slice(colon + 1).trim()] as const;
    });
  }

  /** Values of a field, in order. */
  all(name: string): string[] {
    return this.fields.filter(([key]) => key.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
  }

  /** All values in one line; undefined: there is none. */
  get(name: string): string | undefined {
    const values = this.all(name);
    return values.length === 0 ? undefined : values.join(', ');
  }
}

/** Undefined at the end of the stream. */
export async function readHead(stream: ByteStream): Promise<Head | undefined> {
  const bytes = await stream.until('\r\n\r\n');
  return bytes === undefined ? undefined : new Head(bytes.toString('latin1'));
}

/** Chunked content to its end; the trailers. @throws StreamEnded */
export async function readChunked(stream: ByteStream, take: (piece: Buffer) => void): Promise<FieldList> {
  for (;;) {
    const line = (await needed(stream, '\r\n')).toString('latin1').slice(0, -2);
    const size = /^([0-9a-fA-F]+)(;.*)?$/.exec(line)?.[1];
    if (size === undefined) throw new Error(`no chunk size: ${JSON.stringify(line)}`);
    const length = parseInt(size, 16);
    if (length === 0) break;
    await stream.each(length, take);
    if ((await stream.bytes(2)).toString('latin1') !== '\r\n') throw new Error('no CRLF behind a chunk');
  }
  const lines: string[] = [];
  for (;;) {
    const line = (await needed(stream, '\r\n')).toString('latin1');
    if (line === '\r\n') break;
    lines.push(line);
  }
  return new Head(`trailers\r\n${lines.join('')}\r\n`).fields;
}

async function needed(stream: ByteStream, delimiter: string): Promise<Buffer> {
  return (await stream.until(delimiter)) ?? stream.bytes(1);
}

export const fieldLines = (fields: FieldList): string =>
  fields.map(([name, value]) => `${name}: ${value}\r\n`).join('');

/** Prime, so that no buffer size or chunk size hides a displacement. */
const PERIOD = 65_521;
const twice = Buffer.alloc(2 * PERIOD);
for (let i = 0, state = 1; i < PERIOD; i++) {
  state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
  twice[i] = twice[i + PERIOD] = state >>> 24;
}

/** Bytes `from` to `from + count` of a content without end; `seed` tells contents apart. Not a copy, where that can be. */
export function pattern(count: number, from = 0, seed = 0): Buffer {
  const at = (from + seed * 7919) % PERIOD;
  if (count <= PERIOD) return twice.subarray(at, at + count);
  const whole = Buffer.allocUnsafe(count);
  for (let done = 0; done < count; done += PERIOD)
    pattern(Math.min(PERIOD, count - done), from + done, seed).copy(whole, done);
  return whole;
}

/** Compares pieces with the pattern as they come; `wrong` is where they first differ. */
export class PatternCheck {
  count = 0;
  wrong: number | undefined;
  readonly #seed: number;

  constructor(seed = 0, from = 0) {
    this.#seed = seed;
    this.count = from;
  }

  readonly take = (piece: Buffer): void => {
    for (let at = 0; at < piece.length; at += PERIOD) {
      const part = piece.subarray(at, at + PERIOD);
      if (this.wrong === undefined && !part.equals(pattern(part.length, this.count, this.#seed)))
        this.wrong = this.count;
      this.count += part.length;
    }
  };
}
