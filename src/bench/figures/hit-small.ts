/** Figure k: small objects out of a cache, where every request costs and bytes cost nothing. */
import { compared, cpuEach, latency, metricsOf, perSecond, proxyEach, valuesOf } from '../metrics.js';
import { CONNECTIONS } from '../modes.js';
import type { LoadFigure } from './figure.js';
import { CACHES, notFromCache, PROCESSORS, processorsOf, withProcessors } from './http-points.js';

const MEASURES = [
  compared(perSecond('requests')),
  compared(proxyEach('request', 1)),
  cpuEach('request', 1),
  latency('p50'),
  latency('p99'),
];
const SIZE = 1024;
const OBJECTS = 64;

export const hitSmall: LoadFigure = {
  kind: 'load',
  traffic: 'http',
  facts: {
    id: 'hit-small',
    letter: 'k',
    title: 'HTTP cache: hits on objects of 1 KiB',
    about:
      '64 objects in turn, all of them in the cache, over connections that last, the next request as soon as the response ' +
      'is there. Proxy is the time of its processes, other numbers depend on the load generator beside it too.',
    metrics: metricsOf(MEASURES),
    axes: [PROCESSORS, CONNECTIONS],
  },
  contestants: () => CACHES,
  points: (quick) => withProcessors(quick ? [{ connections: 8 }] : [{ connections: 8 }, { connections: 64 }], quick),
  processors: processorsOf,
  // So often that every worker has seen every object, also where each has a cache of its own.
  prime: () => ({
    mode: 'http',
    connections: 16,
    size: SIZE,
    args: ['--objects', String(OBJECTS)],
    count: 32 * OBJECTS,
  }),
  workload: (point) => ({
    mode: 'http',
    connections: Number(point['connections']),
    size: SIZE,
    args: ['--objects', String(OBJECTS)],
  }),
  flaw: notFromCache,
  values: (result) => valuesOf(MEASURES, result),
};
