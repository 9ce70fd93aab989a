import { beforeAll, describe, expect, test } from 'vitest';
import type { FigureFacts, Results } from '../../../src/bench/model.js';
import { chartOf } from '../../../src/bench/report/charts.js';
import { distributionOf, quantileOf, thinned } from '../../../src/bench/report/distribution.js';
import { type Draw, loadDraw } from '../../../src/bench/report/render.js';
import { logTicks, placeScale } from '../../../src/bench/report/scales.js';
import { INK, castOf, lookOf } from '../../../src/bench/report/style.js';
import { CONTESTANTS, FIGURES, loadResult, syntheticResults } from './fixture.js';

const results = syntheticResults();
let draw: Draw;
beforeAll(async () => {
  const found = await loadDraw();
  if (found === undefined) throw new Error('vega and vega-lite are devDependencies: npm install');
  draw = found;
});

const picture = async (figure: FigureFacts, of: Results = results) => {
  const chart = chartOf(figure, of);
  if (chart === undefined) throw new Error(`no chart of ${figure.id}`);
  return draw(chart.spec, { id: figure.id, title: 'Title & <more>', about: chart.caption });
};

/** Well-formed as far as tags go: each one that opens is closed, in order. */
function openTags(svg: string): string[] {
  const open: string[] = [];
  for (const [, end, name, self] of svg.matchAll(/<(\/?)([a-zA-Z]+)\b[^>]*?(\/?)>/g)) {
    if (name === undefined || self === '/') continue;
    if (end !== '/') open.push(name);
    else if (open.pop() !== name) throw new Error(`</${name}> closes nothing`);
  }
  return open;
}

describe.each(FIGURES)('$id', (figure) => {
  test('has a picture with everybody of it, in both kinds, without numbers that are none', async () => {
    const { file, inline } = await picture(figure);
    const present = new Set(results.rows.filter((row) => row.figure === figure.id).map((row) => row.contestant));
    for (const svg of [file, inline]) {
      expect(openTags(svg)).toEqual([]);
      expect(svg).not.toMatch(/NaN|Infinity|undefined/);
      if (present.size > 1) for (const { title } of castOf(results, present)) expect(svg).toContain(`>${title}<`);
    }
    expect(file).toContain('<title id="');
    expect(file).toContain('Title &amp; &lt;more&gt;');
    expect(file).toContain('fill="#ffffff"');
    expect(inline).not.toContain(INK);
    expect(inline).not.toContain('#ffffff');
  });
  test('is the same again', async () => {
    const [one, other] = [await picture(figure), await picture(figure)];
    expect(other).toEqual(one);
  });
  test('of a quick run has a picture too', async () => {
    const quick = syntheticResults({ repetitions: 1 });
    const [first] = quick.rows.filter((row) => row.figure === figure.id);
    const axis = figure.axes.at(-1)?.id;
    const rows = quick.rows.filter((row) => axis === undefined || row.point[axis] === first?.point[axis]);
    expect((await picture(figure, { ...quick, rows })).inline).not.toMatch(/NaN|undefined/);
  });
  test('without a single success has none', () => {
    const failed = syntheticResults({ change: (all) => all.map((trial) => ({ ...trial, values: {}, failure: 'no' })) });
    expect(chartOf(figure, failed)).toBeUndefined();
  });
});

test('a figure that nobody foresaw gets what its axes suggest', async () => {
  const figure: FigureFacts = { ...(FIGURES[1] as FigureFacts), id: 'mine', letter: '' };
  const rows = results.rows.map((row) => (row.figure === 'throughput' ? { ...row, figure: 'mine' } : row));
  expect((await picture(figure, { ...results, rows })).inline).toContain('>upload<');
});

test('one contestant by names is a table, no picture', () => {
  const figure: FigureFacts = { ...(FIGURES[3] as FigureFacts), id: 'stages' };
  const mine = (names: readonly string[]) =>
    results.rows
      .filter((row) => row.figure === 'cpu-per-gb' && names.includes(row.contestant))
      .map((row) => ({ ...row, figure: 'stages' }));
  expect(chartOf(figure, { ...results, rows: mine(['ours-packet']) })).toBeUndefined();
  expect(chartOf(figure, { ...results, rows: mine(['ours-packet', 'router']) })).toBeDefined();
});

describe('without Vega', () => {
  const fails = (code: string) => () => Promise.reject(Object.assign(new Error('import'), { code }));
  test('there are no pictures', async () => {
    expect(await loadDraw(fails('ERR_MODULE_NOT_FOUND'))).toBeUndefined();
  });
  test('other failures are not taken for that', async () => {
    await expect(loadDraw(fails('ERR_DLOPEN_FAILED'))).rejects.toThrow('import');
  });
});

