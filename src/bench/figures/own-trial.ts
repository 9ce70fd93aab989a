/** What figures that measure by themselves have in common: their trials, and how long an interval is. */
import type { Point, Trial } from '../model.js';
import type { Bench } from './figure.js';

export type Values = Readonly<Record<string, number>>;

export interface TrialPlace {
  readonly figure: string;
  readonly rep: number;
  readonly contestant: string;
  readonly point: Point;
}

/** What is not finite was not measured and is left out. */
export function measured(place: TrialPlace, values: Values, othersShare?: number): Trial {
  const finite = Object.entries(values).filter(([, value]) => Number.isFinite(value));
  return { ...place, values: Object.fromEntries(finite), ...(othersShare === undefined ? {} : { othersShare }) };
}

export function failed(place: TrialPlace, error: unknown): Trial {
  return { ...place, values: {}, failure: error instanceof Error ? error.message : String(error) };
}

/** A quick run shows that it works. */
const QUICK_SECONDS = 0.4;

/** Of one interval in which the kernel counts. */
export const intervalSeconds = ({ quick, seconds }: Bench): number =>
  quick ? Math.min(seconds, QUICK_SECONDS) : seconds;
