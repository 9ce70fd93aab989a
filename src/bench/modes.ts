/**
 * Modes: trials made up on the command line. A word is a kind, a number of connections and, for fetch, a size: `down8`,
 * `connect32`, `fetch8:64K`. Words of one kind become one figure, with what differs on its axes.
 */
import { SpliceArgumentError } from '../errors.js';
import type { LoadFigure } from './figures/figure.js';
import * as metric from './metrics.js';
import type { Measure } from './metrics.js';
import type { Axis, LoadMode, Point } from './model.js';

interface Kind {
  readonly mode: LoadMode;
  /** Where the word does not say. */
  readonly connections: number;
  readonly title: string;
  readonly about: string;
  readonly measures: readonly Measure[];
}

const { compared, latency } = metric;

const BULK = [compared(metric.GBPS), compared(metric.CPU_PER_GB), metric.SOFTIRQ_PER_GB, metric.PROXY_PER_GB];

export const KINDS = {
  connect: {
    mode: 'connect',
    connections: 8,
    title: 'Connections per second',
    about: 'Connect, handshake, one byte each way, close, so many at a time.',
    measures: [
      compared(metric.perSecond('connections')),
      latency('p50'),
      latency('p99'),
      compared(metric.cpuEach('connection')),
      metric.proxyEach('connection'),
    ],
  },
  down: {
    mode: 'download',
    connections: 1,
    title: 'Download',
    about: 'From server to client, as fast as it goes.',
    measures: BULK,
  },
  up: {
    mode: 'upload',
    connections: 1,
    title: 'Upload',
    about: 'From client to server, as fast as it goes.',
    measures: BULK,
  },
  ping: {
    mode: 'ping',
    connections: 1,
    title: 'Round trip',
    about: 'One byte there and back.',
    measures: [
      compared(latency('p50', 1)),
      latency('p90', 1),
      compared(latency('p99', 1)),
      latency('max'),
      metric.cpuEach('trip', 1),
    ],
  },
  small: {
    mode: 'small',
    connections: 1,
    title: 'Small messages',
    about: 'Messages of 64 bytes there and back, 32 of each connection under way, each sent alone.',
    // A relay that joins messages sends fewer and larger segments: so both rates, and the size of a segment.
    measures: [
      compared(metric.SEGMENTS_PER_SECOND),
      compared(metric.perSecond('messages')),
      metric.BYTES_PER_SEGMENT,
      metric.cpuEach('message', 2),
    ],
  },
  fetch: {
    mode: 'fetch',
    connections: 1,
    title: 'Response time',
    about: 'Connect, handshake, request, a whole response, close.',
    measures: [
      compared(latency('p50')),
      compared(latency('p90')),
      metric.response('p50'),
      metric.response('p90'),
      metric.cpuEach('fetch'),
    ],
  },
} as const satisfies Readonly<Record<string, Kind>>;

export type KindName = keyof typeof KINDS;
const KIND_NAMES = Object.keys(KINDS) as readonly KindName[];

export const CONNECTIONS: Axis = { id: 'connections', title: 'connections', scale: 'log' };
export const SIZE: Axis = { id: 'size', title: 'size of the response', scale: 'log', unit: 'bytes' };

/** What `fetch` without a size stands for. */
const FETCH_SIZES = ['4K', '16K', '64K', '256K', '1M', '4M', '16M', '100M'];

const UNITS: Readonly<Record<string, number>> = { '': 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3 };
const MOST_CONNECTIONS = 16_384;

/** `64K`: 65536. */
export function bytesOf(text: string): number {
  const [, number, unit = ''] = /^(\d+)([KMG]?)$/.exec(text) ?? [];
  return number === undefined ? NaN : Number(number) * (UNITS[unit] ?? NaN);
}

function parseWord(word: string): { kind: KindName; points: Point[] } {
  const [, letters, count, size] = /^([a-z]+)(\d+)?(?::(\w+))?$/.exec(word) ?? [];
  const kind = KIND_NAMES.find((name) => name === letters);
  const connections = count === undefined ? KINDS[kind ?? 'down'].connections : Number(count);
  const bytes = size === undefined ? undefined : bytesOf(size);
  if (kind === undefined || connections < 1 || connections > MOST_CONNECTIONS) throw noMode(word);
  if (kind !== 'fetch' && size !== undefined) throw noMode(word);
  if (bytes !== undefined && !(bytes >= 1)) throw noMode(word);
  if (kind !== 'fetch') return { kind, points: [{ connections }] };
  const sizes = bytes === undefined ? FETCH_SIZES.map(bytesOf) : [bytes];
  return { kind, points: sizes.map((each) => ({ connections, size: each })) };
}

const noMode = (word: string): SpliceArgumentError =>
  new SpliceArgumentError(
    `no mode "${word}"; a mode is ${KIND_NAMES.join(', ')} with a number of connections, and a size for fetch: ` +
      'connect32, down1, up8, ping, small8, fetch, fetch8:64K',
  );

const numberAt = (point: Point, axis: string): number => Number(point[axis]);

/** One figure for each kind that occurs, in the order of the words. */
export function figuresOfModes(words: readonly string[], contestants: readonly string[]): LoadFigure[] {
  const byKind = new Map<KindName, Map<string, Point>>();
  for (const { kind, points } of words.map(parseWord)) {
    const known = byKind.get(kind) ?? new Map<string, Point>();
    for (const point of points) known.set(JSON.stringify(point), point);
    byKind.set(kind, known);
  }
  return [...byKind].map(([kind, points]) => {
    const { mode, title, about, measures } = KINDS[kind];
    return {
      kind: 'load',
      facts: {
        id: kind,
        letter: '',
        title,
        about,
        metrics: metric.metricsOf(measures),
        axes: kind === 'fetch' ? [CONNECTIONS, SIZE] : [CONNECTIONS],
      },
      contestants: () => contestants,
      points: () => [...points.values()],
      workload: (point) => ({
        mode,
        connections: numberAt(point, 'connections'),
        ...(kind === 'fetch' ? { size: numberAt(point, 'size') } : {}),
      }),
      values: (result) => metric.valuesOf(measures, result),
    };
  });
}
