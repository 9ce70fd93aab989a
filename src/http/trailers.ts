/**
 * The trailer section behind a chunked body: read, judged, written (RFC 9110 section 6.5, RFC 9112 section 7.1.2).
 * Called by chunked.ts with bytes that head-gate.ts has let through.
 *
 * A field that would have changed how the message was framed or routed is no mistake but an attack on whoever merges
 * trailers into the head, so the message is refused. Other fields that have no business in a trailer are left out.
 */
import { isTokenByte, trimPadding } from './characters.js';
import { Fields } from './head.js';
import { type Refusal, refuse } from './refusal.js';

const REFUSED: ReadonlySet<string> = new Set(['content-length', 'host', 'transfer-encoding']);

/** RFC 9110 section 6.5.1: framing, routing, modifiers, authentication, control, and how to read the content. */
const LEFT_OUT: ReadonlySet<string> = new Set([
  'age',
  'authorization',
  'cache-control',
  'connection',
  'content-encoding',
  'content-range',
  'content-type',
  'cookie',
  'date',
  'expect',
  'expires',
  'forwarded',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'keep-alive',
  'location',
  'max-forwards',
  'pragma',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'range',
  'retry-after',
  'set-cookie',
  'te',
  'trailer',
  'upgrade',
  'vary',
  'via',
  'warning',
  'www-authenticate',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
]);

/** The section in pieces, up to its last CRLF. */
export function readTrailers(pieces: readonly Uint8Array[]): Fields | Refusal {
  let text = '';
  for (const piece of pieces) text += Buffer.from(piece.buffer, piece.byteOffset, piece.length).toString('latin1');
  if (text === '\r\n') return Fields.EMPTY;
  const flat: string[] = [];
  for (let at = 0, end = text.indexOf('\r\n'); end > at; at = end + 2, end = text.indexOf('\r\n', at)) {
    let colon = at;
    while (isTokenByte(text.charCodeAt(colon))) colon++;
    const name = text.slice(at, colon);
    const lower = name.toLowerCase();
    if (REFUSED.has(lower)) return refuse(400, 'bad-trailer', `${lower} must not stand in a trailer section.`);
    if (!LEFT_OUT.has(lower)) flat.push(name, trimPadding(text.slice(colon + 1, end)));
  }
  return Fields.fromRaw(flat);
}
