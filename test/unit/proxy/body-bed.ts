/** Wires without sockets, fills without a disk, and wires on a real reactor: what tests of content need. */
import { openSync, closeSync, mkdtempSync, rmSync, writeSync, readFileSync } from 'node:fs';
import type net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Follower, Piece } from '../../../src/cache/store/fill-types.js';
import type { StoredResponse } from '../../../src/cache/stored.js';
import { FileGrowth } from '../../../src/engine/file-growth.js';
import { Tap } from '../../../src/engine/tap.js';
import type { Framing } from '../../../src/http/framing.js';
import { Fields } from '../../../src/http/head.js';
import { ChunkedDecoder } from '../../../src/http/chunked.js';
import { BodyClock } from '../../../src/proxy/body-clock.js';
import type { Movers } from '../../../src/proxy/body-movers.js';
import type { Incoming, Outgoing } from '../../../src/proxy/body.js';
import type { FillFile, LiveFill } from '../../../src/proxy/desk.js';
import { ReactorWire } from '../../../src/proxy/reactor-wire.js';
import { NOBODY, type Wire, type WireOwner } from '../../../src/proxy/wire.js';
import { ReactorHost } from '../../../src/server/reactor-host.js';
import { clear, connectPair, rawDescriptor } from '../../support/flow-bed.js';

export const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');
export const HEAD = latin1('HTTP/1.1 200 OK\r\n\r\n');
export const length = (bytes: number): Framing & { kind: 'length' } => ({ kind: 'length', length: bytes });
export const never = (): boolean => false;
export const always = (): boolean => true;

/** A wire whose peer and kernel the test plays. It has no descriptor, as one with TLS. */
export class MemoryWire implements Wire {
  readonly peer = { address: '192.0.2.1', port: 1 };
  readonly local = { address: '192.0.2.2', port: 80 };
  readonly scheme = 'https';
  readonly descriptor = undefined;
  owner: WireOwner = NOBODY;
  open = true;
  ended = false;
  unsent = 0;
  paused = false;
  /** Bytes that the kernel takes before it is full. */
  window = Infinity;
  /** What the kernel took, and in how many calls. */
  readonly got: Buffer[] = [];
  sends = 0;
  readonly #queue: Buffer[] = [];
  readonly #said: (Buffer | 'fin')[] = [];

  // The peer.

  says(bytes: Uint8Array): void {
    this.#said.push(Buffer.from(bytes));
    this.#hear();
  }

  ends(): void {
    this.#said.push('fin');
    this.#hear();
  }

  breaks(errno: number): void {
    if (!this.open) return;
    this.open = false;
    this.owner.onBroken(errno);
  }

  /** The kernel takes so many bytes more. */
  takes(count: number): void {
    this.window += count;
    const before = this.unsent;
    this.#drain();
    if (before > 0 && this.unsent === 0 && this.open) this.owner.onDrained();
  }

  get text(): string {
    return Buffer.concat(this.got).toString('latin1');
  }

  /** What the peer has said and nobody has read. */
  get waits(): number {
    return this.#said.length;
  }

  // The wire.

  quiet(): boolean {
    return this.#said.length === 0;
  }
  send(bytes: Uint8Array, more?: Uint8Array): void {
    this.sends++;
    for (const each of [bytes, more]) {
      if (each === undefined) continue;
      this.#queue.push(Buffer.from(each.buffer, each.byteOffset, each.length));
      this.unsent += each.length;
    }
    this.#drain();
  }
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    queueMicrotask(() => this.#hear());
  }
  unread(): undefined {
    return undefined;
  }
  detach(): number {
    return -1;
  }
  finish(): void {
    this.open = false;
  }
  close(): void {
    this.open = false;
  }

  #hear(): void {
    while (!this.paused && this.open && this.#said.length > 0) {
      const said = this.#said.shift();
      if (said === 'fin') {
        this.ended = true;
        this.owner.onEnd();
      } else if (said !== undefined) {
        this.owner.onData(said);
        said.fill(0xee); // views are overwritten
      }
    }
  }

  #drain(): void {
    while (this.window > 0 && this.#queue.length > 0) {
      const head = this.#queue[0]!;
      const count = Math.min(this.window, head.length);
      this.got.push(Buffer.from(head.subarray(0, count)));
      this.window -= count;
      this.unsent -= count;
      if (count === head.length) this.#queue.shift();
      else this.#queue[0] = head.subarray(count);
    }
  }
}

