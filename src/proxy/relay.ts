/**
 * Stage relay: the response on its way to the client. Heads are written here; content goes by relay-body.ts and
 * stored-body.ts, mostly without passing through this process. Called by handshake.ts (hits) and splice.ts.
 */
import type { ResponseDecision, Shared } from '../cache/decide.js';
import type { Answer } from '../cache/respond.js';
import { forwardResponse } from '../http/forward.js';
import { CHUNKED, NO_BODY, UNTIL_CLOSE, responsePersists, type Framing } from '../http/framing.js';
import { Fields, isHttp11, type ResponseHead } from '../http/head.js';
import { serializeResponse } from '../http/serialize.js';
import type { BodyEnd, ReceivedEnd, Transfer } from './body.js';
import { tell } from './collapse-release.js';
import type { ProxyContext } from './context.js';
import type { LiveFill, StoredBody } from './desk.js';
import type { ClientSide, Exchange } from './exchange.js';
import type { Arrived } from './fetch.js';
import { missAfterAll } from './handshake.js';
import { isPlain, keepHead } from './ready-head.js';
import { discardBody, relayBody } from './relay-body.js';
import { sendStored } from './stored-body.js';
import { settle } from './teardown.js';

type Content = Exclude<Framing, { kind: 'tunnel' }>;

/** Content of a response that nobody gets is read up to this, to keep the connection; beyond, a new one is cheaper. */
const MOST_DISCARDED = 64 * 1024;
/** Milliseconds for content of a request to end behind the answer to it; then both connections end. */
const UPLOAD_GRACE_MS = 1000;
const EMPTY = new Uint8Array(0);
const never = (): boolean => false;
const always = (): boolean => true;

/**
 * The origin's response goes to the client, and its content into `fill` on the way. Those who waited for it are told
 * what it is to them as soon as it is under way, so that they find how the fill is written.
 */
export async function relay(
  context: ProxyContext,
  exchange: Exchange,
  arrived: Arrived,
  head: ResponseHead,
  fill: LiveFill | undefined,
  shared: Shared,
): Promise<void> {
  const { client, site } = exchange;
  exchange.status = head.status;
  const framing = arrived.framing as Content;
  const out = outgoing(exchange, framing);
  const prefix = client === undefined ? EMPTY : headOf(context, exchange, head, out, arrived.responseTime);
  if (framing.kind === 'none') {
    client?.wire.send(prefix);
    const stored = fill?.end(0, true);
    tell(context, exchange, shared);
    if (exchange.upload !== undefined) await uploadEnds(exchange.upload);
    giveBack(exchange, arrived, noContent(arrived));
    await stored;
    conclude(context, exchange, COMPLETE);
    return;
  }
  if (client === undefined && fill === undefined) {
    tell(context, exchange, shared);
    await dropContent(context, exchange, arrived);
    conclude(context, exchange, COMPLETE);
    return;
  }
  const transfer = relayBody(
    context,
    incoming(exchange, arrived, framing),
    client && { wire: client.wire, prefix, framing: out, idleTimeout: site.clientTimeout },
    fill,
    // What the background fetches is for the store.
    exchange.background ? always : (exchange.routeCache?.finishes ?? never),
  );
  exchange.download = transfer;
  const others = tell(context, exchange, shared);
  // Whoever asked has gone before there was an answer: the same question as for one who goes in the middle of it.
  const unasked = client === undefined && !exchange.background && others === 0;
  if (unasked && exchange.routeCache?.finishes(0, fill?.length) !== true) transfer.abort();
  const received = transfer.receivedEnd ?? (await transfer.received);
  if (exchange.upload !== undefined) await uploadEnds(exchange.upload);
  giveBack(exchange, arrived, received);
  const delivered = transfer.deliveredEnd ?? (await transfer.delivered);
  exchange.bytesOut = delivered.bytes;
  conclude(context, exchange, delivered, received);
}

/** A stored response goes to the client; from memory within the call. `live`: from what is being filled. */
export function answerStored(context: ProxyContext, exchange: Exchange, answer: Answer, live?: LiveFill): void {
  const { client } = exchange;
  if (client === undefined) {
    settle(context, exchange, exchange.background ? 'ok' : 'client-gone', 'gone');
    return;
  }
  if (answer.body.kind === 'none') {
    exchange.status = answer.head.status;
    client.wire.send(headOf(context, exchange, answer.head, NO_BODY, Date.now()));
    conclude(context, exchange, COMPLETE);
    return;
  }
  const body: StoredBody | Promise<StoredBody | undefined> | undefined =
    live === undefined ? context.desk?.body(answer.from) : { kind: 'live', fill: live };
  if (body instanceof Promise) {
    void body.then((opened) => {
      if (exchange.over || exchange.client === undefined) {
        if (opened?.kind === 'file') opened.release();
        settle(context, exchange, 'client-gone', 'gone');
      } else sendAnswer(context, exchange, client, answer, opened);
    });
  } else sendAnswer(context, exchange, client, answer, body);
}

