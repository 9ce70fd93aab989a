/** Figure c: the distribution of round trips of one byte. The trials keep the histogram. */
import { compared, cpuEach, latency, metricsOf, valuesOf } from '../metrics.js';
import type { LoadFigure } from './figure.js';
import { EVERYBODY, FEW } from './line-ups.js';

const MEASURES = [
  compared(latency('p50', 1)),
  latency('p90', 1),
  compared(latency('p99', 1)),
  latency('p999', 1),
  latency('max'),
  cpuEach('trip', 1),
];

export const roundTrip: LoadFigure = {
  kind: 'load',
  facts: {
    id: 'round-trip',
    letter: 'c',
    title: 'Round trips',
    about:
      'One byte there and back over one connection, again and again: what a proxy adds to every exchange. Where processors ' +
      'sleep in between, as those of an idle virtual machine do, most of it is the time that they take to wake.',
    metrics: metricsOf(MEASURES),
    axes: [],
  },
  contestants: (quick) => (quick ? FEW : EVERYBODY),
  points: () => [{}],
  workload: () => ({ mode: 'ping', connections: 1, args: ['--histogram'] }),
  values: (result) => valuesOf(MEASURES, result),
};
