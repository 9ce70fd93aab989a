/**
 * Every byte that the server side of SOCKS sends (stage: handshake). Failures and method choices are constants, built
 * once and shared by all connections: whoever sends them must not write into them.
 */
import { assertNever } from '../errors.js';
import { parseAddress } from './address.js';
import type { ConnectFailure } from './failure.js';
import { Reply5, type Reply5Code } from './socks5.js';
import { METHOD_NONE, METHOD_PASSWORD, TYPE_IPV4, TYPE_IPV6, VERSION_5 } from './wire.js';

/** Local end of the connection to the target, as the reply tells it. */
export interface BoundAddress {
  readonly address: string;
  readonly port: number;
}

export const METHOD_NONE_CHOSEN = Uint8Array.of(VERSION_5, METHOD_NONE);
export const METHOD_PASSWORD_CHOSEN = Uint8Array.of(VERSION_5, METHOD_PASSWORD);
export const NO_METHOD_ACCEPTABLE = Uint8Array.of(VERSION_5, 0xff);

/** RFC 1929 section 2: status 0 is success, anything else failure. */
export const AUTHENTICATION_SUCCEEDED = Uint8Array.of(1, 0);
export const AUTHENTICATION_FAILED = Uint8Array.of(1, 1);

const GRANTED_4 = 0x5a;
/**
 * "Rejected or failed". SOCKS4 has two more codes, 0x5c and 0x5d, but both speak of identd, which nobody asked.
 */
export const REJECTED_4 = Uint8Array.of(0, 0x5b, 0, 0, 0, 0, 0, 0);

const FAILURES_5 = Object.values(Reply5).map((code) => Uint8Array.of(VERSION_5, code, 0, TYPE_IPV4, 0, 0, 0, 0, 0, 0));

/** The ten bytes of a SOCKS5 reply without an address. */
export function failureReply5(code: Reply5Code): Uint8Array {
  const reply = FAILURES_5[code];
  if (reply === undefined) throw new RangeError(`reply code ${code} is not in RFC 1928`);
  return reply;
}

/** The code of RFC 1928 section 6 that comes nearest to the truth. */
export function replyCode5(failure: ConnectFailure): Reply5Code {
  switch (failure) {
    case 'refused':
      return Reply5.connectionRefused;
    case 'unreachable-host':
    case 'name-not-found':
      return Reply5.hostUnreachable;
    case 'unreachable-network':
      return Reply5.networkUnreachable;
    case 'denied':
      return Reply5.notAllowed;
    case 'timed-out':
      return Reply5.ttlExpired; // there is no better one, and clients print it as a time-out
    case 'limit':
    case 'failed':
      return Reply5.generalFailure;
    default:
      return assertNever(failure);
  }
}

/** SOCKS5 success. An address that is not one (a socket that is gone has none) is told as 0.0.0.0. */
export function successReply5(bound: BoundAddress): Uint8Array {
  const address = parseAddress(bound.address);
  const size = address?.family === 6 ? 16 : 4;
  const reply = new Uint8Array(6 + size);
  reply[0] = VERSION_5;
  reply[3] = size === 16 ? TYPE_IPV6 : TYPE_IPV4;
  if (address !== undefined) reply.set(address.bytes, 4);
  reply[4 + size] = bound.port >> 8;
  reply[5 + size] = bound.port;
  return reply;
}

/** SOCKS4 success. The reply has no room for IPv6, which is told as 0.0.0.0. */
export function successReply4(bound: BoundAddress): Uint8Array {
  const reply = new Uint8Array(8);
  reply[1] = GRANTED_4;
  reply[2] = bound.port >> 8;
  reply[3] = bound.port;
  const address = parseAddress(bound.address);
  if (address?.family === 4) reply.set(address.bytes, 4);
  return reply;
}

const HTTP_ADVICE =
  'This is a SOCKS proxy, and it was spoken to in HTTP.\n' +
  'In the settings of the client, enter it as a SOCKS5 proxy (socks5h://HOST:PORT), not as an HTTP proxy.\n';

/** Answer to a browser or curl that takes this port for an HTTP proxy or a web server. */
export const HTTP_REFUSAL = new TextEncoder().encode(
  'HTTP/1.1 400 Bad Request\r\n' +
    'Content-Type: text/plain; charset=utf-8\r\n' +
    `Content-Length: ${HTTP_ADVICE.length}\r\n` +
    'Connection: close\r\n\r\n' +
    HTTP_ADVICE,
);
