/**
 * node measure.js [KERNEL]: runs test/vm/recovery.bench in a guest and prints a table, medians and the ratio of each corner.
 * The figures themselves go to build/vm/recovery.json.
 */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { cacheOf, runTests } from './guest.js';
import { fetchKernel, matrix } from './kernels.js';
import { compiled } from './root.js';

interface Figure {
  readonly corner: string;
  readonly backend: 'packet' | 'splice';
  readonly bytes: number;
  readonly seconds: number;
  readonly clean: boolean;
}

const root = process.cwd();
const wanted = matrix(root).find((each) => each.name === (process.argv[2] ?? 'debian-12'));
if (wanted === undefined || 'not-run' in wanted) throw new Error('no such kernel in test/vm/kernels.yaml');

const sorted = (numbers: readonly number[]): number[] => [...numbers].sort((a, b) => a - b);
const median = (numbers: readonly number[]): number => {
  const row = sorted(numbers);
  return ((row[(row.length - 1) >> 1] ?? Number.NaN) + (row[row.length >> 1] ?? Number.NaN)) / 2;
};

const figures: Figure[] = [];
const said: string[] = [];
const settings = Object.entries(process.env).filter(([name]) => name.startsWith('RECOVERY_'));
const ended = await runTests({
  root,
  kernel: fetchKernel(cacheOf(root), wanted),
  jobs: [compiled('recovery.bench')],
  settings: {
    TEST_SECONDS: '3600',
    SYMSPLICE_TEST_PATIENCE: '6',
    ...Object.fromEntries(settings.map(([name, value]) => [name, value ?? ''])),
  },
  limitSeconds: 3_700,
  simulated: true,
  line: (line) => {
    if (line.startsWith('figure ')) figures.push(JSON.parse(line.slice(7)) as Figure);
    else said.push(line);
    process.stderr.write(`${line}\n`);
  },
});
if (!said.some((line) => /^@ end 0 /.test(line))) {
  throw new Error(`the benchmark did not end well: ${ended.problem}\n${said.join('\n')}`);
}
writeFileSync(path.join(cacheOf(root), 'recovery.json'), `${JSON.stringify(figures, undefined, 1)}\n`);

const row = (cells: readonly string[]): void => void process.stdout.write(`| ${cells.join(' | ')} |\n`);
row(['wire', 'bytes', 'end-to-end, s', 'split, s', 'end-to-end / split']);
row(Array<string>(5).fill('---'));
for (const corner of new Set(figures.map((figure) => figure.corner))) {
  const of = (backend: Figure['backend']): number[] =>
    figures.filter((figure) => figure.corner === corner && figure.backend === backend).map(({ seconds }) => seconds);
  const [packet, splice] = [of('packet'), of('splice')];
  const show = (numbers: readonly number[]): string =>
    `${median(numbers).toFixed(2)} (${Math.min(...numbers).toFixed(2)}-${Math.max(...numbers).toFixed(2)})`;
  const bytes = figures.find((figure) => figure.corner === corner)?.bytes ?? 0;
  row([corner, String(bytes), show(packet), show(splice), (median(packet) / median(splice)).toFixed(2)]);
}
const dirty = figures.filter((figure) => !figure.clean).length;
process.stdout.write(`${figures.length} transfers, ${dirty} not to the byte or not by the backend meant\n`);
process.exitCode = dirty > 0 ? 1 : 0;
