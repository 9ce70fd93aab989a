/** Figure j: a large object that no cache has yet, with keeping a copy and without. */
import { compared, CPU_PER_GB, GBPS, metricsOf, PROXY_PER_GB, SOFTIRQ_PER_GB, valuesOf } from '../metrics.js';
import type { LoadFigure } from './figure.js';
import { GIGABYTE } from './hit-bulk.js';
import { FRONTS, PROCESSORS, processorsOf, withProcessors } from './http-points.js';

const MEASURES = [compared(CPU_PER_GB), compared(GBPS), PROXY_PER_GB, SOFTIRQ_PER_GB];

export const missBulk: LoadFigure = {
  kind: 'load',
  traffic: 'http',
  facts: {
    id: 'miss-bulk',
    letter: 'j',
    title: 'HTTP cache: misses on objects of 1 GB',
    about:
      'One connection, objects of 10^9 bytes, each under a URL that nobody has asked for before. nginx-proxy and ' +
      'ours-http-nocache keep no copy: what the copy costs is the ratio of two contestants. Caches are in memory (tmpfs), ' +
      'so that no disk is measured.',
    metrics: metricsOf(MEASURES),
    axes: [PROCESSORS],
  },
  contestants: () => FRONTS,
  points: (quick) => withProcessors([{}], quick),
  processors: processorsOf,
  workload: () => ({ mode: 'http', connections: 1, size: GIGABYTE, args: ['--cold'] }),
  values: (result) => valuesOf(MEASURES, result),
};
