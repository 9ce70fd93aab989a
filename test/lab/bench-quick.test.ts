// The whole benchmark, every figure, in a hurry: that everything still works together, and that nothing is left of it.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { runBench } from '../support/bench-run.js';

t.setTimeout(3_600_000);

const statistics = (): string => readFileSync('/proc/sys/kernel/bpf_stats_enabled', 'utf8').trim();

/** On the machine's own interfaces, which a run has no business with. */
function filters(): string {
  return readdirSync('/sys/class/net')
    .flatMap((link) => ['ingress', 'egress'].map((way) => ['filter', 'show', 'dev', link, way]))
    .map((args) => execFileSync('tc', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }))
    .join('');
}

const before = { statistics: statistics(), filters: filters() };
const { results, out, endsWell, leavesNothing } = await runBench('quick');
endsWell();

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

leavesNothing((t) => t.same({ statistics: statistics(), filters: filters() }, before));
