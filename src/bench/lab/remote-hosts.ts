/**
 * The lab of three real machines, reached by ssh: client, proxy and server, of which any may also be this one. Nothing
 * is installed on them: the repository must lie at the same path on each, built. What is changed there (kernel settings,
 * losses) is put back by a process on the machine itself as soon as the connection ends, however that comes about.
 */
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { SpliceError } from '../../errors.js';
import type { Addresses, Family, Host, Lab, Running } from '../model.js';
import { bare, bracketed } from './addresses.js';
import { hold } from './hold.js';
import { localHost } from './local-host.js';
import { lockMachine, OWN_PREFIX, removeLeftoverDirectories } from './lock.js';
import { LossyLeg } from './loss.js';
import { onExit } from './on-exit.js';
import { ROOT } from './paths.js';
import { routeTo } from './routes.js';
import { PROXY_SETTINGS, SETTINGS, settingCommands } from './settings.js';
import { SshHost } from './ssh-host.js';

export interface RemoteOptions {
  /** As ssh knows them. */
  readonly hosts: readonly [client: string, proxy: string, server: string];
  readonly family: Family;
  /** Those that are absent are what ssh connects to, as each machine routes to it. IPv6 with or without brackets. */
  readonly addresses?: Partial<Pick<Addresses, 'proxy' | 'target' | 'sources'>>;
  /** What is run in place of `ssh`. */
  readonly ssh?: readonly string[];
}

/** What must be the same on all machines; prints one sum. */
const SUM_SCRIPT = `cd "$1" 2>/dev/null || { echo "no directory $1"; exit 0; }
{ find dist bench -type f ! -name '*.map' | LC_ALL=C sort | xargs cat; cat build/Release/*.node; } 2>/dev/null | sha256sum`;

class RemoteHosts implements Lab {
  readonly client: SshHost;
  readonly proxy: SshHost;
  readonly server: SshHost;
  readonly oneMachine = false;
  readonly #options: RemoteOptions;
  readonly #ssh: readonly string[];
  readonly #directory: string;
  readonly #released: () => void;
  readonly #leg: LossyLeg;
  readonly #holders: Running[] = [];
  #addresses: Addresses | undefined;

