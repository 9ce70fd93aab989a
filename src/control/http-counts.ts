/**
 * Counting of HTTP requests on the hot path: additions in arrays that are indexed by small numbers, no label objects, no
 * Prometheus library. Called by HttpAccess once a request, in any thread; http-metrics.ts reads it when somebody asks.
 */
import type { AccessRecord, CacheOutcome } from '../proxy/access.js';

export const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'CONNECT', 'other'] as const;
/** `none`: the client was gone before there was one. */
export const STATUS_CLASSES = ['none', '1xx', '2xx', '3xx', '4xx', '5xx'] as const;
export const OUTCOMES = [
  'none',
  'hit',
  'stale',
  'miss',
  'revalidated',
  'bypass',
  'collapsed',
  'partial',
] as const satisfies readonly CacheOutcome[];

/** Upper bounds of the buckets of durations, in seconds. */
export const HTTP_BUCKETS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300,
] as const;
const BUCKET_COUNT = HTTP_BUCKETS.length + 1;
const BOUNDS_MS = HTTP_BUCKETS.map((seconds) => seconds * 1000);

/** More distinct origins or reasons than this are counted together as `other`: a forward proxy's clients choose them. */
export const MAX_NAMES = 64;
export const OTHER = 'other';

export interface OriginCounts {
  /** New connections, */
  opened: number;
  /** and requests on one that had carried another before. */
  reused: number;
  failed: Map<string, number>;
}

/** The numbers alone, since the start of the thread: plain data, which structured clone keeps as it is. */
export interface HttpNumbers {
  /** By {@link requestIndex}. */
  requests: Float64Array;
  /** Of content to clients, by outcome. */
  bytesOut: Float64Array;
  bytesIn: number;
  /** Our own requests, to validate what was sent stale; not among the others. */
  background: number;
  /** Requests by outcome and bucket, not cumulative; the last bucket of each is +Inf. */
  durations: Float64Array;
  durationSumMs: Float64Array;
  /** Requests that did not end well, by reason. */
  failed: Map<string, number>;
  /** From forwarding to the head of the response, by bucket. */
  originHeads: Float64Array;
  originHeadSumMs: number;
  fillsBegun: number;
  fillsStored: number;
  fillBytes: number;
  fillsFailed: Map<string, number>;
  origins: Map<string, OriginCounts>;
}

export function noHttpNumbers(): HttpNumbers {
  return {
    requests: new Float64Array(METHODS.length * STATUS_CLASSES.length * OUTCOMES.length),
    bytesOut: new Float64Array(OUTCOMES.length),
    bytesIn: 0,
    background: 0,
    durations: new Float64Array(OUTCOMES.length * BUCKET_COUNT),
    durationSumMs: new Float64Array(OUTCOMES.length),
    failed: new Map(),
    originHeads: new Float64Array(BUCKET_COUNT),
    originHeadSumMs: 0,
    fillsBegun: 0,
    fillsStored: 0,
    fillBytes: 0,
    fillsFailed: new Map(),
    origins: new Map(),
  };
}

const METHOD_INDEX: ReadonlyMap<string, number> = new Map(METHODS.map((method, index) => [method, index]));
const OTHER_METHOD = METHODS.indexOf('other');
const OUTCOME_INDEX = Object.fromEntries(OUTCOMES.map((outcome, index) => [outcome, index])) as Record<
  CacheOutcome,
  number
>;

export function requestIndex(method: number, statusClass: number, outcome: number): number {
  return (method * STATUS_CLASSES.length + statusClass) * OUTCOMES.length + outcome;
}

export class HttpCounts {
  readonly numbers: HttpNumbers = noHttpNumbers();

