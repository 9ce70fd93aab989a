/**
 * The PROXY protocol, versions 1 and 2 (the specification of HAProxy): a few bytes before a connection's first that say
 * who the client really is. Stage: accept, before HTTP or TLS. Pure: bytes in, addresses out, and the reverse.
 *
 * A header is only looked for where the configuration says that one comes, and only from peers it trusts: the protocol
 * has no way to find out safely. Then a connection without one is refused, as the specification wants.
 */
import { formatIPv4, formatIPv6, parseAddress } from '../socks/address.js';
import { SpliceArgumentError } from '../errors.js';
import { CR, LF } from './characters.js';
import { type Refusal, refuse } from './refusal.js';

export interface ProxyEndpoint {
  /** Canonical text; IPv6 without brackets. An IPv4-mapped IPv6 address is an IPv4 address. */
  readonly address: string;
  readonly port: number;
}

export type ProxyHeader =
  /** `end` is the offset of the first byte behind the header. */
  | {
      readonly kind: 'proxied';
      readonly end: number;
      readonly source: ProxyEndpoint;
      readonly destination: ProxyEndpoint;
    }
  /** The connection is the proxy's own (a health check), or of a family without ports: the peer's address counts. */
  | { readonly kind: 'local'; readonly end: number };

const SIGNATURE = Uint8Array.from([0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]);
const WORD = Uint8Array.from([...'PROXY '].map((c) => c.charCodeAt(0)));
/** The longest line that version 1 can have, CRLF included. */
const MAX_V1 = 107;
/** Version 2 could announce 65,535 bytes; addresses and the usual TLVs (certificates are not among them) fit in this. */
const MAX_V2_REST = 4096;
const V2_FIXED = 16;

const BAD = refuse(400, 'bad-proxy-header', 'The connection does not begin with a PROXY protocol header.');

/**
 * Reads the header at the beginning of `bytes`, all that was received so far. Undefined: not whole yet, which is never
 * said of bytes that cannot become one. Type-length-value fields behind the addresses are passed over.
 */
export function parseProxyHeader(bytes: Uint8Array): ProxyHeader | Refusal | undefined {
  if (bytes.length === 0) return undefined;
  if (bytes[0] === SIGNATURE[0]) return startsLike(bytes, SIGNATURE) ? parseV2(bytes) : BAD;
  return startsLike(bytes, WORD) ? parseV1(bytes) : BAD;
}

/** Whether they agree as far as both go. */
function startsLike(bytes: Uint8Array, wanted: Uint8Array): boolean {
  const length = Math.min(bytes.length, wanted.length);
  for (let i = 0; i < length; i++) if (bytes[i] !== wanted[i]) return false;
  return true;
}

function parseV1(bytes: Uint8Array): ProxyHeader | Refusal | undefined {
  const limit = Math.min(bytes.length, MAX_V1);
  let line = '';
  for (let at = 0; at < limit; at++) {
    const c = bytes[at] ?? 0;
    if (c === LF || c >= 0x7f || (c < 0x20 && c !== CR)) return BAD;
    if (c === CR) {
      if (at + 1 === MAX_V1) return BAD;
      if (at + 1 === bytes.length) return undefined;
      return bytes[at + 1] === LF ? readLine(line, at + 2) : BAD;
    }
    line += String.fromCharCode(c);
  }
  return bytes.length >= MAX_V1 ? BAD : undefined;
}

/** `PROXY TCP4 192.0.2.1 192.0.2.2 5000 80`, without CRLF. */
function readLine(line: string, end: number): ProxyHeader | Refusal {
  const words = line.split(' ');
  const [, family, source = '', destination = '', sourcePort = '', destinationPort = ''] = words;
  // What follows UNKNOWN must be ignored up to the end of the line.
  if (family === 'UNKNOWN') return { kind: 'local', end };
  if ((family !== 'TCP4' && family !== 'TCP6') || words.length !== 6) return BAD;
  const from = readEndpoint(source, sourcePort, family);
  const to = readEndpoint(destination, destinationPort, family);
  return from === undefined || to === undefined ? BAD : { kind: 'proxied', end, source: from, destination: to };
}

