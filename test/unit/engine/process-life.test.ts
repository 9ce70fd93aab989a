/** How engines end with their process or worker. Runs the built package in processes of their own. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../../..', import.meta.url));

const COMMON = `
  import { readdirSync, readlinkSync } from 'node:fs';
  import net from 'node:net';
  import { once } from 'node:events';
  import { Worker, isMainThread } from 'node:worker_threads';
  import { SpliceEngine } from ${JSON.stringify(join(root, 'dist/index.js'))};
  import { native } from ${JSON.stringify(join(root, 'dist/native.js'))};
  const pair = async () => {
    const listener = net.createServer({ pauseOnConnect: true, allowHalfOpen: true }).listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const accepted = once(listener, 'connection');
    const far = net.connect({ port: listener.address().port, host: '127.0.0.1', allowHalfOpen: true });
    const [[near]] = await Promise.all([accepted, once(far, 'connect')]);
    listener.close();
    for (const socket of [near, far]) socket.on('error', () => undefined);
    return { near, far };
  };
  const flowOf = async (engine, options) => {
    const [a, b] = [await pair(), await pair()];
    const flow = await engine.splice(a.near, b.near, options);
    a.far.write(Buffer.alloc(2_000_000));
    b.far.resume();
    return { flow, caller: a.far, server: b.far };
  };
  const sockets = () => readdirSync('/proc/self/fd').filter((fd) => {
    try { return readlinkSync('/proc/self/fd/' + fd).startsWith('socket:'); } catch { return false; }
  }).length;
  const tasks = () => readdirSync('/proc/self/task').length;
  const until = async (condition) => {
    for (let i = 0; i < 1000 && !condition(); i++) await new Promise((resolve) => setTimeout(resolve, 10));
    if (!condition()) throw new Error('not within 10 s: ' + condition);
  };
`;

/** Runs a program to its end; a crash, a hang or an exit code other than 0 throws. */
function run(program: string): string {
  return execFileSync(process.execPath, ['--input-type=module', '-e', COMMON + program], {
    encoding: 'utf8',
    timeout: 20_000,
  }).trim();
}

describe.each(['splice', 'copy'])('%s', (backend) => {
  const open = `const engine = await SpliceEngine.open({ backend: '${backend}' });`;

  test('an engine without flows keeps no process alive', () => {
    expect(run(`${open} console.log('done');`)).toBe('done');
  });

  test('neither does one whose flows have ended', () => {
    expect(
      run(`${open}
        const { flow, caller, server } = await flowOf(engine);
        caller.end(); server.end(); caller.resume();
        console.log((await flow.closed).reason);
      `),
    ).toBe('end');
  });

  test('process.exit() with live flows leaves at once', () => {
    expect(
      run(`${open} for (let i = 0; i < 20; i++) await flowOf(engine); console.log('leaving'); process.exit(0);`),
    ).toBe('leaving');
  });

  test('an uncaught exception with live flows ends the process in its own way', () => {
    expect(() => run(`${open} await flowOf(engine); throw new Error('on purpose');`)).toThrow(/on purpose/);
  });

  test.each(['terminate', 'exit', 'return'])('a worker with live flows: %s', (how) => {
    const worker = `${COMMON} ${open}
      const { parentPort } = await import('node:worker_threads');
      for (let i = 0; i < 10; i++) await flowOf(engine, i % 2 === 0 ? {} : { maxBytes: 10_000_000, direction: 'up' });
      parentPort.postMessage('live');
      if ('${how}' === 'exit') process.exit(0);
      if ('${how}' === 'return') await engine.close(), process._getActiveHandles().forEach((end) => end.destroy?.());
    `;
    const program = `
      const before = { sockets: sockets(), tasks: tasks() };
      for (let round = 0; round < 3; round++) {
        const worker = new Worker(${JSON.stringify(worker)}, { eval: true });
        await once(worker, 'message');
        const gone = once(worker, 'exit');
        if ('${how}' === 'terminate') await worker.terminate();
        await gone;
      }
      await until(() => sockets() <= before.sockets && tasks() <= before.tasks);
      console.log('clean');
      process.exit(0);
    `;
    expect(run(program)).toBe('clean');
  });
});

test('a live flow keeps the process alive, as a socket would', async () => {
  const program = `
    const engine = await SpliceEngine.open({ backend: 'splice' });
    const { flow } = await flowOf(engine);
    for (const end of [...process._getActiveHandles()]) end.unref?.();
    console.log('live');
    flow.closed.then(() => console.log('never'));
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', COMMON + program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  // Node's own sockets were unreferenced: what keeps it is the flow.
  const gone = once(child, 'exit').then(() => 'gone');
  expect(await Promise.race([gone, sleep(600, 'alive')])).toBe('alive');
  child.kill();
  await gone;
});

test('an idle listener of a reactor keeps the process alive, until the reactor is stopped', () => {
  const make = `
    const reactor = new (native().Reactor)(new Int32Array(512), new Uint8Array(65536), () => undefined);
    reactor.listen(native().listen('127.0.0.1', 0, 16, false));
  `;
  expect(run(`${make} setTimeout(() => { console.log('alive'); process.exit(0); }, 200).unref();`)).toBe('alive');
  expect(run(`${make} process.on('exit', () => console.log('over')); reactor.stop();`)).toBe('over');
});

test('a worker with a reactor that is terminated closes its sockets', () => {
  const worker = `${COMMON}
    const { parentPort } = await import('node:worker_threads');
    let slot;
    const reactor = new (native().Reactor)(new Int32Array(512), new Uint8Array(65536), () => undefined);
    const fd = native().listen('127.0.0.1', 0, 16, false);
    const local = native().describe(fd).local;
    reactor.listen(fd);
    for (let i = 0; i < 5; i++) reactor.connect('127.0.0.1', (local[1] << 8) | local[2]);
    await new Promise((resolve) => setTimeout(resolve, 50));
    parentPort.postMessage('live');
  `;
  const program = `
    const before = sockets();
    for (let round = 0; round < 3; round++) {
      const worker = new Worker(${JSON.stringify(worker)}, { eval: true });
      await once(worker, 'message');
      await worker.terminate();
    }
    await until(() => sockets() <= before);
    console.log('clean');
    process.exit(0);
  `;
  expect(run(program)).toBe('clean');
});

test('what a callback throws is an uncaught exception, and the next events still come', () => {
  const program = `
    let batches = 0;
    process.on('uncaughtException', (error) => console.log(error.message));
    const reactor = new (native().Reactor)(new Int32Array(512), new Uint8Array(65536), () => {
      if (++batches === 1) throw new Error('thrown in a batch');
      console.log('the next batch');
      process.exit(0);
    });
    const fd = native().listen('127.0.0.1', 0, 16, false);
    const local = native().describe(fd).local;
    reactor.listen(fd);
    const port = (local[1] << 8) | local[2];
    net.connect(port, '127.0.0.1').on('error', () => undefined);
    setTimeout(() => net.connect(port, '127.0.0.1').on('error', () => undefined), 100);
  `;
  expect(run(program)).toBe('thrown in a batch\nthe next batch');
});