/** A fill that keeps all in memory, or a file. Its disk answers when the test says so. */
export class FakeFill implements LiveFill {
  readonly key = 'key';
  readonly stored = undefined as unknown as StoredResponse;
  readonly followable = true;
  readonly length: number | undefined;
  readonly #bed: FakeFillBed;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #failed = false;
  #wake: (() => void)[] = [];
  /** What end() was called with. */
  readonly ends: { received: number; whole: boolean; stored: number | undefined }[] = [];
  opening: Promise<FillFile | undefined> | undefined;
  opened: FillFile | undefined;
  followers = 0;
  /** Of other clients. */
  others = 0;
  forsaken: (() => void) | undefined;
  cuts = 0;
  /** Opened in the place of a file of its own. */
  device: string | undefined;
  /** Asked for, before a write is answered. */
  gate: () => Promise<void> = () => Promise.resolve();
  /** The disk takes no more than so many bytes. */
  room = Infinity;

  constructor(bed: FakeFillBed, expected?: number) {
    this.#bed = bed;
    this.length = expected;
  }

  get content(): Buffer {
    const whole = Buffer.concat(this.#chunks);
    return this.opened === undefined ? whole : readFileSync(`/proc/self/fd/${this.opened.fd}`);
  }

  file(): Promise<FillFile | undefined> {
    return (this.opening ??= this.gate().then(() => {
      if (this.room === 0) return undefined;
      const fd = this.device === undefined ? this.#bed.open() : this.#bed.openAt(this.device);
      return (this.opened = { fd, offset: 0, growth: new FileGrowth(0) });
    }));
  }

  async write(bytes: Uint8Array): Promise<boolean> {
    if (this.opening !== undefined) throw new Error('write() after file()');
    if (this.ends.length > 0) throw new Error('write() after end()');
    const copy = Buffer.from(bytes);
    await this.gate();
    if (this.#failed || this.#bytes + copy.length > this.room) {
      this.#fail();
      return false;
    }
    this.#chunks.push(copy);
    this.#bytes += copy.length;
    this.#wakeAll();
    return true;
  }

  get followed(): boolean {
    return this.others > 0;
  }

  follow(other = false): Follower {
    this.followers++;
    if (other) this.others++;
    let at = 0;
    let closed = false;
    const next = async (): Promise<Piece> => {
      for (;;) {
        if (closed) return { kind: 'failed', reason: 'aborted' };
        let skip = at;
        for (const chunk of this.#chunks) {
          if (skip < chunk.length) {
            at += chunk.length - skip;
            return { kind: 'bytes', bytes: chunk.subarray(skip) };
          }
          skip -= chunk.length;
        }
        const filled = this.opened?.growth.filled ?? 0;
        if (this.opened !== undefined && at < filled) {
          const start = at;
          at = filled;
          return { kind: 'file', fd: this.opened.fd, start, end: filled };
        }
        if (this.#failed) return { kind: 'failed', reason: 'disk-full' };
        if (this.ends.length > 0) return { kind: 'end' };
        // The kernel says nothing by itself.
        if (this.opened !== undefined) await new Promise((resolve) => setTimeout(resolve, 1));
        else await new Promise<void>((resolve) => this.#wake.push(resolve));
      }
    };
    const close = (): void => {
      if (closed) return;
      closed = true;
      this.followers--;
      if (other && --this.others === 0) this.forsaken?.();
    };
    return { next, close };
  }

  cut(): void {
    this.cuts++;
  }

  end(received: number, whole: boolean, stored?: number): Promise<void> {
    this.ends.push({ received, whole, stored });
    if (whole && (stored ?? received) === received) this.opened?.growth.complete();
    else {
      this.opened?.growth.fail();
      this.#failed = true;
    }
    this.#wakeAll();
    return Promise.resolve();
  }

  #fail(): void {
    this.#failed = true;
    this.#wakeAll();
  }

  #wakeAll(): void {
    const waiting = this.#wake;
    this.#wake = [];
    for (const wake of waiting) wake();
  }
}

export class FakeFillBed {
  readonly directory = mkdtempSync(join(tmpdir(), 'splice-body-'));
  readonly #open: number[] = [];

