/**
 * The bytes that come out of a socket, taken as a test asks for them: a line, so many, all to the end. Whoever does not
 * ask does not read: the socket rests once a little is here, and its peer feels it. What had come before a reset can
 * still be taken. Used by the raw HTTP clients and origins.
 */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { within } from './children.js';

/** How the peer's direction ended. */
export type Ending = 'fin' | 'reset';

/** Bytes here that nobody asked for before the socket rests. */
const ENOUGH = 64 * 1024;

/** Every wait of a test ends: with what it waited for, or by failing. */
const LIMIT_MS = 20_000;

export class StreamEnded extends Error {
  readonly ending: Ending;
  /** What was left when it ended. */
  readonly rest: Buffer;

  constructor(what: string, ending: Ending, rest: Buffer) {
    super(
      `the stream ended (${ending}) before ${what}; left: ${JSON.stringify(rest.toString('latin1').slice(0, 200))}`,
    );
    this.ending = ending;
    this.rest = rest;
  }
}

export class ByteStream {
  /** Bytes that came in all. */
  received = 0;
  readonly #socket: Socket;
  readonly #limitMs: number;
  #pieces: Buffer[] = [];
  #length = 0;
  #ending: Ending | undefined;
  #wake: (() => void) | undefined;

  constructor(socket: Socket, limitMs = LIMIT_MS) {
    this.#socket = socket;
    this.#limitMs = limitMs;
    socket.on('data', (piece: Buffer) => {
      this.#pieces.push(piece);
      this.#length += piece.length;
      this.received += piece.length;
      if (this.#length >= ENOUGH && this.#wake === undefined) socket.pause();
      this.#wake?.();
    });
    socket.on('end', () => this.#judgeEnd());
    socket.on('error', () => this.#end('reset'));
    socket.on('close', () => this.#end('reset'));
  }

  /** Undefined as long as it has not ended; it is noticed only while somebody reads. */
  get ending(): Ending | undefined {
    return this.#ending;
  }

  /**
   * libuv tells the end of a stream also where it found a reset behind data. A write knows better, even of nothing; not
   * where our own direction has ended already, or is somebody else's (TLS).
   */
  #judgeEnd(): void {
    if (!this.#socket.writable || this.#socket instanceof TLSSocket) this.#end('fin');
    else this.#socket.write(Buffer.alloc(0), (error) => this.#end(error == null ? 'fin' : 'reset'));
  }

  #end(how: Ending): void {
    this.#ending ??= how;
    this.#wake?.();
  }

  /** Waits for more; false at the end. One reader at a time. */
  async #more(what: string): Promise<boolean> {
    if (this.#ending !== undefined) return false;
    const before = this.received;
    const waiting = new Promise<void>((resolve) => (this.#wake = resolve));
    this.#socket.resume();
    try {
      await within(waiting, this.#limitMs, () => `waited for ${what}; so far ${JSON.stringify(this.#peek())}`);
    } finally {
      this.#wake = undefined;
    }
    return this.received > before || this.#ending === undefined;
  }

  #peek(): string {
    return Buffer.concat(this.#pieces).toString('latin1').slice(0, 400);
  }

  #take(count: number): Buffer {
    if (this.#pieces.length > 1) this.#pieces = [Buffer.concat(this.#pieces)];
    const all = this.#pieces[0] ?? Buffer.alloc(0);
    this.#pieces = count < all.length ? [all.subarray(count)] : [];
    this.#length = all.length - Math.min(count, all.length);
    return all.subarray(0, count);
  }

  /** Up to `most` bytes, as soon as there are any; undefined at the end. */
  async some(most = Infinity): Promise<Buffer | undefined> {
    while (this.#length === 0) if (!(await this.#more('a byte'))) break;
    return this.#length === 0 ? undefined : this.#take(Math.min(most, this.#length));
  }

  /** Exactly so many, piece by piece: for more than a test wants in memory. @throws StreamEnded */
  async each(count: number, take: (piece: Buffer) => void): Promise<void> {
    for (let left = count; left > 0;) {
      const piece = await this.some(left);
      if (piece === undefined) {
        throw new StreamEnded(`${count} bytes were there (${left} missing)`, this.#ending ?? 'fin', Buffer.alloc(0));
      }
      left -= piece.length;
      take(piece);
    }
  }

  /** @throws StreamEnded with what there was */
  async bytes(count: number): Promise<Buffer> {
    while (this.#length < count) {
      if (await this.#more(`${count} bytes`)) continue;
      throw new StreamEnded(`${count} bytes were there`, this.#ending ?? 'fin', this.#take(this.#length));
    }
    return this.#take(count);
  }

  /** Up to and with the delimiter; undefined when the stream ends before its first byte. @throws StreamEnded in the middle */
  async until(delimiter: string): Promise<Buffer | undefined> {
    for (;;) {
      if (this.#pieces.length > 1) this.#pieces = [Buffer.concat(this.#pieces)];
      const at = this.#pieces[0]?.indexOf(delimiter, 0, 'latin1') ?? -1;
      if (at >= 0) return this.#take(at + delimiter.length);
      if (await this.#more(JSON.stringify(delimiter))) continue;
      if (this.#length === 0) return undefined;
      throw new StreamEnded(JSON.stringify(delimiter), this.#ending ?? 'fin', this.#take(this.#length));
    }
  }

  /** Everything to the end, and how that came. */
  async rest(): Promise<{ readonly bytes: Buffer; readonly ending: Ending }> {
    while (await this.#more('the end'));
    return { bytes: this.#take(this.#length), ending: this.#ending ?? 'fin' };
  }

  /** Gives back what was taken too much: it comes first again. */
  unread(bytes: Buffer): void {
    this.#pieces.unshift(bytes);
    this.#length += bytes.length;
  }
}
