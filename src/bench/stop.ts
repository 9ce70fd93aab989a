/** The end of a run that the user wants: whoever waits stops waiting; what has been started is taken down by its owner. */

/** Not a failure of what was measured. */
export class Stopped extends Error {
  override readonly name = 'Stopped';
}

const reasonOf = (signal: AbortSignal): Stopped =>
  signal.reason instanceof Stopped ? signal.reason : new Stopped('stopped', { cause: signal.reason });

export function throwIfStopped(signal: AbortSignal): void {
  if (signal.aborted) throw reasonOf(signal);
}

/** The promise's result, or {@link Stopped} as soon as the signal is aborted. What the promise stands for goes on. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(reasonOf(signal));
    if (signal.aborted) {
      // Nobody waits for the promise any more: it may fail without anybody's notice.
      promise.catch(() => undefined);
      return stop();
    }
    signal.addEventListener('abort', stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}
