/** What the figures of HTTP caches have in common: who takes part, their first axis, and when a hit is a hit. */
import type { Axis, LoadResult, Point } from '../model.js';

/** Those that keep what they fetch. The router stands for the origin itself. */
export const CACHES = ['router', 'nginx-cache', 'varnish', 'ours-http'] as const;
/** Where times count, nginx takes part in both ways in which it is set up; its configuration says why. */
export const CACHES_IN_TIME = ['router', 'nginx-cache', 'nginx-cache-push', 'varnish', 'ours-http'] as const;
/** And those that keep nothing, for what a miss costs beyond passing on. */
export const FRONTS = [...CACHES, 'nginx-proxy', 'ours-http-nocache'] as const;

const KEEPS_NOTHING = ['router', 'nginx-proxy', 'ours-http-nocache'];

/** Of the contestant. With one, the load has the others to itself; with two of two, all share. */
export const PROCESSORS: Axis = { id: 'processors', title: 'processors', scale: 'names' };

export const processorsOf = (point: Point): number => Number(point['processors']);

/** Each point with one processor and with two; all points of one number before the other, since each needs a new start. */
export function withProcessors(points: readonly Point[], quick: boolean): Point[] {
  return (quick ? [1] : [1, 2]).flatMap((processors) => points.map((point) => ({ processors, ...point })));
}

/** Of a thousand responses that should all come from the cache, so many may not. */
const FRESH_SHARE = 0.001;

/** Hits are what the figure is about: a cache that asks the origin has not been measured. */
export function notFromCache({ fresh = 0, operations }: LoadResult, contestant: string): string | undefined {
  if (KEEPS_NOTHING.includes(contestant.split(' ')[0] ?? '')) return undefined;
  // A transfer that the end of the interval cuts off is no operation, but its head has been counted.
  if (fresh <= Math.max(operations, 1) * FRESH_SHARE) return undefined;
  return `${fresh} of ${operations} responses came from the origin, not from the cache`;
}
