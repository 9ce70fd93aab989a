/** An environment that keeps what is written to it, and lets a test send signals. */
import { EventEmitter } from 'node:events';
import { Readable } from 'node:stream';
import type { Environment } from '../../../src/cli/environment.js';

export interface FakeEnvironment extends Environment {
  out(): string;
  err(): string;
  signal(name: NodeJS.Signals): void;
}

export function fakeEnvironment(argv: readonly string[], part: Partial<Environment> = {}): FakeEnvironment {
  const out: string[] = [];
  const err: string[] = [];
  const signals = new EventEmitter();
  return {
    argv,
    stdin: Readable.from([]),
    stdout: { write: (text: string) => out.push(text) },
    stderr: { write: (text: string) => err.push(text) },
    env: {},
    pid: process.pid,
    onSignal: (signal, handler) => void signals.on(signal, handler),
    ...part,
    out: () => out.join(''),
    err: () => err.join(''),
    signal: (name) => void signals.emit(name),
  };
}
