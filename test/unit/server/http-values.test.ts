import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatSize, parseLifetime, parseSize } from '../../../src/server/config-values.js';
import { matcherOf, namePattern, pathMatcher } from '../../../src/server/http-patterns.js';
import { formatOrigin, parseHostPattern, parseOriginUrl } from '../../../src/server/http-values.js';

test('sizes: the shortest text is read back as the same size', () => {
  fc.assert(fc.property(fc.maxSafeNat(), (bytes) => parseSize(formatSize(bytes)) === bytes));
  expect([0, 1000, 1024, 1536, 2 ** 30, 3 * 2 ** 40].map(formatSize)).toEqual(['0', '1000', '1k', '1536', '1g', '3t']);
  expect(['1k', '1K', '1kb', '1KiB', '1 k', 1024, '1024'].map((text) => parseSize(text))).toEqual(Array(7).fill(1024));
  for (const wrong of ['', 'k', '-1', '1e3', '1kk', '9999999t', null, true, [1]])
    expect(() => parseSize(wrong)).toThrow(/size/);
});

test('lifetimes may be longer than any timer', () => {
  expect(parseLifetime('365d')).toBe(365 * 86_400_000);
  expect(() => parseLifetime('3651d')).toThrow(/too long/);
});

test('a pattern matches as the regular expression that it stands for', () => {
  const letters = fc.array(fc.constantFrom('a', 'b', '.'), { maxLength: 8 }).map((each) => each.join(''));
  const pattern = fc.array(fc.constantFrom('a', 'b', '.', '*'), { maxLength: 6 }).map((each) => each.join(''));
  fc.assert(
    fc.property(pattern, letters, (wild, text) => {
      const regular = new RegExp(`^${wild.replaceAll('.', '\\.').replaceAll('*', '.*')}$`);
      expect(matcherOf(wild)(text)).toBe(regular.test(text));
    }),
    { numRuns: 2000 },
  );
});

test('a pattern that would take an engine for regular expressions for ever', () => {
  expect(matcherOf(`${'*a'.repeat(5000)}b`)('a'.repeat(100_000))).toBe(false);
});

test('paths: a slash at the end stands for everything below', () => {
  const admin = pathMatcher('/admin/');
  expect(['/admin/', '/admin/x/y', '/admin', '/x/admin/'].map(admin)).toEqual([true, true, false, false]);
  expect(pathMatcher('/cart')('/cart/x')).toBe(false);
  expect(pathMatcher('*.php')('/a/b.php')).toBe(true);
});

test('names with and without a value', () => {
  const { name, value } = namePattern('role=admin*=x');
  expect([name('role'), name('roles'), value?.('admin1=x'), value?.('admin')]).toEqual([true, false, true, false]);
  expect(namePattern('wp_*').value).toBeUndefined();
});

test('URLs of origins are read back', () => {
  for (const url of ['http://10.0.0.5:3000', 'https://[fd00::1]:443', 'http://name.example:80']) {
    expect(formatOrigin(parseOriginUrl(url))).toBe(url);
  }
});

test('hosts have the form that Host fields are read to', () => {
  expect(['WWW.Example.com.', '*.Example.com', '[FD00:0::1]', '127.0.0.1'].map(parseHostPattern)).toEqual([
    'www.example.com',
    '*.example.com',
    '[fd00::1]',
    '127.0.0.1',
  ]);
  for (const wrong of ['*', 'a.*', 'a b', 'a:80', '', null, 'http://a'])
    expect(() => parseHostPattern(wrong)).toThrow();
});
