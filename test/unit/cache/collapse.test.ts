import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Collapse, DEFAULT_COLLAPSE_LIMITS, type Release } from '../../../src/cache/collapse.js';
import { grownBy } from '../../support/heap.js';

const LIMITS = {
  ...DEFAULT_COLLAPSE_LIMITS,
  mostWaiting: 3,
  longestWait: 100,
  passFor: 1000,
  mostPasses: 2,
  mostPassCharacters: 40,
  mostLeaders: 2,
};
const NOBODY: Release<number> = { reuse: [], pass: [], lead: undefined };

/** One leads (0), the others wait. */
function crowd(followers: number): Collapse<number> {
  const collapse = new Collapse<number>(LIMITS);
  expect(collapse.arrive('k', 0, 0)).toBe('lead');
  for (let id = 1; id <= followers; id++) expect(collapse.arrive('k', id, id)).toBe('wait');
  return collapse;
}

describe('one question, one fetch', () => {
  test('an answer that can be shared is shared', () => {
    const collapse = crowd(3);
    expect(collapse.answered('k', 0, 'shared', 9)).toEqual({ ...NOBODY, reuse: [1, 2, 3] });
    expect([collapse.size, collapse.waiting]).toEqual([0, 0]);
    expect(collapse.arrive('k', 4, 9)).toBe('lead');
  });

  test('an answer that cannot releases all at once, and nobody waits for a while', () => {
    const collapse = crowd(2);
    expect(collapse.answered('k', 0, 'pass', 10)).toEqual({ ...NOBODY, pass: [1, 2] });
    expect(collapse.arrive('k', 3, 1009)).toBe('pass');
    expect(collapse.arrive('other', 4, 1009)).toBe('lead');
    expect(collapse.arrive('k', 5, 1010)).toBe('lead');
  });

  test('an error releases all and is not remembered', () => {
    const collapse = crowd(2);
    expect(collapse.answered('k', 0, 'pass-once', 10)).toEqual({ ...NOBODY, pass: [1, 2] });
    expect(collapse.arrive('k', 3, 11)).toBe('lead');
  });

  test('what is not shared is remembered for so many keys, and so many characters of them', () => {
    const passes = (...keys: string[]): string[] => {
      const collapse = new Collapse<number>({ ...LIMITS, mostPasses: 3 });
      for (const key of keys) {
        collapse.arrive(key, 1, 0);
        collapse.answered(key, 1, 'pass', 0);
      }
      return keys.filter((key) => collapse.arrive(key, 2, 1) === 'pass');
    };
    expect(passes('a', 'b', 'c', 'd')).toEqual(['b', 'c', 'd']);
    const [long, longer] = ['l'.repeat(20), 'm'.repeat(21)];
    expect(passes('a', long, longer)).toEqual([longer]);
    expect(passes(long, 'a', 'b')).toEqual([long, 'a', 'b']);
    expect(passes('x'.repeat(41))).toEqual([]);
  });

  test('a key that is remembered holds its own characters, and nothing of the request', () => {
    const collapse = new Collapse<number>();
    const kept = grownBy(() => {
      for (let i = 0; i < 2000; i++) {
        const head = Buffer.alloc(30_000, `GET http://example.org/${i} `).toString('latin1');
        const key = head.slice(4, 30);
        collapse.arrive(key, i, 0);
        collapse.answered(key, i, 'pass', 0);
      }
    });
    expect(kept).toBeLessThan(4 * 1024 * 1024);
  });

  test('all keys of a URI are forgotten at once', () => {
    const collapse = new Collapse<number>({ ...LIMITS, mostPasses: 10, mostPassCharacters: 1000 });
    const keys = ['/a', '/a [1]', '/a [2]', '/ab [1]', '/b [1]'];
    for (const key of keys) {
      collapse.arrive(key, 1, 0);
      collapse.answered(key, 1, 'pass', 0);
    }
    collapse.forgetFamily('/a');
    expect(keys.filter((key) => collapse.arrive(key, 2, 1) === 'pass')).toEqual(['/a', '/ab [1]', '/b [1]']);
    // What has ended by itself is not there either.
    collapse.expire(5000);
    collapse.forgetFamily('/b');
    expect(collapse.arrive('/b [1]', 3, 5000)).toBe('lead');
  });

  test('one who passed and could share ends the passing; so does a purge', () => {
    for (const end of [
      (c: Collapse<number>) => c.answered('k', 7, 'shared', 20),
      (c: Collapse<number>) => c.forget('k'),
    ]) {
      const collapse = crowd(0);
      collapse.answered('k', 0, 'pass', 10);
      end(collapse);
      expect(collapse.arrive('k', 8, 21)).toBe('lead');
    }
  });

  test('where the fault is the leader’s, another leads, but not for ever', () => {
    const collapse = crowd(3);
    expect(collapse.answered('k', 0, 'again', 10)).toEqual({ ...NOBODY, lead: 1 });
    expect(collapse.failed('k', 1)).toEqual({ ...NOBODY, pass: [2, 3] });
  });

  test('a leader that fails with nobody waiting', () => {
    const collapse = crowd(0);
    expect(collapse.failed('k', 0)).toEqual(NOBODY);
    expect(collapse.size).toBe(0);
  });

  test('who does not lead changes nothing', () => {
    const collapse = crowd(1);
    expect(collapse.answered('k', 1, 'pass', 5)).toEqual(NOBODY);
    expect(collapse.failed('k', 1)).toEqual(NOBODY);
    expect(collapse.failed('other', 1)).toEqual(NOBODY);
    expect(collapse.waiting).toBe(1);
  });

  test('limits: how many wait, how long, and how many keys are remembered', () => {
    const collapse = crowd(3);
    expect(collapse.arrive('k', 4, 5)).toBe('pass');
    expect(collapse.expire(100)).toEqual([]);
    expect(collapse.expire(102)).toEqual([1, 2]);
    collapse.left('k', 3);
    expect(collapse.waiting).toBe(0);
    for (const key of ['a', 'b', 'c']) {
      collapse.arrive(key, 9, 200);
      collapse.answered(key, 9, 'pass', 200);
    }
    expect(['a', 'b', 'c'].map((key) => collapse.arrive(key, 10, 201))).toEqual(['lead', 'pass', 'pass']);
  });

  test('a validation in the background is made once', () => {
    const collapse = crowd(0);
    expect(collapse.tryLead('k', 1)).toBe(false);
    collapse.answered('k', 0, 'shared', 1);
    expect(collapse.tryLead('k', 2)).toBe(true);
    expect(collapse.arrive('k', 3, 2)).toBe('wait');
  });
});

