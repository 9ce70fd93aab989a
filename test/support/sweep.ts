/**
 * Removes the namespaces of one lab run with everything that lives in them. A lab calls this for itself; the
 * runner calls it for a lab that could not (killed, crashed). It must never touch the namespaces of another run.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync } from 'node:fs';

/** Namespaces of the process `pid` are called `splice<pid>x<counter><host>`; the x ends the number. */
export const namespacePrefix = (pid: number): string => `splice${pid}x`;

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

/** Synchronous, because it also runs in exit handlers. */
export function sweepNamespaces(pid: number): void {
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
}
