/** `splice-bench compare` and `splice-bench report`: from files of results. Measures nothing. */
import { dirname } from 'node:path';
import { compareResults } from '../bench/compare.js';
import { formatComparison } from '../bench/report/movement.js';
import { writeReport } from '../bench/report/write-report.js';
import { readResults } from '../bench/results-file.js';
import { BENCH_EXIT } from './bench-context.js';
import type { BenchContext, BenchExitCode } from './bench-context.js';

export async function compare(
  { environment: { stdout } }: BenchContext,
  older: string,
  newer: string,
  options: { readonly absolute: boolean; readonly json: boolean },
): Promise<BenchExitCode> {
  const comparison = compareResults(await readResults(older), await readResults(newer), { absolute: options.absolute });
  stdout.write(options.json ? `${JSON.stringify(comparison, null, 2)}\n` : formatComparison(comparison));
  return BENCH_EXIT.ok;
}

export async function report(
  { environment: { stdout } }: BenchContext,
  file: string,
  out: string | undefined,
): Promise<BenchExitCode> {
  const results = await readResults(file);
  const { files } = await writeReport(results, out ?? dirname(file), { print: (text) => void stdout.write(text) });
  stdout.write(`\n${files.map((name) => `wrote ${name}\n`).join('')}`);
  return BENCH_EXIT.ok;
}
