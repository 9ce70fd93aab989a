/**
 * What changes in a head when it is passed on (RFC 9110 section 7.6). Called by the fetch for each request to an origin
 * and by the server for each response to a client; stored responses come through here as well. Pure: addresses, the
 * time and a fresh request id are arguments.
 *
 * Framing is ours on both sides: what was received says how the body came, `framing` here says how it goes out. The
 * version is always our own, HTTP/1.1 (RFC 9112 section 2.3).
 */
import { assertNever } from '../errors.js';
import { isDigits, isToken, trimPadding } from './characters.js';
import { formatHttpDate, parseHttpDate } from './dates.js';
import { FORWARDED_NAMES, type ForwardedPolicy, type Peer, forwardedFields, saysWhence } from './forwarded.js';
import { type Framing, connectionOptions, listOf, upgradeOf } from './framing.js';
import { Fields, HTTP_1_1, type RequestHead, type ResponseHead, type Version, isHttp11 } from './head.js';
import { hopByHop } from './hop-by-hop.js';
import { type Refusal, refuse } from './refusal.js';

export interface RequestForwarding {
  /** The target to send: `originForm(...)`, or a URL to a proxy. */
  readonly target: string;
  /** The Host to send. Replaces what was received, which an absolute target has overruled (RFC 9112 section 3.2.2). */
  readonly host: string;
  /**
   * The host that the client asked for, in the form that keys of the cache have; undefined where it named none. What its
   * Host field said may be another spelling, or overruled by the target, and no key tells an origin's answer to that.
   */
  readonly asked: string | undefined;
  /** How the body goes out. */
  readonly framing: Framing;
  readonly peer: Peer;
  readonly forwarded: ForwardedPolicy;
  /** Our name in Via; undefined writes none, which only a gateway may do. */
  readonly via: string | undefined;
  /** Used where the client sends none that can be trusted. Undefined: the field is passed on as it is. */
  readonly requestId: string | undefined;
  /** Offer the change of protocol that the client offers; false leaves it out. */
  readonly upgrade: boolean;
  /** The connection closes behind the response. */
  readonly close: boolean;
  /** Pass Proxy-Authorization on, to a proxy behind us. Default: false. */
  readonly proxyAuthorization?: boolean;
}

const REQUEST_ID = 'X-Request-Id';
const MAX_REQUEST_ID = 128;

/** The request as the next server gets it. `Expect` is passed on: who has answered it himself leaves it out first. */
export function forwardRequest(head: RequestHead, how: RequestForwarding): RequestHead {
  const { fields } = head;
  const unwanted = hopByHop(fields);
  const { xForwarded = true, forwarded = false, trust } = how.forwarded;
  const trusted = trust(how.peer.address);
  const flat: string[] = ['Host', how.host];
  const { raw, names } = fields;
  for (let i = 0; i < names.length; i++) {
    const lower = names[i] ?? '';
    if (lower === 'host' || lower === 'content-length' || unwanted(lower)) continue;
    if (lower === 'proxy-authorization' && how.proxyAuthorization !== true) continue;
    if (!trusted && saysWhence(lower)) continue;
    if (FORWARDED_NAMES.has(lower)) {
      // Ours takes the place of it; where we write none, it stays if whoever wrote it may.
      if (!trusted || (lower === 'forwarded' ? forwarded : xForwarded)) continue;
    }
    if (lower === 'via' && how.via !== undefined) continue;
    if (lower === 'x-request-id' && how.requestId !== undefined) continue;
    flat.push(raw[2 * i] ?? '', raw[2 * i + 1] ?? '');
  }
  if (how.via !== undefined) flat.push('Via', viaValue(fields, head.version, how.via));
  flat.push(...forwardedFields(fields, how.peer, how.asked, how.forwarded));
  if (how.requestId !== undefined) flat.push(REQUEST_ID, requestIdOf(fields, trusted) ?? how.requestId);
  // RFC 9110 section 10.1.4: TE is about our connection; we pass trailers on, so we may ask for them.
  const trailers = acceptsTrailers(fields);
  if (trailers) flat.push('TE', 'trailers');
  addFraming(flat, how.framing);
  const protocols = how.upgrade ? upgradeOf(head) : undefined;
  addConnection(flat, protocols, [how.close && 'close', trailers && 'TE']);
  return { method: head.method, target: how.target, version: HTTP_1_1, fields: Fields.fromRaw(flat) };
}

export interface ResponseForwarding {
  readonly framing: Framing;
  /** Our name in Via; undefined writes none. */
  readonly via: string | undefined;
  /** What the client speaks. */
  readonly clientVersion: Version;
  /** The connection to the client closes behind the response. */
  readonly close: boolean;
  /** The time the response was received: the Date of one that has none (RFC 9110 section 6.6.1). */
  readonly receivedMs: number;
}

