/**
 * The lab: three hosts in network namespaces of their own. The proxy host does not forward, so that whatever
 * reaches the server went through the proxy. Nothing of the machine's network is touched.
 *
 *      cli                         prx                         srv
 *   ┌────────┐  link c  ┌───────────────────────┐  link s  ┌────────┐
 *   │ client ├──────────┤ c      proxy        s ├──────────┤ server │
 *   └────────┘          └───────────────────────┘          └────────┘
 *   10.77.1.1     10.77.1.2               10.77.2.2     10.77.2.3
 *   fd77:1::1     fd77:1::2               fd77:2::2     fd77:2::3
 *
 *   What else the proxy host can be asked to reach:
 *     10.77.97.0/24  fd77:97::/64   no way there: "host unreachable" at once
 *     10.77.98.0/24  fd77:98::/64   routed to srv, which drops it: nobody ever answers
 *     198.51.100.0/24               no route at all: "network unreachable"
 *
 *   Names (/etc/hosts inside the namespaces; no resolver is asked):
 *     srv.lab    both addresses of srv      v4only.lab, v6only.lab    one of them
 *     behind.lab srv, known on prx only     silent.lab  unreachable.lab
 *     eyeballs.lab  an IPv6 address that never answers, and the IPv4 address of srv
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Child, endAllChildren, eventually, within, type ChildOptions, type Finished } from './children.js';
import { directoryPrefix, namespacePrefix, sweepLab } from './sweep.js';

export const address = {
  client4: '10.77.1.1',
  client6: 'fd77:1::1',
  proxy4: '10.77.1.2',
  proxy6: 'fd77:1::2',
  proxyServerSide4: '10.77.2.2',
  proxyServerSide6: 'fd77:2::2',
  server4: '10.77.2.3',
  server6: 'fd77:2::3',
  unreachable4: '10.77.97.1',
  unreachable6: 'fd77:97::1',
  silent4: '10.77.98.1',
  silent6: 'fd77:98::1',
  noRoute4: '198.51.100.1',
} as const;

const commonNames = `127.0.0.1 localhost
::1 localhost
${address.server4} srv.lab v4only.lab
${address.server6} srv.lab v6only.lab
${address.proxy4} prx.lab
${address.proxy6} prx.lab
`;

const proxyNames = `${address.server4} behind.lab eyeballs.lab
${address.silent6} eyeballs.lab
${address.silent4} silent.lab
${address.unreachable4} unreachable.lab
`;

const ip = (...args: string[]): string =>
  execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

/** One host of the lab. */
export class Host {
  readonly namespace: string;

  constructor(namespace: string) {
    this.namespace = namespace;
  }

  /** Starts a program on this host. `ip netns exec` becomes the program, so its process id is the program's. */
  spawn(command: string, args: readonly string[], options?: ChildOptions): Child {
    return new Child('ip', ['netns', 'exec', this.namespace, command, ...args], options);
  }

  /** Runs a program to its end, whatever its exit code. */
  async exec(
    command: string,
    args: readonly string[],
    options: ChildOptions & { limitMs?: number } = {},
  ): Promise<Finished> {
    const child = this.spawn(command, args, { input: '', ...options });
    try {
      return await within(
        child.exited,
        options.limitMs ?? 60_000,
        () => `${child.name} still runs\n${child.transcript()}`,
      );
    } finally {
      await child.stop();
    }
  }

  /** Waits until `server` accepts connections on `port`. */
  async untilListening(port: number, server: Child): Promise<void> {
    const look = async (): Promise<boolean> => {
      if (!server.running) throw new Error(`${server.name} ended:\n${server.transcript()}`);
      const { stdout } = await this.exec('ss', ['-Hltn', `sport = :${port}`]);
      return stdout.length > 0;
    };
    await eventually(look, (listens) => listens, `${server.name} does not listen on ${port}`);
  }

  /** Runs `ip` on this host. */
  ip(...args: string[]): string {
    return ip('-n', this.namespace, ...args);
  }

