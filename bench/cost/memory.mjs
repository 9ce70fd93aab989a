// SPDX-License-Identifier: MIT
//
// What flows cost that are spliced and silent: descriptors, sockets, memory of the process, memory of the maps.
import { readFileSync, readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const descriptors = (pid) => readdirSync(`/proc/${pid}/fd`).length;
const residentKb = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);

/** The relay gives the last sockets back within its grace period; three seconds are ample. */
const SETTLE_MS = 3_000;

export async function measureMemory(bed, flows) {
  return bed.withProxy([], async ({ plane, pid }) => {
    const look = () => ({ descriptors: descriptors(pid), sockets: bed.sockets(), residentKb: residentKb(pid) });
    const before = look();
    const load = ['--mode', 'idle', '--connections', String(flows)];
    const { seen: during } = await bed.under('socks5', load, SETTLE_MS / 1000 + 2, async () => {
      await sleep(SETTLE_MS);
      return look();
    });
    const maps = plane.memory();
    const [slots, legs] = ['flows', 'legs'].map((wanted) => maps.find(({ name }) => name === wanted));
    return { flows, before, during, maps, bytesPerFlow: (slots.bytes + legs.bytes) / slots.entries };
  });
}
