/**
 * Stage relay: an answer of the cache on its way to a client. What is in memory goes out in one call, and its end is
 * known at once; files, and fills that are under way, go by the kernel where the client's wire has a descriptor.
 */
import type { FileGrowth } from '../engine/file-growth.js';
import type { AnswerBody } from '../cache/respond.js';
import type { Span } from '../cache/spans.js';
import type { Follower } from '../cache/store/fill-types.js';
import { Fields } from '../http/head.js';
import { SendEnds } from './body-end.js';
import { BodyFeed } from './body-feed.js';
import { NOTHING, type Movers } from './body-movers.js';
import { BodySink } from './body-sink.js';
import type { BodyEnd, BodyReason, Outgoing, SendTransfer } from './body.js';
import type { LiveFill, StoredBody } from './desk.js';

/** A span, and what stands before it. */
interface Part {
  readonly text: Uint8Array;
  readonly span: Span;
}

/** @returns the end where it is known at once: for all that is in memory */
export function sendStored(movers: Movers, to: Outgoing, body: AnswerBody, stored: StoredBody): BodyEnd | SendTransfer {
  if (body.kind === 'none' || to.framing.kind === 'none') {
    if (stored.kind === 'file') stored.release();
    to.wire.send(to.prefix);
    return { reason: 'complete', errno: 0, bytes: 0 };
  }
  if (stored.kind === 'memory') return sendMemory(to, body, stored.bytes);
  return new StoredSend(movers, to, body, stored);
}

type SomeBody = Exclude<AnswerBody, { kind: 'none' }>;

function sendMemory(to: Outgoing, body: SomeBody, bytes: Uint8Array): BodyEnd {
  const content =
    body.kind === 'span'
      ? bytes.subarray(body.span.first, body.span.end)
      : Buffer.concat([
          ...body.parts.flatMap(({ preamble, span }) => [latin1(preamble), bytes.subarray(span.first, span.end)]),
          latin1(body.closing),
        ]);
  const { length } = content;
  if (to.framing.kind === 'chunked') {
    const sink = new BodySink(to);
    sink.send(content);
    sink.finish(Fields.EMPTY);
  } else if (to.framing.kind === 'length' && to.framing.length !== length) {
    // The store has lost some of it.
    return { reason: 'store', errno: 0, bytes: 0, ...(to.prefix.length > 0 && { untouched: true }) };
  } else if (length === 0) to.wire.send(to.prefix);
  else to.wire.send(to.prefix, content);
  return { reason: 'complete', errno: 0, bytes: length };
}

class StoredSend extends SendEnds implements SendTransfer {
  readonly #feed: BodyFeed;

  constructor(movers: Movers, to: Outgoing, body: SomeBody, stored: Exclude<StoredBody, { kind: 'memory' }>) {
    super();
    this.#feed = new BodyFeed(movers, new BodySink(to));
    const parts: readonly Part[] =
      body.kind === 'span'
        ? [{ text: NOTHING, span: body.span }]
        : body.parts.map(({ preamble, span }) => ({ text: latin1(preamble), span }));
    const closing = body.kind === 'span' ? NOTHING : latin1(body.closing);
    const sent = stored.kind === 'file' ? this.#sendFile(parts, stored) : this.#sendFill(parts, stored.fill);
    void sent.then(() => this.#end(closing));
  }

  get sent(): number {
    return this.#feed.sent;
  }

  lost(): void {
    this.#feed.stop('reset');
  }

  drained(): void {
    this.#feed.drained();
  }

  abort(): void {
    this.#feed.stop('aborted');
  }

  async #sendFile(parts: readonly Part[], file: Extract<StoredBody, { kind: 'file' }>): Promise<void> {
    try {
      for (const { text, span } of parts) await this.#range(text, file.fd, span.first, span.end, undefined);
    } finally {
      file.release();
    }
  }

  async #sendFill(parts: readonly Part[], fill: LiveFill): Promise<void> {
    const { descriptor } = this.#feed.sink.wire;
    if (fill.opening !== undefined && descriptor !== undefined) return this.#sendGrowing(parts, fill, fill.opening);
    // All at once: later the fill may have ended, and nobody can follow it from its beginning.
    const followers = parts.map(() => fill.follow(true));
    for (const [i, { text, span }] of parts.entries()) {
      const follower = followers[i];
      if (follower !== undefined && this.#feed.stopped === undefined) await this.#follow(text, follower, span);
    }
    for (const follower of followers) follower.close();
  }

  async #follow(text: Uint8Array, follower: Follower, span: Span): Promise<void> {
    const feed = this.#feed;
    if (text.length > 0) await feed.bytes(text);
    const { at, whole } = await feed.follow(follower, span);
    // Where nobody knows how long it will be, the span has no end either.
    if (!whole || (span.end !== Infinity && at !== span.end)) feed.stop('store');
  }

  async #sendGrowing(parts: readonly Part[], fill: LiveFill, opening: NonNullable<LiveFill['opening']>): Promise<void> {
    const hold = fill.follow(true); // the file stays open
    const opened = await opening;
    // The kernel sends the head at once, and who has that can only be cut where the disk takes nothing.
    const first = opened === undefined ? undefined : await this.#feed.next(hold);
    if (opened === undefined || first?.kind === 'failed') this.#feed.stop('store');
    else if (first !== undefined) {
      // Only whole representations are followed, and byte p of one is at p.
      const { fd, growth } = opened;
      for (const { text, span } of parts) await this.#range(text, fd, span.first, span.end, growth);
    }
    hold.close();
  }

  async #range(
    text: Uint8Array,
    fd: number,
    start: number,
    end: number,
    growth: FileGrowth | undefined,
  ): Promise<void> {
    const feed = this.#feed;
    if (feed.stopped !== undefined) return;
    if (feed.sink.chunked) await feed.bytes(text);
    else feed.sink.preface(text);
    if (feed.stopped === undefined) await feed.file(fd, start, end, growth);
  }

  async #end(closing: Uint8Array): Promise<void> {
    const feed = this.#feed;
    await feed.bytes(closing);
    const { sink, stopped } = feed;
    feed.close();
    const bytes = sink.content;
    if (stopped !== undefined) this.#settle(stopped.reason, stopped.errno, bytes, sink);
    else this.#settle(sink.finish(Fields.EMPTY) ? 'complete' : 'store', 0, bytes, sink);
  }

  #settle(reason: BodyReason, errno: number, bytes: number, { untouched }: BodySink): void {
    if (reason === 'store' && untouched) this.to.settle({ reason, errno, bytes: 0, untouched });
    else this.to.settle({ reason, errno, bytes });
  }
}

function latin1(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}
