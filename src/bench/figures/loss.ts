/** Figure h: throughput when segments are lost between proxy and server. */
import { compared, CPU_PER_GB, GBPS, metricsOf, valuesOf } from '../metrics.js';
import type { LoadFigure } from './figure.js';

const MEASURES = [compared(GBPS), CPU_PER_GB];
const CONNECTIONS = 8;
const WHO = ['router', 'haproxy-splice', 'dante', 'ours-packet', 'ours-splice', 'ours-copy'];

export const loss: LoadFigure = {
  kind: 'load',
  facts: {
    id: 'loss',
    letter: 'h',
    title: 'Throughput under loss',
    about:
      "Downloads over 8 connections while the server's leg loses segments. A proxy that ends TCP on both sides repairs " +
      'the loss near the server; the router and the packet backend leave it to the two ends. The legs have no delay, ' +
      'and so the shorter way of the repair gains little here.',
    metrics: metricsOf(MEASURES),
    axes: [{ id: 'share', title: 'segments lost', scale: 'linear', unit: 'share' }],
  },
  contestants: (quick) => (quick ? WHO.filter((name) => name === 'router' || name.startsWith('ours-')) : WHO),
  points: (quick) => (quick ? [0.01] : [0.001, 0.01, 0.03]).map((share) => ({ share })),
  workload: () => ({ mode: 'download', connections: CONNECTIONS }),
  before: (lab, point) => lab.setLoss(Number(point['share'])),
  after: (lab) => lab.setLoss(0),
  values: (result) => valuesOf(MEASURES, result),
};
