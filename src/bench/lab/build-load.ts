/** Builds the C tools of the benchmark on the hosts that need them, with the flags of bench/CMakeLists.txt. */
import path from 'node:path';
import { SpliceError } from '../../errors.js';
import type { Host } from '../model.js';
import { BENCH, BUILD } from './paths.js';

/** Arguments: the program, the directory of its sources, flags. Only when a source is newer; whole or not at all. */
const SCRIPT = `
program=$1; sources=$2; shift 2
[ -x "$program" ] && [ -z "$(find "$sources" -type f -newer "$program" | head -n 1)" ] && exit 0
command -v cc >/dev/null || { echo 'there is no C compiler (cc): scripts/setup' >&2; exit 1; }
mkdir -p "$(dirname "$program")" && cc -std=gnu11 -O2 -Wall -Wextra "$@" -o "$program.$$" "$sources"/*.c &&
  mv "$program.$$" "$program"`;

export interface Tool {
  readonly name: string;
  /** A directory, all C files of which belong to the tool. */
  readonly sources: string;
  readonly flags?: readonly string[];
}

/** Gives the program's path, which is the same on all hosts. */
export async function buildTool(hosts: readonly Host[], tool: Tool, directory = BUILD): Promise<string> {
  const program = path.join(directory, tool.name);
  // One after the other: hosts may share a file system.
  for (const host of hosts) {
    const command = ['sh', '-c', SCRIPT, 'sh', program, tool.sources, ...(tool.flags ?? [])];
    const { code, out, err } = await host.run(command, { timeoutMs: 120_000 });
    if (code === 0) continue;
    const said = `${out}${err}`.trim().slice(-2000);
    throw new SpliceError('ERR_SPLICE_SYSTEM', `${tool.name} cannot be built on the ${host.name} host: ${said}`);
  }
  return program;
}

/** The load generator. */
export function buildLoad(hosts: readonly Host[], directory?: string): Promise<string> {
  return buildTool(hosts, { name: 'splice-load', sources: path.join(BENCH, 'load'), flags: ['-pthread'] }, directory);
}
