import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type ProxyEndpoint, buildProxyHeader, parseProxyHeader } from '../../../src/http/proxy-protocol.js';
import { latin1 } from './pieces.js';

const SIGNATURE = '\r\n\r\n\0\r\nQUIT\n';

describe('version 1', () => {
  test.each([
    ['PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n', '192.0.2.1', 56_324, '198.51.100.2', 443],
    ['PROXY TCP6 2001:DB8:0::1 ::1 1 65535\r\n', '2001:db8::1', 1, '::1', 65_535],
    ['PROXY TCP6 ::ffff:192.0.2.1 ::1 0 80\r\n', '192.0.2.1', 0, '::1', 80],
  ])('%j', (line, address, port, toAddress, toPort) => {
    expect(parseProxyHeader(latin1(`${line}GET`))).toEqual({
      kind: 'proxied',
      end: line.length,
      source: { address, port },
      destination: { address: toAddress, port: toPort },
    });
  });

  test.each(['PROXY UNKNOWN\r\n', 'PROXY UNKNOWN ff:ff 1 2 3 what ever\r\n'])('%j', (line) => {
    expect(parseProxyHeader(latin1(line))).toEqual({ kind: 'local', end: line.length });
  });

  test.each([
    'GET / HTTP/1.1\r\n',
    'PROXX',
    'proxy TCP4 1.2.3.4 1.2.3.4 1 1\r\n',
    'PROXY\r\n',
    'PROXY  TCP4 1.2.3.4 1.2.3.4 1 1\r\n',
    'PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n',
    'PROXY TCP4 1.2.3.4 1.2.3.4 1 1 1\r\n',
    'PROXY TCP4 1.2.3.4 1.2.3.4 1 1 \r\n',
    'PROXY TCP4 ::1 ::1 1 1\r\n',
    'PROXY TCP6 1.2.3.4 1.2.3.4 1 1\r\n',
    'PROXY TCP6 fe80::1%eth0 ::1 1 1\r\n',
    'PROXY TCP4 1.2.3.256 1.2.3.4 1 1\r\n',
    'PROXY TCP4 1.2.3.4 1.2.3.4 65536 1\r\n',
    'PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n',
    'PROXY TCP4 1.2.3.4 1.2.3.4 -1 1\r\n',
    'PROXY UDP4 1.2.3.4 1.2.3.4 1 1\r\n',
    'PROXY TCP4 1.2.3.4 1.2.3.4 1 1\n',
    'PROXY TCP4 1.2.3.4 1.2.3.4 1 1\rX',
    'PROXY TCP4 1.2.3.4\t1.2.3.4 1 1\r\n',
    `PROXY UNKNOWN ${'x'.repeat(92)}\r\n`,
    'PROXY UNKNOWN \xe4\r\n',
  ])('%j is none', (line) => {
    expect(parseProxyHeader(latin1(line))).toMatchObject({ kind: 'refused', status: 400, reason: 'bad-proxy-header' });
  });

  test('the longest line is taken', () => {
    const line = `PROXY UNKNOWN ${'x'.repeat(91)}\r\n`;
    expect(line.length).toBe(107);
    expect(parseProxyHeader(latin1(line))).toEqual({ kind: 'local', end: 107 });
  });
});

describe('version 2', () => {
  const header = (rest: string): Uint8Array => latin1(`${SIGNATURE}${rest}`);

  test('TCP over IPv4, with fields behind the addresses', () => {
    const bytes = header('\x21\x11\0\x11\xc0\0\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb\x04\0\x02abGET');
    expect(parseProxyHeader(bytes)).toEqual({
      kind: 'proxied',
      end: 16 + 17,
      source: { address: '192.0.2.1', port: 0xdc04 },
      destination: { address: '198.51.100.2', port: 443 },
    });
  });

  test('LOCAL, UNSPEC and Unix sockets tell nothing', () => {
    expect(parseProxyHeader(header('\x20\0\0\0'))).toEqual({ kind: 'local', end: 16 });
    expect(parseProxyHeader(header('\x20\x11\0\x03abc'))).toEqual({ kind: 'local', end: 19 });
    expect(parseProxyHeader(header('\x21\0\0\0'))).toEqual({ kind: 'local', end: 16 });
    expect(parseProxyHeader(header(`\x21\x31\0\xd8${'\0'.repeat(216)}`))).toEqual({ kind: 'local', end: 232 });
  });

  test.each([
    ['version 1 in binary', '\x11\x11\0\x0c'],
    ['version 3', '\x31\x11\0\x0c'],
    ['another command', '\x22\x11\0\x0c'],
    ['UDP', '\x21\x12\0\x0c'],
    ['too short for IPv4', '\x21\x11\0\x0b'],
    ['too short for IPv6', '\x21\x21\0\x23'],
    ['too long', '\x21\x11\x10\x01'],
  ])('%s', (_what, rest) => {
    expect(parseProxyHeader(header(`${rest}${'\0'.repeat(5000)}`))).toMatchObject({ kind: 'refused' });
    expect(parseProxyHeader(header(rest))).toMatchObject({ kind: 'refused' });
  });
});

const endpoint: fc.Arbitrary<ProxyEndpoint> = fc.record({
  address: fc.constantFrom('192.0.2.1', '203.0.113.255', '2001:db8::1', '::', 'ff02::1:2'),
  port: fc.nat(65_535),
});

test('what is built reads back, and is whole at its last byte and no earlier', () => {
  fc.assert(
    fc.property(fc.constantFrom(1, 2), endpoint, endpoint, (version, source, destination) => {
      const bytes = buildProxyHeader(version, source, destination);
      expect(parseProxyHeader(Buffer.concat([bytes, latin1('PROXY')]))).toEqual({
        kind: 'proxied',
        end: bytes.length,
        source,
        destination,
      });
      for (let length = 0; length < bytes.length; length++) {
        expect(parseProxyHeader(bytes.subarray(0, length))).toBeUndefined();
      }
    }),
  );
});

test('without addresses it is our own connection', () => {
  for (const version of [1, 2] as const) {
    const bytes = buildProxyHeader(version);
    expect(parseProxyHeader(bytes)).toEqual({ kind: 'local', end: bytes.length });
  }
});

test('wrong endpoints throw', () => {
  const right = { address: '192.0.2.1', port: 1 };
  expect(() => buildProxyHeader(1, { address: 'a', port: 1 }, right)).toThrow(/no IP address/);
  expect(() => buildProxyHeader(2, right, { address: '::1', port: 65_536 })).toThrow(/no port/);
});

test('what was said of a beginning stays true of the whole', () => {
  const piece = fc.constantFrom(
    'PROXY ',
    'TCP4 ',
    '1.2.3.4 ',
    '1 ',
    '2',
    '\r\n',
    SIGNATURE,
    '\x21\x11\0\x0c',
    '\0\x01',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 9 }), (pieces) => {
      const bytes = latin1(pieces.join(''));
      let said: unknown;
      for (let length = 0; length <= bytes.length; length++) {
        const now = parseProxyHeader(bytes.subarray(0, length));
        if (said !== undefined) expect(now).toEqual(said);
        said = now;
      }
    }),
    { numRuns: 2000 },
  );
});
