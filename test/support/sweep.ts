/**
 * Removes the namespaces of one lab run with everything that lives in them. A lab calls this for itself; the
 * runner calls it for a lab that could not (killed, crashed). It must never touch the namespaces of another run.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/** Namespaces of the process `pid` are called `splice<pid>x<counter><host>`; the x ends the number. */
export const namespacePrefix = (pid: number): string => `splice${pid}x`;

/** Beginning of the path of a lab's directory. */
export const directoryPrefix = (pid: number): string => path.join(os.tmpdir(), `splice-lab-${pid}-`);

function listed(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}

/** Ends every process inside a namespace. All of them are ours: we made the namespace. */
function endProcessesIn(namespace: string): void {
  const pids = execFileSync('ip', ['netns', 'pids', namespace], { encoding: 'utf8' });
  for (const pid of pids.split('\n').filter(Boolean)) {
    try {
      process.kill(Number(pid), 'SIGKILL');
    } catch {
      // It ended by itself between the listing and the signal.
    }
  }
}

/** Removes namespaces, their files in /etc and directories. Synchronous, because it also runs in exit handlers. */
export function sweepLab(pid: number): void {
  const prefix = namespacePrefix(pid);
  for (const namespace of listed('/run/netns').filter((name) => name.startsWith(prefix))) {
    try {
      endProcessesIn(namespace);
    } finally {
      execFileSync('ip', ['netns', 'del', namespace]);
    }
  }
  for (const name of listed('/etc/netns').filter((entry) => entry.startsWith(prefix))) {
    rmSync(`/etc/netns/${name}`, { recursive: true, force: true });
  }
  const directories = directoryPrefix(pid);
  for (const name of listed(path.dirname(directories)).filter((entry) =>
    entry.startsWith(path.basename(directories)),
  )) {
    rmSync(path.join(path.dirname(directories), name), { recursive: true, force: true });
  }
}

/** Sweeps what labs left whose process is gone: killed together with their runner, or with the machine's power. */
export function sweepDeadLabs(): void {
  const owners = new Set(listed('/run/netns').map((name) => /^splice(\d+)x\d+(?:cli|prx|srv)$/.exec(name)?.[1]));
  for (const owner of owners) {
    if (owner !== undefined && !existsSync(`/proc/${owner}`)) sweepLab(Number(owner));
  }
}
