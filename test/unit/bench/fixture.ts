/**
 * Made-up results for tests and for looking at pictures: nobody measured any of this. Numbers come from simple formulas
 * and a fixed sequence, so that they are the same every time.
 */
import type { Axis, FigureFacts, LoadResult, Metric, Point, Results, Trial, Via } from '../../../src/bench/model.js';
import { rowsOf } from '../../../src/bench/statistics.js';

interface Model {
  readonly title: string;
  readonly via: Via;
  /** Gbit/s of one connection, and what it costs beyond the router's 0.45 s/GB. */
  readonly gbps: number;
  readonly cpu: number;
  readonly tripUs: number;
  readonly openUs: number;
}

const MODELS: Readonly<Record<string, Model>> = {
  router: { title: 'router (no proxy)', via: 'direct', gbps: 26, cpu: 0, tripUs: 78, openUs: 60 },
  'haproxy-splice': { title: 'HAProxy, splice', via: 'relay', gbps: 12, cpu: 0.6, tripUs: 89, openUs: 190 },
  'haproxy-copy': { title: 'HAProxy, copy', via: 'relay', gbps: 9, cpu: 0.9, tripUs: 91, openUs: 200 },
  'nginx-stream': { title: 'nginx stream', via: 'relay', gbps: 8.5, cpu: 0.95, tripUs: 93, openUs: 230 },
  dante: { title: 'Dante', via: 'socks5', gbps: 8, cpu: 0.9, tripUs: 92, openUs: 430 },
  microsocks: { title: 'microsocks', via: 'socks5', gbps: 0.4, cpu: 20, tripUs: 85, openUs: 290 },
  'ssh-dynamic': { title: 'ssh -D (encrypted)', via: 'socks5', gbps: 3, cpu: 4, tripUs: 160, openUs: 900 },
  'node-socks': { title: 'Node relay', via: 'socks5', gbps: 6, cpu: 1.6, tripUs: 120, openUs: 700 },
  'ours-packet': { title: 'symsplice, packet', via: 'socks5', gbps: 27, cpu: 0.02, tripUs: 78, openUs: 290 },
  'ours-splice': { title: 'symsplice, splice', via: 'socks5', gbps: 11, cpu: 0.65, tripUs: 86, openUs: 270 },
  'ours-copy': { title: 'symsplice, copy', via: 'socks5', gbps: 8.2, cpu: 1.0, tripUs: 90, openUs: 275 },
  'ours-sockmap': { title: 'symsplice, sockmap', via: 'socks5', gbps: 9.5, cpu: 0.8, tripUs: 87, openUs: 300 },
};

export const CONTESTANTS = Object.keys(MODELS);

const metric = (id: string, title: string, digits: number, lowerIsBetter: boolean, compared = false): Metric => ({
  id,
  title,
  digits,
  lowerIsBetter,
  ...(compared ? { compared } : {}),
});

const connections: Axis = { id: 'connections', title: 'connections', scale: 'log' };

export const FIGURES: readonly FigureFacts[] = [
  {
    id: 'response-time',
    letter: 'a',
    title: 'Response time against size',
    about: 'Connect, handshake, request, the whole response, close: one client, and 32 at a time.',
    metrics: [metric('p50us', 'p50 (us)', 0, true, true), metric('p90us', 'p90 (us)', 0, true, true)],
    axes: [connections, { id: 'size', title: 'size', scale: 'log', unit: 'bytes' }],
  },
  {
    id: 'throughput',
    letter: 'b',
    title: 'Throughput against connections',
    about: 'Transfers as fast as they go, over 1 to 1,000 connections at once, all of them together.',
    metrics: [metric('gbps', 'Gbit/s', 2, false, true), metric('cpuPerGb', 'cpu (s/GB)', 2, true)],
    axes: [{ id: 'direction', title: 'direction', scale: 'names' }, connections],
  },
  {
    id: 'round-trip',
    letter: 'c',
    title: 'Round trips',
    about: 'One byte there and back over one connection, again and again.',
    metrics: [metric('p50us', 'p50 (us)', 1, true, true), metric('p99us', 'p99 (us)', 1, true, true)],
    axes: [],
  },
  {
    id: 'cpu-per-gb',
    letter: 'd',
    title: 'Processor time per GB',
    about: 'Processor time of the whole machine for 10^9 bytes over 8 connections.',
    metrics: [metric('cpuPerGb', 'cpu (s/GB)', 2, true, true), metric('proxyPerGb', 'proxy (s/GB)', 2, true)],
    axes: [{ id: 'direction', title: 'direction', scale: 'names' }],
  },
  {
    id: 'connections',
    letter: 'e',
    title: 'Connections per second',
    about: 'Connect, handshake, one byte each way, close: 8 and 32 at a time.',
    metrics: [metric('perSecond', 'connections/s', 0, false, true), metric('p99us', 'p99 (us)', 0, true)],
    axes: [{ ...connections, title: 'connections at a time' }],
  },
  {
    id: 'idle-memory',
    letter: 'f',
    title: 'What an idle flow costs',
    about: 'Descriptors, sockets and memory for each flow that is open and silent.',
    metrics: [
      metric('descriptorsPerFlow', 'descriptors/flow', 2, true, true),
      metric('socketsPerFlow', 'sockets/flow', 2, true, true),
      metric('bytesPerFlow', 'resident bytes/flow', 0, true, true),
    ],
    axes: [{ id: 'flows', title: 'flows', scale: 'log' }],
  },
  {
    id: 'segment-cost',
    letter: 'g',
    title: 'Cost of a segment',
    about: 'Nanoseconds in BPF for one segment, against the number of entries in the map of legs.',
    metrics: [metric('nsPerSegment', 'ns/segment', 0, true)],
    axes: [
      { id: 'stage', title: 'stage', scale: 'names' },
      { id: 'entries', title: 'entries', scale: 'log' },
    ],
  },
  {
    id: 'loss',
    letter: 'h',
    title: 'Throughput under loss',
    about: "Downloads over 8 connections while the server's leg loses segments.",
    metrics: [metric('gbps', 'Gbit/s', 2, false, true)],
    axes: [{ id: 'share', title: 'segments lost', scale: 'linear', unit: 'share' }],
  },
];