/** A head that was kept for plain requests (ready-head.ts), and a body from memory. */
export function sendReady(
  context: ProxyContext,
  exchange: Exchange,
  status: number,
  head: Uint8Array,
  body: Uint8Array,
): void {
  exchange.status = status;
  exchange.bytesOut = body.length;
  exchange.client?.wire.send(head, body);
  settle(context, exchange, 'ok', 'sent');
}

function sendAnswer(
  context: ProxyContext,
  exchange: Exchange,
  client: ClientSide,
  answer: Answer,
  body: StoredBody | undefined,
): void {
  if (body === undefined) {
    missAfterAll(context, exchange);
    return;
  }
  exchange.status = answer.head.status;
  const out = outgoing(exchange, framingOf(answer));
  const to = {
    wire: client.wire,
    prefix: headOf(context, exchange, answer.head, out, Date.now()),
    framing: out,
    idleTimeout: exchange.site.clientTimeout,
  };
  if (body.kind === 'memory' && isWhole(answer, body.bytes.length) && exchange.cache === 'hit' && isPlain(exchange)) {
    keepHead(answer.from, exchange.site, exchange.decidedAt, answer.head.status, to.prefix);
  }
  const sent = sendStored(context, to, answer.body, body);
  if ('reason' in sent) {
    answered(context, exchange, sent);
    return;
  }
  exchange.download = sent;
  void sent.delivered.then((end) => answered(context, exchange, end));
}

/** An answer of the cache has gone out, or the store could not give what it had promised. */
function answered(context: ProxyContext, exchange: Exchange, end: BodyEnd): void {
  if (end.untouched === true && exchange.client !== undefined) {
    exchange.download = undefined;
    missAfterAll(context, exchange);
    return;
  }
  exchange.bytesOut = end.bytes;
  conclude(context, exchange, end);
}

/** Stored bytes and those that the origin sends now, one after the other. */
export async function join(
  context: ProxyContext,
  exchange: Exchange,
  arrived: Arrived,
  decision: Extract<ResponseDecision, { kind: 'join' }>,
  fill: LiveFill | undefined,
): Promise<void> {
  const { site } = exchange;
  const content = arrived.framing as Content;
  const base = decision.fill.kind === 'more' ? decision.fill.base : undefined;
  let body: StoredBody | undefined;
  const total = decision.pieces.reduce((sum, { span }) => sum + span.end - span.first, 0);
  let prefix = headOf(context, exchange, decision.head, { kind: 'length', length: total }, arrived.responseTime);
  let end: BodyEnd = COMPLETE;
  exchange.status = decision.head.status;
  for (const piece of decision.pieces) {
    const framing: Framing = { kind: 'length', length: piece.span.end - piece.span.first };
    const to = exchange.client && { wire: exchange.client.wire, prefix, framing, idleTimeout: site.clientTimeout };
    prefix = EMPTY;
    if (piece.from === 'store') {
      body = base && (await context.desk?.body(base));
      if (to?.wire.open !== true || end.reason !== 'complete') {
        if (body?.kind === 'file') body.release();
        continue;
      }
      if (body === undefined) end = { ...end, reason: 'store' };
      else {
        const sent = sendStored(context, to, { kind: 'span', span: piece.span }, body);
        if ('delivered' in sent) exchange.download = sent;
        const done = 'reason' in sent ? sent : await sent.delivered;
        end = { ...done, bytes: end.bytes + done.bytes };
      }
    } else {
      const wanted = end.reason === 'complete' ? to : undefined;
      if (wanted === undefined && fill === undefined) {
        await dropContent(context, exchange, arrived);
        continue;
      }
      const transfer = relayBody(
        context,
        incoming(exchange, arrived, content),
        wanted,
        fill,
        exchange.routeCache?.finishes ?? never,
      );
      exchange.download = transfer;
      giveBack(exchange, arrived, await transfer.received);
      if (wanted !== undefined) {
        const done = await transfer.delivered;
        end = { ...done, bytes: end.bytes + done.bytes };
      }
      tell(context, exchange, 'shared');
    }
  }
  exchange.bytesOut = end.bytes;
  conclude(context, exchange, end);
}

/** Reads away what nobody gets, so that the connection can be used again. */
export async function dropContent(context: ProxyContext, exchange: Exchange, arrived: Arrived): Promise<void> {
  const framing = arrived.framing as Content;
  // It is the connection's business alone from here on.
  exchange.origin = undefined;
  if (framing.kind === 'none') {
    release(exchange, arrived, noContent(arrived));
    return;
  }
  const transfer = discardBody(context, incoming(exchange, arrived, framing), MOST_DISCARDED);
  const end = transfer.receivedEnd ?? (await transfer.received);
  release(exchange, arrived, end);
}

