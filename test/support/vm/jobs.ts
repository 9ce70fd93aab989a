/** What a guest is to run: tests of test/vm, the module's own scripts, and labs of ring 3 over the module. */
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { named, type Wanted } from './kernels.js';
import { labJob, labs, type GuestLab } from './labs.js';
import { compiled, type Job } from './root.js';

export interface Jobs {
  /** Those that run when none is asked for by name: all but long labs, or what the matrix lists. */
  readonly usual: readonly Job[];
  readonly all: readonly Job[];
  /** Names of those that are nothing without the module. */
  readonly ofModule: ReadonlySet<string>;
}

/** Tests of test/vm. */
function programs(root: string): Job[] {
  return readdirSync(path.join(root, 'test/vm'))
    .filter((file) => file.endsWith('.test.ts'))
    .map((file) => ({ ...compiled(file.replace(/\.ts$/, '')), name: file.replace('.test.ts', '') }));
}

/** The module's own: shell scripts of kernel/test, but for what they share. */
function scripts(root: string): Job[] {
  return readdirSync(path.join(root, 'kernel/test'))
    .filter((file) => file.endsWith('.sh') && file !== 'lab.sh')
    .map((file) => ({ name: `module-${file.replace('.sh', '')}`, command: `sh kernel/test/${file}` }));
}

export function jobsFor(root: string, { tests, module: hasModule }: Wanted): Jobs {
  const own = programs(root);
  const module = hasModule ? scripts(root) : [];
  const ofLabs = (some: readonly GuestLab[]): Job[] => (hasModule ? some.map(labJob) : []);
  const all = [...own, ...module, ...ofLabs(labs)];
  return {
    usual:
      tests === 'all'
        ? [...own, ...module, ...ofLabs(labs.filter(({ usual }) => usual))]
        : all.filter(({ name }) => tests.includes(name)),
    all,
    ofModule: new Set([...module, ...ofLabs(labs)].map(({ name }) => name)),
  };
}

/** Each job once, in the order of `filters`; a filter is a name, or else what several names contain. */
export function choose({ usual, all }: Jobs, filters: readonly string[]): Job[] {
  return filters.length === 0 ? [...usual] : [...new Set(filters.flatMap((filter) => named(all, filter)))];
}