  /** @param released what close() calls at its end */
  constructor(options: RemoteOptions, released: () => void) {
    this.#options = options;
    this.#ssh = options.ssh ?? ['ssh'];
    this.#released = released;
    this.#directory = mkdtempSync(path.join(os.tmpdir(), OWN_PREFIX));
    chmodSync(this.#directory, 0o700);
    const [client, proxy, server] = options.hosts;
    const ssh = this.#ssh;
    this.client = new SshHost('client', { name: client, ssh }, this.#directory);
    this.proxy = new SshHost('proxy', { name: proxy, ssh }, this.#directory);
    this.server = new SshHost('server', { name: server, ssh }, this.#directory);
    this.#leg = new LossyLeg(this.proxy, this.server, { veth: false });
  }

  get #all(): readonly SshHost[] {
    return [this.client, this.proxy, this.server];
  }

  get addresses(): Addresses {
    if (this.#addresses === undefined) throw new Error('not open');
    return this.#addresses;
  }

  async open(): Promise<void> {
    await Promise.all(this.#all.map((host) => host.connect()));
    const sum = (await localHost().run(['sh', '-c', SUM_SCRIPT, 'sh', ROOT])).out;
    await Promise.all(this.#all.map((host) => this.#check(host, sum)));
    await this.#findWays();
    await Promise.all(this.#all.map((host) => this.#prepare(host)));
  }

  async #check(host: SshHost, sum: string): Promise<void> {
    const where = `the ${host.name} host (${host.destination})`;
    const user = await host.run(['id', '-u']);
    if (user.code !== 0) {
      throw new SpliceError(
        'ERR_SPLICE_SYSTEM',
        `${where} does not answer: ${user.err.trim() || 'no word within the time'}`,
      );
    }
    if (user.out.trim() !== '0') {
      throw new SpliceError(
        'ERR_SPLICE_SYSTEM',
        `${where}: not root there; give root@... or a User in ssh's configuration`,
      );
    }
    const theirs = await host.run(['sh', '-c', SUM_SCRIPT, 'sh', ROOT]);
    if (theirs.code !== 0 || theirs.out !== sum) {
      const copy = `rsync -a --delete ${ROOT}/ ${host.destination}:${ROOT}/`;
      throw new SpliceError(
        'ERR_SPLICE_SYSTEM',
        `${where} does not have this tree at ${ROOT}, as it is here; copy it: ${copy}`,
      );
    }
  }

  /** The address that ssh connects to, in the family in use. */
  async #addressOf(host: SshHost): Promise<string> {
    const [program = 'ssh', ...args] = this.#ssh;
    const { out } = await localHost().run([program, ...args, '-G', host.destination]);
    const name = /^hostname (.*)$/m.exec(out)?.[1] ?? host.destination;
    const { family } = this.#options;
    if (isIP(name) === family) return name;
    try {
      return (await lookup(name, { family })).address;
    } catch (cause) {
      const message = `${name} has no IPv${family} address that is known here; give --addresses`;
      throw new SpliceError('ERR_SPLICE_SYSTEM', message, { cause });
    }
  }

  /** Addresses and interfaces of the two legs, and whether a packet goes through the proxy host by itself. */
  async #findWays(): Promise<void> {
    const { family, addresses: given = {} } = this.#options;
    const proxy = bare(given.proxy ?? (await this.#addressOf(this.proxy)));
    const target = bare(given.target ?? (await this.#addressOf(this.server)));
    const fromClient = await routeTo(this.client, proxy);
    const sources = given.sources ?? `${fromClient.prefsrc ?? (await this.#addressOf(this.client))}/1`;
    const source = bare(sources.replace(/\/\d+$/, ''));
    const toServer = await routeTo(this.proxy, target);
    const toClient = await routeTo(this.proxy, source);
    const proxyForServer = toServer.prefsrc ?? proxy;
    const fromServer = await routeTo(this.server, proxyForServer);
    this.client.links = { proxy: fromClient.dev };
    this.proxy.links = { client: toClient.dev, server: toServer.dev };
    this.server.links = { proxy: fromServer.dev };
    const any = family === 4 ? '0.0.0.0' : '[::]';
    this.#addresses = { family, any, proxy: bracketed(proxy), target: bracketed(target), sources };
    const bypassed = await this.#bypass({ source, proxy, proxyForServer, target });
    if (bypassed !== undefined) this.proxy.bypassed = bypassed;
  }

  async #bypass(way: {
    source: string;
    proxy: string;
    proxyForServer: string;
    target: string;
  }): Promise<string | undefined> {
    const hint = (host: Host, to: string, via: string): string =>
      `the ${host.name} host does not reach ${to} through the proxy host; there: ip route replace ${to} via ${via}`;
    for (const [host, to, via] of [
      [this.client, way.target, way.proxy],
      [this.server, way.source, way.proxyForServer],
    ] as const) {
      const route = await routeTo(host, to).catch(() => undefined);
      if (route?.gateway !== via) return hint(host, to, via);
    }
    const key = this.#options.family === 4 ? 'net.ipv4.ip_forward' : 'net.ipv6.conf.all.forwarding';
    const forwards = (await this.proxy.run(['sysctl', '-n', key])).out.trim() === '1';
    return forwards ? undefined : `the proxy host does not forward; there: sysctl -w ${key}=1`;
  }

  async #prepare(host: SshHost): Promise<void> {
    const settings = host === this.proxy ? [...SETTINGS, ...PROXY_SETTINGS] : SETTINGS;
    const { make, undo } = settingCommands(settings);
    // Made by the process that removes it: nobody else could do so after the connection has broken. The name is known
    // before, so that there is no moment at which the directory exists and its remover does not know of it. Those that
    // change their user still find their files there.
    const scratch = `/tmp/splbench-${randomBytes(8).toString('hex')}`;
    const mkdir = `mkdir -m 755 ${scratch}`;
    this.#holders.push(await hold(host, [mkdir, ...make], [...undo, `rm -rf ${scratch}`]));
    host.scratch = scratch;
  }

  setLoss(share: number): Promise<void> {
    return this.#leg.set(share);
  }

  /** Synchronous: ends the connections, whereupon the machines clear up by themselves. Twice is harmless. */
  remove(): void {
    for (const host of this.#all) host.processes.end();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async close(): Promise<void> {
    try {
      await this.#leg.set(0);
      await Promise.all(this.#holders.map((holder) => holder.stop()));
    } finally {
      this.remove();
      this.#released();
    }
  }
}

/** Throws with what to do where a machine is not as it must be. */
export async function openRemoteHosts(options: RemoteOptions): Promise<Lab> {
  const unlock = await lockMachine();
  let lab: RemoteHosts | undefined;
  const forget = onExit(() => {
    lab?.remove();
    unlock();
  });
  try {
    removeLeftoverDirectories();
    lab = new RemoteHosts(options, () => {
      unlock();
      forget();
    });
    await lab.open();
    return lab;
  } catch (error) {
    if (lab === undefined) {
      unlock();
      forget();
    } else {
      await lab.close();
    }
    throw error;
  }
}
