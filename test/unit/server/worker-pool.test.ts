/**
 * A server on several real threads, over the loopback. The threads run dist/, because Node loads no TypeScript into
 * them: build before. Where a client ends up is the kernel's choice, so that tests open so many that each worker has
 * some for all practical purposes (32 in one of two workers: one in 2^31).
 */
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import pino from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { Metrics } from '../../../src/control/metrics.js';
import { ConfigError, SpliceError } from '../../../src/errors.js';
import { native } from '../../../src/native.js';
import { loadConfig, type FlagValues } from '../../../src/server/config.js';
import type { InheritedSocket } from '../../../src/server/systemd.js';
import type { RunningServer } from '../../../src/server/server-interface.js';
import { startSocksServer } from '../../../src/server/socks-start.js';
import { hashPassword } from '../../../src/socks/users.js';

const FLAGS = { listen: ['0'], workers: '2', logLevel: 'silent', backend: 'splice' };

let directory: string;
let echo: Server;
let target: number;
let pools: RunningServer[];
let clients: Socket[];
let threads: Worker[];
const remember = (thread: Worker) => void threads.push(thread);

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'symsplice-test-'));
  echo = createServer({ allowHalfOpen: true }, (socket) => socket.on('error', () => undefined).pipe(socket));
  await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve));
  target = (echo.address() as AddressInfo).port;
});
afterAll(async () => {
  await new Promise((resolve) => echo.close(resolve));
  await rm(directory, { recursive: true });
});
beforeEach(() => {
  pools = [];
  clients = [];
  threads = [];
  process.on('worker', remember);
});
afterEach(async () => {
  for (const client of clients) client.resetAndDestroy();
  await Promise.all(pools.map((pool) => pool.stop()));
  process.off('worker', remember);
});

async function start(flags: FlagValues = {}, inherited: readonly InheritedSocket[] = []) {
  const config = await loadConfig({ ...FLAGS, ...flags });
  const metrics = new Metrics('1');
  const reload = () => Promise.resolve(config);
  const pool = await startSocksServer({ config, logger: pino({ level: 'silent' }), metrics, reload, inherited });
  pools.push(pool);
  metrics.attach(() => pool.snapshot());
  const port = pool.listening[0]?.port ?? 0;
  return { pool, metrics, config, port };
}

type How = { host?: string; localAddress?: string; user?: string };

/** Resolves with the reply's code when the proxy has answered, or with what ended the connection. */
function open(
  port: number,
  { host = '127.0.0.1', localAddress, user }: How = {},
): { client: Socket; reply: Promise<number | 'closed'> } {
  const client = connect({ host, port, noDelay: true, ...(localAddress !== undefined && { localAddress }) });
  clients.push(client);
  const greeting =
    user === undefined ? [5, 1, 0] : [5, 1, 2, 1, user.length, ...Buffer.from(user), 1, 'p'.charCodeAt(0)];
  client.write(Buffer.from([...greeting, 5, 1, 0, 1, 127, 0, 0, 1, target >> 8, target & 255]));
  const before = user === undefined ? 2 : 4;
  const reply = new Promise<number | 'closed'>((resolve) => {
    let heard = Buffer.alloc(0);
    const hear = (bytes: Buffer) => {
      heard = Buffer.concat([heard, bytes]);
      if (heard.length < before + 10) return;
      client.off('data', hear);
      resolve(heard[before + 1] ?? -1);
    };
    client.on('data', hear);
    client.on('error', () => resolve('closed'));
    client.on('close', () => resolve('closed'));
  });
  return { client, reply };
}

const openMany = (count: number, port: number, how?: How) => Array.from({ length: count }, () => open(port, how));

/** Which workers have how many of the live flows. */
async function spread(pool: RunningServer): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (const { id } of (await pool.snapshot()).flows) {
    const worker = id.split('-')[0] ?? '';
    counts.set(worker, (counts.get(worker) ?? 0) + 1);
  }
  return counts;
}

