import { describe, expect, test } from 'vitest';
import {
  NO_REQUEST_DIRECTIVES,
  type RequestDirectives,
  readRequestDirectives,
} from '../../../src/cache/cache-control.js';
import type { CachePolicy, StalePolicy } from '../../../src/cache/policy.js';
import { type Reuse, judgeReuse } from '../../../src/cache/reuse.js';
import type { StoredRecord } from '../../../src/cache/stored.js';
import { SECOND, T0, policy, stored } from './build.js';

interface How {
  readonly asked?: string;
  readonly record?: Partial<StoredRecord>;
  readonly stale?: Partial<StalePolicy>;
}

/** A response that lives 60 seconds unless `control` says otherwise, `after` so many. */
function judge(control: string, after: number, how: How = {}): Reuse {
  const asked: RequestDirectives =
    how.asked === undefined ? NO_REQUEST_DIRECTIVES : readRequestDirectives(how.asked, undefined);
  const rules: CachePolicy = policy({ stale: { ...policy().stale, ...how.stale } });
  const kept = stored({ 'Cache-Control': control, ETag: '"a"' }, { record: how.record ?? {}, policy: rules });
  return judgeReuse(kept, asked, T0 + after * SECOND, rules);
}

function verdict(reuse: Reuse): string {
  return reuse.kind === 'fresh' ? 'fresh' : `${reuse.kind} ${reuse.why}`;
}

describe('RFC 9111 section 4: reuse', () => {
  test.each<[string, string, number, How, string]>([
    ['fresh', 'max-age=60', 59, {}, 'fresh'],
    ['the very moment it ends', 'max-age=60', 60, {}, 'validate stale'],
    ['stale', 'max-age=60', 61, {}, 'validate stale'],
    ['5.2.2.4 no-cache', 'max-age=60, no-cache', 0, {}, 'validate no-cache'],
    ['no-cache for fields only', 'max-age=60, no-cache="a"', 0, {}, 'fresh'],
    ['4.4 invalidated', 'max-age=60', 0, { record: { invalid: true } }, 'validate invalid'],
    ['purged softly', 'max-age=60', 0, { record: { staleSince: T0 } }, 'validate stale'],
    ['5.2.1.4 the client: no-cache', 'max-age=60', 1, { asked: 'no-cache' }, 'validate request'],
    ['5.2.1.1 the client: max-age=0', 'max-age=60', 1, { asked: 'max-age=0' }, 'validate request'],
    ['old enough', 'max-age=60', 5, { asked: 'max-age=5' }, 'fresh'],
    ['too old', 'max-age=60', 6, { asked: 'max-age=5' }, 'validate request'],
    ['5.2.1.3 min-fresh', 'max-age=60', 10, { asked: 'min-fresh=50' }, 'fresh'],
    ['not fresh for long enough', 'max-age=60', 11, { asked: 'min-fresh=50' }, 'validate request'],
    ['5.2.1.5 no-store is about storing', 'max-age=60', 1, { asked: 'no-store' }, 'fresh'],
    ['5.2.1.2 max-stale', 'max-age=60', 70, { asked: 'max-stale=10' }, 'stale max-stale'],
    ['too stale', 'max-age=60', 71, { asked: 'max-stale=10' }, 'validate stale'],
    ['max-stale without end', 'max-age=60', 99_999, { asked: 'max-stale' }, 'stale max-stale'],
    ['max-stale and max-age', 'max-age=60', 70, { asked: 'max-stale=10, max-age=5' }, 'validate request'],
    ['max-stale against must-revalidate', 'max-age=60, must-revalidate', 61, { asked: 'max-stale' }, 'validate stale'],
    ['against proxy-revalidate', 'max-age=60, proxy-revalidate', 61, { asked: 'max-stale' }, 'validate stale'],
    ['against s-maxage', 's-maxage=60', 61, { asked: 'max-stale' }, 'validate stale'],
    ['RFC 8246: a reload of what is immutable', 'max-age=60, immutable', 1, { asked: 'max-age=0' }, 'fresh'],
    ['insisting', 'max-age=60, immutable', 1, { asked: 'no-cache' }, 'validate request'],
    ['immutable and stale', 'max-age=60, immutable', 61, { asked: 'max-age=0' }, 'validate request'],
    ['RFC 5861 section 3', 'max-age=60, stale-while-revalidate=30', 89, {}, 'stale stale-while-revalidate'],
    ['behind its window', 'max-age=60, stale-while-revalidate=30', 90, {}, 'validate stale'],
    [
      'a client that wants it young',
      'max-age=60, stale-while-revalidate=30',
      61,
      { asked: 'max-age=100' },
      'validate stale',
    ],
    ['against must-revalidate', 'max-age=60, stale-while-revalidate=30, must-revalidate', 61, {}, 'validate stale'],
    ['against s-maxage', 's-maxage=60, stale-while-revalidate=30', 61, {}, 'validate stale'],
    [
      's-maxage, as the operator wants it',
      's-maxage=60, stale-while-revalidate=30',
      61,
      { stale: { namedBeatsSharedMaxAge: true } },
      'stale stale-while-revalidate',
    ],
    [
      'after a soft purge',
      'max-age=60, stale-while-revalidate=30',
      29,
      { record: { staleSince: T0 } },
      'stale stale-while-revalidate',
    ],
  ])('%s', (_, control, after, how, expected) => {
    expect(verdict(judge(control, after, how))).toBe(expected);
  });

  test('says how old it is and how long it has', () => {
    expect(judge('max-age=60', 20)).toEqual({ kind: 'fresh', age: 20 * SECOND, ttl: 40 * SECOND });
    expect(judge('max-age=60', 61)).toMatchObject({ age: 61 * SECOND, ttl: -SECOND });
  });
});

describe('RFC 9111 section 4.2.4, RFC 5861 section 4: until when, if the origin fails', () => {
  const stale = { whenDisconnected: 100 * SECOND, whenServerError: 5 * SECOND };
  test.each<[string, string, How, number, number]>([
    ['as the operator says', 'max-age=60', {}, 160, 65],
    ['stale-if-error', 'max-age=60, stale-if-error=30', {}, 160, 90],
    ['and a longer one', 'max-age=60, stale-if-error=300', {}, 360, 360],
    ['of 0: not on errors', 'max-age=60, stale-if-error=0', {}, 160, 60],
    ['of the client', 'max-age=60', { asked: 'stale-if-error=300' }, 360, 360],
    ['after a soft purge', 'max-age=60', { record: { staleSince: T0 + 10 * SECOND } }, 110, 15],
    ['must-revalidate', 'max-age=60, must-revalidate, stale-if-error=300', {}, -Infinity, -Infinity],
    ['proxy-revalidate', 'max-age=60, proxy-revalidate', {}, -Infinity, -Infinity],
    ['s-maxage', 's-maxage=60, stale-if-error=300', {}, -Infinity, -Infinity],
    ['no-cache', 'no-cache', {}, -Infinity, -Infinity],
    ['no-cache of the client', 'max-age=60', { asked: 'no-cache' }, -Infinity, -Infinity],
    ['invalidated', 'max-age=60', { record: { invalid: true } }, -Infinity, -Infinity],
  ])('%s', (_, control, how, disconnected, serverError) => {
    const reuse = judge(control, 62, { ...how, stale });
    if (reuse.kind !== 'validate') throw new Error(reuse.kind);
    expect((reuse.fallback.disconnected - T0) / SECOND).toBe(disconnected);
    expect((reuse.fallback.serverError - T0) / SECOND).toBe(serverError);
  });
});
