/**
 * Stage relay: content from one wire to another, and into the store, through JavaScript; and by the kernel for those
 * stretches of it that are long and need not be stored. Made by relay-body.ts. Three sides end each by itself:
 *
 *     source    until its content has ended, or it failed, or nobody wants it
 *     client    directly; or behind, following the fill, when it is slow and the store has what it misses
 *     store     body-fill.ts; its failure ends nobody else
 *
 * The source waits for the store's disk, and for the client where no store takes what it cannot.
 */
import type { TapPartEnd } from '../engine/tap-body.js';
import { ABSENT } from '../flow/roster.js';
import type { Fields } from '../http/head.js';
import { ticksOf } from './body-clock.js';
import { TransferEnds } from './body-end.js';
import { BodyFeed } from './body-feed.js';
import { FillWriter } from './body-fill.js';
import { BodyLeap } from './body-leap.js';
import { KERNEL_BYTES, NOTHING, reasonOf, type Movers } from './body-movers.js';
import { ContentReader } from './body-reader.js';
import { BodySink } from './body-sink.js';
import type { BodyReason, Incoming, Outgoing, Transfer } from './body.js';
import type { LiveFill } from './desk.js';
import type { WireOwner } from './wire.js';

export type Finishes = (received: number, length: number | undefined) => boolean;

export class CopiedBody extends TransferEnds implements Transfer, WireOwner {
  readonly #movers: Movers;
  readonly #from: Incoming;
  readonly #reader: ContentReader;
  readonly #finishes: Finishes;
  readonly #sink: BodySink | undefined;
  /** Undefined without a fill, and when it has failed and nobody needs its remains. */
  #fill: FillWriter | undefined;
  /** In the clock's roster. */
  place = ABSENT;
  /** Whom the source's wire belongs to; undefined while it was not taken. */
  #before: WireOwner | undefined;
  #paused = false;
  #quiet = 0;
  readonly #patience: number;
  /** The client is behind. */
  #behind: BodyFeed | undefined;
  /** It has come to the end of a fill that failed, whose last write has not been answered yet. */
  #stranded = false;
  #leap: BodyLeap | undefined;
  /** Why the leap was told to end. */
  #halted: BodyReason | undefined;
  #neverLeaps = false;
  /** The source's wire broke during a leap, which cannot tell that from a FIN. */
  #broke: number | undefined;

  constructor(
    movers: Movers,
    from: Incoming,
    to: Outgoing | undefined,
    fill: LiveFill | undefined,
    finishes: Finishes,
  ) {
    super();
    this.#movers = movers;
    this.#from = from;
    this.#reader = new ContentReader(from);
    this.#finishes = finishes;
    this.#patience = ticksOf(from.idleTimeout);
    if (to !== undefined) this.#sink = new BodySink(to);
    if (fill === undefined) return;
    this.#fill = new FillWriter(fill, () => this.#fillChanged());
    fill.forsaken = () => this.#forsaken();
  }

