/** The load generator against its own server: modes, threads, mixture, percentiles, limits. */
import net from 'node:net';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import type { LoadMode } from '../../../src/bench/model.js';
import { Child } from '../../support/children.js';
import { join, LoadProgram, Peer } from './load-program.js';

let load: LoadProgram;
let port: number;
beforeAll(async () => {
  load = new LoadProgram();
  port = await load.serve('--threads', '2');
});
afterAll(() => load.close());

const KIB = 1024;
const MIB = 1024 * KIB;

describe.each([1, 3])('with --threads %d', (threads) => {
  const run = (mode: LoadMode, ...args: string[]): ReturnType<LoadProgram['run']> =>
    load.run(mode, port, '--connections', '5', '--threads', String(threads), ...args);

  test.each(['download', 'upload'] as const)('%s moves exactly what was asked for', async (mode) => {
    const result = await run(mode, '--bytes', '3000001');
    expect(result).toMatchObject({ mode, via: 'direct', connections: 5, bytes: 5 * 3_000_001, clean: true });
    expect(result.gbps).toBeGreaterThan(0);
    expect(result.handshakeUs.count).toBe(5);
  });

  test.each(['ping', 'small', 'connect', 'fetch', 'mixed'] as const)('%s does --count operations', async (mode) => {
    const result = await run(mode, '--count', '50');
    expect(result).toMatchObject({ mode, errors: 0, corrupt: 0, firstError: '', clean: true });
    expect(result.operations).toBeGreaterThanOrEqual(50);
    expect(result.latencyUs.count).toBe(mode === 'small' ? 0 : result.operations);
    expect(result.responseUs?.count).toBe(mode === 'fetch' || mode === 'mixed' ? result.operations : undefined);
  });

  test.each(['download', 'upload', 'ping', 'small', 'connect', 'fetch', 'idle', 'mixed'] as const)(
    '%s for a time ends clean',
    async (mode) => {
      const result = await run(mode, '--seconds', '0.1', '--warmup', '0.05', '--announce');
      expect(result).toMatchObject({ mode, errors: 0, corrupt: 0, clean: true });
      expect(result.seconds).toBeGreaterThanOrEqual(0.1);
      if (mode === 'download' || mode === 'upload') expect(result.bytes).toBeGreaterThan(0);
      else if (mode !== 'idle') expect(result.operations).toBeGreaterThan(0);
    },
  );
});

test('fetch gets responses of the size that was asked for', async () => {
  const result = await load.run('fetch', port, '--count', '10', '--size', String(100 * KIB));
  expect(result).toMatchObject({ operations: 10, bytes: 10 * 100 * KIB, clean: true });
});

test('threads beyond the connections are not started', async () => {
  expect(await load.run('ping', port, '--count', '3', '--threads', '64')).toMatchObject({ operations: 3, clean: true });
});

/** The sizes that a run of one connection asks for, as a relay sees them. */
async function sizesOfMixture(count: number): Promise<number[]> {
  const sizes: number[] = [];
  const relay = await Peer.listen((socket) => {
    const server = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    socket.once('data', (data) => {
      sizes.push(Number(data.readBigUInt64LE(8)));
      server.write(data);
      join(socket, server);
    });
  });
  try {
    expect(await load.run('mixed', relay.port, '--count', String(count))).toMatchObject({ clean: true });
  } finally {
    await relay.close();
  }
  return sizes.slice(0, count);
}

test('mixed draws the same row of sizes every time, from the classes that bench/README.md promises', async () => {
  const sizes = await sizesOfMixture(400);
  const shares = [
    [1 * KIB, 16 * KIB, 0.6],
    [64 * KIB, 256 * KIB, 0.3],
    [1 * MIB, 4 * MIB, 0.09],
    [16 * MIB, 16 * MIB, 0.01],
  ] as const;
  const counts = shares.map(([low, high]) => sizes.filter((size) => size >= low && size <= high).length);
  expect(counts.reduce((sum, count) => sum + count, 0)).toBe(400);
  // Four standard deviations: the row is fixed, so this cannot come out differently one day.
  shares.forEach(([, , share], i) => {
    expect(Math.abs((counts[i] ?? 0) / 400 - share)).toBeLessThan(4 * Math.sqrt((share * (1 - share)) / 400));
  });
  expect(new Set(sizes).size).toBeGreaterThan(300);
  expect((await sizesOfMixture(20)).slice(0, 20)).toEqual(sizes.slice(0, 20));
});

