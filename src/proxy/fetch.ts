/**
 * Stage splice: one request goes to an origin, and the head of the response comes back. Called by splice.ts; rejects
 * with an OriginError and nothing else. The content of the request goes along meanwhile, and may still be on its way
 * when the head is there.
 */
import type { Forward } from '../cache/decide.js';
import { formatAuthority } from '../http/authority.js';
import { NO_BODY, expectsContinue, type Framing } from '../http/framing.js';
import type { ResponseHead } from '../http/head.js';
import { isHttp11 } from '../http/head.js';
import { forwardRequest, forwardResponse } from '../http/forward.js';
import { serializeRequest, serializeResponse } from '../http/serialize.js';
import { CONTINUE } from '../http/simple-response.js';
import { originForm } from '../http/target.js';
import type { ProxyContext } from './context.js';
import type { Exchange } from './exchange.js';
import { HeadReader, type ArrivedHead } from './head-reader.js';
import { OriginError, type Origin, type OriginConnection } from './origin.js';
import { relayBody } from './relay-body.js';
import { mayUpgrade } from './tunnel.js';

export interface Arrived extends ArrivedHead {
  readonly connection: OriginConnection;
  readonly reader: HeadReader;
  readonly requestTime: number;
  readonly responseTime: number;
}

/** Methods that may be sent once more when a connection turns out to be closed (RFC 9110 section 9.2.2). */
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);
/** Milliseconds of idleness after which a connection is not trusted with what cannot be sent twice. */
const FRESH_ENOUGH = 1000;
/** Milliseconds for which an origin may think about an expectation (RFC 9110 section 10.1.1: not for ever). */
const EXPECTATION_MS = 1000;

const NOBODY_WANTS_IT = 'nobody wants the answer any more';
const EMPTY = new Uint8Array(0);
const never = (): boolean => false;

export async function fetch(context: ProxyContext, exchange: Exchange, plan: Forward): Promise<Arrived> {
  const { route, parsed } = exchange;
  if (route === undefined) throw new OriginError('aborted', 'no route');
  const { origin } = route;
  const framing = plan.background ? NO_BODY : parsed.framing;
  // No bytes are no content to read: what came behind the head is the next request, also when this one is asked twice.
  const hasBody = framing.kind !== 'none' && !(framing.kind === 'length' && framing.length === 0);
  const repeatable = !hasBody && IDEMPOTENT.has(plan.request.method);
  let maxIdle = repeatable ? Infinity : FRESH_ENOUGH;
  for (;;) {
    const acquired = context.pool.acquire(origin, {
      maxIdle,
      client: exchange.ends,
      signal: exchange.abandon,
      allows: exchange.allows,
    });
    const connection = acquired instanceof Promise ? await acquired : acquired;
    // Given up just when there was a connection: nobody will hear of that again.
    if (exchange.abandon.aborted) {
      connection.discard();
      throw new OriginError('aborted', NOBODY_WANTS_IT);
    }
    exchange.origin = connection;
    exchange.originAddress = connection.wire.peer.address;
    try {
      return await send(context, exchange, plan, connection, framing, hasBody);
    } catch (error) {
      exchange.origin = undefined;
      connection.discard();
      if (!(error instanceof OriginError)) throw error;
      // The origin closed an idle connection just when we took it: no request has been lost yet.
      if (error.failure !== 'send-failed' || !connection.used || !repeatable) throw error;
      maxIdle = 0;
    }
  }
}

