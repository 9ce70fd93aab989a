/** `splice-ctl passwd NAME`: makes a line of the users file, and with --file puts it there. */
import { SpliceError } from '../errors.js';
import { wrongName } from '../socks/users.js';
import type { CtlContext } from './ctl-context.js';
import { EXIT } from './environment.js';
import type { ExitCode } from './environment.js';
import { readPassword } from './read-password.js';
import { writeUser } from './users-file-edit.js';

export async function passwd(context: CtlContext, name: string, file: string | undefined): Promise<ExitCode> {
  const problem = wrongName(name);
  if (problem !== undefined) throw new SpliceError('ERR_SPLICE_ARGUMENT', problem);
  const { environment } = context;
  const hash = await context.hashPassword(await readPassword(environment));
  if (file === undefined) {
    environment.stdout.write(`${name}:${hash}\n`);
    return EXIT.ok;
  }
  try {
    const { added } = await writeUser(file, name, hash);
    environment.stdout.write(`${file}: ${added ? 'added' : 'changed'} ${name}\n`);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new SpliceError('ERR_SPLICE_SYSTEM', `${file} was not changed: ${why}`, { cause });
  }
  return EXIT.ok;
}