/** Asks again until it is so; the test's own timeout is the limit. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setImmediate(resolve));
}

const descriptors = () => readdirSync('/proc/self/fd').length;

test('clients are spread, bytes flow, flows are listed with ids of their own, metrics add up', async () => {
  const { pool, metrics, port } = await start();
  const opened = openMany(32, port);
  expect(await Promise.all(opened.map(({ reply }) => reply))).toEqual(Array(32).fill(0));
  for (const { client } of opened) {
    client.write('hello');
    expect(String((await once(client, 'data'))[0])).toBe('hello');
  }
  const { flows } = await pool.snapshot();
  expect(new Set(flows.map(({ id }) => id)).size).toBe(32);
  expect([...(await spread(pool)).keys()].sort()).toEqual(['1', '2']);
  expect(flows.every(({ bytesUp, bytesDown }) => bytesUp === 5 && bytesDown === 5)).toBe(true);
  const whileLive = await metrics.totals();
  expect(whileLive).toMatchObject({ accepted: 32, flowsOpened: 32, flowsClosed: 0, bytesUp: 160, bytesDown: 160 });
  for (const { client } of opened) client.end();
  await until(async () => (await pool.snapshot()).flows.length === 0);
  expect(await metrics.totals()).toMatchObject({ accepted: 32, flowsClosed: 32, bytesUp: 160, bytesDown: 160 });
  expect(await metrics.registry.metrics()).toContain('symsplice_flow_duration_seconds_count 32\n');
});

test('who asks while an answer is under way gets the same one', async () => {
  const { pool } = await start();
  expect(pool.snapshot()).toBe(pool.snapshot());
  const snapshot = await pool.snapshot();
  expect(snapshot).toMatchObject({ handshakes: 0, flows: [] });
  expect(snapshot.descriptors).toBeGreaterThan(10);
});

test('max-connections is exact over all workers, and a place that becomes free goes to whoever waits, wherever', async () => {
  const { pool, metrics, port } = await start({ maxConnections: '10' });
  let served = 0;
  let left = 0;
  const serving: Socket[] = [];
  for (const { client, reply } of openMany(48, port)) {
    void reply.then((code) => {
      if (code !== 0) return;
      served++;
      serving.push(client);
    });
  }
  for (let round = 0; round < 39; round++) {
    await until(() => Promise.resolve(served === 10 + left));
    // Each snapshot is a turn of every worker's event loop: room for one too many, if there were any.
    for (let turn = 0; turn < 3; turn++) expect((await pool.snapshot()).flows.length).toBeLessThanOrEqual(10);
    expect((await metrics.totals()).accepted).toBe(10 + left);
    if (left === 38) break;
    left++;
    serving.shift()?.resetAndDestroy();
  }
  expect(served).toBe(48);
});

test('max-per-client is exact over all workers', async () => {
  const { port } = await start({ maxPerClient: '10' });
  const codes = await Promise.all(openMany(40, port).map(({ reply }) => reply));
  expect(codes.filter((code) => code === 0)).toHaveLength(10);
  expect(codes.filter((code) => code === 'closed')).toHaveLength(30);
  expect(await open(port, { localAddress: '127.0.0.2' }).reply).toBe(0);
});

test('max-per-user is exact over all workers', async () => {
  const users = join(directory, 'users');
  await writeFile(users, `ann:${await hashPassword('p', { ln: 10, r: 8, p: 1 })}\n`);
  const { metrics, port } = await start({ users, maxPerUser: '3' });
  const codes = await Promise.all(openMany(24, port, { user: 'ann' }).map(({ reply }) => reply));
  expect(codes.filter((code) => code === 0)).toHaveLength(3);
  expect(codes.filter((code) => code === 1)).toHaveLength(21);
  expect(await metrics.totals()).toMatchObject({ limited: 21 });
});

test('a raised limit lets in who waits in any worker', async () => {
  const { pool, port } = await start({ maxConnections: '1' });
  const opened = openMany(32, port);
  await Promise.race(opened.map(({ reply }) => reply));
  await pool.reload(await loadConfig({ ...FLAGS, maxConnections: '0' }));
  expect(await Promise.all(opened.map(({ reply }) => reply))).toEqual(Array(32).fill(0));
});

test('a drain stops listening in every worker and waits for the last flow of all', async () => {
  const { pool, port } = await start();
  const opened = openMany(32, port);
  await Promise.all(opened.map(({ reply }) => reply));
  let drained = false;
  const drain = pool.drain().then(() => (drained = true));
  await pool.snapshot();
  for (let attempt = 0; attempt < 8; attempt++) expect(await open(port).reply).toBe('closed');
  const [last, ...others] = opened;
  for (const { client } of others) client.end();
  await until(async () => (await pool.snapshot()).flows.length === 1);
  expect(drained).toBe(false);
  last?.client.write('still here');
  expect(String((await once(last?.client ?? echo, 'data'))[0])).toBe('still here');
  last?.client.end();
  await drain;
});

test('a stop ends every flow, also in a drain, and leaves no thread and no descriptor behind', async () => {
  // What the first use of the machinery keeps for good is not ours to count.
  await (await start()).pool.stop();
  threads = [];
  const before = descriptors();
  const { pool, metrics, port } = await start();
  const opened = openMany(16, port);
  await Promise.all(opened.map(({ reply }) => reply));
  const closed = opened.map(({ client }) => new Promise((resolve) => client.once('close', resolve)));
  const drain = pool.drain();
  await Promise.all([pool.stop(), pool.stop(), ...closed]);
  await drain;
  expect(await metrics.totals()).toMatchObject({ accepted: 16, flowsOpened: 16, flowsClosed: 16 });
  expect(threads.map(({ threadId }) => threadId)).toEqual([-1, -1]);
  await until(() => Promise.resolve(descriptors() <= before));
});

test('a reload with a mistake changes nothing anywhere; one without is used everywhere', async () => {
  const rules = join(directory, 'rules.yaml');
  await writeFile(rules, '- allow: {}\n');
  const { pool, port, config } = await start({ rules });
  await writeFile(rules, '- allow: {}\n- forbid: {}\n');
  const failure = await pool.reload(config).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(ConfigError);
  expect((failure as Error).message).toMatch(/rules\.yaml:2: /);
  const still = await Promise.all(openMany(32, port).map(({ reply }) => reply));
  expect(still).toEqual(Array(32).fill(0));
  await writeFile(rules, '- deny: {}\n');
  await pool.reload(config);
  const denied = await Promise.all(openMany(32, port).map(({ reply }) => reply));
  expect(denied).toEqual(Array(32).fill(2));
});

test('port 0 is resolved once for all workers, for each address', async () => {
  const { pool } = await start({ listen: ['127.0.0.1:0', '127.0.0.2:0'] });
  const [first, second] = pool.listening;
  expect(first?.host).toBe('127.0.0.1');
  expect(second?.host).toBe('127.0.0.2');
  const opened = [...openMany(32, first?.port ?? 0), ...openMany(32, second?.port ?? 0, { host: '127.0.0.2' })];
  expect(await Promise.all(opened.map(({ reply }) => reply))).toEqual(Array(64).fill(0));
  expect([...(await spread(pool)).values()].reduce((sum, count) => sum + count)).toBe(64);
});

test('sockets of systemd are shared by all workers, and end with them', async () => {
  const fd = native().listen('127.0.0.1', 0, 16, false);
  const { pool, port } = await start({}, [{ fd, name: 'socks' }]);
  expect(await Promise.all(openMany(8, port).map(({ reply }) => reply))).toEqual(Array(8).fill(0));
  await pool.stop();
  expect(await open(port).reply).toBe('closed');
});

test('an address that another process could share is refused all the same', async () => {
  const { port } = await start();
  const failure = await start({ listen: [String(port)] }).catch((error: unknown) => error);
  expect(failure).toMatchObject({
    code: 'ERR_SPLICE_LISTEN',
    message: expect.stringContaining('another process listens'),
  });
});

test('a start that fails, early or in the workers, leaves nothing behind', async () => {
  await (await start()).pool.stop();
  threads = [];
  const before = descriptors();
  const port = (echo.address() as AddressInfo).port;
  await expect(start({ listen: ['0', String(port)] })).rejects.toThrow(SpliceError);
  expect(threads).toEqual([]);
  await expect(start({ users: join(directory, 'absent') })).rejects.toThrow(ConfigError);
  await expect(start({ backend: 'module' })).rejects.toMatchObject({ code: 'ERR_SPLICE_BACKEND' });
  expect(threads.map(({ threadId }) => threadId)).toEqual([-1, -1, -1, -1]);
  await until(() => Promise.resolve(descriptors() <= before));
});

test('a worker that dies is told of, and the others can still be stopped', async () => {
  const { pool, port } = await start();
  await Promise.all(openMany(8, port).map(({ reply }) => reply));
  await threads[0]?.terminate();
  const error = await pool.failed;
  expect(error.message).toBe('worker 1 has died: exit code 1');
  await expect(pool.drain()).rejects.toThrow('worker 1 has died');
  await expect(pool.reload(await loadConfig(FLAGS))).rejects.toThrow('worker 1 has died');
  expect((await pool.snapshot()).flows.length).toBeLessThanOrEqual(8);
  await pool.stop();
  expect(threads.map(({ threadId }) => threadId)).toEqual([-1, -1]);
});

test('a pool that is stopped has not failed', async () => {
  const { pool } = await start();
  let failed = false;
  void pool.failed.then(() => (failed = true));
  await pool.stop();
  await new Promise((resolve) => setImmediate(resolve));
  expect(failed).toBe(false);
});
