/**
 * Stage teardown: the one way out of an exchange, from every stage. In order: a) what is under way ends, and the origin's
 * connection is given back or closed; b) those who waited for the answer are told; c) it is counted and logged; d) the
 * client's connection goes on, says goodbye, or is reset. After that no event finds the exchange.
 */
import { formatAuthority } from '../http/authority.js';
import type { Refusal } from '../http/refusal.js';
import type { ClientConnection } from './client-connection.js';
import { tell } from './collapse-release.js';
import type { ProxyContext } from './context.js';
import type { Exchange } from './exchange.js';
import { clientOf } from './handshake.js';

/**
 * What became of the response: `sent`, all of it is in the queue of the client's wire; `cut`, the client is in the
 * middle of it; `gone`, there is no client; `taken`, the connection is somebody else's (a tunnel).
 */
export type Outcome = 'sent' | 'cut' | 'gone' | 'taken';

const NOTHING = new Uint8Array(0);

/** `leftover`: what the client sent behind the content of its request. */
export function settle(
  context: ProxyContext,
  exchange: Exchange,
  reason: string,
  outcome: Outcome,
  leftover: Uint8Array = NOTHING,
): void {
  if (exchange.over) return;
  exchange.over = true;
  context.exchanges.delete(exchange);
  if (exchange.wake !== undefined) context.desk?.collapse.left(exchange.key, exchange);
  exchange.wake = undefined;
  exchange.whenDrained = undefined;
  // Of content that is whole this is no news; what is not must let go of the wires before they go on.
  exchange.upload?.abort();
  exchange.download?.abort();
  exchange.bytesIn = exchange.upload?.receivedEnd?.bytes ?? exchange.bytesIn;
  exchange.bytesOut ||= exchange.download?.sent ?? 0;
  exchange.origin?.discard();
  exchange.origin = undefined;
  if (exchange.leads) tell(context, exchange, 'failed');
  log(context, exchange, reason);
  const { client } = exchange;
  exchange.client = undefined;
  if (client !== undefined && outcome === 'sent') client.next(exchange, leftover);
  else if (client !== undefined && outcome === 'cut') client.cut(exchange);
  context.onLeave();
}

/** The client's connection broke. Others, or the store, may still want the answer. */
export function clientLeft(context: ProxyContext, exchange: Exchange): void {
  exchange.client = undefined;
  if (exchange.over) return;
  // It waits for another's answer, or as a tunnel for the wire to drain: nothing else would end it.
  if (exchange.wake !== undefined || exchange.whenDrained !== undefined) {
    settle(context, exchange, 'client-gone', 'gone');
    return;
  }
  exchange.upload?.abort();
  if (exchange.download !== undefined) exchange.download.lost();
  else if (!exchange.leads) exchange.abandon.abort();
}

/** The server stops: nothing is waited for. */
export function shutDown(context: ProxyContext, exchange: Exchange): void {
  exchange.client = undefined;
  exchange.leads = false;
  exchange.abandon.abort();
  settle(context, exchange, 'shutdown', 'gone');
}

/** A connection spoke no HTTP: there is no exchange to count. */
export function refused(context: ProxyContext, connection: ClientConnection, why: Refusal): void {
  const { address } = connection.wire.peer;
  context.access.request({ ...NO_REQUEST, client: address, status: why.status, reason: why.reason });
}

const NO_REQUEST = {
  method: '-',
  host: undefined,
  target: '-',
  version: '-',
  bytesIn: 0,
  bytesOut: 0,
  durationMs: 0,
  route: undefined,
  origin: undefined,
  originAddress: undefined,
  originMs: undefined,
  cache: 'none',
  requestId: undefined,
  user: undefined,
  agent: undefined,
  referer: undefined,
} as const;

function log(context: ProxyContext, exchange: Exchange, reason: string): void {
  const { parsed, route } = exchange;
  const { head, authority } = parsed;
  context.access.request({
    client: exchange.background ? '-' : clientOf(exchange),
    method: head.method,
    host: authority && formatAuthority(authority, exchange.scheme),
    target: head.target,
    version: head.version.minor === 0 ? '1.0' : '1.1',
    status: exchange.status,
    bytesOut: exchange.bytesOut,
    bytesIn: exchange.bytesIn,
    durationMs: performance.now() - exchange.startedAt,
    route: route?.name,
    origin: exchange.originMs === undefined && exchange.originAddress === undefined ? undefined : route?.origin.name,
    originAddress: exchange.originAddress,
    originMs: exchange.originMs,
    cache: exchange.cache,
    requestId: exchange.requestId,
    user: exchange.user,
    background: exchange.background,
    agent: head.fields.get('user-agent'),
    referer: head.fields.get('referer'),
    reason,
  });
}