/** The response as the client gets it. */
export function forwardResponse(head: ResponseHead, how: ResponseForwarding): ResponseHead {
  const { fields, status } = head;
  const unwanted = hopByHop(fields);
  const keepsLength = how.framing.kind === 'none' && status >= 200 && status !== 204;
  const dated = status < 200 || hasDate(fields, how.receivedMs);
  const flat: string[] = [];
  const { raw, names } = fields;
  for (let i = 0; i < names.length; i++) {
    const lower = names[i] ?? '';
    if (unwanted(lower)) continue;
    if (lower === 'via' && how.via !== undefined) continue;
    if (lower === 'date' && !dated) continue;
    // Without a body it says what a GET would bring (RFC 9110 section 8.6); with one it is ours to say.
    if (lower === 'content-length' && !keepsLength) continue;
    flat.push(raw[2 * i] ?? '', raw[2 * i + 1] ?? '');
  }
  if (!dated) flat.push('Date', formatHttpDate(how.receivedMs));
  if (how.via !== undefined) flat.push('Via', viaValue(fields, head.version, how.via));
  addFraming(flat, how.framing);
  const protocols = status === 101 || status === 426 ? upgradeOf(head) : undefined;
  const persists = !how.close && status >= 200 && !isHttp11(how.clientVersion);
  addConnection(flat, protocols, [how.close && status >= 200 && 'close', persists && 'keep-alive']);
  return { status, reason: head.reason, version: HTTP_1_1, fields: Fields.fromRaw(flat) };
}

function hasDate(fields: Fields, nowMs: number): boolean {
  const date = fields.get('date');
  return date !== undefined && parseHttpDate(date, nowMs) !== undefined;
}

function addFraming(flat: string[], framing: Framing): void {
  switch (framing.kind) {
    case 'chunked':
      flat.push('Transfer-Encoding', 'chunked');
      return;
    case 'length':
      flat.push('Content-Length', String(framing.length));
      return;
    case 'none':
    case 'close':
    case 'tunnel':
      return;
    default:
      assertNever(framing);
  }
}

function addConnection(flat: string[], protocols: string | undefined, options: readonly (string | false)[]): void {
  const list = options.filter((option) => option !== false);
  if (protocols !== undefined) {
    flat.push('Upgrade', protocols);
    list.push('Upgrade');
  }
  if (list.length > 0) flat.push('Connection', list.join(', '));
}

/** RFC 9110 section 7.6.3: the version that the message came with, and who got it. */
function viaValue(fields: Fields, version: Version, pseudonym: string): string {
  const own = `${version.major}.${version.minor} ${pseudonym}`;
  const before = fields.get('via');
  return before === undefined || before === '' ? own : `${before}, ${own}`;
}

/** Whether the request has been here already: a loop. Pseudonyms compare without regard to case, like host names. */
export function passedThrough(fields: Fields, pseudonym: string): boolean {
  const via = fields.get('via');
  if (via === undefined) return false;
  const wanted = pseudonym.toLowerCase();
  return listOf(via).some((entry) => entry.split(/[ \t]+/)[1]?.toLowerCase() === wanted);
}

function acceptsTrailers(fields: Fields): boolean {
  const te = fields.get('te');
  // RFC 9110 section 10.1.4: who sends TE has to name it in Connection; from who does not it may be someone else's.
  if (te === undefined || !connectionOptions(fields).includes('te')) return false;
  return listOf(te.toLowerCase()).some((coding) => trimPadding(coding.split(';')[0] ?? '') === 'trailers');
}

/** The X-Request-Id that came along, if whoever wrote it may and it is a short token. */
export function requestIdOf(fields: Fields, trusted: boolean): string | undefined {
  if (!trusted) return undefined;
  const id = fields.get(REQUEST_ID);
  return id !== undefined && id.length <= MAX_REQUEST_ID && isToken(id) ? id : undefined;
}

export type Hops =
  /** Pass the request on with these fields. */
  | { readonly kind: 'forward'; readonly fields: Fields }
  /** Max-Forwards has come to 0: answer as the last recipient. */
  | { readonly kind: 'answer' };

/** RFC 9110 section 7.6.2; for methods other than TRACE and OPTIONS the field means nothing. */
export function countHop(head: RequestHead): Hops | Refusal {
  const { fields, method } = head;
  const value = fields.get('max-forwards');
  if (value === undefined || (method !== 'TRACE' && method !== 'OPTIONS')) return { kind: 'forward', fields };
  if (!isDigits(value)) return refuse(400, 'bad-max-forwards', 'Max-Forwards is not one decimal number.');
  const left = Number(value);
  if (left === 0) return { kind: 'answer' };
  // No more than we support ourselves, so that a number of any length stays a number.
  return { kind: 'forward', fields: fields.with('Max-Forwards', String(Math.min(left - 1, MAX_HOPS))) };
}

const MAX_HOPS = 255;
