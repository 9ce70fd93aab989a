/**
 * Stage splice: an origin is asked, and what it says is judged: passed on and perhaps stored, or answered from the store
 * after all. Called by handshake.ts and background.ts for what the cache does not answer. Content is moved by relay.ts.
 */
import { withCacheStatus } from '../cache/cache-status.js';
import { decideFailure, decideResponse, type Forward } from '../cache/decide.js';
import { tell } from './collapse-release.js';
import type { ProxyContext } from './context.js';
import type { Exchange } from './exchange.js';
import { fetch, type Arrived } from './fetch.js';
import type { ResponseHead } from '../http/head.js';
import { boundary } from './boundary.js';
import { originAnswer } from './origin-answer.js';
import { OriginError, type OriginFailure } from './origin.js';
import { reply } from './own-response.js';
import { answerStored, dropContent, join, relay } from './relay.js';
import { settle } from './teardown.js';
import { hasAgreed, upgrade } from './tunnel.js';

export function ask(context: ProxyContext, exchange: Exchange, plan: Forward): void {
  void run(context, exchange, plan).catch((error: unknown) => {
    context.logger.error({ err: error, uri: exchange.uri }, 'a request could not be carried out');
    broken(context, exchange);
  });
}

async function run(context: ProxyContext, exchange: Exchange, plan: Forward): Promise<void> {
  let arrived: Arrived;
  try {
    arrived = await fetch(context, exchange, plan);
  } catch (error) {
    if (!(error instanceof OriginError)) throw error;
    if (!exchange.over) failed(context, exchange, plan, error);
    return;
  }
  if (exchange.over) {
    arrived.connection.discard();
    return;
  }
  await judge(context, exchange, plan, arrived);
}

async function judge(context: ProxyContext, exchange: Exchange, plan: Forward, arrived: Arrived): Promise<void> {
  const { desk } = context;
  const cache = exchange.routeCache;
  if (arrived.head.status === 101) {
    if (hasAgreed(exchange, plan, arrived.head)) return upgrade(context, exchange, arrived);
    exchange.origin?.discard();
    exchange.origin = undefined;
    return failed(
      context,
      exchange,
      plan,
      new OriginError('bad-response', 'it changes to a protocol that nobody offered'),
    );
  }
  if (desk === undefined || cache === undefined) {
    const head = desk === undefined ? arrived.head : bypassed(exchange, arrived.head);
    await relay(context, exchange, arrived, head, undefined, 'pass');
    return;
  }
  const stored = desk.peek(exchange.key, cache.policy) ?? (await desk.lookup(exchange.key, cache.policy));
  if (exchange.over) return;
  const decision = decideResponse({
    forward: hasCertainEnd(exchange, arrived) ? plan : { ...plan, purpose: 'pass' },
    uri: exchange.uri,
    key: exchange.key,
    response: arrived.head,
    times: arrived,
    stored,
    policy: cache.policy,
    boundary,
  });
  desk.apply(exchange.key, decision.changes, cache);
  switch (decision.kind) {
    case 'relay': {
      const fill = decision.fill && desk.begin(decision.fill, exchange.key, cache);
      // What the store does not take cannot be shared, and Cache-Status must not say that it was stored.
      const declined = decision.fill !== undefined && fill === undefined;
      const head = declined ? withoutStored(decision.head) : decision.head;
      const shared = declined && decision.collapse === 'shared' ? 'pass-once' : decision.collapse;
      await relay(context, exchange, arrived, head, fill, shared);
      return;
    }
    case 'answer':
      exchange.cache = arrived.head.status === 304 ? 'revalidated' : 'stale';
      tell(context, exchange, decision.collapse);
      void dropContent(context, exchange, arrived);
      answerStored(context, exchange, decision.answer);
      return;
    case 'join':
      exchange.cache = 'partial';
      await join(context, exchange, arrived, decision, desk.begin(decision.fill, exchange.key, cache));
      return;
    case 'retry':
      await dropContent(context, exchange, arrived);
      if (!exchange.over) await run(context, exchange, decision.forward);
  }
}

