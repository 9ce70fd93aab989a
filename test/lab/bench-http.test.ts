// The figures of HTTP caches, in a hurry: that splice-http, as the benchmark sets it up, answers every request rightly,
// hits with copies, and that nothing is left. What it measures in so short a time is nobody's business.
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import { Child, endAllChildren, eventually } from '../support/children.js';

t.setTimeout(200_000);

// What is used of src/bench: tests of this ring are built apart from it.
interface Results {
  readonly incomplete?: string;
  readonly rows: readonly {
    readonly figure: string;
    readonly contestant: string;
    readonly values: Readonly<Record<string, unknown>>;
    readonly failures: readonly string[];
  }[];
  readonly leftOut: readonly { readonly contestant: string; readonly reason: string }[];
}
const module = pathToFileURL(path.resolve('dist/bench/results-file.js')).href;
const { readResults } = (await import(module)) as { readResults: (file: string) => Promise<Results> };

const directory = mkdtempSync(path.join(os.tmpdir(), 'splice-bench-http-'));
// Fronts that change their user go through it.
chmodSync(directory, 0o755);
process.on('exit', endAllChildren);
t.teardown(() => rmSync(directory, { recursive: true, force: true }));

/** Its scratch files and the environment of all its processes: nobody else uses this directory. */
const own = path.join(directory, 'tmp');
mkdirSync(own);
const out = path.join(directory, 'out');

function processesOfIt(): string[] {
  return readdirSync('/proc').filter((name) => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/environ`, 'latin1').includes(`TMPDIR=${own}\0`);
    } catch {
      return false; // It ended meanwhile.
    }
  });
}

const hurry = ['--quick', '--seconds', '0.2', '--warmup', '0.05', '--quiet-wait', '0'];
const bench = new Child(process.execPath, ['dist/cli/splice-bench.js', '--figures', 'http', ...hurry, '--out', out], {
  env: { TMPDIR: own },
});
const { code } = await bench.exited;
const file = path.join(out, 'results.json');
if (!existsSync(file)) throw new Error(`it wrote no results:\n${bench.transcript()}`);
const results = await readResults(file);

t.test('it ends well: no trial failed, no byte was lost or damaged, and hits were copies', (t) => {
  t.equal(code, 0, bench.transcript());
  t.equal(results.incomplete, undefined);
  t.same(
    results.rows.filter(({ failures }) => failures.length > 0),
    [],
  );
  t.end();
});

t.test('ours has values in every figure', (t) => {
  const figuresOf = (name: string): string[] => [
    ...new Set(
      results.rows.flatMap(({ figure, contestant, values }) =>
        contestant === name && Object.keys(values).length > 0 ? [figure] : [],
      ),
    ),
  ];
  t.same(figuresOf('ours-http'), ['hit-bulk', 'miss-bulk', 'hit-small', 'mixed-web']);
  t.same(figuresOf('ours-http-nocache'), ['miss-bulk']);
  // Fronts of others may be missing on this machine.
  t.same(
    results.leftOut.filter(({ contestant }) => /^(ours-|router|figure )/.test(contestant)),
    [],
  );
  t.end();
});

t.test('nothing is left: processes, namespaces, scratch files', async (t) => {
  await eventually(processesOfIt, (pids) => pids.length === 0, 'processes of the benchmark still run');
  const namespaces = existsSync('/run/netns') ? readdirSync('/run/netns') : [];
  t.same(
    namespaces.filter((name) => name.startsWith(`splbench-${bench.pid}-`)),
    [],
  );
  t.same(readdirSync(own), []);
});
