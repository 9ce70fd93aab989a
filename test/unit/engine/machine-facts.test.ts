import { describe, expect, test } from 'vitest';
import {
  atLeast,
  fullSizePipes,
  hasCapability,
  parseCount,
  parseEffectiveCapabilities,
  parseKernelVersion,
  parseOpenFileLimits,
  parsePortRange,
  readText,
} from '../../../src/engine/machine-facts.js';

describe('capabilities', () => {
  const status =
    'Name:\tnode\nCapInh:\t0000000000000000\nCapPrm:\t0000000000003000\nCapEff:\t000001fffeffffff\nCapBnd:\t0\n';

  test('the effective set is taken, not the permitted one', () => {
    expect(parseEffectiveCapabilities(status)).toBe(0x1fffeffffffn);
  });

  test('bits beyond 32 count', () => {
    const set = parseEffectiveCapabilities(status)!;
    expect(hasCapability(set, 'CAP_BPF')).toBe(true);
    expect(hasCapability(set, 'CAP_PERFMON')).toBe(true);
    expect(hasCapability(set, 'CAP_SYS_RESOURCE')).toBe(false);
    expect(hasCapability(1n << 39n, 'CAP_PERFMON')).toBe(false);
  });

  test('a text without the line gives nothing', () => {
    expect(parseEffectiveCapabilities('Name:\tnode\n')).toBeUndefined();
    expect(parseEffectiveCapabilities('CapEff:\tzz\n')).toBeUndefined();
  });
});

describe('kernel version', () => {
  test.each([
    ['6.18.44-fc', [6, 18]],
    ['5.15.0-91-generic', [5, 15]],
    ['6.1.0-18-amd64', [6, 1]],
    ['6.6+', [6, 6]],
  ])('%s', (release, version) => expect(parseKernelVersion(release)).toEqual(version));

  test('no number, no version', () => expect(parseKernelVersion('linux')).toBeUndefined());

  test('minor versions compare as numbers', () => {
    expect(atLeast([6, 18], 6, 6)).toBe(true);
    expect(atLeast([6, 6], 6, 16)).toBe(false);
    expect(atLeast([7, 0], 6, 16)).toBe(true);
    expect(atLeast([5, 15], 6, 6)).toBe(false);
    expect(atLeast([6, 6], 6, 6)).toBe(true);
  });
});

describe('limits', () => {
  const limits =
    'Limit                     Soft Limit           Hard Limit           Units     \nMax open files            1024                 524288               files     \n';

  test('open files', () => {
    expect(parseOpenFileLimits(limits)).toEqual([1024, 524288]);
    expect(parseOpenFileLimits(limits.replace('524288', 'unlimited'))).toEqual([1024, Infinity]);
    expect(parseOpenFileLimits('Max cpu time  1 2 s')).toBeUndefined();
  });

  test('single numbers', () => {
    expect(parseCount('16384')).toBe(16384);
    expect(parseCount('')).toBeUndefined();
    expect(parseCount('1 2')).toBeUndefined();
  });

  test('port range', () => {
    expect(parsePortRange('32768\t60999')).toEqual([32768, 60999]);
    expect(parsePortRange('32768')).toBeUndefined();
  });

  test('pipes of full size: pages of a user over pages of a pipe, 0 for no limit', () => {
    expect(fullSizePipes(16384, 64 * 1024)).toBe(1024);
    expect(fullSizePipes(16384, 1024 * 1024)).toBe(64);
    expect(fullSizePipes(0, 1024)).toBe(Infinity);
  });
});

test('a file that is not there gives its name and the errno', () => {
  expect(readText('/proc/no-such-file')).toEqual({ problem: '/proc/no-such-file: ENOENT' });
});
