/**
 * One benchmark at a time on a machine: two would measure each other. And what is left of one that was killed. Called by
 * whoever opens a lab.
 */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { SpliceError } from '../../errors.js';

const LOCK = '\0splbench';

export const alive = (pid: number): boolean => existsSync(`/proc/${pid}`);

/** Milliseconds for the holder to say its process id. */
const ANSWER_MS = 1000;

const listening = (server: Server, name: string): Promise<unknown> =>
  new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ path: name }, () => resolve(undefined));
  });

/** The process id that the holder says; empty if it says none, or is gone by now. */
async function askHolder(name: string): Promise<string> {
  const socket = connect({ path: name, signal: AbortSignal.timeout(ANSWER_MS) });
  try {
    return await text(socket);
  } catch {
    return '';
  }
}

/**
 * Takes the lock, or throws if a process that lives has it. Gives what releases it, at once; twice is harmless. The lock
 * is an abstract socket: two cannot have it, and the kernel takes it back with the process, however that ends. It holds
 * within one network namespace.
 */
export async function lockMachine(name = LOCK): Promise<() => void> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.end(String(process.pid));
  });
  server.unref();
  try {
    await listening(server, name);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EADDRINUSE')) throw error;
    const holder = (await askHolder(name)) || 'unknown';
    throw new SpliceError(
      'ERR_SPLICE_STATE',
      `another benchmark runs on this machine (process ${holder}): wait for its end`,
      { cause: error },
    );
  }
  return () => {
    server.close();
  };
}

/** Names of what belongs to this process: namespaces and directories begin with it. */
export const OWN_PREFIX = `splbench-${process.pid}-`;

/** Whether the process that a name belongs to is no more. */
export function isLeftover(name: string): boolean {
  const owner = /^splbench-(\d+)-/.exec(name)?.[1];
  return owner !== undefined && !alive(Number(owner));
}

/** Directories of runs that were killed. */
export function removeLeftoverDirectories(): void {
  for (const name of readdirSync(os.tmpdir()).filter(isLeftover)) {
    rmSync(path.join(os.tmpdir(), name), { recursive: true, force: true });
  }
}
