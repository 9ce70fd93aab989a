/**
 * Runs the same tests over the packet backend in both its manners, at once and adaptive, and over both versions of IP.
 * Every test says through its flows' log lines who carried them: bytes that the splice backend moved prove nothing here.
 */
import t, { type Test } from 'tap';
import { startAgent, type Agent } from './agent-client.js';
import type { ConnectionId } from './agent-api.js';
import { patient } from './children.js';
import type { Ends } from './handshake.js';
import { readReply5 } from './handshake.js';
import { address, Lab } from './lab.js';
import { atOnce, backends, isOurs, startProxy, type Backend, type LogLine, type Proxy } from './proxy.js';
import { greeting5, request5 } from './socks-bytes.js';

export interface Manner {
  readonly title: string;
  readonly backend: Backend;
  readonly args: readonly string[];
  /** Every flow is carried by it, also the shortest. */
  readonly always: boolean;
}

const inKernel = (backend: Backend): Manner[] => [
  { title: `${backend}, at once`, backend, args: atOnce, always: true },
  { title: backend, backend, args: [], always: false },
];

/**
 * SYMSPLICE_LAB_BACKENDS=module runs the tests over the kernel module, as ring 4 does; another backend's name proves the
 * tests by it.
 */
export function manners(): readonly Manner[] {
  const wanted = process.env['SYMSPLICE_LAB_BACKENDS'] === undefined ? ['packet' as const] : backends();
  const kernels = wanted.filter((backend) => backend === 'packet' || backend === 'module');
  if (kernels.length > 0) return kernels.flatMap(inKernel);
  return wanted.filter(isOurs).map((backend) => ({ title: backend, backend, args: [], always: true }));
}

/** Those of {@link manners} whose flows come to be relayed by the kernel, which a file may be about. */
export function kernelManners(): readonly Manner[] {
  const all = manners().filter(({ backend }) => backend === 'packet' || backend === 'module');
  if (all.length === 0) throw new Error('this file is about flows that the kernel relays');
  return all;
}

/** Over the kernel module, in a guest of ring 4 for whose kernel it was built: there it must be loaded. */
export function moduleManners(): readonly Manner[] {
  if (process.env['SYMSPLICE_VM_MODULE'] === undefined) return [];
  return inKernel('module').slice(0, 1);
}

export const targetPort = 7000;

export type Version = 4 | 6;
export const proxyOf = (version: Version): string => (version === 4 ? address.proxy4 : address.proxy6);
export const serverOf = (version: Version): string => (version === 4 ? address.server4 : address.server6);
export const clientOf = (version: Version): string => (version === 4 ? address.client4 : address.client6);

/** An open flow, and what finds its log line: ports are used again. */
export interface Opened extends Ends {
  readonly clientPort: number;
  readonly logFrom: number;
}

export interface PacketGroup {
  readonly lab: Lab;
  readonly manner: Manner;
  readonly version: Version;
  readonly proxy: Proxy;
  readonly client: Agent;
  readonly server: Agent;
  readonly test: (name: string, body: (t: Test) => Promise<void>) => Promise<void>;
  /** The handshake up to the server's connection; `first` goes right behind the request, unasked. */
  readonly open: (first?: Uint8Array) => Promise<Opened>;
  /** As {@link open}, but the reply is not read yet. */
  readonly openUnread: (first?: Uint8Array) => Promise<Opened>;
  /** Waits for the end of a flow, compares who carried it, and returns its log line. */
  readonly carried: (
    t: Test,
    flow: Pick<Opened, 'clientPort' | 'logFrom'>,
    options?: { young?: boolean },
  ) => Promise<LogLine>;
}

const testLimitMs = patient(100_000);

export interface PacketGroupOptions {
  readonly versions?: readonly Version[];
  readonly manners?: readonly Manner[];
  /** Further arguments of the proxy. */
  readonly args?: readonly string[];
  readonly limitMs?: number;
}

