/** The rings in the order they run, and the programs each of them consists of. */
import { accessSync, constants, existsSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { sweepDeadLabs, sweepLab } from '../sweep.js';
import { matrix, named } from '../vm/kernels.js';
import type { TapProgram } from './tap-program.js';

export interface Ring {
  readonly number: number;
  readonly name: string;
  /** The programs that `filter` means: those whose name contains it, or as the ring says. */
  readonly programs: (root: string, filter: string) => TapProgram[];
  /** Runs before the first program. */
  readonly prepare?: () => void;
}

const minute = 60_000;

function filesOf(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory).sort() : [];
}

function vitest(root: string, ring: string, filter: string, limitMs: number): TapProgram[] {
  const script = path.join(root, 'node_modules/vitest/vitest.mjs');
  const where = `test/${ring}/${filter}`;
  return [{ name: ring, command: process.execPath, args: [script, 'run', where, '--reporter=tap-flat'], limitMs }];
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

/** The limits bound a hang. They are several times what a program takes on an idle machine, for others may be busy. */
export const rings: readonly Ring[] = [
  { number: 0, name: 'unit', programs: (root, filter) => vitest(root, 'unit', filter, 25 * minute) },
  {
    number: 1,
    name: 'contract',
    programs: (root, filter) =>
      filesOf(path.join(root, 'build/contract'))
        .filter((file) => file.includes(filter) && isProgram(path.join(root, 'build/contract', file)))
        .map((file) => ({
          name: file,
          command: path.join(root, 'build/contract', file),
          args: [],
          limitMs: 10 * minute,
        })),
  },
  { number: 2, name: 'bpf', programs: (root, filter) => vitest(root, 'bpf', filter, 15 * minute) },
  {
    number: 3,
    name: 'lab',
    prepare: sweepDeadLabs,
    // The sources are listed, not the outputs: what is left of a deleted test must not run.
    programs: (root, filter) =>
      filesOf(path.join(root, 'test/lab'))
        .filter((file) => file.endsWith('.test.ts') && file.includes(filter))
        .map((file) => ({
          name: file.replace('.test.ts', ''),
          command: process.execPath,
          args: [path.join(root, 'build/test/lab', file.replace(/\.ts$/, '.js'))],
          limitMs: 25 * minute,
          sweep: sweepLab,
        })),
  },
  {
    number: 4,
    name: 'vm',
    // A kernel is a program. `vm/debian-12` is one, `vm/debian` several, `vm/debian-12/netem` one of its tests, and
    // `vm/debian-12/lab/reset` one of ring 3's.
    programs: (root, filter) => {
      const [kernel = '', ...test] = filter.split('/').filter(Boolean);
      const tests = test.length > 0 ? [test.join('/')] : [];
      return named(matrix(root), kernel).map((known) => ({
        name: known.name,
        command: process.execPath,
        args: [path.join(root, 'build/test/support/vm/main.js'), known.name, ...tests],
        limitMs: 41 * minute,
        // An emulated guest keeps about one processor busy. The long one beside all others: those of one lane share
        // package lists and compilers.
        lane: 'tests' in known && known.tests === 'all' ? 'all tests' : 'some tests',
      }));
    },
  },
];
