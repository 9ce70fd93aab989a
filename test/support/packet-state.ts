/** What the proxy's commands and the lab's kernels say of the packet backend while a test runs. */
import { eventually } from './children.js';
import type { Host, Lab } from './lab.js';
import { splicectl, type Proxy } from './proxy.js';

export interface Plane {
  readonly phases: { readonly transit: number; readonly released: number; readonly ended: number };
  readonly sourcePortsUsed: number;
  /** By exit of the BPF programs. */
  readonly counters: Readonly<Record<string, number>>;
}

async function ask<T>(lab: Lab, proxy: Proxy, command: string): Promise<T> {
  const { stdout, stderr, code } = await splicectl(lab, [command, '--json', '--control', proxy.control]);
  if (code !== 0) throw new Error(`splice-ctl ${command}: ${stderr}`);
  return JSON.parse(stdout.toString()) as T;
}

export async function planeOf(lab: Lab, proxy: Proxy): Promise<Plane> {
  const [stats] = await ask<{ packet?: Plane }[]>(lab, proxy, 'stats');
  if (stats?.packet === undefined) throw new Error('the proxy has no packet backend');
  return stats.packet;
}

/** How often the exits were taken while `body` ran. */
export async function countersDuring(
  lab: Lab,
  proxy: Proxy,
  body: () => Promise<void>,
): Promise<(name: string) => number> {
  const { counters: before } = await planeOf(lab, proxy);
  await body();
  const { counters: after } = await planeOf(lab, proxy);
  return (name) => {
    const [from, to] = [before[name], after[name]];
    if (from === undefined || to === undefined) throw new Error(`there is no counter ${name}`);
    return to - from;
  };
}

export interface ListedFlow {
  readonly client: string;
  readonly backend: string;
  readonly bytesDown: number;
  readonly idleMs: number;
  readonly sides?: { readonly client: string; readonly server: string };
  readonly packet?: {
    readonly phase: string;
    readonly ways: { readonly up: string; readonly down: string };
    readonly segments: { readonly up: number; readonly down: number };
  };
}

export async function listedFlow(lab: Lab, proxy: Proxy, clientPort: number): Promise<ListedFlow | undefined> {
  const flows = await ask<ListedFlow[]>(lab, proxy, 'flows');
  return flows.find((flow) => flow.client.endsWith(`:${clientPort}`));
}

/** Waits until a flow needs no socket any more. */
export async function untilReleased(lab: Lab, proxy: Proxy, clientPort: number): Promise<void> {
  await eventually(
    async () => (await listedFlow(lab, proxy, clientPort))?.packet?.phase,
    (phase) => phase === 'released',
    `the flow from port ${clientPort} is not released`,
  );
}

/** TCP sockets of the proxy host that are no listeners. */
export async function proxySockets(lab: Lab): Promise<string[]> {
  const { stdout } = await lab.prx.exec('ss', ['-Htna', 'exclude', 'listening']);
  return stdout.toString().split('\n').filter(Boolean);
}

/** A counter of the host's kernel, by its name in `nstat`. */
export async function kernelCount(host: Host, name: string): Promise<number> {
  const { stdout } = await host.exec('nstat', ['-asjz', name]);
  const { kernel } = JSON.parse(stdout.toString()) as { kernel: Record<string, number> };
  return kernel[name] ?? 0;
}
