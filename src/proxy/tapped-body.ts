/**
 * Stage relay: content of known length from one wire into the store and, mostly, to a client, all by the kernel
 * (src/engine/tap.ts). Made by relay-body.ts. What is done here is before and after: the file is opened, the client's
 * wire drains, and when source and file have ended, the fill is told.
 */
import { SpliceError } from '../errors.js';
import { errnoOf } from '../engine/errno-of.js';
import type { TapBody, TapPartEnd } from '../engine/tap-body.js';
import { ABSENT } from '../flow/roster.js';
import { Fields } from '../http/head.js';
import { TransferEnds } from './body-end.js';
import { NOTHING, reasonOf, type Movers } from './body-movers.js';
import { BodySink } from './body-sink.js';
import type { BodyReason, Incoming, Outgoing, Transfer } from './body.js';
import type { Finishes } from './copied-body.js';
import type { FillFile, LiveFill } from './desk.js';
import type { WireOwner } from './wire.js';

export class TappedBody extends TransferEnds implements Transfer, WireOwner {
  readonly #movers: Movers;
  readonly #from: Incoming;
  readonly #length: number;
  /** In the clock's roster. */
  place = ABSENT;
  /** Read before the kernel does. */
  #rest: Uint8Array;
  readonly #sink: BodySink | undefined;
  readonly #fill: LiveFill;
  readonly #finishes: Finishes;
  readonly #before: WireOwner;
  /** What the fill has given to write into: undefined before, and afterwards where the store does not take it. */
  #file: FillFile | undefined;
  /** It has answered. */
  #answered = false;
  #body: TapBody | undefined;
  /** Why it was told to end. */
  #halted: BodyReason | undefined;
  #broke: number | undefined;
  #fillEnded = false;

  constructor(
    movers: Movers,
    from: Incoming,
    length: number,
    to: Outgoing | undefined,
    fill: LiveFill,
    finishes: Finishes,
  ) {
    super();
    this.#movers = movers;
    this.#from = from;
    this.#rest = from.rest;
    this.#length = length;
    this.#fill = fill;
    this.#finishes = finishes;
    this.#before = from.wire.owner;
    fill.forsaken = () => this.#forsaken();
    if (to === undefined) this.to.settle({ reason: 'unwanted', errno: 0, bytes: 0 });
    else this.#sink = new BodySink(to);
  }

  get sent(): number {
    return this.deliveredEnd?.bytes ?? this.#body?.counters().delivered ?? 0;
  }

