// One run of the built benchmark in a directory of its own, and what must be true of every run.
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import t, { type Test } from 'tap';
import { Child, endAllChildren, eventually } from './children.js';

// What is used of src/bench: tests of this ring are built apart from it.
export interface Results {
  readonly incomplete?: string;
  readonly figures: readonly { readonly id: string; readonly letter: string }[];
  readonly rows: readonly {
    readonly figure: string;
    readonly contestant: string;
    readonly values: Readonly<Record<string, unknown>>;
    readonly failures: readonly string[];
  }[];
  readonly leftOut: readonly { readonly contestant: string; readonly reason: string }[];
}

export interface BenchRun {
  readonly results: Results;
  /** Where the report is. */
  readonly out: string;
  /** Subtest: no trial failed, and nothing of ours was left out. */
  endsWell(): void;
  /** Subtest, the last one; `more` tells what else there may be left of it. */
  leavesNothing(more?: (t: Test) => void): void;
}

/** In a hurry: what it measures in so short a time is nobody's business. */
export async function runBench(name: string, ...args: readonly string[]): Promise<BenchRun> {
  const module = pathToFileURL(path.resolve('dist/bench/results-file.js')).href;
  const { readResults } = (await import(module)) as { readResults: (file: string) => Promise<Results> };
  const directory = mkdtempSync(path.join(os.tmpdir(), `splice-bench-${name}-`));
  // Contestants that change their user go through it.
  chmodSync(directory, 0o755);
  process.on('exit', endAllChildren);
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));

  /** Its lock, its scratch files and the environment of all its processes: nobody else uses this directory. */
  const own = path.join(directory, 'tmp');
  mkdirSync(own);
  const out = path.join(directory, 'out');
  const hurry = ['--quick', '--seconds', '0.2', '--warmup', '0.05', '--quiet-wait', '0'];
  const bench = new Child(process.execPath, ['dist/cli/splice-bench.js', ...args, ...hurry, '--out', out], {
    env: { TMPDIR: own },
  });
  const { code } = await bench.exited;
  const file = path.join(out, 'results.json');
  if (!existsSync(file)) throw new Error(`it wrote no results:\n${bench.transcript()}`);
  const results = await readResults(file);

  const endsWell = (): void => {
    void t.test('it ends well: no trial failed, no byte was lost or damaged', (t) => {
      t.equal(code, 0, bench.transcript());
      t.equal(results.incomplete, undefined);
      t.same(
        results.rows.filter(({ failures }) => failures.length > 0),
        [],
      );
      // Proxies of others may be missing on this machine.
      t.same(
        results.leftOut.filter(({ contestant }) => /^(ours-|router|figure )/.test(contestant)),
        [],
      );
      t.end();
    });
  };
  const leavesNothing: BenchRun['leavesNothing'] = (more) => {
    void t.test('nothing is left: processes, namespaces, scratch files, and what else it had to do with', async (t) => {
      await eventually(
        () => processesIn(own),
        (pids) => pids.length === 0,
        'processes of the benchmark still run',
      );
      const namespaces = existsSync('/run/netns') ? readdirSync('/run/netns') : [];
      t.same(
        namespaces.filter((each) => each.startsWith(`splbench-${bench.pid}-`)),
        [],
      );
      t.same(readdirSync(own), []);
      more?.(t);
    });
  };
  return { results, out, endsWell, leavesNothing };
}

/** All that a run starts inherits its environment, whichever namespace, group or user it then goes to. */
function processesIn(directory: string): string[] {
  return readdirSync('/proc').filter((name) => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/environ`, 'latin1').includes(`TMPDIR=${directory}\0`);
    } catch {
      return false; // It ended meanwhile.
    }
  });
}
