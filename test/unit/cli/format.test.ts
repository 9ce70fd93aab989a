import { describe, expect, test } from 'vitest';
import { humanBytes, humanTime, printable, renderTable } from '../../../src/cli/format.js';

test.each([
  [0, '0 B'],
  [999, '999 B'],
  [1000, '1.0 KiB'],
  [1024, '1.0 KiB'],
  [10_189, '10 KiB'],
  [1024 * 999, '999 KiB'],
  [1024 * 1024 - 1, '1.0 MiB'],
  [1.5 * 1024 ** 3, '1.5 GiB'],
  [1024 ** 5 * 5000, '5000 PiB'],
])('%d bytes', (bytes, text) => {
  expect(humanBytes(bytes)).toBe(text);
});

test.each([
  [-5, '0ms'],
  [999.9, '999ms'],
  [1000, '1s'],
  [59_999, '59s'],
  [60_000, '1m00s'],
  [3_599_999, '59m59s'],
  [3_600_000, '1h00m'],
  [86_399_999, '23h59m'],
  [273_600_000, '3d04h'],
])('%d ms', (milliseconds, text) => {
  expect(humanTime(milliseconds)).toBe(text);
});

describe('tables', () => {
  test('columns are aligned, without borders or trailing blanks', () => {
    expect(
      renderTable(
        [{ head: 'NAME' }, { head: 'N', align: 'right' }, { head: 'X' }],
        [
          ['a', '1', ''],
          ['longer', '1000', 'y'],
        ],
      ),
    ).toBe('NAME       N  X\na          1\nlonger  1000  y\n');
  });
  test('wide texts are wrapped where a width is given', () => {
    expect(renderTable([{ head: 'A', width: 6 }], [['one two three']])).toBe('A\none\ntwo\nthree\n');
  });
  test('control characters are shown, letters of all scripts stay', () => {
    expect(printable('ä日\u0000\u202e')).toBe('ä日\\u{0}\\u{202e}');
  });
});
