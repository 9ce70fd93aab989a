import { isIP } from 'node:net';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { contains, formatIPv6, isUnspecified, parseAddress, parseNetwork } from '../../../src/socks/address.js';

const bytes16 = fc
  .array(fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(0xffff) }), {
    minLength: 8,
    maxLength: 8,
  })
  .map((groups) => Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff])));

function hex(text: string): string | undefined {
  const address = parseAddress(text);
  return address === undefined ? undefined : Buffer.from(address.bytes).toString('hex');
}

describe('parseAddress', () => {
  test.each([
    ['192.0.2.255', 'c00002ff'],
    ['0.0.0.0', '00000000'],
    ['::', '0'.repeat(32)],
    ['::1', `${'0'.repeat(31)}1`],
    ['1::', `0001${'0'.repeat(28)}`],
    ['2001:DB8::a:b', '20010db8000000000000 0000000a000b'.replace(' ', '')],
    ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008'],
    ['1:2:3:4:5:6:7::', '00010002000300040005000600070000'],
    ['::2:3:4:5:6:7:8', '00000002000300040005000600070008'],
    ['64:ff9b::192.0.2.1', '0064ff9b0000000000000000c0000201'],
    ['::ffff:192.0.2.1', 'c0000201'],
    ['::FFFF:c000:201', 'c0000201'],
    ['fe80::1%eth0', 'fe800000000000000000000000000001'],
  ])('%s', (text, expected) => expect(hex(text)).toBe(expected));

  test.each([
    '',
    '.',
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.256',
    '01.2.3.4',
    '1.2.3.4 ',
    '1..2.3',
    '0x1.2.3.4',
    ':',
    ':::',
    '1:',
    ':1',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7:8::',
    '::1:2:3:4:5:6:7:8',
    '12345::',
    'g::',
    '::1.2.3',
    '1:2:3:4:5:6:7:1.2.3.4',
    '::1.2.3.4:5',
    'fe80::1%',
    '1.2.3.4%eth0',
  ])('%j is none', (text) => expect(parseAddress(text)).toBeUndefined());

  test('agrees with node:net on every text, with a zone or without', () => {
    const piece = fc.constantFrom(':', '::', '.', '0', '1', 'ff', 'ffff', '10', '255', '256', '00', 'g', '1.2.3.4');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 18 }), fc.constantFrom('', '%a'), (pieces, zone) => {
        const text = pieces.join('') + zone;
        expect(parseAddress(text) !== undefined, text).toBe(isIP(text) !== 0);
      }),
      { numRuns: 5000 },
    );
  });
});

describe('formatIPv6', () => {
  test('is the canonical form, as in URLs, and reads back', () => {
    fc.assert(
      fc.property(bytes16, (bytes) => {
        const text = formatIPv6(bytes, 0);
        if (!text.includes(':')) return; // IPv4-mapped
        const plain = Array.from({ length: 8 }, (_, i) =>
          (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16),
        );
        expect(`[${text}]`).toBe(new URL(`http://[${plain.join(':')}]/`).hostname);
        expect(parseAddress(text)).toEqual({ family: 6, bytes });
      }),
      { numRuns: 2000 },
    );
  });
});

describe('networks', () => {
  test.each([
    ['10.0.0.0/8', '10.255.1.2', true],
    ['10.0.0.0/8', '11.0.0.0', false],
    ['192.0.2.0/23', '192.0.3.9', true],
    ['192.0.2.0/23', '192.0.4.0', false],
    ['192.0.2.7', '192.0.2.7', true],
    ['192.0.2.7', '192.0.2.6', false],
    ['0.0.0.0/0', '203.0.113.1', true],
    ['0.0.0.0/0', '2001:db8::1', false],
    ['::/0', '2001:db8::1', true],
    ['::/0', '203.0.113.1', false],
    ['fc00::/7', 'fdff::1', true],
    ['fc00::/7', 'fe00::1', false],
    ['::1', '::1', true],
    ['10.0.0.0/8', '::ffff:10.1.1.1', true],
    ['::ffff:10.0.0.0/104', '10.1.1.1', true],
    ['::ffff:10.0.0.0/104', '11.1.1.1', false],
    ['::ffff:10.0.0.1', '10.0.0.1', true],
  ])('%s contains %s: %s', (network, address, expected) => {
    const parsed = parseNetwork(network);
    const inner = parseAddress(address);
    if (typeof parsed === 'string' || inner === undefined) throw new Error(`not parsed: ${network} ${address}`);
    expect(contains(parsed, inner)).toBe(expected);
  });

  test.each([
    ['10.0.0.1/8', 'the network is 10.0.0.0/8'],
    ['fc01::/7', 'the network is fc00::/7'],
    ['10.0.0.0/33', 'prefix length'],
    ['10.0.0.0/', 'prefix length'],
    ['10.0.0.0/-1', 'prefix length'],
    ['10.0.0.0/8/8', 'prefix length'],
    ['::/129', 'prefix length'],
    ['::ffff:0.0.0.0/95', 'from 96 to 128'],
    ['fe80::1%eth0', 'not an IP address'],
    ['300.0.0.0/8', 'not an IP address'],
  ])('%s is refused: %s', (text, message) => expect(parseNetwork(text)).toContain(message));

  test.each([
    ['0.0.0.0', true],
    ['::', true],
    ['::ffff:0.0.0.0', true],
    ['0.0.0.1', false],
    ['::1', false],
  ])('%s unspecified: %s', (text, expected) => {
    const address = parseAddress(text);
    expect(address !== undefined && isUnspecified(address)).toBe(expected);
  });
});
