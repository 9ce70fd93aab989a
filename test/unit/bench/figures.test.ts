/** The figures of the papers: complete, and small enough. */
import { describe, expect, test } from 'vitest';
import { chooseContestants } from '../../../src/bench/contestants/index.js';
import { chooseFigures, FIGURES } from '../../../src/bench/figures/index.js';
import type { Figure, LoadFigure } from '../../../src/bench/figures/figure.js';
import { makePlan } from '../../../src/bench/plan.js';
import type { Plan } from '../../../src/bench/plan.js';
import { benchOptions } from '../../../src/cli/bench-options.js';
import { fakeContestant, fakeLab, loadResult } from './fake-lab.js';

const loads = FIGURES.filter((figure): figure is LoadFigure => figure.kind === 'load');

const plan = (quick: boolean): Promise<Plan> =>
  makePlan(chooseFigures(undefined, quick), benchOptions({ quick, family: 4 }), fakeLab().proxy, (names) =>
    names.map((name) => fakeContestant(name)),
  );

describe('figures', () => {
  test('a to h, in order, no name twice', () => {
    expect(FIGURES.map(({ facts }) => facts.letter).join('')).toBe('abcdefgh');
    expect(new Set(FIGURES.map(({ facts }) => facts.id)).size).toBe(8);
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
          const values = figure.values(loadResult({ operations: 1000, responseUs: loadResult().latencyUs }), point);
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
    const names = FIGURES.flatMap((figure) => [true, false].flatMap((quick) => figure.contestants(quick)));
    expect(() => chooseContestants([...new Set(names)], [])).not.toThrow();
  });

  test('a quick figure asks nobody and nothing that a full one does not, too', () => {
    for (const figure of FIGURES) {
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
    const both = await makePlan(loads, options, fakeLab().proxy, (names) => names.map((name) => fakeContestant(name)));
    const { contestants, leftOut, seconds } = await makePlan(loads, options, fakeLab().proxy, choose);
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
