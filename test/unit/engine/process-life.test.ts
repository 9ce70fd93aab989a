/** How engines end with their process or worker. Runs the built package in processes of their own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { BEGINNING, EXIT_WHEN_TOLD, argumentsOf, built, endWorkers, runProgram } from '../../support/life.js';

const COMMON = `${BEGINNING}
  import { SpliceEngine } from ${built('index.js')};
  const flowOf = async (engine, options) => {
    const [a, b] = [await pair(), await pair()];
    const flow = await engine.splice(a.near, b.near, options);
    a.far.write(Buffer.alloc(2_000_000));
    b.far.resume();
    return { flow, caller: a.far, server: b.far };
  };
`;

const run = (program: string): string => runProgram(COMMON + program);

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
      for (let i = 0; i < 10; i++) await flowOf(engine, i % 2 === 0 ? {} : { maxBytes: 10_000_000, direction: 'up' });
      parentPort.postMessage('live');
      if ('${how}' === 'exit') ${EXIT_WHEN_TOLD}
      if ('${how}' === 'return') await engine.close(), process._getActiveHandles().forEach((end) => end.destroy?.());
    `;
    expect(run(endWorkers(worker, how))).toBe('clean');
  });
});

test.each(['young', 'old'])('a stream that is cut by the end of its worker does not look whole: %s flow', (age) => {
  // A young flow is with the inline loop, an old one with a relay thread.
  const worker = `${COMMON}
    const engine = await SpliceEngine.open({ backend: 'splice' });
    engine.spliceNow(...workerData);
    if ('${age}' === 'old') await new Promise((resolve) => setTimeout(resolve, 400));
    parentPort.postMessage('live');
  `;
  const program = `
    const [a, b] = [await pair(), await pair()];
    const fds = [a.near, b.near].map((socket) => native().duplicate(socket._handle.fd));
    for (const { near } of [a, b]) near.destroy();
    const fates = [a.far, b.far].map((far) => new Promise((resolve) => {
      far.on('end', () => resolve('end')).on('error', (error) => resolve(error.code)).resume();
    }));
    const worker = new Worker(${JSON.stringify(worker)}, { eval: true, workerData: fds });
    await once(worker, 'message');
    await worker.terminate();
    console.log((await Promise.all(fates)).join(' '));
    process.exit(0);
  `;
  expect(run(program)).toBe('ECONNRESET ECONNRESET');
});

test('what a listener of one flow throws is an uncaught exception, and the flows beside it still end', () => {
  const program = `
    process.on('uncaughtException', (error) => console.log(error.message));
    const engine = await SpliceEngine.open({ backend: 'splice' });
    const [one, two] = [await flowOf(engine), await flowOf(engine)];
    one.flow.onClosed(() => { throw new Error('thrown by a listener'); });
    one.flow.onClosed(() => console.log('the other listener'));
    two.flow.onClosed(() => console.log('the other flow'));
    // One turn, so one batch of reports, as a rule.
    one.flow.abort();
    two.flow.abort();
    await Promise.all([one.flow.closed, two.flow.closed]);
    setImmediate(() => process.exit(0));
  `;
  expect(run(program).split('\n').sort()).toEqual(['the other flow', 'the other listener', 'thrown by a listener']);
});

test('a live flow keeps the process alive, as a socket would', async () => {
  const program = `
    const engine = await SpliceEngine.open({ backend: 'splice' });
    const { flow } = await flowOf(engine);
    for (const end of [...process._getActiveHandles()]) end.unref?.();
    console.log('live');
    flow.closed.then(() => console.log('never'));
  `;
  const child = spawn(process.execPath, argumentsOf(COMMON + program), {
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
    let slot;
    const reactor = new (native().Reactor)(new Int32Array(512), new Uint8Array(65536), () => undefined);
    const fd = native().listen('127.0.0.1', 0, 16, false);
    const local = native().describe(fd).local;
    reactor.listen(fd);
    for (let i = 0; i < 5; i++) reactor.connect('127.0.0.1', (local[1] << 8) | local[2]);
    await new Promise((resolve) => setTimeout(resolve, 50));
    parentPort.postMessage('live');
  `;
  expect(run(endWorkers(worker, 'terminate'))).toBe('clean');
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

test('flows that begin together are spread over the relay threads', () => {
  const program = `
    const engine = await SpliceEngine.open({ backend: 'splice', relayThreads: 2 });
    const beds = [];
    for (let i = 0; i < 8; i++) beds.push([await pair(), await pair()]);
    await Promise.all(beds.map(([a, b]) => engine.splice(a.near, b.near)));
    const statusOf = (task) => readFileSync('/proc/self/task/' + task + '/status', 'utf8');
    const threads = readdirSync('/proc/self/task').filter((task) => statusOf(task).includes('splice-relay'));
    const waits = () => threads.map((task) => parseInt(statusOf(task).split('voluntary_ctxt_switches:')[1], 10));
    const before = waits();
    // Young flows are relayed on this thread; when all have moved on, both threads must have work.
    await until(() => {
      for (const [a] of beds) a.far.write('x');
      for (const [, b] of beds) b.far.resume();
      return waits().every((count, index) => count > before[index] + 5);
    });
    console.log('both');
    process.exit(0);
  `;
  expect(run(program)).toBe('both');
});

test('a relay thread that cannot be started is an error, not the end of the process', () => {
  const program = `
    await SpliceEngine.open({ backend: 'splice', relayThreads: 256 }).catch((error) => console.log(error.code));
    process.exit(0);
  `;
  // Address space for node itself, and not for the stacks of so many threads.
  expect(runProgram(COMMON + program, 'ulimit -v 1500000')).toBe('EAGAIN');
});
