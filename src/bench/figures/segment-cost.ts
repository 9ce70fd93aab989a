/**
 * Figure g: what one segment costs the packet backend, against the entries of the map that it is looked up in. The kernel's
 * own run-time statistics say it for the programs, the processors' time beside the router for everything else.
 *
 * One load moves while the map is filled under it, so that all its points have the same flows on the same processors.
 */
import { findDataPlane, mapNamed } from '../kernel/data-plane.js';
import type { DataPlane } from '../kernel/data-plane.js';
import { duringLoad, stepsDuringLoad, TOO_LATE } from '../kernel/during-load.js';
import { countStages, percentOf } from '../kernel/exits.js';
import { measureCalm, measureInterval, nsPerRun } from '../kernel/interval.js';
import type { Interval } from '../kernel/interval.js';
import { missingForKernel } from '../kernel/requirements.js';
import { buildTools } from '../kernel/tools.js';
import type { Tools } from '../kernel/tools.js';
import { withArguments } from '../kernel/with-arguments.js';
import type { Contestant, Trial } from '../model.js';
import { throwIfStopped } from '../stop.js';
import type { Bench, OwnFigure } from './figure.js';
import { failed, intervalSeconds, measured } from './own-trial.js';
import type { TrialPlace, Values } from './own-trial.js';

/** Flows that move, of which each has `depth` messages under way. */
interface Movement {
  readonly name: string;
  readonly flows: number;
  /** With one message each, many flows take turns, and nothing of a flow is left in a cache when it comes again. */
  readonly depth: number;
  /** Points, growing. The first is what the flows need themselves. */
  readonly entries: readonly number[];
}

const BURST = 32;

const FULL: readonly Movement[] = [
  { name: '5 flows', flows: 5, depth: BURST, entries: [10, 1_000, 100_000, 1_000_000] },
  { name: '10,000 flows in bursts', flows: 10_000, depth: BURST, entries: [20_000, 100_000, 1_000_000] },
  { name: '10,000 flows in turn', flows: 10_000, depth: 1, entries: [20_000, 100_000, 1_000_000] },
];
const QUICK: readonly Movement[] = [{ name: '1,000 flows in turn', flows: 1_000, depth: 1, entries: [2_000, 100_000] }];

/** Entries a second that fill-map adds at the very least. */
const FILLED_PER_SECOND = 400_000;

const lower = { digits: 0, lowerIsBetter: true };

export const segmentCost: OwnFigure = {
  kind: 'own',
  facts: {
    id: 'segment-cost',
    letter: 'g',
    title: 'Cost of a segment against the size of the map',
    about:
      'Messages of 64 bytes through flows that are spliced at once, while other entries fill the map that every segment is ' +
      'looked up in. "In bursts": each flow has 32 messages under way; "in turn": one, so that all others pass before it ' +
      "comes again. Nanoseconds of the programs are from the kernel's statistics and have about 20 ns of its clock in " +
      'them; processor time is that of the whole machine without statistics, and the column beside it shows what they add. ' +
      'The router has no map: its figures are the same at every size.',
    metrics: [
      { id: 'nsPerSegment', title: 'relay program (ns)', ...lower },
      { id: 'guardNs', title: 'guard program (ns)', ...lower },
      { id: 'cpuNs', title: 'cpu/segment (ns)', ...lower, compared: true },
      { id: 'cpuNsCounted', title: 'with statistics (ns)', ...lower },
      { id: 'segmentsPerSecond', title: 'segments/s', digits: 0, lowerIsBetter: false },
      { id: 'steady', title: 'steady (%)', digits: 1, lowerIsBetter: false },
    ],
    axes: [
      { id: 'flows', title: 'flows moving', scale: 'names' },
      { id: 'entries', title: 'entries in the map', scale: 'log' },
    ],
  },
  contestants: () => ['router', 'ours-packet-now'],
  takes: (name) => name === 'router' || name.startsWith('ours-packet'),
  repetitions: 2,
  seconds: (quick, contestants) => (contestants > 0 ? (quick ? 10 : 55) : 0),
  missing: missingForKernel,
  measure,
};

async function* measure(bench: Bench): AsyncIterable<Trial> {
  const tools = await buildTools(bench.lab);
  for (const movement of bench.quick ? QUICK : FULL) {
    for (const contestant of bench.contestants) {
      throwIfStopped(bench.signal);
      bench.progress(`${movement.name}, ${contestant.name}`);
      yield* await trialsOf(bench, tools, movement, contestant);
    }
  }
}