test('nobody is forgotten, told twice, or led by two', () => {
  const step = fc.record({
    do: fc.constantFrom('arrive', 'shared', 'pass', 'pass-once', 'again', 'failed', 'left', 'expire'),
    key: fc.constantFrom('a', 'b'),
    pick: fc.nat(),
  } as const);
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const collapse = new Collapse<number>(LIMITS);
      const leaders = new Map<string, number>();
      const waiting = new Map<number, string>();
      let now = 0;
      const told = (id: number): void => {
        expect(waiting.delete(id)).toBe(true);
      };
      for (const { do: what, key, pick } of steps) {
        now += 7;
        const leader = leaders.get(key);
        if (what === 'arrive') {
          const role = collapse.arrive(key, now, now);
          if (role === 'wait') waiting.set(now, key);
          if (role !== 'lead') continue;
          expect(leader).toBeUndefined();
          leaders.set(key, now);
        } else if (what === 'left') {
          const ids = [...waiting.keys()];
          const id = ids[pick % Math.max(1, ids.length)];
          if (id === undefined) continue;
          collapse.left(waiting.get(id) ?? '', id);
          told(id);
        } else if (what === 'expire') {
          collapse.expire(now).forEach(told);
        } else if (leader !== undefined) {
          const release = what === 'failed' ? collapse.failed(key, leader) : collapse.answered(key, leader, what, now);
          [...release.reuse, ...release.pass].forEach(told);
          leaders.delete(key);
          if (release.lead !== undefined) {
            expect(waiting.get(release.lead)).toBe(key);
            told(release.lead);
            leaders.set(key, release.lead);
          } else {
            expect([...waiting.values()]).not.toContain(key);
          }
        }
        expect(collapse.waiting).toBe(waiting.size);
        expect(collapse.size).toBe(leaders.size);
      }
    }),
  );
});