describe('distributions', () => {
  const trial = (buckets: [number, number][], failure?: string) => ({
    figure: 'c',
    rep: 1,
    contestant: 'x',
    point: {},
    values: {},
    load: loadResult({ latencyUs: { count: 1, p50: 0, p90: 0, p99: 0, p999: 0, max: 0, buckets } }),
    ...(failure === undefined ? {} : { failure }),
  });
  const steps = distributionOf([
    trial([
      [10, 1],
      [20, 4],
    ]),
    trial([
      [20, 4],
      [15, 1],
    ]),
    trial([[1, 1000]], 'corrupt'),
  ]);
  test('all repetitions together, those that failed not', () => {
    expect(steps).toEqual([
      { us: 10, within: 0.1 },
      { us: 15, within: 0.2 },
      { us: 20, within: 1 },
    ]);
  });
  test('quantiles', () => {
    expect([0, 0.1, 0.11, 0.5, 1].map((share) => quantileOf(steps, share))).toEqual([10, 10, 15, 20, 20]);
    expect(quantileOf([], 0.5)).toBeNaN();
  });
  test('thinned, they keep their end', () => {
    const fine = Array.from({ length: 1000 }, (_, at) => ({ us: 100 + at / 100, within: at / 999 }));
    const few = thinned(fine);
    expect(few.length).toBeLessThan(20);
    expect(few.at(-1)).toEqual(fine.at(-1));
    expect(thinned(steps)).toEqual(steps);
  });
});

describe('axes', () => {
  test.each([
    [1, 1000, [1, 10, 100, 1000]],
    [0.2, 30, [0.2, 0.5, 1, 2, 5, 10, 20]],
    [60, 180, [60, 80, 100, 150]],
    [1e-4, 1, [1e-4, 1e-3, 1e-2, 0.1, 1]],
  ])('ticks from %d to %d', (min, max, ticks) => {
    expect(logTicks(min, max)).toEqual(ticks);
  });
  const linear = { id: 'x', title: 'x', scale: 'linear' } as const;
  test('places that would stand on each other are spread, zero included', () => {
    expect(placeScale([0, 0.001, 0.01, 0.03], linear)).toEqual({ type: 'symlog', constant: 0.001 });
    expect(placeScale([0, 1, 2, 3], linear)).toEqual({ type: 'linear', zero: false });
    expect(placeScale([1, 1000], { ...linear, scale: 'log' })).toEqual({ type: 'log' });
    expect(placeScale([0, 1000], { ...linear, scale: 'log' }).type).not.toBe('log');
    expect(placeScale([5], linear).type).toBe('linear');
  });
});

describe('looks', () => {
  const luminance = (color: string): number => {
    const parts = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16) / 255);
    const [r = 0, g = 0, b = 0] = parts.map((part) =>
      part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4,
    );
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one: string, other: string): number => {
    const [low = 0, high = 0] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  test.each([...CONTESTANTS, 'node-relay', 'unheard-of'].filter((name) => name !== 'router'))(
    '%s is seen on white and on black',
    (name) => {
      const { color } = lookOf(name);
      expect(contrast(color, '#ffffff')).toBeGreaterThan(2.1);
      expect(contrast(color, '#14161a')).toBeGreaterThan(3);
    },
  );
  test('no two look alike', () => {
    const names = [...CONTESTANTS, 'node-relay', 'new-a', 'new-b', 'new-c', 'ours-packet-now'];
    const looks = names.map((name) => JSON.stringify(lookOf(name, names)));
    expect(new Set(looks).size).toBe(names.length);
  });
  test('long remarks in brackets are left out where nobody is mistaken for another', () => {
    const contestants = (...titles: string[]) => ({
      contestants: titles.map((title, at) => ({ name: `n${at}`, title, via: 'direct' as const, version: '' })),
    });
    const titles = (of: ReturnType<typeof contestants>) =>
      castOf(of, new Set(of.contestants.map(({ name }) => name))).map(({ title }) => title);
    const long = 'relay (of a kind that needs many words)';
    expect(titles(contestants(long, 'router (no proxy)'))).toEqual(['relay', 'router (no proxy)']);
    expect(titles(contestants(long, 'relay'))).toEqual([long, 'relay']);
    expect(titles(contestants('x', 'x'))).toEqual(['n0', 'n1']);
  });
});
