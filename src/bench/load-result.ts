/** What `splice-load run` says: its result on standard output, and on standard error that it begins to measure. Pure. */
import type { LoadResult, Output } from './model.js';

/** With `--announce`: all connections are open, and the warm-up is over. */
export const ANNOUNCEMENT = 'measuring';

/** Undefined for anything but a result: the load generator prints that, or nothing. */
export function parseResult(out: string): LoadResult | undefined {
  const start = out.indexOf('{');
  if (start < 0) return undefined;
  try {
    return JSON.parse(out.slice(start)) as LoadResult;
  } catch {
    return undefined;
  }
}

/** @throws Error with what the load generator said instead */
export function resultOf({ out, err, code }: Output): LoadResult {
  const result = parseResult(out);
  if (result !== undefined) return result;
  const said = err.trim().slice(-300) || 'it said nothing';
  throw new Error(`the load generator ended with ${code ?? 'a signal'}: ${said}`);
}
