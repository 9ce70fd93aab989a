/**
 * Heads to bytes. Called just before something is sent; the last place where a CR, LF or NUL in a value can be stopped
 * from becoming a second message (RFC 9112 section 11.1), so it looks at every byte of every field. What came off the
 * wire passed head-parser.ts; what configuration or code has put in has not.
 */
import { SpliceArgumentError } from '../errors.js';
import { isFieldValue, isTargetByte, isToken } from './characters.js';
import type { Fields, RequestHead, ResponseHead } from './head.js';

/** @throws SpliceArgumentError when a part would break the message; it is not shown, for it may be a secret. */
export function serializeRequest(head: RequestHead): Uint8Array {
  const { method, target } = head;
  if (!isToken(method)) throw new SpliceArgumentError('the method of a request is not a token');
  if (!isTarget(target)) throw new SpliceArgumentError('the target of a request has a space or a control character');
  return Buffer.from(`${method} ${target} ${versionText(head)}\r\n${serializeFields(head.fields)}\r\n`, 'latin1');
}

/** @throws SpliceArgumentError like `serializeRequest`. */
export function serializeResponse(head: ResponseHead): Uint8Array {
  const { status, reason } = head;
  if (!Number.isInteger(status) || status < 100 || status > 999) {
    throw new SpliceArgumentError(`${status} is not a status code`);
  }
  if (!isFieldValue(reason)) throw new SpliceArgumentError('the reason phrase has a control character');
  return Buffer.from(`${versionText(head)} ${status} ${reason}\r\n${serializeFields(head.fields)}\r\n`, 'latin1');
}

/** The lines of the fields, each with its CRLF. */
export function serializeFields(fields: Fields): string {
  const flat = fields.raw;
  let text = '';
  for (let i = 0; i < flat.length; i += 2) {
    const name = flat[i] ?? '';
    const value = flat[i + 1] ?? '';
    if (!isToken(name)) throw new SpliceArgumentError('the name of a field is not a token');
    if (!isFieldValue(value)) {
      throw new SpliceArgumentError(`the value of ${name} has a control character, or one that Latin-1 lacks`);
    }
    text += `${name}: ${value}\r\n`;
  }
  return text;
}

function versionText(head: RequestHead | ResponseHead): string {
  const { major, minor } = head.version;
  if (major !== 1 || (minor !== 0 && minor !== 1))
    throw new SpliceArgumentError(`HTTP/${major}.${minor} is not spoken`);
  return minor === 1 ? 'HTTP/1.1' : 'HTTP/1.0';
}

function isTarget(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (!isTargetByte(text.charCodeAt(i))) return false;
  return text.length > 0;
}
