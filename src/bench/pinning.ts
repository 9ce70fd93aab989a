/**
 * A contestant on some processors only, and the load on the others: what one processor of a relay carries can be seen
 * only where the load generator does not take it away. Called when a session begins; nothing outlives the session.
 *
 * Where client and server have machines of their own, only the contestant is bound.
 */
import type { Host, Lab, Running } from './model.js';

export interface Pinning {
  /** What stands before the contestant's command, and what before the load generator's. */
  readonly contestant: readonly string[];
  readonly load: readonly string[];
  /** Lets the server go where it wants. Twice is harmless. */
  release(): Promise<void>;
}

export const UNBOUND: Pinning = { contestant: [], load: [], release: async () => undefined };

/** `0-2,5`: 0, 1, 2, 5. */
export function parseProcessors(list: string): number[] {
  return list
    .trim()
    .split(',')
    .flatMap((part) => {
      const [first = NaN, last = first] = part.split('-').map(Number);
      return Array.from({ length: last - first + 1 }, (_, index) => first + index);
    });
}

/** Those that this process may use, of which a container may have been given any. */
async function allowedProcessors(host: Host): Promise<number[]> {
  const { out } = await host.run(['sed', '-n', 's/^Cpus_allowed_list:[[:space:]]*//p', '/proc/self/status']);
  if (/^\d+([-,]\d+)*$/.test(out.trim())) return parseProcessors(out);
  throw new Error(`the ${host.name} host does not say which processors it has: ${out.trim()}`);
}

const bound = (processors: readonly number[]): string[] => ['taskset', '-c', processors.join(',')];

/** The last `count` processors for the contestant: interrupts of devices mostly arrive at the first. */
export async function pin(lab: Lab, server: Running, count: number): Promise<Pinning> {
  const all = await allowedProcessors(lab.proxy);
  const rest = all.slice(0, all.length - count);
  const contestant = bound(all.slice(-count));
  if (!lab.oneMachine || rest.length === 0) return { ...UNBOUND, contestant };
  const bindServer = async (processors: readonly number[]): Promise<void> => {
    const { code, err } = await lab.server.run(['taskset', '-a', '-c', '-p', processors.join(','), String(server.pid)]);
    if (code !== 0 && !server.ended) throw new Error(`the server cannot be bound to processors: ${err.trim()}`);
  };
  await bindServer(rest);
  return { contestant, load: bound(rest), release: () => bindServer(all) };
}
