/** Looking while a load is in its measured interval. */
import type { Session } from '../figures/figure.js';
import { ANNOUNCEMENT, resultOf } from '../load-result.js';
import type { LoadResult } from '../model.js';

export interface Duration {
  /** From when the connections move. */
  readonly seconds: number;
  readonly warmup: number;
  /** For all connections to open. **Default:** 30 s. */
  readonly openingSeconds?: number;
}

export const TOO_LATE = 'the load was over before everything was measured';

/**
 * Puts a load on and takes steps, one after the other, when its connections move. A step that comes to its end after the
 * load has seen something else than it believes: it and those behind it are missing from the list.
 */
export async function stepsDuringLoad<T>(
  session: Session,
  args: readonly string[],
  { seconds, warmup, openingSeconds = 30 }: Duration,
  steps: readonly (() => Promise<T>)[],
): Promise<{ readonly seen: readonly T[]; readonly result: LoadResult }> {
  let announced = (): void => {};
  const begun = new Promise<void>((resolve) => (announced = resolve));
  const interval = ['--seconds', String(seconds), '--warmup', String(warmup), '--timeout', String(openingSeconds)];
  let ended = false;
  let until = Infinity;
  // After its time it still takes its connections down before it ends.
  const isOver = (): boolean => ended || performance.now() >= until;
  const load = session
    .generate([...args, ...interval, '--announce'], {
      timeoutMs: (openingSeconds + warmup + seconds + 30) * 1000,
      onError: (text) => {
        if (!text.includes(ANNOUNCEMENT)) return;
        until = performance.now() + seconds * 1000;
        announced();
      },
    })
    .finally(() => (ended = true));
  await Promise.race([begun, load]);
  const seen: T[] = [];
  const look = async (): Promise<void> => {
    for (const step of steps) {
      // At the first one: a load that did not come so far as to announce itself, which says why in its result.
      if (isOver()) return;
      const value = await step();
      if (!isOver()) seen.push(value);
    }
  };
  const [looked, output] = await Promise.allSettled([look(), load]);
  if (output.status === 'rejected') throw output.reason;
  const result = resultOf(output.value);
  if (!result.clean) throw new Error(`${result.errors} errors, ${result.corrupt} wrong bytes: ${result.firstError}`);
  if (looked.status === 'rejected') throw looked.reason;
  return { seen, result };
}

/** One look, which has to be in time. */
export async function duringLoad<T>(
  session: Session,
  args: readonly string[],
  duration: Duration,
  look: () => Promise<T>,
): Promise<{ readonly seen: T; readonly result: LoadResult }> {
  const { seen, result } = await stepsDuringLoad(session, args, duration, [look]);
  const [first] = seen.map((value) => ({ value }));
  if (!first) throw new Error(TOO_LATE);
  return { seen: first.value, result };
}