function incoming(exchange: Exchange, arrived: Arrived, framing: Content): Parameters<typeof relayBody>[1] {
  return {
    wire: arrived.connection.wire,
    framing,
    rest: arrived.rest,
    of: 'response',
    idleTimeout: exchange.route?.origin.idleTimeout ?? 0,
    maxBytes: Infinity,
  };
}

/** How content of that framing goes to the client: as it came, where the client can take that. */
function outgoing(exchange: Exchange, framing: Framing): Framing {
  if (framing.kind === 'length' || framing.kind === 'none') return framing;
  if (isHttp11(exchange.parsed.head.version)) return CHUNKED;
  exchange.keep = false;
  return UNTIL_CLOSE;
}

function isWhole({ body }: Answer, length: number): boolean {
  return body.kind === 'span' && body.span.first === 0 && body.span.end === length;
}

function framingOf(answer: Answer): Framing {
  switch (answer.body.kind) {
    case 'none':
      return NO_BODY;
    case 'multipart':
      return { kind: 'length', length: answer.body.length };
    case 'span': {
      const { first, end } = answer.body.span;
      // Being filled, and only its end will tell its length.
      if (end === Infinity) return CHUNKED;
      return { kind: 'length', length: end - first };
    }
  }
}

function headOf(
  context: ProxyContext,
  exchange: Exchange,
  head: ResponseHead,
  framing: Framing,
  receivedMs: number,
): Uint8Array {
  if (context.draining || exchange.contentWaits) exchange.keep = false;
  const { site, parsed, keep } = exchange;
  return serializeResponse(
    forwardResponse(head, {
      framing,
      via: site.via,
      clientVersion: parsed.head.version,
      close: !keep,
      receivedMs,
    }),
  );
}

function giveBack(exchange: Exchange, arrived: Arrived, received: ReceivedEnd): void {
  // Settled meanwhile: it was closed then.
  if (exchange.origin !== arrived.connection) return;
  exchange.origin = undefined;
  release(exchange, arrived, received);
}

function release(exchange: Exchange, arrived: Arrived, received: ReceivedEnd): void {
  const { connection, reader, head, framing } = arrived;
  const whole = received.reason === 'complete';
  const clean = whole && isUploaded(exchange) && received.leftover.length === 0 && !reader.excess;
  if (clean && responsePersists(head, framing)) connection.release();
  else connection.discard(!whole);
}

/**
 * Whether the origin has been given all of the request. Content that has been read need not have been written: the
 * kernel may be at it still, and another request would get into the middle of it.
 */
function isUploaded({ upload, contentWaits, background }: Exchange): boolean {
  if (background) return true;
  if (upload === undefined) return !contentWaits;
  return upload.receivedEnd?.reason === 'complete' && upload.deliveredEnd?.reason === 'complete';
}

/**
 * The origin has answered. Mostly it had all of the request then, but the kernel's threads say so later than the answer
 * comes; to go by what is known at that moment would close connections that the head has promised to keep.
 */
async function uploadEnds(upload: Transfer): Promise<void> {
  if (upload.receivedEnd !== undefined && upload.deliveredEnd !== undefined) return;
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise<void>((resolve) => (timer = setTimeout(resolve, UPLOAD_GRACE_MS)));
  await Promise.race([Promise.all([upload.received, upload.delivered]), patience]);
  clearTimeout(timer);
}

/** The response is with the client, or as far as it got. */
function conclude(context: ProxyContext, exchange: Exchange, delivered: BodyEnd, received?: ReceivedEnd): void {
  const { upload, client } = exchange;
  let leftover: Uint8Array = EMPTY;
  if (upload !== undefined) {
    const end = upload.receivedEnd;
    if (end?.reason === 'complete') leftover = end.leftover;
    // Answered before the content was there: what is still to come of it cannot be told from a request.
    else exchange.keep = false;
  }
  // Without a client it has gone as well as the origin's part has.
  const end = client === undefined ? (received ?? delivered) : delivered;
  const whole = end.reason === 'complete';
  const failed = received !== undefined && received.reason !== 'complete' ? received.reason : end.reason;
  const lost = client === undefined && !exchange.background;
  settle(
    context,
    exchange,
    lost ? 'client-gone' : whole ? 'ok' : failed,
    client === undefined ? 'gone' : whole ? 'sent' : 'cut',
    leftover,
  );
}

/** A head was all: what came behind it belongs to no response, and poisons the connection. */
function noContent({ rest }: Arrived): ReceivedEnd {
  return { reason: 'complete', errno: 0, bytes: 0, leftover: rest, trailers: Fields.EMPTY };
}

const COMPLETE: BodyEnd = { reason: 'complete', errno: 0, bytes: 0 };
