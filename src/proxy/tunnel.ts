/**
 * Stages splice to teardown of a connection that is no HTTP any more: after CONNECT, or a 101. The engine gets both
 * sockets, with the best backend there is for them, and nobody here sees a byte again (ARCHITECTURE.md, "Backends").
 */
import { Socket } from 'node:net';
import type { Forward } from '../cache/decide.js';
import type { FlowEnd, Flow } from '../engine/flow.js';
import { forwardResponse } from '../http/forward.js';
import { TUNNEL, listOf, upgradeOf } from '../http/framing.js';
import type { ResponseHead } from '../http/head.js';
import { serializeResponse } from '../http/serialize.js';
import { native } from '../native.js';
import type { ProxyContext } from './context.js';
import type { Exchange } from './exchange.js';
import type { Arrived } from './fetch.js';
import { OriginError, type OriginConnection } from './origin.js';
import { reply } from './own-response.js';
import type { Route } from './site.js';
import { originAnswer } from './origin-answer.js';
import { settle } from './teardown.js';

const ESTABLISHED = Buffer.from('HTTP/1.1 200 Connection established\r\n\r\n', 'latin1');
const NOTHING = new Uint8Array(0);

/** A live one, for whoever counts and shows them. */
export interface Tunnel {
  readonly exchange: Exchange;
  readonly flow: Flow;
  readonly target: string;
}

/** CONNECT: a connection of its own, prepared for the packet backend where there is one. */
export function connectTunnel(context: ProxyContext, exchange: Exchange, route: Route, target: string): void {
  exchange.route = route;
  void connect(context, exchange, route).then(
    (connection) => {
      if (exchange.over || exchange.client === undefined) {
        connection.discard();
        settle(context, exchange, 'client-gone', 'gone');
      } else {
        exchange.origin = connection;
        exchange.originAddress = connection.wire.peer.address;
        exchange.status = 200;
        open(context, exchange, connection, target, ESTABLISHED, NOTHING);
      }
    },
    (error: unknown) => {
      if (exchange.over) return;
      if (!(error instanceof OriginError)) {
        context.logger.error({ err: error, target }, 'a tunnel could not be connected');
        exchange.keep = false;
        settle(context, exchange, 'internal-error', 'cut');
        return;
      }
      if (error.failure === 'aborted') return settle(context, exchange, 'client-gone', 'gone');
      const { status, text } = originAnswer(error.failure);
      reply(context, exchange, status, error.failure, text);
    },
  );
}

async function connect(context: ProxyContext, exchange: Exchange, route: Route): Promise<OriginConnection> {
  return context.pool.acquire(route.origin, {
    maxIdle: 0,
    client: exchange.ends,
    signal: exchange.abandon,
    align: exchange.client?.wire,
    allows: exchange.allows,
  });
}

/**
 * Whether a 101 is an answer to that request (RFC 9110 section 7.8): a change was offered, to that protocol, and all of
 * the request is there. Anything else would hand a client's next requests to whoever reads the connection as another
 * protocol.
 */
export function hasAgreed({ upload, contentWaits }: Exchange, plan: Forward, head: ResponseHead): boolean {
  const offered = mayUpgrade(plan) ? upgradeOf({ ...plan.request, fields: plan.fields }) : undefined;
  const chosen = upgradeOf(head);
  if (offered === undefined || chosen === undefined || contentWaits) return false;
  if (upload !== undefined && (upload.receivedEnd?.reason !== 'complete' || upload.deliveredEnd?.reason !== 'complete'))
    return false;
  const offers = listOf(offered.toLowerCase());
  return listOf(chosen.toLowerCase()).every((protocol) => offers.includes(protocol));
}

/**
 * The client's offer of another protocol goes to the origin, and its agreement comes back. Not that of HTTP/2: what
 * follows would be requests, to any path, that nobody here routes, refuses or logs.
 */
export function mayUpgrade({ purpose, background, request }: Forward): boolean {
  if (purpose !== 'pass' || background) return false;
  return !listOf(upgradeOf(request)?.toLowerCase() ?? '').some((protocol) => /^(h2c?|http)(\/|$)/.test(protocol));
}

