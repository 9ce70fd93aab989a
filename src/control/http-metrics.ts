/**
 * The metrics of a splice-http process: those of every server, and what HTTP and the cache add. All of it comes with the
 * server's snapshot ({@link HttpSnapshot}), so that the numbers of one scrape are of one moment.
 *
 * Labels are bounded: origins and reasons by http-counts.ts, all others are closed lists. Ratios of hits are for the
 * reader to compute: by requests from `http_requests_total`, by bytes from `http_response_bytes_total`.
 */
import {
  HTTP_BUCKETS,
  METHODS,
  OUTCOMES,
  STATUS_CLASSES,
  requestIndex,
  type HttpNumbers,
  type OriginCounts,
} from './http-counts.js';
import { boundedPool, type CacheStats, type HttpSnapshot } from './http-snapshot.js';
import { Metrics, type Sample } from './metrics.js';
import type { HistogramSeries } from './duration-histogram.js';

const BUCKET_COUNT = HTTP_BUCKETS.length + 1;

export class HttpMetrics extends Metrics {
  constructor(version: string) {
    super(version);
    this.#defineRequests();
    this.#defineOrigins();
    this.#defineStore();
  }

  #counter(
    name: string,
    help: string,
    labels: readonly string[],
    read: (http: HttpSnapshot) => Iterable<Sample>,
  ): void {
    this.counter(`http_${name}`, help, labels, ({ snapshot: { http } }) => (http === undefined ? [] : read(http)));
  }

  #gauge(name: string, help: string, labels: readonly string[], read: (http: HttpSnapshot) => Iterable<Sample>): void {
    this.gauge(`http_${name}`, help, labels, ({ snapshot: { http } }) => (http === undefined ? [] : read(http)));
  }

  #histogram(
    name: string,
    help: string,
    labelNames: readonly string[],
    read: (numbers: HttpNumbers) => Iterable<HistogramSeries>,
  ): void {
    this.histogram({ name: `http_${name}`, help, bounds: HTTP_BUCKETS, labelNames }, ({ snapshot: { http } }) =>
      http === undefined ? [] : read(http.numbers),
    );
  }

  #defineRequests(): void {
    this.#counter(
      'requests_total',
      "Requests that are over, by the cache's part in them",
      ['method', 'status', 'cache'],
      ({ numbers }) => requestSamples(numbers),
    );
    this.#counter('requests_failed_total', 'Requests that did not end well', ['reason'], ({ numbers }) =>
      byLabel('reason', numbers.failed),
    );
    this.#counter('response_bytes_total', 'Bytes of content sent to clients', ['cache'], ({ numbers }) =>
      OUTCOMES.map((cache, index): Sample => [{ cache }, numbers.bytesOut[index] ?? 0]),
    );
    this.#counter('background_requests_total', 'Our own, to validate what was sent stale', [], ({ numbers }) => [
      [{}, numbers.background],
    ]);
    this.#counter('request_bytes_total', 'Bytes of content from clients', [], ({ numbers }) => [[{}, numbers.bytesIn]]);
    this.#histogram('request_duration_seconds', 'Time from the head of a request to its end', ['cache'], (numbers) =>
      durationSeries(numbers),
    );
    this.#gauge('connections', 'Connections of clients, tunnels not counted', ['state'], ({ connections, idle }) => [
      [{ state: 'active' }, connections - idle],
      [{ state: 'idle' }, idle],
    ]);
    this.#gauge('requests', 'Requests under way', [], ({ requests }) => [[{}, requests]]);
    this.#gauge('tunnels', 'Tunnels of CONNECT and Upgrade', [], ({ tunnels }) => [[{}, tunnels]]);
  }

  #defineOrigins(): void {
    const byOrigin = (read: (counts: OriginCounts) => number) => (http: HttpSnapshot) =>
      [...http.numbers.origins].map(([origin, counts]): Sample => [{ origin }, read(counts)]);
    this.#counter(
      'origin_connections_total',
      'Connections opened to origins',
      ['origin'],
      byOrigin(({ opened }) => opened),
    );
    this.#counter(
      'origin_reuses_total',
      'Requests on a connection that had carried another before',
      ['origin'],
      byOrigin(({ reused }) => reused),
    );
    this.#counter('origin_failures_total', 'Requests that an origin did not answer', ['origin', 'failure'], (http) =>
      [...http.numbers.origins].flatMap(([origin, { failed }]) =>
        [...failed].map(([failure, count]): Sample => [{ origin, failure }, count]),
      ),
    );
    this.#histogram('origin_head_seconds', 'Time from forwarding to the head of the response', [], (numbers) => [
      { labels: {}, counts: numbers.originHeads, sumMs: numbers.originHeadSumMs },
    ]);
    this.#gauge('origin_pool', 'Connections to origins, and requests that wait for one', ['origin', 'state'], (http) =>
      boundedPool(http.pool).flatMap(({ origin, busy, idle, connecting, waiting }): Sample[] => [
        [{ origin, state: 'busy' }, busy],
        [{ origin, state: 'idle' }, idle],
        [{ origin, state: 'connecting' }, connecting],
        [{ origin, state: 'waiting' }, waiting],
      ]),
    );
  }

  #defineStore(): void {
    this.#counter('cache_fills_begun_total', 'Responses that began to be stored', [], ({ numbers }) => [
      [{}, numbers.fillsBegun],
    ]);
    this.#counter('cache_fills_stored_total', 'Of them, those that were', [], ({ numbers }) => [
      [{}, numbers.fillsStored],
    ]);
    this.#counter('cache_fills_failed_total', 'Of them, those that were not', ['reason'], ({ numbers }) =>
      byLabel('reason', numbers.fillsFailed),
    );
    this.#counter('cache_fill_bytes_total', 'Bytes that were stored', [], ({ numbers }) => [[{}, numbers.fillBytes]]);
    const ofStore =
      (read: (store: CacheStats) => number) =>
      ({ store }: HttpSnapshot): Sample[] =>
        store === undefined ? [] : [[{}, read(store)]];
    for (const [name, help, read] of STORE_COUNTERS) this.#counter(`cache_${name}_total`, help, [], ofStore(read));
    for (const [name, help, read] of STORE_GAUGES) this.#gauge(`cache_${name}`, help, [], ofStore(read));
  }
}

