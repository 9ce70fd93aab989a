/** ICMP errors of both families as bytes and back, made and read without the code under test. */
import { ETHERNET, addressBytes, addressText, sum16 } from './segment.js';

export interface IcmpError {
  family: 4 | 6;
  source: string;
  destination: string;
  /** TTL or hop limit. */
  hops: number;
  type: number;
  code: number;
  /** What stands behind the checksum: the MTU, where it is about that. */
  info: number;
  /** The packet that it is about, or its beginning, from its IP header on. */
  quote: Buffer;
}

/** IPv4 header fields that a test may set besides. */
export interface Oddities {
  ipOptions?: number[];
  fragment?: number;
}

/** Addresses, length and protocol of ICMPv6; nothing in IPv4. */
function pseudoSum(family: 4 | 6, source: number[], destination: number[], length: number): number {
  return family === 4 ? 0 : sum16(Uint8Array.from([...source, ...destination, length >> 8, length & 255, 0, 58]));
}

/** With an Ethernet header and right checksums. */
export function buildIcmp(error: IcmpError, { ipOptions = [], fragment = 0 }: Oddities = {}): Buffer {
  const source = addressBytes(error.source);
  const destination = addressBytes(error.destination);
  const icmp = Buffer.concat([Buffer.from([error.type, error.code, 0, 0, 0, 0, 0, 0]), error.quote]);
  icmp.writeUInt32BE(error.info, 4);
  icmp.writeUInt16BE(~sum16(icmp, pseudoSum(error.family, source, destination, icmp.length)) & 0xffff, 2);

  const ethernet = Buffer.from([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, ...(error.family === 4 ? [8, 0] : [0x86, 0xdd])]);
  if (error.family === 6) {
    const ip = Buffer.alloc(40);
    ip[0] = 0x60;
    ip.writeUInt16BE(icmp.length, 4);
    ip[6] = 58;
    ip[7] = error.hops;
    ip.set(source, 8);
    ip.set(destination, 24);
    return Buffer.concat([ethernet, ip, icmp]);
  }
  const ip = Buffer.alloc(20 + ipOptions.length);
  ip[0] = 0x40 | (ip.length / 4);
  ip[1] = 0xc0;
  ip.writeUInt16BE(ip.length + icmp.length, 2);
  ip.writeUInt16BE(fragment, 6);
  ip[8] = error.hops;
  ip[9] = 1;
  ip.set(source, 12);
  ip.set(destination, 16);
  ip.set(ipOptions, 20);
  ip.writeUInt16BE(~sum16(ip) & 0xffff, 10);
  return Buffer.concat([ethernet, ip, icmp]);
}

/** What an ICMP error says, and how far its checksums are from right: 0 when they are. */
export interface ParsedIcmp extends IcmpError {
  ipError: number;
  icmpError: number;
}

function errorOf(sum: number): number {
  return (0xffff - sum) % 0xffff;
}

export function parseIcmp(packet: Uint8Array, at = ETHERNET): ParsedIcmp {
  const bytes = Buffer.from(packet).subarray(at);
  const family = bytes[0]! >> 4 === 4 ? 4 : 6;
  const ipLength = family === 4 ? (bytes[0]! & 15) * 4 : 40;
  const source = family === 4 ? bytes.subarray(12, 16) : bytes.subarray(8, 24);
  const destination = family === 4 ? bytes.subarray(16, 20) : bytes.subarray(24, 40);
  const icmp = bytes.subarray(ipLength, family === 4 ? bytes.readUInt16BE(2) : 40 + bytes.readUInt16BE(4));
  const protocol = family === 4 ? bytes[9] : bytes[6];
  if (protocol !== (family === 4 ? 1 : 58)) throw new Error(`not ICMP, but protocol ${protocol}`);
  return {
    family,
    source: addressText(source),
    destination: addressText(destination),
    hops: family === 4 ? bytes[8]! : bytes[7]!,
    type: icmp[0]!,
    code: icmp[1]!,
    info: icmp.readUInt32BE(4),
    quote: Buffer.from(icmp.subarray(8)),
    ipError: family === 4 ? errorOf(sum16(bytes.subarray(0, ipLength))) : 0,
    icmpError: errorOf(sum16(icmp, pseudoSum(family, [...source], [...destination], icmp.length))),
  };
}
