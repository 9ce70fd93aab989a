/** Cleaning up on every end of this process that it can notice. Called by whoever opens a lab. */

const SIGNALS = [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const;

/**
 * Calls `close` when the process exits. A signal that nobody else listens for exits; a program that has handlers of
 * its own decides by itself. Gives what takes all of that back.
 */
export function onExit(close: () => void): () => void {
  process.on('exit', close);
  const listeners = SIGNALS.map(([signal, code]) => {
    const listener = (): void => {
      if (process.listenerCount(signal) === 1) process.exit(code);
    };
    process.on(signal, listener);
    return () => process.off(signal, listener);
  });
  return () => {
    process.off('exit', close);
    for (const remove of listeners) remove();
  };
}