/**
 * Whether the end of the content is the origin's own. Content that ends with a TLS connection may have been cut by anybody
 * on the way, who cannot send a close_notify (RFC 9112 section 9.8); Node does not tell whether there was one. It is
 * passed on, and not stored.
 */
function hasCertainEnd({ route }: Exchange, { framing }: Arrived): boolean {
  return framing.kind !== 'close' || route?.origin.scheme !== 'https';
}

/** The rules allowed it, the store refused: it is too large, the disk is behind, or the store is closing. */
function withoutStored(head: ResponseHead): ResponseHead {
  const status = head.fields.get('cache-status') ?? '';
  // Ours is the last member.
  const at = status.lastIndexOf('; stored');
  const said = at === -1 ? status : `${status.slice(0, at)}${status.slice(at + '; stored'.length)}; detail=not-taken`;
  return { ...head, fields: head.fields.with('Cache-Status', said) };
}

/** RFC 9211: the cache says of every response what it did, also that it did nothing. */
function bypassed({ site }: Exchange, head: ResponseHead): ResponseHead {
  return { ...head, fields: withCacheStatus(head.fields, site.cacheName, { forward: 'bypass' }) };
}

const AFTER_CONNECT: ReadonlySet<OriginFailure> = new Set(['send-failed', 'response-timeout', 'bad-response']);

/** There is no response. */
function failed(context: ProxyContext, exchange: Exchange, plan: Forward, error: OriginError): void {
  const { failure } = error;
  const fault = faultOfUpload(exchange);
  if (fault !== undefined) {
    exchange.keep = false;
    if (fault.status === 0) settle(context, exchange, fault.reason, 'cut');
    else reply(context, exchange, fault.status, fault.reason, fault.text);
    return;
  }
  if (failure === 'aborted') {
    settle(context, exchange, 'client-gone', exchange.client === undefined ? 'gone' : 'cut');
    return;
  }
  const origin = exchange.route?.origin.name ?? '';
  // The pool has counted those that came before there was a connection.
  if (AFTER_CONNECT.has(failure)) context.access.originFailed(origin, failure);
  context.logger.debug({ origin, failure, reason: error.message }, 'no response');
  const cache = exchange.routeCache;
  const { status, text } = originAnswer(failure);
  if (context.desk === undefined || cache === undefined || plan.purpose === 'pass') {
    reply(context, exchange, status, failure, text);
    return;
  }
  const late = failure === 'response-timeout' || failure === 'connect-timeout';
  const decision = decideFailure(
    { forward: plan, key: exchange.key, policy: cache.policy, boundary },
    late ? 'timeout' : 'unreachable',
    Date.now(),
    failure,
  );
  if (decision.kind === 'answer') {
    exchange.cache = 'stale';
    answerStored(context, exchange, decision.answer);
  } else {
    reply(context, exchange, plan.selected === undefined ? status : decision.status, failure, text, {
      cacheStatus: decision.cacheStatus,
    });
  }
}

interface Fault {
  /** 0: nothing can be said to the client any more. */
  readonly status: number;
  readonly reason: string;
  readonly text: string;
}

/** The content of the request ended before it was whole: that, and no fault of the origin's, is why there is no response. */
function faultOfUpload(exchange: Exchange): Fault | undefined {
  const end = exchange.upload?.receivedEnd;
  switch (end?.reason) {
    case 'refused':
      return { status: 400, reason: 'bad-chunk', text: 'The content of the request is malformed.' };
    case 'too-large':
      return { status: 413, reason: 'content-too-large', text: 'The content of the request is too large.' };
    case 'idle':
      return { status: 408, reason: 'content-timeout', text: 'The content of the request did not arrive in time.' };
    case 'short':
    case 'reset':
      return { status: 0, reason: 'client-gone', text: '' };
    default:
      return undefined;
  }
}

/** A fault of ours: nothing of the exchange can be trusted. */
function broken(context: ProxyContext, exchange: Exchange): void {
  exchange.keep = false;
  settle(context, exchange, 'internal-error', exchange.client === undefined ? 'gone' : 'cut');
}
