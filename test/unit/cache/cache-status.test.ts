import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type CacheStatus, formatCacheStatus, withCacheStatus } from '../../../src/cache/cache-status.js';
import { parseDictionary } from '../../../src/cache/structured.js';
import { fields } from './build.js';

describe('RFC 9211: Cache-Status', () => {
  test.each<[CacheStatus, string]>([
    [{}, 'c; hit'],
    [{ ttl: 1999 }, 'c; hit; ttl=1'],
    [{ ttl: -1, detail: 'max-stale' }, 'c; hit; ttl=-1; detail=max-stale'],
    [{ forward: 'uri-miss', stored: true }, 'c; fwd=uri-miss; stored'],
    [{ forward: 'uri-miss', stored: false, detail: 'no-store' }, 'c; fwd=uri-miss; detail=no-store'],
    [
      { forward: 'stale', forwardStatus: 304, stored: true, collapsed: true, ttl: 60_000 },
      'c; fwd=stale; fwd-status=304; stored; collapsed; ttl=60',
    ],
    [{ generated: true, detail: 'two words' }, 'c; detail="two words"'],
    [{ key: 'http://a/"\\\n' }, 'c; hit; key="http://a/\\"\\\\?"'],
  ])('%j', (status, expected) => {
    expect(formatCacheStatus('c', status)).toBe(expected);
  });

  test('each cache adds a member', () => {
    const before = fields({ 'Cache-Status': ['origin; hit', 'cdn; fwd=miss'], Other: '1' });
    expect([...withCacheStatus(before, 'My Cache', {})]).toEqual([
      ['Cache-Status', 'origin; hit, cdn; fwd=miss, "My Cache"; hit'],
      ['Other', '1'],
    ]);
  });

  test('whatever key and detail are, it can be parsed', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (key, detail) => {
        const status = formatCacheStatus('c', { key, detail });
        // One member of a list with parameters has the syntax of a dictionary member without a value.
        expect(parseDictionary(status)?.get('c')).toEqual({ type: 'boolean', value: true });
      }),
    );
  });
});
