/** splice-http as a function, with a server that only remembers what was asked of it. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { httpChecks } from '../../../src/cli/http-checks.js';
import { httpMain } from '../../../src/cli/http-main.js';
import { VERSION } from '../../../src/cli/version.js';
import { askControl } from '../../../src/control/control-client.js';
import { ConfigError } from '../../../src/errors.js';
import { keyOf } from '../../../src/server/config-table.js';
import type { HostPort } from '../../../src/server/config.js';
import type { HttpConfig } from '../../../src/server/http-config.js';
import { HTTP_SETTINGS } from '../../../src/server/http-settings.js';
import type { RunningServer, ServerOptions } from '../../../src/server/server-interface.js';
import { HTTP_SETTING_NAMES } from '../../support/settings.js';
import { SERVER } from '../proxy/origin-certificates.js';
import { fakeEnvironment } from './fake-environment.js';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'symsplice-test-'));
});
afterEach(() => rm(directory, { recursive: true }));

class FakeServer implements RunningServer<HttpConfig> {
  readonly listening: readonly HostPort[];
  readonly backend = { name: 'splice', reason: 'needs no privilege' };
  readonly calls: string[] = [];
  readonly options: ServerOptions<HttpConfig>;
  readonly failed = new Promise<Error>(() => undefined);

  constructor(options: ServerOptions<HttpConfig>) {
    this.options = options;
    const { listen, tlsListen } = options.config;
    this.listening = [...listen, ...tlsListen].map(({ host, port }) => ({ host, port: port || 40_000 }));
  }
  drain() {
    this.calls.push('drain');
    return Promise.resolve();
  }
  stop() {
    this.calls.push('stop');
    return Promise.resolve();
  }
  reload(config: HttpConfig) {
    this.calls.push(`reload ${config.maxPerClient}`);
    return config.maxPerClient === 13 ? Promise.reject(new ConfigError('unlucky')) : Promise.resolve();
  }
  snapshot() {
    return Promise.resolve({ handshakes: 1, descriptors: 2, descriptorLimit: 3, flows: [], packet: undefined });
  }
}

function start(argv: readonly string[]) {
  const environment = fakeEnvironment(argv);
  const started: FakeServer[] = [];
  const exit = httpMain(environment, {
    checks: httpChecks,
    loadServer: () =>
      Promise.resolve({
        start: (options) => {
          const server = new FakeServer(options);
          started.push(server);
          return Promise.resolve(server);
        },
        notify: undefined,
      }),
  });
  return { environment, started, exit };
}

/** Waits until the welcome is printed; a run that ends before that fails the test with what it said. */
async function ready(run: ReturnType<typeof start>): Promise<FakeServer> {
  let ended = false;
  void run.exit.then(() => (ended = true));
  while (!run.environment.out().includes('try: ')) {
    if (ended) throw new Error(`ended early: ${run.environment.err()}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const [server] = run.started;
  if (server === undefined) throw new Error('no server');
  return server;
}

const QUIET = ['--log-level', 'silent', '--no-control'];
const ORIGIN = ['--origin', 'http://127.0.0.1:3000'];

describe('command line', () => {
  test('--help names every flag, sizes, examples, signals and exit codes', async () => {
    const run = start(['--help']);
    expect(await run.exit).toBe(0);
    const help = run.environment.out();
    for (const name of HTTP_SETTING_NAMES.filter((each) => HTTP_SETTINGS[each].fileOnly === undefined)) {
      expect(help).toContain(`--${keyOf(name)}`);
    }
    expect(help).not.toMatch(/^ +--sites/m);
    for (const word of [
      'Sizes:',
      'Examples:',
      'sites:',
      '--forward',
      'purge',
      'SIGHUP',
      'Exit codes',
      '(default: 1g)',
    ]) {
      expect(help).toContain(word);
    }
  });

  test('--version', async () => {
    const run = start(['--version']);
    expect(await run.exit).toBe(0);
    expect(run.environment.out()).toBe(`${VERSION}\n`);
  });

  test('the configuration that --help shows is right', async () => {
    const run = start(['--help']);
    await run.exit;
    const example = /^Two sites, in a file:\n((?: {2}.*\n)+)/m.exec(run.environment.out())?.[1] ?? '';
    const file = join(directory, 'c.yaml');
    await writeFile(file, example.replace(/^ {2}/gm, ''));
    const check = start(['--check', '--config', file]);
    expect(await check.exit).toBe(0);
    expect(check.environment.out()).toContain('listens on [::]:80, 2 site(s), cache ');
  });

  test.each([
    ['nobody to ask', [], /^splice-http: there is nobody to ask: give --origin URL/],
    ['an unknown flag', ['--orgin', 'x'], /unknown option '--orgin'\n\(Did you mean --origin\?\)/],
    ['sites as a flag', ['--sites', 'x'], /unknown option '--sites'/],
    ['a wrong size', [...ORIGIN, '--cache-size', 'big'], /^splice-http: --cache-size: "big" is not a size/],
    ['an open proxy', ['--forward', '--listen', ':1'], /^splice-http: listen: .*--users FILE.*--rules FILE.*--open/],
    [
      'a token that is none',
      [...ORIGIN, '--admin-token', '/dev/null'],
      /^splice-http: \/dev\/null: the first line is no token/,
    ],
  ])('%s is a usage mistake: 2, nothing on stdout', async (_name, argv, message) => {
    const run = start(argv);
    expect(await run.exit).toBe(2);
    expect(run.environment.out()).toBe('');
    expect(run.environment.err()).toMatch(message);
    expect(run.started).toEqual([]);
  });

  test('switches that begin with no', async () => {
    const run = start([...ORIGIN, ...QUIET, '--no-cache', '--no-partial']);
    const { config } = (await ready(run)).options;
    expect(config).toMatchObject({ noCache: true, noPartial: true, noControl: true, control: undefined });
    run.environment.signal('SIGTERM');
    await run.exit;
    const plain = start([...ORIGIN, ...QUIET]);
    expect((await ready(plain)).options.config).toMatchObject({ noCache: false, noPartial: false });
    plain.environment.signal('SIGTERM');
    await plain.exit;
  });
});

describe('welcome', () => {
  test.each<[name: string, argv: string[], lines: string[]]>([
    [
      'an origin',
      [...ORIGIN, '--listen', '0', '--cache-dir', '/c', '--cache-size', '10g'],
      [
        'listening on 127.0.0.1:40000',
        'cache /c, up to 10g on disk and 128m in memory',
        'backend splice: needs no privilege',
        'try: curl -i http://127.0.0.1:40000/',
      ],
    ],
    [
      'TLS only',
      [...ORIGIN, '--tls-listen', ':8443', '--tls-cert', 'c', '--no-cache'],
      [
        'listening on [::]:8443',
        'cache off',
        'backend splice: needs no privilege',
        'try: curl -ik https://127.0.0.1:8443/',
      ],
    ],
    [
      'a forward proxy',
      ['--forward', '--users', '/u', '--no-cache'],
      [
        'listening on 127.0.0.1:8080',
        'cache off',
        'backend splice: needs no privilege',
        'try: curl --proxy http://127.0.0.1:8080 --proxy-user NAME:PASSWORD https://example.com/',
      ],
    ],
  ])('%s', async (_name, argv, lines) => {
    const run = start([...argv, ...QUIET]);
    await ready(run);
    expect(run.environment.out()).toBe(`${lines.join('\n')}\n`);
    run.environment.signal('SIGTERM');
    expect(await run.exit).toBe(0);
  });

  test('sites: a request that one of them answers', async () => {
    const file = join(directory, 'c.yaml');
    await writeFile(file, 'sites: [{host: "*.example.com", path: /api/, origin: "http://127.0.0.1:1"}]');
    const run = start(['--config', file, '--no-cache', ...QUIET]);
    await ready(run);
    expect(run.environment.out()).toContain("try: curl -i -H 'Host: www.example.com' http://127.0.0.1:8080/api/\n");
    run.environment.signal('SIGTERM');
    await run.exit;
  });
});

describe('--check', () => {
  test('all that a configuration names, each although another is wrong', async () => {
    await writeFile(join(directory, 'site.pem'), SERVER.cert + SERVER.key);
    await writeFile(join(directory, 'rules'), '- allow: {user: alice}\n');
    await writeFile(join(directory, 'token'), 'short\n');
    const file = join(directory, 'c.yaml');
    await writeFile(
      file,
      'tls-listen: 8443\ntls-cert: site.pem\nforward: true\nrules: rules\nadmin-token: token\n' +
        'no-cache: true\nsites: [{origin: "https://127.0.0.1", origin-ca: nowhere.pem}]\n',
    );
    const run = start(['--check', '--config', file]);
    expect(await run.exit).toBe(1);
    const lines = run.environment.out().trimEnd().split('\n');
    expect(lines[0]).toBe(
      `configuration ok     ${file}: listens on 127.0.0.1:8443 (TLS), 1 site(s), forward proxy, cache off`,
    );
    expect(lines[1]).toBe(`certificate   ok     ${directory}/site.pem`);
    expect(lines[2]).toMatch(/^rules +ok +.*1 rule\(s\); those that name users never match/);
    expect(lines[3]).toMatch(/^admin-token +wrong +.*token: the first line is no token/);
    expect(lines[4]).toMatch(/^origins +wrong +.*nowhere\.pem: cannot be read \(--origin-ca\)/);
    expect(run.started).toEqual([]);
  });
});

describe('running', () => {
  test('a reload reads the file again, and names the mistake when the server refuses', async () => {
    const control = join(directory, 'c.sock');
    const file = join(directory, 'c.yaml');
    await writeFile(file, 'origin: http://127.0.0.1:1\nno-cache: true\n');
    const run = start(['--config', file, '--control', control, '--log-level', 'silent']);
    const server = await ready(run);
    await writeFile(file, 'origin: http://127.0.0.1:1\nno-cache: true\nmax-per-client: 7\n');
    expect(await askControl(control, 'POST', '/reload')).toMatchObject({ status: 200 });
    await writeFile(file, 'origin: http://127.0.0.1:1\nno-cache: true\nmax-per-client: 13\n');
    expect(await askControl(control, 'POST', '/reload')).toMatchObject({ status: 422, value: { error: 'unlucky' } });
    expect(server.calls).toEqual(['reload 7', 'reload 13']);
    expect((await askControl(control, 'GET', '/stats')).value).toMatchObject({ backend: 'splice', state: 'running' });
    run.environment.signal('SIGTERM');
    expect(await run.exit).toBe(0);
    expect(server.calls.slice(2)).toEqual(['drain', 'stop']);
  });

  test('the token of the admin endpoint changes with a reload, and only with one that succeeds', async () => {
    const port = await freePort();
    const [token, file] = [join(directory, 'token'), join(directory, 'c.yaml')];
    await writeFile(token, 'first-token-of-this-test\n');
    const settings = 'origin: http://127.0.0.1:1\nno-cache: true\nadmin-token: token\n';
    await writeFile(file, settings);
    const run = start(['--config', file, '--admin', `127.0.0.1:${port}`, ...QUIET]);
    const server = await ready(run);
    const status = async (shown: string) => {
      const answer = await fetch(`http://127.0.0.1:${port}/metrics`, { headers: { authorization: `Bearer ${shown}` } });
      await answer.arrayBuffer();
      return answer.status;
    };
    const reloaded = async (count: number) => {
      run.environment.signal('SIGHUP');
      while (server.calls.length < count) await new Promise((resolve) => setImmediate(resolve));
      await new Promise((resolve) => setImmediate(resolve));
    };
    expect([await status('first-token-of-this-test'), await status('')]).toEqual([200, 401]);
    await writeFile(token, 'second-token-of-this-test\n');
    await writeFile(file, `${settings}max-per-client: 13\n`);
    await reloaded(1);
    expect(await status('first-token-of-this-test')).toBe(200);
    await writeFile(file, settings);
    await reloaded(2);
    expect([await status('first-token-of-this-test'), await status('second-token-of-this-test')]).toEqual([401, 200]);
    run.environment.signal('SIGTERM');
    expect(await run.exit).toBe(0);
  });
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
