/**
 * TCP segments as bytes and back: Ethernet, IPv4 with options or IPv6 with extension headers, TCP with options in any
 * order and at any offset. Made and read without the code under test, so that both can be held against each other.
 */

export type TcpOption =
  | { kind: 'nop' }
  | { kind: 'end' }
  | { kind: 'mss'; bytes: number }
  | { kind: 'scale'; shift: number }
  | { kind: 'sack-permitted' }
  | { kind: 'sack'; blocks: [left: number, right: number][] }
  | { kind: 'timestamps'; value: number; echo: number }
  | { kind: 'other'; number: number; bytes: number[] };

/** An IPv6 extension header: its number, and what stands behind its first two bytes (8n + 6 bytes). */
export interface Extension {
  number: number;
  /** The byte behind "next header": length in 8-byte units beyond the first, 0 for a fragment header. */
  length: number;
  bytes: number[];
}

export interface Segment {
  family: 4 | 6;
  source: string;
  destination: string;
  /** TTL or hop limit. */
  hops: number;
  /** TOS or traffic class: ECN is its last two bits. */
  traffic: number;
  /** IPv4: identification. IPv6: flow label. */
  label: number;
  /** IPv4: flags and fragment offset, 0x4000 is "don't fragment". */
  fragment: number;
  ipOptions: number[];
  extensions: Extension[];
  sourcePort: number;
  destinationPort: number;
  seq: number;
  ack: number;
  /** FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128. */
  flags: number;
  window: number;
  urgent: number;
  options: TcpOption[];
  payload: string;
}

export const FLAG = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16, urg: 32, ece: 64, cwr: 128 } as const;
export const ETHERNET = 14;

/** Network byte order; IPv4 as four bytes. */
export function addressBytes(address: string): number[] {
  if (!address.includes(':')) return address.split('.').map(Number);
  const [head = '', tail] = address.split('::');
  const words = (text: string): number[] => (text === '' ? [] : text.split(':').map((word) => parseInt(word, 16)));
  const first = words(head);
  const last = tail === undefined ? [] : words(tail);
  const all = [...first, ...Array<number>(8 - first.length - last.length).fill(0), ...last];
  return all.flatMap((word) => [word >> 8, word & 255]);
}

export function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  const words = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i]! << 8) | bytes[2 * i + 1]!).toString(16)).join(':');
  return words.replace(/(^|:)0(:0)+(:|$)/, '::');
}

/** The one's complement sum of 16-bit words, not inverted. */
export function sum16(bytes: Uint8Array, start = 0): number {
  let sum = start;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return sum;
}

function optionBytes(option: TcpOption): number[] {
  const word = (value: number): number[] => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
  switch (option.kind) {
    case 'end':
      return [0];
    case 'nop':
      return [1];
    case 'mss':
      return [2, 4, option.bytes >> 8, option.bytes & 255];
    case 'scale':
      return [3, 3, option.shift];
    case 'sack-permitted':
      return [4, 2];
    case 'sack':
      return [
        5,
        2 + 8 * option.blocks.length,
        ...option.blocks.flatMap(([left, right]) => [...word(left), ...word(right)]),
      ];
    case 'timestamps':
      return [8, 10, ...word(option.value), ...word(option.echo)];
    case 'other':
      return [option.number, 2 + option.bytes.length, ...option.bytes];
  }
}

function readOptions(bytes: Uint8Array): TcpOption[] {
  const options: TcpOption[] = [];
  const view = Buffer.from(bytes);
  for (let at = 0; at < bytes.length;) {
    const number = view[at]!;
    if (number <= 1) {
      options.push({ kind: number === 0 ? 'end' : 'nop' });
      at++;
      continue;
    }
    const length = view[at + 1] ?? 0;
    const body = view.subarray(at + 2, at + length);
    if (number === 2 && length === 4) options.push({ kind: 'mss', bytes: body.readUInt16BE(0) });
    else if (number === 3 && length === 3) options.push({ kind: 'scale', shift: body[0]! });
    else if (number === 4 && length === 2) options.push({ kind: 'sack-permitted' });
    else if (number === 5 && body.length > 0 && body.length % 8 === 0) {
      const blocks: [number, number][] = [];
      for (let i = 0; i < body.length; i += 8) blocks.push([body.readUInt32BE(i), body.readUInt32BE(i + 4)]);
      options.push({ kind: 'sack', blocks });
    } else if (number === 8 && body.length === 8) {
      options.push({ kind: 'timestamps', value: body.readUInt32BE(0), echo: body.readUInt32BE(4) });
    } else options.push({ kind: 'other', number, bytes: [...body] });
    at += Math.max(length, 2);
  }
  return options;
}

function pseudoHeader(source: number[], destination: number[], length: number): Uint8Array {
  return Uint8Array.from([...source, ...destination, 0, 6, length >> 8, length & 255]);
}

