// The whole benchmark, every figure, in a hurry: that everything still works together, and that nothing is left of it.
// What it measures in so short a time is nobody's business.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import { Child, endAllChildren, eventually } from '../support/children.js';

t.setTimeout(280_000);

// What is used of src/bench: tests of this ring are built apart from it.
interface Results {
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
const module = pathToFileURL(path.resolve('dist/bench/results-file.js')).href;
const { readResults } = (await import(module)) as { readResults: (file: string) => Promise<Results> };

const directory = mkdtempSync(path.join(os.tmpdir(), 'splice-bench-quick-'));
process.on('exit', endAllChildren);
t.teardown(() => rmSync(directory, { recursive: true, force: true }));

/** Its lock, its scratch files and the environment of all its processes: nobody else uses this directory. */
const own = path.join(directory, 'tmp');
mkdirSync(own);
const out = path.join(directory, 'out');

/** All that it starts inherits its environment, whichever namespace, group or user it then goes to. */
function processesOfIt(): string[] {
  return readdirSync('/proc').filter((name) => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/environ`, 'latin1').includes(`TMPDIR=${own}\0`);
    } catch {
      return false; // It ended meanwhile.
    }
  });
}

const statistics = (): string => readFileSync('/proc/sys/kernel/bpf_stats_enabled', 'utf8').trim();

/** On the machine's own interfaces, which a run has no business with. */
function filters(): string {
  return readdirSync('/sys/class/net')
    .flatMap((link) => ['ingress', 'egress'].map((way) => ['filter', 'show', 'dev', link, way]))
    .map((args) => execFileSync('tc', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }))
    .join('');
}

const before = { statistics: statistics(), filters: filters() };
const hurry = ['--quick', '--seconds', '0.2', '--warmup', '0.05', '--quiet-wait', '0'];
const bench = new Child(process.execPath, ['dist/cli/splice-bench.js', ...hurry, '--out', out], {
  env: { TMPDIR: own },
});
const { code } = await bench.exited;
const file = path.join(out, 'results.json');
if (!existsSync(file)) throw new Error(`it wrote no results:\n${bench.transcript()}`);
const results = await readResults(file);

t.test('it ends well: no trial failed, no byte was lost or damaged', (t) => {
  t.equal(code, 0, bench.transcript());
  t.equal(results.incomplete, undefined);
  t.same(
    results.rows.filter(({ failures }) => failures.length > 0),
    [],
  );
  t.end();
});

// Not every row of them: on a slow machine nothing may come to its end in so short a time, which is no mistake.
t.test('every figure is there, with values; and every backend of ours', (t) => {
  t.equal(results.figures.map(({ letter }) => letter).join(''), 'abcdefgh');
  const measured = results.rows.filter(({ values }) => Object.keys(values).length > 0);
  for (const { id } of results.figures)
    t.ok(
      measured.some(({ figure }) => figure === id),
      `values of ${id}`,
    );
  for (const name of ['router', 'ours-packet', 'ours-packet-now', 'ours-splice', 'ours-copy', 'ours-sockmap'])
    t.ok(
      measured.some(({ contestant }) => contestant === name),
      `values of ${name}`,
    );
  // Proxies of others may be missing on this machine.
  t.same(
    results.leftOut.filter(({ contestant }) => /^(ours-|router|figure )/.test(contestant)),
    [],
  );
  t.end();
});

t.test('the report is there', (t) => {
  const page = readFileSync(path.join(out, 'report.html'), 'utf8');
  for (const { id } of results.figures) {
    t.match(page, `<section id="${id}">`);
    t.ok(existsSync(path.join(out, 'figures', `${id}.svg`)), `a picture of ${id}`);
  }
  t.ok(existsSync(path.join(out, 'report.md')));
  t.end();
});

t.test('nothing is left: processes, namespaces, scratch files, filters, settings', async (t) => {
  await eventually(processesOfIt, (pids) => pids.length === 0, 'processes of the benchmark still run');
  const namespaces = existsSync('/run/netns') ? readdirSync('/run/netns') : [];
  t.same(
    namespaces.filter((name) => name.startsWith(`splbench-${bench.pid}-`)),
    [],
  );
  t.same(readdirSync(own), []);
  t.same({ statistics: statistics(), filters: filters() }, before);
});
