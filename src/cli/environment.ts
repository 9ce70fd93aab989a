/**
 * Everything that a command touches outside of itself, so that each command is a function that tests call without
 * making a process.
 */
import type { Readable } from 'node:stream';

export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
  /** Lines of the terminal. */
  readonly rows?: number | undefined;
  /** False when nobody can read it any more. */
  readonly writable?: boolean | undefined;
}

export interface Environment {
  /** Arguments after the program's name. */
  readonly argv: readonly string[];
  readonly stdin: Readable & { readonly isTTY?: boolean; setRawMode?(on: boolean): unknown };
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Record<string, string | undefined>;
  readonly pid: number;
  onSignal(signal: NodeJS.Signals, handler: () => void): void;
}

/** Exit codes of all commands. */
export const EXIT = { ok: 0, failure: 1, usage: 2 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export const EXIT_HELP = 'Exit codes: 0 all well, 1 failure, 2 wrong usage or configuration.';

/** The environment of the running process. */
export function processEnvironment(): Environment {
  // A reader that went away (`splice-ctl flows | head`) is no reason to die with a stack trace. Node leaves standard
  // streams open after an error, so that it has to be kept in mind here.
  let readable = true;
  process.stdout.on('error', () => (readable = false));
  process.stderr.on('error', () => undefined);
  const stdout: Output = {
    write: (text) => process.stdout.write(text),
    get isTTY() {
      return process.stdout.isTTY;
    },
    get rows() {
      return process.stdout.rows;
    },
    get writable() {
      return readable;
    },
  };
  return {
    argv: process.argv.slice(2),
    stdin: process.stdin,
    stdout,
    stderr: process.stderr,
    env: process.env,
    pid: process.pid,
    onSignal: (signal, handler) => void process.on(signal, handler),
  };
}

/** One line for people: what went wrong, without a stack. Messages of several lines get the prefix on each. */
export function printError(stderr: Output, program: string, error: unknown, withStack = false): void {
  const message = error instanceof Error ? error.message || error.name : String(error);
  for (const line of message.split('\n')) stderr.write(`${program}: ${line}\n`);
  if (withStack && error instanceof Error && error.stack !== undefined) stderr.write(`${error.stack}\n`);
}