/** The segment with an Ethernet header and right checksums. */
export function build(segment: Segment): Buffer {
  const options = segment.options.flatMap(optionBytes);
  while (options.length % 4 !== 0) options.push(0);
  const payload = Buffer.from(segment.payload, 'latin1');
  const tcp = Buffer.alloc(20 + options.length + payload.length);
  tcp.writeUInt16BE(segment.sourcePort, 0);
  tcp.writeUInt16BE(segment.destinationPort, 2);
  tcp.writeUInt32BE(segment.seq >>> 0, 4);
  tcp.writeUInt32BE(segment.ack >>> 0, 8);
  tcp[12] = ((20 + options.length) / 4) << 4;
  tcp[13] = segment.flags;
  tcp.writeUInt16BE(segment.window, 14);
  tcp.writeUInt16BE(segment.urgent, 18);
  tcp.set(options, 20);
  payload.copy(tcp, 20 + options.length);
  const source = addressBytes(segment.source);
  const destination = addressBytes(segment.destination);
  tcp.writeUInt16BE(~sum16(tcp, sum16(pseudoHeader(source, destination, tcp.length))) & 0xffff, 16);

  const ethernet = Buffer.from([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, ...(segment.family === 4 ? [8, 0] : [0x86, 0xdd])]);
  if (segment.family === 6) {
    const extensions = segment.extensions.map((extension, i) =>
      Buffer.from([segment.extensions[i + 1]?.number ?? 6, extension.length, ...extension.bytes]),
    );
    const body = Buffer.concat([...extensions, tcp]);
    const ip = Buffer.alloc(40);
    ip.writeUInt32BE(((6 << 28) | (segment.traffic << 20) | segment.label) >>> 0, 0);
    ip.writeUInt16BE(body.length, 4);
    ip[6] = segment.extensions[0]?.number ?? 6;
    ip[7] = segment.hops;
    ip.set(source, 8);
    ip.set(destination, 24);
    return Buffer.concat([ethernet, ip, body]);
  }
  const ip = Buffer.alloc(20 + segment.ipOptions.length);
  ip[0] = 0x40 | (ip.length / 4);
  ip[1] = segment.traffic;
  ip.writeUInt16BE(ip.length + tcp.length, 2);
  ip.writeUInt16BE(segment.label & 0xffff, 4);
  ip.writeUInt16BE(segment.fragment, 6);
  ip[8] = segment.hops;
  ip[9] = 6;
  ip.set(source, 12);
  ip.set(destination, 16);
  ip.set(segment.ipOptions, 20);
  ip.writeUInt16BE(~sum16(ip) & 0xffff, 10);
  return Buffer.concat([ethernet, ip, tcp]);
}

/** What a packet says, and how far its checksums are from right: 0 when they are. */
export interface Parsed extends Segment {
  ipError: number;
  tcpError: number;
}

/** The one's complement distance of a sum from all ones: 0xffff and 0 are the same. */
function errorOf(sum: number): number {
  return (0xffff - sum) % 0xffff;
}

export function parse(packet: Uint8Array, at = ETHERNET): Parsed {
  const bytes = Buffer.from(packet).subarray(at);
  if (bytes.length < 40) throw new Error(`no TCP segment: ${bytes.toString('hex')}`);
  const family = bytes[0]! >> 4 === 4 ? 4 : 6;
  const extensions: Extension[] = [];
  let tcpAt: number;
  let end: number;
  if (family === 4) {
    tcpAt = (bytes[0]! & 15) * 4;
    end = bytes.readUInt16BE(2);
  } else {
    tcpAt = 40;
    end = 40 + bytes.readUInt16BE(4);
    let next = bytes[6]!;
    while (next !== 6) {
      if (tcpAt + 8 > bytes.length) throw new Error(`no TCP segment: ${bytes.toString('hex')}`);
      const length = bytes[tcpAt + 1]!;
      const size = 8 + 8 * length;
      extensions.push({ number: next, length, bytes: [...bytes.subarray(tcpAt + 2, tcpAt + size)] });
      next = bytes[tcpAt]!;
      tcpAt += size;
    }
  }
  const source = family === 4 ? bytes.subarray(12, 16) : bytes.subarray(8, 24);
  const destination = family === 4 ? bytes.subarray(16, 20) : bytes.subarray(24, 40);
  const tcp = bytes.subarray(tcpAt, end);
  const header = (tcp[12]! >> 4) * 4;
  return {
    family,
    source: addressText(source),
    destination: addressText(destination),
    hops: family === 4 ? bytes[8]! : bytes[7]!,
    traffic: family === 4 ? bytes[1]! : (bytes.readUInt16BE(0) >> 4) & 255,
    label: family === 4 ? bytes.readUInt16BE(4) : bytes.readUInt32BE(0) & 0xfffff,
    fragment: family === 4 ? bytes.readUInt16BE(6) : 0,
    ipOptions: family === 4 ? [...bytes.subarray(20, tcpAt)] : [],
    extensions,
    sourcePort: tcp.readUInt16BE(0),
    destinationPort: tcp.readUInt16BE(2),
    seq: tcp.readUInt32BE(4),
    ack: tcp.readUInt32BE(8),
    flags: tcp[13]!,
    window: tcp.readUInt16BE(14),
    urgent: tcp.readUInt16BE(18),
    options: readOptions(tcp.subarray(20, header)),
    payload: tcp.toString('latin1', header),
    ipError: family === 4 ? errorOf(sum16(bytes.subarray(0, tcpAt))) : 0,
    tcpError: errorOf(sum16(tcp, sum16(pseudoHeader([...source], [...destination], tcp.length)))),
  };
}
