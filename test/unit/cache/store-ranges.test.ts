/** Range sets against sets of single bytes. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { covers, missing, sizeOf, unite, type ByteRange, type RangeSet } from '../../../src/cache/store/ranges.js';

const range = fc.tuple(fc.nat(40), fc.nat(12)).map(([start, length]): ByteRange => ({ start, end: start + length }));

function bytesOf(set: RangeSet): number[] {
  return set.flatMap(({ start, end }) => Array.from({ length: end - start }, (_, i) => start + i));
}

test('a union holds each byte once, in order, in as few ranges as can be', () => {
  fc.assert(
    fc.property(fc.array(range), range, (ranges, asked) => {
      const set = ranges.reduce<RangeSet>(unite, []);
      const wanted = [...new Set(bytesOf(ranges))].sort((a, b) => a - b);
      expect(bytesOf(set)).toEqual(wanted);
      expect(sizeOf(set)).toBe(wanted.length);
      set.forEach((each, i) => {
        expect(each.start).toBeLessThan(each.end);
        if (i > 0) expect(each.start).toBeGreaterThan(set[i - 1]?.end ?? Infinity);
      });
      const absent = bytesOf([asked]).filter((byte) => !wanted.includes(byte));
      expect(bytesOf(missing(set, asked))).toEqual(absent);
      expect(covers(set, asked)).toBe(absent.length === 0);
    }),
  );
});
