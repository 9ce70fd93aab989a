/**
 * splice-http as tests start it: the built command on loopback, a directory of its own, an origin of the test. What must
 * hold whatever was tested is asked at the end of each group.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { Child, endAllChildren, eventually, type Finished } from './children.js';
import { Origin, type OriginOptions } from './http-origin.js';
import type { Host } from './lab.js';
import { directoryPrefix, sweepLab } from './sweep.js';

const program = (name: 'splice-http' | 'splice-ctl'): string => path.resolve(`dist/cli/${name}.js`);

export interface HttpProxyOptions {
  readonly args?: readonly string[];
  /** Where the cache is. **Default:** a new directory for each group. */
  readonly cache?: string;
  /** `IP:PORT` or `PORT`s. **Default:** one on 127.0.0.1 that the kernel chooses. */
  readonly listen?: readonly string[];
  /** Runs before the program takes its place in the process: shell commands in a mount namespace of their own. */
  readonly mounts?: string;
  /** A host of a lab, on which it runs. **Default:** this machine's loopback. */
  readonly host?: Host;
  /** **Default:** `splice`, since the packet backend would watch the machine's own interfaces. */
  readonly backend?: string;
}

let started = 0;

/** A directory for this process' proxies, deleted at its end together with whatever still runs. */
const directory = mkdtempSync(directoryPrefix(process.pid));
process.on('exit', () => {
  endAllChildren();
  sweepLab(process.pid);
});
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  process.once(signal, () => process.exit(code));
}

/** Writes a file there and returns its path. */
export function file(name: string, content: string | Uint8Array, mode = 0o644): string {
  const place = path.join(directory, name);
  mkdirSync(path.dirname(place), { recursive: true });
  writeFileSync(place, content, { mode });
  return place;
}

/** An empty directory there. */
export function emptyDirectory(name: string): string {
  const place = path.join(directory, name);
  rmSync(place, { recursive: true, force: true });
  mkdirSync(place, { recursive: true });
  return place;
}

export interface AccessLine {
  readonly [key: string]: unknown;
}

export class HttpProxy {
  readonly child: Child;
  /** Of the listening addresses: those of --listen, then those of --tls-listen. */
  readonly ports: readonly number[];
  readonly admin: number;
  readonly control: string;

  constructor(child: Child, ports: { readonly listen: readonly number[]; readonly admin: number }, control: string) {
    this.child = child;
    this.ports = ports.listen;
    this.admin = ports.admin;
    this.control = control;
  }

  get port(): number {
    const [first] = this.ports;
    if (first === undefined) throw new Error('it listens nowhere');
    return first;
  }

  log(): AccessLine[] {
    const lines = this.child.lines().filter((line) => line.startsWith('{'));
    return lines.map((line) => JSON.parse(line) as AccessLine);
  }

  /** Lines from number `from` on; waits for the first that `matches`. */
  async waitForLog(matches: (line: AccessLine) => boolean, from = 0): Promise<AccessLine> {
    const found = await eventually(
      () => this.log().slice(from).find(matches),
      (line) => line !== undefined,
      `no such log line in\n${this.child.transcript()}`,
    );
    if (found === undefined) throw new Error('unreachable: eventually returned without a line');
    return found;
  }

  complaints(): AccessLine[] {
    return this.log().filter((line) => line['level'] === 'error' || line['level'] === 'fatal');
  }
}

function spawnHttp({ mounts, host }: HttpProxyOptions, args: readonly string[]): Child {
  const [command, words] =
    mounts === undefined
      ? [process.execPath, args]
      : ['unshare', ['-m', 'sh', '-ec', `${mounts}\nexec "$@"`, 'sh', process.execPath, ...args]];
  return host === undefined ? new Child(command, words) : host.spawn(command, words);
}

/** Starts one and waits until it listens. */
export async function startHttp(options: HttpProxyOptions = {}): Promise<HttpProxy> {
  const number = ++started;
  const cache = options.cache ?? emptyDirectory(`cache-${number}`);
  const control = path.join(directory, `control-${number}`);
  const listen = (options.listen ?? ['127.0.0.1:0']).flatMap((place) => ['--listen', place]);
  const args = [program('splice-http'), ...listen, '--cache-dir', cache, '--control', control];
  args.push('--admin', '127.0.0.1:0', '--log-format', 'json', '--backend', options.backend ?? 'splice');
  args.push(...(options.args ?? []));
  const child = spawnHttp(options, args);
  try {
    // Behind the last address; what comes on stderr may be here before it.
    await child.waitForOutput(/^try: /m);
    const [, admin] = await child.waitForOutput(/"address":"[^"]*:(\d+)","msg":"admin endpoint open"/);
    const ports = [...child.stdout.matchAll(/^listening on \S*:(\d+)$/gm)].map((match) => Number(match[1]));
    return new HttpProxy(child, { listen: ports, admin: Number(admin) }, control);
  } catch (error) {
    await child.stop();
    throw error;
  }
}