export function overManners(options: PacketGroupOptions, body: (group: PacketGroup) => Promise<void>): Promise<void> {
  return withLab(async (lab) => {
    const client = startAgent(lab.cli, options.limitMs ?? 60_000);
    const server = startAgent(lab.srv, options.limitMs ?? 60_000);
    await server.listen({ host: '::', port: targetPort, mode: 'accept' });
    for (const manner of options.manners ?? manners()) {
      const args = ['--open', ...manner.args, ...(options.args ?? [])];
      const proxy = await startProxy(lab, { backend: manner.backend, args });
      for (const version of options.versions ?? ([4, 6] as const)) {
        await body(makeGroup({ lab, manner, version, proxy, client, server }));
      }
      await t.test(`${manner.title}: afterwards the proxy runs and complained of nothing`, async (child) => {
        child.ok(proxy.child.running, proxy.child.transcript());
        child.same(
          proxy.log().filter((line) => line['level'] === 'error' || line['level'] === 'fatal'),
          [],
        );
        await proxy.child.stop();
      });
    }
  });
}

/** The library ends a file when nothing is left to wait for; so the lab is removed by a test of its own. */
export async function withLab(body: (lab: Lab) => Promise<void>): Promise<void> {
  t.setTimeout(3_600_000);
  const lab = Lab.open();
  try {
    await body(lab);
  } finally {
    lab.close();
  }
}

export interface Opener extends Pick<PacketGroup, 'open' | 'openUnread'> {
  /** What the access log says of a flow at its end. */
  readonly closed: (flow: Pick<Opened, 'clientPort' | 'logFrom'>) => Promise<LogLine>;
}

/** Opens flows through a proxy, from an agent to an agent that listens on {@link targetPort}. */
export function makeOpener(parts: Pick<PacketGroup, 'proxy' | 'version' | 'client' | 'server'>): Opener {
  const { proxy, version, client, server } = parts;

  const openUnread = async (first?: Uint8Array): Promise<Opened> => {
    const logFrom = proxy.log().length;
    const near = await client.connect({ host: proxyOf(version), port: proxy.port });
    const request = request5(serverOf(version), targetPort);
    await client.write(near, Buffer.concat([greeting5(0), request, ...(first === undefined ? [] : [first])]));
    const [far, clientPort] = await Promise.all([server.accept(targetPort), client.localPort(near)]);
    return { near, far, clientPort, logFrom };
  };
  const open = async (first?: Uint8Array): Promise<Opened> => {
    const ends = await openUnread(first);
    await readAnswers(client, ends.near);
    return ends;
  };
  const closed: Opener['closed'] = ({ clientPort, logFrom }) => closingLine(proxy, version, clientPort, logFrom);
  return { open, openUnread, closed };
}

function makeGroup(parts: Omit<PacketGroup, 'test' | 'open' | 'openUnread' | 'carried'>): PacketGroup {
  const { manner, version, client, server } = parts;
  const { open, openUnread, closed } = makeOpener(parts);

  const carried: PacketGroup['carried'] = async (t, flow, { young = !manner.always } = {}) => {
    const line = await closed(flow);
    // A young flow ends where it began, by whatever chance; everything else must have been taken over, unless it was
    // faster than its sockets could come to rest: any adaptive one, and of those at once what fits into the sockets.
    const few = Number(line['bytes_up']) + Number(line['bytes_down']) < 200_000;
    const early = /did not come to rest in time|is not established any more/;
    const hasty = (few || !manner.always) && early.test(String(line['refused']));
    if (!young && !hasty) t.equal(line['backend'], manner.backend, `carried by ${JSON.stringify(line)}`);
    return line;
  };

  const test: PacketGroup['test'] = async (name, run) => {
    await t.test(`${manner.title}, IPv${version}: ${name}`, { timeout: testLimitMs }, async (child) => {
      try {
        await run(child);
      } finally {
        await Promise.all([client.forget(), server.forget()]);
      }
    });
  };
  return { ...parts, test, open, openUnread, carried };
}

/** What the access log says of a flow, once it has ended. */
export function closingLine(proxy: Proxy, version: Version, clientPort: number, logFrom: number): Promise<LogLine> {
  const client = version === 4 ? `${address.client4}:${clientPort}` : `[${address.client6}]:${clientPort}`;
  return proxy.waitForLog((line) => line['msg'] === 'flow closed' && line['client'] === client, logFrom);
}

/** Method choice and reply. */
export async function readAnswers(client: Agent, near: ConnectionId): Promise<void> {
  const choice = await client.read(near, 2);
  if (choice[0] !== 5 || choice[1] !== 0) throw new Error(`method choice ${Buffer.from(choice).toString('hex')}`);
  const code = await readReply5(client, near);
  if (code !== 0) throw new Error(`reply code ${code}`);
}
