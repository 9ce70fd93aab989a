/** The numbers of a splice-http in words, for `splice-ctl stats` and `splice-ctl cache`. Pure. */
import type { HttpTotals } from '../control/http-totals.js';
import { humanBytes } from './format.js';

export type Line = [name: string, value: string];

/** What it does for its clients. */
export function httpLines(http: HttpTotals): Line[] {
  const { originConnections: origins } = http;
  const { busy, idle, waiting } = http.pool.reduce(
    (sum, info) => ({ busy: sum.busy + info.busy, idle: sum.idle + info.idle, waiting: sum.waiting + info.waiting }),
    { busy: 0, idle: 0, waiting: 0 },
  );
  return [
    ['connections', `${http.connections} open, ${http.idle} of them idle; ${http.tunnels} tunnels`],
    ['requests', `${http.requests} answered, ${http.failed} of them badly; ${http.underWay} under way`],
    ['bytes', `${humanBytes(http.bytesIn)} in, ${humanBytes(http.bytesOut)} out`],
    ['origins', `${busy} busy, ${idle} idle, ${waiting} waited for`],
    ['opened', `${origins.opened} connections to origins, ${origins.reused} reuses, ${origins.failed} failures`],
    ...cacheLines(http),
  ];
}

/** What the cache does. */
export function cacheLines(http: HttpTotals): Line[] {
  const { store, fills } = http;
  if (store === undefined) return [['cache', 'none']];
  return [
    ['hit ratio', `${percent(http.hitRatio)} of requests, ${percent(http.byteHitRatio)} of bytes`],
    ['fills', `${fills.stored} of ${fills.begun} stored (${humanBytes(fills.bytes)}), ${fills.failed} not`],
    ['now', `${store.live} being stored, ${store.waiting} requests wait for another's answer`],
    ['objects', `${store.objects}, ${store.files} of them files, ${humanBytes(store.diskBytes)} on disk`],
    ['memory', `${store.memoryObjects} objects, ${humanBytes(store.memoryBytes)}`],
    ['since start', `${store.evicted} evicted, ${store.purged} purged, ${store.lost} lost`],
  ];
}

function percent(ratio: number | undefined): string {
  return ratio === undefined ? '-' : `${(ratio * 100).toFixed(1)}%`;
}
