import { describe, expect, test } from 'vitest';
import {
  HTTP_BUCKETS,
  HttpCounts,
  MAX_NAMES,
  METHODS,
  OUTCOMES,
  STATUS_CLASSES,
  addHttpNumbers,
  copyHttpNumbers,
  noHttpNumbers,
  requestIndex,
} from '../../../src/control/http-counts.js';
import { addHttpSnapshots, boundedPool } from '../../../src/control/http-snapshot.js';
import { describeHttp } from '../../../src/control/http-totals.js';
import { STORE, numbersOf, record, snapshot } from './http-fixture.js';

const at = (method: string, status: string, outcome: string) =>
  requestIndex(
    METHODS.findIndex((each) => each === method),
    STATUS_CLASSES.findIndex((each) => each === status),
    OUTCOMES.findIndex((each) => each === outcome),
  );
const total = (counts: Iterable<number>) => [...counts].reduce((sum, count) => sum + count, 0);

describe('requests', () => {
  test('each combination has a place of its own', () => {
    const places = METHODS.flatMap((m) => STATUS_CLASSES.flatMap((s) => OUTCOMES.map((o) => at(m, s, o))));
    expect(new Set(places).size).toBe(noHttpNumbers().requests.length);
    expect(Math.max(...places)).toBe(noHttpNumbers().requests.length - 1);
  });

  test.each([
    [{}, 'GET', '2xx', 'hit'],
    [{ method: 'HEAD', status: 304, cache: 'revalidated' }, 'HEAD', '3xx', 'revalidated'],
    [{ method: 'BREW', status: 418, cache: 'none' }, 'other', '4xx', 'none'],
    [{ method: 'get' }, 'other', '2xx', 'hit'],
    [{ method: '__proto__' }, 'other', '2xx', 'hit'],
    [{ status: 0, cache: 'miss' }, 'GET', 'none', 'miss'],
    [{ status: 101, cache: 'bypass' }, 'GET', '1xx', 'bypass'],
    [{ status: 999 }, 'GET', '5xx', 'hit'],
  ] as const)('%j', (part, method, status, outcome) => {
    const numbers = numbersOf(record(part));
    expect(numbers.requests[at(method, status, outcome)]).toBe(1);
    expect(total(numbers.requests)).toBe(1);
    expect(numbers.bytesOut[OUTCOMES.findIndex((each) => each === outcome)]).toBe(1000);
  });

  test('bytes beyond 32 bits', () => {
    const numbers = numbersOf(record({ bytesOut: 2 ** 40, bytesIn: 2 ** 41 }), record({ bytesOut: 1, bytesIn: 1 }));
    expect([numbers.bytesOut[OUTCOMES.indexOf('hit')], numbers.bytesIn]).toEqual([2 ** 40 + 1, 2 ** 41 + 1]);
  });

  test.each([
    [0, 0],
    [0.5, 0],
    [0.51, 1],
    [300_000, HTTP_BUCKETS.length - 1],
    [300_001, HTTP_BUCKETS.length],
  ])('%d ms are in bucket %i, of both histograms', (ms, bucket) => {
    const numbers = numbersOf(record({ durationMs: ms, originMs: ms }));
    const first = OUTCOMES.indexOf('hit') * (HTTP_BUCKETS.length + 1);
    expect([...numbers.durations].flatMap((count, index) => (count > 0 ? [index] : []))).toEqual([first + bucket]);
    expect([...numbers.originHeads].flatMap((count, index) => (count > 0 ? [index] : []))).toEqual([bucket]);
    expect([numbers.durationSumMs[OUTCOMES.indexOf('hit')], numbers.originHeadSumMs]).toEqual([ms, ms]);
  });

  test('our own are counted apart', () => {
    const numbers = numbersOf(record({ background: true, originMs: 3, cache: 'revalidated' }));
    expect([numbers.background, total(numbers.requests), total(numbers.durations)]).toEqual([1, 0, 0]);
    expect(total(numbers.originHeads)).toBe(1);
  });
});

describe('fills, origins, reasons', () => {
  test('each has its count', () => {
    const counts = new HttpCounts();
    counts.request(record({ reason: 'client-gone' }));
    for (let i = 0; i < 3; i++) counts.fillBegan();
    counts.fillEnded(true, 'ok', 500);
    counts.fillEnded(false, 'short', 99);
    counts.connected('http://a:80', false);
    counts.connected('http://a:80', true);
    counts.connected('http://a:80', true);
    counts.originFailed('http://b:80', 'refused');
    const { numbers } = counts;
    expect(numbers.failed).toEqual(new Map([['client-gone', 1]]));
    expect(numbers).toMatchObject({ fillsBegun: 3, fillsStored: 1, fillBytes: 500 });
    expect(numbers.fillsFailed).toEqual(new Map([['short', 1]]));
    expect(numbers.origins).toEqual(
      new Map([
        ['http://a:80', { opened: 1, reused: 2, failed: new Map() }],
        ['http://b:80', { opened: 0, reused: 0, failed: new Map([['refused', 1]]) }],
      ]),
    );
  });

  test('names that clients make up end in "other", and none is lost', () => {
    const counts = new HttpCounts();
    for (let i = 0; i < 200; i++) {
      counts.connected(`http://host-${i}:80`, false);
      counts.request(record({ reason: `reason ${i}` }));
    }
    counts.connected('http://host-0:80', true);
    const { origins, failed } = counts.numbers;
    expect([origins.size, failed.size]).toEqual([MAX_NAMES + 1, MAX_NAMES + 1]);
    expect([origins.get('other')?.opened, failed.get('other')]).toEqual([200 - MAX_NAMES, 200 - MAX_NAMES]);
    expect(origins.get('http://host-0:80')?.reused).toBe(1);
  });
});

