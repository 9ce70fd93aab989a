/**
 * Classes of bytes of RFC 9110 section 5.6 and RFC 5234, as tables: what parsers of the hot path look at, one byte at
 * a time. The same tables serve text, because our texts hold one byte a character; a character above 255 is in no class.
 */

export const HTAB = 0x09;
export const LF = 0x0a;
export const CR = 0x0d;
export const SP = 0x20;
export const COLON = 0x3a;

const DIGITS = '0123456789';
const UPPER = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ';

function tableOf(has: (c: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, c) => (has(c) ? 1 : 0));
}

function tableOfCharacters(characters: string): Uint8Array {
  return tableOf((c) => characters.includes(String.fromCharCode(c)));
}

// Tables for loops that look at every byte: 1 for those in the class. Elsewhere the functions below read better.

/** tchar of RFC 9110 section 5.6.2. */
export const TOKEN_BYTES = tableOfCharacters(`!#$%&'*+-.^_\`|~${DIGITS}${UPPER}${UPPER.toLowerCase()}`);
/** What a field value, and its padding, may hold: HTAB, SP, visible characters and obs-text. */
export const FIELD_BYTES = tableOf((c) => c === HTAB || (c >= SP && c !== 0x7f));
/** What a request target may hold: visible ASCII. Which form it has is for target.ts. */
const TARGET_BYTES = tableOf((c) => c > SP && c < 0x7f);
const METHOD_BYTES = tableOfCharacters(`${UPPER}${DIGITS}-_`);
const HEX_BYTES = tableOfCharacters(`${DIGITS}abcdefABCDEF`);

export function isTokenByte(c: number): boolean {
  return TOKEN_BYTES[c] === 1;
}

export function isFieldByte(c: number): boolean {
  return FIELD_BYTES[c] === 1;
}

export function isTargetByte(c: number): boolean {
  return TARGET_BYTES[c] === 1;
}

/** What methods in use are made of: capitals, digits, hyphen and underscore. */
export function isMethodByte(c: number): boolean {
  return METHOD_BYTES[c] === 1;
}

export function isHexDigit(c: number): boolean {
  return HEX_BYTES[c] === 1;
}

export function isDigit(c: number): boolean {
  return c >= 0x30 && c <= 0x39;
}

// Expressions, because they are the fastest loop there is over a short text.
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const NOT_IN_A_VALUE = /[^\t\x20-\x7e\x80-\xff]/;

export function isToken(text: string): boolean {
  return TOKEN.test(text);
}

/** Whether `text` may stand as a field value in a message: no CR, LF, NUL or other control, no character above 255. */
export function isFieldValue(text: string): boolean {
  return !NOT_IN_A_VALUE.test(text);
}

/** Digits only, and at least one. */
export function isDigits(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (!isDigit(text.charCodeAt(i))) return false;
  return text.length > 0;
}

/** Without the spaces and tabs on both sides. Not trim(), which takes U+00A0 too: a byte that belongs to the value. */
export function trimPadding(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isPadding(text.charCodeAt(start))) start++;
  while (end > start && isPadding(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

function isPadding(c: number): boolean {
  return c === SP || c === HTAB;
}
