/** For tests of parsers: what came out must not depend on how the bytes were cut. */
import fc from 'fast-check';

export function latin1(text: string): Uint8Array {
  return Uint8Array.from(text, (c) => c.charCodeAt(0));
}

/** `input` cut at the marks, whatever their order; pieces may be empty. */
export function cut(input: Uint8Array, marks: readonly number[]): Uint8Array[] {
  const at = marks.map((mark) => mark % (input.length + 1)).sort((a, b) => a - b);
  return [...at, input.length].map((end, i) => input.slice(i === 0 ? 0 : at[i - 1], end));
}

export const marks: fc.Arbitrary<number[]> = fc.array(fc.nat(4000), { maxLength: 12 });

/** Text made mostly of `words`, so that it is often nearly right. */
export function almost(words: readonly string[], maxLength: number): fc.Arbitrary<string> {
  const odd = fc.constantFrom(
    '\r',
    '\n',
    '\r\n',
    ' ',
    '\t',
    '\0',
    ':',
    ',',
    ';',
    '\x80',
    '\x7f',
    '\x0b',
    '0',
    'x',
    '#',
  );
  return fc
    .array(
      fc.oneof(
        { weight: 12, arbitrary: fc.constantFrom(...words) },
        { weight: 1, arbitrary: odd },
        { weight: 1, arbitrary: fc.string({ unit: 'binary-ascii', maxLength: 3 }) },
      ),
      { maxLength },
    )
    .map((parts) => parts.join(''));
}