/** A sequence that looks like noise and is always the same: between 0 and 1. */
export function sequence(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1664525 + 1013904223) % 2 ** 32;
    return state / 2 ** 32;
  };
}

const points = (axis: string, values: readonly (number | string)[], rest: Point = {}): Point[] =>
  values.map((value) => ({ ...rest, [axis]: value }));

const LINE_UP: Readonly<Record<string, readonly string[]>> = {
  'response-time': ['router', 'dante', 'microsocks', 'ours-packet', 'ours-splice', 'ours-copy'],
  throughput: CONTESTANTS.filter((name) => !['haproxy-copy', 'ssh-dynamic', 'node-socks'].includes(name)),
  'idle-memory': ['haproxy-splice', 'dante', 'microsocks', 'ours-packet', 'ours-splice'],
  'segment-cost': ['ours-packet'],
  loss: ['router', 'haproxy-splice', 'dante', 'ours-packet', 'ours-splice', 'ours-copy'],
};

const POINTS: Readonly<Record<string, readonly Point[]>> = {
  'response-time': [1, 32].flatMap((count) =>
    points('size', [1024, 10240, 102400, 2 ** 20, 10 * 2 ** 20, 100 * 2 ** 20], { connections: count }),
  ),
  throughput: ['down', 'up'].flatMap((direction) => points('connections', [1, 10, 100, 1000], { direction })),
  'round-trip': [{}],
  'cpu-per-gb': points('direction', ['down', 'up']),
  connections: points('connections', [8, 32]),
  'idle-memory': points('flows', [100, 1000, 10000]),
  'segment-cost': ['ingress', 'egress'].flatMap((stage) => points('entries', [1000, 1e4, 1e5, 1e6], { stage })),
  loss: points('share', [0, 0.001, 0.01, 0.03]),
};

function valuesAt(figure: string, model: Model, point: Point, noise: () => number): Record<string, number> {
  const wobble = (value: number, spread = 0.08): number => value * (1 - spread + 2 * spread * noise());
  const at = (axis: string): number => Number(point[axis] ?? 1);
  const kernel = model.gbps > 20;
  switch (figure) {
    case 'response-time': {
      const load = at('connections') === 1 ? 1 : 18;
      const p50 = (model.openUs + (at('size') * 8) / (model.gbps * 1000)) * load;
      return { p50us: wobble(p50), p90us: wobble(p50 * 1.35) };
    }
    case 'throughput': {
      const gbps = model.gbps * (1 - 0.1 * Math.log10(at('connections'))) * (point['direction'] === 'up' ? 1.05 : 1);
      return { gbps: wobble(gbps, 0.12), cpuPerGb: wobble(0.45 + model.cpu) };
    }
    case 'round-trip':
      return { p50us: wobble(model.tripUs, 0.04), p99us: wobble(model.tripUs * 1.8, 0.15) };
    case 'cpu-per-gb':
      return { cpuPerGb: wobble(0.45 + model.cpu), ...(kernel ? {} : { proxyPerGb: wobble(model.cpu * 0.4) }) };
    case 'connections':
      return { perSecond: wobble((2e6 / model.openUs) * (at('connections') === 8 ? 1 : 1.1)), p99us: wobble(1900) };
    case 'idle-memory':
      return kernel
        ? { descriptorsPerFlow: 0, socketsPerFlow: 0, bytesPerFlow: wobble(360, 0.02) }
        : { descriptorsPerFlow: 2, socketsPerFlow: 2, bytesPerFlow: wobble(8000 + 2000 * model.cpu, 0.05) };
    case 'segment-cost':
      return { nsPerSegment: wobble((point['stage'] === 'egress' ? 60 : 250) + 40 * Math.log10(at('entries'))) };
    default: {
      const lost = at('share');
      const rest = lost === 0 ? 1 : (kernel ? 0.12 : 0.2) / (1 + 300 * lost);
      return { gbps: wobble(model.gbps * rest, 0.1) };
    }
  }
}

