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

/** Tests of test/vm that are nothing without the module. */
const needsModule = ({ name }: Job): boolean => name.startsWith('module-');
/** Those that are too long for every day. */
const byName: readonly string[] = ['module-ports'];

export function jobsFor(root: string, { tests, module: hasModule }: Wanted): Jobs {
  const programsOfAll = programs(root);
  const own = programsOfAll.filter((job) => !needsModule(job));
  const module = hasModule ? [...programsOfAll.filter(needsModule), ...scripts(root)] : [];
  const ofLabs = (some: readonly GuestLab[]): Job[] => (hasModule ? some.map(labJob) : []);
  const all = [...own, ...module, ...ofLabs(labs)];
  const daily = module.filter(({ name }) => !byName.includes(name));
  return {
    usual:
      tests === 'all'
        ? [...own, ...daily, ...ofLabs(labs.filter(({ usual }) => usual))]
        : all.filter(({ name }) => tests.includes(name)),
    all,
    ofModule: new Set([...module, ...ofLabs(labs)].map(({ name }) => name)),
  };
}

/** Each job once, in the order of `filters`; a filter is a name, or else what several names contain. */
export function choose({ usual, all }: Jobs, filters: readonly string[]): Job[] {
  return filters.length === 0 ? [...usual] : [...new Set(filters.flatMap((filter) => named(all, filter)))];
}
