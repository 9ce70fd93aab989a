import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { FigureFacts, Trial } from '../../../src/bench/model.js';
import { isNoisy, pointKey, rowsOf, sortedPoints, summarize } from '../../../src/bench/statistics.js';
import { loadResult } from './fixture.js';

const values = fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }), { minLength: 1, maxLength: 30 });

describe('summarize', () => {
  test.each([
    [[3], { median: 3, min: 3, max: 3, count: 1 }],
    [[4, 1], { median: 2.5, min: 1, max: 4, count: 2 }],
    [[5, 1, 3], { median: 3, min: 1, max: 5, count: 3 }],
    [[NaN, 2, Infinity], { median: 2, min: 2, max: 2, count: 1 }],
  ])('%j', (given, summary) => {
    expect(summarize(given)).toEqual(summary);
  });
  test('nothing measured has no summary', () => {
    expect(summarize([])).toBeUndefined();
    expect(summarize([NaN])).toBeUndefined();
  });
  test('the order does not matter, and the median lies between the ends', () => {
    fc.assert(
      fc.property(values, (given) => {
        const summary = summarize(given);
        if (summary === undefined) throw new Error('values without a summary');
        expect(summary.min).toBeLessThanOrEqual(summary.median);
        expect(summary.median).toBeLessThanOrEqual(summary.max);
        expect(summary.count).toBe(given.length);
        expect(summarize([...given].reverse())).toEqual(summary);
      }),
    );
  });
  test('half of the values are on either side of the median', () => {
    fc.assert(
      fc.property(values, (given) => {
        const { median } = summarize(given) ?? { median: NaN };
        expect(given.filter((value) => value <= median).length * 2).toBeGreaterThanOrEqual(given.length);
        expect(given.filter((value) => value >= median).length * 2).toBeGreaterThanOrEqual(given.length);
      }),
    );
  });
  test('leaves its argument alone', () => {
    const given = [3, 1, 2];
    summarize(given);
    expect(given).toEqual([3, 1, 2]);
  });
});

describe('points', () => {
  test('are the same whatever the order of their axes', () => {
    expect(pointKey({ a: 1, b: 'x' })).toBe(pointKey({ b: 'x', a: 1 }));
    expect(pointKey({ a: 1 })).not.toBe(pointKey({ a: '1' }));
  });
  test('sort numbers by size, names as they come, the first axis first', () => {
    const axes = [{ id: 'way' }, { id: 'n' }];
    const point = (way: string, n: number) => ({ way, n });
    expect(sortedPoints([point('up', 10), point('down', 9), point('up', 9), point('down', 9)], axes)).toEqual([
      point('up', 9),
      point('up', 10),
      point('down', 9),
    ]);
  });
});

const figure: FigureFacts = {
  id: 'f',
  letter: '',
  title: 'F',
  about: '',
  metrics: [
    { id: 'rate', title: 'rate', digits: 1, lowerIsBetter: false },
    { id: 'time', title: 'time', digits: 1, lowerIsBetter: true, compared: true },
    { id: 'aside', title: 'aside', digits: 1, lowerIsBetter: true },
  ],
  axes: [{ id: 'n', title: 'n', scale: 'log' }],
};

const trial = (contestant: string, rep: number, rate: number, more: Partial<Trial> = {}): Trial => ({
  figure: 'f',
  rep,
  contestant,
  point: { n: 1 },
  values: { rate, time: 1 / rate, aside: 7 },
  ...more,
});

const rowFor = (trials: readonly Trial[], contestant: string) => {
  const row = rowsOf(trials, [figure]).find((one) => one.contestant === contestant);
  if (row === undefined) throw new Error(`no row of ${contestant}`);
  return row;
};

