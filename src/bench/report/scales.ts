/** Axes of pictures: which ticks, and what is written beside them. Pure; for the builders of specifications. */
import type { Axis, Metric } from '../model.js';
import { formatPlace, isMicroseconds } from './numbers.js';

const TIME =
  "datum.value >= 1e6 ? format(datum.value / 1e6, '~g') + ' s' : " +
  "datum.value >= 1e3 ? format(datum.value / 1e3, '~g') + ' ms' : format(datum.value, '~g') + ' µs'";
const NUMBER = "datum.value >= 1e4 ? format(datum.value, '~s') : format(datum.value, ',~g')";
const SHARE = "format(100 * datum.value, '~g') + ' %'";

/** Expressions of Vega that write the label of a tick. */
export const LABELS = { time: TIME, number: NUMBER, share: SHARE } as const;

export const labelsOf = (metric: Metric): string => (isMicroseconds(metric) ? TIME : NUMBER);

/** Ticks at the very places that were measured, written as the tables write them. */
export function placeLabels(places: readonly number[], axis: Axis): string {
  const names = Object.fromEntries(places.map((place) => [String(place), formatPlace(place, axis)]));
  return `${JSON.stringify(names)}[datum.value]`;
}

/** From few steps to many: the first that give three ticks. */
const STEPS = [[1], [1, 2, 5], [1, 1.5, 2, 3, 4, 5, 6, 8]] as const;

/** Powers of ten within the range, with steps between them where that gives few. */
export function logTicks(min: number, max: number): number[] {
  const ticks = (steps: readonly number[]): number[] => {
    const found: number[] = [];
    for (let power = Math.floor(Math.log10(min)); power <= Math.ceil(Math.log10(max)); power++) {
      // Through text, for 3 * 10 ** -1 is not 0.3.
      for (const step of steps) found.push(Number(`${step}e${power}`));
    }
    return found.filter((tick) => tick >= min && tick <= max);
  };
  const choices = STEPS.map(ticks);
  return choices.find(({ length }) => length >= 3) ?? choices.at(-1) ?? [];
}

/** A logarithmic domain with some air at both ends. */
export function logDomain(values: readonly number[]): [number, number] | undefined {
  const positive = values.filter((value) => value > 0 && Number.isFinite(value));
  if (positive.length === 0) return undefined;
  return [Math.min(...positive) / 1.25, Math.max(...positive) * 1.25];
}

export interface PlaceScale {
  readonly type: 'log' | 'linear' | 'symlog';
  readonly constant?: number;
  /** False where zero need not be seen. */
  readonly zero?: false;
}

/** The scale of an axis: ticks that would stand on each other on a linear one are spread, zero included. */
export function placeScale(places: readonly number[], axis: Axis): PlaceScale {
  const sorted = [...places].sort((a, b) => a - b);
  const [first = 0, second = 1] = sorted;
  const last = sorted.at(-1) ?? 1;
  if (axis.scale === 'log' && first > 0) return { type: 'log' };
  const gaps = sorted.slice(1).map((place, at) => place - (sorted[at] ?? 0));
  const crowded = Math.min(...gaps) < (last - first) / 12;
  return first >= 0 && crowded
    ? { type: 'symlog', constant: first > 0 ? first : second }
    : { type: 'linear', zero: false };
}
