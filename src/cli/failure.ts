/** The end of a command that threw. Called by the commands' main functions. */
import { CommanderError } from 'commander';
import { SpliceError } from '../errors.js';
import { EXIT, printError } from './environment.js';
import type { ExitCode, Output } from './environment.js';

/** Says what went wrong, unless commander has said it, and gives the exit code: that of help, of wrong usage, of failure. */
export function endedBy(error: unknown, program: string, stderr: Output): ExitCode {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  printError(stderr, program, error);
  return error instanceof SpliceError && error.code === 'ERR_SPLICE_ARGUMENT' ? EXIT.usage : EXIT.failure;
}
