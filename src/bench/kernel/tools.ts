/** The two small C programs of the kernel figures, built on the proxy host once a run. */
import path from 'node:path';
import { BENCH, ROOT } from '../lab/paths.js';
import type { Lab } from '../model.js';

/** Their paths on the proxy host. */
export interface Tools {
  /** MAP_ID TOTAL: adds legs of flows that do not exist until the map holds TOTAL. */
  readonly fillMap: string;
  /** COMMAND...: runs it with the kernel's run-time statistics of BPF on. */
  readonly withStatistics: string;
}

/** $1: source, $2: program, $3: directory of headers. */
const BUILD = '[ "$2" -nt "$1" ] || cc -std=gnu11 -O2 -Wall -Wextra -I "$3" -o "$2" "$1"';

export async function buildTools(lab: Lab): Promise<Tools> {
  const build = async (name: string): Promise<string> => {
    const source = path.join(BENCH, 'cost', `${name}.c`);
    const program = path.join(lab.proxy.scratch, name);
    const command = ['sh', '-c', BUILD, 'sh', source, program, path.join(ROOT, 'include')];
    const { code, err } = await lab.proxy.run(command, { timeoutMs: 60_000 });
    if (code !== 0) throw new Error(`${source} does not compile on the proxy host: ${err.trim().slice(-300)}`);
    return program;
  };
  return { fillMap: await build('fill-map'), withStatistics: await build('with-statistics') };
}