  /** Sets kernel parameters of this host, such as `net.ipv4.ip_forward=0`. */
  sysctl(...settings: string[]): void {
    execFileSync('ip', ['netns', 'exec', this.namespace, 'sysctl', '-qw', ...settings], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }
}

let labs = 0;
let cleanerInstalled = false;

/** Runs on every exit of this process that a process can notice; the runner sweeps after the others. */
function installCleaner(): void {
  if (cleanerInstalled) return;
  cleanerInstalled = true;
  process.on('exit', () => {
    endAllChildren();
    sweepLab(process.pid);
  });
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    process.prependListener(signal, () => process.exit(code));
  }
}

export class Lab {
  readonly cli: Host;
  readonly prx: Host;
  readonly srv: Host;
  /** A directory for this lab alone, deleted with it. */
  readonly directory: string;

  private constructor(prefix: string, directory: string) {
    this.cli = new Host(`${prefix}cli`);
    this.prx = new Host(`${prefix}prx`);
    this.srv = new Host(`${prefix}srv`);
    this.directory = directory;
  }

  static open(): Lab {
    installCleaner();
    const directory = mkdtempSync(directoryPrefix(process.pid));
    const lab = new Lab(`${namespacePrefix(process.pid)}${labs++}`, directory);
    try {
      lab.#wire();
    } catch (error) {
      lab.close();
      throw error;
    }
    return lab;
  }

  #wire(): void {
    const { cli, prx, srv } = this;
    for (const host of [cli, prx, srv]) {
      const etc = `/etc/netns/${host.namespace}`;
      mkdirSync(etc, { recursive: true });
      writeFileSync(`${etc}/hosts`, host === prx ? commonNames + proxyNames : commonNames);
      writeFileSync(`${etc}/resolv.conf`, '');
      writeFileSync(`${etc}/nsswitch.conf`, 'passwd: files\ngroup: files\nshadow: files\nhosts: files\n');
      ip('netns', 'add', host.namespace);
      host.ip('link', 'set', 'lo', 'up');
      // Many short connections in a row: all ports, and no waiting for the old ones.
      host.sysctl('net.ipv4.ip_local_port_range=10240 65535', 'net.ipv4.tcp_tw_reuse=1');
    }
    // A proxy, not a router.
    prx.sysctl('net.ipv4.ip_forward=0', 'net.ipv6.conf.all.forwarding=0');
    srv.sysctl('net.ipv4.ip_forward=0', 'net.ipv6.conf.all.forwarding=0');

    cli.ip('link', 'add', 'c', 'type', 'veth', 'peer', 'name', 'c', 'netns', prx.namespace);
    srv.ip('link', 'add', 's', 'type', 'veth', 'peer', 'name', 's', 'netns', prx.namespace);
    for (const [host, link, v4, v6] of [
      [cli, 'c', address.client4, address.client6],
      [prx, 'c', address.proxy4, address.proxy6],
      [prx, 's', address.proxyServerSide4, address.proxyServerSide6],
      [srv, 's', address.server4, address.server6],
    ] as const) {
      host.ip('addr', 'add', `${v4}/24`, 'dev', link);
      host.ip('-6', 'addr', 'add', `${v6}/64`, 'dev', link, 'nodad');
      host.ip('link', 'set', link, 'up');
    }
    // The ends know a way to each other, so that it is the proxy host that does not forward.
    cli.ip('route', 'add', 'default', 'via', address.proxy4);
    cli.ip('-6', 'route', 'add', 'default', 'via', address.proxy6);
    srv.ip('route', 'add', 'default', 'via', address.proxyServerSide4);
    srv.ip('-6', 'route', 'add', 'default', 'via', address.proxyServerSide6);

    prx.ip('route', 'add', 'unreachable', '10.77.97.0/24');
    prx.ip('-6', 'route', 'add', 'unreachable', 'fd77:97::/64');
    prx.ip('route', 'add', '10.77.98.0/24', 'via', address.server4);
    prx.ip('-6', 'route', 'add', 'fd77:98::/64', 'via', address.server6);
    // srv would otherwise send it back, or say that it cannot.
    srv.ip('route', 'add', 'blackhole', '10.77.98.0/24');
    srv.ip('-6', 'route', 'add', 'blackhole', 'fd77:98::/64');
  }

  /** Writes a file into the lab's directory and returns its path. */
  file(name: string, content: string | Uint8Array, mode = 0o644): string {
    const file = path.join(this.directory, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, content, { mode });
    return file;
  }

  /** Ends everything that runs in the labs of this process and removes them; there is one at a time. */
  close(): void {
    sweepLab(process.pid);
  }
}
