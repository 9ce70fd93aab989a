/**
 * What moved between two files of results beyond the noise of both. Machines differ in speed, and one machine from day to
 * day, so what is compared are ratios to the router inside each repetition, unless the router took no part in a figure
 * or plain values are asked for. Pure; `splice-bench compare` calls it.
 */
import type { FigureFacts, Metric, Point, Results, Summary, Trial } from './model.js';
import { attainedLevel, rankTest } from './rank-test.js';
import { ROUTER, byPoint, pointKey, ratiosByRepetition, sortedPoints, summarize } from './statistics.js';

/** Two runs differ in one number. */
export interface Movement {
  readonly figure: string;
  readonly contestant: string;
  readonly point: Point;
  readonly metric: string;
  /** Whether the two are ratios to the router, or plain values. */
  readonly relative: boolean;
  readonly before: Summary;
  readonly after: Summary;
  /** Median after over median before. */
  readonly factor: number;
  readonly better: boolean;
  /** All values of one run are above all of the other. */
  readonly apart: boolean;
  /** Of the rank test, where both runs have repetitions enough for it. */
  readonly chance?: number;
}

/** Something that makes the two runs less comparable. */
export interface Difference {
  readonly what: string;
  readonly before: string;
  readonly after: string;
}

/** A contestant at a point that failed in one of the runs, or more often in one. */
export interface FailureChange {
  readonly figure: string;
  readonly contestant: string;
  readonly point: Point;
  readonly before: number;
  readonly after: number;
  /** Of the run that has more of them. */
  readonly reason: string;
}

export interface Comparison {
  readonly before: RunName;
  readonly after: RunName;
  readonly absolute: boolean;
  readonly differences: readonly Difference[];
  /** By size, the greatest first. */
  readonly movements: readonly Movement[];
  /** How many numbers both files have, and of how many of them noise can be told from movement. */
  readonly compared: number;
  readonly decidable: number;
  /** How many of them would seem to move though nothing did. */
  readonly byChance: number;
  readonly failures: readonly FailureChange[];
  /** Contestants in figures that only one of the files has. */
  readonly onlyBefore: readonly string[];
  readonly onlyAfter: readonly string[];
  /** Of both files, for those who show it. */
  readonly figures: readonly FigureFacts[];
}

export interface RunName {
  readonly begun: string;
  readonly version: string;
  readonly commit: string;
  readonly modified: boolean;
}

export interface CompareOptions {
  /** Plain values instead of ratios to the router. */
  readonly absolute?: boolean;
}

/** Fewer repetitions in one of the runs, and the rank test can say nothing at its level. */
const RANKED = 4;
/** With one repetition there is no spread, and everything would be apart. */
const DECIDABLE = 2;
const LEVEL = 0.05;

const nameOf = ({ begun, symsplice }: Results): RunName => ({ begun, ...symsplice });

function differencesOf(before: Results, after: Results): Difference[] {
  const facts = ({ machine, method }: Results): Record<string, string> => ({
    processor: machine.model,
    processors: String(machine.processors),
    memory: String(machine.memoryBytes),
    virtual: machine.virtual,
    kernel: machine.kernel,
    distribution: machine.distribution,
    node: machine.node,
    ...Object.fromEntries(Object.entries(machine.mitigations).map(([name, state]) => [`mitigation ${name}`, state])),
    'IP version': String(method.family),
    'seconds of a trial': String(method.seconds),
    'warm-up': String(method.warmup),
    quick: method.quick ? 'yes' : 'no',
    hosts: method.hosts.join(', '),
  });
  const versions = ({ contestants }: Results): Record<string, string> =>
    Object.fromEntries(
      contestants.filter(({ name }) => !name.startsWith('ours-')).map(({ name, version }) => [name, version]),
    );
  const changed = (one: Record<string, string>, other: Record<string, string>, both: boolean): Difference[] =>
    [...new Set([...Object.keys(one), ...Object.keys(other)])]
      .filter((what) => one[what] !== other[what] && (!both || (what in one && what in other)))
      .map((what) => ({ what, before: one[what] ?? 'unknown', after: other[what] ?? 'unknown' }));
  return [...changed(facts(before), facts(after), false), ...changed(versions(before), versions(after), true)];
}

/** Trials of both runs at one point of one figure. */
interface Pair {
  readonly figure: FigureFacts;
  readonly point: Point;
  readonly before: readonly Trial[];
  readonly after: readonly Trial[];
}

function pairsOf(before: Results, after: Results): Pair[] {
  return figuresOf(before, after).flatMap((figure) => {
    const own = ({ trials }: Results): readonly Trial[] => trials.filter((trial) => trial.figure === figure.id);
    const [old, young] = [own(before), own(after)];
    const points = sortedPoints(
      [...old, ...young].map(({ point }) => point),
      figure.axes,
    );
    const [oldBy, youngBy] = [byPoint(old), byPoint(young)];
    return points.map((point) => {
      const key = pointKey(point);
      return { figure, point, before: oldBy.get(key) ?? [], after: youngBy.get(key) ?? [] };
    });
  });
}

function figuresOf(before: Results, after: Results): FigureFacts[] {
  const known = new Set(after.figures.map(({ id }) => id));
  return [...after.figures, ...before.figures.filter(({ id }) => !known.has(id))];
}

const succeeded = (trials: readonly Trial[]): readonly Trial[] => trials.filter(({ failure }) => failure === undefined);

