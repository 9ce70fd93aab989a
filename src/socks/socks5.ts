/**
 * Readers of the three SOCKS5 messages: greeting and request (RFC 1928), credentials (RFC 1929). Stage: handshake.
 * Pure: they look at bytes, keep nothing, copy only text. Undefined (or -1) always means: not whole yet.
 */
import type { ProtocolFailure } from './failure.js';
import {
  COMMAND_CONNECT,
  TYPE_IPV4,
  TYPE_IPV6,
  TYPE_NAME,
  type Target,
  VERSION_5,
  ipv4Target,
  ipv6Target,
  nameTarget,
  readPort,
  readSecret,
} from './wire.js';

/** Reply codes of RFC 1928 section 6. */
export const Reply5 = {
  succeeded: 0,
  generalFailure: 1,
  notAllowed: 2,
  networkUnreachable: 3,
  hostUnreachable: 4,
  connectionRefused: 5,
  ttlExpired: 6,
  commandNotSupported: 7,
  addressTypeNotSupported: 8,
} as const;
export type Reply5Code = (typeof Reply5)[keyof typeof Reply5];

export interface Rejection5 {
  readonly kind: 'rejection';
  readonly reason: ProtocolFailure;
  readonly code: Reply5Code;
}

export interface Request5 {
  readonly kind: 'request';
  /** Offset of the first byte after the request. */
  readonly end: number;
  readonly target: Target;
}

export interface Credentials {
  readonly end: number;
  readonly user: string;
  readonly password: string;
}

/** Offset after the greeting (VER NMETHODS METHODS...) at `at`, or -1. */
export function greetingEnd(input: Uint8Array, at: number): number {
  if (input.length - at < 2) return -1;
  const end = at + 2 + (input[at + 1] ?? 0);
  return end <= input.length ? end : -1;
}

/** Whether the whole greeting from `at` to `end` offers `method`. */
export function greetingOffers(input: Uint8Array, at: number, end: number, method: number): boolean {
  for (let i = at + 2; i < end; i++) if (input[i] === method) return true;
  return false;
}

/**
 * Reads the credentials (VER ULEN UNAME PLEN PASSWD) at `at`. Empty names and passwords are read, though RFC 1929
 * wants one byte at least: clients send them, and it is for the host to say whether they are right.
 */
export function readCredentials(input: Uint8Array, at: number): Credentials | 'wrong-version' | undefined {
  if (input.length > at && input[at] !== 1) return 'wrong-version';
  if (input.length - at < 2) return undefined;
  const userEnd = at + 2 + (input[at + 1] ?? 0);
  if (input.length <= userEnd) return undefined;
  const end = userEnd + 1 + (input[userEnd] ?? 0);
  if (input.length < end) return undefined;
  const user = readSecret(input, at + 2, userEnd);
  return { end, user, password: readSecret(input, userEnd + 1, end) };
}

function reject(reason: ProtocolFailure, code: Reply5Code): Rejection5 {
  return { kind: 'rejection', reason, code };
}

/** Reads the request (VER CMD RSV ATYP ADDR PORT) at `at`. RSV is not looked at: a wrong one harms nobody. */
export function readRequest5(input: Uint8Array, at: number): Request5 | Rejection5 | undefined {
  if (input.length - at < 4) return undefined;
  if (input[at] !== VERSION_5) return reject('bad-request-version', Reply5.generalFailure);
  if (input[at + 1] !== COMMAND_CONNECT) return reject('unsupported-command', Reply5.commandNotSupported);

  const start = at + 4;
  switch (input[at + 3]) {
    case TYPE_IPV4:
      return readAddressed(input, start, start + 4, ipv4Target);
    case TYPE_IPV6:
      return readAddressed(input, start, start + 16, ipv6Target);
    case TYPE_NAME:
      return readNamed(input, start);
    default:
      return reject('unsupported-address-type', Reply5.addressTypeNotSupported);
  }
}

function readAddressed(
  input: Uint8Array,
  start: number,
  portAt: number,
  target: (input: Uint8Array, at: number, port: number) => Target,
): Request5 | Rejection5 | undefined {
  if (input.length < portAt + 2) return undefined;
  const port = readPort(input, portAt);
  if (port === 0) return reject('bad-port', Reply5.generalFailure);
  return { kind: 'request', end: portAt + 2, target: target(input, start, port) };
}

function readNamed(input: Uint8Array, start: number): Request5 | Rejection5 | undefined {
  if (input.length <= start) return undefined;
  const portAt = start + 1 + (input[start] ?? 0);
  if (input.length < portAt + 2) return undefined;
  const port = readPort(input, portAt);
  if (port === 0) return reject('bad-port', Reply5.generalFailure);
  const target = nameTarget(input, start + 1, portAt, port);
  if (target === undefined) return reject('bad-name', Reply5.generalFailure);
  return { kind: 'request', end: portAt + 2, target };
}