async function trialsOf(bench: Bench, tools: Tools, movement: Movement, contestant: Contestant): Promise<Trial[]> {
  const at = (entries: number): TrialPlace => ({
    figure: segmentCost.facts.id,
    rep: bench.rep,
    contestant: contestant.name,
    point: { flows: movement.name, entries },
  });
  try {
    const { values, othersShare } = await (contestant.via === 'direct'
      ? routed(bench, movement, contestant)
      : spliced(bench, tools, movement, contestant));
    return movement.entries.map((entries, index) => {
      const seen = values[index];
      return seen ? measured(at(entries), seen, othersShare) : failed(at(entries), TOO_LATE);
    });
  } catch (error) {
    throwIfStopped(bench.signal);
    return movement.entries.map((entries) => failed(at(entries), error));
  }
}

const loadOf = ({ flows, depth }: Movement): string[] => [
  ...['--mode', 'small', '--connections', String(flows)],
  ...['--depth', String(depth)],
];

const cpuNs = ({ cpuSeconds, segments }: Interval): number => (segments > 0 ? (cpuSeconds * 1e9) / segments : NaN);

interface Seen {
  /** By point; the last ones are missing if there was no time for them. */
  readonly values: readonly Values[];
  readonly othersShare: number;
}

async function routed(bench: Bench, movement: Movement, router: Contestant): Promise<Seen> {
  const { lab, warmup } = bench;
  const seconds = intervalSeconds(bench);
  const session = await bench.open(router);
  try {
    const { slack, othersShare } = await measureCalm(lab.proxy);
    const duration = { seconds: seconds + slack, warmup };
    const { seen } = await duringLoad(session, loadOf(movement), duration, () => measureInterval(lab.proxy, seconds));
    const values = { cpuNs: cpuNs(seen), segmentsPerSecond: seen.segments / seen.seconds };
    return { values: movement.entries.map(() => values), othersShare };
  } finally {
    await session.close();
  }
}

async function spliced(bench: Bench, tools: Tools, movement: Movement, packet: Contestant): Promise<Seen> {
  const { lab, warmup } = bench;
  const seconds = intervalSeconds(bench);
  const most = Math.max(...movement.entries);
  // Room to spare: a flow that is spliced late must not find the map full.
  const room = ['--max-flows', String(Math.ceil(most / 2) + movement.flows), '--max-connections', '0'];
  const session = await bench.open(withArguments(packet, room));
  try {
    // To fill takes about as long to begin as an interval.
    const { slack, othersShare } = await measureCalm(lab.proxy);
    const steps = movement.entries.length * (2 * seconds + 3 * slack);
    const duration = { seconds: steps + most / FILLED_PER_SECOND, warmup };
    const plane = await findDataPlane(lab.proxy);
    if (!plane) throw new Error('the contestant attached no program to the interfaces of the proxy host');
    const points = movement.entries.map((entries) => () => fillAndMeasure(bench, tools, plane, entries));
    const { seen } = await stepsDuringLoad(session, loadOf(movement), duration, points);
    return { values: seen, othersShare };
  } finally {
    await session.close();
  }
}

async function fillAndMeasure(bench: Bench, tools: Tools, plane: DataPlane, entries: number): Promise<Values> {
  const { lab, signal } = bench;
  const seconds = intervalSeconds(bench);
  throwIfStopped(signal);
  const fill = [tools.fillMap, String(mapNamed(plane, 'legs').id), String(entries)];
  const { code, err } = await lab.proxy.run(fill, { timeoutMs: 60_000 });
  if (code !== 0) throw new Error(err.trim());
  const plain = await measureInterval(lab.proxy, seconds);
  const counted = await measureInterval(lab.proxy, seconds, { plane, statistics: tools.withStatistics });
  return {
    nsPerSegment: nsPerRun(counted.runs.ingress),
    guardNs: nsPerRun(counted.runs.egress),
    cpuNs: cpuNs(plain),
    cpuNsCounted: cpuNs(counted),
    segmentsPerSecond: plain.segments / plain.seconds,
    steady: percentOf(countStages(counted.exits), 'steady'),
  };
}
