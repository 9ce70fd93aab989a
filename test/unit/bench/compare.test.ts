import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compareResults } from '../../../src/bench/compare.js';
import type { Results } from '../../../src/bench/model.js';
import { attainedLevel, rankTest } from '../../../src/bench/rank-test.js';
import { formatComparison, formatFactor } from '../../../src/bench/report/movement.js';
import { type Wishes, syntheticResults } from './fixture.js';

describe('rank test', () => {
  // From tables of the exact distribution: two-sided, 2 of C(n+m, n) for samples that lie apart.
  test.each([
    [[1, 2, 3, 4], [5, 6, 7, 8], 2 / 70],
    [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10], 2 / 252],
    [[1, 2, 3, 4, 6], [5, 7, 8, 9, 10], 4 / 252],
    [[1, 2, 3], [4, 5, 6], 2 / 20],
    [[1, 4], [2, 3], 1],
    [[1, 1, 1, 1], [1, 1, 1, 1], 1],
    [[1, 1, 1, 1], [2, 2, 2, 2], 2 / 70],
    [[], [1], 1],
  ])('%j and %j', (one, other, chance) => {
    expect(rankTest(one, other)).toBeCloseTo(chance, 12);
  });
  const sample = fc.array(fc.integer({ min: 0, max: 12 }), { minLength: 1, maxLength: 7 });
  test('is symmetric, between 0 and 1, and blind to the order and to what keeps it', () => {
    fc.assert(
      fc.property(sample, sample, (one, other) => {
        const chance = rankTest(one, other);
        expect(chance).toBeGreaterThan(0);
        expect(chance).toBeLessThanOrEqual(1);
        expect(rankTest(other, one)).toBeCloseTo(chance, 12);
        expect(rankTest([...one].reverse(), other)).toBe(chance);
        const stretch = (value: number): number => Math.exp(value / 3);
        expect(rankTest(one.map(stretch), other.map(stretch))).toBeCloseTo(chance, 12);
      }),
    );
  });
  test('a sample beside itself is no movement', () => {
    fc.assert(fc.property(sample, (one) => void expect(rankTest(one, one)).toBe(1)));
  });
  test('the level that is attained', () => {
    expect(attainedLevel(5, 5, 0.05)).toBeCloseTo(8 / 252, 12);
    expect(attainedLevel(4, 4, 0.05)).toBeCloseTo(2 / 70, 12);
    expect(attainedLevel(3, 3, 0.05)).toBe(0);
  });
});

const run = (wishes: Wishes = {}): Results => syntheticResults(wishes);
const slower = (by: number) => (contestant: string) => (contestant === 'ours-packet' ? by : 1);