describe('rows', () => {
  test('ratios are formed inside a repetition, not of medians', () => {
    // The machine was twice as fast in the second repetition: medians of both would say 1.25.
    const trials = [trial('router', 1, 10), trial('ours-x', 1, 5), trial('router', 2, 20), trial('ours-x', 2, 10)];
    expect(rowFor(trials, 'ours-x').ratios['router']).toEqual({
      rate: { median: 0.5, min: 0.5, max: 0.5, count: 2 },
      time: { median: 2, min: 2, max: 2, count: 2 },
    });
  });
  test('the best of several references is the best in that repetition, by the sense of the metric', () => {
    const trials = [
      trial('haproxy-splice', 1, 10),
      trial('dante', 1, 5),
      trial('haproxy-splice', 2, 5),
      trial('dante', 2, 20),
      trial('ours-x', 1, 10),
      trial('ours-x', 2, 10),
    ];
    const { ratios } = rowFor(trials, 'ours-x');
    expect(ratios['HAProxy/Dante']?.['rate']).toEqual({ median: 0.75, min: 0.5, max: 1, count: 2 });
    expect(ratios['HAProxy/Dante']?.['time']).toEqual({ median: 1.5, min: 1, max: 2, count: 2 });
  });
  test('only compared metrics have ratios, and only where the reference was there', () => {
    const trials = [trial('router', 1, 10), trial('ours-x', 1, 5), trial('ours-x', 2, 5)];
    const { ratios } = rowFor(trials, 'ours-x');
    expect(Object.keys(ratios)).toEqual(['router']);
    expect(Object.keys(ratios['router'] ?? {})).toEqual(['rate', 'time']);
    expect(ratios['router']?.['rate']?.count).toBe(1);
  });
  test('failed trials count for nothing but failures, also as references', () => {
    const trials = [
      trial('router', 1, 10, { failure: 'corrupt' }),
      trial('ours-x', 1, 5),
      trial('ours-x', 2, 50, { failure: 'no route' }),
    ];
    const row = rowFor(trials, 'ours-x');
    expect(row.values['rate']).toEqual({ median: 5, min: 5, max: 5, count: 1 });
    expect(row.failures).toEqual(['no route']);
    expect(row.ratios).toEqual({});
    expect(rowFor(trials, 'router').values).toEqual({});
  });
  test('a reference of zero gives no ratio', () => {
    expect(rowFor([trial('router', 1, 0), trial('ours-x', 1, 5)], 'ours-x').ratios).toEqual({});
  });
  test('points do not mix', () => {
    const trials = [trial('router', 1, 10, { point: { n: 2 } }), trial('ours-x', 1, 5)];
    expect(rowFor(trials, 'ours-x').ratios).toEqual({});
  });
  test('noise is counted, from the trial or from the processors’ times', () => {
    const load = loadResult();
    const noisy = loadResult({ cpu: { ...load.cpu, busy: 1, idle: 1, others: 0.2 } });
    expect(isNoisy(trial('a', 1, 1, { othersShare: 0.04, load: noisy }))).toBe(false);
    expect(isNoisy(trial('a', 1, 1, { load: noisy }))).toBe(true);
    expect(isNoisy(trial('a', 1, 1, { load }))).toBe(false);
    const robbed = loadResult({ cpu: { ...load.cpu, busy: 1, idle: 1, others: 0, steal: 0.2 } });
    expect(isNoisy(trial('a', 1, 1, { load: robbed }))).toBe(true);
    expect(isNoisy(trial('a', 1, 1))).toBe(false);
    expect(rowFor([trial('a', 1, 1, { othersShare: 0.06 }), trial('a', 2, 1)], 'a').noisy).toBe(1);
  });
  test('come by point, then by contestant as ordered, others behind them', () => {
    const trials = [trial('z', 1, 1, { point: { n: 2 } }), trial('b', 1, 1), trial('a', 1, 1), trial('z', 1, 1)];
    const rows = rowsOf(trials, [figure], ['a', 'b']);
    expect(rows.map(({ contestant, point }) => `${point['n']}${contestant}`)).toEqual(['1a', '1b', '1z', '2z']);
  });
  test('scaling everybody leaves the ratios', () => {
    const rate = fc.double({ min: 1e-3, max: 1e6, noNaN: true });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(rate, rate), { minLength: 1, maxLength: 8 }),
        fc.constantFrom(0.25, 2, 1024),
        (pairs, factor) => {
          const run = (by: number) =>
            pairs.flatMap(([router, ours], at) => [trial('router', at, router * by), trial('ours-x', at, ours * by)]);
          const [one, other] = [run(1), run(factor)].map(
            (trials) => rowFor(trials, 'ours-x').ratios['router']?.['rate'],
          );
          expect(one?.count).toBe(pairs.length);
          expect(other?.median).toBeCloseTo(one?.median ?? NaN, 9);
        },
      ),
    );
  });
});
