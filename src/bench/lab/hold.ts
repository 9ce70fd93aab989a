/**
 * Changes to a host that last as long as a process there: a shell makes them, waits, and takes them back when it is
 * told to end, which also happens when the connection to a remote host breaks. Used for losses and kernel settings.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { SpliceError } from '../../errors.js';
import type { Host, Running } from '../model.js';

const HELD = 'splice-bench: held';
const LIMIT_MS = 10_000;

/** A shell script; `make` stops at the first command that fails, `undo` goes through whatever fails. */
function holdScript(make: readonly string[], undo: readonly string[]): string {
  return [
    `undo() { trap '' TERM INT HUP; set +e; ${[...undo, ':'].join('; ')}; }`,
    'trap undo EXIT',
    "trap 'exit 0' TERM INT HUP",
    'set -e',
    ...make,
    `echo '${HELD}'`,
    // In the background, so that the shell can hear the signal at once.
    'sleep infinity & wait',
  ].join('\n');
}

/** Resolves when the changes are made; stop() takes them back. */
export async function hold(host: Host, make: readonly string[], undo: readonly string[]): Promise<Running> {
  const holder = await host.start(['sh', '-c', holdScript(make, undo)]);
  for (const end = Date.now() + LIMIT_MS; !holder.tail().includes(HELD); await sleep(20)) {
    if (!holder.ended && Date.now() < end) continue;
    const said = holder.tail();
    await holder.stop();
    throw new SpliceError('ERR_SPLICE_SYSTEM', `the ${host.name} host refuses a setting: ${said || 'no answer'}`);
  }
  return holder;
}
