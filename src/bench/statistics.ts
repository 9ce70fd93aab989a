/**
 * From trials to rows: the median with least and greatest over the repetitions, and ratios that are formed inside one
 * repetition first, so that what the machine did meanwhile hits both sides. Pure.
 */
import type { FigureFacts, Metric, Point, Row, Summary, Trial } from './model.js';
import { shareOfOthers } from './processor-time.js';

export interface Reference {
  readonly name: string;
  /** Where it is several, the best of them in that repetition counts. */
  readonly of: readonly string[];
}

/** What is left when a relay costs nothing. */
export const ROUTER: Reference = { name: 'router', of: ['router'] };

/** Whom everybody is compared with. */
export const REFERENCES: readonly Reference[] = [
  ROUTER,
  { name: 'HAProxy/Dante', of: ['haproxy-splice', 'dante'] },
  { name: 'SOCKS server', of: ['microsocks', 'dante'] },
  { name: 'ours-splice', of: ['ours-splice'] },
  { name: 'nginx cache', of: ['nginx-cache', 'nginx-cache-push'] },
  { name: 'Varnish', of: ['varnish'] },
  { name: 'nginx proxy', of: ['nginx-proxy'] },
  { name: 'no cache', of: ['ours-http-nocache'] },
];

/** Who stands behind the names of references that are several, as far as one of them has been measured; may be empty. */
export function explainReferences(rows: readonly Pick<Row, 'contestant'>[]): string {
  const there = new Set(rows.map(({ contestant }) => contestant));
  return REFERENCES.filter(({ of }) => of.length > 1 && of.some((name) => there.has(name)))
    .map(({ name, of }) => `${name}: the better of ${of.join(' and ')}`)
    .join('; ');
}

/** A trial during which others used more than this share of the machine is marked as noisy. */
export const NOISE = 0.05;

/** Undefined when nothing is left: what is not finite was not measured. */
export function summarize(values: readonly number[]): Summary | undefined {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  const [min, max] = [sorted[0], sorted.at(-1)];
  if (min === undefined || max === undefined) return undefined;
  const upper = sorted[sorted.length >> 1] ?? max;
  const lower = sorted[(sorted.length - 1) >> 1] ?? min;
  // Not (lower + upper) / 2, which overflows, and which rounding can carry out of [lower, upper].
  const middle = lower === upper ? lower : lower / 2 + upper / 2;
  return { median: Math.min(upper, Math.max(lower, middle)), min, max, count: sorted.length };
}

/** The same for two points with the same values on the same axes, whatever their order. */
export function pointKey(point: Point): string {
  return JSON.stringify(Object.entries(point).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Things by the points they stand at. */
export function byPoint<T extends { readonly point: Point }>(all: readonly T[]): Map<string, T[]> {
  const found = new Map<string, T[]>();
  for (const one of all) {
    const key = pointKey(one.point);
    const there = found.get(key);
    if (there === undefined) found.set(key, [one]);
    else there.push(one);
  }
  return found;
}

/** Points of a figure without repetition: numbers by size, names as they first come, the first axis first. */
export function sortedPoints(points: readonly Point[], axes: readonly { readonly id: string }[]): Point[] {
  const distinct = [...new Map(points.map((point) => [pointKey(point), point])).values()];
  const seen = new Map(axes.map(({ id }) => [id, [...new Set(distinct.map((point) => point[id]))]]));
  const along = (id: string, a: Point, b: Point): number => {
    const [left, right] = [a[id], b[id]];
    if (typeof left === 'number' && typeof right === 'number') return left - right;
    const order = seen.get(id) ?? [];
    return order.indexOf(left) - order.indexOf(right);
  };
  return distinct.sort((a, b) => axes.reduce((order, { id }) => order || along(id, a, b), 0));
}

export function isNoisy(trial: Trial): boolean {
  const share = trial.othersShare ?? (trial.load === undefined ? 0 : shareOfOthers(trial.load.cpu));
  return share > NOISE;
}

/** Values of one trial over the best of the reference's in the same repetition; NaN where one of them is missing. */
function ratioOf(trial: Trial, metric: Metric, reference: Reference, peers: readonly Trial[]): number {
  const values = peers
    .filter((peer) => peer.rep === trial.rep && reference.of.includes(peer.contestant))
    .map((peer) => peer.values[metric.id] ?? NaN)
    .filter(Number.isFinite);
  const best = metric.lowerIsBetter ? Math.min(...values) : Math.max(...values);
  return values.length === 0 ? NaN : (trial.values[metric.id] ?? NaN) / best;
}

/** Of one contestant at one point against a reference, by repetition: what a comparison of two runs goes by. */
export function ratiosByRepetition(
  mine: readonly Trial[],
  metric: Metric,
  reference: Reference,
  peers: readonly Trial[],
): number[] {
  return mine.map((trial) => ratioOf(trial, metric, reference, peers)).filter(Number.isFinite);
}

/** The first metric of a figure always stands in the tables of ratios. */
export function comparedMetrics(figure: FigureFacts): Metric[] {
  return figure.metrics.filter((metric, index) => index === 0 || metric.compared === true);
}

/** By name, those that have a value. */
function collect(entries: readonly (readonly [string, Summary | undefined])[]): Record<string, Summary> {
  return Object.fromEntries(entries.filter((entry): entry is readonly [string, Summary] => entry[1] !== undefined));
}

function rowOf(figure: FigureFacts, contestant: string, point: Point, peers: readonly Trial[]): Row {
  const good = peers.filter((trial) => trial.failure === undefined);
  const mine = good.filter((trial) => trial.contestant === contestant);
  const against = (reference: Reference): Record<string, Summary> =>
    collect(
      comparedMetrics(figure).map((metric) => [
        metric.id,
        summarize(ratiosByRepetition(mine, metric, reference, good)),
      ]),
    );
  const ratios = REFERENCES.map((reference) => [reference.name, against(reference)] as const);
  return {
    figure: figure.id,
    contestant,
    point,
    values: collect(
      figure.metrics.map(({ id }) => [id, summarize(mine.map((trial) => trial.values[id] ?? NaN))] as const),
    ),
    ratios: Object.fromEntries(ratios.filter(([, byMetric]) => Object.keys(byMetric).length > 0)),
    noisy: mine.filter(isNoisy).length,
    failures: peers.flatMap((trial) =>
      trial.contestant === contestant && trial.failure !== undefined ? [trial.failure] : [],
    ),
  };
}

/**
 * One row for each figure, point and contestant that has a trial there, in this order; contestants as in `order`, others
 * behind them as they first come. Trials that failed count for nothing but `failures`.
 */
export function rowsOf(
  trials: readonly Trial[],
  figures: readonly FigureFacts[],
  order: readonly string[] = [],
): Row[] {
  const contestants = [...new Set([...order, ...trials.map((trial) => trial.contestant)])];
  return figures.flatMap((figure) => {
    const own = trials.filter((trial) => trial.figure === figure.id);
    const points = sortedPoints(
      own.map(({ point }) => point),
      figure.axes,
    );
    const there = byPoint(own);
    return points.flatMap((point) => {
      const peers = there.get(pointKey(point)) ?? [];
      return contestants
        .filter((name) => peers.some((trial) => trial.contestant === name))
        .map((name) => rowOf(figure, name, point, peers));
    });
  });
}
