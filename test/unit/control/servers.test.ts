/** The control socket and the admin endpoint on real sockets: a unix socket in a fresh directory, and 127.0.0.1 port 0. */
import { link, mkdtemp, readdir, rm, stat, unlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { startAdminServer } from '../../../src/control/admin-server.js';
import { askControl } from '../../../src/control/control-client.js';
import { startControlServer } from '../../../src/control/control-server.js';
import type { ControlActions, StatsAnswer } from '../../../src/control/control-server.js';
import { Metrics } from '../../../src/control/metrics.js';
import { ConfigError } from '../../../src/errors.js';

const STATS: StatsAnswer = {
  pid: 7,
  version: '1',
  state: 'running',
  uptimeMs: 1,
  listening: ['127.0.0.1:1080'],
  backend: 'splice',
  backendReason: 'why',
  flows: 0,
  handshakes: 0,
  descriptors: 0,
  descriptorLimit: 0,
  totals: await new Metrics('1').totals(),
};

let directory: string;
let open: { close(): Promise<void> }[];
const failures: unknown[] = [];
const failed = (error: unknown) => void failures.push(error);

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'symsplice-test-'));
  open = [];
  failures.length = 0;
});
afterEach(async () => {
  await Promise.all(open.map((server) => server.close()));
  await rm(directory, { recursive: true });
});

function actions(part: Partial<ControlActions> = {}): ControlActions {
  return {
    flows: () => ({ pid: 7, flows: [] }),
    stats: () => STATS,
    draining: () => false,
    drain: () => undefined,
    reload: () => Promise.resolve(),
    ...part,
  };
}

async function control(part: Partial<ControlActions> = {}, name = 'c.sock') {
  const server = await startControlServer({ path: join(directory, name), actions: actions(part), failed });
  open.push(server);
  return server;
}

describe('control socket', () => {
  test('answers what it is asked', async () => {
    const calls: string[] = [];
    const { path } = await control({
      drain: () => void calls.push('drain'),
      reload: () => Promise.resolve(void calls.push('reload')),
    });
    expect(await askControl(path, 'GET', '/flows')).toEqual({ status: 200, value: { pid: 7, flows: [] } });
    expect(await askControl(path, 'GET', '/stats')).toEqual({ status: 200, value: STATS });
    expect(await askControl(path, 'GET', '/health')).toEqual({ status: 200, value: { status: 'ok' } });
    expect(calls).toEqual([]);
    expect(await askControl(path, 'POST', '/drain')).toEqual({ status: 202, value: { status: 'draining' } });
    expect(await askControl(path, 'POST', '/reload')).toEqual({ status: 200, value: { status: 'reloaded' } });
    expect(calls).toEqual(['drain', 'reload']);
  });

  test('reading a verb changes nothing, and says what would', async () => {
    const calls: string[] = [];
    const { path } = await control({ drain: () => void calls.push('drain') });
    await expect(askControl(path, 'GET', '/drain')).rejects.toThrow(/not JSON/);
    expect(calls).toEqual([]);
  });

  test('a mistake in the configuration comes back as such; anything else is logged, not shown', async () => {
    const { path } = await control({
      reload: () => Promise.reject(new ConfigError('bad', { file: 'f', line: 3 })),
      flows: () => {
        throw new Error('internals');
      },
    });
    expect(await askControl(path, 'POST', '/reload')).toEqual({
      status: 422,
      value: { status: 'unchanged', error: 'f:3: bad' },
    });
    await expect(askControl(path, 'GET', '/flows')).rejects.toThrow(/not JSON/);
    expect(failures).toEqual([new Error('internals')]);
  });

  test('health says when it drains', async () => {
    const { path } = await control({ draining: () => true });
    expect(await askControl(path, 'GET', '/health')).toEqual({ status: 503, value: { status: 'draining' } });
  });

  test('is only for its owner, and leaves nothing behind', async () => {
    const server = await control();
    expect((await stat(server.path)).mode & 0o777).toBe(0o600);
    expect(await readdir(directory)).toEqual(['c.sock']);
    await server.close();
    open = [];
    expect(await readdir(directory)).toEqual([]);
  });

  test('a living socket is never stolen', async () => {
    const { path } = await control();
    await expect(control()).rejects.toThrow(/c\.sock: another process listens there; .*--control/);
    expect(await askControl(path, 'GET', '/health')).toMatchObject({ status: 200 });
    expect(await readdir(directory)).toEqual(['c.sock']);
  });

  test('a dead one is replaced', async () => {
    await leaveDeadSocket(join(directory, 'c.sock'));
    const { path } = await control();
    expect(await askControl(path, 'GET', '/health')).toMatchObject({ status: 200 });
    expect(await readdir(directory)).toEqual(['c.sock']);
  });

  test('a file that is no socket is never replaced', async () => {
    await writeFile(join(directory, 'c.sock'), 'mine');
    await expect(control()).rejects.toThrow(/exists and is not a socket/);
    expect(await readdir(directory)).toEqual(['c.sock']);
  });

  test('a path that the kernel would cut off is refused', async () => {
    await expect(control({}, 'x'.repeat(108))).rejects.toThrow(/longer than 107 bytes/);
  });

  test('a directory that is not there is named', async () => {
    await expect(control({}, 'no/c.sock')).rejects.toMatchObject({ code: 'ERR_SPLICE_LISTEN' });
  });

  test('of many that start at once on a dead socket, exactly one gets it', async () => {
    await leaveDeadSocket(join(directory, 'c.sock'));
    const results = await Promise.allSettled(Array.from({ length: 8 }, () => control()));
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(await askControl(join(directory, 'c.sock'), 'GET', '/health')).toMatchObject({ status: 200 });
    expect(await readdir(directory)).toEqual(['c.sock']);
  });
});

