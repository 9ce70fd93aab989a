/**
 * The test runner: every ring that this machine can run, one line a program, one line a ring, and at the very
 * end one line `N passed, N failed` (or `N passed, N failed, N skipped`) over all rings.
 *
 * Arguments: names or numbers of rings, `lab/NAME` for the programs of a ring whose name contains NAME.
 */
import { missingFor, thisMachine, type Machine } from './machine.js';
import { rings as allRings, type Ring } from './rings.js';
import { runTapProgram, type TapOutcome, type TapProgram } from './tap-program.js';

export interface Totals {
  passed: number;
  failed: number;
  skipped: number;
}

export interface RunOptions {
  readonly root: string;
  readonly rings: readonly Ring[];
  readonly machine: Machine;
  readonly print: (line: string) => void;
  /** Milliseconds for everything; rings that would start later fail. */
  readonly limitMs: number;
}

export function countLine({ passed, failed, skipped }: Totals): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}

/** Splits `lab/curl` into ring and filter. */
function parseChoice(choice: string): { ring: string; filter: string } {
  const slash = choice.indexOf('/');
  return slash < 0 ? { ring: choice, filter: '' } : { ring: choice.slice(0, slash), filter: choice.slice(slash + 1) };
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

export async function runRings(choices: readonly string[], options: RunOptions): Promise<Totals> {
  const { root, rings, machine, print } = options;
  const started = performance.now();
  const totals: Totals = { passed: 0, failed: 0, skipped: 0 };
  const failures: string[] = [];
  const summary: string[] = [];

  const wanted = choices.map(parseChoice);
  for (const { ring } of wanted) {
    if (!rings.some((known) => known.name === ring || String(known.number) === ring)) {
      totals.failed++;
      failures.push(`there is no ring "${ring}" (rings: ${rings.map((known) => known.name).join(', ')})`);
    }
  }

  let interrupted = false;
  for (const ring of rings) {
    if (interrupted) break;
    const chosen = wanted.filter((choice) => choice.ring === ring.name || choice.ring === String(ring.number));
    if (wanted.length > 0 && chosen.length === 0) continue;
    const title = `ring ${ring.number} ${ring.name}`;

    const missing = missingFor(ring.name, machine);
    if (missing !== undefined) {
      totals.skipped++;
      summary.push(`${title}: skipped, needs ${missing}`);
      print(summary.at(-1) ?? '');
      continue;
    }

    const filters = chosen.length > 0 ? chosen.map((choice) => choice.filter) : [''];
    const programs = filters.flatMap((filter) => ring.programs(root, filter));
    const sum: Totals = { passed: 0, failed: 0, skipped: 0 };
    const ringStarted = performance.now();
    if (programs.length === 0) {
      sum.failed++;
      failures.push(`${title}: there is nothing to run`);
    }
    ring.prepare?.();
    const runProgram = async (program: TapProgram): Promise<void> => {
      const left = options.limitMs - (performance.now() - started);
      if (left <= 0) {
        sum.failed++;
        failures.push(`${title}, ${program.name}: not run, the time for all rings is used up`);
        return;
      }
      const outcome: TapOutcome = await runTapProgram({ ...program, limitMs: Math.min(program.limitMs, left) });
      interrupted ||= outcome.interrupted;
      sum.passed += outcome.passed;
      sum.failed += outcome.failed;
      sum.skipped += outcome.skipped;
      print(`${title}: ${program.name}: ${countLine(outcome)} (${seconds(outcome.durationMs)})`);
      for (const skip of outcome.skips) print(`  skipped: ${skip}`);
      for (const failure of outcome.failures) failures.push(`${title}, ${program.name}:\n${failure}`);
    };
    const runLane = async (lane: string | undefined): Promise<void> => {
      for (const program of programs.filter((each) => each.lane === lane)) {
        if (!interrupted) await runProgram(program);
      }
    };
    await Promise.all([...new Set(programs.map(({ lane }) => lane))].map(runLane));
    totals.passed += sum.passed;
    totals.failed += sum.failed;
    totals.skipped += sum.skipped;
    summary.push(`${title}: ${countLine(sum)} (${seconds(performance.now() - ringStarted)})`);
  }

  if (totals.passed + totals.failed === 0) {
    totals.failed++;
    failures.push('no test ran at all');
  }
  if (failures.length > 0) {
    print('');
    print('failures:');
    for (const failure of failures) print(failure.replace(/^/gm, '  '));
  }
  print('');
  for (const line of summary) print(line);
  print(countLine(totals));
  return totals;
}

/** @returns the exit code */
export async function main(choices: readonly string[]): Promise<number> {
  const totals = await runRings(choices, {
    root: process.cwd(),
    rings: allRings,
    machine: thisMachine(),
    print: (line) => process.stdout.write(`${line}\n`),
    limitMs: 82 * 60_000,
  });
  return totals.failed > 0 ? 1 : 0;
}
