/** Figure a: how long a response takes, against its size (figures 6.1 and 6.2 of the thesis). */
import { latency, compared, handshake, metricsOf, response, valuesOf } from '../metrics.js';
import { bytesOf, CONNECTIONS, SIZE } from '../modes.js';
import type { LoadFigure } from './figure.js';
import { THESIS } from './line-ups.js';

const MEASURES = [compared(latency('p50')), compared(latency('p90')), response('p50'), handshake('p50')];

const SIZES = ['1K', '10K', '100K', '1M', '10M', '100M'].map(bytesOf);
const QUICK_SIZES = ['1K', '1M'].map(bytesOf);
const HIGH_LOAD = 32;

export const responseTime: LoadFigure = {
  kind: 'load',
  facts: {
    id: 'response-time',
    letter: 'a',
    title: 'Response time against size',
    about:
      'Connect, handshake, request, the whole response, close: one client, and 32 at a time. Short responses show what a ' +
      'proxy costs at the beginning, long ones what it costs afterwards.',
    metrics: metricsOf(MEASURES),
    axes: [CONNECTIONS, SIZE],
  },
  contestants: (quick) => (quick ? THESIS.filter((name) => name !== 'dante' && name !== 'ours-copy') : THESIS),
  points: (quick) =>
    [1, HIGH_LOAD].flatMap((connections) => (quick ? QUICK_SIZES : SIZES).map((size) => ({ connections, size }))),
  workload: (point) => ({ mode: 'fetch', connections: Number(point['connections']), size: Number(point['size']) }),
  // A response counts only when it has come whole, and 32 of 100 MiB take seconds. Of the short ones there are thousands
  // even in half the time.
  stretch: (point) => {
    const bytes = Number(point['connections']) * Number(point['size']);
    return bytes > 1e9 ? 5 : bytes > 5e7 ? 2 : bytes < 4e6 ? 0.5 : 1;
  },
  // Where not even one for each connection has come, those that have are the fast ones: their times would be too good.
  values: (result, point) => (result.operations < Number(point['connections']) ? {} : valuesOf(MEASURES, result)),
};
