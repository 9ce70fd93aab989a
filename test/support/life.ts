/**
 * Programs in processes of their own, for tests of how a process or a worker ends: what all of them begin with, and how
 * they are run. They use the built package.
 */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** A module of the built package, quoted. */
export const built = (path: string): string => JSON.stringify(join(root, 'dist', path));

export const BEGINNING = `
  import { closeSync, mkdtempSync, openSync, readFileSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
  import net from 'node:net';
  import { once } from 'node:events';
  import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
  import { native } from ${built('native.js')};
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
  const open = (kind) => readdirSync('/proc/self/fd').filter((fd) => {
    try { return readlinkSync('/proc/self/fd/' + fd).startsWith(kind + ':'); } catch { return false; }
  }).length;
  const tasks = () => readdirSync('/proc/self/task').length;
  const until = async (condition) => {
    for (let i = 0; i < 1000 && !condition(); i++) await new Promise((resolve) => setTimeout(resolve, 10));
    if (!condition()) throw new Error('not within 10 s: ' + condition);
  };
`;

/** How node is called with a program. */
export function argumentsOf(program: string, flags: readonly string[] = []): string[] {
  return [...flags, '--input-type=module', '-e', program];
}

/** Runs a program to its end, under limits of the shell's; a crash, a hang or an exit code other than 0 throws. */
export function runProgram(program: string, limits = ':', flags: readonly string[] = []): string {
  const node = [process.execPath, ...argumentsOf(program, flags)];
  return execFileSync('sh', ['-c', `${limits}; exec "$@"`, 'sh', ...node], {
    encoding: 'utf8',
    timeout: 120_000,
  }).trim();
}

/**
 * Behind a {@link BEGINNING}: three workers one after the other, each of which says something when it is to end, by
 * `terminate`, by process.exit() (`exit`), or by itself. It says `clean` when nothing is left of them.
 */
export function endWorkers(worker: string, how: string): string {
  return `
    const before = { sockets: open('socket'), tasks: tasks() };
    for (let round = 0; round < 3; round++) {
      const worker = new Worker(${JSON.stringify(worker)}, { eval: true });
      await once(worker, 'message');
      const gone = once(worker, 'exit');
      if ('${how}' === 'terminate') await worker.terminate();
      if ('${how}' === 'exit') worker.postMessage('go');
      await gone;
    }
    await until(() => open('socket') <= before.sockets && tasks() <= before.tasks);
    console.log('clean');
    process.exit(0);
  `;
}

/** Of a worker of {@link endWorkers}: not before it was heard, for process.exit() in a worker drops what it has just posted. */
export const EXIT_WHEN_TOLD = `await once(parentPort, 'message'), process.exit(0);`;