/** Runs splice-http to its end, with these arguments and no others. */
export function runHttp(...args: readonly string[]): Promise<Finished> {
  return new Child(process.execPath, [program('splice-http'), ...args], { input: '' }).exited;
}

/** Runs splice-ctl against a proxy; what it prints. @throws where it fails */
export async function splicectl(proxy: HttpProxy, ...args: readonly string[]): Promise<string> {
  const child = new Child(process.execPath, [program('splice-ctl'), ...args, '--control', proxy.control], {
    input: '',
  });
  const { code, stdout, stderr } = await child.exited;
  if (code !== 0) throw new Error(`splice-ctl ${args.join(' ')} gave ${code}: ${stderr}`);
  return stdout.toString();
}

/** Asks the admin endpoint. */
export async function admin(
  proxy: HttpProxy,
  place: string,
  order?: Readonly<Record<string, unknown>>,
): Promise<{ readonly status: number; readonly text: string }> {
  const response = await fetch(`http://127.0.0.1:${proxy.admin}${place}`, {
    method: order === undefined ? 'GET' : 'POST',
    ...(order !== undefined && {
      body: JSON.stringify(order),
      headers: { 'Content-Type': 'application/json' },
    }),
  });
  return { status: response.status, text: await response.text() };
}

interface StoredPart {
  readonly bytes: number;
  readonly complete: boolean;
  readonly etag?: string;
  readonly filling?: true;
}

/** Waits until `matches` holds of something that is stored for a path; large bodies are stored a moment behind the answer. */
export async function untilStored(
  proxy: HttpProxy,
  place: string,
  matches: (stored: StoredPart) => boolean = ({ complete }) => complete,
): Promise<void> {
  const url = encodeURIComponent(`http://site.example${place}`);
  await eventually(
    async () => (await admin(proxy, `/cache/lookup?url=${url}`)).text,
    (text) => {
      const { stored = [] } = JSON.parse(text) as { stored?: readonly StoredPart[] };
      return stored.some((part) => part.filling !== true && matches(part));
    },
    `${place} is not stored`,
  );
}

export interface HttpGroup {
  readonly origin: Origin;
  readonly proxy: HttpProxy;
  readonly test: (name: string, body: (t: Test) => Promise<void>) => Promise<void>;
}

export interface HttpGroupOptions extends HttpProxyOptions {
  readonly origin?: OriginOptions;
  /** Without `--origin`: for a forward proxy, or where `args` name the origins. */
  readonly noOrigin?: boolean;
  /** Log lines of level error that belong to the test. */
  readonly expected?: (line: AccessLine) => boolean;
}

/** What a proxy may keep for reuse: pipes, open files, descriptors that are opened once. */
const SPARE_DESCRIPTORS = 64;

// The library's own clock covers the whole file; ours covers one test, and the runner's the file.
t.setTimeout(3_600_000);
const TEST_LIMIT_MS = 90_000;

/** One proxy before one origin, and tests of them; what must hold in any case is asked at the end. */
export async function httpGroup(
  name: string,
  options: HttpGroupOptions,
  body: (group: HttpGroup) => Promise<void>,
): Promise<void> {
  const origin = await Origin.start(options.origin);
  const args = [...(options.noOrigin === true ? [] : ['--origin', origin.url]), ...(options.args ?? [])];
  const test: HttpGroup['test'] = async (what, run) => {
    await t.test(`${name}: ${what}`, { timeout: TEST_LIMIT_MS }, run);
  };
  let proxy: HttpProxy | undefined;
  await test('the proxy starts', async (child) => {
    proxy = await startHttp({ ...options, args });
    child.ok(proxy.child.running);
  });
  if (proxy !== undefined) {
    const running = proxy;
    const baseline = running.child.descriptors();
    await body({ origin, proxy: running, test });
    origin.disconnect();
    await test('afterwards the proxy still runs, complained of nothing and kept no descriptor', async (child) => {
      child.ok(running.child.running, `it ended: ${running.child.transcript()}`);
      await eventually(
        () => running.child.descriptors(),
        (count) => count <= baseline + SPARE_DESCRIPTORS,
        `descriptors are not back near ${baseline}`,
        20_000,
      );
      const { expected = () => false } = options;
      child.same(
        running.complaints().filter((line) => !expected(line)),
        [],
      );
      child.same(origin.faults, [], 'the origin understood everything');
    });
    await running.child.stop();
  }
  await origin.close();
}
