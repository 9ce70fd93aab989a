/** Makes the file of results of a run: what was measured, by whom, on what. */
import type { Family, Host, Machine, Results } from './model.js';
import type { Plan, RunOptions } from './plan.js';
import type { Measured } from './run.js';
import { rowsOf } from './statistics.js';

/** What is known before the first trial. */
export interface Occasion {
  readonly begun: Date;
  readonly symsplice: Results['symsplice'];
  readonly machine: Machine;
  readonly contestants: Results['contestants'];
  readonly family: Family;
  /** Names of three machines, or one word for the namespaces. */
  readonly hosts: readonly string[];
}

/** Whom a run has measured, with the versions that the programs say themselves. */
export async function describeContestants(plan: Plan, proxy: Host): Promise<Results['contestants']> {
  return Promise.all(
    plan.contestants.map(async (contestant) => {
      const { name, title, via, config } = contestant;
      return {
        name,
        title,
        via,
        version: await contestant.version(proxy),
        ...(config === undefined ? {} : { config }),
      };
    }),
  );
}

export function collectResults(
  occasion: Occasion,
  plan: Plan,
  { quick, repetitions, seconds, warmup }: RunOptions,
  { trials, failures, stopped }: Measured,
): Results {
  const { begun, symsplice, machine, contestants, family, hosts } = occasion;
  const measured = new Set(trials.map(({ figure }) => figure));
  const figures = plan.figures.map(({ figure }) => figure.facts).filter(({ id }) => measured.has(id));
  const order = contestants.map(({ name }) => name);
  return {
    schema: 1,
    begun: begun.toISOString(),
    seconds: Math.round((Date.now() - begun.getTime()) / 100) / 10,
    ...(stopped === undefined ? {} : { incomplete: stopped }),
    symsplice,
    machine,
    method: { family, repetitions, seconds, warmup, quick, hosts },
    contestants,
    leftOut: [...plan.leftOut, ...failures.map(({ figure, reason }) => ({ contestant: `figure ${figure}`, reason }))],
    figures,
    rows: rowsOf(trials, figures, order),
    trials,
  };
}
