/** Figure d: processor time for a gigabyte, which compares relays also where the load generator is the limit. */
import { compared, CPU_PER_GB, GBPS, metricsOf, PROXY_PER_GB, SOFTIRQ_PER_GB, valuesOf } from '../metrics.js';
import type { LoadFigure } from './figure.js';
import { EVERYBODY, FEW } from './line-ups.js';

const MEASURES = [compared(CPU_PER_GB), PROXY_PER_GB, SOFTIRQ_PER_GB, compared(GBPS)];
const CONNECTIONS = 8;

export const cpuPerGb: LoadFigure = {
  kind: 'load',
  facts: {
    id: 'cpu-per-gb',
    letter: 'd',
    title: 'Processor time per GB',
    about:
      'Processor time of the whole machine (client, server, proxy, kernel) for 10^9 bytes over 8 connections, and the ' +
      "proxy's own processes of it. What the router needs, everybody needs.",
    metrics: metricsOf(MEASURES),
    axes: [{ id: 'direction', title: 'direction', scale: 'names' }],
  },
  contestants: (quick) => (quick ? FEW : EVERYBODY),
  points: () => [{ direction: 'down' }, { direction: 'up' }],
  workload: (point) => ({
    mode: point['direction'] === 'up' ? 'upload' : 'download',
    connections: CONNECTIONS,
  }),
  omits: (contestant, point) =>
    contestant === 'microsocks' && point['direction'] === 'up'
      ? 'it ends both directions when one of them ends, so that the end of an upload does not arrive'
      : undefined,
  values: (result) => valuesOf(MEASURES, result),
};
