/**
 * IP addresses and networks as bytes. Pure functions, used by the handshake (targets, bound addresses) and by the rules.
 *
 * An IPv4-mapped IPv6 address (`::ffff:a.b.c.d`, RFC 4291 section 2.5.5.2) is an IPv4 address everywhere here: the
 * kernel connects to it over IPv4, so a rule about the IPv4 network has to see it.
 */

export interface Address {
  readonly family: 4 | 6;
  /** 4 or 16 bytes, network order. */
  readonly bytes: Uint8Array;
}

export interface Network {
  readonly family: 4 | 6;
  readonly bytes: Uint8Array;
  /** Leading bits that count: 0 to 32, or 0 to 128. */
  readonly prefix: number;
}

const DOT = 0x2e;
const COLON = 0x3a;

/** Reads an address in text. A zone (`%eth0`) is dropped, leading zeros in IPv4 are refused (they read as octal elsewhere). */
export function parseAddress(text: string): Address | undefined {
  if (!text.includes(':')) {
    const bytes = new Uint8Array(4);
    return readIPv4(text, 0, text.length, bytes, 0) ? { family: 4, bytes } : undefined;
  }
  const zone = text.indexOf('%');
  const bytes = new Uint8Array(16);
  if (zone === text.length - 1 || !readIPv6(text, zone === -1 ? text.length : zone, bytes)) return undefined;
  return isMapped(bytes, 0) ? { family: 4, bytes: bytes.slice(12) } : { family: 6, bytes };
}

function readIPv4(text: string, start: number, end: number, into: Uint8Array, at: number): boolean {
  let part = 0;
  let value = 0;
  let digits = 0;
  for (let i = start; i <= end; i++) {
    const c = i === end ? DOT : text.charCodeAt(i);
    if (c === DOT) {
      if (digits === 0 || part === 4) return false;
      into[at + part++] = value;
      value = digits = 0;
    } else {
      if (c < 0x30 || c > 0x39 || (digits > 0 && value === 0)) return false;
      value = value * 10 + c - 0x30;
      digits++;
      if (value > 255) return false;
    }
  }
  return part === 4;
}

function hexDigit(c: number): number {
  if (c >= 0x30 && c <= 0x39) return c - 0x30;
  const lower = c | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

/** Fills `into` (16 zero bytes) from the left; at the close, what stood after `::` moves to the right end. */
function readIPv6(text: string, end: number, into: Uint8Array): boolean {
  let at = 0;
  let gap = -1;
  let i = 0;
  if (text.startsWith('::')) {
    gap = 0;
    i = 2;
  }
  while (i < end) {
    const start = i;
    let value = 0;
    for (; i < end; i++) {
      const digit = hexDigit(text.charCodeAt(i));
      if (digit === -1) break;
      value = ((value << 4) | digit) & 0xffff;
    }
    if (i < end && text.charCodeAt(i) === DOT) {
      if (at > 12 || !readIPv4(text, start, end, into, at)) return false;
      at += 4;
      break;
    }
    if (i === start || i - start > 4 || at > 14) return false;
    into[at++] = value >> 8;
    into[at++] = value & 0xff;
    if (i === end) break;
    if (text.charCodeAt(i++) !== COLON || i === end) return false;
    if (text.charCodeAt(i) === COLON) {
      if (gap !== -1) return false;
      gap = at;
      i++;
    }
  }
  if (gap === -1) return at === 16;
  if (at > 14) return false; // "::" stands for at least one group
  into.copyWithin(16 - (at - gap), gap, at);
  into.fill(0, gap, 16 - (at - gap));
  return true;
}

function isMapped(bytes: Uint8Array, at: number): boolean {
  for (let i = 0; i < 10; i++) if (bytes[at + i] !== 0) return false;
  return bytes[at + 10] === 0xff && bytes[at + 11] === 0xff;
}

/** Four bytes at `at` as dotted decimal. */
export function formatIPv4(bytes: Uint8Array, at: number): string {
  return `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`;
}

/** Sixteen bytes at `at` in the form of RFC 5952, or as dotted decimal when they are an IPv4-mapped address. */
export function formatIPv6(bytes: Uint8Array, at: number): string {
  if (isMapped(bytes, at)) return formatIPv4(bytes, at + 12);
  const group = (i: number): number => ((bytes[at + 2 * i] ?? 0) << 8) | (bytes[at + 2 * i + 1] ?? 0);
  let gap = -1;
  let gapLength = 1; // a single zero group is written out
  for (let i = 0; i < 8; i++) {
    let length = 0;
    while (i + length < 8 && group(i + length) === 0) length++;
    if (length > gapLength) [gap, gapLength] = [i, length];
    if (length > 0) i += length - 1;
  }
  let text = '';
  for (let i = 0; i < 8; i++) {
    if (i === gap) {
      text += '::';
      i += gapLength - 1;
      continue;
    }
    if (text !== '' && !text.endsWith(':')) text += ':';
    text += group(i).toString(16);
  }
  return text;
}

/** True for `0.0.0.0` and `::`. Linux takes a connection to them for one to loopback. */
export function isUnspecified(address: Address): boolean {
  return address.bytes.every((byte) => byte === 0);
}

/** Reads `address` or `address/prefix`. Returns what is wrong, for a person, when it is neither. */
export function parseNetwork(text: string): Network | string {
  const slash = text.indexOf('/');
  const base = slash === -1 ? text : text.slice(0, slash);
  const address = base.includes('%') ? undefined : parseAddress(base);
  if (address === undefined) return `"${text}" is not an IP address or network`;
  const bits = address.family === 4 ? 32 : 128;
  if (slash === -1) return { ...address, prefix: bits };

  const length = text.slice(slash + 1);
  // A mapped network is written with the IPv6 length: ::ffff:10.0.0.0/104 is 10.0.0.0/8.
  const mapped = address.family === 4 && base.includes(':');
  const prefix = Number(length) - (mapped ? 96 : 0);
  if (!/^\d{1,3}$/.test(length) || prefix < 0 || prefix > bits) {
    return `"${text}" has a wrong prefix length; it goes from ${mapped ? 96 : 0} to ${mapped ? 128 : bits}`;
  }
  const masked = address.bytes.map((byte, i) => byte & (0xff00 >> Math.min(8, Math.max(0, prefix - 8 * i))));
  if (masked.some((byte, i) => byte !== address.bytes[i])) {
    const network = address.family === 4 ? formatIPv4(masked, 0) : formatIPv6(masked, 0);
    return `"${text}" has bits set after the prefix; the network is ${network}/${prefix}`;
  }
  return { family: address.family, bytes: address.bytes, prefix };
}

/** Whether `address` lies in `network`; addresses of the other family never do. */
export function contains(network: Network, address: Address): boolean {
  if (network.family !== address.family) return false;
  const whole = network.prefix >> 3;
  for (let i = 0; i < whole; i++) if (network.bytes[i] !== address.bytes[i]) return false;
  const rest = network.prefix & 7;
  return rest === 0 || (((network.bytes[whole] ?? 0) ^ (address.bytes[whole] ?? 0)) & (0xff00 >> rest)) === 0;
}
