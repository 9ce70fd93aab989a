/**
 * The state of a splice-http at one moment, of one thread or of all: plain data, so that workers can post it. Made by the
 * server, read by metrics, admin endpoint and control socket. Taking one must not disturb the requests.
 */
import type { StoreStats } from '../cache/store/types.js';
import { MAX_NAMES, OTHER, addHttpNumbers, noHttpNumbers, type HttpNumbers } from './http-counts.js';

export interface HttpSnapshot {
  /** Since the start; a copy, or nobody's any more. */
  readonly numbers: HttpNumbers;
  /** Connections of clients, tunnels not counted. */
  readonly connections: number;
  /** Of them, those between two requests. */
  readonly idle: number;
  /** Requests under way, tunnels not counted. */
  readonly requests: number;
  readonly tunnels: number;
  /** By the name of the origin. */
  readonly pool: readonly PoolInfo[];
  /** Undefined: no cache. */
  readonly store: CacheStats | undefined;
}

/** The connections to one origin. */
export interface PoolInfo {
  readonly origin: string;
  readonly busy: number;
  readonly idle: number;
  /** On their way. */
  readonly connecting: number;
  /** Requests that wait for one of them. */
  readonly waiting: number;
}

export interface CacheStats extends StoreStats {
  /** Requests that wait for another one's answer. */
  readonly waiting: number;
  /** Responses that are being stored. */
  readonly live: number;
}

/** The threads together. */
export function addHttpSnapshots(snapshots: readonly HttpSnapshot[]): HttpSnapshot {
  const numbers = noHttpNumbers();
  const pool = new Map<string, PoolInfo>();
  let store: CacheStats | undefined;
  for (const snapshot of snapshots) {
    addHttpNumbers(numbers, snapshot.numbers);
    for (const info of snapshot.pool) addPool(pool, info);
    if (snapshot.store !== undefined) store = store === undefined ? snapshot.store : addFields(store, snapshot.store);
  }
  const sum = (key: 'connections' | 'idle' | 'requests' | 'tunnels') =>
    snapshots.reduce((total, snapshot) => total + snapshot[key], 0);
  return {
    numbers,
    connections: sum('connections'),
    idle: sum('idle'),
    requests: sum('requests'),
    tunnels: sum('tunnels'),
    pool: [...pool.values()],
    store,
  };
}

/** At most so many origins, then `other`, as the counts have it. */
export function boundedPool(infos: Iterable<PoolInfo>): PoolInfo[] {
  const pool = new Map<string, PoolInfo>();
  for (const info of infos) addPool(pool, info);
  return [...pool.values()];
}

function addPool(pool: Map<string, PoolInfo>, info: PoolInfo): void {
  const origin = pool.has(info.origin) || pool.size < MAX_NAMES ? info.origin : OTHER;
  const known = pool.get(origin);
  pool.set(origin, {
    origin,
    busy: info.busy + (known?.busy ?? 0),
    idle: info.idle + (known?.idle ?? 0),
    connecting: info.connecting + (known?.connecting ?? 0),
    waiting: info.waiting + (known?.waiting ?? 0),
  });
}

function addFields(a: CacheStats, b: CacheStats): CacheStats {
  const keys = Object.keys(a) as (keyof CacheStats)[];
  return Object.fromEntries(keys.map((key) => [key, a[key] + b[key]])) as Record<keyof CacheStats, number>;
}
