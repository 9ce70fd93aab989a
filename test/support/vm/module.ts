/**
 * symsplice.ko for a kernel of the matrix, built with that kernel's own headers: they come from the archive beside the image,
 * in the same version, whatever headers this machine has installed. Built anew when the kernel or the sources have changed.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Apt, homeOf } from './apt.js';
import type { Kernel, Wanted } from './kernels.js';
import { toolsFor } from './tools.js';

/** In the cache. */
export interface Module {
  readonly file: string;
  /** The program of kernel/test, which lab.c describes. */
  readonly lab: string;
}

interface Headers {
  /** For `make -C`. */
  readonly directory: string;
  /** That they depend on: the one that the kernel was compiled by. */
  readonly compiler: string;
}

function fetchHeaders(cache: string, wanted: Wanted, kernel: Kernel): Headers {
  // fetchKernel() has asked for new lists a moment ago, so these are of the image's version.
  const apt = new Apt(cache, wanted.suite);
  const headers = apt.show(`linux-headers-${kernel.release}`);
  if (headers.version !== kernel.version) {
    throw new Error(`${headers.name} is of version ${headers.version}, the kernel of ${kernel.version}`);
  }
  const compiler = /\bgcc-\d+/.exec(headers.depends)?.[0];
  if (compiler === undefined) throw new Error(`${headers.name} depends on no compiler`);
  const parts = [...headers.depends.matchAll(/\b(linux-headers-\S+?-common|linux-kbuild-[^\s,|]+)/g)];
  const home = homeOf(cache, 'headers', headers);
  const below = `usr/src/${headers.name}`;
  apt.unpack(home, [headers.name, ...parts.map(([, part]) => part ?? '')], (beside) => {
    // The only absolute paths, as in `include /usr/src/linux-headers-6.1.0-56-common/Makefile`. What stands there
    // instead is the place of the file that make reads, so that the cache can be moved.
    const makefile = path.join(beside, below, 'Makefile');
    const here = '$(dir $(realpath $(lastword $(MAKEFILE_LIST))))../';
    writeFileSync(makefile, readFileSync(makefile, 'utf8').replaceAll('/usr/src/', here));
  });
  return { directory: path.join(home, below), compiler };
}

/** Whether kernel/compat.h has this kernel among those that the module is for. */
export function isSupported(root: string, release: string): boolean {
  const compat = readFileSync(path.join(root, 'kernel/compat.h'), 'utf8');
  const series = [...compat.matchAll(/!SS_IS\((\d+), (\d+)\)/g)].map(([, major, minor]) => `${major}.${minor}`);
  return series.includes(/^\d+\.\d+/.exec(release)?.[0] ?? '');
}

/** The files that the build reads, and no outputs of one that somebody made in place. */
function sourcesOf(root: string): string[] {
  const isSource = (name: string): boolean => /\.[ch]$|\/(?:Kbuild|Makefile)$/.test(name) && !name.endsWith('.mod.c');
  return ['kernel', 'include/splice']
    .flatMap((part) =>
      readdirSync(path.join(root, part), { recursive: true, encoding: 'utf8' }).map((name) => `${part}/${name}`),
    )
    .filter(isSource)
    .sort();
}

/** Throws with what the compiler said, also when that is only a warning. */
function compile(command: string, args: readonly string[], cwd: string): void {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, encoding: 'utf8', maxBuffer: 64 << 20 });
  if (error !== undefined) throw error;
  const said = `${stdout}${stderr}`;
  if (status !== 0 || /\b(?:warning|error):/.test(said)) throw new Error(`${command} ${args.join(' ')}\n${said}`);
}

/** BTF of the module itself, for which the headers bring the whole kernel: nothing here looks at it. */
const withoutExtras = ['CONFIG_DEBUG_INFO_BTF_MODULES='];
/** W=1 has the comments of structures checked as well, by Perl or Python: done where this machine's tools build. */
const withoutDoc = ['cmd_checkdoc='];

/** Throws where headers cannot be had, or the module does not build. */
export function buildModule(cache: string, root: string, wanted: Wanted, kernel: Kernel): Module {
  const headers = fetchHeaders(cache, wanted, kernel);
  const sources = sourcesOf(root);
  const hash = createHash('sha256').update(kernel.version);
  for (const name of sources) hash.update(`\0${name}\0`).update(readFileSync(path.join(root, name)));
  const all = path.join(cache, 'module');
  const name = `${kernel.release}-${hash.digest('hex').slice(0, 16)}`;
  const home = path.join(all, name);
  const module = { file: path.join(home, 'symsplice.ko'), lab: path.join(home, 'lab') };
  if (existsSync(home)) return module;

  const beside = `${home}.${process.pid}`;
  const work = path.join(beside, 'work');
  try {
    for (const source of sources) {
      mkdirSync(path.dirname(path.join(work, source)), { recursive: true });
      cpSync(path.join(root, source), path.join(work, source));
    }
    const programs = sources.filter((source) => /^kernel\/test\/.*\.c$/.test(source));
    const flags = ['-O2', '-Wall', '-static', '-pthread', '-Iinclude'];
    compile('cc', [...flags, '-o', path.join(beside, 'lab'), ...programs], work);
    const { directory, compiler } = headers;
    const tools = toolsFor(cache, wanted.suite, compiler);
    const kbuild = [`KDIR=${tools.seen(directory)}`, 'W=1', ...withoutExtras, ...(tools.foreign ? withoutDoc : [])];
    compile(...tools.command('make', ['-C', tools.seen(path.join(work, 'kernel')), ...kbuild]), work);
    execFileSync('strip', ['-g', '-o', path.join(beside, 'symsplice.ko'), path.join(work, 'kernel/symsplice.ko')]);
    rmSync(work, { recursive: true });
    for (const old of readdirSync(all).filter((each) => /^(.*)-[0-9a-f]{16}$/.exec(each)?.[1] === kernel.release)) {
      rmSync(path.join(all, old), { recursive: true });
    }
    renameSync(beside, home);
  } finally {
    rmSync(beside, { recursive: true, force: true });
  }
  return module;
}
