// SPDX-License-Identifier: MIT
//
// The tools of the benchmark, with the flags of bench/CMakeLists.txt; built here so that one command is enough.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Compiles every C file of a directory into one program when one of its files is newer. Gives the program's path. */
function build(directory, binary, flags = []) {
  const sources = readdirSync(directory).map((name) => join(directory, name));
  const built = statSync(binary, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (sources.some((source) => statSync(source).mtimeMs > built)) {
    mkdirSync(join(binary, '..'), { recursive: true });
    const files = sources.filter((source) => source.endsWith('.c'));
    const command = ['-std=gnu11', '-O2', '-Wall', '-Wextra', ...flags, '-o', binary, ...files];
    execFileSync('cc', command, { stdio: 'inherit' });
  }
  return binary;
}

const bench = fileURLToPath(new URL('..', import.meta.url));

/** The load generator. */
export const buildLoad = (into) => build(join(bench, 'load'), join(into, 'splice-load'));

/** The tool that fills the map of legs, for packet-cost.mjs. */
export const buildFillMap = (into) =>
  build(join(bench, 'cost'), join(into, 'fill-map'), ['-I', join(bench, '../include')]);
