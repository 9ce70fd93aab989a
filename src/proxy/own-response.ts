/** Responses that the proxy makes itself: refusals, errors of an origin, OPTIONS and TRACE for the proxy. Stage teardown. */
import { formatCacheStatus } from '../cache/cache-status.js';
import { Fields } from '../http/head.js';
import type { Refusal } from '../http/refusal.js';
import { refusalResponse, simpleResponse, traceResponse } from '../http/simple-response.js';
import { statusText } from '../http/status-text.js';
import type { ProxyContext } from './context.js';
import type { Exchange } from './exchange.js';
import { settle } from './teardown.js';

export interface ReplyOptions {
  /** Value of Cache-Status; **Default:** that the response was made here, and why. */
  readonly cacheStatus?: string;
  readonly fields?: Fields;
}

const METHODS = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS';

/** Answers a request, and ends its exchange. `reason` is for the log and for Cache-Status. */
export function reply(
  context: ProxyContext,
  exchange: Exchange,
  status: number,
  reason: string,
  text: string,
  options: ReplyOptions = {},
): void {
  const { client, parsed, site, upload } = exchange;
  const uploaded = upload?.receivedEnd;
  // Content that nobody reads to its end would be taken for the next request.
  if (context.draining || exchange.contentWaits || (upload !== undefined && uploaded?.reason !== 'complete'))
    exchange.keep = false;
  exchange.status = status;
  let fields = options.fields ?? Fields.EMPTY;
  if (context.desk !== undefined) {
    const name = exchange.routeCache?.policy.name ?? site.cacheName;
    fields = fields.append('Cache-Status', options.cacheStatus ?? generated(name, reason));
  }
  if (site.via !== undefined) fields = fields.append('Via', `1.1 ${site.via}`);
  client?.wire.send(
    simpleResponse({
      status,
      text: `${status} ${statusText(status)}\n\n${text}`,
      nowMs: Date.now(),
      method: parsed.head.method,
      close: !exchange.keep,
      fields,
    }),
  );
  settle(context, exchange, reason, client === undefined ? 'gone' : 'sent', uploaded?.leftover);
}

export function replyRefusal(context: ProxyContext, exchange: Exchange, why: Refusal): void {
  exchange.keep = false;
  reply(context, exchange, why.status, why.reason, why.message);
}

/** For what is no request; the connection closes behind it. */
export function refusal(context: ProxyContext, why: Refusal): Uint8Array {
  const status = generated(context.site.cacheName, why.reason);
  const fields = context.desk === undefined ? Fields.EMPTY : Fields.from([['Cache-Status', status]]);
  return refusalResponse(why, Date.now(), fields);
}

/** OPTIONS about the proxy itself (RFC 9110 section 9.3.7). */
export function answerAsterisk(context: ProxyContext, exchange: Exchange): void {
  const allowed = Fields.from([['Allow', METHODS]]);
  reply(context, exchange, 200, 'ok', 'This is about the server as a whole.', { fields: allowed });
}

export function answerTrace(context: ProxyContext, exchange: Exchange): void {
  const { client, parsed } = exchange;
  exchange.status = 200;
  client?.wire.send(traceResponse(parsed.head, Date.now()));
  settle(context, exchange, 'ok', client === undefined ? 'gone' : 'sent');
}

function generated(name: string, reason: string): string {
  return formatCacheStatus(name, { generated: true, detail: reason });
}
