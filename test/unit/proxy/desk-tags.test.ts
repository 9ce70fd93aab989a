import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { variantName } from '../../../src/proxy/desk-variant.js';
import { tagsOf } from '../../../src/proxy/tags.js';

const NAMES = ['Surrogate-Key', 'Cache-Tag'];

describe('tags', () => {
  test.each<[value: string, tags: string[]]>([
    ['a b  c', ['a', 'b', 'c']],
    ['a,b , c', ['a', 'b', 'c']],
    ['\ta\t', ['a']],
    ['a a,a', ['a']],
    ['', []],
    [' , ', []],
    ['"a b", c', ['a b', 'c']],
    ['"a\\"b"', ['a"b']],
    ['"open a', ['"open', 'a']],
    ['x"y z"', ['x"y', 'z"']],
    ['""', []],
    ['caf\u00c3\u00a9', ['caf\u00e9']],
    ['caf\u00e9', ['caf\u00e9']],
  ])('of %j are %j', (value, tags) => {
    expect(tagsOf(['Surrogate-Key', value], NAMES)).toEqual({ tags, left: 0 });
  });

  test('come from every field with one of the names', () => {
    const fields = ['SURROGATE-KEY', 'a', 'X', 'b', 'cache-tag', 'c', 'Cache-Tag', 'a d'];
    expect(tagsOf(fields, NAMES).tags).toEqual(['a', 'c', 'd']);
    expect(tagsOf(fields, [])).toEqual({ tags: [], left: 0 });
  });

  test('that are too long or too many are left out, and counted', () => {
    const long = 'x'.repeat(1025);
    expect(tagsOf(['Cache-Tag', `a ${long} b`], NAMES)).toEqual({ tags: ['a', 'b'], left: 1 });
    const many = Array.from({ length: 10_000 }, (_, i) => `tag-${i}`);
    const { tags, left } = tagsOf(['Cache-Tag', many.join(' ')], NAMES);
    expect(tags.length + left).toBe(10_000);
    expect(Buffer.byteLength(tags.map((tag) => `${tag}\n`).join(''))).toBeLessThanOrEqual(16 * 1024);
    expect(tags.length).toBeGreaterThan(1500);
  });

  test('whatever comes off the wire, none is empty, has a line feed or comes twice', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: fc.constantFrom('a', ' ', ',', '"', '\\', '\t', '\n', '\u00e9') })),
        (values) => {
          const { tags } = tagsOf(
            values.flatMap((value) => ['Cache-Tag', value]),
            NAMES,
          );
          expect(new Set(tags).size).toBe(tags.length);
          for (const tag of tags) expect(tag).not.toBe('');
        },
      ),
    );
  });
});

describe('names of variants', () => {
  const policy = { codings: undefined, languages: undefined, selectByContentLanguage: true };

  test('are the same for one question, whatever its spelling', () => {
    expect(variantName({}, policy)).toBe('');
    const name = variantName({ 'accept-encoding': 'gzip, br', accept: null }, policy);
    expect(variantName({ accept: null, 'accept-encoding': 'gzip,br' }, policy)).toBe(name);
    for (const other of [
      { 'accept-encoding': 'gzip, br', accept: '' },
      { 'accept-encoding': 'gzip, br' },
      { accept: null },
    ]) {
      expect(variantName(other, policy)).not.toBe(name);
    }
  });

  test('stay short', () => {
    const name = variantName({ cookie: 'x'.repeat(5000) }, policy);
    expect(name.length).toBeLessThan(100);
    expect(variantName({ cookie: 'x'.repeat(5001) }, policy)).not.toBe(name);
  });
});
