/** How much a cache may keep: the same for all of them, and not more than the machine has to give. */
import type { Host } from '../model.js';
import { configurationPath } from './configuration.js';

const MIB = 2 ** 20;
/** For the misses of one session: objects of 1 GB for some seconds. */
const WANTED_MIB = 8 * 1024;
/** For the object of 1 GB twice: a cache has more at times than it may keep. */
const LEAST_MIB = 2 * 1024;
/** The file system is larger than the cache, which some notice late. */
const SLACK = 1.5;
/** Of what is available; the rest is for the page cache and sockets. */
const SHARE = 0.5;

/** Mebibytes that a cache may keep; 0 if the host does not say how much memory it has. */
export async function cacheRoomMib(host: Host): Promise<number> {
  const { out } = await host.run(['sed', '-n', 's/^MemAvailable: *\\([0-9]*\\) kB/\\1/p', '/proc/meminfo']);
  return Math.min(WANTED_MIB, Math.floor((Number(out) * 1024 * SHARE) / SLACK / MIB));
}

export async function cacheRoomMissing(host: Host): Promise<string | undefined> {
  const room = await cacheRoomMib(host);
  if (room >= LEAST_MIB) return undefined;
  return `a cache needs ${LEAST_MIB} MiB here, and the ${host.name} host can give ${room}: use a machine with more memory`;
}

/** What stands before a command that keeps its cache in `directory`: a tmpfs there, of its own. */
export function inMemory(directory: string, mib: number): string[] {
  return ['sh', configurationPath('in-memory.sh'), directory, `${Math.ceil(mib * SLACK)}m`];
}
