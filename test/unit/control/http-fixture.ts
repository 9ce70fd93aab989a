/** What the tests of the HTTP control plane share: a request that is over, a cache that remembers what it was asked. */
import type { CacheActions, PurgeMode, PurgeOrder, StoredInfo } from '../../../src/control/http-actions.js';
import { HttpCounts, copyHttpNumbers, noHttpNumbers } from '../../../src/control/http-counts.js';
import type { CacheStats, HttpSnapshot } from '../../../src/control/http-snapshot.js';
import type { AccessRecord } from '../../../src/proxy/access.js';

export function record(part: Partial<AccessRecord> = {}): AccessRecord {
  return {
    client: '192.0.2.1:5000',
    method: 'GET',
    host: 'example.com',
    target: '/a?b=c',
    version: '1.1',
    status: 200,
    bytesOut: 1000,
    bytesIn: 0,
    durationMs: 0.44,
    route: 'site',
    origin: undefined,
    originAddress: undefined,
    originMs: undefined,
    cache: 'hit',
    requestId: undefined,
    user: undefined,
    agent: 'curl/8.0',
    referer: undefined,
    reason: 'ok',
    ...part,
  };
}

export const STORE: CacheStats = {
  objects: 12,
  files: 3,
  diskBytes: 4096,
  logBytes: 2048,
  deadBytes: 100,
  memoryObjects: 9,
  memoryBytes: 900,
  fills: 1,
  openFiles: 2,
  memoryHits: 50,
  diskReads: 7,
  stored: 13,
  evicted: 1,
  purged: 5,
  lost: 0,
  failedFills: 0,
  waiting: 4,
  live: 1,
};

export function snapshot(part: Partial<HttpSnapshot> = {}): HttpSnapshot {
  return {
    numbers: noHttpNumbers(),
    connections: 5,
    idle: 2,
    requests: 3,
    tunnels: 1,
    pool: [{ origin: 'http://o:80', busy: 2, idle: 1, connecting: 1, waiting: 4 }],
    store: STORE,
    ...part,
  };
}

/** The numbers after these requests. */
export function numbersOf(...records: AccessRecord[]) {
  const counts = new HttpCounts();
  for (const each of records) counts.request(each);
  return copyHttpNumbers(counts.numbers);
}

export const STORED: StoredInfo = {
  status: 200,
  ageMs: 5000,
  lifetimeMs: 60_000,
  freshMs: 55_000,
  basis: 'explicit',
  bytes: 1500,
  length: 1500,
  complete: true,
  etag: '"x"',
  type: 'text/html',
  vary: ['accept-encoding'],
};

export class FakeCache implements CacheActions {
  readonly purged: [PurgeOrder, PurgeMode][] = [];
  readonly asked: string[] = [];
  durable = true;
  stored: readonly StoredInfo[] = [STORED];

  purge(order: PurgeOrder, mode: PurgeMode) {
    this.purged.push([order, mode]);
    return Promise.resolve({ objects: 3, durable: this.durable });
  }

  stats() {
    const numbers = numbersOf(record(), record({ cache: 'miss', bytesOut: 3000 }), record({ cache: 'none' }));
    return Promise.resolve(snapshot({ numbers }));
  }

  lookup(uri: string) {
    this.asked.push(uri);
    return Promise.resolve(this.stored);
  }
}
