/**
 * The lab on one machine: three hosts in network namespaces.
 *
 *   client ── 10.201.1.0/24 ── proxy ── 10.201.2.0/24 ── server
 *             fd73:51::/64              fd73:52::/64
 *   .100-.163 (sources)   .1      .1                  .2
 *   ::100-::13f           ::1     ::1                 ::2
 *
 * The lab owns everything it makes. What a killed run left behind is removed by the next one.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { SpliceError } from '../../errors.js';
import type { Addresses, Family, Host, HostName, Lab } from '../model.js';
import { LocalHost } from './local-host.js';
import { isLeftover, lockMachine, OWN_PREFIX, removeLeftoverDirectories } from './lock.js';
import { LossyLeg } from './loss.js';
import { onExit } from './on-exit.js';
import { PROGRAM_PATH } from './paths.js';
import { signalIfThere } from './processes.js';
import { PROXY_SETTINGS, SETTINGS } from './settings.js';

const SOURCES = 64;

const ADDRESSES: Readonly<Record<Family, Addresses>> = {
  4: { family: 4, any: '0.0.0.0', proxy: '10.201.1.1', target: '10.201.2.2', sources: `10.201.1.100/${SOURCES}` },
  6: { family: 6, any: '[::]', proxy: '[fd73:51::1]', target: '[fd73:52::2]', sources: `fd73:51::100/${SOURCES}` },
};

const LINKS: Readonly<Record<HostName, Host['links']>> = {
  client: { proxy: 'toprx' },
  proxy: { client: 'tocli', server: 'tosrv' },
  server: { proxy: 'toprx' },
};

/** No search for duplicates, also of the link's own addresses: an IPv6 address would be of no use for a second. */
const NO_SEARCH = ['net.ipv6.conf.all.accept_dad=0', 'net.ipv6.conf.default.accept_dad=0'];

/** The middle host routes too, for the contestant that is nothing else. */
const FORWARDING = ['net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1'];

function run(command: string, args: readonly string[], input = ''): string {
  try {
    const env = { ...process.env, PATH: PROGRAM_PATH };
    return execFileSync(command, args, { stdio: ['pipe', 'pipe', 'pipe'], encoding: 'utf8', input, env });
  } catch (cause) {
    const said = cause instanceof Error && 'stderr' in cause ? String(cause.stderr).trim() : '';
    throw new SpliceError('ERR_SPLICE_SYSTEM', `${[command, ...args].join(' ')}: ${said || String(cause)}`, { cause });
  }
}

/** Several commands of `ip` in one process. */
const ipBatch = (lines: readonly string[], ...args: string[]): string =>
  run('ip', [...args, '-batch', '-'], lines.join('\n'));

/** Whoever is in a namespace that we made is ours: also one that changed its user, and lost the signal of our death. */
function removeNamespace(name: string): void {
  for (const pid of run('ip', ['netns', 'pids', name]).split('\n').filter(Boolean))
    signalIfThere(Number(pid), 'SIGKILL');
  run('ip', ['netns', 'del', name]);
}

const present = (): string[] => {
  try {
    return readdirSync('/run/netns');
  } catch {
    return [];
  }
};

class Namespaces implements Lab {
  readonly client: LocalHost;
  readonly proxy: LocalHost;
  readonly server: LocalHost;
  readonly addresses: Addresses;
  readonly oneMachine = true;
  readonly #names: Readonly<Record<HostName, string>>;
  readonly #directory: string;
  readonly #leg: LossyLeg;
  readonly #released: () => void;

  /** @param released what close() calls at its end */
  constructor(family: Family, released: () => void) {
    this.#released = released;
    this.addresses = ADDRESSES[family];
    const name = (host: string): string => `${OWN_PREFIX}${host}`;
    this.#names = { client: name('cli'), proxy: name('prx'), server: name('srv') };
    this.#directory = mkdtempSync(path.join(os.tmpdir(), OWN_PREFIX));
    // Contestants that change their user still find their files there; keys have permissions of their own.
    chmodSync(this.#directory, 0o755);
    this.client = this.#host('client');
    this.proxy = this.#host('proxy');
    this.server = this.#host('server');
    this.#leg = new LossyLeg(this.proxy, this.server, { veth: true });
  }

  #host(name: HostName): LocalHost {
    const scratch = path.join(this.#directory, name);
    mkdirSync(scratch, { mode: 0o755 });
    return new LocalHost(name, LINKS[name], scratch, ['ip', 'netns', 'exec', this.#names[name]]);
  }

  build(): void {
    const { client, proxy, server } = this.#names;
    for (const name of [client, proxy, server]) {
      run('ip', ['netns', 'add', name]);
      run('ip', ['netns', 'exec', name, 'sysctl', '-qw', ...SETTINGS, ...NO_SEARCH]);
    }
    run('ip', ['netns', 'exec', proxy, 'sysctl', '-qw', ...PROXY_SETTINGS, ...FORWARDING]);
    ipBatch([
      `link add name toprx netns ${client} type veth peer name tocli netns ${proxy}`,
      `link add name toprx netns ${server} type veth peer name tosrv netns ${proxy}`,
    ]);
    const sources = Array.from({ length: SOURCES }, (_, i) => [
      `10.201.1.${100 + i}/24`,
      `fd73:51::${(0x100 + i).toString(16)}/64`,
    ]);
    this.#up(client, [['toprx', ...sources.flat()]], ['10.201.1.1', 'fd73:51::1']);
    this.#up(proxy, [
      ['tocli', '10.201.1.1/24', 'fd73:51::1/64'],
      ['tosrv', '10.201.2.1/24', 'fd73:52::1/64'],
    ]);
    this.#up(server, [['toprx', '10.201.2.2/24', 'fd73:52::2/64']], ['10.201.2.1', 'fd73:52::1']);
  }

  #up(name: string, links: readonly [string, ...string[]][], gateways: readonly string[] = []): void {
    const lines = [
      'link set lo up',
      ...links.flatMap(([link, ...addresses]) => [
        ...addresses.map((one) => `address add ${one} dev ${link}`),
        `link set ${link} up`,
      ]),
      ...gateways.map((gateway) => `route add default via ${gateway}`),
    ];
    ipBatch(lines, '-n', name);
  }

  setLoss(share: number): Promise<void> {
    return this.#leg.set(share);
  }

  /** Synchronous, so that it also works while the process is ending. Twice is harmless. */
  remove(): void {
    for (const host of [this.client, this.proxy, this.server]) host.processes.end();
    const there = present();
    for (const name of Object.values(this.#names)) if (there.includes(name)) removeNamespace(name);
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async close(): Promise<void> {
    this.remove();
    this.#released();
  }
}

/** Needs root; throws with what is missing. */
export async function openNamespaces({ family }: { readonly family: Family }): Promise<Lab> {
  if (process.getuid?.() !== 0) {
    throw new SpliceError('ERR_SPLICE_SYSTEM', 'the lab of three network namespaces needs root: run it with sudo');
  }
  const unlock = await lockMachine();
  let lab: Namespaces | undefined;
  const forget = onExit(() => {
    lab?.remove();
    unlock();
  });
  try {
    for (const name of present().filter(isLeftover)) removeNamespace(name);
    removeLeftoverDirectories();
    lab = new Namespaces(family, () => {
      unlock();
      forget();
    });
    lab.build();
    return lab;
  } catch (error) {
    lab?.remove();
    unlock();
    forget();
    throw error;
  }
}