describe('threads', () => {
  test('posted numbers add up, and stay what they were', () => {
    const counts = new HttpCounts();
    counts.request(record({ reason: 'short' }));
    counts.connected('http://a:80', false);
    counts.originFailed('http://a:80', 'refused');
    counts.fillBegan();
    const posted = structuredClone(counts.numbers);
    const copy = copyHttpNumbers(counts.numbers);
    counts.request(record());
    counts.connected('http://a:80', false);
    expect(copy).toEqual(posted);
    const sum = copyHttpNumbers(copy);
    addHttpNumbers(sum, posted);
    expect(sum.requests[at('GET', '2xx', 'hit')]).toBe(2);
    expect(sum.fillsBegun).toBe(2);
    expect(sum.failed).toEqual(new Map([['short', 2]]));
    expect(sum.origins.get('http://a:80')).toEqual({ opened: 2, reused: 0, failed: new Map([['refused', 2]]) });
    expect(total(sum.durations)).toBe(2);
  });

  test('snapshots: gauges, pools and stores of all; a thread without a store takes none away', () => {
    const other = { origin: 'http://p:80', busy: 1, idle: 0, connecting: 0, waiting: 0 };
    const sum = addHttpSnapshots([
      snapshot({ numbers: numbersOf(record()) }),
      snapshot({ numbers: numbersOf(record()), pool: [...snapshot().pool, other] }),
      snapshot({ store: undefined, pool: [] }),
    ]);
    expect(sum).toMatchObject({ connections: 15, idle: 6, requests: 9, tunnels: 3 });
    expect(sum.pool).toEqual([{ origin: 'http://o:80', busy: 4, idle: 2, connecting: 2, waiting: 8 }, other]);
    expect(sum.store).toEqual(Object.fromEntries(Object.entries(STORE).map(([key, value]) => [key, 2 * value])));
    expect(addHttpSnapshots([snapshot({ store: undefined })]).store).toBeUndefined();
    expect(total(sum.numbers.requests)).toBe(2);
  });

  test('pools of many origins are told of together', () => {
    const row = (i: number) => ({ origin: `http://${i}:80`, busy: 1, idle: 0, connecting: 0, waiting: 0 });
    const pool = boundedPool(Array.from({ length: 100 }, (_, i) => row(i)));
    expect(pool).toHaveLength(MAX_NAMES + 1);
    expect(pool.at(-1)).toEqual({ ...row(0), origin: 'other', busy: 100 - MAX_NAMES });
  });
});

describe('totals', () => {
  test('ratios compare what the cache had a part in', () => {
    const numbers = numbersOf(
      ...(['hit', 'stale', 'revalidated', 'collapsed'] as const).map((cache) => record({ cache, bytesOut: 10 })),
      ...(['miss', 'partial'] as const).map((cache) => record({ cache, bytesOut: 80 })),
      ...(['none', 'bypass'] as const).map((cache) => record({ cache, bytesOut: 1e6 })),
    );
    const totals = describeHttp(snapshot({ numbers }));
    expect(totals).toMatchObject({ requests: 8, hitRatio: 4 / 6, byteHitRatio: 40 / 200, bytesOut: 2_000_200 });
    expect(totals.outcomes.partial).toEqual({ requests: 1, bytes: 80 });
  });

  test('pools are told of without what else their makers know of them', () => {
    const wide = { origin: 'http://o:80', busy: 1, idle: 0, connecting: 0, waiting: 0, opened: 9 };
    const { opened: _, ...narrow } = wide;
    expect(describeHttp(snapshot({ pool: [wide] })).pool).toEqual([narrow]);
  });

  test('nothing is claimed before there was something', () => {
    const totals = describeHttp(snapshot({ store: undefined }));
    for (const key of ['hitRatio', 'byteHitRatio', 'store']) expect(totals).not.toHaveProperty(key);
    expect(totals).toMatchObject({ requests: 0, underWay: 3, connections: 5 });
  });

  test('origins and reasons are summed', () => {
    const counts = new HttpCounts();
    counts.request(record({ reason: 'a' }));
    counts.request(record({ reason: 'b' }));
    for (const origin of ['x', 'y']) {
      counts.connected(origin, false);
      counts.originFailed(origin, 'refused');
    }
    const totals = describeHttp(snapshot({ numbers: counts.numbers }));
    expect(totals).toMatchObject({ failed: 2, originConnections: { opened: 2, reused: 0, failed: 2 } });
  });
});
