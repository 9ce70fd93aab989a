/** `splice-ctl uninstall`: takes off this host what the packet and module backends of servers that have ended left on it. */
import { constants } from 'node:os';
import { errnoOf } from '../engine/errno-of.js';
import { SpliceError } from '../errors.js';
import type { CtlContext } from './ctl-context.js';
import { EXIT } from './environment.js';
import type { ExitCode } from './environment.js';

const { EBUSY, EPERM, EACCES } = constants.errno;

export async function uninstall(context: CtlContext, pinDirectory: string): Promise<ExitCode> {
  const { stdout } = context.environment;
  const { filters, flows } = await inWords(() => context.uninstallPacket(pinDirectory));
  stdout.write(
    filters === 0 && flows === 0
      ? 'nothing of the packet backend is on this host\n'
      : `removed ${counted(filters, 'filter')}; ${counted(flows, 'flow')} reset\n`,
  );
  const inModule = await inWords(() => context.resetModule());
  if (inModule !== undefined) {
    stdout.write(`symsplice.ko is loaded: ${counted(inModule, 'flow')} reset; "rmmod symsplice" takes it off\n`);
  }
  return EXIT.ok;
}

async function inWords<T>(step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (cause) {
    const why = wordsOf(errnoOf(cause));
    if (why === undefined) throw cause;
    throw new SpliceError('ERR_SPLICE_SYSTEM', why, { cause });
  }
}

function wordsOf(errno: number): string | undefined {
  if (errno === EBUSY)
    return 'a running process uses the packet or module backend here: stop it first, as with "splice-ctl drain"';
  if (errno === EPERM || errno === EACCES) return 'needs root, or CAP_SYS_ADMIN and CAP_NET_ADMIN';
  return undefined;
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