describe('comparison', () => {
  const before = run();
  test('of a run with itself shows nothing', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1000 }),
        fc.integer({ min: 1, max: 5 }),
        fc.boolean(),
        (seed, repetitions, absolute) => {
          const same = run({ seed, repetitions });
          const comparison = compareResults(same, same, { absolute });
          expect(comparison.movements).toEqual([]);
          expect(comparison.differences).toEqual([]);
          expect(comparison.failures).toEqual([]);
          expect([...comparison.onlyBefore, ...comparison.onlyAfter]).toEqual([]);
          expect(comparison.compared).toBeGreaterThan(100);
        },
      ),
      { numRuns: 12 },
    );
  });
  test('swapped, shows the inverse', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 1000 }),
        fc.double({ min: 0.3, max: 3, noNaN: true }),
        fc.boolean(),
        (seed, by, absolute) => {
          const after = run({ seed, factor: slower(by) });
          const there = compareResults(before, after, { absolute });
          const back = compareResults(after, before, { absolute });
          const key = ({ figure, contestant, point, metric }: (typeof there.movements)[number]): string =>
            JSON.stringify([figure, contestant, point, metric]);
          expect(back.movements.map(key).sort()).toEqual(there.movements.map(key).sort());
          for (const movement of there.movements) {
            const inverse = back.movements.find((one) => key(one) === key(movement));
            expect(inverse?.factor).toBeCloseTo(1 / movement.factor, 9);
            expect(inverse?.better).toBe(!movement.better);
            expect(inverse?.apart).toBe(movement.apart);
            expect(inverse?.before).toEqual(movement.after);
          }
        },
      ),
      { numRuns: 12 },
    );
  });
  test('what moved is found, with its sense, the most first', () => {
    const { movements } = compareResults(before, run({ seed: 2, factor: slower(2) }));
    const trip = movements.find(
      ({ figure, contestant, metric }) => `${figure} ${contestant} ${metric}` === 'round-trip ours-packet p50us',
    );
    expect(trip).toMatchObject({ better: false, apart: true, relative: true });
    expect(trip?.factor).toBeGreaterThan(1.8);
    const rate = movements.find(({ figure, contestant }) => `${figure} ${contestant}` === 'throughput ours-packet');
    expect(rate?.better).toBe(true);
    const sizes = movements.map(({ factor }) => Math.abs(Math.log(factor)));
    expect(sizes).toEqual([...sizes].sort((a, b) => b - a));
    const others = movements.filter(({ contestant }) => contestant !== 'ours-packet');
    expect(others.length).toBeLessThan(movements.length / 3);
  });
  test('of two runs that differ by noise only shows about as much as chance would', () => {
    const comparison = compareResults(before, run({ seed: 2 }));
    expect(comparison.byChance).toBeGreaterThan(0);
    expect(comparison.movements.length).toBeLessThan(3 * comparison.byChance);
  });
  test('a machine twice as fast moves nothing but plain values', () => {
    const scaled = run({ factor: () => 2 });
    const relative = compareResults(before, scaled).movements;
    expect(relative.filter((movement) => movement.relative)).toEqual([]);
    const absolute = compareResults(before, scaled, { absolute: true }).movements;
    expect(absolute.every((movement) => !movement.relative)).toBe(true);
    expect(absolute.filter(({ figure }) => figure === 'round-trip')).toHaveLength(24);
  });
  test('where the router took no part, plain values are compared', () => {
    const { movements } = compareResults(before, run({ factor: slower(3) }));
    const cost = movements.filter(({ figure }) => figure === 'segment-cost');
    expect(cost).toHaveLength(8);
    expect(cost.every(({ relative }) => !relative)).toBe(true);
  });
  test('a single repetition cannot tell', () => {
    const [one, other] = [run({ repetitions: 1 }), run({ repetitions: 1, seed: 9, factor: slower(9) })];
    const comparison = compareResults(one, other);
    expect(comparison.movements).toEqual([]);
    expect(comparison.decidable).toBe(0);
    expect(formatComparison(comparison)).toContain('Nothing can be said');
  });
  test('with two or three repetitions, what is apart has moved', () => {
    const { movements } = compareResults(run({ repetitions: 3 }), run({ repetitions: 3, seed: 9, factor: slower(2) }));
    expect(movements.length).toBeGreaterThan(0);
    for (const movement of movements) {
      expect(movement.apart).toBe(true);
      expect(movement.chance).toBeUndefined();
    }
  });
  test('a stray repetition is no movement, and hides none', () => {
    const stray = (trials: Results['trials'][number][]) =>
      trials.map((trial) =>
        trial.rep === 1 && trial.contestant === 'dante'
          ? {
              ...trial,
              values: Object.fromEntries(Object.entries(trial.values).map(([id, value]) => [id, value * 50])),
            }
          : trial,
      );
    const noise = compareResults(before, run({ change: stray }));
    expect(noise.movements).toEqual([]);
    const halved = (name: string): number => (name === 'dante' ? 0.5 : 1);
    const moved = compareResults(run({ repetitions: 8 }), run({ repetitions: 8, change: stray, factor: halved }));
    const trip = moved.movements.find(({ figure, contestant }) => `${figure} ${contestant}` === 'round-trip dante');
    expect(trip?.apart).toBe(false);
    expect(trip?.factor).toBeCloseTo(0.5, 1);
  });
  test('from and to nothing', () => {
    const zero = run({ factor: slower(0) });
    const gone = compareResults(before, zero, { absolute: true }).movements.filter(
      ({ contestant }) => contestant === 'ours-packet',
    );
    expect(gone.length).toBeGreaterThan(0);
    for (const { factor } of gone) expect(factor).toBe(0);
    for (const { factor } of compareResults(zero, before, { absolute: true }).movements) expect(factor).toBe(Infinity);
    expect(gone.some(({ metric }) => metric === 'descriptorsPerFlow')).toBe(false);
  });
  test('what else differs is said', () => {
    const machine = { ...before.machine, kernel: '7.0', mitigations: { meltdown: 'Not affected' } };
    const contestants = before.contestants.map((one) => (one.name === 'dante' ? { ...one, version: '2.0' } : one));
    const after: Results = { ...before, machine, contestants, method: { ...before.method, seconds: 3 } };
    const { differences } = compareResults(before, after);
    expect(differences.map(({ what }) => what)).toEqual([
      'kernel',
      'mitigation spectre_v2',
      'seconds of a trial',
      'dante',
    ]);
    const text = formatComparison(compareResults(before, after));
    expect(text).toContain('kernel: Linux 6.99.0-synthetic x86_64 -> 7.0');
    expect(text).toContain('Nothing moved beyond noise.');
  });
  test('ours are meant to differ in version', () => {
    const contestants = before.contestants.map((one) => ({
      ...one,
      version: one.name.startsWith('ours-') ? '9' : one.version,
    }));
    expect(compareResults(before, { ...before, contestants }).differences).toEqual([]);
  });
  test('failures that come or go are shown, and so is who takes part in one run only', () => {
    const after = run({
      change: (all) =>
        all
          .filter(({ figure, contestant }) => !(figure === 'loss' && contestant === 'dante'))
          .map((trial) =>
            trial.figure === 'round-trip' && trial.contestant === 'ours-copy' && trial.rep === 2
              ? { ...trial, values: {}, failure: 'corrupt bytes' }
              : trial,
          ),
    });
    const comparison = compareResults(before, after);
    expect(comparison.failures).toEqual([
      { figure: 'round-trip', contestant: 'ours-copy', point: {}, before: 0, after: 1, reason: 'corrupt bytes' },
    ]);
    expect(comparison.onlyBefore).toEqual(['loss: dante']);
    expect(compareResults(after, before).onlyAfter).toEqual(['loss: dante']);
    expect(formatComparison(comparison)).toContain('round-trip, ours-copy: 0 before, 1 after (corrupt bytes)');
  });
});

test.each([
  [1.1234, '+12.3 %'],
  [0.9, '-10.0 %'],
  [4, 'x 4.00'],
  [0.25, '/ 4.00'],
  [0, 'to 0'],
  [Infinity, 'from 0'],
  [-2, 'other sign'],
])('a factor of %d', (factor, text) => {
  expect(formatFactor(factor)).toBe(text);
});

test('the table names figure, point, metric and both runs', () => {
  const text = formatComparison(compareResults(run(), run({ seed: 2, factor: slower(3) })));
  expect(text).toMatch(/^before: 2030-01-02 03:04, 0\.0\.0-synthetic, commit 0123456789ab\nafter: /);
  expect(text).toMatch(
    /x [23]\.\d+ +worse +ours-packet +round-trip +p50 \(us\), x router +\S+ \[.*\] +\S+ \[.*\] +0\.0\d+ +apart/,
  );
  expect(text).toMatch(/ours-packet +throughput +upload, 100 connections +Gbit\/s, x router/);
  expect(text.endsWith('\n')).toBe(true);
});
