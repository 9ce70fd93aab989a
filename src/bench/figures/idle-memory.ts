/**
 * Figure f: what flows cost that say nothing: memory, descriptors and sockets of the proxy host, for ours and for peers; and
 * the packet backend's maps with a million entries.
 *
 * Everything is the growth over the same process without flows, divided by the flows.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { findDataPlane, mapMemory, mapNamed } from '../kernel/data-plane.js';
import { duringLoad } from '../kernel/during-load.js';
import { leastOf, lookAtHoldings } from '../kernel/process-tree.js';
import type { Holdings } from '../kernel/process-tree.js';
import { missingForKernel } from '../kernel/requirements.js';
import { buildTools } from '../kernel/tools.js';
import { withArguments } from '../kernel/with-arguments.js';
import type { Contestant, Trial } from '../model.js';
import { abortable, throwIfStopped } from '../stop.js';
import type { Bench, OwnFigure, Session } from './figure.js';
import { failed, measured } from './own-trial.js';
import type { TrialPlace, Values } from './own-trial.js';

const PACKET = 'ours-packet';
const WHO = [
  'router',
  'haproxy-splice',
  'nginx-stream',
  'dante',
  'microsocks',
  'node-socks',
  PACKET,
  'ours-splice',
  'ours-copy',
  'ours-sockmap',
];
const QUICK_WHO = ['microsocks', PACKET, 'ours-splice'];

/** Two descriptors each: 5,000 flows are what a limit of 20,000 leaves to those who need more of them, 10,000 are not. */
const flowsOf = (quick: boolean): readonly number[] => (quick ? [1_000] : [100, 1_000, 5_000, 10_000]);

/** Two entries each: a million. */
const FULL_MAP_FLOWS = 500_000;

/** The packet backend gives the last sockets back within its grace period; the buffers of the others shrink. */
const settleSeconds = (flows: number): number => (flows > 1_000 ? 2.5 : 1.5);
/** For a look at the host, which takes longer with many processes and descriptors. */
const lookSeconds = (flows: number, beforeSeconds: number): number => Math.max(0.5, 5 * beforeSeconds) + flows / 10_000;

/** With fewer flows, heaps that breathe and the rest of the machine change memory more than the flows do. */
const LEAST_FOR_MEMORY = 1_000;
/** Beyond what was measured with fewer flows: logs, a resolver, an epoll. */
const SPARE_DESCRIPTORS = 16;

const text = (number: number): string => number.toLocaleString('en');

const lower = { lowerIsBetter: true };

export const idleMemory: OwnFigure = {
  kind: 'own',
  facts: {
    id: 'idle-memory',
    letter: 'f',
    title: 'What a silent flow costs',
    about:
      'Flows that moved a byte each way, then say nothing, and answer again at the end. Figures for a flow are the growth ' +
      'over the same process without any. Resident memory is that of the contestant and its children, what they share ' +
      'counted once; kernel memory (slab, stacks, page tables) is that of the whole machine with client and server, whose ' +
      `part the router shows; both need ${text(LEAST_FOR_MEMORY)} flows to stand out. Maps of the packet backend are as large ` +
      `as the flows that they have room for; at ${text(FULL_MAP_FLOWS)} flows, a million entries, nothing but they is filled.`,
    metrics: [
      { id: 'residentKb', title: 'resident (KiB/flow)', digits: 2, ...lower },
      { id: 'descriptors', title: 'descriptors/flow', digits: 2, ...lower },
      { id: 'sockets', title: 'sockets/flow', digits: 2, ...lower },
      { id: 'kernelKb', title: 'kernel (KiB/flow)', digits: 2, ...lower },
      { id: 'mapBytes', title: 'maps (bytes/flow)', digits: 0, ...lower },
      { id: 'mapMb', title: 'maps, all (MiB)', digits: 1, ...lower },
      { id: 'totalMb', title: 'resident, all (MiB)', digits: 1, ...lower },
    ],
    axes: [{ id: 'flows', title: 'silent flows', scale: 'log' }],
  },
  contestants: (quick) => (quick ? QUICK_WHO : WHO),
  repetitions: 1,
  seconds: (quick, contestants) => contestants * (quick ? 3 : 14),
  measure,
};

async function* measure(bench: Bench): AsyncIterable<Trial> {
  for (const contestant of bench.contestants) {
    yield* measureContestant(bench, contestant);
    if (contestant.name === PACKET && !bench.quick) yield await measureFullMap(bench, contestant);
  }
}

const place = (bench: Bench, contestant: Contestant, flows: number): TrialPlace => ({
  figure: idleMemory.facts.id,
  rep: bench.rep,
  contestant: contestant.name,
  point: { flows },
});

async function* measureContestant(bench: Bench, contestant: Contestant): AsyncIterable<Trial> {
  const points = flowsOf(bench.quick);
  throwIfStopped(bench.signal);
  let session: Session;
  try {
    session = await bench.open(withoutLimit(contestant));
  } catch (error) {
    throwIfStopped(bench.signal);
    for (const flows of points) yield failed(place(bench, contestant, flows), error);
    return;
  }
  try {
    const idle = new IdleFlows(bench, session);
    for (const flows of points) {
      bench.progress(`${flows} silent flows, ${contestant.name}`);
      try {
        yield measured(place(bench, contestant, flows), await idle.measure(flows));
      } catch (error) {
        throwIfStopped(bench.signal);
        yield failed(place(bench, contestant, flows), error);
      }
    }
  } finally {
    await session.close();
  }
}

