/** Figure e: how many connections a second come and go. */
import { compared, cpuEach, latency, metricsOf, perSecond, proxyEach, valuesOf } from '../metrics.js';
import { CONNECTIONS } from '../modes.js';
import type { LoadFigure } from './figure.js';
import { EVERYBODY, FEW } from './line-ups.js';

const MEASURES = [
  compared(perSecond('connections')),
  latency('p50'),
  latency('p99'),
  compared(cpuEach('connection')),
  proxyEach('connection'),
];

export const connections: LoadFigure = {
  kind: 'load',
  facts: {
    id: 'connections',
    letter: 'e',
    title: 'Connections per second',
    about:
      'Connect, handshake, one byte each way, close: 8 and 32 at a time. HAProxy and nginx have a fixed target and no ' +
      'handshake, two round trips less than the others.',
    metrics: metricsOf(MEASURES),
    axes: [{ ...CONNECTIONS, title: 'connections at a time' }],
  },
  contestants: (quick) => (quick ? FEW : EVERYBODY),
  points: (quick) => (quick ? [8] : [8, 32]).map((count) => ({ connections: count })),
  workload: (point) => ({ mode: 'connect', connections: Number(point['connections']) }),
  values: (result) => valuesOf(MEASURES, result),
};
