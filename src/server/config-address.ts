/**
 * Addresses as an operator writes them: `1080`, `127.0.0.1:1080`, `[::1]:1080`, `:1080`, `*:1080`.
 * Called when the configuration is read, before anything listens. Never resolves a name: an address that
 * decides who may reach the proxy must not depend on what a name server answers.
 */
import { BlockList, isIP, isIPv4, isIPv6 } from 'node:net';

/** Where to listen. `port` 0 lets the kernel choose; `host` is always an IP address, `::` is every address. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** A value that cannot be understood; the message is for the operator and names what would be right. */
export class ValueMistake extends Error {
  override readonly name = 'ValueMistake';
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** True if only programs on this machine can reach `host` (127.0.0.0/8, ::1, also written as IPv4-mapped IPv6). */
export function isLoopback(host: string): boolean {
  const address = host.replace(/%.*$/, '');
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return LOOPBACK.check(mapped, 'ipv4');
  return isIP(address) !== 0 && LOOPBACK.check(address, isIPv4(address) ? 'ipv4' : 'ipv6');
}

/** `HOST:PORT`, with IPv6 addresses in brackets. The inverse of {@link parseListen}. */
export function formatAddress({ host, port }: HostPort): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Reads `[HOST:]PORT`. A port alone stands for 127.0.0.1: an address that others can reach has to be written. */
export function parseListen(value: unknown): HostPort {
  const text = addressText(value);
  if (/^\d+$/.test(text)) return { host: '127.0.0.1', port: parsePort(text, text) };
  return parseHostPort(text);
}

/** Reads `HOST:PORT`; an empty host or `*` stands for every address, IPv4 and IPv6. */
export function parseHostPort(value: unknown): HostPort {
  const text = addressText(value);
  const bracketed = /^\[([^\]]*)\]:(.*)$/.exec(text);
  const plain = /^([^:[\]]*):([^:]*)$/.exec(text);
  if (bracketed !== null) {
    const host = bracketed[1] ?? '';
    if (!isIPv6(host)) throw new ValueMistake(`"${host}" is not an IPv6 address; write [::1]:1080`);
    return { host, port: parsePort(bracketed[2] ?? '', text) };
  }
  if (plain !== null) return { host: parseHost(plain[1] ?? ''), port: parsePort(plain[2] ?? '', text) };
  if (isIP(text) !== 0 || text.split(':').length > 2) {
    throw new ValueMistake(
      isIPv4(text)
        ? `"${text}" has no port; write ${text}:1080`
        : `"${text}" is ambiguous; an IPv6 address stands in brackets before the port, as in [::1]:1080`,
    );
  }
  throw new ValueMistake(`"${text}" is not an address; write HOST:PORT, as in 127.0.0.1:1080`);
}

function addressText(value: unknown): string {
  if (typeof value === 'number' && Number.isInteger(value)) return String(value);
  if (typeof value === 'string') return value.trim();
  throw new ValueMistake('an address is text like "127.0.0.1:1080"; put quotes around it if it starts with [ or *');
}

function parseHost(host: string): string {
  if (host === '' || host === '*') return '::';
  if (host.toLowerCase() === 'localhost') return '127.0.0.1';
  if (isIPv4(host)) return host;
  throw new ValueMistake(`"${host}" is not an IP address; names are not looked up here, write the address`);
}

function parsePort(digits: string, whole: string): number {
  const port = /^\d{1,5}$/.test(digits) ? Number(digits) : Number.NaN;
  if (!(port <= 65535)) throw new ValueMistake(`"${whole}" has no port between 0 and 65535`);
  return port;
}
