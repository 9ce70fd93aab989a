import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Peer,
  TRUST_NOBODY,
  type Trust,
  clientAddress,
  forwardedFields,
  forwardedNode,
  nodeAddress,
  parseForwarded,
} from '../../../src/http/forwarded.js';
import { Fields } from '../../../src/http/head.js';

const inner: Trust = (address) => address.startsWith('10.') || address === '2001:db8::5';

function peer(address: string, local?: string): Peer {
  return { address, port: 1234, scheme: 'https', ...(local === undefined ? {} : { local }) };
}

describe('parseForwarded (RFC 7239 section 4)', () => {
  test.each([
    ['for=192.0.2.60;proto=http;by=203.0.113.43', [{ for: '192.0.2.60', proto: 'http', by: '203.0.113.43' }]],
    ['For="[2001:db8:cafe::17]:4711"', [{ for: '[2001:db8:cafe::17]:4711' }]],
    ['for=192.0.2.43, for="[2001:db8:cafe::17]"', [{ for: '192.0.2.43' }, { for: '[2001:db8:cafe::17]' }]],
    ['for=_hidden, for=unknown', [{ for: '_hidden' }, { for: 'unknown' }]],
    ['for="a,b;c=\\"d\\\\"', [{ for: 'a,b;c="d\\' }]],
    ['for=a ; proto=http\t,\tfor=b', [{ for: 'a', proto: 'http' }, { for: 'b' }]],
    [',, for=a;;by=b;,', [{ for: 'a', by: 'b' }]],
    ['', []],
    ['for=""', [{ for: '' }]],
  ])('%s', (value, expected) => {
    expect(parseForwarded(value)?.map((element) => Object.fromEntries(element))).toEqual(expected);
  });

  test.each(['for', 'for=', '=a', 'for=a b', 'for="a', 'for="a\\', 'for="a"b', 'fo r=a', 'for=a;for=b', 'for=[::1]'])(
    '%j is malformed',
    (value) => expect(parseForwarded(value)).toBeUndefined(),
  );

  test('any text at all', () => {
    const piece = fc.constantFrom('for', '=', '"', '\\', ',', ';', ' ', 'a', '[::1]', '\x80');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 14 }), (pieces) => {
        const elements = parseForwarded(pieces.join(''));
        for (const element of elements ?? []) expect(element.size).toBeGreaterThan(0);
      }),
      { numRuns: 3000 },
    );
  });
});

test.each([
  ['192.0.2.1', '192.0.2.1'],
  ['192.0.2.1:80', '192.0.2.1'],
  ['[2001:DB8::1]:80', '2001:db8::1'],
  ['[2001:db8::1]', '2001:db8::1'],
  ['2001:db8::1', '2001:db8::1'],
  ['::ffff:192.0.2.1', '192.0.2.1'],
  ['unknown', undefined],
  ['_a', undefined],
  ['[::1', undefined],
  ['fe80::1%eth0', undefined],
  ['a.example', undefined],
  ['', undefined],
])('the address of node %j', (node, expected) => expect(nodeAddress(node)).toBe(expected));

test('nodes are quoted where RFC 7239 wants it', () => {
  expect(forwardedNode('192.0.2.1')).toBe('192.0.2.1');
  expect(forwardedNode('2001:db8::1')).toBe('"[2001:db8::1]"');
});

describe('clientAddress', () => {
  test.each([
    ['192.0.2.1', 'X-Forwarded-For', '198.51.100.1', '192.0.2.1'],
    ['10.0.0.1', 'X-Forwarded-For', '198.51.100.1', '198.51.100.1'],
    ['10.0.0.1', 'X-Forwarded-For', '6.6.6.6, 198.51.100.1, 10.0.0.2', '198.51.100.1'],
    ['10.0.0.1', 'X-Forwarded-For', '6.6.6.6, 198.51.100.1, [2001:db8::5]:80', '198.51.100.1'],
    ['10.0.0.1', 'X-Forwarded-For', '10.0.0.3, 10.0.0.2', '10.0.0.3'],
    ['10.0.0.1', 'X-Forwarded-For', '6.6.6.6, unknown, 10.0.0.2', '10.0.0.2'],
    ['10.0.0.1', 'X-Forwarded-For', 'rubbish', '10.0.0.1'],
    ['10.0.0.1', 'Forwarded', 'for=6.6.6.6, for="[2001:db8::7]:80";proto=http, for=10.0.0.2', '2001:db8::7'],
    ['10.0.0.1', 'Forwarded', 'for=6.6.6.6, for=_x', '10.0.0.1'],
    ['10.0.0.1', 'Forwarded', 'for=6.6.6.6, proto=http', '10.0.0.1'],
    ['10.0.0.1', 'Forwarded', 'for="6.6.6.6', '10.0.0.1'],
    ['10.0.0.1', 'Accept', '*/*', '10.0.0.1'],
  ])('from %s with %s %s is %s', (address, name, value, expected) => {
    expect(clientAddress(Fields.from([[name, value]]), peer(address), inner)).toBe(expected);
  });

  test('who trusts nobody believes nothing', () => {
    const fields = Fields.from([['X-Forwarded-For', '198.51.100.1']]);
    expect(clientAddress(fields, peer('10.0.0.1'), TRUST_NOBODY)).toBe('10.0.0.1');
  });
});

describe('forwardedFields', () => {
  const received = Fields.from([
    ['X-Forwarded-For', '198.51.100.1'],
    ['X-Forwarded-Proto', 'http'],
    ['X-Forwarded-Host', 'outer.example'],
    ['Forwarded', 'for=198.51.100.1'],
  ]);
  const both = { xForwarded: true, forwarded: true };

  test('from a stranger begin anew', () => {
    expect(forwardedFields(received, peer('192.0.2.1'), 'a:80', { trust: inner, ...both })).toEqual([
      'X-Forwarded-For',
      '192.0.2.1',
      'X-Forwarded-Proto',
      'https',
      'X-Forwarded-Host',
      'a:80',
      'Forwarded',
      'for=192.0.2.1;host="a:80";proto=https',
    ]);
  });

  test('from a trusted proxy go on', () => {
    expect(forwardedFields(received, peer('2001:db8::5', '2001:db8::9'), 'a', { trust: inner, ...both })).toEqual([
      'X-Forwarded-For',
      '198.51.100.1, 2001:db8::5',
      'X-Forwarded-Proto',
      'http',
      'X-Forwarded-Host',
      'outer.example',
      'Forwarded',
      'for=198.51.100.1, for="[2001:db8::5]";by="[2001:db8::9]";host=a;proto=https',
    ]);
  });

  test('a chain that cannot be read is not gone on with', () => {
    const broken = Fields.from([['Forwarded', 'for="x']]);
    expect(
      forwardedFields(broken, peer('10.0.0.1'), undefined, { trust: inner, xForwarded: false, forwarded: true }),
    ).toEqual(['Forwarded', 'for=10.0.0.1;proto=https']);
  });

  test('what is written reads back, whatever the host', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary-ascii' }), (host) => {
        const [, value = ''] = forwardedFields(Fields.EMPTY, peer('2001:db8::1'), host, {
          trust: inner,
          xForwarded: false,
          forwarded: true,
        });
        expect(parseForwarded(value)?.map((element) => element.get('host'))).toEqual([host]);
      }),
    );
  });
});
