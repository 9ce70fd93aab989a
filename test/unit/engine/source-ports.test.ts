/** Source ports lie where the kernel gives none out. */
import { describe, expect, test } from 'vitest';
import { choosePorts, parseReservedPorts, readSourcePorts, sharedPort } from '../../../src/engine/source-ports.js';

describe('reserved ports', () => {
  test('as the kernel writes them', () => {
    expect(parseReservedPorts('')).toEqual([]);
    expect(parseReservedPorts('8080,61000-61999')).toEqual([
      [8080, 8080],
      [61000, 61999],
    ]);
  });
});

describe('a port that the kernel may give to anybody', () => {
  test.each([
    [[61000, 65535], [], undefined],
    [[60999, 65535], [], 60999],
    [[30000, 32767], [], undefined],
    [[30000, 32768], [], 32768],
    [[40000, 40100], [[40000, 40100]], undefined],
    [[40000, 40100], [[40000, 40099]], 40100],
    [
      [40000, 40100],
      [
        [40050, 40100],
        [40000, 40048],
      ],
      40049,
    ],
    [
      [40000, 40100],
      [
        [40050, 40100],
        [40000, 40049],
      ],
      undefined,
    ],
  ] as const)('%j, reserved %j: %s', (range, reserved, port) => {
    expect(sharedPort(range, [32768, 60999], reserved)).toBe(port);
  });
});

describe('auto', () => {
  test('the gap above, where it is large enough', () => {
    expect(choosePorts('auto', [32768, 60999])).toEqual({ range: [61000, 65535] });
    expect(choosePorts('auto', [32768, 61535])).toEqual({ range: [61536, 65535] });
  });
  test('else the one below, no further down than services reach', () => {
    expect(choosePorts('auto', [32768, 61536])).toEqual({ range: [12768, 32767] });
    expect(choosePorts('auto', [10000, 65535])).toEqual({ range: [1024, 9999] });
  });
  test('or the larger of two small ones', () => {
    expect(choosePorts('auto', [1025, 65000])).toEqual({ range: [65001, 65535] });
  });
  test('none: what to do', () => {
    expect(choosePorts('auto', [1024, 65535])).toEqual({
      problem: expect.stringMatching(/\(1024-65535\): narrow it, as in sysctl -w/) as string,
    });
  });
});

describe('asked for', () => {
  test('taken as it is where the kernel leaves it alone', () => {
    expect(choosePorts([61000, 61001], [32768, 60999])).toEqual({ range: [61000, 61001] });
    expect(choosePorts([40000, 40009], [32768, 60999], [[40000, 40009]])).toEqual({ range: [40000, 40009] });
  });
  test.each([
    ['within', [40000, 40009], [], 40000, '40000-40009'],
    ['at one end', [60990, 61999], [], 60990, '60990-60999'],
    ['around', [32000, 61999], [], 32768, '32768-60999'],
    ['in one port', [60999, 61999], [], 60999, '60999'],
    // The command replaces the setting.
    [
      'beside what is reserved',
      [60990, 61999],
      [
        [8080, 8080],
        [60990, 60994],
      ],
      60995,
      '8080,60990-60994,60990-60999',
    ],
  ] as const)('refused where not, with the command that helps: %s', (_, asked, reserved, shared, reserve) => {
    expect(choosePorts(asked, [32768, 60999], reserved)).toEqual({
      problem:
        `source ports ${asked[0]}-${asked[1]} overlap net.ipv4.ip_local_port_range (32768-60999): ` +
        `the kernel gives ${shared} to others as well; name ports outside of it, ` +
        `or reserve them: sysctl -w net.ipv4.ip_local_reserved_ports=${reserve}`,
    });
  });
});

test('this machine has an answer', () => {
  expect(Object.keys(readSourcePorts('auto'))).toHaveLength(1);
});
