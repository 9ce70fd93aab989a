/**
 * Goes through a plan: repetition by repetition, figure by figure, contestant by contestant, so that what the machine did
 * meanwhile hits all contestants of a repetition alike. Knows nothing of files and of what becomes of the trials.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Bench, Prime, Session } from './figures/figure.js';
import type { Contestant, Host, Lab, LoadResult, Running, Trial } from './model.js';
import { intervalOf, isPlannedLoad, pointsOf, secondsOfTrial, SESSION_SECONDS } from './plan.js';
import type { Plan, PlannedFigure, PlannedLoad, PlannedOwn, RunOptions } from './plan.js';
import { shareOfOthers } from './processor-time.js';
import { lastWords, openSession } from './session.js';
import type { SessionSetting } from './session.js';
import { abortable, Stopped, throwIfStopped } from './stop.js';
import { TARGET_PORT } from './workload.js';

export interface RunSetting {
  readonly lab: Lab;
  /** The load generator, at the same path on all hosts. */
  readonly load: string;
  readonly plan: Plan;
  readonly options: RunOptions & { readonly quietWait: number };
  /** For contestants' files and logs. */
  readonly directory: string;
  readonly signal: AbortSignal;
  readonly progress: Progress;
  /** What is there when more is to come, for whoever wants to keep it. Not expected to reject. */
  readonly onRepetition?: (measured: Measured) => Promise<void>;
  /** As in {@link SessionSetting}. */
  readonly readyMs?: number;
}

/** Who shows how far the run is. */
export interface Progress {
  /** From now on this is under way. */
  at(rep: number, planned: PlannedFigure, contestant?: string): void;
  /** A few words more. */
  text(text: string): void;
  trial(trial: Trial, planned: PlannedFigure): void;
  /** So much of the planned time is behind us. */
  advance(seconds: number): void;
}

export interface Measured {
  readonly trials: readonly Trial[];
  /** Why the run ended before its plan. */
  readonly stopped?: string;
  /** Figures that could not be measured at all, or not to their end. */
  readonly failures: readonly { readonly figure: string; readonly reason: string }[];
}

/** Rejects only if nothing can begin. Whatever ends the run later, what was measured until then comes back. */
export async function measure(setting: RunSetting): Promise<Measured> {
  const { lab, load, plan, options, signal } = setting;
  const trials: Trial[] = [];
  const failures: { figure: string; reason: string }[] = [];
  const processors = await processorsOf(lab.proxy);
  const server = await lab.server.start([load, 'serve', String(TARGET_PORT)]);
  const run = new Run(setting, { server, processors }, (trial) => trials.push(trial));
  let where = '';
  try {
    for (let rep = 1; rep <= options.repetitions; rep++) {
      for (const planned of plan.figures) {
        const { id } = planned.figure.facts;
        where = `repetition ${rep} of ${options.repetitions}, figure ${id}`;
        throwIfStopped(signal);
        if (server.ended) throw new Error(`the load generator's server ended: ${lastWords(server)}`);
        if (rep > planned.repetitions || failures.some(({ figure }) => figure === id)) continue;
        if (isPlannedLoad(planned)) await run.load(rep, planned);
        else {
          const reason = await run.own(rep, planned);
          if (reason !== undefined) failures.push({ figure: id, reason });
        }
      }
      if (rep < options.repetitions) {
        const stopped = `it got no further than repetition ${rep} of ${options.repetitions}`;
        await setting.onRepetition?.({ trials, failures, stopped });
      }
    }
    return { trials, failures };
  } catch (error) {
    return { trials, failures, stopped: `${textOf(error)} (${where})` };
  } finally {
    await server.stop();
  }
}

/** Of the machine that a contestant has, which need not be the one that this process runs on: peers get a thread for each. */
async function processorsOf(proxy: Host): Promise<number> {
  const { out, err } = await proxy.run(['nproc']);
  const processors = Number(out);
  if (processors >= 1) return processors;
  throw new Error(`the ${proxy.name} host does not say how many processors it has: ${err.trim() || out.trim()}`);
}

class Run {
  readonly #setting: RunSetting;
  readonly #session: SessionSetting;
  readonly #keep: (trial: Trial) => void;

