/** What the proxy's commands and the lab's kernels say of the packet and module backends while a test runs. */
import { request } from 'node:http';
import { json } from 'node:stream/consumers';
import { eventually, within } from './children.js';
import type { Host, Lab } from './lab.js';
import type { Proxy } from './proxy.js';

export interface Plane {
  readonly phases: { readonly transit: number; readonly released: number; readonly ended: number };
  readonly sourcePortsUsed: number;
  /** By exit of the BPF programs, or of the module's hooks. */
  readonly counters: Readonly<Record<string, number>>;
}

/**
 * From the socket that splice-ctl asks, too. A state that lasts for a moment is over before a process has started for it on
 * a busy machine.
 */
function ask<T>(proxy: Proxy, path: '/flows' | '/stats'): Promise<T> {
  const answer = new Promise<T>((resolve, reject) => {
    const asking = request({ socketPath: proxy.control, path, agent: false }, (response) => {
      json(response).then((value) => resolve(value as T), reject);
    });
    asking.on('error', reject).end();
  });
  return within(answer, 20_000, () => `the control socket does not answer ${path}`);
}

export async function planeOf(_lab: Lab, proxy: Proxy): Promise<Plane> {
  const { packet, module } = await ask<{ packet?: Plane; module?: Plane & { more: Plane['counters'] } }>(
    proxy,
    '/stats',
  );
  if (packet !== undefined) return packet;
  if (module === undefined) throw new Error('the proxy has neither packet nor module backend');
  return { ...module, counters: { ...module.counters, ...module.more } };
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

export async function listedFlow(_lab: Lab, proxy: Proxy, clientPort: number): Promise<ListedFlow | undefined> {
  const { flows } = await ask<{ flows: ListedFlow[] }>(proxy, '/flows');
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
