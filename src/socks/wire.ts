/**
 * What SOCKS messages are made of: numbers of RFC 1928, RFC 1929 and of the SOCKS4 and 4A memos, and the target of a
 * request. Pure; used by the two readers (socks4.ts, socks5.ts) and by replies.ts.
 */
import { type Address, formatIPv4, formatIPv6, parseAddress } from './address.js';

export const VERSION_4 = 4;
export const VERSION_5 = 5;
export const COMMAND_CONNECT = 1;

/** RFC 1928 section 3. */
export const METHOD_NONE = 0x00;
export const METHOD_PASSWORD = 0x02;

/** RFC 1928 section 5. */
export const TYPE_IPV4 = 1;
export const TYPE_NAME = 3;
export const TYPE_IPV6 = 4;

/** Longest SOCKS4 user id and SOCKS4a name, in bytes; SOCKS5 lengths are one byte anyway. */
export const TEXT_LIMIT = 255;

/** Where a client wants to go. */
export interface Target {
  /** An address in canonical text (IPv6 without brackets), or the name as it was sent. */
  readonly host: string;
  /** 1 to 65535. */
  readonly port: number;
  /** Follows what `host` is, not how it was sent: an address sent as a name is an address. */
  readonly type: 'ipv4' | 'ipv6' | 'name';
}

/**
 * Characters that no host name has: controls, space, and what separates parts of a URL. They would only serve to
 * smuggle something past a rule, into a log, or into a resolver that reads more into a name than a name.
 */
const NOT_IN_A_NAME = /[\u0000-\u0020\u007f-\u009f#%/:<>?@[\\\]^|]/;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export function readPort(input: Uint8Array, at: number): number {
  return ((input[at] ?? 0) << 8) | (input[at + 1] ?? 0);
}

export function ipv4Target(input: Uint8Array, at: number, port: number): Target {
  return { host: formatIPv4(input, at), port, type: 'ipv4' };
}

/** An IPv4-mapped address becomes an IPv4 target, which is what the network will see. */
export function ipv6Target(input: Uint8Array, at: number, port: number): Target {
  const host = formatIPv6(input, at);
  return { host, port, type: host.includes(':') ? 'ipv6' : 'ipv4' };
}

function literalTarget(address: Address, port: number): Target {
  return address.family === 4 ? ipv4Target(address.bytes, 0, port) : ipv6Target(address.bytes, 0, port);
}

/** The target in the bytes from `start` to `end`, or undefined when they cannot be a name. */
export function nameTarget(input: Uint8Array, start: number, end: number, port: number): Target | undefined {
  if (start === end) return undefined;
  let host: string;
  try {
    host = utf8.decode(input.subarray(start, end));
  } catch {
    return undefined;
  }
  const first = host.charCodeAt(0);
  // Addresses sent as names are common; only a digit, a colon or a bracket can begin or mark one.
  if ((first >= 0x30 && first <= 0x39) || host.includes(':')) {
    const bare = host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host;
    const address = bare.includes('%') ? undefined : parseAddress(bare);
    if (address !== undefined) return literalTarget(address, port);
  }
  return NOT_IN_A_NAME.test(host) ? undefined : { host, port, type: 'name' };
}

/**
 * Text of a user name or password: UTF-8, or Latin-1 where the bytes are not UTF-8, so that old clients with an
 * accented password meet the same hash as new ones.
 */
export function readSecret(input: Uint8Array, start: number, end: number): string {
  const bytes = input.subarray(start, end);
  try {
    return utf8.decode(bytes);
  } catch {
    return String.fromCharCode(...bytes);
  }
}

/** Copies everything from `at` on; unlike `Buffer.prototype.slice`, never a view. */
export function copyBytes(input: Uint8Array, at: number): Uint8Array {
  const copy = new Uint8Array(input.length - at);
  copy.set(at === 0 ? input : input.subarray(at));
  return copy;
}

export function concatBytes(first: Uint8Array, second: Uint8Array): Uint8Array {
  const whole = new Uint8Array(first.length + second.length);
  whole.set(first);
  whole.set(second, first.length);
  return whole;
}
