import { describe, expect, test } from 'vitest';
import { invalidatedUris, isSafe, resolveReference } from '../../../src/cache/invalidate.js';
import { DEFAULT_KEY_POLICY, type KeyPolicy, cacheKey, keyUri } from '../../../src/cache/key.js';
import { type Lines, URI, fields, response } from './build.js';

describe('RFC 9111 section 2: the primary key', () => {
  const base = 'http://h/p';
  test.each<[string, string, Partial<KeyPolicy>, string]>([
    ['the URI as it is', '?b=2&a=1&utm_x=3', {}, '?b=2&a=1&utm_x=3'],
    ['sorted', '?b=2&a=2&a=1', { sortParameters: true }, '?a=2&a=1&b=2'],
    ['without some parameters', '?utm_x=3&b=2&fbclid&c', { ignoreParameters: ['utm_*', 'fbclid'] }, '?b=2&c'],
    ['without all that there are', '?utm_x=3', { ignoreParameters: ['utm_*'] }, ''],
    ['an empty query stays', '?', { ignoreParameters: ['a'] }, '?'],
    ['without the query', '?a=1', { ignoreParameters: 'all' }, ''],
    ['no query', '', { ignoreParameters: ['a'], sortParameters: true }, ''],
  ])('%s', (_, query, changes, expected) => {
    expect(keyUri(base + query, { ...DEFAULT_KEY_POLICY, ...changes })).toBe(base + expected);
  });

  test('fields and cookies tell requests apart, absent ones included', () => {
    const how = { ...DEFAULT_KEY_POLICY, fields: ['X-Device'], cookies: ['lang'] };
    const variants: Lines[] = [
      {},
      { 'X-Device': '' },
      { 'X-Device': 'tv' },
      { Cookie: 'lang=de' },
      { Cookie: 'a=1; lang=en' },
      { Cookie: 'lang=' },
    ];
    const keys = variants.map((lines) => cacheKey(URI, fields(lines), how));
    expect(new Set(keys).size).toBe(variants.length);
    expect(keys.every((key) => key.startsWith(`${URI} `))).toBe(true);
    expect(cacheKey(URI, fields({ cookie: 'x=1; lang=de', 'x-other': '1' }), how)).toBe(keys[3]);
    expect(cacheKey(URI, fields({ 'X-Device': 'tv' }))).toBe(URI);
  });
});

describe('RFC 9111 section 4.4: invalidation', () => {
  test.each<[string, string, number, Lines, string[]]>([
    ['POST', 'POST', 200, {}, [URI]],
    ['a method nobody knows', 'M-SEARCH', 204, {}, [URI]],
    ['a redirect', 'POST', 303, { Location: '/b' }, [URI, 'http://example.org/b']],
    ['an error', 'POST', 500, { Location: '/b' }, []],
    ['a client error', 'DELETE', 404, {}, []],
    ['GET', 'GET', 200, { Location: '/b' }, []],
    [
      'both locations',
      'PUT',
      201,
      { Location: 'b?x', 'Content-Location': 'http://example.org:80/c' },
      [URI, 'http://example.org/b?x', 'http://example.org/c'],
    ],
    ['itself only once', 'PUT', 200, { 'Content-Location': '' }, [URI]],
    ['another host', 'POST', 200, { Location: 'http://example.com/b' }, [URI]],
    ['another port', 'POST', 200, { Location: 'http://example.org:81/b' }, [URI]],
    ['another scheme', 'POST', 200, { Location: 'https://example.org/b' }, [URI]],
    ['without its scheme', 'POST', 200, { Location: '//example.org/b' }, [URI, 'http://example.org/b']],
    ['no URI at all', 'POST', 200, { Location: 'http://[' }, [URI]],
    ['a URI of another kind', 'POST', 200, { Location: 'mailto:a@example.org' }, [URI]],
  ])('%s', (_, method, status, lines, expected) => {
    expect(invalidatedUris(method, URI, response(lines, status))).toEqual(expected);
  });

  test('a reference keeps the spelling that a request would have', () => {
    expect(resolveReference('/%7euser/a;b|c?d=%2f', URI)).toBe('http://example.org/%7Euser/a;b|c?d=%2F');
  });

  test.each(['GET', 'HEAD', 'OPTIONS', 'TRACE'])('%s is safe', (method) => expect(isSafe(method)).toBe(true));
});
