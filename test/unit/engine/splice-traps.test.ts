/**
 * The traps of splice(2) and of edge-triggered readiness that other projects have met, each as a test that would hang,
 * lose bytes or burn processor time if the relay stepped into it.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SpliceEngine } from '../../../src/engine/engine.js';
import { BACKENDS_UNDER_TEST } from '../../support/backends.js';
import {
  bytesOf,
  clear,
  connectPair,
  makeBed,
  portOf,
  readAll,
  readBytes,
  settled,
  until,
} from '../../support/flow-bed.js';

const MIB = 1024 * 1024;
const root = fileURLToPath(new URL('../../..', import.meta.url));

let urgentSender: string;
let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'traps-'));
  urgentSender = join(directory, 'urgent');
  execFileSync('cc', ['-O1', '-o', urgentSender, join(root, 'test/support/urgent.c')]);
});
afterAll(() => rmSync(directory, { recursive: true }));

describe.each(BACKENDS_UNDER_TEST)('$title', ({ options }) => {
  let engine: SpliceEngine;
  beforeAll(async () => {
    engine = await SpliceEngine.open({ ...options, relayThreads: 1 });
  });
  afterAll(() => engine.close());

  test('EAGAIN of a pipe whose slots are full is not "socket empty" (sozu #1323): thousands of tiny segments', async () => {
    const bed = await makeBed();
    await engine.splice(bed.client, bed.upstream);
    // Bulk first, so that the direction goes by pipe, and until the server's side is blocked.
    const bulk = bytesOf(16 * MIB);
    bed.caller.write(bulk);
    await settled(() => bed.caller.bytesWritten - bed.caller.writableLength, 150);
    const tiny = bytesOf(3000);
    const arrived = readAll(bed.server);
    for (const byte of tiny) {
      bed.caller.write(Buffer.of(byte));
      if (byte % 64 === 0) await sleep(0);
    }
    bed.caller.end();
    expect((await arrived).equals(Buffer.concat([bulk, tiny]))).toBe(true);
    clear(bed.caller, bed.server);
  });

  test('half-close with bytes in the pipe (HAProxy #2505, #2749): the FIN waits for them', async () => {
    const bed = await makeBed();
    const flow = await engine.splice(bed.client, bed.upstream);
    const sent = bytesOf(24 * MIB);
    bed.caller.end(sent);
    // Not read for a while: the source has ended, its bytes are stuck on the way.
    await settled(() => flow.counters().bytesUp, 150);
    expect((await readAll(bed.server)).equals(sent)).toBe(true);
    bed.server.end('thanks');
    expect((await readAll(bed.caller)).toString()).toBe('thanks');
    expect(await flow.closed).toMatchObject({ reason: 'end', bytesUp: sent.length, bytesDown: 6 });
  });

  test('the last segment is not held back (SPLICE_F_MORE)', async () => {
    const bed = await makeBed();
    await engine.splice(bed.client, bed.upstream);
    const block = bytesOf(100_001);
    const times: number[] = [];
    for (let i = 0; i < 21; i++) {
      const began = performance.now();
      bed.caller.write(block);
      await readBytes(bed.server, block.length);
      times.push(performance.now() - began);
    }
    // A segment that waits for more comes after 200 ms, each time; how long the others take is the machine's affair.
    expect(Math.min(...times)).toBeLessThan(150);
    clear(bed.caller, bed.server);
  });

  test.each([
    ['small blocks', 200, 10],
    ['bulk', 40, 300_000],
  ])('urgent data does not stall or cut the stream: %s', async (_what, rounds, size) => {
    const listener = net.createServer({ pauseOnConnect: true, allowHalfOpen: true }).listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const sender = spawn(urgentSender, [String(portOf(listener)), String(rounds), String(size)]);
    const exited = once(sender, 'exit');
    const [client] = (await once(listener, 'connection')) as [net.Socket];
    const upstream = await connectPair();
    const flow = await engine.splice(client, upstream.near);
    const arrived = (await readAll(upstream.far)).toString('latin1');
    // The kernel keeps an urgent byte that a later one overtakes in the stream, and takes the others out.
    expect(arrived.replaceAll('!', '') === `${'a'.repeat(rounds * size)}end`).toBe(true);
    upstream.far.end();
    expect(await flow.closed).toMatchObject({ reason: 'end' });
    expect((await exited)[0]).toBe(0);
    listener.close();
  });
});

/** Nanoseconds on a processor, of the threads with this name. */
function processorTime(name: string): number {
  let sum = 0;
  for (const task of readdirSync('/proc/self/task')) {
    if (readFileSync(`/proc/self/task/${task}/comm`, 'utf8').trim() !== name) continue;
    sum += Number(readFileSync(`/proc/self/task/${task}/schedstat`, 'utf8').split(' ')[0]);
  }
  return sum;
}

