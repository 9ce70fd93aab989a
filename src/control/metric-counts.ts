/**
 * Counting on the hot path: plain additions, no label objects, no Prometheus library. Called by the server several
 * times per connection, in any thread. Exported by Metrics when somebody asks.
 */

/** Upper bounds of the flow duration buckets, in seconds. */
export const DURATION_BUCKETS = [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 60, 300, 900, 3600] as const;

/** More distinct labels than this are counted together as `other`, so that no peer can fill the memory. */
const MAX_LABELS = 64;

export type LimitKind = 'client' | 'user';

interface BackendCounts {
  opened: number;
  bytesUp: number;
  bytesDown: number;
  closed: Map<string, number>;
}

/** The numbers alone: what a worker thread posts to the main thread (structured clone keeps it as it is). */
export interface MetricNumbers {
  accepted: number;
  denied: number;
  authFailed: number;
  handshakeFailed: Map<string, number>;
  connectFailed: Map<string, number>;
  limited: Map<string, number>;
  backends: Map<string, BackendCounts>;
  /** Flows per bucket of {@link DURATION_BUCKETS}, not cumulative; the last one is +Inf. */
  durations: number[];
  durationSumMs: number;
}

export function noNumbers(): MetricNumbers {
  return {
    accepted: 0,
    denied: 0,
    authFailed: 0,
    handshakeFailed: new Map(),
    connectFailed: new Map(),
    limited: new Map(),
    backends: new Map(),
    durations: new Array<number>(DURATION_BUCKETS.length + 1).fill(0),
    durationSumMs: 0,
  };
}

export class MetricCounts {
  readonly numbers: MetricNumbers = noNumbers();

  /** A connection was accepted. */
  accepted(): void {
    this.numbers.accepted++;
  }

  /** A connection ended before its request was complete; `reason` from a closed list. */
  handshakeFailed(reason: string): void {
    bump(this.numbers.handshakeFailed, reason, 1);
  }

  /** The target could not be reached; `failure` from a closed list (refused, timeout, ...). */
  connectFailed(failure: string): void {
    bump(this.numbers.connectFailed, failure, 1);
  }

  /** A rule denied the request. */
  denied(): void {
    this.numbers.denied++;
  }

  /** A connection was turned away at a limit. */
  limited(kind: LimitKind): void {
    bump(this.numbers.limited, kind, 1);
  }

  /** A name or password was wrong. */
  authFailed(): void {
    this.numbers.authFailed++;
  }

  /** A flow was handed to `backend`. */
  flowOpened(backend: string): void {
    backendOf(this.numbers, backend).opened++;
  }

  /** A flow ended; bytes of both directions as relayed, duration in milliseconds. */
  flowClosed(backend: string, reason: string, bytesUp: number, bytesDown: number, durationMs: number): void {
    const counts = backendOf(this.numbers, backend);
    counts.bytesUp += bytesUp;
    counts.bytesDown += bytesDown;
    bump(counts.closed, reason, 1);
    this.numbers.durationSumMs += durationMs;
    let bucket = 0;
    while (bucket < DURATION_BUCKETS.length && durationMs > (DURATION_BUCKETS[bucket] ?? Infinity) * 1000) bucket++;
    this.numbers.durations[bucket] = (this.numbers.durations[bucket] ?? 0) + 1;
  }
}

/** Adds `from` to `into`. */
export function addNumbers(into: MetricNumbers, from: MetricNumbers): void {
  into.accepted += from.accepted;
  into.denied += from.denied;
  into.authFailed += from.authFailed;
  into.durationSumMs += from.durationSumMs;
  addMap(into.handshakeFailed, from.handshakeFailed);
  addMap(into.connectFailed, from.connectFailed);
  addMap(into.limited, from.limited);
  for (const [backend, counts] of from.backends) {
    const sum = backendOf(into, backend);
    sum.opened += counts.opened;
    sum.bytesUp += counts.bytesUp;
    sum.bytesDown += counts.bytesDown;
    addMap(sum.closed, counts.closed);
  }
  from.durations.forEach((count, bucket) => {
    into.durations[bucket] = (into.durations[bucket] ?? 0) + count;
  });
}

function addMap(into: Map<string, number>, from: ReadonlyMap<string, number>): void {
  for (const [label, count] of from) bump(into, label, count);
}

function bump(counts: Map<string, number>, label: string, by: number): void {
  const now = counts.get(label);
  if (now !== undefined) counts.set(label, now + by);
  else if (counts.size < MAX_LABELS || label === 'other') counts.set(label, by);
  else counts.set('other', (counts.get('other') ?? 0) + by);
}

function backendOf(numbers: MetricNumbers, backend: string): BackendCounts {
  let counts = numbers.backends.get(backend);
  if (counts === undefined) {
    counts = { opened: 0, bytesUp: 0, bytesDown: 0, closed: new Map() };
    numbers.backends.set(backend, counts);
  }
  return counts;
}
