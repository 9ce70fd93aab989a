/** Addresses as the addon encodes them: family byte (4 or 6), port and address in network order. */
import { formatIPv4, formatIPv6 } from '../socks/address.js';

export interface SocketAddress {
  address: string;
  port: number;
}

const UNKNOWN: SocketAddress = { address: '0.0.0.0', port: 0 };

/** Decodes; an empty encoding (a socket that is gone has no address) gives 0.0.0.0:0. */
export function decodeAddress(encoded: Uint8Array): SocketAddress {
  if (encoded.length < 7) return UNKNOWN;
  const port = (encoded[1]! << 8) | encoded[2]!;
  return { address: encoded[0] === 4 ? formatIPv4(encoded, 3) : formatIPv6(encoded, 3), port };
}

/** `192.0.2.1:80`, `[2001:db8::1]:80`, `example.org:80`. */
export function formatEndpoint(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** 127.0.0.0/8 and ::1, of what {@link decodeAddress} gives: it writes IPv4-mapped addresses as IPv4. */
export function isLoopbackAddress(address: string): boolean {
  return address === '::1' || address.startsWith('127.');
}