async function send(
  context: ProxyContext,
  exchange: Exchange,
  plan: Forward,
  connection: OriginConnection,
  framing: Framing,
  hasBody: boolean,
): Promise<Arrived> {
  const { site, parsed, route } = exchange;
  const { origin } = route!;
  const { wire } = connection;
  const head = serializeRequest(headFor(exchange, plan, origin, framing));
  const requestTime = Date.now();
  const startedAt = performance.now();

  let begin: (() => void) | undefined;
  const reader = new HeadReader(wire, plan.request.method, site.heads, (interim) => {
    if (interim.status === 100) begin?.();
    else passInterim(exchange, interim);
  });
  wire.resume();
  const stop = (): void => reader.fail('aborted', NOBODY_WANTS_IT);
  const signal = exchange.abandon;
  signal.addEventListener('abort', stop);
  let timer: NodeJS.Timeout | undefined;
  let over = false;
  const startClock = (): void => {
    if (over) return;
    timer = setTimeout(() => reader.fail('response-timeout', 'it did not answer in time'), origin.responseTimeout);
  };
  let patience: NodeJS.Timeout | undefined;
  const upload = (prefix: Uint8Array): void => {
    begin = undefined;
    clearTimeout(patience);
    const { client } = exchange;
    if (client === undefined) return reader.fail('aborted', 'the client has gone');
    const transfer = relayBody(
      context,
      {
        wire: client.wire,
        framing: parsed.framing as Exclude<Framing, { kind: 'tunnel' }>,
        rest: client.takeRest(),
        of: 'request',
        idleTimeout: site.clientTimeout,
        maxBytes: site.maxRequestBytes,
      },
      { wire, prefix, framing, idleTimeout: origin.idleTimeout },
      undefined,
      never,
    );
    exchange.upload = transfer;
    reader.upload = transfer;
    void transfer.delivered.then(({ reason }) => {
      if (reason === 'idle') reader.fail('response-timeout', 'it does not take the request');
      else startClock();
    });
    void transfer.received.then(({ reason, bytes }) => {
      exchange.bytesIn = bytes;
      // Unwanted: the origin takes no more. It may have said why before, which the reader will hear.
      if (reason !== 'complete' && reason !== 'unwanted')
        reader.fail('aborted', `the content of the request: ${reason}`);
    });
  };
  try {
    if (!hasBody) {
      wire.send(head);
      startClock();
    } else if (expectsContinue(parsed.head, parsed.framing) === true && exchange.client?.hasSent !== true) {
      wire.send(head);
      const proceed = (): void => {
        exchange.client?.wire.send(CONTINUE);
        upload(EMPTY);
      };
      begin = proceed;
      patience = setTimeout(proceed, EXPECTATION_MS);
    } else upload(head);

    const arrived = await reader.arrived;
    exchange.originMs = performance.now() - startedAt;
    return { ...arrived, connection, reader, requestTime, responseTime: Date.now() };
  } finally {
    over = true;
    begin = undefined;
    clearTimeout(timer);
    clearTimeout(patience);
    signal.removeEventListener('abort', stop);
  }
}

function headFor(
  exchange: Exchange,
  plan: Forward,
  origin: Origin,
  framing: Framing,
): ReturnType<typeof forwardRequest> {
  const { site, parsed, route } = exchange;
  const { target, authority } = parsed;
  const own = formatAuthority({ host: bracketed(origin.host), port: origin.port }, origin.scheme);
  const asked = authority && formatAuthority(authority, exchange.scheme);
  const toOrigin = target.kind === 'authority' ? '/' : originForm(plan.request.method, target);
  return forwardRequest(
    { ...plan.request, fields: plan.fields },
    {
      target: toOrigin,
      host: route?.host === 'origin' ? own : (asked ?? own),
      asked,
      framing,
      peer: exchange.peer,
      forwarded: site.forwarded,
      via: site.via,
      requestId: exchange.requestId,
      upgrade: mayUpgrade(plan),
      close: origin.keepAlive === 0,
    },
  );
}

function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

/** RFC 9110 section 15.2: a proxy passes interim responses on, but not to HTTP/1.0. */
function passInterim(exchange: Exchange, head: ResponseHead): void {
  const { client, parsed, site } = exchange;
  const clientVersion = parsed.head.version;
  if (client === undefined || !isHttp11(clientVersion)) return;
  const how = { framing: NO_BODY, via: site.via, clientVersion, close: false, receivedMs: Date.now() };
  client.wire.send(serializeResponse(forwardResponse(head, how)));
}
