import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { kernelAtLeast, missingFor, type Machine } from '../../support/runner/machine.js';
import { countLine, runRings } from '../../support/runner/main.js';
import { failureBlocks, runTapProgram, type TapOutcome } from '../../support/runner/tap-program.js';

const machine: Machine = { linux: true, root: true, btf: true, kernel: '6.8.0-45-generic', arch: 'x64', lacking: [] };
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(path.join(os.tmpdir(), 'splice-runner-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** A program that runs the given JavaScript. */
function program(name: string, source: string, limitMs = 120_000) {
  const file = path.join(directory, `${name}.mjs`);
  writeFileSync(file, source);
  return { name, command: process.execPath, args: [file], limitMs };
}

const run = (source: string, limitMs?: number): Promise<TapOutcome> =>
  runTapProgram(program('sample', source, limitMs));

const prints = (...lines: string[]): string => lines.map((line) => `console.log(${JSON.stringify(line)});`).join('\n');

describe('one TAP program', () => {
  test('counts what passed, failed and was skipped', async () => {
    const outcome = await run(prints('TAP version 14', 'ok 1 - a', 'not ok 2 - b', 'ok 3 - c # SKIP needs x', '1..3'));
    expect(outcome).toMatchObject({ passed: 1, failed: 1, skipped: 1, skips: ['c: needs x'] });
    expect(outcome.failures.join()).toContain('not ok 2 - b');
  });

  test('a subtest counts once, under its own name', async () => {
    const outcome = await run(prints('# Subtest: a', '    ok 1 - x', '    ok 2 - y', '    1..2', 'ok 1 - a', '1..1'));
    expect(outcome).toMatchObject({ passed: 1, failed: 0, skipped: 0 });
  });

  test.each([
    ['runs no tests', prints('TAP version 14', '1..0'), 'ran no tests'],
    ['prints nothing', '', 'ran no tests'],
    ['exits non-zero although nothing failed', `${prints('ok 1', '1..1')} process.exitCode = 3;`, 'exit code 3'],
    ['breaks its plan', prints('ok 1', '1..2'), 'broken TAP'],
    ['crashes half way', `${prints('ok 1')} process.kill(process.pid, 'SIGKILL');`, 'ended by SIGKILL'],
    ['bails out', prints('ok 1', 'Bail out! no disk'), 'no disk'],
  ])('a program that %s has failed', async (_what, source, problem) => {
    const outcome = await run(source);
    expect(outcome.failed).toBeGreaterThan(0);
    expect(outcome.failures.join()).toContain(problem);
  });

  test('a program that hangs is ended at its limit and has failed', async () => {
    const outcome = await run(`${prints('ok 1', '1..1')} setInterval(() => {}, 1000);`, 1_000);
    // What it printed may have come too late to count.
    expect(outcome.failed).toBe(1);
    expect(outcome.failures.join()).toContain('timed out after 1 s');
  });

  test('an interrupted runner ends the program, starts no other, and has failed', async () => {
    const running = run(
      `${prints('ok 1', '1..1')} process.kill(${process.pid}, 'SIGHUP'); setInterval(() => {}, 1000);`,
    );
    expect(await running).toMatchObject({ interrupted: true, failed: 1 });
  });

  test('a program that cannot be run has failed', async () => {
    const outcome = await runTapProgram({ name: 'x', command: path.join(directory, 'none'), args: [], limitMs: 1_000 });
    expect(outcome.failed).toBe(1);
  });

  test('is swept by its process id when it is gone', async () => {
    const swept: number[] = [];
    await runTapProgram({ ...program('sample', prints('ok 1', '1..1')), sweep: (pid) => swept.push(pid) });
    expect(swept).toHaveLength(1);
  });
});

describe('all rings', () => {
  async function runOne(ring: string, sources: string[], choices: string[] = [], on = machine) {
    const lines: string[] = [];
    const programs = sources.map((source, index) => program(`p${index}`, source));
    const totals = await runRings(choices, {
      root: directory,
      rings: [{ number: 3, name: ring, programs: () => programs }],
      machine: on,
      print: (line) => lines.push(line),
      limitMs: 120_000,
    });
    return { totals, lines };
  }

  test('the last line is the count', async () => {
    const { lines, totals } = await runOne('lab', [prints('ok 1', '1..1'), prints('ok 1', 'ok 2', '1..2')]);
    expect(lines.at(-1)).toBe('3 passed, 0 failed');
    expect(totals.failed).toBe(0);
  });

  test('one failing file makes the run fail and is shown', async () => {
    const { lines, totals } = await runOne('lab', [prints('ok 1', '1..1'), prints('not ok 1 - sky is green', '1..1')]);
    expect(totals).toEqual({ passed: 1, failed: 1, skipped: 0 });
    expect(lines.join('\n')).toContain('sky is green');
    expect(lines.at(-1)).toBe('1 passed, 1 failed');
  });

  test('programs of two lanes run beside each other, those of one lane one after another', async () => {
    const at = (name: string): string => JSON.stringify(path.join(directory, name));
    // Each of the first two waits for the other one's file; the third for what the second leaves at its end.
    const fs = "import { existsSync, writeFileSync } from 'node:fs';";
    const meets = (own: string, other: string): string =>
      `${fs} writeFileSync(${at(own)}, '');
       while (!existsSync(${at(other)})) await new Promise((next) => setTimeout(next, 10));
       writeFileSync(${at(`${own}-over`)}, ''); ${prints('ok 1', '1..1')}`;
    const follows = `${fs} console.log(existsSync(${at('b-over')}) ? 'ok 1' : 'not ok 1'); ${prints('1..1')}`;
    const programs = [
      { ...program('p0', meets('a', 'b'), 60_000), lane: 'one' },
      { ...program('p1', meets('b', 'a'), 60_000), lane: 'other' },
      { ...program('p2', follows, 60_000), lane: 'other' },
    ];
    const totals = await runRings([], {
      root: directory,
      rings: [{ number: 3, name: 'lab', programs: () => programs }],
      machine,
      print: () => undefined,
      limitMs: 120_000,
    });
    expect(totals).toEqual({ passed: 3, failed: 0, skipped: 0 });
  });

  test('a ring with nothing to run has failed', async () => {
    expect((await runOne('lab', [])).totals.failed).toBe(1);
  });

  test('an unknown ring has failed', async () => {
    expect((await runOne('lab', [prints('ok 1', '1..1')], ['lap'])).totals.failed).toBeGreaterThan(0);
  });

  test('a ring the machine cannot run is skipped by the name of the feature', async () => {
    const { lines, totals } = await runOne('lab', [prints('not ok 1', '1..1')], [], { ...machine, root: false });
    expect(totals.skipped).toBe(1);
    expect(lines.join('\n')).toContain('needs root');
  });
});

describe('what a machine must run', () => {
  test('a root user on Linux runs the lab', () => {
    expect(missingFor('lab', machine)).toBeUndefined();
    expect(missingFor('lab', { ...machine, root: false })).toContain('root');
  });

  test('BPF runs from kernel 6.6 with type information', () => {
    expect(missingFor('vm', { ...machine, root: false })).toBeUndefined();
    expect(missingFor('vm', { ...machine, arch: 'arm64' })).toContain('x86-64');
    expect(missingFor('vm', { ...machine, lacking: ['qemu-system-x86_64'] })).toBe('qemu-system-x86_64');
    expect(missingFor('bpf', machine)).toBeUndefined();
    expect(missingFor('bpf', { ...machine, kernel: '6.5.13' })).toContain('6.6');
    expect(missingFor('bpf', { ...machine, btf: false })).toContain('type information');
    expect(missingFor('bpf', { ...machine, root: false })).toContain('root');
  });

  test('kernel releases are compared as numbers', () => {
    expect(kernelAtLeast('6.10.1', 6, 6)).toBe(true);
    expect(kernelAtLeast('6.6', 6, 6)).toBe(true);
    expect(kernelAtLeast('5.15.0-100-generic', 6, 6)).toBe(false);
    expect(kernelAtLeast('10.0.0', 6, 6)).toBe(true);
  });
});

test('the count line names skips only when there are some', () => {
  expect(countLine({ passed: 2, failed: 0, skipped: 0 })).toBe('2 passed, 0 failed');
  expect(countLine({ passed: 2, failed: 1, skipped: 3 })).toBe('2 passed, 1 failed, 3 skipped');
});

test('a failed point is shown with its diagnostics', () => {
  const output = ['ok 1 - a', 'not ok 2 - b', '  ---', '  at: y', '  ...', 'ok 3 - c'];
  expect(failureBlocks(output.join('\n'))).toEqual([output.slice(1, 5).join('\n')]);
});

test('a failed subtest is shown with its own diagnostics', () => {
  const output = ['ok 1 - a', '# Subtest: b', '    not ok 1 - x', '      why', 'not ok 2 - b', '  ---', 'ok 3 - c'];
  expect(failureBlocks(output.join('\n'))).toEqual([output.slice(1, 5).join('\n')]);
});
