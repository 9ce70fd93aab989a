/** What the JavaScript heap holds for good. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Bytes that are still in use after `work` and were not before. */
export function grownBy(work: () => void): number {
  const before = inUse();
  work();
  return inUse() - before;
}

/** Bytes that something still refers to. */
export function inUse(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  return process.memoryUsage().heapUsed;
}
