/** `splice-ctl purge`: takes something out of the cache of a running splice-http. It never guesses which one is meant. */
import { SpliceError } from '../errors.js';
import { ask, chooseTargets } from './ctl-context.js';
import type { CtlContext } from './ctl-context.js';
import { purgeShape } from './ctl-http-shapes.js';
import { EXIT, printError } from './environment.js';
import type { ExitCode } from './environment.js';

export interface PurgeOptions {
  readonly prefix?: string;
  readonly tag?: string;
  readonly everything?: true;
  readonly soft?: true;
  readonly control?: string;
  /** Every living splice-http, where there are several. */
  readonly all?: true;
}

export async function purge(context: CtlContext, url: string | undefined, options: PurgeOptions): Promise<ExitCode> {
  const { prefix, tag, everything, soft, control, all } = options;
  const wanted = { url, prefix, tag, all: everything };
  if (Object.values(wanted).filter((each) => each !== undefined).length !== 1) {
    throw new SpliceError('ERR_SPLICE_ARGUMENT', 'say one thing to purge: a URL, --prefix, --tag, or --everything');
  }
  const sockets = await chooseTargets(context, { control, all: all === true }, ['http']);
  const { stdout, stderr } = context.environment;
  let code: ExitCode = EXIT.ok;
  for (const path of sockets) {
    try {
      const order = { ...wanted, mode: soft === true ? 'soft' : 'hard' };
      const { objects, mode, durable } = await ask(path, '/purge', purgeShape, order);
      const what = `${objects} object${objects === 1 ? '' : 's'}`;
      stdout.write(`${path}: ${mode === 'soft' ? `${what} made stale` : `${what} purged`}\n`);
      if (!durable) throw new SpliceError('ERR_SPLICE_SYSTEM', `${path}: ${NOT_DURABLE}`);
    } catch (error) {
      printError(stderr, 'splice-ctl', error);
      code = EXIT.failure;
    }
  }
  return code;
}

const NOT_DURABLE =
  'the disk did not take it down: they may be back after a restart; look at the disk, then purge once more';
