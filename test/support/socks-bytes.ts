/** SOCKS messages as bytes, written here a second time on purpose: the product's own encoder must not judge itself. */
import net from 'node:net';

const port16 = (port: number): number[] => [port >> 8, port & 0xff];

function ipv6Bytes(host: string): number[] {
  const [head = '', tail = ''] = host.split('::');
  const words = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((word) => Number.parseInt(word, 16));
  const left = words(head);
  const right = host.includes('::') ? words(tail) : [];
  const middle = Array<number>(8 - left.length - right.length).fill(0);
  return [...left, ...middle, ...right].flatMap(port16);
}

function target5(host: string): number[] {
  if (net.isIPv4(host)) return [1, ...host.split('.').map(Number)];
  if (net.isIPv6(host)) return [4, ...ipv6Bytes(host)];
  return [3, Buffer.byteLength(host), ...Buffer.from(host)];
}

/** RFC 1928, section 3, with the given methods (0 none, 2 username/password). */
export const greeting5 = (...methods: number[]): Buffer => Buffer.from([5, methods.length, ...methods]);

/** RFC 1928, section 4; command 1 is CONNECT. */
export const request5 = (host: string, port: number, command = 1): Buffer =>
  Buffer.from([5, command, 0, ...target5(host), ...port16(port)]);

/** RFC 1929, section 2. */
export const password5 = (user: string, password: string): Buffer =>
  Buffer.from([
    1,
    Buffer.byteLength(user),
    ...Buffer.from(user),
    Buffer.byteLength(password),
    ...Buffer.from(password),
  ]);

/** SOCKS4, or 4a when `host` is a name. */
export function request4(host: string, port: number, user = ''): Buffer {
  const start = (ipv4: number[]): number[] => [4, 1, ...port16(port), ...ipv4, ...Buffer.from(user), 0];
  if (net.isIPv4(host)) return Buffer.from(start(host.split('.').map(Number)));
  return Buffer.from([...start([0, 0, 0, 1]), ...Buffer.from(host), 0]);
}

/** Reply codes of RFC 1928, section 6. */
export const reply5 = {
  succeeded: 0,
  general: 1,
  denied: 2,
  networkUnreachable: 3,
  hostUnreachable: 4,
  refused: 5,
  ttlExpired: 6,
  commandNotSupported: 7,
  addressNotSupported: 8,
} as const;
