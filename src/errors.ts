/**
 * Every error that symsplice throws. Match on `code`: it is stable; messages are for people.
 *
 * A wrong call (wrong state, wrong argument) throws; a failure of the network is a value
 * (a reply code, a close reason), because a proxy meets it thousands of times a minute.
 */

/** Stable codes of {@link SpliceError}. */
export type SpliceErrorCode =
  | 'ERR_SPLICE_ADDON' // the native addon is missing or does not load
  | 'ERR_SPLICE_ABI' // addon, BPF object and package were not built together
  | 'ERR_SPLICE_ARGUMENT' // an argument has the wrong type or value
  | 'ERR_SPLICE_STATE' // the call is not allowed in the present state
  | 'ERR_SPLICE_BACKEND' // the backend asked for cannot be used here
  | 'ERR_SPLICE_VERIFIER' // the kernel refused a BPF program
  | 'ERR_SPLICE_SYSTEM' // a system call failed
  | 'ERR_SPLICE_CONFIG' // a configuration file or flag is wrong
  | 'ERR_SPLICE_LISTEN'; // an address cannot be listened on

export class SpliceError extends Error {
  override readonly name: string = 'SpliceError';
  readonly code: SpliceErrorCode;

  constructor(code: SpliceErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** A call that the present state of engine, socket or flow does not allow. Nothing was changed. */
export class SpliceStateError extends SpliceError {
  override readonly name = 'SpliceStateError';
  readonly method: string;
  readonly state: string;

  constructor(method: string, state: string, next: string) {
    super('ERR_SPLICE_STATE', `${method}: not allowed while ${state}; ${next}`);
    this.method = method;
    this.state = state;
  }
}

/** An argument that no state would make right. */
export class SpliceArgumentError extends SpliceError {
  override readonly name = 'SpliceArgumentError';

  constructor(message: string, options?: { cause?: unknown }) {
    super('ERR_SPLICE_ARGUMENT', message, options);
  }
}

/** The backend asked for by name cannot be used; `reason` says why and what would help. */
export class BackendUnavailableError extends SpliceError {
  override readonly name = 'BackendUnavailableError';
  readonly backend: string;
  readonly reason: string;

  constructor(backend: string, reason: string, options?: { cause?: unknown }) {
    super('ERR_SPLICE_BACKEND', `backend "${backend}" cannot be used: ${reason}`, options);
    this.backend = backend;
    this.reason = reason;
  }
}

/** The kernel's verifier refused a program; the whole log is kept in `log`. */
export class VerifierError extends SpliceError {
  override readonly name = 'VerifierError';
  readonly program: string;
  readonly log: string;

  constructor(program: string, log: string, options?: { cause?: unknown }) {
    const lines = log.trimEnd().split('\n');
    const last = lines.at(-1) ?? '';
    super(
      'ERR_SPLICE_VERIFIER',
      `the kernel refused BPF program "${program}": ${last} (${lines.length} lines in .log)`,
      options,
    );
    this.program = program;
    this.log = log;
  }
}

/** A mistake in a configuration file or flag, with the place where it stands. */
export class ConfigError extends SpliceError {
  override readonly name = 'ConfigError';
  readonly file: string | undefined;
  readonly line: number | undefined;

  constructor(message: string, place: { file?: string; line?: number } = {}, options?: { cause?: unknown }) {
    const where =
      place.file === undefined ? '' : place.line === undefined ? `${place.file}: ` : `${place.file}:${place.line}: `;
    super('ERR_SPLICE_CONFIG', `${where}${message}`, options);
    this.file = place.file;
    this.line = place.line;
  }
}

/** Thrown by `default:` branches that the type system proves unreachable. */
export function assertNever(value: never): never {
  throw new TypeError(`unreachable: ${JSON.stringify(value)}`);
}

/** Makes of an error what it is when an event's listener throws it, the process' uncaught exception; the caller goes on. */
export function throwUncaught(error: unknown): void {
  process.nextTick(() => {
    throw error;
  });
}
