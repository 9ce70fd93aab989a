/**
 * The proxy under test. `packet`, `splice`, `copy`, `sockmap` are splice-socks with that backend; `microsocks` and `danted` are
 * other people's proxies, against which a test can be proved (SYMSPLICE_LAB_BACKENDS=microsocks).
 */
import path from 'node:path';
import { address, type Host, type Lab } from './lab.js';
import { eventually, type Child, type Finished } from './children.js';

const ours = ['packet', 'splice', 'copy', 'sockmap'] as const;
// What no test is run over that does not ask for it.
const special = ['auto', 'module'] as const;
const others = ['microsocks', 'danted'] as const;
export type Backend = (typeof ours)[number] | (typeof special)[number] | (typeof others)[number];

/** The backends to test: all of ours, or those that SYMSPLICE_LAB_BACKENDS lists with commas. */
export function backends(): Backend[] {
  const listed = process.env['SYMSPLICE_LAB_BACKENDS'] ?? ours.join(',');
  return listed.split(',').map((name) => {
    const known = [...ours, ...special, ...others].find((backend) => backend === name);
    if (known === undefined) throw new Error(`SYMSPLICE_LAB_BACKENDS: unknown backend "${name}"`);
    return known;
  });
}

/** Arguments with which a flow goes to the kernel as soon as it is open, instead of when it has shown that it lasts. */
export const atOnce = ['--packet-after-bytes', '0', '--packet-after-time', '0'] as const;

export const isOurs = (backend: Backend): boolean => !others.some((name) => name === backend);

/** Path of a compiled command of this package. */
export const command = (name: 'splice-socks' | 'splice-ctl'): string => path.resolve(`dist/cli/${name}.js`);

export interface ProxyOptions {
  readonly backend: Backend;
  readonly port?: number;
  /** Further arguments of splice-socks. */
  readonly args?: readonly string[];
  /** Path of the command. **Default:** this build's. */
  readonly program?: string;
  /** A user and password that the proxy asks for. */
  readonly credentials?: { readonly user: string; readonly password: string };
}

/** What an access log line says; only what tests look at. */
export interface LogLine {
  readonly [key: string]: unknown;
}

export class Proxy {
  readonly child: Child;
  readonly port: number;
  readonly backend: Backend;
  readonly control: string;

  constructor(child: Child, options: { port: number; backend: Backend; control: string }) {
    this.child = child;
    this.port = options.port;
    this.backend = options.backend;
    this.control = options.control;
  }

  /** `10.77.1.2:1080` or `[fd77:1::2]:1080`. */
  at(version: 4 | 6 = 4): string {
    return version === 4 ? `${address.proxy4}:${this.port}` : `[${address.proxy6}]:${this.port}`;
  }

  /** The whole log lines so far; those that are not JSON, such as the greeting, are left out. */
  log(): LogLine[] {
    const lines = this.child.lines().filter((line) => line.startsWith('{'));
    return lines.map((line) => JSON.parse(line) as LogLine);
  }

  /** The first log line from number `from` on that `matches`; waits for it. */
  async waitForLog(matches: (line: LogLine) => boolean, from = 0): Promise<LogLine> {
    const look = (): LogLine | undefined => this.log().slice(from).find(matches);
    const found = await eventually(
      look,
      (line) => line !== undefined,
      `no such log line in\n${this.child.transcript()}`,
      5_000,
    );
    if (found === undefined) throw new Error('unreachable: eventually returned without a line');
    return found;
  }

  /** Open descriptors of the proxy. */
  descriptors(): number {
    return this.child.descriptors();
  }
}

function microsocks(host: Host, port: number, credentials: ProxyOptions['credentials']): Child {
  const login = credentials === undefined ? [] : ['-u', credentials.user, '-P', credentials.password];
  return host.spawn('microsocks', ['-i', '::', '-p', String(port), ...login]);
}

function danted(lab: Lab, port: number): Child {
  const file = lab.file(
    `danted-${port}.conf`,
    `logoutput: stderr
internal: ${address.proxy4} port = ${port}
external: ${address.proxyServerSide4}
socksmethod: none
clientmethod: none
user.privileged: root
user.unprivileged: nobody
client pass { from: 0/0 to: 0/0 }
socks pass { from: 0/0 to: 0/0 }
`,
  );
  return lab.prx.spawn('danted', ['-f', file, '-p', path.join(lab.directory, `danted-${port}.pid`)]);
}

let nextPort = 1080;

/** Starts a proxy on the lab's proxy host and waits until it listens. */
export async function startProxy(lab: Lab, options: ProxyOptions): Promise<Proxy> {
  const port = options.port ?? nextPort++;
  const control = path.join(lab.directory, `control-${port}`);
  const { backend } = options;
  let child: Child;
  if (isOurs(backend)) {
    const args = ['--listen', `${address.proxy4}:${port}`, '--listen', `[${address.proxy6}]:${port}`];
    args.push('--backend', backend, '--control', control, '--log-format', 'json');
    if (options.credentials !== undefined) {
      const { user, password } = options.credentials;
      args.push('--users', lab.file(`users-${port}`, await usersLine(lab, user, password), 0o600));
    }
    const program = options.program ?? command('splice-socks');
    child = lab.prx.spawn(process.execPath, [program, ...args, ...(options.args ?? ['--open'])]);
    await child.waitForOutput(new RegExp(`listening on ${address.proxy4}:${port}`));
  } else {
    child = backend === 'microsocks' ? microsocks(lab.prx, port, options.credentials) : danted(lab, port);
    await lab.prx.untilListening(port, child);
  }
  return new Proxy(child, { port, backend, control });
}

/** A line of a users file, made by the product's own command. */
export async function usersLine(lab: Lab, user: string, password: string): Promise<string> {
  const made = await splicectl(lab, ['passwd', user], `${password}\n`);
  if (made.code !== 0) throw new Error(`splice-ctl passwd: ${made.stderr}`);
  return made.stdout.toString();
}

/** Runs splice-ctl on the proxy host. */
export function splicectl(lab: Lab, args: readonly string[], input = ''): Promise<Finished> {
  return lab.prx.exec(process.execPath, [command('splice-ctl'), ...args], { input });
}