const contestantsOf = (trials: readonly Trial[]): string[] => [...new Set(trials.map(({ contestant }) => contestant))];

/** What is compared of one contestant in one run: ratios, or plain values. */
function sample(trials: readonly Trial[], contestant: string, metric: Metric, relative: boolean): number[] {
  const good = succeeded(trials);
  const mine = good.filter((trial) => trial.contestant === contestant);
  if (relative) return ratiosByRepetition(mine, metric, ROUTER, good);
  return mine.map((trial) => trial.values[metric.id] ?? NaN).filter(Number.isFinite);
}

/** Whether both runs have the router there with this metric, so that ratios can be formed. */
function hasRouter(pair: Pair, metric: Metric): boolean {
  const there = (trials: readonly Trial[]): boolean =>
    succeeded(trials).some(
      ({ contestant, values }) => ROUTER.of.includes(contestant) && (values[metric.id] ?? 0) !== 0,
    );
  return there(pair.before) && there(pair.after);
}

interface Verdict {
  readonly movement: Movement;
  readonly moved: boolean;
  readonly decidable: boolean;
  /** How likely `moved` is though nothing moved. */
  readonly chance: number;
}

function judge(pair: Pair, contestant: string, metric: Metric, relative: boolean): Verdict | undefined {
  const [old, young] = [
    sample(pair.before, contestant, metric, relative),
    sample(pair.after, contestant, metric, relative),
  ];
  const [before, after] = [summarize(old), summarize(young)];
  if (before === undefined || after === undefined) return undefined;
  const fewest = Math.min(before.count, after.count);
  const apart = before.max < after.min || after.max < before.min;
  const chance = fewest >= RANKED ? rankTest(old, young) : undefined;
  const moved =
    before.median !== after.median && (chance === undefined ? apart && fewest >= DECIDABLE : chance <= LEVEL);
  const luck = (): number =>
    fewest >= RANKED
      ? attainedLevel(before.count, after.count, LEVEL)
      : // Without the test, only the two orders in which one run is all above the other count as movement.
        2 / binomial(before.count + after.count, before.count);
  return {
    movement: {
      figure: pair.figure.id,
      contestant,
      point: pair.point,
      metric: metric.id,
      relative,
      before,
      after,
      factor: after.median / before.median,
      better: after.median < before.median === metric.lowerIsBetter,
      apart,
      ...(chance === undefined ? {} : { chance }),
    },
    moved,
    decidable: fewest >= DECIDABLE,
    chance: fewest >= DECIDABLE ? luck() : 0,
  };
}

function binomial(n: number, k: number): number {
  let result = 1;
  for (let i = 1; i <= k; i++) result = (result * (n - k + i)) / i;
  return result;
}

function judgePair(pair: Pair, absolute: boolean): Verdict[] {
  return pair.figure.metrics.flatMap((metric) => {
    const relative = !absolute && hasRouter(pair, metric);
    return contestantsOf([...pair.before, ...pair.after])
      .filter((contestant) => !(relative && ROUTER.of.includes(contestant)))
      .flatMap((contestant) => judge(pair, contestant, metric, relative) ?? []);
  });
}

function failureChanges(pair: Pair): FailureChange[] {
  const failed = (trials: readonly Trial[], contestant: string): string[] =>
    trials.flatMap((trial) => (trial.contestant === contestant && trial.failure !== undefined ? [trial.failure] : []));
  return contestantsOf(pair.before)
    .filter((name) => contestantsOf(pair.after).includes(name))
    .flatMap((contestant) => {
      const [before, after] = [failed(pair.before, contestant), failed(pair.after, contestant)];
      if (before.length === after.length) return [];
      const reason = (after.length > before.length ? after : before)[0] ?? '';
      const { figure, point } = pair;
      return [{ figure: figure.id, contestant, point, before: before.length, after: after.length, reason }];
    });
}

/** How far from 1, in whichever direction; from or to nothing is farthest. */
function size({ factor }: Movement): number {
  const distance = Math.abs(Math.log(Math.abs(factor)));
  return Number.isNaN(distance) ? Infinity : distance;
}

/** `throughput: dante`, for each figure in which a contestant took part. */
function participants({ trials }: Results): Set<string> {
  return new Set(trials.map(({ figure, contestant }) => `${figure}: ${contestant}`));
}

export function compareResults(before: Results, after: Results, options: CompareOptions = {}): Comparison {
  const absolute = options.absolute ?? false;
  const pairs = pairsOf(before, after);
  const verdicts = pairs.flatMap((pair) => judgePair(pair, absolute));
  const [old, young] = [participants(before), participants(after)];
  return {
    before: nameOf(before),
    after: nameOf(after),
    absolute,
    differences: differencesOf(before, after),
    movements: verdicts
      .filter(({ moved }) => moved)
      .map(({ movement }) => movement)
      .sort((a, b) => size(b) - size(a) || 0),
    compared: verdicts.length,
    decidable: verdicts.filter(({ decidable }) => decidable).length,
    byChance: verdicts.reduce((sum, { chance }) => sum + chance, 0),
    failures: pairs.flatMap(failureChanges),
    onlyBefore: [...old].filter((name) => !young.has(name)),
    onlyAfter: [...young].filter((name) => !old.has(name)),
    figures: figuresOf(before, after),
  };
}
