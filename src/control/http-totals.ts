/** The numbers of a splice-http as people and programs read them: GET /cache, GET /stats, splice-ctl. Pure. */
import type { CacheOutcome } from '../proxy/access.js';
import { METHODS, OUTCOMES, STATUS_CLASSES, requestIndex, type HttpNumbers } from './http-counts.js';
import { boundedPool, type HttpSnapshot, type PoolInfo, type CacheStats } from './http-snapshot.js';

/** Bytes are those of content. */
export interface HttpTotals {
  readonly connections: number;
  readonly idle: number;
  readonly underWay: number;
  readonly tunnels: number;
  /** Since the start: */
  readonly requests: number;
  readonly failed: number;
  /** By the cache's part in them: requests, and bytes to clients. */
  readonly outcomes: Readonly<Record<CacheOutcome, { readonly requests: number; readonly bytes: number }>>;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Part of the requests that the cache could answer which it did answer; absent before there was one. */
  readonly hitRatio?: number;
  /** The same for the bytes that these requests were answered with. */
  readonly byteHitRatio?: number;
  readonly fills: { readonly begun: number; readonly stored: number; readonly failed: number; readonly bytes: number };
  readonly originConnections: { readonly opened: number; readonly reused: number; readonly failed: number };
  readonly pool: readonly PoolInfo[];
  readonly store?: CacheStats;
}

/**
 * What came out of the cache, if only after the origin had confirmed it. The ratios compare it with all that the cache
 * had a part in: `none` and `bypass` never asked it. `partial` came from both and counts as missed.
 */
const SERVED: ReadonlySet<CacheOutcome> = new Set(['hit', 'stale', 'revalidated', 'collapsed']);
const UNASKED: ReadonlySet<CacheOutcome> = new Set(['none', 'bypass']);

export function describeHttp(snapshot: HttpSnapshot): HttpTotals {
  const { numbers, store } = snapshot;
  const outcomes = byOutcome((index) => ({
    requests: requestsOf(numbers, index),
    bytes: numbers.bytesOut[index] ?? 0,
  }));
  const hitRatio = ratio((outcome) => outcomes[outcome].requests);
  const byteHitRatio = ratio((outcome) => outcomes[outcome].bytes);
  const origins = [...numbers.origins.values()];
  return {
    connections: snapshot.connections,
    idle: snapshot.idle,
    underWay: snapshot.requests,
    tunnels: snapshot.tunnels,
    requests: sum(numbers.requests),
    failed: sum(numbers.failed.values()),
    outcomes,
    bytesIn: numbers.bytesIn,
    bytesOut: sum(numbers.bytesOut),
    ...(hitRatio !== undefined && { hitRatio }),
    ...(byteHitRatio !== undefined && { byteHitRatio }),
    fills: {
      begun: numbers.fillsBegun,
      stored: numbers.fillsStored,
      failed: sum(numbers.fillsFailed.values()),
      bytes: numbers.fillBytes,
    },
    originConnections: {
      opened: sum(origins.map(({ opened }) => opened)),
      reused: sum(origins.map(({ reused }) => reused)),
      failed: sum(origins.map(({ failed }) => sum(failed.values()))),
    },
    pool: boundedPool(snapshot.pool),
    ...(store !== undefined && { store }),
  };
}

function requestsOf({ requests }: HttpNumbers, outcome: number): number {
  let count = 0;
  for (let method = 0; method < METHODS.length; method++) {
    for (let status = 0; status < STATUS_CLASSES.length; status++) {
      count += requests[requestIndex(method, status, outcome)] ?? 0;
    }
  }
  return count;
}

function byOutcome<T>(value: (index: number) => T): Record<CacheOutcome, T> {
  return Object.fromEntries(OUTCOMES.map((outcome, index) => [outcome, value(index)])) as Record<CacheOutcome, T>;
}

function ratio(value: (outcome: CacheOutcome) => number): number | undefined {
  const asked = sum(OUTCOMES.filter((outcome) => !UNASKED.has(outcome)).map(value));
  const served = sum(OUTCOMES.filter((outcome) => SERVED.has(outcome)).map(value));
  return asked === 0 ? undefined : served / asked;
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
