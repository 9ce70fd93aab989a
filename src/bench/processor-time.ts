/** A host's own count of processor time: to wait until it is quiet, and to see a proxy's cost where it has a machine of its own. */
import { setTimeout as sleep } from 'node:timers/promises';
import { abortable } from './stop.js';
import type { CpuSeconds, Host, Lab } from './model.js';

/** What Linux shows to user space, whatever the kernel was built with. */
const TICKS_PER_SECOND = 100;
const FIELDS = ['user', 'nice', 'system', 'idle', 'iowait', 'irq', 'softirq', 'steal'] as const;

/** Since the host was started. */
export type Ticks = Readonly<Record<(typeof FIELDS)[number], number>>;

/** Of the first line of /proc/stat. Fields that an old kernel lacks are 0. */
export function parseTicks(text: string): Ticks {
  const numbers = /^cpu +([\d ]+)$/m.exec(text)?.[1]?.split(' ').map(Number);
  if (numbers === undefined) throw new Error(`not a line of /proc/stat: "${text.slice(0, 100)}"`);
  return Object.fromEntries(FIELDS.map((name, index) => [name, numbers[index] ?? 0])) as Ticks;
}

export async function readTicks(host: Host): Promise<Ticks> {
  const { out, err, code } = await host.run(['head', '-n', '1', '/proc/stat'], { timeoutMs: 5000 });
  if (code !== 0) throw new Error(`cannot read the processor time of the ${host.name}: ${err.trim()}`);
  return parseTicks(out);
}

const SAMPLE_MS = 200;
const QUIET_SHARE = 0.9;

const idleTicks = ({ idle, iowait }: Ticks): number => idle + iowait;
const allTicks = (ticks: Ticks): number => FIELDS.reduce((total, name) => total + ticks[name], 0);

export function idleShare(before: Ticks, after: Ticks): number {
  return (idleTicks(after) - idleTicks(before)) / Math.max(1, allTicks(after) - allTicks(before));
}

/** What the hypervisor took (steal) was not busy with us. */
export function busySeconds(ticks: Ticks): number {
  return (allTicks(ticks) - idleTicks(ticks) - ticks.steal) / TICKS_PER_SECOND;
}

export const allSeconds = (ticks: Ticks): number => allTicks(ticks) / TICKS_PER_SECOND;

/** Of all that the processors had to give, what other processes used, and other machines on the same processors (steal). */
export function shareOfOthers({ busy, idle, steal, others }: CpuSeconds): number {
  return (others + steal) / (busy + idle + steal || 1);
}

/** Waits until all machines have been nearly idle for a moment, or the time is over. */
export async function waitForQuiet(lab: Lab, seconds: number, signal: AbortSignal): Promise<void> {
  if (seconds === 0) return;
  const hosts = lab.oneMachine ? [lab.proxy] : [lab.client, lab.proxy, lab.server];
  for (const end = Date.now() + seconds * 1000; ;) {
    const before = await Promise.all(hosts.map(readTicks));
    await abortable(sleep(SAMPLE_MS), signal);
    const after = await Promise.all(hosts.map(readTicks));
    const quiet = hosts.every((_, index) => idleShare(before[index]!, after[index]!) > QUIET_SHARE);
    if (quiet || Date.now() >= end) return;
  }
}

/**
 * The proxy's machine instead of the client's, which the load generator has counted: what is compared is the cost of the
 * proxy. Its processes apart are not known.
 */
export function ofProxyMachine(cpu: CpuSeconds, before: Ticks, after: Ticks): CpuSeconds {
  const gone = (name: keyof Ticks): number => (after[name] - before[name]) / TICKS_PER_SECOND;
  const [user, system, softirq, irq] = [gone('user') + gone('nice'), gone('system'), gone('softirq'), gone('irq')];
  return {
    ...cpu,
    busy: user + system + softirq + irq,
    user,
    system,
    softirq,
    irq,
    steal: gone('steal'),
    idle: gone('idle') + gone('iowait'),
    server: 0,
    proxy: 0,
    others: 0,
  };
}