  get sent(): number {
    if (this.#behind !== undefined) return this.#behind.sent;
    return (this.#sink?.content ?? 0) - (this.#leap?.missing ?? 0);
  }

  /** Takes what was read already; and if there is to be more, the wire. */
  begin(): this {
    const { wire, rest } = this.#from;
    if (this.#reader.tooLarge) {
      this.#sourceEnds('too-large');
      return this;
    }
    const sink = this.#sink;
    if (sink === undefined) this.to.settle({ reason: 'unwanted', errno: 0, bytes: 0 });
    else if (sink.headOnly) {
      sink.open();
      this.to.settle({ reason: 'complete', errno: 0, bytes: 0 });
    }
    this.#take(rest, true);
    if (this.receivedEnd !== undefined) return this;
    this.#before = wire.owner;
    wire.owner = this;
    this.#paused = true;
    wire.pause();
    this.#movers.clock.watch(this);
    if (!wire.open) this.#sourceEnds('reset');
    else if (wire.ended) this.#takeLast();
    this.#pump();
    return this;
  }

  lost(): void {
    this.#clientEnds('reset', 0);
  }

  drained(): void {
    this.#behind?.drained();
    this.#pump();
  }

  abort(): void {
    this.#clientEnds('aborted', 0, 'aborted');
    this.#halt('aborted');
  }

  onData(bytes: Uint8Array): void {
    if (this.receivedEnd !== undefined) return;
    this.#quiet = 0;
    this.#take(bytes, false);
    this.#pump();
  }

  onEnd(): void {
    if (this.receivedEnd !== undefined) return;
    if (!this.#reader.finish()) this.#sourceEnds('short');
    else this.#contentEnds(NOTHING);
  }

  onBroken(errno: number): void {
    const before = this.#before;
    if (this.#leap === undefined) this.#sourceEnds('reset', errno);
    else this.#broke = errno; // what came before is with the kernel yet
    before?.onBroken(errno);
  }

  onDrained(): void {
    this.#before?.onDrained();
  }

  /** By the clock. */
  tick(): void {
    if (this.#leap !== undefined) return;
    const waits = this.receivedEnd === undefined && !this.#paused;
    if (waits && ++this.#quiet >= this.#patience) this.#sourceEnds('idle');
    const direct = this.#behind === undefined && this.deliveredEnd === undefined;
    if (direct && this.#sink?.stalls() === true) this.#clientEnds('idle', 0);
  }

  /** The FIN was read before this began. */
  #takeLast(): void {
    const unread = this.#from.wire.unread();
    if (unread !== undefined) this.#take(unread, true);
    this.onEnd();
  }

  /** The next piece of the source: ours, or a view that is overwritten. */
  #take(piece: Uint8Array, own: boolean): void {
    const reader = this.#reader;
    const sink = this.deliveredEnd === undefined && this.#behind === undefined ? this.#sink : undefined;
    const count = reader.receive(piece);
    if (typeof count !== 'number') return this.#sourceEnds(count);
    if (sink?.fits(count) === false) return this.#sourceEnds('refused');
    const last = reader.ended ? reader.trailers : undefined;
    if (count > 0 || last !== undefined) this.#pass(piece, count, own, sink, last);
    else sink?.open();
    if (reader.ended) this.#contentEnds(own ? piece.subarray(reader.end) : piece.slice(reader.end));
  }

  /** `count` bytes of content in that piece, copied once. */
  #pass(piece: Uint8Array, count: number, own: boolean, sink: BodySink | undefined, last: Fields | undefined): void {
    if (sink === undefined && this.#fill === undefined) return;
    const reader = this.#reader;
    const tail = sink?.tail(count, last) ?? NOTHING;
    const view = own && tail.length === 0 ? reader.viewOf(piece) : undefined;
    if (view !== undefined) {
      sink?.write(count, view);
      this.#store(view);
      return;
    }
    const framed = Buffer.allocUnsafe(count + tail.length);
    reader.copyOf(piece, framed);
    framed.set(tail, count);
    sink?.write(count, framed);
    this.#store(framed.subarray(0, count));
  }

  #store(bytes: Uint8Array): void {
    const fill = this.#fill;
    if (fill === undefined || bytes.length === 0) return;
    if (fill.failed) fill.keep(bytes);
    else fill.write(bytes);
  }

  /** All of the content was there, and has been passed on with what stands behind it, but for a FIN's. */
  #contentEnds(leftover: Uint8Array): void {
    const direct = this.deliveredEnd === undefined && this.#behind === undefined && this.#leap === undefined;
    this.#sourceEnds('complete', 0, leftover);
    if (direct) this.#finish(this.#from.framing.kind !== 'close');
  }

  #sourceEnds(reason: BodyReason, errno = 0, leftover: Uint8Array = NOTHING): void {
    const { bytes, trailers } = this.#reader;
    if (!this.from.settle({ reason, errno, bytes, leftover, trailers })) return;
    const { wire } = this.#from;
    if (this.#before !== undefined) {
      wire.pause();
      wire.owner = this.#before;
    }
    this.#fill?.end(bytes, reason === 'complete');
    // One who is behind gets what the store has, and comes to the same end.
    if (reason !== 'complete' && this.#behind === undefined && this.#leap === undefined) this.#deliver(reason, errno);
    this.#forget();
  }

  /** Behind the last byte of whole content. */
  #finish(written: boolean): void {
    const whole = this.#sink?.finish(this.#reader.trailers, written) ?? true;
    this.#deliver(whole ? 'complete' : 'short', 0);
  }

  #deliver(reason: BodyReason, errno: number): void {
    const bytes = this.#sink?.content ?? 0;
    if (this.to.settle({ reason, errno, bytes })) this.#forget();
  }

  /** The client takes no more: the source goes on for the store, or not at all. */
  #clientEnds(reason: 'reset' | 'idle' | 'aborted' | 'store', errno: number, source: BodyReason = 'unwanted'): void {
    if (this.deliveredEnd !== undefined) return;
    const bytes = this.sent;
    this.to.settle({ reason, errno, bytes });
    this.#behind?.stop(reason, errno);
    if (source === 'aborted' || !this.#isWanted) this.#halt(source);
    this.#forget();
    this.#pump();
  }

  /** Without its client: others are answered from the fill, or it is worth finishing. */
  get #isWanted(): boolean {
    if (!this.#fills) return false;
    return this.#fill?.fill.followed === true || this.#finishes(this.#reader.bytes, this.#reader.length);
  }

  /** The last of those others has gone. */
  #forsaken(): void {
    if (this.deliveredEnd !== undefined && this.receivedEnd === undefined && !this.#isWanted) this.#halt('unwanted');
  }

  get #fills(): boolean {
    return this.#fill !== undefined && !this.#fill.failed;
  }