test('--histogram prints buckets that agree with the percentiles, and otherwise there are none', async () => {
  const result = await load.run('ping', port, '--count', '3000', '--connections', '3', '--threads', '2', '--histogram');
  const { buckets, ...shown } = result.latencyUs;
  if (buckets === undefined) throw new Error('no buckets');
  expect(buckets.reduce((sum, [, count]) => sum + count, 0)).toBe(shown.count);
  expect(buckets.every(([, count]) => count > 0)).toBe(true);
  const middles = buckets.map(([middle]) => middle);
  expect(middles).toEqual([...new Set(middles)].sort((a, b) => a - b));
  expect(shown.p50).toBeLessThanOrEqual(shown.p90);
  expect(shown.p90).toBeLessThanOrEqual(shown.p99);
  expect(shown.p99).toBeLessThanOrEqual(shown.p999);
  expect(shown.p999).toBeLessThanOrEqual(shown.max);
  let seen = 0;
  const median = buckets.find(([, count]) => (seen += count) >= shown.count / 2)?.[0];
  expect(shown.p50).toBe(Number(median?.toFixed(1)));
  expect((await load.run('ping', port, '--count', '3')).latencyUs).not.toHaveProperty('buckets');
});

describe('limits', () => {
  const limited = (descriptors: number, ...args: string[]): Child =>
    new Child('sh', ['-c', `ulimit -n ${descriptors} && exec "$0" "$@"`, load.program, ...args]);
  const target = (): string[] => ['--target', `127.0.0.1:${port}`];

  test('without descriptors for all connections the run does not begin', async () => {
    const args = ['run', '--mode', 'idle', '--seconds', '0.1', ...target(), '--connections'];
    const refused = await limited(100, ...args, '100').exited;
    expect(refused).toMatchObject({ code: 1, stdout: Buffer.alloc(0) });
    expect(refused.stderr).toMatch(
      /100 connections need \d+ descriptors and this process may have 100: raise the limit/,
    );
    const done = await limited(100, ...args, '80').exited;
    expect(done).toMatchObject({ code: 0, stderr: '' });
  });

  test('a server without descriptors turns connections away, says so once, and goes on', async () => {
    const server = limited(20, 'serve', '0');
    try {
      const at = Number((await server.waitForOutput(/serving on (\d+)/))[1]);
      const crowd = await load.run('idle', at, '--seconds', '0.05', '--connections', '40');
      expect(crowd.clean).toBe(false);
      expect(crowd.errors).toBeGreaterThan(20);
      expect(crowd.errors).toBeLessThan(40);
      await server.waitForOutput(/out of descriptors.*\n/);
      expect(server.stderr).toBe('splice-load: out of descriptors: raise the limit (ulimit -Hn)\n');
      expect(await load.run('ping', at, '--count', '5')).toMatchObject({ clean: true });
    } finally {
      await server.stop();
    }
  });

  test.each([
    [['--mode', 'nothing'], /--mode must be .* or web: nothing/],
    [['--mode', 'ping', '--via', 'http'], /--via must be direct, socks5 or connect: http/],
    [['--mode', 'ping', '--count', '1', '--via', 'connect'], /--proxy with a numeric host/],
    [['--mode', 'ping', '--connections', '16385'], /--connections must be a number from 1 to 16384: 16385/],
    [['--mode', 'ping', '--threads', '0'], /--threads must be a number from 1 to 256: 0/],
    [['--mode', 'mixed', '--count', '1', '--size', '9'], /--size is not for this mode: mixed/],
    [['--mode', 'mixed', '--bytes', '1'], /--bytes is for download and upload: mixed/],
    [['--mode', 'ping'], /give one of --bytes, --seconds, --count/],
    [['--mode', 'ping', '--count', '1', 'more'], /unexpected argument: more/],
  ])('%j is refused with the reason', async (args, reason) => {
    const end = await load.try('run', ...target(), ...args);
    expect(end).toMatchObject({ code: 2, stdout: Buffer.alloc(0) });
    expect(end.stderr).toMatch(reason);
  });
});
