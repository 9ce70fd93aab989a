/**
 * multipart/byteranges (RFC 9110 section 14.6): the frame around several ranges of one representation. Called by
 * respond.ts; pure. The proxy sends preamble, bytes, preamble, bytes, ..., closing; the length is known beforehand, so
 * that the bytes may come from sendfile.
 */
import { formatContentRange } from './ranges.js';
import type { Span } from './spans.js';

export interface Part {
  /** Latin-1 text in front of the bytes of `span`. */
  readonly preamble: string;
  readonly span: Span;
}

export interface Multipart {
  readonly contentType: string;
  readonly parts: readonly Part[];
  readonly closing: string;
  /** Of the whole content in bytes. */
  readonly length: number;
}

/**
 * @param boundary must occur in no part. The caller makes one that is long and random: nobody who writes content may
 *   be able to guess it.
 */
export function makeMultipart(
  spans: readonly Span[],
  total: number | undefined,
  contentType: string | undefined,
  boundary: string,
): Multipart {
  const type = contentType === undefined ? '' : `Content-Type: ${contentType}\r\n`;
  const parts = spans.map((span, i) => ({
    preamble: `${i === 0 ? '' : '\r\n'}--${boundary}\r\n${type}Content-Range: ${formatContentRange(span, total)}\r\n\r\n`,
    span,
  }));
  const closing = `\r\n--${boundary}--\r\n`;
  const length = parts.reduce(
    (sum, { preamble, span }) => sum + preamble.length + span.end - span.first,
    closing.length,
  );
  return { contentType: `multipart/byteranges; boundary=${boundary}`, parts, closing, length };
}
