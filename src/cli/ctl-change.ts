/** The verbs of splice-ctl that change a running server: drain and reload. They never guess which one is meant. */
import { z } from 'zod';
import { askControl } from '../control/control-client.js';
import { SpliceError } from '../errors.js';
import { chooseTargets } from './ctl-context.js';
import type { CtlContext } from './ctl-context.js';
import { EXIT, printError } from './environment.js';
import type { ExitCode } from './environment.js';

export interface ChangeOptions {
  readonly control: string | undefined;
  /** Every living server, where there are several. */
  readonly all: boolean;
}

const problem = z.object({ error: z.string() });

export async function change(context: CtlContext, verb: 'drain' | 'reload', options: ChangeOptions): Promise<ExitCode> {
  const sockets = await chooseTargets(context, options);
  const { stdout, stderr } = context.environment;
  let code: ExitCode = EXIT.ok;
  for (const path of sockets) {
    try {
      const { status, value } = await askControl(path, 'POST', `/${verb}`);
      if (status < 200 || status > 299) {
        const answer = problem.safeParse(value);
        throw new SpliceError('ERR_SPLICE_SYSTEM', answer.success ? answer.data.error : `${path}: status ${status}`);
      }
      stdout.write(`${path}: ${verb === 'drain' ? 'draining' : 'reloaded'}\n`);
    } catch (error) {
      printError(stderr, 'splice-ctl', error);
      code = EXIT.failure;
    }
  }
  return code;
}
