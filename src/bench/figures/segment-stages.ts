/**
 * Table beside figure g: nanoseconds of one run of the packet backend's programs, by the stage of the flow whose segment
 * they saw, from the kernel's run-time statistics.
 */
import { findDataPlane } from '../kernel/data-plane.js';
import type { DataPlane } from '../kernel/data-plane.js';
import { duringLoad } from '../kernel/during-load.js';
import { countStages, percentOf } from '../kernel/exits.js';
import { measureCalm, measureInterval, nsPerRun } from '../kernel/interval.js';
import type { Interval } from '../kernel/interval.js';
import { missingForKernel } from '../kernel/requirements.js';
import { buildTools } from '../kernel/tools.js';
import type { LoadResult, Trial } from '../model.js';
import { throwIfStopped } from '../stop.js';
import type { Bench, OwnFigure, Session } from './figure.js';
import { failed, intervalSeconds, measured } from './own-trial.js';
import type { TrialPlace, Values } from './own-trial.js';

type Stage = 'miss' | 'steady' | 'steady bulk' | 'transit';

interface StageLoad {
  readonly stage: Stage;
  readonly args: readonly string[];
}

/** Each puts nearly all its segments into one stage, but for the last: transitValues() says why. */
const LOADS: readonly StageLoad[] = [
  { stage: 'miss', args: ['--via', 'direct', '--mode', 'small'] },
  { stage: 'steady', args: ['--mode', 'small'] },
  { stage: 'steady bulk', args: ['--mode', 'download'] },
  { stage: 'transit', args: ['--mode', 'connect'] },
];
const CONNECTIONS = 8;

const lower = { digits: 0, lowerIsBetter: true };

export const segmentStages: OwnFigure = {
  kind: 'own',
  facts: {
    id: 'segment-stages',
    letter: 'g2',
    title: 'Cost of a segment by stage',
    about:
      'Miss: segments of no flow, routed past. Steady: a flow without sockets, 64-byte messages. Steady bulk: downloads, ' +
      'segments as the sender makes them. Transit: short connections that are spliced at once, whose sockets still own ' +
      'bytes. All are from the kernel\'s statistics, with about 20 ns of its clock in each run; "share" is how many of ' +
      'the segments belonged to the stage.',
    metrics: [
      { id: 'nsPerSegment', title: 'relay program (ns)', ...lower },
      { id: 'guardNs', title: 'guard program (ns)', ...lower },
      { id: 'share', title: 'share (%)', digits: 1, lowerIsBetter: false },
      { id: 'segmentsPerSecond', title: 'segments/s', digits: 0, lowerIsBetter: false },
      { id: 'controlNs', title: 'install or advance (ns)', ...lower },
      { id: 'perConnectionNs', title: 'all of a connection (ns)', ...lower },
    ],
    axes: [{ id: 'stage', title: 'stage', scale: 'names' }],
  },
  contestants: () => ['ours-packet-now'],
  takes: (name) => name.startsWith('ours-packet'),
  repetitions: 2,
  seconds: (quick) => (quick ? 5 : 9),
  missing: missingForKernel,
  measure,
};

async function* measure(bench: Bench): AsyncIterable<Trial> {
  const [contestant] = bench.contestants;
  if (!contestant) return;
  const { withStatistics } = await buildTools(bench.lab);
  const done = new Map<Stage, Values>();
  const at = (stage: Stage): TrialPlace => ({
    figure: segmentStages.facts.id,
    rep: bench.rep,
    contestant: contestant.name,
    point: { stage },
  });
  const session = await bench.open(contestant);
  try {
    const plane = await findDataPlane(bench.lab.proxy);
    if (!plane) throw new Error('splice-socks attached no program to the interfaces of the proxy host');
    for (const load of LOADS) {
      throwIfStopped(bench.signal);
      bench.progress(load.stage);
      try {
        const { slack, othersShare } = await measureCalm(bench.lab.proxy);
        const values = await measureStage(bench, session, { plane, statistics: withStatistics, slack }, load, done);
        done.set(load.stage, values);
        yield measured(at(load.stage), values, othersShare);
      } catch (error) {
        throwIfStopped(bench.signal);
        yield failed(at(load.stage), error);
      }
    }
  } finally {
    await session.close();
  }
}

async function measureStage(
  bench: Bench,
  session: Session,
  { plane, statistics, slack }: { plane: DataPlane; statistics: string; slack: number },
  { stage, args }: StageLoad,
  done: ReadonlyMap<Stage, Values>,
): Promise<Values> {
  const { lab, warmup } = bench;
  const seconds = intervalSeconds(bench);
  const load = [...args, '--connections', String(CONNECTIONS)];
  const duration = { seconds: seconds + slack, warmup };
  const { seen, result } = await duringLoad(session, load, duration, () =>
    measureInterval(lab.proxy, seconds, { plane, statistics }),
  );
  return stage === 'transit' ? transitValues(seen, result, done) : pureValues(seen, stage);
}

function pureValues(seen: Interval, stage: Stage): Values {
  const { ingress, egress } = seen.runs;
  return {
    nsPerSegment: nsPerRun(ingress),
    guardNs: nsPerRun(egress),
    share: percentOf(countStages(seen.exits), stage === 'miss' ? 'miss' : 'steady'),
    segmentsPerSecond: ingress.count / seen.seconds,
  };
}

/**
 * Segments of flows in transit never come alone: a connection of a few segments has some before its splice and perhaps
 * some after its release. What those take is known from the pure loads, and is taken off.
 */
function transitValues(seen: Interval, result: LoadResult, done: ReadonlyMap<Stage, Values>): Values {
  const { ingress, egress, control } = seen.runs;
  const by = countStages(seen.exits);
  const ns = (stage: Stage): number => done.get(stage)?.['nsPerSegment'] ?? NaN;
  const others = by.miss * ns('miss') + by.steady * ns('steady');
  const perSecond = (ingress.ns + egress.ns + control.ns) / seen.seconds;
  return {
    nsPerSegment: by.transit > 0 ? (ingress.ns - others) / by.transit : NaN,
    guardNs: nsPerRun(egress),
    share: percentOf(by, 'transit'),
    segmentsPerSecond: by.transit / seen.seconds,
    controlNs: nsPerRun(control),
    perConnectionNs: result.perSecond > 0 ? perSecond / result.perSecond : NaN,
  };
}
