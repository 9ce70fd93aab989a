/**
 * Processes that a test starts: registered, watched, waited for by their output, and ended by process id on
 * every exit of the test process.
 */
import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * How many times longer everything may take than on an idle machine: others are busy beside us, and a guest under software
 * emulation is slow.
 */
const patience = Number(process.env['SYMSPLICE_TEST_PATIENCE'] ?? 3);
/** A limit that only bounds a failure, for this machine. */
export const patient = (ms: number): number => ms * patience;

export interface ChildOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly input?: string | Uint8Array;
  /** Opens a Node IPC channel as well. */
  readonly ipc?: boolean;
}

export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

const live = new Set<Child>();

export class Child {
  readonly process: ChildProcess;
  readonly name: string;
  readonly exited: Promise<Finished>;
  #out: Buffer[] = [];
  #err: Buffer[] = [];
  #watchers = new Set<() => void>();

  constructor(command: string, args: readonly string[], options: ChildOptions = {}) {
    this.name = `${command} ${args.join(' ')}`;
    const stdio: StdioOptions = options.ipc === true ? ['pipe', 'pipe', 'pipe', 'ipc'] : ['pipe', 'pipe', 'pipe'];
    this.process = spawn(command, args, {
      stdio,
      serialization: 'advanced',
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
    });
    live.add(this);
    const wake = (): void => this.#watchers.forEach((watcher) => watcher());
    this.process.stdout?.on('data', (chunk: Buffer) => {
      this.#out.push(chunk);
      wake();
    });
    this.process.stderr?.on('data', (chunk: Buffer) => {
      this.#err.push(chunk);
      wake();
    });
    // A program that ends without reading its input is its own affair, visible in its exit code.
    this.process.stdin?.on('error', () => undefined);
    if (options.input !== undefined) this.process.stdin?.end(options.input);
    this.exited = new Promise((resolve, reject) => {
      this.process.once('error', reject);
      this.process.once('close', (code, signal) => {
        live.delete(this);
        resolve({ code, signal, stdout: Buffer.concat(this.#out), stderr: this.stderr });
      });
    });
    // Whoever does not await the end still learns of it through waitForOutput.
    this.exited.then(wake, wake);
  }

  get pid(): number {
    if (this.process.pid === undefined) throw new Error(`${this.name} was not started`);
    return this.process.pid;
  }

  get running(): boolean {
    return live.has(this) && this.process.exitCode === null && this.process.signalCode === null;
  }

  get stdout(): string {
    return Buffer.concat(this.#out).toString();
  }

  get stderr(): string {
    return Buffer.concat(this.#err).toString();
  }

  /** Whole lines of stdout, then of stderr: the last one of either may be here in part. */
  lines(): string[] {
    return [this.stdout, this.stderr].flatMap((text) => text.split('\n').slice(0, -1));
  }

  write(text: string): void {
    this.process.stdin?.write(text);
  }

  /** Resolves with the match when stdout or stderr shows `pattern` at or after character `from`. */
  async waitForOutput(pattern: RegExp, options: { limitMs?: number; from?: number } = {}): Promise<RegExpExecArray> {
    const find = (): RegExpExecArray | null =>
      pattern.exec(this.stdout.slice(options.from ?? 0)) ?? pattern.exec(this.stderr);
    let watcher: (() => void) | undefined;
    const seen = new Promise<RegExpExecArray>((resolve, reject) => {
      watcher = (): void => {
        const match = find();
        if (match !== null) resolve(match);
        else if (!this.running)
          reject(new Error(`${this.name} ended before it printed ${pattern}:\n${this.transcript()}`));
      };
      this.#watchers.add(watcher);
      watcher();
    });
    try {
      return await within(
        seen,
        options.limitMs ?? 60_000,
        () => `${this.name} did not print ${pattern}:\n${this.transcript()}`,
      );
    } finally {
      if (watcher !== undefined) this.#watchers.delete(watcher);
    }
  }

  /** Bytes of memory that it has now. */
  memory(): number {
    const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'));
    return Number(line?.[1]) * 1024;
  }

  transcript(): string {
    return `${this.stdout}${this.stderr}`.slice(-4_000);
  }

  signal(name: NodeJS.Signals): void {
    if (this.running) process.kill(this.pid, name);
  }

  /** Ends the process: SIGTERM, then SIGKILL if it does not go. */
  async stop(graceMs = 3_000): Promise<void> {
    if (!this.running) return;
    this.signal('SIGTERM');
    const timer = setTimeout(() => this.signal('SIGKILL'), graceMs);
    await this.exited.catch(() => undefined);
    clearTimeout(timer);
  }

  /** Number of open descriptors. */
  descriptors(): number {
    return readdirSync(`/proc/${this.pid}/fd`).length;
  }

  /** Resident memory in bytes. */
  residentBytes(): number {
    const kib = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'))?.[1];
    return Number(kib ?? Number.NaN) * 1024;
  }
}

/** Fails with `message` when `promise` takes longer than `ms`, or what that is on a slow machine. */
export async function within<T>(promise: Promise<T>, ms: number, message: () => string): Promise<T> {
  const limitMs = patient(ms);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`after ${limitMs} ms: ${message()}`)), limitMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Polls a state until it holds; the state decides, the limit only bounds a failure. */
export async function eventually<T>(
  look: () => T | Promise<T>,
  holds: (value: T) => boolean,
  what: string,
  ms = 30_000,
): Promise<T> {
  const limitMs = patient(ms);
  const started = performance.now();
  for (;;) {
    const value = await look();
    if (holds(value)) return value;
    if (performance.now() - started > limitMs)
      throw new Error(`after ${limitMs} ms: ${what}; last seen: ${String(value)}`);
    await sleep(25);
  }
}

/** Synchronous end of everything that still runs, for exit handlers. */
export function endAllChildren(): void {
  for (const child of live) child.signal('SIGKILL');
}
