/**
 * The distribution of times, from the histograms of the trials: how many were done by then, and, on a scale of its own,
 * the tail: how many took longer. Figure c.
 */
import type { TopLevelSpec } from 'vega-lite';
import type { FigureFacts, Results, Trial } from '../model.js';
import { colorOf, dashOf, WIDTH } from './encode.js';
import { LABELS, logTicks } from './scales.js';
import { castOf } from './style.js';

export interface Step {
  readonly us: number;
  /** Share of all that took at most so long. */
  readonly within: number;
}

/** All repetitions together: their histograms have the same buckets. */
export function distributionOf(trials: readonly Trial[]): Step[] {
  const counts = new Map<number, number>();
  for (const { load, failure } of trials) {
    if (failure !== undefined) continue;
    for (const [us, count] of load?.latencyUs.buckets ?? []) counts.set(us, (counts.get(us) ?? 0) + count);
  }
  const all = [...counts.values()].reduce((sum, count) => sum + count, 0);
  let below = 0;
  return [...counts]
    .sort(([a], [b]) => a - b)
    .map(([us, count]) => {
      below += count;
      return { us, within: below / all };
    });
}

/** The time within which this share of all was done. */
export function quantileOf(steps: readonly Step[], share: number): number {
  return steps.find(({ within }) => within >= share)?.us ?? NaN;
}

/** Points of a curve closer than this share are one: histograms are finer than pictures. */
const CLOSE = 1.015;

/** Without those that nobody would see, the last one kept. */
export function thinned(steps: readonly Step[]): Step[] {
  let previous = 0;
  return steps.filter(({ us }, at) => {
    const far = us >= previous * CLOSE || at === steps.length - 1;
    if (far) previous = us;
    return far;
  });
}

export function distributionSpec(figure: FigureFacts, results: Results): TopLevelSpec | undefined {
  const own = results.trials.filter((trial) => trial.figure === figure.id);
  const names = [...new Set(own.map(({ contestant }) => contestant))];
  const found = names
    .map((name) => ({ name, steps: distributionOf(own.filter(({ contestant }) => contestant === name)) }))
    .filter(({ steps }) => steps.length > 1);
  if (found.length === 0) return undefined;
  const cast = castOf(results, new Set(found.map(({ name }) => name)));
  const curves = cast.flatMap(({ name, title, look }) => {
    const steps = found.find((one) => one.name === name)?.steps ?? [];
    return thinned(steps).map(({ us, within }) => ({ who: title, width: look.width, us, within, beyond: 1 - within }));
  });

  const first = Math.min(...found.map(({ steps }) => quantileOf(steps, 0.002)));
  const bodyEnd = Math.max(...found.map(({ steps }) => quantileOf(steps, 0.95)));
  const last = Math.max(...curves.map(({ us }) => us));
  // The last of all leaves nobody beyond: a logarithm has no place for it.
  const tail = curves.filter(({ beyond }) => beyond > 1e-9);
  const least = Math.max(1e-6, Math.min(...tail.map(({ beyond }) => beyond)));

  const encoding = { color: colorOf(cast), strokeDash: dashOf(cast), strokeWidth: WIDTH };
  const time = (min: number, max: number, title: string) => ({
    field: 'us',
    type: 'quantitative' as const,
    scale: { type: 'log' as const, domain: [min, max], nice: false },
    axis: { title, grid: true, values: logTicks(min, max), labelExpr: LABELS.time },
  });
  const panel = { width: 300, height: 300 };
  const mark = { type: 'line', strokeJoin: 'round', interpolate: 'linear' } as const;
  return {
    hconcat: [
      {
        ...panel,
        title: { text: 'Done within', fontSize: 13, anchor: 'start', offset: 8 },
        data: { values: curves.filter(({ us }) => us >= first && us <= bodyEnd) },
        mark,
        encoding: {
          ...encoding,
          x: time(first, bodyEnd, 'round trip'),
          y: {
            field: 'within',
            type: 'quantitative',
            scale: { domain: [0, 1] },
            axis: { title: 'share of round trips', tickCount: 5, labelExpr: LABELS.share },
          },
        },
      },
      {
        ...panel,
        title: { text: 'The tail: took longer', fontSize: 13, anchor: 'start', offset: 8 },
        data: { values: tail.filter(({ us, beyond }) => us >= first && beyond >= least) },
        mark,
        encoding: {
          ...encoding,
          x: time(first, last, 'round trip'),
          y: {
            field: 'beyond',
            type: 'quantitative',
            scale: { type: 'log', domain: [least, 1], nice: false },
            axis: { title: null, values: logTicks(least, 1), labelExpr: LABELS.share },
          },
        },
      },
    ],
    spacing: 30,
  };
}
