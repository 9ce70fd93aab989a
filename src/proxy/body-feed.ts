/**
 * Stage relay: content from memory, from files and from fills under way into one wire, piece after piece, at the
 * receiver's pace. Used by stored-body.ts for answers of the cache and by copied-body.ts for clients that have fallen
 * behind. Whatever stops it, nothing is read or sent any more once the call that was under way has resolved.
 */
import { read } from 'node:fs';
import type { FileGrowth } from '../engine/file-growth.js';
import { errnoOf } from '../engine/errno-of.js';
import type { TapBody } from '../engine/tap-body.js';
import type { Follower, Piece } from '../cache/store/fill-types.js';
import type { Span } from '../cache/spans.js';
import { ABSENT } from '../flow/roster.js';
import { READ_BYTES, SENDFILE_BYTES, reasonOf, type Movers } from './body-movers.js';
import type { BodySink } from './body-sink.js';
import type { BodyReason } from './body.js';

export interface Stopped {
  readonly reason: Exclude<BodyReason, 'complete'>;
  readonly errno: number;
}

export class BodyFeed {
  readonly sink: BodySink;
  readonly #movers: Movers;
  #stopped: Stopped | undefined;
  /** In the clock's roster. */
  place = ABSENT;
  /** Whoever waits until the wire has drained. */
  #drained: (() => void) | undefined;
  /** Whoever waits for the next piece of a fill. */
  #halted: (() => void) | undefined;
  #body: TapBody | undefined;
  /** Bytes that the kernel is sending. */
  #moving = 0;

  constructor(movers: Movers, sink: BodySink) {
    this.#movers = movers;
    this.sink = sink;
    movers.clock.watch(this);
    if (!sink.wire.open) this.stop('reset');
  }

  get stopped(): Stopped | undefined {
    return this.#stopped;
  }

  get sent(): number {
    const moved = this.#body?.counters().delivered ?? 0;
    return this.sink.content - this.#moving + moved;
  }

  /** The first reason counts. What is under way resolves soon. */
  stop(reason: Stopped['reason'], errno = 0): void {
    this.#stopped ??= { reason, errno };
    this.#body?.abort();
    this.#halted?.();
    this.drained();
  }

  /** The wire has. */
  drained(): void {
    const resume = this.#drained;
    this.#drained = undefined;
    resume?.();
  }

  /** By the clock. */
  tick(): void {
    if (this.sink.stalls()) this.stop('idle');
  }

  /** Nothing more is fed. */
  close(): void {
    this.#movers.clock.forget(this);
  }

  /** Bytes that nobody writes into any more. */
  async bytes(bytes: Uint8Array): Promise<void> {
    if (this.sink.slow) await this.#untilDrained();
    if (this.#stopped === undefined && bytes.length > 0) this.sink.send(bytes);
  }

  /** A range of a file. With a growth, of one that is still being filled; then the wire must have a descriptor. */
  async file(fd: number, start: number, end: number, growth?: FileGrowth): Promise<void> {
    if (end === start) return;
    const { descriptor } = this.sink.wire;
    const small = end - start <= SENDFILE_BYTES && growth === undefined;
    if (descriptor !== undefined && !small) return this.#send(fd, start, end - start, growth);
    for (let at = start; at < end && this.#stopped === undefined;) {
      const piece = await readAt(fd, at, Math.min(READ_BYTES, end - at));
      if (piece instanceof Error || piece.length === 0) {
        this.stop('store', piece instanceof Error ? errnoOf(piece) : 0);
        return;
      }
      at += piece.length;
      await this.bytes(piece);
    }
  }

  /**
   * A part of what is being filled, as far as it comes. Gives how far it got; less than `end`, and not stopped: the fill
   * has ended (`whole`) or failed there.
   */
  async follow(follower: Follower, { first, end }: Span): Promise<{ readonly at: number; readonly whole: boolean }> {
    let passed = 0;
    while (passed < end && this.#stopped === undefined) {
      const piece = await this.next(follower);
      if (piece === undefined) break;
      if (piece.kind === 'end' || piece.kind === 'failed') return { at: passed, whole: piece.kind === 'end' };
      const count = piece.kind === 'bytes' ? piece.bytes.length : piece.end - piece.start;
      const skip = Math.min(count, Math.max(0, first - passed));
      const upTo = Math.min(count, end - passed);
      if (piece.kind === 'bytes') await this.bytes(piece.bytes.subarray(skip, upTo));
      else await this.file(piece.fd, piece.start + skip, piece.start + upTo);
      passed += count;
    }
    return { at: Math.min(passed, end), whole: passed >= end };
  }

  /** Undefined when stopped. */
  next(follower: Follower): Promise<Piece | undefined> {
    if (this.#stopped !== undefined) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      this.#halted = () => resolve(undefined);
      void follower.next().then(resolve);
    });
  }

  async #send(fd: number, offset: number, length: number, growth: FileGrowth | undefined): Promise<void> {
    const { sink } = this;
    while (sink.wire.unsent > 0 && this.#stopped === undefined) await this.#untilDrained();
    const { descriptor } = sink.wire;
    if (this.#stopped !== undefined || descriptor === undefined) return this.stop('reset');
    const grows = growth === undefined ? {} : { growth };
    const prefix = sink.lead(length);
    let body: TapBody;
    try {
      body = this.#movers.tap.sendFile(fd, descriptor, {
        offset,
        length,
        prefix,
        clientIdleMs: sink.idleTimeout,
        ...grows,
      });
    } catch (error) {
      return this.stop('aborted', errnoOf(error)); // out of descriptors, or the server ends
    }
    sink.led(length);
    this.#moving = length;
    this.#body = body;
    const end = await body.delivered;
    this.#body = undefined;
    this.#moving = 0;
    sink.moved(end?.bytes ?? 0, length);
    if (end === undefined || end.end === 'complete') return;
    // Short is the file, or the fill behind it.
    this.stop(end.end === 'short' ? 'store' : stoppedBy(reasonOf(end.end)), end.errno);
  }

  #untilDrained(): Promise<void> {
    if (this.#stopped !== undefined || this.sink.wire.unsent === 0) return Promise.resolve();
    return new Promise((resolve) => (this.#drained = resolve));
  }
}

function stoppedBy(reason: BodyReason): Stopped['reason'] {
  return reason === 'complete' ? 'aborted' : reason;
}

function readAt(fd: number, at: number, count: number): Promise<Uint8Array | Error> {
  return new Promise((resolve) => {
    const buffer = Buffer.allocUnsafeSlow(count);
    read(fd, buffer, 0, count, at, (error, bytes) => resolve(error ?? buffer.subarray(0, bytes)));
  });
}