  constructor(
    setting: RunSetting,
    there: { readonly server: Running; readonly processors: number },
    keep: (trial: Trial) => void,
  ) {
    const { lab, load, options, directory, signal, readyMs } = setting;
    const { seconds, warmup, quietWait } = options;
    this.#setting = setting;
    this.#session = {
      ...{ lab, load, ...there, directory, seconds, warmup, quietWait, signal },
      ...(readyMs === undefined ? {} : { readyMs }),
    };
    this.#keep = keep;
  }

  /** All contestants of a figure, one after the other. */
  async load(rep: number, planned: PlannedLoad): Promise<void> {
    for (const contestant of planned.contestants) await this.#contestant(rep, planned, contestant);
  }

  /** A figure that measures by itself. Gives the reason if it cannot be measured. */
  async own(rep: number, planned: PlannedOwn): Promise<string | undefined> {
    const { figure, contestants, seconds: plannedSeconds } = planned;
    const { lab, load, options, directory, signal, progress } = this.#setting;
    const { quick, seconds, warmup } = options;
    let session: Session | undefined;
    const open = async (contestant: Contestant): Promise<Session> => {
      await session?.close();
      progress.at(rep, planned, contestant.name);
      return (session = await openSession(contestant, this.#session));
    };
    const bench: Bench = {
      ...{ lab, load, quick, rep, seconds, warmup, contestants, scratch: directory, signal, open },
      progress: (text) => progress.text(text),
    };
    progress.at(rep, planned);
    try {
      const problem = await figure.missing?.(lab);
      if (problem !== undefined) return problem;
      const trials = figure.measure(bench)[Symbol.asyncIterator]();
      try {
        for (;;) {
          const next = await abortable(trials.next(), signal);
          if (next.done === true) return undefined;
          this.#report(next.value, planned);
        }
      } finally {
        // Not waited for: after a stop it ends only when what it waits for does, which the lab's end brings about.
        void trials.return?.().catch(() => undefined);
      }
    } catch (error) {
      if (error instanceof Stopped) throw error;
      return textOf(error);
    } finally {
      await session?.close();
      progress.advance(plannedSeconds);
    }
  }

  /** One contestant at all points of a figure. One that ends on the way is started again for what remains. */
  async #contestant(rep: number, planned: PlannedLoad, contestant: Contestant): Promise<void> {
    const { figure } = planned;
    const { processors } = this.#session;
    const { lab, options, progress } = this.#setting;
    progress.at(rep, planned, contestant.name);
    let session: Session | undefined;
    let limit = processors;
    let primed: Prime[] = [];
    let cannotStart: string | undefined;
    try {
      for (const point of pointsOf(planned, contestant.name)) {
        const wanted = Math.min(figure.processors?.(point) ?? processors, processors);
        const trial = { figure: figure.facts.id, rep, contestant: contestant.name, point };
        try {
          if (cannotStart !== undefined) throw new Error(cannotStart);
          if (session !== undefined && (session.running?.ended === true || limit !== wanted)) {
            await session.close();
            session = undefined;
          }
          limit = wanted;
          if (session === undefined) {
            session = await openSession(contestant, this.#session, limit).catch((error: unknown) => {
              if (!(error instanceof Stopped)) cannotStart = textOf(error);
              throw error;
            });
            primed = [];
          }
          const prime = figure.prime?.(point);
          if (
            prime !== undefined &&
            contestant.via === 'http' &&
            !primed.some((one) => isDeepStrictEqual(one, prime))
          ) {
            await session.prime(prime);
            primed.push(prime);
          }
          await figure.before?.(lab, point);
          const result = await session.run(figure.workload(point), intervalOf(figure, point, options));
          const died = session.running?.ended === true ? `it ended: ${lastWords(session.running)}` : undefined;
          this.#report({ ...trial, ...judge(planned, trial, result, died, lab.oneMachine) }, planned);
        } catch (error) {
          if (error instanceof Stopped) throw error;
          this.#report({ ...trial, values: {}, failure: textOf(error) }, planned);
        }
        progress.advance(secondsOfTrial(figure, point, options));
      }
    } finally {
      await session?.close();
      await figure.after?.(lab);
      progress.advance(SESSION_SECONDS);
    }
  }

  #report(trial: Trial, planned: PlannedFigure): void {
    this.#keep(trial);
    this.#setting.progress.trial(trial, planned);
  }
}

/** A trial with errors or wrong bytes has no values: what it would say about speed is not true. */
function judge(
  { figure }: PlannedLoad,
  { point, contestant }: Pick<Trial, 'point' | 'contestant'>,
  load: LoadResult,
  died: string | undefined,
  oneMachine: boolean,
): Pick<Trial, 'values' | 'load' | 'othersShare' | 'failure'> {
  const shared = oneMachine ? { othersShare: shareOfOthers(load.cpu) } : {};
  const failure = [
    ...(died === undefined ? [] : [died]),
    ...(load.corrupt > 0 ? [counted(load.corrupt, 'corrupt byte')] : []),
    ...(load.errors > 0 ? [`${counted(load.errors, 'error')} (${load.firstError})`] : []),
  ];
  if (failure.length === 0 && !load.clean) failure.push(load.firstError || 'the load generator found it not clean');
  const flaw = failure.length === 0 ? figure.flaw?.(load, contestant) : undefined;
  if (flaw !== undefined) failure.push(flaw);
  if (failure.length > 0) return { values: {}, load, ...shared, failure: failure.join(', ') };
  const finite = Object.entries(figure.values(load, point)).filter(([, value]) => Number.isFinite(value));
  return { values: Object.fromEntries(finite), load, ...shared };
}

const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
