/** The kernel module's flows and counters at one moment, as plain values that can go from thread to thread. */
import { MODULE_COUNTER_NAMES, PACKET_COUNTER_NAMES } from '../abi.gen.js';
import { parseCount, readText } from './machine-facts.js';
import type { ModulePlane } from './module-plane.js';

export interface ModuleSnapshot {
  /** First and last. */
  readonly sourcePorts: readonly [number, number];
  readonly sourcePortsUsed: number;
  /** The module's parameter; undefined where it cannot be read. */
  readonly maxFlows?: number | undefined;
  /** Flows of the network namespace by phase. */
  readonly phases: { readonly transit: number; readonly released: number; readonly ended: number };
  /** Flows that were due and could not go over, since the start. */
  readonly refused: number;
  /** Segments, by what the module did with them: names of `PACKET_COUNTER`. */
  readonly counters: Readonly<Record<string, number>>;
  /** What only the module counts: names of `MODULE_COUNTER`. */
  readonly more: Readonly<Record<string, number>>;
}

const MAX_FLOWS = '/sys/module/symsplice/parameters/flows';

export function moduleSnapshot(plane: ModulePlane, maxFlows = readText(MAX_FLOWS)): ModuleSnapshot {
  const { transit, released, ended, ports, refused } = plane.kernel.usage();
  const { counters, more } = plane.kernel.stats();
  const named = (names: readonly string[], counts: readonly number[]): Record<string, number> =>
    Object.fromEntries(names.map((name, index) => [name, counts[index] ?? 0]));
  return {
    sourcePorts: [plane.ports[0], plane.ports[1]],
    sourcePortsUsed: ports,
    maxFlows: 'text' in maxFlows ? parseCount(maxFlows.text) : undefined,
    phases: { transit, released, ended },
    refused,
    counters: named(PACKET_COUNTER_NAMES, counters),
    more: named(MODULE_COUNTER_NAMES, more),
  };
}
