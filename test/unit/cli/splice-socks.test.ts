/** splice-socks as a function, with a server that only remembers what was asked of it. */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { socksMain } from '../../../src/cli/socks-main.js';
import type { SocksParts } from '../../../src/cli/socks-main.js';
import { VERSION } from '../../../src/cli/version.js';
import { askControl } from '../../../src/control/control-client.js';
import { BackendUnavailableError, ConfigError } from '../../../src/errors.js';
import { keyOf } from '../../../src/server/config-settings.js';
import type { HostPort } from '../../../src/server/config.js';
import type { RunningServer, ServerOptions } from '../../../src/server/server-interface.js';
import { SETTING_NAMES } from '../../support/settings.js';
import { fakeEnvironment } from './fake-environment.js';

let directory: string;
let control: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'symsplice-test-'));
  control = join(directory, 'c.sock');
});
afterEach(() => rm(directory, { recursive: true }));

class FakeServer implements RunningServer {
  listening: HostPort[] = [];
  readonly backend = { name: 'splice', reason: 'packet refused: no CAP_BPF' };
  readonly calls: string[] = [];
  readonly options: ServerOptions;
  fail: (error: Error) => void = () => undefined;
  readonly failed = new Promise<Error>((resolve) => (this.fail = resolve));

  constructor(options: ServerOptions) {
    this.options = options;
    this.listening = options.config.listen.map(({ host, port }) => ({ host, port: port || 40000 }));
  }
  drain() {
    this.calls.push('drain');
    return Promise.resolve();
  }
  stop() {
    this.calls.push('stop');
    return Promise.resolve();
  }
  reload() {
    this.calls.push('reload');
    return Promise.resolve();
  }
  snapshot() {
    return Promise.resolve({ handshakes: 1, descriptors: 2, descriptorLimit: 3, flows: [], packet: undefined });
  }
}

function start(argv: readonly string[], part: { failing?: Error; env?: Record<string, string> } = {}) {
  const environment = fakeEnvironment(argv, { env: { ...part.env } });
  const started: FakeServer[] = [];
  const sent: string[] = [];
  const parts: SocksParts = {
    checks: {
      users: (path) =>
        path.endsWith('good')
          ? Promise.resolve('2 user(s)')
          : Promise.reject(new ConfigError('bad', { file: path, line: 4 })),
      rules: () => Promise.resolve('1 rule(s)'),
    },
    loadServer: () =>
      Promise.resolve({
        start: (options) => {
          if (part.failing !== undefined) return Promise.reject(part.failing);
          const server = new FakeServer(options);
          started.push(server);
          return Promise.resolve(server);
        },
        notify: (path, message) => void sent.push(`${path} ${message}`),
      }),
  };
  return { environment, started, sent, exit: socksMain(environment, parts) };
}

