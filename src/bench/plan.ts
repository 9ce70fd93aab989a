/** What a run will do and about how long that takes, before anything is started. */
import { SpliceError } from '../errors.js';
import type { Figure, LoadFigure, OwnFigure } from './figures/figure.js';
import type { Contestant, Host, Point, Results } from './model.js';

export interface RunOptions {
  readonly quick: boolean;
  readonly repetitions: number;
  readonly seconds: number;
  readonly warmup: number;
  /** Contestants for every figure, instead of each figure's own. */
  readonly only?: readonly string[];
}

interface Planned {
  readonly contestants: readonly Contestant[];
  readonly repetitions: number;
  /** Of one repetition. */
  readonly seconds: number;
}

export interface PlannedLoad extends Planned {
  readonly figure: LoadFigure;
  /** In order, for each contestant. */
  readonly points: readonly Point[];
}

export interface PlannedOwn extends Planned {
  readonly figure: OwnFigure;
}

export type PlannedFigure = PlannedLoad | PlannedOwn;

export interface Plan {
  readonly figures: readonly PlannedFigure[];
  /** Everybody who takes part in something, in the order of the figures. */
  readonly contestants: readonly Contestant[];
  readonly leftOut: Results['leftOut'];
  /** About. */
  readonly seconds: number;
}

/** Start, round trip, quiet, end: as seen on a small machine. */
export const SESSION_SECONDS = 1.1;
/** Start of the load generator, opening and closing connections. */
const TRIAL_SECONDS = 0.15;

export const isPlannedLoad = (planned: PlannedFigure): planned is PlannedLoad => planned.figure.kind === 'load';

export function intervalOf(
  figure: LoadFigure,
  point: Point,
  { seconds, warmup }: Pick<RunOptions, 'seconds' | 'warmup'>,
): { readonly seconds: number; readonly warmup: number } {
  return { seconds: seconds * (figure.stretch?.(point) ?? 1), warmup };
}

export function secondsOfTrial(figure: LoadFigure, point: Point, options: RunOptions): number {
  const { seconds, warmup } = intervalOf(figure, point, options);
  return seconds + warmup + TRIAL_SECONDS;
}

/** Points at which a contestant is measured. */
export const pointsOf = ({ figure, points }: PlannedLoad, contestant: string): readonly Point[] =>
  points.filter((point) => figure.omits?.(contestant, point) === undefined);

/**
 * `choose` makes contestants of names and throws for a name that it does not know. A contestant that cannot be started on
 * `proxy` is left out, with the reason.
 */
export async function makePlan(
  figures: readonly Figure[],
  options: RunOptions,
  proxy: Host,
  choose: (names: readonly string[]) => readonly Contestant[],
): Promise<Plan> {
  const wanted = (figure: Figure): readonly string[] => {
    const own = figure.contestants(options.quick);
    if (own.length === 0 || options.only === undefined) return own;
    return figure.kind === 'own' ? options.only.filter((name) => figure.takes?.(name) ?? true) : options.only;
  };
  const names = [...new Set(figures.flatMap(wanted))];
  const all = choose(names);
  const present = new Map<string, Contestant>();
  const missing: { contestant: string; reason: string }[] = [];
  // One after the other: to see whether it can be started, some are, and two of them would be in each other's way.
  for (const contestant of all) {
    const reason = await contestant.missing(proxy);
    if (reason === undefined) present.set(contestant.name, contestant);
    else missing.push({ contestant: contestant.name, reason });
  }
  if (names.length > 0 && present.size === 0) {
    const why = missing.map(({ contestant, reason }) => `${contestant}: ${reason}`).join('\n');
    throw new SpliceError('ERR_SPLICE_SYSTEM', `nobody is left to measure\n${why}`);
  }
  const planned = figures.flatMap((figure) => {
    const contestants = wanted(figure)
      .flatMap((name) => present.get(name) ?? [])
      .filter((one) => suits(figure, one));
    // Nobody is here for it, or it can measure none of those that the user names.
    const idle = contestants.length === 0 && figure.contestants(options.quick).length > 0;
    return idle ? [] : [planFigure(figure, contestants, options)];
  });
  const omitted = planned.filter(isPlannedLoad).flatMap(omissionsOf);
  return {
    figures: planned,
    contestants: [...present.values()],
    leftOut: [...missing, ...omitted],
    seconds: planned.reduce((total, one) => total + one.seconds * one.repetitions, 0),
  };
}

/** How often a contestant is started for a figure: once for each number of processors. */
const startsOf = ({ figure, points }: Pick<PlannedLoad, 'figure' | 'points'>): number =>
  new Set(points.map((point) => figure.processors?.(point))).size;

/** HTTP fronts pass nothing else on, and other relays than the router know nothing of an origin's objects. */
function suits(figure: Figure, { via }: Contestant): boolean {
  const http = figure.kind === 'load' && figure.traffic === 'http';
  return http ? via === 'http' || via === 'direct' : via !== 'http';
}

function planFigure(figure: Figure, contestants: readonly Contestant[], options: RunOptions): PlannedFigure {
  if (figure.kind === 'own') {
    const repetitions = Math.min(options.repetitions, figure.repetitions ?? options.repetitions);
    return { figure, contestants, repetitions, seconds: figure.seconds(options.quick, contestants.length) };
  }
  const planned = { figure, contestants, points: figure.points(options.quick), repetitions: options.repetitions };
  const seconds = contestants.reduce((total, { name }) => {
    const trials = pointsOf({ ...planned, seconds: 0 }, name).map((point) => secondsOfTrial(figure, point, options));
    return trials.reduce((sum, one) => sum + one, total + startsOf(planned) * SESSION_SECONDS);
  }, 0);
  return { ...planned, seconds };
}

function omissionsOf({ figure, points, contestants }: PlannedLoad): Results['leftOut'] {
  return contestants.flatMap(({ name }) =>
    points.flatMap((point) => {
      const reason = figure.omits?.(name, point);
      if (reason === undefined) return [];
      const where = Object.values(point).join(', ');
      return [{ contestant: name, reason: `${figure.facts.id}, ${where}: ${reason}` }];
    }),
  );
}
