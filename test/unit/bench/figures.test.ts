/** The figures of the papers: complete, and small enough. */
import { describe, expect, test } from 'vitest';
import { chooseContestants } from '../../../src/bench/contestants/index.js';
import { chooseFigures, FIGURES, HTTP_FIGURES } from '../../../src/bench/figures/index.js';
import type { Figure, LoadFigure } from '../../../src/bench/figures/figure.js';
import { makePlan } from '../../../src/bench/plan.js';
import type { Plan } from '../../../src/bench/plan.js';
import { benchOptions } from '../../../src/cli/bench-options.js';
import { fakeContestant, fakeLab, loadResult } from './fake-lab.js';

const loads = [...FIGURES, ...HTTP_FIGURES].filter((figure): figure is LoadFigure => figure.kind === 'load');

const plan = (quick: boolean): Promise<Plan> =>
  makePlan(chooseFigures(undefined, quick), benchOptions({ quick, family: 4 }), fakeLab().proxy, (names) =>
    names.map((name) => fakeContestant(name)),
  );

describe('figures', () => {
  test('a to h, in order, no name twice', () => {
    expect(FIGURES.map(({ facts }) => facts.letter).join('')).toBe('abcdefgh');
    expect(HTTP_FIGURES.map(({ facts }) => facts.letter).join('')).toBe('ijkl');
    expect(new Set([...FIGURES, ...HTTP_FIGURES].map(({ facts }) => facts.id)).size).toBe(12);
  });

  test.each(loads.map((figure) => [figure.facts.id, figure] as const))(
    '%s: points have its axes, each once; values are its metrics',
    (_id, figure) => {
      for (const quick of [true, false]) {
        const points = figure.points(quick);
        expect(points.length).toBeGreaterThan(0);
        expect(new Set(points.map((point) => JSON.stringify(point))).size).toBe(points.length);
        for (const point of points) {
          expect(Object.keys(point)).toEqual(figure.facts.axes.map(({ id }) => id));
          expect(figure.workload(point).connections).toBeGreaterThan(0);
          const values = figure.values(
            loadResult({ operations: 1000, perSecond: 4000, responseUs: loadResult().latencyUs }),
            point,
          );
          expect(Object.keys(values)).toEqual(figure.facts.metrics.map(({ id }) => id));
          for (const [metric, value] of Object.entries(values)) expect(value, metric).toBeGreaterThan(0);
        }
      }
    },
  );

  test('response times need a response for each connection, otherwise only the fast ones would count', () => {
    const { values } = chooseFigures(['a'], false)[0] as LoadFigure;
    const point = { connections: 32, size: 1024 };
    expect(values(loadResult({ operations: 31 }), point)).toEqual({});
    expect(values(loadResult({ operations: 32 }), point)).toHaveProperty('p50us', 100);
  });

  test('the first metric of each figure, and no other by accident, leads: it is compared', () => {
    for (const { facts } of loads) expect(facts.metrics[0]?.compared, facts.id).toBe(true);
  });

  test('whoever takes part by default is known', () => {
    const all = [...FIGURES, ...HTTP_FIGURES];
    const names = all.flatMap((figure) => [true, false].flatMap((quick) => figure.contestants(quick)));
    expect(() => chooseContestants([...new Set(names)], [])).not.toThrow();
  });

  test('a quick figure asks nobody and nothing that a full one does not, too', () => {
    for (const figure of [...FIGURES, ...HTTP_FIGURES]) {
      expect(figure.contestants(false)).toEqual(expect.arrayContaining([...figure.contestants(true)]));
      if (figure.kind === 'load')
        expect(figure.points(false)).toEqual(expect.arrayContaining([...figure.points(true)]));
    }
  });

  test('every backend of ours is in a quick run', () => {
    const names = FIGURES.flatMap((figure) => figure.contestants(true));
    expect(names).toEqual(expect.arrayContaining(['ours-packet', 'ours-splice', 'ours-copy', 'ours-sockmap']));
  });
});

describe('HTTP caches', () => {
  const figure = (id: string): LoadFigure => chooseFigures([id], false)[0] as LoadFigure;

  test('points of one number of processors stand together: each change is a new start', () => {
    for (const one of HTTP_FIGURES as readonly LoadFigure[]) {
      const numbers = one.points(false).map((point) => one.processors?.(point) ?? NaN);
      expect([...new Set(numbers)]).toEqual([1, 2]);
      expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
    }
  });

  test('a hit is a copy: a cache that asks the origin has not been measured, who keeps nothing may', () => {
    const flaw = (fresh: number, contestant: string): string | undefined =>
      figure('hit-small').flaw?.(loadResult({ fresh, operations: 10_000 }), contestant);
    expect(flaw(10, 'varnish')).toBeUndefined();
    expect(flaw(11, 'varnish')).toBe('11 of 10000 responses came from the origin, not from the cache');
    expect(flaw(11, 'ours-http --cache-memory 1m')).toBeDefined();
    for (const name of ['router', 'nginx-proxy', 'ours-http-nocache --workers 2'])
      expect(flaw(10_000, name)).toBeUndefined();
  });

  test('a head of a transfer that was cut off counts, too', () => {
    expect(figure('hit-bulk').flaw?.(loadResult({ fresh: 1, operations: 0 }), 'nginx-cache')).toBeDefined();
    expect(figure('hit-bulk').flaw?.(loadResult({ fresh: 0, operations: 0 }), 'nginx-cache')).toBeUndefined();
  });

  test('times of a mixed load need the rate: behind it, they say how long the queue was', () => {
    const values = (perSecond: number): string[] =>
      Object.keys(figure('mixed-web').values(loadResult({ perSecond }), { processors: 1, rate: 1000 }));
    expect(values(971)).toEqual(figure('mixed-web').facts.metrics.map(({ id }) => id));
    expect(values(969)).toEqual(['proxyUs', 'perSecond']);
  });

  test('large objects are primed wherever the connections may end', () => {
    const prime = (processors: number): unknown => figure('hit-bulk').prime?.({ processors, connections: 1 });
    expect(prime(1)).toMatchObject({ count: 1, connections: 1 });
    expect(prime(2)).toMatchObject({ count: 8, connections: 8 });
  });
});

