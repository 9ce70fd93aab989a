/**
 * Where a message ends, and whether the connection outlives it: RFC 9112 sections 6.3, 7.4 and 9.3, RFC 9110 section
 * 10.1.1. Pure. Requests are judged by head-parser.ts, before anybody sees them; responses by whoever knows the request.
 *
 * RFC 9112 lets a recipient repair some ambiguous lengths. Here none is: who sends two lengths, or one that has to be
 * interpreted, gets an answer and a closed connection.
 */
import { isDigits, trimPadding } from './characters.js';
import { type Fields, type RequestHead, type ResponseHead, isHttp11 } from './head.js';
import { type Refusal, asBadGateway, refuse } from './refusal.js';

export type Framing =
  | { readonly kind: 'none' }
  /** `length` may be 0. */
  | { readonly kind: 'length'; readonly length: number }
  | { readonly kind: 'chunked' }
  /** Until the sender closes; responses only. */
  | { readonly kind: 'close' }
  /** No message any more, but a connection in both directions: after CONNECT, or 101. */
  | { readonly kind: 'tunnel' };

export const NO_BODY: Framing = { kind: 'none' };
export const CHUNKED: Framing = { kind: 'chunked' };
export const UNTIL_CLOSE: Framing = { kind: 'close' };
export const TUNNEL: Framing = { kind: 'tunnel' };

export const SEVERAL_LENGTHS = refuse(400, 'several-content-lengths', 'There is more than one Content-Length.');
export const BAD_LENGTH = refuse(400, 'bad-content-length', 'Content-Length is not one decimal number.');
export const LENGTH_AND_CODING = refuse(
  400,
  'length-and-encoding',
  'There is a Content-Length beside a Transfer-Encoding.',
);
export const BAD_CODING = refuse(
  400,
  'bad-transfer-encoding',
  'The Transfer-Encoding does not end with chunked, or has it twice.',
);

/** More digits than the biggest exact integer has; leading zeros count. */
const MAX_DIGITS = 16;

/** The value of a Content-Length; undefined when it is not exactly one decimal number that can be held. */
function parseContentLength(value: string): number | undefined {
  if (value.length > MAX_DIGITS || !isDigits(value)) return undefined;
  const length = Number(value);
  return Number.isSafeInteger(length) ? length : undefined;
}

/** What the fields alone say of the length; undefined when they say nothing. */
function statedFraming(head: RequestHead | ResponseHead): Framing | Refusal | undefined {
  const lengths = head.fields.count('content-length');
  if (!head.fields.has('transfer-encoding')) {
    if (lengths === 0) return undefined;
    if (lengths > 1) return SEVERAL_LENGTHS;
    const length = parseContentLength(head.fields.get('content-length') ?? '');
    return length === undefined ? BAD_LENGTH : { kind: 'length', length };
  }
  if (lengths > 0) return LENGTH_AND_CODING;
  const codings = (head.fields.get('transfer-encoding') ?? '').toLowerCase();
  if (!isHttp11(head.version)) {
    return refuse(400, 'encoding-in-http-1.0', 'HTTP/1.0 has no Transfer-Encoding.');
  }
  if (codings === 'chunked') return CHUNKED;
  const last = trimPadding(codings.slice(codings.lastIndexOf(',') + 1));
  // "chunked, chunked" is chunked twice, which RFC 9112 section 6.1 forbids; it is no coding that we merely lack.
  return last === 'chunked' && codings.indexOf('chunked') === codings.length - last.length
    ? refuse(501, 'unsupported-transfer-encoding', 'No Transfer-Encoding but chunked is spoken here.')
    : BAD_CODING;
}

/** RFC 9112 section 6.3 for a request. */
export function requestFraming(head: RequestHead): Framing | Refusal {
  const framing = statedFraming(head) ?? NO_BODY;
  if (framing.kind === 'none' || framing.kind === 'refused') return framing;
  // What follows a CONNECT is the tunnel, and a TRACE is answered with itself: content of theirs has no meaning that
  // two recipients could agree on (RFC 9110 sections 9.3.6 and 9.3.8).
  if (head.method === 'CONNECT' || head.method === 'TRACE') {
    if (framing.kind === 'length' && framing.length === 0) return NO_BODY;
    return refuse(400, 'unexpected-content', `A ${head.method} request has no content.`);
  }
  return framing;
}

/** RFC 9112 section 6.3 for the response to a request with that method. A refusal is a 502. */
export function responseFraming(head: ResponseHead, method: string): Framing | Refusal {
  const stated = statedFraming(head);
  if (stated?.kind === 'refused') return asBadGateway(stated);
  const { status } = head;
  if (status === 101) return TUNNEL;
  if (method === 'HEAD' || status < 200 || status === 204 || status === 304) return NO_BODY;
  if (method === 'CONNECT' && status < 300) return TUNNEL;
  return stated ?? UNTIL_CLOSE;
}

/** The options of the Connection fields, in lower case, without empty ones. */
export function connectionOptions(fields: Fields): readonly string[] {
  const value = fields.get('connection');
  return value === undefined ? NO_OPTIONS : listOf(value.toLowerCase());
}

const NO_OPTIONS: readonly string[] = [];

/** The elements of a comma-separated list that has no quoted strings. */
export function listOf(value: string): readonly string[] {
  if (!value.includes(',')) return value === '' ? NO_OPTIONS : [value];
  const elements: string[] = [];
  for (const element of value.split(',')) {
    const trimmed = trimPadding(element);
    if (trimmed !== '') elements.push(trimmed);
  }
  return elements;
}

/**
 * Whether the client means to send another request on the connection (RFC 9112 section 9.3). `gateway` says that we
 * stand in for the origin: then an HTTP/1.0 client may have keep-alive, which a proxy must not give it, because an old
 * proxy before us may have passed that on without understanding it.
 */
export function requestPersists(head: RequestHead, gateway: boolean): boolean {
  const options = connectionOptions(head.fields);
  if (options.includes('close')) return false;
  return isHttp11(head.version) || (gateway && options.includes('keep-alive'));
}

/** Whether the connection to the origin can carry another request after this response. */
export function responsePersists(head: ResponseHead, framing: Framing): boolean {
  if (framing.kind === 'close' || framing.kind === 'tunnel') return false;
  const options = connectionOptions(head.fields);
  if (options.includes('close')) return false;
  return isHttp11(head.version) || options.includes('keep-alive');
}

/**
 * Whether the client waits for a 100 before it sends the content. Expectations of HTTP/1.0 are void, and any but
 * 100-continue is 417 (RFC 9110 section 10.1.1).
 */
export function expectsContinue(head: RequestHead, framing: Framing): boolean | Refusal {
  const value = head.fields.get('expect');
  if (value === undefined || !isHttp11(head.version)) return false;
  for (const expectation of listOf(value.toLowerCase())) {
    if (expectation !== '100-continue') {
      return refuse(417, 'expectation-failed', 'No expectation but 100-continue is known here.');
    }
  }
  return value !== '' && (framing.kind === 'chunked' || (framing.kind === 'length' && framing.length > 0));
}

/** The protocol that the sender offers or agrees to change to (RFC 9110 section 7.8); undefined without one. */
export function upgradeOf(head: RequestHead | ResponseHead): string | undefined {
  if (!isHttp11(head.version)) return undefined;
  const protocols = head.fields.get('upgrade');
  return protocols !== undefined && protocols !== '' && connectionOptions(head.fields).includes('upgrade')
    ? protocols
    : undefined;
}
