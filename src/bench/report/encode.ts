/** What all pictures share: one field `who`, coloured, dashed and shaped by contestant, with one legend for the three. */
import type { TopLevelSpec } from 'vega-lite';
import type { Named } from './style.js';

/** One picture of several side by side. */
export type Panel = Extract<TopLevelSpec, { readonly hconcat: unknown }>['hconcat'][number];

const WHO = { field: 'who', type: 'nominal' } as const;

const domain = (cast: readonly Named[]): string[] => cast.map(({ title }) => title);

// The same for all channels: one that had none would take the legend of the others with it.
const LEGEND = { title: null, symbolSize: 110, symbolOpacity: 1, symbolStrokeWidth: 2 };

/** `legend` is false in pictures that name contestants on an axis. */
export function colorOf(cast: readonly Named[], legend = true) {
  const scale = { domain: domain(cast), range: cast.map(({ look }) => look.color) };
  return { ...WHO, scale, legend: legend && cast.length > 1 ? LEGEND : null };
}

export function dashOf(cast: readonly Named[]) {
  const range = cast.map(({ look }) => (look.dash.length === 0 ? [1, 0] : [...look.dash]));
  return { ...WHO, scale: { domain: domain(cast), range }, legend: cast.length > 1 ? LEGEND : null };
}

export function shapeOf(cast: readonly Named[]) {
  return {
    ...WHO,
    scale: { domain: domain(cast), range: cast.map(({ look }) => look.shape) },
    legend: cast.length > 1 ? LEGEND : null,
  };
}

/** Of the line, from the data: a scale would have a legend of its own. */
export const WIDTH = { field: 'width', type: 'quantitative', scale: null } as const;
