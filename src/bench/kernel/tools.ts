/** The two small C programs of the kernel figures, built on the proxy host. */
import path from 'node:path';
import { buildTool } from '../lab/build-load.js';
import { BENCH, ROOT } from '../lab/paths.js';
import type { Lab } from '../model.js';

/** Their paths on the proxy host. */
export interface Tools {
  /** MAP_ID TOTAL: adds legs of flows that do not exist until the map holds TOTAL. */
  readonly fillMap: string;
  /** COMMAND...: runs it with the kernel's run-time statistics of BPF on. */
  readonly withStatistics: string;
}

export async function buildTools({ proxy }: Lab): Promise<Tools> {
  const headers = ['-I', path.join(ROOT, 'include')];
  return {
    fillMap: await buildTool([proxy], { name: 'fill-map', sources: path.join(BENCH, 'cost'), flags: headers }),
    withStatistics: await buildTool([proxy], { name: 'with-statistics', sources: path.join(BENCH, 'statistics') }),
  };
}
