/** The order of a run, and what becomes of trials that go wrong. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Figure, LoadFigure, OwnFigure } from '../../../src/bench/figures/figure.js';
import { loss } from '../../../src/bench/figures/loss.js';
import { KINDS } from '../../../src/bench/modes.js';
import { metricsOf, valuesOf } from '../../../src/bench/metrics.js';
import type { Contestant, Host, Trial } from '../../../src/bench/model.js';
import { makePlan } from '../../../src/bench/plan.js';
import type { RunOptions } from '../../../src/bench/plan.js';
import { measure } from '../../../src/bench/run.js';
import type { Measured } from '../../../src/bench/run.js';
import { Stopped } from '../../../src/bench/stop.js';
import { argument, fakeContestant, fakeLab, loadResult } from './fake-lab.js';
import type { FakeLab } from './fake-lab.js';

const { measures } = KINDS.down;

const figure = (id: string, connections: readonly number[], part: Partial<LoadFigure> = {}): LoadFigure => ({
  kind: 'load',
  facts: { id, letter: '', title: id, about: '', metrics: metricsOf(measures), axes: [] },
  contestants: () => ['A', 'B', 'C'],
  points: () => connections.map((each) => ({ connections: each })),
  workload: (point) => ({ mode: 'download', connections: Number(point['connections']) }),
  values: (result) => valuesOf(measures, result),
  ...part,
});

const own = (id: string, measureOwn: OwnFigure['measure'], part: Partial<OwnFigure> = {}): OwnFigure => ({
  kind: 'own',
  facts: { id, letter: '', title: id, about: '', metrics: metricsOf(measures), axes: [] },
  contestants: () => ['A'],
  seconds: () => 1,
  measure: measureOwn,
  ...part,
});

let directory: string;
beforeEach(async () => void (directory = await mkdtemp(join(tmpdir(), 'bench-run-'))));
afterEach(() => rm(directory, { recursive: true }));

const OPTIONS = { quick: false, repetitions: 2, seconds: 1, warmup: 0.5, quietWait: 0 };

async function runFigures(
  lab: FakeLab,
  figures: readonly Figure[],
  {
    options = {},
    stop = new AbortController(),
    choose = (name) => fakeContestant(name),
  }: { options?: Partial<RunOptions>; stop?: AbortController; choose?: (name: string) => Contestant } = {},
): Promise<Measured> {
  const merged = { ...OPTIONS, ...options };
  const plan = await makePlan(figures, merged, lab.proxy, (names) => names.map(choose));
  const quiet = { at: () => undefined, text: () => undefined, trial: () => undefined, advance: () => undefined };
  return measure({
    ...{ lab, load: 'LOAD', plan, options: merged, directory, signal: stop.signal, progress: quiet, readyMs: 200 },
  });
}

const brief = ({ figure: id, rep, contestant, point }: Trial): string =>
  `${rep} ${id} ${contestant} ${Object.values(point).join()}`;

describe('processors and primes', () => {
  const http = (name: string): Contestant => fakeContestant(name, { via: name === 'router' ? 'direct' : 'http' });
  const figureOf = (part: Partial<LoadFigure>): LoadFigure =>
    figure('x', [1, 8], {
      traffic: 'http',
      contestants: () => ['router', 'A'],
      points: () => [1, 2].flatMap((processors) => [1, 8].map((connections) => ({ processors, connections }))),
      processors: (point) => Number(point['processors']),
      ...part,
    });
  const one = { repetitions: 1 };

  test('a new start for each number of processors, bound to as many, with the load on the rest', async () => {
    const lab = fakeLab();
    const commands: string[][] = [];
    const { start } = lab.proxy;
    lab.proxy.start = (command, options) => {
      commands.push([...command]);
      return start.call(lab.proxy, command, options);
    };
    await runFigures(lab, [figureOf({})], { options: one, choose: http });
    expect(commands).toEqual([
      ['taskset', '-c', '5', 'A'],
      ['taskset', '-c', '4,5', 'A'],
    ]);
    expect(lab.done.filter((line) => line.startsWith('load A'))).toHaveLength(4);
  });

  test('a cache is filled once for each start, and the router has none', async () => {
    const lab = fakeLab();
    const { trials } = await runFigures(
      lab,
      [figureOf({ prime: () => ({ mode: 'http', connections: 3, count: 7 }) })],
      { options: one, choose: http },
    );
    expect(trials.every(({ failure }) => failure === undefined)).toBe(true);
    expect(lab.primes).toEqual(['A 7', 'A 7']);
  });

  test('a result with a flaw has no values', async () => {
    const { trials } = await runFigures(
      fakeLab(),
      [figureOf({ flaw: (_load, contestant) => (contestant === 'A' ? 'not from the cache' : undefined) })],
      { options: one, choose: http },
    );
    const failures = trials.map(({ contestant, failure, values }) => [
      contestant,
      failure,
      Object.keys(values).length > 0,
    ]);
    expect(failures.slice(0, 4)).toEqual(Array(4).fill(['router', undefined, true]));
    expect(failures.slice(4)).toEqual(Array(4).fill(['A', 'not from the cache', false]));
  });
});

describe('order', () => {
  test('repetition, figure, contestant, points: interleaved, one contestant at a time', async () => {
    const lab = fakeLab();
    const { trials } = await runFigures(lab, [
      figure('x', [1, 8]),
      figure('y', [1], { contestants: () => ['B', 'A'] }),
    ]);
    const repetition = (rep: number): string[] => [
      ...['A', 'B', 'C'].flatMap((name) => [1, 8].map((count) => `${rep} x ${name} ${count}`)),
      ...['B', 'A'].map((name) => `${rep} y ${name} 1`),
    ];
    expect(trials.map(brief)).toEqual([...repetition(1), ...repetition(2)]);
    const session = (name: string, counts: number[]): string[] => [
      `up ${name}`,
      ...counts.map((count) => `load ${name} download${count}`),
      `down ${name}`,
    ];
    const once = [
      ...['A', 'B', 'C'].flatMap((name) => session(name, [1, 8])),
      ...['B', 'A'].flatMap((name) => session(name, [1])),
    ];
    expect(lab.done).toEqual([...once, ...once]);
  });

  test('a trial has what ratios need: the same points for everybody in each repetition', async () => {
    const { trials } = await runFigures(fakeLab(), [figure('x', [1, 8])]);
    for (const contestant of ['A', 'B', 'C'])
      expect(trials.filter((trial) => trial.contestant === contestant).map(({ rep, point }) => [rep, point])).toEqual([
        [1, { connections: 1 }],
        [1, { connections: 8 }],
        [2, { connections: 1 }],
        [2, { connections: 8 }],
      ]);
    expect(trials[0]).toMatchObject({ values: { gbps: 8, cpuPerGb: 1, proxyPerGb: 0.2 }, othersShare: 0.05 });
  });

  test('impairments are set for each point and taken away before the next contestant', async () => {
    const lab = fakeLab();
    await runFigures(lab, [loss], { options: { repetitions: 1, only: ['router', 'A'] } });
    const shares = [0.001, 0.01, 0.03];
    const under = (name: string): string[] => shares.flatMap((share) => [`loss ${share}`, `load ${name} download8`]);
    expect(lab.done).toEqual([...under('router'), 'loss 0', 'up A', ...under('A'), 'down A', 'loss 0']);
  });

  test('contestants are told how many processors their own machine has, not this one', async () => {
    const told: number[] = [];
    const prepare: Contestant['prepare'] = ({ processors }) => Promise.resolve(void told.push(processors));
    await runFigures(fakeLab(), [figure('x', [1], { contestants: () => ['A'] })], {
      options: { repetitions: 1 },
      choose: (name) => fakeContestant(name, { prepare }),
    });
    expect(told).toEqual([6]);
  });

  test('the interval: warm-up and seconds, stretched where a figure says so', async () => {
    const seen: string[] = [];
    const lab = fakeLab(({ args }) => {
      seen.push(`${argument(args, '--warmup')} ${argument(args, '--seconds')}`);
      return loadResult();
    });
    const stretch = ({ connections }: { connections?: number | string }): number => (connections === 8 ? 3 : 1);
    await runFigures(lab, [figure('x', [1, 8], { stretch, contestants: () => ['A'] })], {
      options: { repetitions: 1 },
    });
    expect(seen).toEqual(['0.5 1', '0.5 3']);
  });

  test('a contestant that cannot do a point is not asked to', async () => {
    const omits = (name: string, { connections }: { connections?: number | string }): string | undefined =>
      name === 'B' && connections === 8 ? 'no' : undefined;
    const { trials } = await runFigures(fakeLab(), [figure('x', [1, 8], { omits })], { options: { repetitions: 1 } });
    expect(trials.map(brief)).toEqual(['1 x A 1', '1 x A 8', '1 x B 1', '1 x C 1', '1 x C 8']);
  });
});

describe('failures', () => {
  test('corrupt bytes and errors make a trial a failure without values', async () => {
    const lab = fakeLab(({ contestant }) =>
      contestant === 'B' ? loadResult({ corrupt: 3, errors: 2, firstError: 'reset' }) : loadResult(),
    );
    const { trials } = await runFigures(lab, [figure('x', [1])], { options: { repetitions: 1 } });
    expect(trials.map(({ failure }) => failure)).toEqual([undefined, '3 corrupt bytes, 2 errors (reset)', undefined]);
    expect(trials[1]).toMatchObject({ values: {}, load: { corrupt: 3 } });
  });

  test('what could not be measured is absent, and no failure', async () => {
    const lab = fakeLab(() => loadResult({ bytes: 0 }));
    const { trials } = await runFigures(lab, [figure('x', [1], { contestants: () => ['A'] })]);
    expect(trials[0]).toMatchObject({ values: {} });
    expect(trials[0]).not.toHaveProperty('failure');
  });

  test('a contestant that dies fails at that point, and is started again for the next', async () => {
    const lab = fakeLab(({ contestant, trial, die }) => {
      if (contestant === 'B' && trial === 0) die();
      return loadResult();
    });
    const { trials } = await runFigures(lab, [figure('x', [1, 8])], { options: { repetitions: 1 } });
    expect(trials.filter(({ failure }) => failure !== undefined).map(brief)).toEqual(['1 x B 1']);
    expect(trials.find(({ failure }) => failure !== undefined)?.failure).toContain('its last words');
    expect(lab.done.filter((line) => line === 'up B')).toHaveLength(2);
  });

  test('a load generator without a result is a failure with what it said', async () => {
    const lab = fakeLab(() => 'no JSON');
    const { trials } = await runFigures(lab, [figure('x', [1])], { options: { repetitions: 1 } });
    expect(trials).toHaveLength(3);
    for (const { failure } of trials) expect(failure).toMatch(/^the load generator ended with 0/);
  });

  test('a contestant that does not start fails at every point, once, and the others go on', async () => {
    const prepare = (): Promise<never> => Promise.reject(new Error('no keys'));
    const { trials } = await runFigures(fakeLab(), [figure('x', [1, 8])], {
      options: { repetitions: 1 },
      choose: (name) => fakeContestant(name, name === 'B' ? { prepare } : {}),
    });
    expect(trials.map(({ contestant, failure }) => [contestant, failure])).toEqual([
      ...[1, 8].map(() => ['A', undefined]),
      ...[1, 8].map(() => ['B', 'no keys']),
      ...[1, 8].map(() => ['C', undefined]),
    ]);
  });

  test('a contestant that is never ready is taken down, with its last words in the message', async () => {
    const lab = fakeLab();
    const { client } = lab;
    const deaf = { ...client, run: () => Promise.resolve({ out: '', err: 'refused', code: 3 }) };
    const { trials } = await runFigures({ ...lab, client: deaf }, [figure('x', [1], { contestants: () => ['A'] })], {
      options: { repetitions: 1 },
    });
    expect(trials[0]?.failure).toBe('not ready after 0.2 s: its last words; refused');
    expect(lab.done).toEqual(['up A', 'down A']);
  });
});

const never = (): never => {
  throw new Error('must not be called');
};

describe('figures that measure by themselves', () => {
  const trial = (rep: number): Trial => ({ figure: 'own', rep, contestant: 'A', point: {}, values: { gbps: 1 } });

  test('open a contestant, which is closed for them', async () => {
    const lab = fakeLab();
    const { trials, failures } = await runFigures(lab, [
      own('own', async function* ({ open, contestants, rep }) {
        const session = await open(contestants[0]!);
        await session.run({ mode: 'idle', connections: 5 });
        yield trial(rep);
      }),
    ]);
    expect([trials, failures]).toEqual([[trial(1), trial(2)], []]);
    expect(lab.done.slice(0, 3)).toEqual(['up A', 'load A idle5', 'down A']);
  });

  test('one that throws ends there, keeps what it had, and the other figures go on', async () => {
    const lab = fakeLab();
    const { trials, failures } = await runFigures(lab, [
      own('own', async function* ({ open, contestants, rep }) {
        await open(contestants[0]!);
        yield trial(rep);
        throw new Error('no maps');
      }),
      figure('x', [1], { contestants: () => ['B'] }),
    ]);
    expect(trials.map(({ figure: id, rep }) => `${id} ${rep}`)).toEqual(['own 1', 'x 1', 'x 2']);
    expect(failures).toEqual([{ figure: 'own', reason: 'no maps' }]);
    expect(lab.done.slice(0, 2)).toEqual(['up A', 'down A']);
  });

  test('what is missing for one is said, and nothing of it begins', async () => {
    const { failures } = await runFigures(fakeLab(), [own('own', never, { missing: () => Promise.resolve('no BTF') })]);
    expect(failures).toEqual([{ figure: 'own', reason: 'no BTF' }]);
  });

  test('a limit of repetitions', async () => {
    const reps: number[] = [];
    await runFigures(fakeLab(), [
      own(
        'own',
        async function* ({ rep }) {
          reps.push(rep);
        },
        { repetitions: 1 },
      ),
    ]);
    expect(reps).toEqual([1]);
  });
});

test('all of the planned time is behind in the end, whatever went wrong', async () => {
  const lab = fakeLab(({ contestant }) => (contestant === 'B' ? 'no JSON' : loadResult()));
  const figures = [figure('x', [1, 8]), own('own', never)];
  const plan = await makePlan(figures, OPTIONS, lab.proxy, (names) => names.map((name) => fakeContestant(name)));
  let behind = 0;
  const quiet = { at: () => undefined, text: () => undefined, trial: () => undefined };
  const progress = { ...quiet, advance: (seconds: number) => void (behind += seconds) };
  await measure({
    ...{ lab, load: 'LOAD', plan, options: OPTIONS, directory, signal: new AbortController().signal, progress },
  });
  // A figure that cannot be measured is not begun again.
  expect(behind).toBeCloseTo(plan.seconds - 1);
});

describe('stop', () => {
  test('in the middle of a trial: at once, the contestant is down, what was measured comes back', async () => {
    const stop = new AbortController();
    const lab = fakeLab(({ contestant }) => {
      if (contestant !== 'B') return loadResult();
      stop.abort(new Stopped('stopped by SIGINT'));
      return new Promise(() => undefined);
    });
    const { trials, stopped } = await runFigures(lab, [figure('x', [1, 8])], { stop });
    expect(trials.map(brief)).toEqual(['1 x A 1', '1 x A 8']);
    expect(stopped).toBe('stopped by SIGINT (repetition 1 of 2, figure x)');
    expect(lab.done.at(-1)).toBe('down B');
  });

  test('in a figure of its own kind, also if that does not listen', async () => {
    const stop = new AbortController();
    const lab = fakeLab();
    const { stopped } = await runFigures(
      lab,
      [
        own('own', async function* ({ open, contestants }) {
          await open(contestants[0]!);
          stop.abort(new Stopped('stopped by SIGTERM'));
          yield await new Promise<never>(() => undefined);
        }),
      ],
      { stop },
    );
    expect(stopped).toBe('stopped by SIGTERM (repetition 1 of 2, figure own)');
    expect(lab.done).toEqual(['up A', 'down A']);
  });
});

describe('machines of their own', () => {
  test("the proxy's processor time is that of its machine, read at the two ends of the interval", async () => {
    const lab = fakeLab(() => loadResult(), { oneMachine: false });
    let reads = 0;
    const proxy: Host = {
      ...lab.proxy,
      run: (command) => {
        if (command[0] !== 'head') return lab.proxy.run(command);
        return Promise.resolve({ out: `cpu ${100 * ++reads} 0 0 ${1000 * reads} 0 0 50 0\n`, err: '', code: 0 });
      },
    };
    const router = figure('x', [1], { contestants: () => ['router'] });
    const { trials } = await runFigures({ ...lab, proxy }, [router], { options: { repetitions: 1 } });
    expect(trials[0]?.load?.cpu).toMatchObject({ busy: 1, user: 1, softirq: 0, idle: 10, proxy: 0 });
    expect(trials[0]).not.toHaveProperty('othersShare');
  });
});
