/**
 * The packet backend as the kernel of the proxy host sees it: its programs and maps. Found from the filters of the host's
 * own interfaces, so that another data plane on the same machine is never meant.
 */
import type { Host } from '../model.js';
import { parseFilters, parseMaps, parsePrograms } from './bpftool.js';
import type { BpfMap, Program } from './bpftool.js';
import { partNamed, runScript, splitParts } from './script.js';

/** Where a program runs: a segment comes in, a segment goes out, the process asks. */
export type Hook = 'ingress' | 'egress' | 'control';

export interface DataPlane {
  readonly programs: ReadonlyMap<number, Hook>;
  readonly maps: ReadonlyMap<string, BpfMap>;
}

const FIND = `
for link in "$@"; do
  echo @ingress; tc -j filter show dev "$link" ingress; echo
  echo @egress; tc -j filter show dev "$link" egress; echo
done
echo @programs; bpftool -j prog show; echo
echo @maps; bpftool -j map show; echo
`;

/** The data plane that is attached; undefined while there is none. */
export async function findDataPlane(host: Host): Promise<DataPlane | undefined> {
  const parts = splitParts(await runScript(host, FIND, Object.values(host.links)));
  const attached = new Map<number, Hook>();
  for (const { name, text } of parts) {
    if (name === 'ingress' || name === 'egress') for (const id of parseFilters(text)) attached.set(id, name);
  }
  return chooseDataPlane(attached, parsePrograms(partNamed(parts, 'programs')), parseMaps(partNamed(parts, 'maps')));
}

/** Of everything on the machine, what belongs to the programs at the hooks. */
export function chooseDataPlane(
  attached: ReadonlyMap<number, Hook>,
  programs: readonly Program[],
  maps: readonly BpfMap[],
): DataPlane | undefined {
  const relay = programs.find(({ id }) => attached.get(id) === 'ingress');
  if (!relay) return undefined;
  const own = new Map(attached);
  const shared = new Set(relay.maps);
  // The program behind no hook, which the process runs by itself, is the one on the same maps.
  for (const { id, name, maps: used } of programs)
    if (name === 'control' && !own.has(id) && used.some((map) => shared.has(map))) own.set(id, 'control');
  const used = new Set(programs.filter(({ id }) => own.has(id)).flatMap((program) => program.maps));
  return {
    programs: own,
    maps: new Map(maps.filter(({ id }) => used.has(id)).map((map) => [map.name, map])),
  };
}

/** A map of the data plane by its name in bpf/packet_maps.h. */
export function mapNamed(plane: DataPlane, name: string): BpfMap {
  const map = plane.maps.get(name);
  if (!map) throw new Error(`the data plane on the proxy host has no map "${name}"`);
  return map;
}

/** What its maps take: all of them, and for each flow that they have room for. */
export function mapMemory(plane: DataPlane): { readonly total: number; readonly perFlow: number } {
  const [flows, legs] = [mapNamed(plane, 'flows'), mapNamed(plane, 'legs')];
  const total = [...plane.maps.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  return { total, perFlow: (flows.bytes + legs.bytes) / flows.entries };
}
