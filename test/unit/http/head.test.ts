import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Fields, HTTP_1_0, HTTP_1_1, isHttp11 } from '../../../src/http/head.js';

const fields = Fields.from([
  ['Host', 'a'],
  ['Accept', 'x'],
  ['ACCEPT', 'y'],
  ['Set-Cookie', 'a=1, b'],
]);

describe('Fields', () => {
  test('keep order and case', () => {
    expect([...fields]).toEqual([
      ['Host', 'a'],
      ['Accept', 'x'],
      ['ACCEPT', 'y'],
      ['Set-Cookie', 'a=1, b'],
    ]);
    expect(fields.raw).toEqual(['Host', 'a', 'Accept', 'x', 'ACCEPT', 'y', 'Set-Cookie', 'a=1, b']);
    expect(fields.names).toEqual(['host', 'accept', 'accept', 'set-cookie']);
    expect(fields.size).toBe(4);
  });

  test('are found without regard to case', () => {
    expect(fields.get('accept')).toBe('x, y');
    expect(fields.get('aCCept')).toBe('x, y');
    expect(fields.all('Accept')).toEqual(['x', 'y']);
    expect(fields.count('accept')).toBe(2);
    expect(fields.has('HOST')).toBe(true);
    expect(fields.has('Hos')).toBe(false);
    expect(fields.get('toString')).toBeUndefined();
    expect(fields.all('nothing')).toEqual([]);
    expect(fields.count('nothing')).toBe(0);
  });

  test('an empty value is not a missing one', () => {
    const empty = Fields.from([['A', '']]);
    expect(empty.get('a')).toBe('');
    expect(empty.has('a')).toBe(true);
  });

  test('with() puts one in the place of the first, or at the end', () => {
    expect(fields.with('accept', 'z').raw).toEqual(['Host', 'a', 'accept', 'z', 'Set-Cookie', 'a=1, b']);
    expect(fields.with('Age', '1').raw.slice(-2)).toEqual(['Age', '1']);
    expect(fields.size).toBe(4);
  });

  test('append, concat, without, filter leave the old ones alone', () => {
    expect(fields.append('Host', 'b').all('host')).toEqual(['a', 'b']);
    expect(fields.concat(fields).size).toBe(8);
    expect(fields.concat(Fields.EMPTY)).toBe(fields);
    expect(fields.without('ACCEPT', 'host').raw).toEqual(['Set-Cookie', 'a=1, b']);
    expect(fields.without('nothing')).toBe(fields);
    expect(fields.filter((name, value) => name === 'accept' && value === 'y').raw).toEqual(['ACCEPT', 'y']);
    expect(fields.size).toBe(4);
  });

  test('laws: what is put in comes out, what is taken out is gone', () => {
    const name = fc.constantFrom('a', 'A', 'b', 'B', 'cc');
    const some = fc.array(fc.tuple(name, fc.string({ maxLength: 3 })), { maxLength: 8 });
    fc.assert(
      fc.property(some, name, fc.string({ maxLength: 3 }), (pairs, key, value) => {
        const made = Fields.from(pairs);
        expect([...made]).toEqual(pairs);
        expect(made.with(key, value).all(key)).toEqual([value]);
        expect(made.append(key, value).all(key)).toEqual([...made.all(key), value]);
        const less = made.without(key);
        expect(less.has(key)).toBe(false);
        expect(less.size + made.count(key)).toBe(made.size);
        expect(made.get(key)).toBe(made.has(key) ? made.all(key).join(', ') : undefined);
      }),
    );
  });
});

test('1.1 and later minor versions are treated as 1.1', () => {
  expect([HTTP_1_0, HTTP_1_1, { major: 1, minor: 2 }, { major: 2, minor: 1 }].map(isHttp11)).toEqual([
    false,
    true,
    true,
    false,
  ]);
});
