/** What lies behind an error of the addon, translated (src/engine/bpf-object.ts) or not. */

/** Positive; 0 when there is none. */
export function errnoOf(error: unknown): number {
  const cause = failedCall(error);
  return cause === undefined ? 0 : Math.abs(cause.errno);
}

/** The system call that failed, '' when there was none. */
export function syscallOf(error: unknown): string {
  return failedCall(error)?.syscall ?? '';
}

function failedCall(error: unknown): { errno: number; syscall: string } | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    if ('errno' in at && typeof at.errno === 'number' && at.errno !== 0) {
      return { errno: at.errno, syscall: 'syscall' in at && typeof at.syscall === 'string' ? at.syscall : '' };
    }
  }
  return undefined;
}