  begin(): this {
    const { wire } = this.#from;
    wire.owner = this;
    wire.pause();
    const unread = wire.unread();
    if (unread !== undefined) this.#rest = Buffer.concat([this.#rest, unread]);
    this.#movers.clock.watch(this);
    void this.#fill.file().then((file) => {
      this.#file = file;
      this.#answered = true;
      this.#start();
    });
    return this;
  }

  lost(): void {
    this.#clientEnds('reset', 0);
  }

  drained(): void {
    this.#start();
  }

  abort(): void {
    this.to.settle({ reason: 'aborted', errno: 0, bytes: this.sent });
    this.#halt('aborted');
  }

  onData(): void {
    // A paused wire has none.
  }

  onEnd(): void {
    // A FIN is the kernel's to find, behind the bytes that came before it.
  }

  onBroken(errno: number): void {
    this.#broke = errno;
    this.#before.onBroken(errno);
  }

  onDrained(): void {
    this.#before.onDrained();
  }

  /** By the clock: until the kernel has the body, the client's idle time is ours to count. */
  tick(): void {
    if (this.#sink?.stalls() === true) this.#clientEnds('idle', 0);
  }

  /** Begins as soon as there is nothing left to wait for. */
  #start(): void {
    if (!this.#answered || this.#body !== undefined || this.receivedEnd !== undefined) return;
    const client = this.deliveredEnd === undefined ? this.#sink : undefined;
    if (this.#halted !== undefined) return this.#neverBegan(this.#halted, 0);
    if (client === undefined && this.#file === undefined) return this.#neverBegan('unwanted', 0);
    if (client !== undefined && client.wire.unsent > 0) return;
    this.#movers.clock.forget(this);
    const source = this.#from.wire.descriptor;
    if (source === undefined) return this.#neverBegan('reset', this.#broke ?? 0);
    const target = client?.wire.descriptor;
    if (client !== undefined && target === undefined) {
      this.#clientEnds('reset', 0);
      return this.#start();
    }
    try {
      this.#body = this.#relay(source, client, target);
    } catch (error) {
      if (!(error instanceof SpliceError)) throw error;
      return this.#neverBegan('aborted', errnoOf(error)); // out of descriptors, or the server ends
    }
    client?.led(this.#length);
    this.#watch(this.#body, client);
  }

  #relay(source: number, client: BodySink | undefined, target: number | undefined): TapBody {
    const file = this.#file;
    return this.#movers.tap.relayBody(source, target, {
      length: this.#length,
      head: this.#rest.subarray(0, this.#length),
      sourceIdleMs: this.#from.idleTimeout,
      withoutClient: true, // whether it is worth it is asked when the client is lost
      ...(client !== undefined && { prefix: client.lead(this.#length), clientIdleMs: client.idleTimeout }),
      ...(file !== undefined && { file: file.fd, offset: file.offset, growth: file.growth }),
    });
  }

  #watch(body: TapBody, client: BodySink | undefined): void {
    let source: TapPartEnd | undefined;
    let stored: TapPartEnd | undefined;
    const taken = (): void => {
      const failed = stored?.end === 'error';
      if ((source === undefined && !failed) || (stored === undefined && this.#file !== undefined)) return;
      // A file that failed is over at once, for those who follow it; the client still has its body.
      const { bytes, end } = source ?? { bytes: body.counters().received, end: 'short' };
      this.#endFill(bytes, end === 'complete', stored?.bytes ?? 0, stored?.errno ?? 0);
    };
    body.onEnd('source', (end) => {
      source = end;
      const broke = end.end === 'short' && this.#broke !== undefined;
      const reason = this.#halted ?? (broke ? 'reset' : reasonOf(end.end));
      this.#sourceEnds(end.end === 'complete' ? 'complete' : reason, broke ? (this.#broke ?? 0) : end.errno, end.bytes);
      taken();
    });
    body.onEnd('file', (end) => {
      stored = end;
      taken();
    });
    body.onEnd('client', (end) => {
      client?.moved(end.bytes, this.#length);
      if (end.end === 'complete') this.#finish();
      else if (end.end === 'short') this.#cut(end);
      else this.#clientEnds(reasonOf(end.end), end.errno);
    });
  }

  #finish(): void {
    const whole = this.#sink?.finish(Fields.EMPTY) ?? true;
    this.to.settle({ reason: whole ? 'complete' : 'short', errno: 0, bytes: this.#sink?.content ?? 0 });
  }

  /** The client has all that came; it was not all. */
  #cut(end: TapPartEnd): void {
    const { reason, errno } = this.receivedEnd ?? { reason: 'short', errno: 0 };
    this.to.settle({ reason: reason === 'complete' ? 'short' : reason, errno, bytes: end.bytes });
  }

  #sourceEnds(reason: BodyReason, errno: number, bytes: number): void {
    const { wire } = this.#from;
    const rest = this.#rest;
    const leftover = rest.length > this.#length ? rest.subarray(this.#length) : NOTHING;
    wire.owner = this.#before;
    if (reason !== 'complete') this.#fill.cut();
    this.from.settle({ reason, errno, bytes, leftover, trailers: Fields.EMPTY });
  }

  #neverBegan(reason: BodyReason, errno: number): void {
    this.#movers.clock.forget(this);
    this.#sourceEnds(reason, errno, 0);
    this.to.settle({ reason, errno, bytes: 0 });
    this.#endFill(0, false, 0, 0);
  }

  #endFill(received: number, whole: boolean, stored: number, errno: number): void {
    if (this.#fillEnded) return;
    this.#fillEnded = true;
    void this.#fill.end(received, whole, stored, errno);
  }

  /** The client takes no more: the source goes on for the store, or not at all. */
  #clientEnds(reason: BodyReason, errno: number): void {
    const bytes = this.sent;
    if (!this.to.settle({ reason, errno, bytes })) return;
    if (!this.#isWanted) this.#halt('unwanted');
    this.#start();
  }

  /** Without its client: others are answered from the fill, or it is worth finishing. */
  get #isWanted(): boolean {
    return this.#fill.followed || this.#finishes(this.#body?.counters().received ?? 0, this.#length);
  }

  /** The last of those others has gone. */
  #forsaken(): void {
    if (this.deliveredEnd !== undefined && this.receivedEnd === undefined && !this.#isWanted) this.#halt('unwanted');
  }

  #halt(reason: BodyReason): void {
    this.#halted ??= reason;
    this.#body?.abort();
    this.#start();
  }
}
