/**
 * Reader of SOCKS4 and SOCKS4a requests (stage: handshake). Pure: looks at bytes, keeps nothing, copies only text.
 *
 *     +----+----+---------+-------+----------+------+  4a, when IP is 0.0.0.x with x not 0:
 *     | VN | CD | DSTPORT | DSTIP | USERID   | NULL |  | NAME ... | NULL |
 *     +----+----+---------+-------+----------+------+
 */
import type { ProtocolFailure } from './failure.js';
import { COMMAND_CONNECT, TEXT_LIMIT, type Target, ipv4Target, nameTarget, readPort } from './wire.js';

const FIXED = 8;

export interface Request4 {
  readonly kind: 'request';
  /** Offset of the first byte after the request. */
  readonly end: number;
  readonly target: Target;
  /** What the client calls its user; nobody checked it. Control characters are replaced by `?`. */
  readonly userId: string;
}

export interface Rejection4 {
  readonly kind: 'rejection';
  readonly reason: ProtocolFailure;
}

/** Offset of the NUL that ends a text at `at`, -1 when it is still to come, -2 when the text is too long. */
function textEnd(input: Uint8Array, at: number): number {
  const limit = Math.min(input.length, at + TEXT_LIMIT + 1);
  for (let i = at; i < limit; i++) if (input[i] === 0) return i;
  return limit - at > TEXT_LIMIT ? -2 : -1;
}

function printable(input: Uint8Array, start: number, end: number): string {
  let text = '';
  for (let i = start; i < end; i++) {
    const c = input[i] ?? 0;
    text += c < 0x20 || c > 0x7e ? '?' : String.fromCharCode(c);
  }
  return text;
}

function reject(reason: ProtocolFailure): Rejection4 {
  return { kind: 'rejection', reason };
}

/** Reads the request at `at`; undefined when it is not whole yet. */
export function readRequest4(input: Uint8Array, at: number): Request4 | Rejection4 | undefined {
  if (input.length - at < FIXED) return undefined;
  if (input[at + 1] !== COMMAND_CONNECT) return reject('unsupported-command');
  const port = readPort(input, at + 2);
  if (port === 0) return reject('bad-port');

  const idStart = at + FIXED;
  const idEnd = textEnd(input, idStart);
  if (idEnd === -2) return reject('userid-too-long');
  if (idEnd === -1) return undefined;

  const named = input[at + 4] === 0 && input[at + 5] === 0 && input[at + 6] === 0 && input[at + 7] !== 0;
  if (!named) {
    const target = ipv4Target(input, at + 4, port);
    return { kind: 'request', end: idEnd + 1, target, userId: printable(input, idStart, idEnd) };
  }
  const nameEnd = textEnd(input, idEnd + 1);
  if (nameEnd === -2) return reject('name-too-long');
  if (nameEnd === -1) return undefined;
  const target = nameTarget(input, idEnd + 1, nameEnd, port);
  if (target === undefined) return reject('bad-name');
  return { kind: 'request', end: nameEnd + 1, target, userId: printable(input, idStart, idEnd) };
}