type StoreMetric = readonly [name: string, help: string, read: (store: CacheStats) => number];

const STORE_COUNTERS: readonly StoreMetric[] = [
  ['memory_hits', 'Look-ups that memory answered', ({ memoryHits }) => memoryHits],
  ['disk_reads', 'Look-ups that needed the disk', ({ diskReads }) => diskReads],
  ['evicted', 'Objects that gave way to others', ({ evicted }) => evicted],
  ['purged', 'Objects purged', ({ purged }) => purged],
  ['lost', 'Objects that the disk did not give back', ({ lost }) => lost],
];

const STORE_GAUGES: readonly StoreMetric[] = [
  ['objects', 'Objects stored', ({ objects }) => objects],
  ['disk_bytes', 'Bytes on disk, as counted against the limit', ({ diskBytes }) => diskBytes],
  ['dead_bytes', 'Bytes of the log that nothing points at', ({ deadBytes }) => deadBytes],
  ['memory_objects', 'Objects of which memory has a copy', ({ memoryObjects }) => memoryObjects],
  ['memory_bytes', 'Bytes of them', ({ memoryBytes }) => memoryBytes],
  ['open_files', 'Descriptors of stored files', ({ openFiles }) => openFiles],
  ['filling', 'Responses that are being stored', ({ live }) => live],
  ['waiting', "Requests that wait for another one's answer", ({ waiting }) => waiting],
];

/** Only what has occurred: most combinations never do. */
function requestSamples({ requests }: HttpNumbers): Sample[] {
  const samples: Sample[] = [];
  METHODS.forEach((method, m) => {
    STATUS_CLASSES.forEach((status, s) => {
      OUTCOMES.forEach((cache, o) => {
        const count = requests[requestIndex(m, s, o)] ?? 0;
        if (count > 0) samples.push([{ method, status, cache }, count]);
      });
    });
  });
  return samples;
}

function durationSeries({ durations, durationSumMs }: HttpNumbers): HistogramSeries[] {
  return OUTCOMES.map((cache, index) => ({
    labels: { cache },
    counts: durations.subarray(index * BUCKET_COUNT, (index + 1) * BUCKET_COUNT),
    sumMs: durationSumMs[index] ?? 0,
  }));
}

function byLabel(label: string, counts: ReadonlyMap<string, number>): Sample[] {
  return [...counts].map(([value, count]): Sample => [{ [label]: value }, count]);
}
