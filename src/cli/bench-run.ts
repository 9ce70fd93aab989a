/** `splice-bench run`: lab up, plan, measurement, lab down, report. Everything it starts is gone when it returns. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { collectResults, describeContestants } from '../bench/collect.js';
import type { Host, Results } from '../bench/model.js';
import { isPlannedLoad, makePlan, pointsOf } from '../bench/plan.js';
import type { Plan } from '../bench/plan.js';
import { formatReport } from '../bench/report/tables.js';
import { writeReport } from '../bench/report/write-report.js';
import { writeResults } from '../bench/results-file.js';
import { measure } from '../bench/run.js';
import type { Measured, RunSetting } from '../bench/run.js';
import { Stopped, throwIfStopped } from '../bench/stop.js';
import { SpliceError } from '../errors.js';
import { BENCH_EXIT } from './bench-context.js';
import type { BenchContext, BenchExitCode } from './bench-context.js';
import type { BenchOptions } from './bench-options.js';
import { showProgress } from './bench-progress.js';
import type { Environment } from './environment.js';
import { humanTime, renderTable } from './format.js';

export async function run(context: BenchContext, options: BenchOptions): Promise<BenchExitCode> {
  const { environment } = context;
  const { stdout, stderr } = environment;
  const complain = complainTo(stderr);
  const plan = (proxy: Host): Promise<Plan> =>
    makePlan(options.figures, options, proxy, (names) => context.chooseContestants(names, options.oursArgs));
  if (options.dryRun) {
    stdout.write(describePlan(await plan(context.localHost()), options));
    return BENCH_EXIT.ok;
  }
  const stop = new AbortController();
  // The first one ends the run in order; those after it would say the same.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    environment.onSignal(signal, () => {
      if (!stop.signal.aborted) stderr.write(`splice-bench: ${signal}: stopping, what was measured is kept\n`);
      stop.abort(new Stopped(`stopped by ${signal}`));
    });
  const begun = new Date();
  const directory = options.out ?? join('build/bench', dateName(begun));
  const lab = await context.openLab(options.family, options.remote);
  try {
    throwIfStopped(stop.signal);
    const planned = await plan(lab.proxy);
    stderr.write(describePlan(planned, options));
    const load = await context.buildLoad(lab.oneMachine ? [lab.proxy] : [lab.client, lab.server]);
    await mkdir(directory, { recursive: true });
    const occasion = {
      begun,
      symsplice: await context.describeSymsplice(),
      machine: await context.describeMachine(lab.proxy),
      contestants: await describeContestants(planned, lab.proxy),
      family: options.family,
      hosts: options.remote?.hosts ?? ['three network namespaces'],
    };
    const collect = (measured: Measured): Results => collectResults(occasion, planned, options, measured);
    const setting = { lab, load, plan: planned, options, directory, signal: stop.signal };
    // Should the process be killed, the repetitions that are whole are on the disk.
    const keep = (measured: Measured): Promise<void> =>
      writeResults(resultsFile(directory), collect(measured)).catch((error: unknown) =>
        complain(`the results so far cannot be kept: ${error instanceof Error ? error.message : String(error)}`),
      );
    const measured = await measureWithProgress(context, { ...setting, onRepetition: keep });
    const results = collect(measured);
    // Before the lab goes: if that fails, what was measured is on the disk.
    return await finish(context, directory, results, measured);
  } finally {
    await lab.close();
  }
}

async function measureWithProgress(
  { environment, terminal }: BenchContext,
  setting: Omit<RunSetting, 'progress'>,
): Promise<Measured> {
  const progress = showProgress(setting.plan, setting.options.repetitions, environment.stderr, terminal);
  try {
    return await measure({ ...setting, progress });
  } finally {
    progress.end();
  }
}

const complainTo =
  (stderr: Environment['stderr']) =>
  (text: string): void =>
    void stderr.write(`splice-bench: ${text}\n`);

const resultsFile = (directory: string): string => join(directory, 'results.json');

/** Writes everything and says how it went. */
async function finish(
  { environment: { stdout, stderr } }: BenchContext,
  directory: string,
  results: Results,
  { trials, failures, stopped }: Measured,
): Promise<BenchExitCode> {
  const complain = complainTo(stderr);
  if (stopped !== undefined) complain(stopped);
  for (const { figure, reason } of failures) complain(`figure ${figure}: ${reason}`);
  if (trials.length === 0) {
    complain('nothing was measured, nothing is written');
    return BENCH_EXIT.failure;
  }
  const file = resultsFile(directory);
  try {
    await writeResults(file, results);
  } catch (cause) {
    // A disk may have filled up meanwhile: half an hour's work is on the terminal at least.
    stdout.write(formatReport(results));
    const why = cause instanceof Error ? cause.message : String(cause);
    const message = `cannot write ${file}: ${why}; the tables above are what is left of this run`;
    throw new SpliceError('ERR_SPLICE_SYSTEM', message, { cause });
  }
  const { files } = await writeReport(results, directory, { print: (text) => void stdout.write(text) });
  const failed = trials.filter(({ failure }) => failure !== undefined).length;
  if (failed > 0) complain(`${failed} of ${trials.length} trials failed; the reasons stand in ${file}`);
  stdout.write(`\n${[file, ...files].map((name) => `wrote ${name}\n`).join('')}`);
  if (stopped !== undefined || failures.length > 0) return BENCH_EXIT.failure;
  return failed > 0 ? BENCH_EXIT.errors : BENCH_EXIT.ok;
}

/** `2026-11-22T19-30-05`, in local time: sorts, and is a name on every file system. */
function dateName(date: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join('-');
  return `${day}T${[date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join('-')}`;
}

function describePlan(plan: Plan, options: BenchOptions): string {
  const { repetitions, seconds, warmup } = options;
  const rows = plan.figures.map((planned) => {
    const { figure, contestants } = planned;
    const trials = isPlannedLoad(planned)
      ? contestants.reduce((total, { name }) => total + pointsOf(planned, name).length, 0)
      : undefined;
    return [
      figure.facts.letter,
      figure.facts.id,
      contestants.length === 0 ? '' : String(contestants.length),
      trials === undefined ? '' : String(trials),
      String(planned.repetitions),
      humanTime(planned.seconds * planned.repetitions * 1000),
    ];
  });
  const columns = [
    { head: '' },
    { head: 'figure' },
    ...['contestants', 'trials', 'repetitions', 'time'].map((head) => ({ head, align: 'right' as const })),
  ];
  const leftOut = plan.leftOut.map(({ contestant, reason }) => `left out: ${contestant}: ${reason}\n`).join('');
  return (
    `${renderTable(columns, rows)}${leftOut}` +
    `about ${humanTime(plan.seconds * 1000)}: ${repetitions} repetition${repetitions === 1 ? '' : 's'}, ` +
    `trials of ${warmup} + ${seconds} s\n`
  );
}