/** Flows of the packet backend need no descriptors once they are spliced: its default, reckoned from those, is too careful. */
const withoutLimit = (contestant: Contestant): Contestant =>
  contestant.name === PACKET ? withArguments(contestant, ['--max-connections', '0']) : contestant;

/** One contestant with more and more flows. */
class IdleFlows {
  readonly #bench: Bench;
  readonly #session: Session;
  /** The least of everything that was seen without flows: a heap may shrink after the start, a pool may stay large. */
  #empty: Holdings | undefined;
  /** Of the process that has most of them, as seen with fewer flows. */
  #descriptorsPerFlow = 0;

  constructor(bench: Bench, session: Session) {
    this.#bench = bench;
    this.#session = session;
  }

  #look(): Promise<Holdings> {
    return lookAtHoldings(this.#bench.lab.proxy, this.#session.running?.pid);
  }

  async measure(flows: number): Promise<Values> {
    const { signal } = this.#bench;
    this.#checkAlive();
    const begun = performance.now();
    const before = await this.#look();
    const looking = lookSeconds(flows, (performance.now() - begun) / 1000);
    this.#empty = this.#empty ? leastOf(this.#empty, before) : before;
    this.#checkDescriptors(flows, this.#empty);
    const settle = settleSeconds(flows);
    const load = ['--mode', 'idle', '--connections', String(flows)];
    const { seen } = await duringLoad(this.#session, load, { seconds: settle + looking, warmup: 0 }, async () => {
      await abortable(sleep(settle * 1000), signal);
      return this.#look();
    });
    this.#checkAlive();
    this.#descriptorsPerFlow = (seen.greatest.descriptors - this.#empty.greatest.descriptors) / flows;
    return { ...growth(this.#empty, seen, flows), ...(await this.#maps(seen)) };
  }

  #checkAlive(): void {
    const { running } = this.#session;
    if (running?.ended === true) throw new Error(`it ended: ${running.tail().trim()}`);
  }

  #checkDescriptors(flows: number, { greatest }: Holdings): void {
    const needed = Math.ceil(this.#descriptorsPerFlow * flows) + greatest.descriptors + SPARE_DESCRIPTORS;
    if (this.#descriptorsPerFlow > 0.5 && needed > greatest.limit)
      throw new Error(`needs ${needed} descriptors, limit ${greatest.limit}`);
  }

  async #maps({ mapBytes }: Holdings): Promise<Values> {
    if (mapBytes === 0) return {};
    const plane = await findDataPlane(this.#bench.lab.proxy).catch(() => undefined);
    return { mapMb: mapBytes / 2 ** 20, ...(plane ? { mapBytes: mapMemory(plane).perFlow } : {}) };
  }
}

/** What shrank instead has not been measured. */
const grown = (before: number, after: number, flows: number): number =>
  after > before ? (after - before) / flows : NaN;

export function growth(empty: Holdings, seen: Holdings, flows: number): Values {
  const enough = flows >= LEAST_FOR_MEMORY;
  const process: Values =
    empty.residentKb > 0
      ? {
          residentKb: enough ? grown(empty.residentKb, seen.residentKb, flows) : NaN,
          descriptors: (seen.descriptors - empty.descriptors) / flows,
          totalMb: seen.residentKb / 1024,
        }
      : {};
  return {
    ...process,
    sockets: (seen.sockets - empty.sockets) / flows,
    kernelKb: enough ? grown(empty.kernelKb, seen.kernelKb, flows) : NaN,
  };
}

async function measureFullMap(bench: Bench, contestant: Contestant): Promise<Trial> {
  const at = place(bench, contestant, FULL_MAP_FLOWS);
  bench.progress(`${2 * FULL_MAP_FLOWS} entries, ${contestant.name}`);
  try {
    const problem = await missingForKernel(bench.lab);
    if (problem !== undefined) throw new Error(problem);
    const { fillMap } = await buildTools(bench.lab);
    const session = await bench.open(withArguments(contestant, ['--max-flows', String(FULL_MAP_FLOWS)]));
    try {
      const plane = await findDataPlane(bench.lab.proxy);
      if (!plane) throw new Error('the contestant attached no program to the interfaces of the proxy host');
      const legs = String(mapNamed(plane, 'legs').id);
      const { code, err } = await bench.lab.proxy.run([fillMap, legs, String(2 * FULL_MAP_FLOWS)]);
      if (code !== 0) throw new Error(err.trim());
      const { residentKb } = await lookAtHoldings(bench.lab.proxy, session.running?.pid);
      const { total, perFlow } = mapMemory((await findDataPlane(bench.lab.proxy)) ?? plane);
      return measured(at, { mapBytes: perFlow, mapMb: total / 2 ** 20, totalMb: residentKb / 1024 });
    } finally {
      await session.close();
    }
  } catch (error) {
    throwIfStopped(bench.signal);
    return failed(at, error);
  }
}