describe('choosing', () => {
  const ids = (figures: readonly Figure[]): string[] => figures.map(({ facts }) => facts.id);

  test('by letter or name, in the order of the papers', () => {
    expect(ids(chooseFigures(['loss', 'b', 'h'], true))).toEqual(['throughput', 'loss']);
    expect(chooseFigures(undefined, true)).toBe(FIGURES);
  });

  test('tables beside the figures: in a full run, and when named', () => {
    expect(ids(chooseFigures(undefined, true))).not.toContain('segment-stages');
    expect(ids(chooseFigures(undefined, false))).toContain('segment-stages');
    expect(ids(chooseFigures(['segment-stages'], true))).toEqual(['segment-stages']);
  });

  test('HTTP caches: only when named, all of them by one word', () => {
    expect(ids(chooseFigures(undefined, false))).not.toContain('hit-bulk');
    expect(ids(chooseFigures(['http', 'b', 'k'], false))).toEqual([
      ...['throughput', 'hit-bulk', 'miss-bulk', 'hit-small', 'mixed-web'],
    ]);
  });

  test('an unknown one is a mistake that lists those that are there', () => {
    expect(() => chooseFigures(['z'], false)).toThrow(/^no figure "z"; there are a \(response-time\), b/);
  });
});

describe('plan', () => {
  test('a quick run is planned for less than two minutes, a full one for less than thirty', async () => {
    expect((await plan(true)).seconds).toBeLessThan(110);
    expect((await plan(false)).seconds).toBeLessThan(29 * 60);
  });

  test('who is missing is left out with the reason, and costs no time', async () => {
    const choose = (names: readonly string[]) =>
      names.map((name) =>
        fakeContestant(
          name,
          name === 'dante' ? { missing: () => Promise.resolve('apt-get install dante-server') } : {},
        ),
      );
    const options = benchOptions({ family: 4, only: ['router', 'dante'] });
    const relays = loads.filter(({ traffic }) => traffic === undefined);
    const both = await makePlan(relays, options, fakeLab().proxy, (names) => names.map((name) => fakeContestant(name)));
    const { contestants, leftOut, seconds } = await makePlan(relays, options, fakeLab().proxy, choose);
    expect(contestants.map(({ name }) => name)).toEqual(['router']);
    expect(leftOut).toEqual([{ contestant: 'dante', reason: 'apt-get install dante-server' }]);
    expect(seconds).toBeCloseTo(both.seconds / 2);
  });

  test('one contestant at a time is asked: some are started for it', async () => {
    let [under, most] = [0, 0];
    const missing = async (): Promise<undefined> => {
      most = Math.max(most, ++under);
      await new Promise(setImmediate);
      under--;
    };
    await makePlan(loads, benchOptions({ family: 4 }), fakeLab().proxy, (names) =>
      names.map((name) => fakeContestant(name, { missing })),
    );
    expect(most).toBe(1);
  });

  test('a figure that can measure none of those that the user names is not there', async () => {
    const options = benchOptions({ family: 4, only: ['microsocks'] });
    const { figures } = await makePlan(FIGURES, options, fakeLab().proxy, (names) =>
      names.map((name) => fakeContestant(name)),
    );
    const ids = figures.map(({ figure }) => figure.facts.id);
    expect(ids).toContain('idle-memory');
    expect(ids).not.toContain('segment-cost');
  });

  test('HTTP fronts take part where HTTP is spoken, and nowhere else; the router everywhere', async () => {
    const options = benchOptions({ family: 4, only: ['router', 'nginx-cache', 'dante'] });
    const { figures } = await makePlan(loads, options, fakeLab().proxy, (names) =>
      names.map((name) => fakeContestant(name, name === 'nginx-cache' ? { via: 'http' } : {})),
    );
    for (const { figure, contestants } of figures) {
      const expected = HTTP_FIGURES.includes(figure) ? ['router', 'nginx-cache'] : ['router', 'dante'];
      expect(
        contestants.map(({ name }) => name),
        figure.facts.id,
      ).toEqual(expected);
    }
  });

  test('nobody left: a failure that says why', async () => {
    const gone = fakeContestant('dante', { missing: () => Promise.resolve('not installed') });
    const options = benchOptions({ family: 4, only: ['dante'] });
    await expect(makePlan(loads, options, fakeLab().proxy, () => [gone])).rejects.toThrow(/dante: not installed/);
  });

  test('what is omitted is said', async () => {
    const { leftOut } = await plan(true);
    expect(leftOut.map(({ contestant, reason }) => `${contestant} ${reason}`)).toEqual([
      expect.stringMatching(/^microsocks cpu-per-gb, up: /),
    ]);
  });
});
