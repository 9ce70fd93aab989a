/**
 * Responses that we make ourselves: refusals, errors of the origin, answers to TRACE and OPTIONS. Pure: head and body
 * as bytes, ready to be sent. A HEAD request gets the same head without the body.
 */
import { formatHttpDate } from './dates.js';
import { Fields, HTTP_1_1, type RequestHead } from './head.js';
import type { Refusal } from './refusal.js';
import { serializeRequest, serializeResponse } from './serialize.js';
import { statusText } from './status-text.js';

export interface SimpleResponse {
  readonly status: number;
  /** For a person; one or several sentences. ASCII. */
  readonly text: string;
  readonly nowMs: number;
  /** The request's method, where one was understood. */
  readonly method?: string;
  /** Say "Connection: close". Default: true. */
  readonly close?: boolean;
  /** Further fields, such as Retry-After, Allow, Via or Cache-Status (RFC 9211). */
  readonly fields?: Fields;
}

/** Status line, fields, and `text` as text/plain with a line feed behind it. */
export function simpleResponse(response: SimpleResponse): Uint8Array {
  const body = Buffer.from(`${response.text}\n`, 'utf8');
  return whole(response, 'text/plain; charset=utf-8', body);
}

/** What answers a refused message; always closes. */
export function refusalResponse(refusal: Refusal, nowMs: number, fields: Fields = Fields.EMPTY): Uint8Array {
  return simpleResponse({
    status: refusal.status,
    text: `${refusal.status} ${statusText(refusal.status)}\n\n${refusal.message}`,
    nowMs,
    fields,
  });
}

/** Not to be reflected (RFC 9110 section 9.3.8): what a script could read back that it may not see. */
const SECRET = ['authorization', 'cookie', 'proxy-authorization'];

/** The answer to a TRACE whose Max-Forwards is 0: the request as it arrived. */
export function traceResponse(head: RequestHead, nowMs: number, fields: Fields = Fields.EMPTY): Uint8Array {
  const reflected = Buffer.from(serializeRequest({ ...head, fields: head.fields.without(...SECRET) }));
  return whole({ status: 200, text: '', nowMs, close: false, fields }, 'message/http', reflected);
}

/** Interim, and all there is to say: the client may send the content (RFC 9110 section 15.2.1). */
export const CONTINUE: Uint8Array = Buffer.from('HTTP/1.1 100 Continue\r\n\r\n', 'latin1');

function whole(response: SimpleResponse, type: string, body: Buffer): Uint8Array {
  const { status, method, close = true, fields = Fields.EMPTY } = response;
  const own: (readonly [string, string])[] = [
    ['Date', formatHttpDate(response.nowMs)],
    ['Content-Type', type],
    ['Content-Length', String(body.length)],
    ['X-Content-Type-Options', 'nosniff'],
  ];
  if (close) own.push(['Connection', 'close']);
  const head = serializeResponse({
    status,
    reason: statusText(status),
    version: HTTP_1_1,
    fields: Fields.from(own).concat(fields),
  });
  return method === 'HEAD' ? head : Buffer.concat([head, body]);
}
