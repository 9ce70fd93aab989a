/** Figure b: how much goes through, against the number of connections that share it. */
import { compared, CPU_PER_GB, GBPS, metricsOf, PROXY_PER_GB, valuesOf } from '../metrics.js';
import { CONNECTIONS } from '../modes.js';
import type { LoadFigure } from './figure.js';
import { FAST, FEW } from './line-ups.js';

const MEASURES = [compared(GBPS), compared(CPU_PER_GB), PROXY_PER_GB];

export const throughput: LoadFigure = {
  kind: 'load',
  facts: {
    id: 'throughput',
    letter: 'b',
    title: 'Throughput against connections',
    about:
      'Downloads as fast as they go, over 1 to 1,000 connections at once, all of them together. Client and server share ' +
      'the machine with the proxy: the router shows what is left when the proxy costs nothing.',
    metrics: metricsOf(MEASURES),
    axes: [CONNECTIONS],
  },
  contestants: (quick) => (quick ? FEW : FAST),
  points: (quick) => (quick ? [1, 100] : [1, 10, 100, 1000]).map((connections) => ({ connections })),
  workload: (point) => ({ mode: 'download', connections: Number(point['connections']) }),
  values: (result) => valuesOf(MEASURES, result),
};