/** 101: the origin has agreed to another protocol. */
export function upgrade(context: ProxyContext, exchange: Exchange, arrived: Arrived): void {
  const { client, site, parsed } = exchange;
  if (client === undefined) {
    settle(context, exchange, 'client-gone', 'gone');
    return;
  }
  exchange.status = 101;
  const head = serializeResponse(
    forwardResponse(arrived.head, {
      framing: TUNNEL,
      via: site.via,
      clientVersion: parsed.head.version,
      close: false,
      receivedMs: arrived.responseTime,
    }),
  );
  open(context, exchange, arrived.connection, parsed.head.target, head, arrived.rest);
}

function open(
  context: ProxyContext,
  exchange: Exchange,
  connection: OriginConnection,
  target: string,
  answer: Uint8Array,
  upstreamHead: Uint8Array,
): void {
  const { client } = exchange;
  if (client === undefined) return settle(context, exchange, 'client-gone', 'gone');
  if (!connection.wire.open || connection.wire.unsent > 0) {
    // It broke, or has answered what it was not asked yet.
    reply(context, exchange, originAnswer('send-failed').status, 'send-failed', originAnswer('send-failed').text);
    return;
  }
  if (client.wire.unsent > 0) {
    // An earlier response is still in the queue: the answer comes behind it.
    exchange.whenDrained = () => open(context, exchange, connection, target, answer, upstreamHead);
    return;
  }
  const ahead = exchange.upload?.receivedEnd?.leftover ?? NOTHING;
  const clientHead = behind(Buffer.concat([ahead, client.takeRest()]), client.wire.unread());
  const serverHead = behind(upstreamHead, connection.wire.unread());
  const idleTimeoutMs = exchange.site.tunnelTimeout;
  const { vacate } = client.handOver();
  const ours = client.wire.detach();
  const theirs = connection.wire.detach();
  // Counts it out; the socket is the engine's.
  exchange.origin = undefined;
  connection.discard();
  const heads = {
    reply: answer,
    ...(clientHead.length > 0 && { clientHead }),
    ...(serverHead.length > 0 && { upstreamHead: serverHead }),
    idleTimeoutMs,
  };
  try {
    if (typeof ours === 'number' && typeof theirs === 'number') {
      const flow = context.engine.spliceNow(ours, theirs, { ...heads, prepared: true });
      watch(context, { exchange, flow, target }, vacate);
    } else {
      const ends = [streamOf(ours), streamOf(theirs)] as const;
      void context.engine.splice(...ends, heads).then(
        (flow) => watch(context, { exchange, flow, target }, vacate),
        (error: unknown) => fail(context, exchange, vacate, ends, error),
      );
    }
  } catch (error) {
    fail(context, exchange, vacate, [ours, theirs], error);
  }
}

function behind(bytes: Uint8Array, unread: Uint8Array | undefined): Uint8Array {
  return unread === undefined ? bytes : Buffer.concat([bytes, unread]);
}

type Detached = ReturnType<OriginConnection['wire']['detach']>;

function streamOf(end: Detached): Socket {
  return typeof end === 'number' ? new Socket({ fd: end, allowHalfOpen: true }) : (end as Socket);
}

function watch(context: ProxyContext, tunnel: Tunnel, vacate: () => void): void {
  const { exchange, flow } = tunnel;
  context.tunnels.add(tunnel);
  context.metrics.flowOpened(flow.backend);
  flow.onClosed((end: FlowEnd) => {
    context.tunnels.delete(tunnel);
    const durationMs = performance.now() - exchange.startedAt;
    context.metrics.flowClosed(flow.backend, end.reason, end.bytesUp, end.bytesDown, durationMs);
    exchange.bytesIn = end.bytesUp;
    exchange.bytesOut = end.bytesDown;
    vacate();
    settle(context, exchange, end.reason === 'end' ? 'ok' : end.reason, 'taken');
  });
}

function fail(
  context: ProxyContext,
  exchange: Exchange,
  vacate: () => void,
  ends: readonly Detached[],
  error: unknown,
): void {
  for (const end of ends) {
    if (typeof end === 'number') native().reset(end);
    else end.destroy();
  }
  context.logger.error({ err: error }, 'two connections could not be spliced');
  vacate();
  settle(context, exchange, 'failed', 'taken');
}
