/** Figure l: how long a response takes while hits, misses and large objects are under way together. */
import { compared, latency, metricsOf, perSecond, proxyEach, valuesOf } from '../metrics.js';
import type { LoadFigure } from './figure.js';
import { CACHES_IN_TIME, PROCESSORS, processorsOf, withProcessors } from './http-points.js';

/** Not the machine's processor time: the kernel counts it in ticks, which short work at a low rate slips through. */
const MEASURES = [
  compared(latency('p99')),
  compared(latency('p50')),
  latency('p999'),
  proxyEach('request', 1),
  perSecond('requests'),
];
const CONNECTIONS = 32;
const OBJECTS = 4096;
/** The large ones of the load generator's mode `web`. */
const LARGE_OBJECTS = 16;
const PRIMERS = 4;
/** Requests a second. Below what the slowest of them can do on one processor: a queue that only grows has no p99. */
const RATES = [1000, 4000];
/** Where fewer of the requests than that could be sent in time, times say how long the queue was, not more. */
const SUSTAINED = 0.97;

export const mixedWeb: LoadFigure = {
  kind: 'load',
  traffic: 'http',
  facts: {
    id: 'mixed-web',
    letter: 'l',
    title: 'HTTP cache: times under a mixed load',
    about:
      'Requests at a fixed rate over 32 connections: 94 % hits on 4096 objects of 1 to 64 KiB by Zipf, 5 % misses of such ' +
      'sizes, 1 % hits on 16 objects of 1 MiB. A request that finds no connection free counts from when it was due. No ' +
      'times where the rate was not reached.',
    metrics: metricsOf(MEASURES),
    axes: [PROCESSORS, { id: 'rate', title: 'requests/s asked for', scale: 'log' }],
  },
  contestants: () => CACHES_IN_TIME,
  points: (quick) =>
    withProcessors(
      (quick ? RATES.slice(0, 1) : RATES).map((rate) => ({ rate })),
      quick,
    ),
  processors: processorsOf,
  // More than there are: as long as the last of them is under way, others come round again.
  prime: () => ({
    mode: 'web',
    connections: PRIMERS,
    args: ['--objects', String(OBJECTS), '--in-turn'],
    count: OBJECTS + LARGE_OBJECTS + PRIMERS,
  }),
  workload: (point) => ({
    mode: 'web',
    connections: CONNECTIONS,
    args: ['--objects', String(OBJECTS), '--rate', String(point['rate'])],
  }),
  // A hundredth of the requests is what p99 stands on.
  stretch: () => 3,
  values: (result, point) => {
    const values = valuesOf(MEASURES, result);
    if (result.perSecond >= SUSTAINED * Number(point['rate'])) return values;
    return Object.fromEntries(Object.entries(values).filter(([id]) => !/^p\d+us$/.test(id)));
  },
};