describe('admin endpoint', () => {
  async function admin(draining = false) {
    const metrics = new Metrics('1');
    const server = await startAdminServer({
      address: { host: '127.0.0.1', port: 0 },
      metrics,
      draining: () => draining,
      failed,
    });
    open.push(server);
    return { metrics, url: `http://127.0.0.1:${server.address.port}` };
  }

  test('metrics', async () => {
    const { metrics, url } = await admin();
    metrics.accepted();
    const response = await fetch(`${url}/metrics`);
    expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
    expect(await response.text()).toContain('\nsymsplice_connections_accepted_total 1\n');
  });

  test('health', async () => {
    expect((await fetch(`${(await admin()).url}/health`)).status).toBe(200);
    const draining = await fetch(`${(await admin(true)).url}/health`);
    expect([draining.status, await draining.json()]).toEqual([503, { status: 'draining' }]);
  });

  test('index, HEAD, query, unknown paths, other methods', async () => {
    const { url } = await admin();
    expect(await (await fetch(`${url}/`)).text()).toContain('/metrics');
    const head = await fetch(`${url}/health`, { method: 'HEAD' });
    expect([head.status, await head.text()]).toEqual([200, '']);
    expect((await fetch(`${url}/health?x=1`)).status).toBe(200);
    expect((await fetch(`${url}/constructor`)).status).toBe(404);
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
      const response = await fetch(`${url}/metrics`, { method });
      expect([response.status, response.headers.get('allow')], method).toEqual([405, 'GET, HEAD']);
    }
  });

  test('an address in use is named, with the way out', async () => {
    const blocker = createServer();
    await new Promise<void>((resolve) => blocker.listen(0, '127.0.0.1', resolve));
    const { port } = blocker.address() as AddressInfo;
    const start = startAdminServer({
      address: { host: '127.0.0.1', port },
      metrics: new Metrics('1'),
      draining: () => false,
      failed,
    });
    await expect(start).rejects.toThrow(new RegExp(`admin endpoint 127.0.0.1:${port}: .*EADDRINUSE.*--admin`));
    await new Promise((resolve) => blocker.close(resolve));
  });
});

/** A socket file without a listener, as a killed process leaves it. */
async function leaveDeadSocket(path: string): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(`${path}.tmp`, resolve));
  await link(`${path}.tmp`, path);
  await new Promise((resolve) => server.close(resolve));
  await unlink(`${path}.tmp`).catch(() => undefined);
}