  /** Ends the source; in a leap as soon as the kernel has let go of it. */
  #halt(reason: BodyReason): void {
    if (this.#leap === undefined) return this.#sourceEnds(reason);
    this.#halted ??= reason;
    this.#leap.abort();
  }

  #forget(): void {
    if (this.receivedEnd !== undefined && this.deliveredEnd !== undefined) this.#movers.clock.forget(this);
  }

  /** Whether the source may go on, after whatever has changed. */
  #pump(): void {
    if (this.#before === undefined || this.receivedEnd !== undefined || this.#leap !== undefined) return;
    const { wire } = this.#from;
    if (this.#hold() || this.#beginLeap()) {
      if (!this.#paused) wire.pause();
      this.#paused = true;
    } else if (this.#paused) {
      this.#paused = false;
      this.#quiet = 0;
      wire.resume();
    }
  }

  #hold(): boolean {
    const direct = this.deliveredEnd === undefined && this.#behind === undefined;
    if (direct && this.#sink?.slow === true && !(this.#fills && this.#fallBehind())) return true;
    if (this.#behind !== undefined && !this.#fills) return true;
    return this.#fill?.full === true;
  }

  /** The client is slow, and is served from the store from now on. */
  #fallBehind(): boolean {
    const sink = this.#sink;
    const fill = this.#fill?.fill;
    if (sink === undefined || fill === undefined) return false;
    const feed = new BodyFeed(this.#movers, sink);
    this.#behind = feed;
    const follower = fill.follow();
    void feed.follow(follower, { first: sink.content, end: Infinity }).then(({ whole }) => {
      follower.close();
      feed.close();
      if (this.deliveredEnd !== undefined) this.#behind = undefined;
      else if (feed.stopped !== undefined) this.#lagLost(feed.stopped.reason, feed.stopped.errno);
      else this.#caughtUp(whole);
    });
    return true;
  }

  #lagLost(reason: BodyReason, errno: number): void {
    const lost = reason === 'idle' || reason === 'aborted' || reason === 'store' ? reason : 'reset';
    this.#clientEnds(lost, errno);
    this.#behind = undefined;
  }

  /** The fill has ended, and the client has what it had: `whole`, or as much of it as was stored. */
  #caughtUp(whole: boolean): void {
    const source = this.receivedEnd;
    const at = this.#sink?.content ?? 0;
    const fill = this.#fill;
    this.#stranded = false;
    if (whole && source?.reason === 'complete') {
      this.#behind = undefined;
      this.#finish(false);
    } else if (at === this.#reader.bytes) this.#goDirect(at, []);
    else if (fill?.failed === false) this.#stranded = true;
    else if (fill !== undefined && fill.stored <= at) this.#goDirect(fill.stored, fill.takeUnstored());
    else this.#lagLost('store', 0);
  }

  /** The store is out of it; what it did not take goes out from here, and then the source's pace is the client's. */
  #goDirect(from: number, missed: readonly Uint8Array[]): void {
    const sink = this.#sink;
    this.#behind = undefined;
    if (this.#fill?.failed === true) this.#fill = undefined;
    let at = from;
    for (const bytes of missed) {
      const sent = Math.min(bytes.length, Math.max(0, (sink?.content ?? 0) - at));
      sink?.send(bytes.subarray(sent));
      at += bytes.length;
    }
    const source = this.receivedEnd;
    if (source === undefined) this.#pump();
    else if (source.reason === 'complete') this.#finish(false);
    else this.#deliver(source.reason, source.errno);
  }

  /** The store has room again, or has failed. */
  #fillChanged(): void {
    const fill = this.#fill;
    if (fill?.failed === true && this.#behind === undefined) {
      this.#fill = undefined;
      if (this.deliveredEnd !== undefined && this.receivedEnd === undefined) this.#halt('unwanted');
    }
    if (this.#stranded) this.#caughtUp(false);
    this.#pump();
  }

  /** True: the kernel moves what comes, or will as soon as the client's wire has drained. */
  #beginLeap(): boolean {
    const { ahead } = this.#reader;
    const sink = this.#sink;
    if (ahead <= KERNEL_BYTES || sink === undefined || this.#fill !== undefined || this.#neverLeaps) return false;
    if (this.deliveredEnd !== undefined || this.#behind !== undefined) return false;
    const source = this.#from.wire.descriptor;
    const client = sink.wire.descriptor;
    if (source === undefined || client === undefined) return false;
    // Of what ends with the connection nobody knows whether it is long until it was.
    if (ahead === Infinity ? sink.chunked || this.#reader.bytes <= KERNEL_BYTES : !sink.fits(ahead)) return false;
    if (sink.wire.unsent > 0) return true;
    this.#from.wire.pause();
    this.#paused = true;
    const unread = this.#from.wire.unread();
    if (unread === undefined) return this.#startLeap(source, client, ahead, sink);
    this.#take(unread, true);
    return this.receivedEnd !== undefined || this.#beginLeap();
  }

  #startLeap(source: number, client: number, ahead: number, sink: BodySink): boolean {
    const leap = BodyLeap.begin(this.#movers, { source, client, ahead, idleTimeout: this.#from.idleTimeout }, sink);
    if (leap === undefined) {
      this.#neverLeaps = true;
      return false;
    }
    this.#leap = leap;
    leap.onEnds(
      (end) => this.#sourceLeapt(end),
      (end) => this.#land(leap, end),
    );
    return true;
  }

  /** The kernel takes no more of the source, which is free where that was all of the content. */
  #sourceLeapt({ end, errno, bytes }: TapPartEnd): void {
    const reader = this.#reader;
    reader.moved(bytes);
    const atEnd = reader.length === undefined && this.#from.framing.kind === 'close';
    if (this.#broke !== undefined && (end === 'short' || (end === 'complete' && atEnd))) {
      this.#sourceEnds('reset', this.#broke);
    } else if (end !== 'complete') {
      this.#sourceEnds(this.#halted ?? reasonOf(end), errno);
    } else if (atEnd ? reader.finish() : reader.ended) {
      this.#sourceEnds('complete');
    }
  }

  /** Once both have ended: goes on where the kernel stopped. */
  #land(leap: BodyLeap, client: TapPartEnd): void {
    this.#leap = undefined;
    this.#sink?.moved(client.bytes, leap.length);
    if (client.end !== 'complete' && this.deliveredEnd === undefined) {
      const cause = client.end === 'short' ? this.receivedEnd : undefined;
      this.#deliver(cause?.reason ?? reasonOf(client.end), cause?.errno ?? client.errno);
    }
    const received = this.receivedEnd;
    if (received === undefined) {
      if (this.deliveredEnd !== undefined) this.#sourceEnds(this.#halted ?? 'unwanted');
      else if (this.#broke !== undefined) this.#sourceEnds('reset', this.#broke);
      else this.#pump();
    } else if (received.reason === 'complete') {
      if (this.deliveredEnd === undefined) this.#finish(false);
    } else {
      this.#deliver(received.reason, received.errno);
    }
  }
}
