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

/** In the cache. */
export interface Module {
  readonly file: string;
  /** The program of kernel/test, which lab.c describes. */
  readonly lab: string;
}

/** Where the headers are, for `make -C`. */
function fetchHeaders(cache: string, wanted: Wanted, kernel: Kernel): string {
  // fetchKernel() has asked for new lists a moment ago, so these are of the image's version.
  const apt = new Apt(cache, wanted.suite);
  const headers = apt.show(`linux-headers-${kernel.release}`);
  if (headers.version !== kernel.version) {
    throw new Error(`${headers.name} is of version ${headers.version}, the kernel of ${kernel.version}`);
  }
  const parts = [...headers.depends.matchAll(/\b(linux-headers-\S+?-common|linux-kbuild-[^\s,|]+)/g)];
  const home = homeOf(cache, 'headers', headers);
  const below = `usr/src/${headers.name}`;
  apt.unpack(home, [headers.name, ...parts.map(([, part]) => part ?? '')], (beside) => {
    // The only absolute path: `include /usr/src/linux-headers-6.1.0-56-common/Makefile`. What stands here instead is
    // the place of the file that make reads, so that the cache can be moved.
    const makefile = path.join(beside, below, 'Makefile');
    const here = '$(dir $(realpath $(lastword $(MAKEFILE_LIST))))../';
    writeFileSync(makefile, readFileSync(makefile, 'utf8').replaceAll('/usr/src/', here));
  });
  return path.join(home, below);
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

/** Throws with what the compiler said, also when that is only a warning: which compiler it is goes with the kernel. */
function compile(command: string, args: readonly string[], cwd: string): void {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, encoding: 'utf8', maxBuffer: 64 << 20 });
  if (error !== undefined) throw error;
  const said = `${stdout}${stderr}`;
  if (status !== 0 || /\b(?:warning|error):/.test(said)) throw new Error(`${command} ${args.join(' ')}\n${said}`);
}

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
    compile('make', ['-C', 'kernel', `KDIR=${headers}`, 'W=1'], work);
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