  request(record: AccessRecord): void {
    const { numbers } = this;
    if (record.originMs !== undefined) {
      add(numbers.originHeads, bucketOf(record.originMs), 1);
      numbers.originHeadSumMs += record.originMs;
    }
    if (record.background === true) {
      numbers.background++;
      return;
    }
    const outcome = OUTCOME_INDEX[record.cache];
    // A client may write any method, and an origin any number of three digits.
    const method = METHOD_INDEX.get(record.method) ?? OTHER_METHOD;
    const statusClass = Math.min(Math.floor(record.status / 100), STATUS_CLASSES.length - 1);
    add(numbers.requests, requestIndex(method, statusClass, outcome), 1);
    add(numbers.bytesOut, outcome, record.bytesOut);
    numbers.bytesIn += record.bytesIn;
    add(numbers.durations, outcome * BUCKET_COUNT + bucketOf(record.durationMs), 1);
    add(numbers.durationSumMs, outcome, record.durationMs);
    if (record.reason !== 'ok') bump(numbers.failed, record.reason, 1);
  }

  fillBegan(): void {
    this.numbers.fillsBegun++;
  }

  fillEnded(stored: boolean, reason: string, bytes: number): void {
    if (!stored) {
      bump(this.numbers.fillsFailed, reason, 1);
      return;
    }
    this.numbers.fillsStored++;
    this.numbers.fillBytes += bytes;
  }

  connected(origin: string, reused: boolean): void {
    const counts = originOf(this.numbers, origin);
    if (reused) counts.reused++;
    else counts.opened++;
  }

  originFailed(origin: string, failure: string): void {
    bump(originOf(this.numbers, origin).failed, failure, 1);
  }
}

/** The numbers of this moment, which stay as they are. */
export function copyHttpNumbers(numbers: HttpNumbers): HttpNumbers {
  const copy = noHttpNumbers();
  addHttpNumbers(copy, numbers);
  return copy;
}

/** Adds `from` to `into`. */
export function addHttpNumbers(into: HttpNumbers, from: HttpNumbers): void {
  addAll(into.requests, from.requests);
  addAll(into.bytesOut, from.bytesOut);
  into.bytesIn += from.bytesIn;
  into.background += from.background;
  addAll(into.durations, from.durations);
  addAll(into.durationSumMs, from.durationSumMs);
  addMap(into.failed, from.failed);
  addAll(into.originHeads, from.originHeads);
  into.originHeadSumMs += from.originHeadSumMs;
  into.fillsBegun += from.fillsBegun;
  into.fillsStored += from.fillsStored;
  into.fillBytes += from.fillBytes;
  addMap(into.fillsFailed, from.fillsFailed);
  for (const [origin, counts] of from.origins) {
    const sum = originOf(into, origin);
    sum.opened += counts.opened;
    sum.reused += counts.reused;
    addMap(sum.failed, counts.failed);
  }
}

function add(counts: Float64Array, index: number, by: number): void {
  counts[index] = (counts[index] ?? 0) + by;
}

function addAll(into: Float64Array, from: Float64Array): void {
  for (let i = 0; i < from.length; i++) add(into, i, from[i] ?? 0);
}

function addMap(into: Map<string, number>, from: ReadonlyMap<string, number>): void {
  for (const [name, count] of from) bump(into, name, count);
}

function bump(counts: Map<string, number>, name: string, by: number): void {
  const now = counts.get(name);
  if (now !== undefined) counts.set(name, now + by);
  else if (counts.size < MAX_NAMES || name === OTHER) counts.set(name, by);
  else counts.set(OTHER, (counts.get(OTHER) ?? 0) + by);
}

function originOf({ origins }: HttpNumbers, origin: string): OriginCounts {
  const counts = origins.get(origin) ?? (origins.size < MAX_NAMES ? undefined : origins.get(OTHER));
  if (counts !== undefined) return counts;
  const fresh: OriginCounts = { opened: 0, reused: 0, failed: new Map() };
  origins.set(origins.size < MAX_NAMES ? origin : OTHER, fresh);
  return fresh;
}

/** Most requests are quick: the search begins below. */
function bucketOf(ms: number): number {
  let bucket = 0;
  while (bucket < BOUNDS_MS.length && ms > (BOUNDS_MS[bucket] ?? Infinity)) bucket++;
  return bucket;
}
