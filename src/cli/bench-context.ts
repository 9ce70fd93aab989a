/** What the commands of splice-bench need besides their command line; tests give what starts nothing. */
import type { Contestant, Family, Host, Lab, Machine, Results } from '../bench/model.js';
import type { Environment } from './environment.js';
import { EXIT } from './environment.js';
import type { RemoteHosts } from './bench-options.js';

export interface BenchParts {
  openLab(family: Family, remote: RemoteHosts | undefined): Promise<Lab>;
  /** Builds the load generator for these hosts. Gives its path, the same on all. */
  buildLoad(hosts: readonly Host[]): Promise<string>;
  describeMachine(proxy: Host): Promise<Machine>;
  describeSymsplice(): Promise<Results['symsplice']>;
  /** Contestants by name, or all. Throws for a name that it does not know. */
  chooseContestants(names: readonly string[] | undefined, oursArgs: readonly string[]): readonly Contestant[];
  /** This machine, for questions that need no lab. */
  localHost(): Host;
  /** Where a progress bar can be drawn, if that is a terminal. */
  readonly terminal?: NodeJS.WritableStream;
}

export interface BenchContext extends BenchParts {
  readonly environment: Environment;
}

/** As of all commands, and one more. */
export const BENCH_EXIT = { ...EXIT, errors: 3 } as const;
export type BenchExitCode = (typeof BENCH_EXIT)[keyof typeof BENCH_EXIT];