  open(content?: Uint8Array, flags = 'wx+'): number {
    const fd = openSync(join(this.directory, String(this.#open.length)), flags);
    this.#open.push(fd);
    if (content !== undefined) writeSync(fd, content);
    return fd;
  }

  openAt(path: string): number {
    const fd = openSync(path, 'r+');
    this.#open.push(fd);
    return fd;
  }

  fill(expected?: number): FakeFill {
    return new FakeFill(this, expected);
  }

  dispose(): void {
    for (const fd of this.#open) closeSync(fd);
    rmSync(this.directory, { recursive: true });
  }
}

export interface RealMovers extends Movers {
  readonly tap: Tap;
  stop(): Promise<void>;
}

export function makeMovers(): RealMovers {
  const tap = new Tap({ fillThreads: 1, sendThreads: 1 });
  const clock = new BodyClock();
  const stop = async (): Promise<void> => {
    clock.stop();
    await tap.close();
  };
  return { tap, clock, stop };
}

/** A wire on loopback, and the end that the test plays. */
export interface RealWire {
  readonly wire: ReactorWire;
  readonly far: net.Socket;
}

export class WireBed {
  readonly host = new ReactorHost({ readSize: 16_384 });
  readonly #made: RealWire[] = [];

  async wire(): Promise<RealWire> {
    const { near, far } = await connectPair();
    const slot = this.host.reactor.adopt(rawDescriptor(near));
    const made = { wire: new ReactorWire(this.host, slot, { address: '127.0.0.1', port: 1 }), far };
    made.wire.pause();
    this.#made.push(made);
    return made;
  }

  dispose(): void {
    for (const { wire, far } of this.#made) {
      wire.close(true);
      clear(far);
    }
    this.host.stop();
  }
}

/** What a transfer does for a caller that only passes on what the receiving wire says. */
export class Receiver implements WireOwner {
  transfer: { lost(): void; drained(): void } | undefined;
  broken: number | undefined;
  onData(): void {
    // A next request, maybe; not for bodies.
  }
  onEnd(): void {
    // It may still read.
  }
  onBroken(errno: number): void {
    this.broken = errno;
    this.transfer?.lost();
  }
  onDrained(): void {
    this.transfer?.drained();
  }
}

export function incoming(wire: Wire, framing: Incoming['framing'], more: Partial<Incoming> = {}): Incoming {
  return { wire, framing, rest: Buffer.alloc(0), of: 'response', idleTimeout: 0, maxBytes: Infinity, ...more };
}

export function outgoing(wire: Wire, framing: Framing, more: Partial<Outgoing> = {}): Outgoing {
  return { wire, prefix: HEAD, framing, idleTimeout: 0, ...more };
}

/** Content in chunks of those sizes, as its sender frames it. */
export function chunked(content: Buffer, sizes: readonly number[], trailers = ''): Buffer {
  const parts: Buffer[] = [];
  let at = 0;
  for (let i = 0; at < content.length; i++) {
    const size = Math.min(sizes[i % sizes.length] ?? content.length, content.length - at);
    parts.push(latin1(`${size.toString(16)}\r\n`), content.subarray(at, at + size), latin1('\r\n'));
    at += size;
  }
  return Buffer.concat([...parts, latin1(`0\r\n${trailers}\r\n`)]);
}

export interface Decoded {
  readonly content: Buffer;
  /** For a chunked message: that its last chunk has come. */
  readonly whole: boolean;
  readonly trailers: Fields;
  readonly behind: number;
}

/** What a receiver makes of the bytes behind the head. */
export function decode(framing: Framing, bytes: Buffer): Decoded {
  if (framing.kind !== 'chunked') return { content: bytes, whole: true, trailers: Fields.EMPTY, behind: 0 };
  const result = new ChunkedDecoder('response').receive(bytes);
  if (result.kind === 'refused') throw new Error(result.message);
  const data = result.spans.filter(({ kind }) => kind === 'data');
  const content = Buffer.concat(data.map(({ start, end }) => bytes.subarray(start, end)));
  if (result.kind === 'more') return { content, whole: false, trailers: Fields.EMPTY, behind: 0 };
  return { content, whole: true, trailers: result.trailers, behind: bytes.length - result.end };
}
