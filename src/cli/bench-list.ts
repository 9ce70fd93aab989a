/** `splice-bench list`: who and what can be measured here. Starts nothing. */
import { FIGURES, HTTP_FIGURES, MORE_FIGURES } from '../bench/figures/index.js';
import { KINDS } from '../bench/modes.js';
import { BENCH_EXIT } from './bench-context.js';
import type { BenchContext, BenchExitCode } from './bench-context.js';
import { renderTable } from './format.js';

export async function list({ chooseContestants, localHost, environment }: BenchContext): Promise<BenchExitCode> {
  const { stdout } = environment;
  const host = localHost();
  const contestants = await Promise.all(
    chooseContestants(undefined, []).map(async (contestant) => {
      const missing = await contestant.missing(host);
      return [contestant.name, missing === undefined ? 'here' : missing, contestant.title];
    }),
  );
  stdout.write(renderTable([{ head: 'contestant' }, { head: 'on this machine' }, { head: '' }], contestants));
  const when = new Map([
    ...MORE_FIGURES.map((figure) => [figure, ' (with --quick only if it is named)'] as const),
    ...HTTP_FIGURES.map((figure) => [figure, ' (only if it is named, or with --figures http)'] as const),
  ]);
  const facts = [...FIGURES, ...MORE_FIGURES, ...HTTP_FIGURES].map((figure) => {
    const { letter, id, title } = figure.facts;
    return [letter, id, `${title}${when.get(figure) ?? ''}`];
  });
  stdout.write(`\n${renderTable([{ head: '' }, { head: 'figure' }, { head: '' }], facts)}`);
  const modes = Object.entries(KINDS).map(([name, { about }]) => [
    `${name}[C]${name === 'fetch' ? '[:SIZE]' : ''}`,
    about,
  ]);
  stdout.write(`\n${renderTable([{ head: 'mode' }, { head: '' }], modes)}`);
  return BENCH_EXIT.ok;
}