describe('no hot loop (h2o #3075, HAProxy 61d39a0e2): a flow that waits costs nothing', () => {
  let engine: SpliceEngine;
  beforeAll(async () => {
    engine = await SpliceEngine.open({ backend: 'splice', relayThreads: 1, spliceAfter: 0, idleTimeoutMs: 60_000 });
  });
  afterAll(() => engine.close());

  const burnt = async (): Promise<number> => {
    // Young flows live on the control thread for 100 ms; then they are in the relay thread.
    await sleep(200);
    const before = processorTime('splice-relay');
    await sleep(400);
    return (processorTime('splice-relay') - before) / 1e6;
  };

  test('idle', async () => {
    const bed = await makeBed();
    await engine.splice(bed.client, bed.upstream);
    expect(await burnt()).toBeLessThan(20);
    clear(bed.caller, bed.server);
  });

  test('half-closed', async () => {
    const bed = await makeBed();
    const flow = await engine.splice(bed.client, bed.upstream);
    bed.caller.end('x');
    await readAll(bed.server);
    await until('it is half-closed', () => flow.state === 'teardown');
    expect(await burnt()).toBeLessThan(20);
    clear(bed.caller, bed.server);
  });

  test('blocked, with its source full', async () => {
    const bed = await makeBed();
    const flow = await engine.splice(bed.client, bed.upstream);
    bed.caller.write(Buffer.alloc(64 * MIB));
    await settled(() => flow.counters().bytesUp);
    expect(await burnt()).toBeLessThan(20);
    clear(bed.caller, bed.server);
  });

  test('blocked, behind the FIN of its source', async () => {
    const bed = await makeBed();
    const flow = await engine.splice(bed.client, bed.upstream);
    bed.caller.end(Buffer.alloc(8 * MIB));
    await settled(() => flow.counters().bytesUp);
    expect(await burnt()).toBeLessThan(20);
    clear(bed.caller, bed.server);
  });

  test('many that idle: looking for expired ones is rare', async () => {
    const beds = await Promise.all(Array.from({ length: 200 }, makeBed));
    for (const bed of beds) await engine.splice(bed.client, bed.upstream, { idleTimeoutMs: 5000 });
    expect(await burnt()).toBeLessThan(20);
    for (const bed of beds) clear(bed.caller, bed.server);
  });
});

test('no descriptor left for a pipe: flows are copied, and finish', () => {
  const program = `
    import { openSync } from 'node:fs';
    import net from 'node:net';
    import { once } from 'node:events';
    import { SpliceEngine } from ${JSON.stringify(join(root, 'dist/index.js'))};
    const engine = await SpliceEngine.open({ backend: 'splice', relayThreads: 1, spliceAfter: 0 });
    const listener = net.createServer({ pauseOnConnect: true, allowHalfOpen: true }).listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const pair = async () => {
      const accepted = once(listener, 'connection');
      const far = net.connect({ port: listener.address().port, host: '127.0.0.1', allowHalfOpen: true });
      const [[near]] = await Promise.all([accepted, once(far, 'connect')]);
      return { near, far };
    };
    const size = ${8 * MIB};
    const flows = [];
    for (let i = 0; i < 6; i++) {
      const [a, b] = [await pair(), await pair()];
      const flow = await engine.splice(a.near, b.near);
      flows.push({ a: a.far, b: b.far, flow });
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
    let full = 0;
    try { for (;;) { openSync('/dev/null'); full++; } } catch (error) { console.log(error.code); }
    await Promise.all(flows.map(async ({ a, b, flow }) => {
      a.end(Buffer.alloc(size, 1));
      let arrived = 0;
      for await (const chunk of b.iterator({ destroyOnReturn: false })) arrived += chunk.length;
      b.end();
      a.resume();
      const end = await flow.closed;
      console.log(end.reason, arrived, end.bytesUp);
    }));
    await engine.close();
    process.exit(0);
  `;
  const output = execFileSync(
    'sh',
    ['-c', 'ulimit -n 120; exec "$0" --input-type=module -e "$1"', process.execPath, program],
    {
      encoding: 'utf8',
      timeout: 120_000,
    },
  );
  const line = `end ${8 * MIB} ${8 * MIB}`;
  expect(output.trim().split('\n')).toEqual(['EMFILE', line, line, line, line, line, line]);
});

test('no descriptor left for a duplicate: the hand-over fails, and both sockets are still the caller’s', () => {
  const program = `
    import { openSync, closeSync } from 'node:fs';
    import net from 'node:net';
    import { once } from 'node:events';
    import { SpliceEngine } from ${JSON.stringify(join(root, 'dist/index.js'))};
    const engine = await SpliceEngine.open({ backend: 'splice', relayThreads: 1 });
    const listener = net.createServer({ pauseOnConnect: true, allowHalfOpen: true }).listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const pair = async () => {
      const accepted = once(listener, 'connection');
      const far = net.connect({ port: listener.address().port, host: '127.0.0.1', allowHalfOpen: true });
      const [[near]] = await Promise.all([accepted, once(far, 'connect')]);
      return { near, far };
    };
    const [a, b] = [await pair(), await pair()];
    a.far.write('early ');
    const opened = [];
    try { for (;;) opened.push(openSync('/dev/null')); } catch (error) { console.log(error.code); }
    // Room for one of the two duplicates.
    closeSync(opened.pop());
    const flow = await engine.splice(a.near, b.near);
    console.log(flow.backend, flow.refusals.some(({ backend, reason }) => backend === 'splice' && reason.includes('EMFILE')));
    a.far.end('late');
    let arrived = '';
    for await (const chunk of b.far.iterator({ destroyOnReturn: false })) arrived += chunk;
    console.log(arrived);
    openSync('/dev/null');
    console.log('the one is free again');
    process.exit(0);
  `;
  const output = execFileSync(
    'sh',
    ['-c', 'ulimit -n 100; exec "$0" --input-type=module -e "$1"', process.execPath, program],
    {
      encoding: 'utf8',
      timeout: 120_000,
    },
  );
  expect(output.trim().split('\n')).toEqual(['EMFILE', 'copy true', 'early late', 'the one is free again']);
});
