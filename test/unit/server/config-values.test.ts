import { describe, expect, test } from 'vitest';
import { formatAddress, isLoopback, parseHostPort, parseListen } from '../../../src/server/config-address.js';
import {
  formatDuration,
  parseCount,
  parseCountOrAuto,
  parseDirectoryOrNone,
  parseDuration,
  parseInterfaces,
  parsePath,
  parsePorts,
  parseSwitch,
  parseWord,
} from '../../../src/server/config-values.js';

describe('durations', () => {
  test.each([
    ['500ms', 500],
    ['10s', 10_000],
    ['5m', 300_000],
    ['1h', 3_600_000],
    ['1d', 86_400_000],
    ['7', 7000],
    [7, 7000],
    [0.25, 250],
    ['1.5s', 1500],
    [' 2 m ', 120_000],
    [0, 0],
    ['0', 0],
  ])('%j is %i ms', (written, milliseconds) => {
    expect(parseDuration(written, 'allowed')).toBe(milliseconds);
  });

  test.each(['', 's', '-1', '-1s', '1 week', '1h30m', '1e3', 'NaN', '0x10', true, null, [], {}, -5, NaN, Infinity])(
    '%j is none',
    (written) => {
      expect(() => parseDuration(written, 'allowed')).toThrow(/is not a duration; write 500ms/);
    },
  );

  test('what a timer cannot hold is refused', () => {
    expect(parseDuration('24d', 'allowed')).toBe(24 * 86_400_000);
    expect(() => parseDuration('25d', 'allowed')).toThrow(/too long; at most 24d/);
  });

  test('0 is refused where it would mean for ever', () => {
    expect(() => parseDuration('0ms', 'forbidden')).toThrow(/above 0/);
  });

  test.each([0, 1, 999, 1000, 1500, 60_000, 61_000, 3_600_000, 86_400_000])('%i survives being written', (ms) => {
    expect(parseDuration(formatDuration(ms), 'allowed')).toBe(ms);
  });
});

describe('ports and interfaces', () => {
  test('a directory, or none', () => {
    expect(parseDirectoryOrNone('none')).toBe('');
    expect(parseDirectoryOrNone('/sys/fs/bpf/x')).toBe('/sys/fs/bpf/x');
    expect(() => parseDirectoryOrNone('bpf/x')).toThrow(/no absolute path/);
    expect(() => parseDirectoryOrNone(7)).toThrow(/not a path/);
  });

  test('ranges', () => {
    expect(parsePorts('auto')).toBe('auto');
    expect(parsePorts(' 61000-65535 ')).toEqual([61000, 65535]);
    expect(parsePorts('1-1')).toEqual([1, 1]);
  });
  test.each([
    ['', /neither "auto" nor a range/],
    ['61000', /write 61000-65535/],
    ['0-10', /neither/],
    ['1-65536', /neither/],
    ['10-9', /write 9-10/],
    [[1, 2], /neither/],
    [61000, /neither/],
  ])('%j is no range', (written, message) => expect(() => parsePorts(written)).toThrow(message));

  test('names', () => {
    expect(parseInterfaces('auto')).toBe('auto');
    expect(parseInterfaces('eth0')).toEqual(['eth0']);
    expect(parseInterfaces('eth0, wg0,eth0')).toEqual(['eth0', 'wg0']);
    expect(parseInterfaces(['br-lan', 'eth0.7'])).toEqual(['br-lan', 'eth0.7']);
  });
  test.each([[''], ['eth0,'], ['a b'], ['../x'], ['..'], ['a-name-of-16-chr'], [[]], [7], [['eth0', null]]])(
    '%j names none',
    (written) => expect(() => parseInterfaces(written)).toThrow(/does not name interfaces/),
  );
});

describe('addresses to listen on', () => {
  test.each([
    ['1080', '127.0.0.1', 1080],
    [1080, '127.0.0.1', 1080],
    ['0', '127.0.0.1', 0],
    ['127.0.0.1:1080', '127.0.0.1', 1080],
    ['localhost:1', '127.0.0.1', 1],
    ['0.0.0.0:65535', '0.0.0.0', 65535],
    [':1080', '::', 1080],
    ['*:1080', '::', 1080],
    ['[::1]:1080', '::1', 1080],
    ['[::]:0', '::', 0],
    ['[fe80::1%eth0]:1080', 'fe80::1%eth0', 1080],
  ])('%j', (written, host, port) => {
    expect(parseListen(written)).toEqual({ host, port });
  });

  test.each([
    ['65536', /no port between 0 and 65535/],
    ['127.0.0.1:', /no port between/],
    ['127.0.0.1:x', /no port between/],
    ['127.0.0.1', /has no port; write 127.0.0.1:1080/],
    ['::1', /ambiguous; an IPv6 address stands in brackets/],
    ['::1:1080', /ambiguous/],
    ['[::1]', /ambiguous|not an address/],
    ['[::g]:1', /"::g" is not an IPv6 address/],
    ['[127.0.0.1]:1', /is not an IPv6 address/],
    ['proxy.example.org:1080', /not an IP address; names are not looked up/],
    ['300.0.0.1:1', /not an IP address/],
    ['', /not an address/],
    ['eth0', /not an address/],
    [['::1'], /put quotes around it/],
    [null, /put quotes around it/],
    [1.5, /put quotes around it/],
    [-1, /not an address/],
  ])('%j is none', (written, message) => {
    expect(() => parseListen(written)).toThrow(message);
  });

  test('an address that must have a host has no port alone', () => {
    expect(() => parseHostPort('9090')).toThrow(/write HOST:PORT/);
  });

  test.each(['127.0.0.1:1', '[::1]:2', '[::]:0'])('%s is written as it was read', (text) => {
    expect(formatAddress(parseListen(text))).toBe(text);
  });

  test.each([
    ['127.0.0.1', true],
    ['127.255.1.2', true],
    ['::1', true],
    ['0:0:0:0:0:0:0:1', true],
    ['::ffff:127.0.0.1', true],
    ['128.0.0.1', false],
    ['0.0.0.0', false],
    ['::', false],
    ['::ffff:10.0.0.1', false],
    ['fe80::1%lo', false],
    ['localhost.example.org', false],
  ])('loopback %s: %s', (host, expected) => {
    expect(isLoopback(host)).toBe(expected);
  });
});

describe('other values', () => {
  test('counts', () => {
    expect(parseCount('12', 0, 12)).toBe(12);
    expect(parseCount(0, 0, 12)).toBe(0);
    for (const wrong of ['13', -1, 1.5, '1.5', '', 'x', true, null, NaN]) {
      expect(() => parseCount(wrong, 0, 12), String(wrong)).toThrow(/whole number from 0 to 12/);
    }
  });
  test('counts or auto', () => {
    expect(parseCountOrAuto('auto', 1, 2)).toBe('auto');
    expect(parseCountOrAuto('2', 1, 2)).toBe(2);
    expect(() => parseCountOrAuto('Auto', 1, 2)).toThrow(/neither "auto" nor a whole number from 1 to 2/);
  });
  test('switches', () => {
    expect(parseSwitch(true)).toBe(true);
    expect(() => parseSwitch('yes')).toThrow(/write true or false/);
  });
  test('paths', () => {
    expect(parsePath('a b')).toBe('a b');
    for (const wrong of ['', 'a\0b', 3, null]) expect(() => parsePath(wrong)).toThrow(/is not a path/);
  });
  test('words', () => {
    expect(parseWord('b', ['a', 'b'])).toBe('b');
    expect(() => parseWord('c', ['a', 'b'])).toThrow('"c" is not one of a, b');
  });
});