function readEndpoint(text: string, portText: string, family: 'TCP4' | 'TCP6'): ProxyEndpoint | undefined {
  if (text.includes(':') !== (family === 'TCP6') || text.includes('%')) return undefined;
  const address = parseAddress(text);
  if (address === undefined || !/^(0|[1-9]\d{0,4})$/.test(portText) || Number(portText) > 65_535) return undefined;
  const { bytes } = address;
  return {
    address: address.family === 4 ? formatIPv4(bytes, 0) : formatIPv6(bytes, 0),
    port: Number(portText),
  };
}

function parseV2(bytes: Uint8Array): ProxyHeader | Refusal | undefined {
  const command = bytes[12];
  if (command !== undefined && command !== 0x20 && command !== 0x21) return BAD;
  if (bytes.length < V2_FIXED) return undefined;
  const rest = u16(bytes, 14);
  if (rest > MAX_V2_REST) return BAD;
  const end = V2_FIXED + rest;
  const family = (bytes[13] ?? 0) >> 4;
  const size = family === 1 ? 12 : family === 2 ? 36 : 0;
  // Any family is allowed with LOCAL, and must be ignored; UNSPEC and Unix sockets tell no address that we could use.
  const proxied = command === 0x21 && size > 0;
  if (proxied && rest < size) return BAD;
  // The low half is the transport: 1 is a stream. Over TCP there is nothing else.
  if (proxied && ((bytes[13] ?? 0) & 0x0f) !== 1) return BAD;
  if (bytes.length < end) return undefined;
  if (!proxied) return { kind: 'local', end };
  const format = family === 1 ? formatIPv4 : formatIPv6;
  const half = (size - 4) / 2;
  return {
    kind: 'proxied',
    end,
    source: { address: format(bytes, V2_FIXED), port: u16(bytes, V2_FIXED + 2 * half) },
    destination: { address: format(bytes, V2_FIXED + half), port: u16(bytes, V2_FIXED + 2 * half + 2) },
  };
}

function u16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

/**
 * The header for a connection to an origin. Without endpoints it says that the connection is our own. Where one end is
 * IPv4 and the other IPv6, both are written as IPv6.
 *
 * @throws SpliceArgumentError when an address is none, or a port is not from 0 to 65535.
 */
export function buildProxyHeader(version: 1 | 2, source?: ProxyEndpoint, destination?: ProxyEndpoint): Uint8Array {
  if (source === undefined || destination === undefined) {
    return version === 1 ? Buffer.from('PROXY UNKNOWN\r\n', 'latin1') : Buffer.from([...SIGNATURE, 0x20, 0, 0, 0]);
  }
  const from = addressBytes(source);
  const to = addressBytes(destination);
  const wide = from.length === 16 || to.length === 16;
  if (version === 1) {
    const line = `PROXY ${wide ? 'TCP6' : 'TCP4'} ${text(from, wide)} ${text(to, wide)} ${source.port} ${destination.port}`;
    return Buffer.from(`${line}\r\n`, 'latin1');
  }
  const size = wide ? 36 : 12;
  const header = Buffer.alloc(V2_FIXED + size);
  header.set(SIGNATURE);
  header[12] = 0x21;
  header[13] = wide ? 0x21 : 0x11;
  header.writeUInt16BE(size, 14);
  const half = (size - 4) / 2;
  header.set(wide ? mapped(from) : from, V2_FIXED);
  header.set(wide ? mapped(to) : to, V2_FIXED + half);
  header.writeUInt16BE(source.port, V2_FIXED + 2 * half);
  header.writeUInt16BE(destination.port, V2_FIXED + 2 * half + 2);
  return header;
}

function addressBytes(endpoint: ProxyEndpoint): Uint8Array {
  const { address, port } = endpoint;
  const parsed = parseAddress(address);
  if (parsed === undefined) throw new SpliceArgumentError(`"${address}" is no IP address`);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new SpliceArgumentError(`${port} is no port`);
  return parsed.bytes;
}

function mapped(bytes: Uint8Array): Uint8Array {
  return bytes.length === 16 ? bytes : Uint8Array.from([...new Uint8Array(10), 0xff, 0xff, ...bytes]);
}

function text(bytes: Uint8Array, wide: boolean): string {
  if (bytes.length === 16) return formatIPv6(bytes, 0);
  return wide ? `::ffff:${formatIPv4(bytes, 0)}` : formatIPv4(bytes, 0);
}
