/** Targets that pass are in head-parser.test.ts, from raw bytes. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatAuthority, parseAuthority } from '../../../src/http/authority.js';
import { normalUri, originForm, parseTarget, parseUri, portOf } from '../../../src/http/target.js';

describe('authority', () => {
  test.each([
    ['a', 'a', undefined],
    ['A.Example', 'a.example', undefined],
    ['a.example.:8080', 'a.example', 8080],
    ['a:', 'a', undefined],
    ['a:1', 'a', 1],
    ['a:00080', 'a', 80],
    ['a:65535', 'a', 65_535],
    ['a_b-c.d', 'a_b-c.d', undefined],
    ['192.0.2.1:80', '192.0.2.1', 80],
    ['[2001:DB8:0:0:0:0:0:1]:443', '[2001:db8::1]', 443],
    ['[::]', '[::]', undefined],
    ['[::1]:', '[::1]', undefined],
    ['xn--bcher-kva.example', 'xn--bcher-kva.example', undefined],
  ])('%s', (text, host, port) => expect(parseAuthority(text)).toEqual({ host, port }));

  test.each([
    '',
    ':80',
    '.',
    '..',
    '.a',
    'a..',
    'a b',
    'a:b',
    'a:80:80',
    'a:-1',
    'a:0',
    'a:65536',
    'a:000080',
    'a@b',
    'a:b@c',
    'a/b',
    'a?b',
    'a#b',
    'a\\b',
    'a%2eb',
    'a,b',
    'b\xfccher.example',
    '[',
    '[]',
    '[::1',
    '::1',
    '[::1]80',
    '[::1]x:80',
    '[fe80::1%25eth0]',
    '[fe80::1%eth0]',
    '[1.2.3.4]',
    '[::ffff:1.2.3.4]',
    '[v1.a]',
    '[[::1]]',
    'a'.repeat(254),
  ])('%j is none', (text) => expect(parseAuthority(text)).toBeUndefined());

  test('is written without the port of the scheme', () => {
    expect(formatAuthority({ host: 'a', port: 80 }, 'http')).toBe('a');
    expect(formatAuthority({ host: 'a', port: 80 }, 'https')).toBe('a:80');
    expect(formatAuthority({ host: 'a', port: 443 }, 'https')).toBe('a');
    expect(formatAuthority({ host: '[::1]', port: 443 })).toBe('[::1]:443');
    expect(formatAuthority({ host: 'a', port: undefined }, 'http')).toBe('a');
  });

  test('what is written reads back', () => {
    const piece = fc.constantFrom('a', 'B', '.', '-', ':', '[', ']', '::', '1', '80', '%', '@', '_', '65535');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        const authority = parseAuthority(pieces.join(''));
        if (authority !== undefined) expect(parseAuthority(formatAuthority(authority))).toEqual(authority);
      }),
      { numRuns: 3000 },
    );
  });
});

describe('origin form', () => {
  test.each([
    ['GET', '/a?b', '/a?b'],
    ['GET', 'http://a', '/'],
    ['GET', 'http://a?b', '/?b'],
    ['GET', 'http://a/b//c?d', '/b//c?d'],
    ['OPTIONS', '*', '*'],
    ['OPTIONS', 'http://a', '*'],
    ['OPTIONS', 'http://a/', '/'],
    ['OPTIONS', 'http://a?b', '/?b'],
  ])('%s %s is %s', (method, text, expected) => {
    const target = parseTarget(method, text);
    if (target.kind === 'refused' || target.kind === 'authority') throw new Error(target.kind);
    expect(originForm(method, target)).toBe(expected);
  });
});

describe('the URI as a key', () => {
  test.each([
    ['http://EXAMPLE.com', 'http://example.com/'],
    ['HTTP://example.com:80/', 'http://example.com/'],
    ['http://example.com:/', 'http://example.com/'],
    ['https://example.com:443/a', 'https://example.com/a'],
    ['http://example.com:443/a', 'http://example.com:443/a'],
    ['http://[2001:DB8::0:1]:80/', 'http://[2001:db8::1]/'],
    ['http://a/%c3%a4%2f', 'http://a/%C3%A4%2F'],
    ['http://a/%7e%7E~', 'http://a/%7E%7E~'],
    ['http://a/%zz%4', 'http://a/%zz%4'],
    ['http://a/b/../c/./d', 'http://a/b/../c/./d'],
    ['http://a/B?C=%3d&d#e', 'http://a/B?C=%3D&d'],
    ['http://a?b', 'http://a/?b'],
    ['http://a/?', 'http://a/?'],
    ['http://a//b', 'http://a//b'],
  ])('%s is %s', (text, expected) => expect(parseUri(text)).toBe(expected));

  test.each(['', '/a', '*', 'ftp://a/', 'http://', 'http://u@a/', 'http://a/ b', 'http://a/\xe4', 'a.example'])(
    '%j is none',
    (text) => expect(parseUri(text)).toBeUndefined(),
  );

  test('is normal: normalising it changes nothing, and the URL class reads the same', () => {
    const piece = fc.constantFrom('/', 'a', 'B', '%', '%2f', '%C3', '?', '=', '~', ';', ':', '@', '//');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 10 }), (pieces) => {
        const key = normalUri('http', { host: 'a.example', port: 8080 }, `/${pieces.join('')}`);
        expect(parseUri(key)).toBe(key);
        expect(new URL(key).href).toBe(key);
      }),
    );
  });
});

test('the port to connect to', () => {
  expect(portOf({ host: 'a', port: undefined }, 'http')).toBe(80);
  expect(portOf({ host: 'a', port: undefined }, 'https')).toBe(443);
  expect(portOf({ host: 'a', port: 8080 }, 'https')).toBe(8080);
});