/** Waits until the welcome is printed; a run that ends before that fails the test with what it said. */
async function ready(run: ReturnType<typeof start>): Promise<FakeServer> {
  let ended = false;
  void run.exit.then(() => (ended = true));
  while (!run.environment.out().includes('try: ')) {
    if (ended) throw new Error(`ended early: ${run.environment.err()}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const server = run.started[0];
  if (server === undefined) throw new Error('no server');
  return server;
}

const QUIET = ['--log-level', 'silent'];

describe('command line', () => {
  test('--help names every flag, the signals and the exit codes', async () => {
    const run = start(['--help']);
    expect(await run.exit).toBe(0);
    for (const name of SETTING_NAMES) expect(run.environment.out()).toContain(`--${keyOf(name)}`);
    for (const word of ['Examples:', 'SIGHUP', 'Exit codes', '(default: 1h)', '--listen <[HOST:]PORT>']) {
      expect(run.environment.out()).toContain(word);
    }
  });

  test('--version', async () => {
    const run = start(['--version']);
    expect(await run.exit).toBe(0);
    expect(run.environment.out()).toBe(`${VERSION}\n`);
    expect(VERSION).toMatch(/^\d+\.\d+\.\d+/);
  });

  test.each([
    ['an unknown flag', ['--lisen', '1'], /unknown option '--lisen'\n\(Did you mean --listen\?\)/],
    ['a flag without its value', ['--users'], /argument missing/],
    ['a word too many', ['1080'], /too many arguments/],
    ['a wrong value', ['--listen', '99999'], /^splice-socks: --listen: "99999" has no port/],
    ['a public address', ['--listen', '0.0.0.0:1'], /^splice-socks: listen: .*--users FILE.*--rules FILE.*--open/],
    ['a file that is not there', ['--config', '/nonexistent/c'], /^splice-socks: \/nonexistent\/c: cannot be read/],
  ])('%s is a usage mistake: 2, nothing on stdout, no stack', async (_name, argv, message) => {
    const run = start(argv);
    expect(await run.exit).toBe(2);
    expect(run.environment.out()).toBe('');
    expect(run.environment.err()).toMatch(message);
    expect(run.environment.err()).not.toMatch(/\n\s+at /);
    expect(run.started).toEqual([]);
  });

  test('every mistake gets a line', async () => {
    const run = start(['--listen', 'x', '--idle-timeout', 'y']);
    expect(await run.exit).toBe(2);
    expect(
      run.environment
        .err()
        .trimEnd()
        .split('\n')
        .map((line) => line.slice(0, 20)),
    ).toEqual(['splice-socks: --list', 'splice-socks: --idle']);
  });

  test('a server that cannot start: 1 and one line; the stack only with --log-level debug', async () => {
    const failing = new BackendUnavailableError('packet', 'no CAP_BPF');
    const run = start(['--no-control'], { failing });
    expect(await run.exit).toBe(1);
    expect(run.environment.err()).toBe('splice-socks: backend "packet" cannot be used: no CAP_BPF\n');
    const loud = start(['--no-control', '--log-level', 'debug'], { failing });
    expect(await loud.exit).toBe(1);
    expect(loud.environment.err()).toMatch(/\n\s+at /);
  });
});

describe('--check', () => {
  test('all well', async () => {
    const file = join(directory, 'c.yaml');
    await writeFile(file, 'users: good\nrules: r\nlisten: ":1080"\n');
    const run = start(['--check', '--config', file]);
    expect(await run.exit).toBe(0);
    expect(run.environment.out()).toBe(
      `configuration ok     ${file}: listens on [::]:1080, backend auto\n` +
        `users         ok     ${join(directory, 'good')}: 2 user(s)\n` +
        `rules         ok     ${join(directory, 'r')}: 1 rule(s)\n`,
    );
    expect(run.started).toEqual([]);
  });

  test('a wrong users file does not hide the rules', async () => {
    const run = start(['--check', '--users', '/x/bad', '--rules', '/x/r']);
    expect(await run.exit).toBe(1);
    expect(run.environment.out()).toMatch(/^users +wrong +\/x\/bad:4: bad$/m);
    expect(run.environment.out()).toMatch(/^rules +ok +\/x\/r: 1 rule/m);
  });

  test('every mistake of the configuration', async () => {
    const file = join(directory, 'c.yaml');
    await writeFile(file, 'lisen: 1\nbackend: x\n');
    const run = start(['--check', '--config', file]);
    expect(await run.exit).toBe(1);
    expect(run.environment.out().match(/^configuration wrong {2}.*c\.yaml:[12]: /gm)).toHaveLength(2);
  });
});

describe('running', () => {
  test('says where it listens, the backend with the reason, and a line to try', async () => {
    const run = start(['--listen', '0', '--listen', '[::1]:1081', '--no-control', ...QUIET]);
    await ready(run);
    expect(run.environment.out()).toBe(
      'listening on 127.0.0.1:40000\nlistening on [::1]:1081\n' +
        'backend splice: packet refused: no CAP_BPF\n' +
        'try: curl --socks5-hostname 127.0.0.1:40000 https://example.com/\n',
    );
    run.environment.signal('SIGTERM');
    expect(await run.exit).toBe(0);
  });

  test('the line to try can be tried: wildcard and password', async () => {
    const run = start(['--listen', ':1080', '--users', '/u', '--no-control', ...QUIET]);
    await ready(run);
    expect(run.environment.out()).toContain('listening on [::]:1080\n');
    expect(run.environment.out()).toContain('curl --socks5-hostname 127.0.0.1:1080 --proxy-user NAME:PASSWORD https');
    run.environment.signal('SIGINT');
    expect(await run.exit).toBe(0);
  });

  test('SIGHUP reloads, SIGTERM drains and stops, the control socket goes', async () => {
    const run = start(['--control', control, ...QUIET]);
    const server = await ready(run);
    expect(await readdir(directory)).toEqual(['c.sock']);
    run.environment.signal('SIGHUP');
    while (!server.calls.includes('reload')) await new Promise((resolve) => setImmediate(resolve));
    run.environment.signal('SIGTERM');
    expect(await run.exit).toBe(0);
    expect(server.calls).toEqual(['reload', 'drain', 'stop']);
    expect(await readdir(directory)).toEqual([]);
  });

  test('the control socket answers, reloads and drains', async () => {
    const run = start(['--control', control, ...QUIET]);
    const server = await ready(run);
    const { value } = await askControl(control, 'GET', '/stats');
    expect(value).toMatchObject({ version: VERSION, state: 'running', backend: 'splice', handshakes: 1, flows: 0 });
    expect(await askControl(control, 'POST', '/reload')).toMatchObject({ status: 200 });
    expect(await askControl(control, 'POST', '/drain')).toMatchObject({ status: 202 });
    expect(await run.exit).toBe(0);
    expect(server.calls).toEqual(['reload', 'drain', 'stop']);
  });

  test('a reload reads the file again, and the flags still win', async () => {
    const file = join(directory, 'c.yaml');
    await writeFile(file, 'idle-timeout: 1m\nmax-per-client: 1\n');
    const run = start(['--config', file, '--max-per-client', '9', '--no-control', ...QUIET]);
    const server = await ready(run);
    await writeFile(file, 'idle-timeout: 2m\nmax-per-client: 2\n');
    expect(await server.options.reload()).toMatchObject({ idleTimeout: 120_000, maxPerClient: 9 });
    await writeFile(file, 'idle-timeout: never\n');
    await expect(server.options.reload()).rejects.toThrow(/c\.yaml:1: idle-timeout/);
    run.environment.signal('SIGTERM');
    await run.exit;
  });

  test('a server that fails while it runs is stopped without a drain, and the exit code tells', async () => {
    const run = start(['--control', control, ...QUIET]);
    const server = await ready(run);
    server.fail(new Error('worker 2 has died'));
    expect(await run.exit).toBe(1);
    expect(server.calls).toEqual(['stop']);
    expect(await readdir(directory)).toEqual([]);
  });

  test('systemd is told, and its sockets are handed on', async () => {
    const env = { NOTIFY_SOCKET: '/n', LISTEN_FDS: '1', LISTEN_PID: String(process.pid), LISTEN_FDNAMES: 'socks' };
    const run = start(['--no-control', ...QUIET], { env });
    const server = await ready(run);
    expect(server.options.inherited).toEqual([{ fd: 3, name: 'socks' }]);
    run.environment.signal('SIGTERM');
    expect(await run.exit).toBe(0);
    expect(run.sent).toEqual([
      '/n READY=1\nSTATUS=listening on 127.0.0.1:1080, backend splice',
      '/n STOPPING=1\nSTATUS=draining',
    ]);
  });

  test('the admin endpoint serves the metrics of this server, and is closed at the end', async () => {
    const port = await freePort();
    const run = start(['--admin', `127.0.0.1:${port}`, '--no-control', ...QUIET]);
    await ready(run);
    expect(await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()).toContain('symsplice_handshakes 1\n');
    run.environment.signal('SIGTERM');
    expect(await run.exit).toBe(0);
    await expect(fetch(`http://127.0.0.1:${port}/health`)).rejects.toThrow();
  });

  test('an endpoint that was asked for and cannot be opened stops everything again', async () => {
    await writeFile(control, 'not a socket');
    const run = start(['--control', control, ...QUIET]);
    expect(await run.exit).toBe(1);
    expect(run.environment.err()).toMatch(
      /^splice-socks: control socket .*c\.sock: the file exists and is not a socket/,
    );
    expect(run.environment.out()).toBe('');
    expect(run.started[0]?.calls).toEqual(['stop']);
  });
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
