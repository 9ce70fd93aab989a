/**
 * Runs one program that prints TAP and says what came of it. The judgement is strict: a program that
 * crashes, hangs, breaks its plan or runs nothing has failed, whatever its test points say.
 */
import { spawn } from 'node:child_process';
import { Parser, type FinalResults } from 'tap-parser';

export interface TapProgram {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Milliseconds after which the program and all its children are ended. */
  readonly limitMs: number;
  /** Programs of a ring that name different lanes run beside each other, those of one lane one after another. */
  readonly lane?: string;
  /** Called with the program's process id once it is gone, however it ended, to remove what it may have left. */
  readonly sweep?: (pid: number) => void;
}

export interface TapOutcome {
  readonly name: string;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly durationMs: number;
  /** What a person needs to see of each failure, ready to print. */
  readonly failures: readonly string[];
  /** Names of what was skipped, with the reason. */
  readonly skips: readonly string[];
  /** The runner itself was asked to end; nothing more should be started. */
  readonly interrupted: boolean;
}

const stopGraceMs = 10_000;
/** For what a program has left to print when it is gone, and one of its children, in a group of its own, holds the pipe. */
const orphanMs = 10_000;
const stopSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const shownLines = 120;
const topLevelPoint = /^(not )?ok\b/;

/** The output lines that belong to each failed top-level test point: its subtests before it, its diagnostics after it. */
export function failureBlocks(output: string): string[] {
  const lines = output.split('\n');
  const blocks: string[] = [];
  let start = 0;
  for (let at = 0; at < lines.length; at++) {
    if (!topLevelPoint.test(lines[at] ?? '')) continue;
    let end = at + 1;
    while (end < lines.length && /^(\s|$)/.test(lines[end] ?? '')) end++;
    if (lines[at]?.startsWith('not ok') === true && !/# *(skip|todo)\b/i.test(lines[at] ?? '')) {
      // Where a subtest failed, its own diagnostics say it all; those of the point only say which subtest it was.
      const subtest = lines.slice(start, at).some((line) => /^ +not ok\b/.test(line));
      const block = lines.slice(start, subtest ? at + 1 : end).filter((line) => line.trim() !== '');
      const cut = block.length - shownLines;
      blocks.push([...(cut > 0 ? [`(${cut} lines left out)`] : []), ...block.slice(-shownLines)].join('\n'));
    }
    start = end;
  }
  return blocks;
}

/** Signals a whole process group; one that is gone already is what we wanted. */
function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

export async function runTapProgram(program: TapProgram): Promise<TapOutcome> {
  const started = performance.now();
  let passed = 0;
  let failed = 0;
  const skips: string[] = [];
  const parser = new Parser();
  parser.on('assert', (point: { ok: boolean; name: string; skip: boolean | string; todo: boolean | string }) => {
    if (point.skip !== false || point.todo !== false) {
      const reason = point.skip !== false ? point.skip : point.todo;
      skips.push(typeof reason === 'string' && reason !== '' ? `${point.name}: ${reason}` : point.name);
    } else if (point.ok) passed++;
    else failed++;
  });
  const parsed = new Promise<{ ok: boolean; bailout: boolean | string; violations: string[] }>((resolve) => {
    parser.on('complete', (results: FinalResults) => {
      const violations = results.failures.flatMap((failure) =>
        typeof failure.tapError === 'string' ? [failure.tapError] : [],
      );
      resolve({ ok: results.ok, bailout: results.bailout, violations });
    });
  });

  // A group of its own, so that a program which hangs can be ended together with its children.
  const child = spawn(program.command, program.args, {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...program.env },
  });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => {
    out.push(chunk);
    parser.write(chunk);
  });
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk));

  let problem: string | undefined;
  let interrupted = false;
  let end: (why: string) => void = () => undefined;
  const interrupt = (signal: NodeJS.Signals): void => {
    interrupted = true;
    end(`interrupted by ${signal}`);
  };
  let limit: NodeJS.Timeout | undefined;
  let grace: NodeJS.Timeout | undefined;
  const ending = await new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.once('error', (error) => {
      problem = `cannot run ${program.command}: ${error.message}`;
      resolve({ code: null, signal: null });
    });
    // 'close' comes when the last that was printed is read. A grandchild that keeps our pipe open must not hold it up.
    child.once('exit', (code, signal) => {
      const settle = (): void => resolve({ code, signal });
      if (child.pid !== undefined) signalGroup(child.pid, 'SIGKILL');
      const patience = setTimeout(settle, orphanMs);
      child.once('close', () => {
        clearTimeout(patience);
        settle();
      });
    });
    end = (why): void => {
      problem ??= why;
      if (child.pid !== undefined) signalGroup(child.pid, 'SIGTERM');
      grace ??= setTimeout(() => child.pid !== undefined && signalGroup(child.pid, 'SIGKILL'), stopGraceMs);
    };
    limit = setTimeout(end, program.limitMs, `timed out after ${program.limitMs / 1000} s`);
    // In a group of its own the program does not hear the terminal; we do.
    for (const signal of stopSignals) process.on(signal, interrupt);
  });
  for (const signal of stopSignals) process.off(signal, interrupt);
  clearTimeout(limit);
  clearTimeout(grace);
  if (child.pid !== undefined) {
    signalGroup(child.pid, 'SIGKILL');
    program.sweep?.(child.pid);
  }
  child.stdout.destroy();
  child.stderr.destroy();
  parser.end();
  const results = await parsed;

  if (problem === undefined) {
    if (ending.signal !== null) problem = `ended by ${ending.signal}`;
    else if (passed + failed + skips.length === 0) problem = `ran no tests (exit code ${ending.code})`;
    else if (results.bailout !== false) problem = `bailed out: ${String(results.bailout)}`;
    else if (failed === 0 && results.violations.length > 0) problem = `broken TAP: ${results.violations.join('; ')}`;
    else if (failed === 0 && ending.code !== 0) problem = `exit code ${ending.code} although no test failed`;
  }
  const failures = failureBlocks(Buffer.concat(out).toString());
  if (problem !== undefined) {
    failed++;
    failures.push(`${program.name}: ${problem}`);
  }
  const stderr = Buffer.concat(err).toString().trimEnd();
  if (failed > 0 && stderr !== '') {
    failures.push(`stderr of ${program.name}:\n${stderr.split('\n').slice(-shownLines).join('\n')}`);
  }
  return {
    name: program.name,
    passed,
    failed,
    skipped: skips.length,
    durationMs: performance.now() - started,
    failures,
    skips,
    interrupted,
  };
}
