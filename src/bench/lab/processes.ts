/**
 * Processes of this machine, each the leader of a group of its own, none of which outlives the benchmark: the kernel
 * kills a leader when this process dies, even by SIGKILL; end() kills all groups at once, for exit handlers. Used by
 * the hosts: directly for namespaces, for the local ends of ssh otherwise.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SpliceError } from '../../errors.js';
import type { Output, Running } from '../model.js';
import { MANY_FILES, PROGRAM_PATH } from './paths.js';

const TERM_MS = 2000;
/**
 * Becomes the command, with as many open files as are allowed: some raise that limit by themselves, others do not. Not
 * the thousand million that containers often allow: proxies make tables of that size.
 */
const AS_MANY_FILES = `${MANY_FILES}; exec "$@"`;
const PART_BYTES = 2048;
const TAIL_LINES = 5;

export function signalIfThere(id: number, signal: NodeJS.Signals): void {
  try {
    process.kill(id, signal);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

/** So much of a file that a process may still be writing; from the end if `from` is absent. */
function readPart(file: string, from?: number): string {
  const descriptor = openSync(file, 'r');
  try {
    const bytes = Buffer.alloc(PART_BYTES);
    const start = from ?? Math.max(0, fstatSync(descriptor).size - PART_BYTES);
    return bytes.toString('utf8', 0, readSync(descriptor, bytes, 0, PART_BYTES, start));
  } finally {
    closeSync(descriptor);
  }
}

/** A process group that is known by its leader, which is a child of this process. */
export class Group implements Running {
  readonly pid: number;
  readonly child: ChildProcess;
  readonly #log: string;
  #ended = false;
  readonly #end: Promise<void>;

  constructor(child: ChildProcess, pid: number, log: string) {
    this.child = child;
    this.pid = pid;
    this.#log = log;
    this.#end = new Promise((resolve) => {
      child.once('exit', () => {
        this.#ended = true;
        // At once: the number of a group that is empty may soon be another's.
        signalIfThere(-pid, 'SIGKILL');
        resolve();
      });
    });
  }

  get ended(): boolean {
    return this.#ended;
  }

  tail(): string {
    return readPart(this.#log).trimEnd().split('\n').slice(-TAIL_LINES).join('\n');
  }

  /** The beginning of what it printed. */
  head(): string {
    return readPart(this.#log, 0);
  }

  /** Waits for its end, so long at most; whether it came. */
  async endsWithin(milliseconds: number): Promise<boolean> {
    const timer = new AbortController();
    await Promise.race([
      this.#end.then(() => timer.abort()),
      sleep(milliseconds, undefined, { signal: timer.signal }).catch(() => undefined),
    ]);
    return this.#ended;
  }

  async stop(): Promise<void> {
    if (this.#ended) return;
    signalIfThere(-this.pid, 'SIGTERM');
    if (await this.endsWithin(TERM_MS)) return;
    this.kill();
    await this.#end;
  }

  /** Without waiting. */
  kill(): void {
    if (!this.#ended) signalIfThere(-this.pid, 'SIGKILL');
  }
}

export interface RunOptions {
  readonly timeoutMs?: number;
  readonly onError?: (text: string) => void;
}

export interface StartOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** A file of its own in the directory of these processes unless given. */
  readonly log?: string;
  /** Whether its standard input is a pipe, which ends with this process; it is empty otherwise. */
  readonly input?: boolean;
}

export class Processes {
  readonly #directory: string;
  readonly #prefix: readonly string[];
  readonly #groups = new Set<Group>();
  #logs = 0;

  /** @param prefix what stands before every command and becomes it, such as `ip netns exec NAME` */
  constructor(directory: string, prefix: readonly string[] = []) {
    this.#directory = directory;
    this.#prefix = prefix;
  }

  /** Resolves when the process is there; its program may still turn out to be missing, which its output says. */
  async start(command: readonly string[], { env = {}, log, input = false }: StartOptions = {}): Promise<Group> {
    const file = log ?? path.join(this.#directory, `process-${++this.#logs}.log`);
    const output = openSync(file, 'w');
    try {
      return await this.#spawn(command, [input ? 'pipe' : 'ignore', output, output], env, file);
    } finally {
      closeSync(output);
    }
  }

  async #spawn(
    command: readonly string[],
    stdio: ('pipe' | 'ignore' | number)[],
    env: Readonly<Record<string, string>>,
    log: string,
  ): Promise<Group> {
    const [program = '', ...args] = [
      ...this.#prefix,
      'setpriv',
      '--pdeathsig',
      'KILL',
      'sh',
      '-c',
      AS_MANY_FILES,
      'sh',
      ...command,
    ];
    const child = spawn(program, args, {
      stdio,
      env: { ...process.env, PATH: PROGRAM_PATH, ...env },
      detached: true,
    });
    // Whoever reads our pipe may be gone: what is to be done about it is decided by the exit code.
    child.stdin?.on('error', () => undefined);
    if (child.pid === undefined) {
      const cause = await new Promise((resolve) => child.once('error', resolve));
      throw new SpliceError('ERR_SPLICE_SYSTEM', `cannot run ${program}: is it installed?`, { cause });
    }
    const group = new Group(child, child.pid, log);
    this.#groups.add(group);
    child.once('exit', () => this.#groups.delete(group));
    return group;
  }

  /** Runs a command to its end, whatever its exit code, which is null when a signal (ours, after the time) ended it. */
  async run(
    command: readonly string[],
    { timeoutMs = 30_000, onError, input = false }: RunOptions & { readonly input?: boolean } = {},
  ): Promise<Output> {
    const group = await this.#spawn(command, [input ? 'pipe' : 'ignore', 'pipe', 'pipe'], {}, '/dev/null');
    const { child } = group;
    let [out, err] = ['', ''];
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (out += text));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      err += text;
      onError?.(text);
    });
    const timer = setTimeout(() => {
      err += `\nno end after ${timeoutMs / 1000} s`;
      group.kill();
      // Somebody who left the group may still have them.
      child.stdout?.destroy();
      child.stderr?.destroy();
    }, timeoutMs);
    const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
    clearTimeout(timer);
    return { out, err, code };
  }

  /** Kills all of them, without waiting. */
  end(): void {
    for (const group of this.#groups) group.kill();
    this.#groups.clear();
  }
}
