/**
 * Shows something again and again until SIGINT or SIGTERM, or until nobody reads it any more. On a terminal each picture
 * takes the place of the one before; elsewhere they follow one another.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { EXIT, type Environment, type ExitCode, type Output } from './environment.js';

/** Cursor home; then, behind each line, what is left of the older one is wiped out, and all below. No blank moment. */
const HOME = '\x1b[H';
const WIPE_LINE = '\x1b[K';
const WIPE_REST = '\x1b[J';
const CLEAR = '\x1b[2J';

/** The first picture has to succeed; a later one that does not (the server restarts) shows why, and the next is tried. */
export async function watch(environment: Environment, ms: number, draw: () => Promise<string>): Promise<ExitCode> {
  const { stdout } = environment;
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) environment.onSignal(signal, () => stop.abort());
  let picture = await draw();
  if (stdout.isTTY === true) stdout.write(CLEAR);
  for (let first = true; !stop.signal.aborted && stdout.writable !== false; first = false) {
    show(stdout, picture, first);
    await sleep(ms, undefined, { signal: stop.signal }).catch(() => undefined);
    if (!stop.signal.aborted) picture = await draw().catch(sayWhy);
  }
  return EXIT.ok;
}

function show(stdout: Output, picture: string, first: boolean): void {
  if (stdout.isTTY !== true) {
    // JSON, one line a picture, needs no line between.
    const apart = first || !picture.trimEnd().includes('\n') ? '' : '\n';
    stdout.write(`${apart}${picture}`);
    return;
  }
  // A terminal that does not know its size says 0.
  const lines = fit(picture.trimEnd().split('\n'), stdout.rows || Infinity);
  stdout.write(`${HOME}${lines.map((line) => `${line}${WIPE_LINE}\n`).join('')}${WIPE_REST}`);
}

/** As many lines as the screen has, less the one of the cursor; the last one says how many were left out. */
function fit(lines: readonly string[], rows: number): readonly string[] {
  if (lines.length < rows) return lines;
  const shown = Math.max(0, rows - 2);
  return [...lines.slice(0, shown), `... ${lines.length - shown} more`];
}

function sayWhy(error: unknown): string {
  return `${error instanceof Error ? error.message : String(error)}\n`;
}
