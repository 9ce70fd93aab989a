/**
 * Host and port as they stand in a Host field or a request target: uri-host [ ":" port ] of RFC 3986 section 3.2.
 * Pure; used by target.ts and head-parser.ts. Stricter than RFC 3986 where two recipients could read two hosts: no
 * userinfo, no percent-encoding, no empty host, no IPv6 zone.
 */
import { formatIPv6, parseAddress } from '../socks/address.js';
import { isDigit } from './characters.js';

export interface Authority {
  /** In lower case; an IPv6 address in its shortest form (RFC 5952), in brackets. Without a root dot at the end. */
  readonly host: string;
  /** Undefined where there is none, also after a lone colon (RFC 3986 section 6.2.3). */
  readonly port: number | undefined;
}

const MAX_PORT = 65_535;
/** RFC 1035 section 3.1 has 255 bytes on the wire, which is 253 characters of text. */
const MAX_NAME = 253;

/** Letters, digits, hyphen, dot, and the underscore that inner names often have. */
function isNameCharacter(c: number): boolean {
  const lower = c | 0x20;
  return (lower >= 0x61 && lower <= 0x7a) || isDigit(c) || c === 0x2d || c === 0x2e || c === 0x5f;
}

/** Undefined when `text` is no host with or without a port. */
export function parseAuthority(text: string): Authority | undefined {
  const end = text.startsWith('[') ? text.indexOf(']') + 1 : hostEnd(text);
  if (end === 0) return undefined;
  const host = end === text.length || text.charCodeAt(end) === 0x3a ? readHost(text.slice(0, end)) : undefined;
  if (host === undefined) return undefined;
  if (text.length - end <= 1) return { host, port: undefined };
  const port = readPort(text, end + 1);
  return port === undefined ? undefined : { host, port };
}

function hostEnd(text: string): number {
  const colon = text.indexOf(':');
  return colon === -1 ? text.length : colon;
}

function readHost(text: string): string | undefined {
  if (text.startsWith('[')) {
    const inner = text.slice(1, -1);
    // The canonical form of an IPv4-mapped address is IPv4 text, which is another spelling of the host: not allowed.
    const address = inner.includes('%') ? undefined : parseAddress(inner);
    return address?.family === 6 ? `[${formatIPv6(address.bytes, 0)}]` : undefined;
  }
  const bare = text.endsWith('.') ? text.slice(0, -1) : text;
  if (bare === '' || bare.length > MAX_NAME || bare.endsWith('.') || bare.startsWith('.')) return undefined;
  for (let i = 0; i < bare.length; i++) if (!isNameCharacter(bare.charCodeAt(i))) return undefined;
  return bare.toLowerCase();
}

function readPort(text: string, from: number): number | undefined {
  if (text.length - from > 5) return undefined;
  let port = 0;
  for (let i = from; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (!isDigit(c)) return undefined;
    port = port * 10 + c - 0x30;
  }
  return port > 0 && port <= MAX_PORT ? port : undefined;
}

export type Scheme = 'http' | 'https';

export function defaultPort(scheme: Scheme): number {
  return scheme === 'http' ? 80 : 443;
}

/** As it stands in a Host field; without the port that the scheme has anyway. */
export function formatAuthority(authority: Authority, scheme?: Scheme): string {
  const { host, port } = authority;
  if (port === undefined || (scheme !== undefined && port === defaultPort(scheme))) return host;
  return `${host}:${port}`;
}