/** A log-normal body with a long tail, in buckets of 3 percent. */
function buckets(model: Model, noise: () => number): [number, number][] {
  const found: [number, number][] = [];
  for (let us = model.tripUs * 0.8; us < 12_000; us *= 1.03) {
    const body = Math.exp(-((Math.log(us / (model.tripUs * (0.98 + 0.04 * noise()))) / 0.09) ** 2) / 2) * 2000;
    const tail = 60 * (model.tripUs / us) ** 2.2;
    const count = Math.round(body + tail * noise());
    if (count > 0) found.push([Number(us.toFixed(1)), count]);
  }
  return found;
}

const NO_TIMES = { count: 0, p50: 0, p90: 0, p99: 0, p999: 0, max: 0 };

export function loadResult(changes: Partial<LoadResult> = {}): LoadResult {
  return {
    mode: 'ping',
    via: 'direct',
    connections: 1,
    seconds: 1,
    bytes: 1000,
    gbps: 0,
    operations: 1000,
    perSecond: 1000,
    latencyUs: NO_TIMES,
    handshakeUs: NO_TIMES,
    cpu: {
      busy: 1,
      user: 0.3,
      system: 0.4,
      softirq: 0.3,
      irq: 0,
      steal: 0,
      idle: 1,
      client: 0.2,
      server: 0.2,
      proxy: 0.1,
      others: 0.01,
    },
    stalled: 0,
    corrupt: 0,
    errors: 0,
    firstError: '',
    clean: true,
    ...changes,
  };
}

function trialsOf(repetitions: number, seed: number, factor: (contestant: string) => number): Trial[] {
  const noise = sequence(seed);
  const trials: Trial[] = [];
  for (let rep = 1; rep <= repetitions; rep++) {
    for (const { id } of FIGURES) {
      for (const contestant of LINE_UP[id] ?? CONTESTANTS) {
        const model = MODELS[contestant];
        if (model === undefined) throw new Error(`no model of ${contestant}`);
        for (const point of POINTS[id] ?? []) {
          const values = valuesAt(id, model, point, noise);
          const scaled = Object.fromEntries(
            Object.entries(values).map(([name, value]) => [name, value * factor(contestant)]),
          );
          const load =
            id === 'round-trip'
              ? { load: loadResult({ latencyUs: { ...NO_TIMES, count: 1000, buckets: buckets(model, noise) } }) }
              : {};
          trials.push({ figure: id, rep, contestant, point, values: scaled, othersShare: 0.01, ...load });
        }
      }
    }
  }
  return trials;
}

export interface Wishes {
  readonly repetitions?: number;
  readonly seed?: number;
  /** What the values of a contestant are multiplied by. */
  readonly factor?: (contestant: string) => number;
  /** Changes trials before rows are made of them. */
  readonly change?: (trials: Trial[]) => Trial[];
}

/** Results of a run that never was. */
export function syntheticResults({
  repetitions = 5,
  seed = 1,
  factor = () => 1,
  change = (all) => all,
}: Wishes = {}): Results {
  const trials = change(trialsOf(repetitions, seed, factor));
  return {
    schema: 1,
    begun: '2030-01-02T03:04:05.000Z',
    seconds: 1234,
    symsplice: { version: '0.0.0-synthetic', commit: '0123456789abcdef', modified: false },
    machine: {
      kernel: 'Linux 6.99.0-synthetic x86_64',
      distribution: 'Synthetic Linux 1',
      processors: 2,
      model: 'Made-up CPU @ 1.00GHz',
      memoryBytes: 8 * 2 ** 30,
      node: 'v20.0.0',
      mitigations: { spectre_v2: 'Mitigation: made up', meltdown: 'Not affected' },
      virtual: 'none',
    },
    method: { family: 4, repetitions, seconds: 1, warmup: 0.3, quick: false, hosts: ['three network namespaces'] },
    contestants: Object.entries(MODELS).map(([name, { title, via }]) => ({
      name,
      title,
      via,
      version: `${name} 1.0`,
      ...(name === 'haproxy-splice' ? { config: 'bench/contestants/haproxy-splice.cfg' } : {}),
    })),
    leftOut: [{ contestant: 'unheard-of', reason: 'it is not installed: apt-get install unheard-of' }],
    figures: FIGURES,
    rows: rowsOf(trials, FIGURES, CONTESTANTS),
    trials,
  };
}
