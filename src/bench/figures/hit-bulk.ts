/** Figure i: a large object out of a cache. */
import { compared, CPU_PER_GB, GBPS, metricsOf, PROXY_PER_GB, SOFTIRQ_PER_GB, valuesOf } from '../metrics.js';
import { CONNECTIONS } from '../modes.js';
import type { LoadFigure } from './figure.js';
import { CACHES, notFromCache, PROCESSORS, processorsOf, withProcessors } from './http-points.js';

export const GIGABYTE = 1e9;

const MEASURES = [compared(CPU_PER_GB), compared(GBPS), PROXY_PER_GB, SOFTIRQ_PER_GB];

export const hitBulk: LoadFigure = {
  kind: 'load',
  traffic: 'http',
  facts: {
    id: 'hit-bulk',
    letter: 'i',
    title: 'HTTP cache: hits on an object of 1 GB',
    about:
      'One object of 10^9 bytes that the cache has, again and again over connections that last. Processor time is that of ' +
      'the whole machine, client included. The router is the origin itself, without anything between.',
    metrics: metricsOf(MEASURES),
    axes: [PROCESSORS, CONNECTIONS],
  },
  contestants: () => CACHES,
  points: (quick) => withProcessors(quick ? [{ connections: 1 }] : [{ connections: 1 }, { connections: 8 }], quick),
  processors: processorsOf,
  // Once for each of some connections where there may be several workers, each with a cache of its own.
  prime: (point) => {
    const connections = processorsOf(point) === 1 ? 1 : 8;
    return { mode: 'http', connections, size: GIGABYTE, count: connections };
  },
  workload: (point) => ({ mode: 'http', connections: Number(point['connections']), size: GIGABYTE }),
  flaw: notFromCache,
  values: (result) => valuesOf(MEASURES, result),
};
