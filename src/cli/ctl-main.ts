/** splice-ctl as a function: from the command line to the exit code. Nouns read, verbs change. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { SpliceError } from '../errors.js';
import { PIN_DIRECTORY } from '../engine/packet-options.js';
import { parseDirectoryOrNone, parseDuration } from '../server/config-values.js';
import { cache, type CacheOptions } from './ctl-cache.js';
import { change } from './ctl-change.js';
import type { CtlContext, CtlParts } from './ctl-context.js';
import { doctor } from './ctl-doctor.js';
import { flows } from './ctl-flows.js';
import { passwd } from './ctl-passwd.js';
import { purge, type PurgeOptions } from './ctl-purge.js';
import { stats } from './ctl-stats.js';
import { uninstall } from './ctl-uninstall.js';
import { EXIT, EXIT_HELP } from './environment.js';
import type { Environment, ExitCode } from './environment.js';
import { endedBy } from './failure.js';
import { VERSION } from './version.js';

const EXAMPLES = `
Nouns (doctor, flows, stats, cache) only read; verbs (drain, reload, purge, passwd, uninstall) change something.
Without --control the sockets of all running servers are found.

Examples:
  $ splice-ctl doctor                               what this machine can do, what is missing, what to do
  $ splice-ctl flows --json | jq length             how many flows live
  $ splice-ctl flows --watch                        the same every second, until Ctrl-C
  $ splice-ctl cache https://example.com/logo.png   what is stored of it, and how fresh it is
  $ splice-ctl purge --prefix https://example.com/static/
  $ splice-ctl passwd --file /etc/symsplice/users alice
  $ echo "$PASSWORD" | splice-ctl passwd alice      print the line instead, for some other tool
  $ splice-ctl drain --control /run/symsplice/socks.sock

${EXIT_HELP}
`;

type SocketOptions = { readonly json?: boolean; readonly control?: string; readonly all?: boolean };

export async function ctlMain(environment: Environment, parts: CtlParts): Promise<ExitCode> {
  const context: CtlContext = { ...parts, environment };
  let code: ExitCode = EXIT.ok;
  const program = buildProgram(context, (result) => (code = result));
  try {
    await program.parseAsync([...environment.argv], { from: 'user' });
    return code;
  } catch (error) {
    return endedBy(error, 'splice-ctl', environment.stderr);
  }
}

/** Between two looks, where nobody says otherwise. */
const WATCH_MS = 1000;

/** Milliseconds; no oftener than ten times a second. */
const parseWatch = (text: string): number =>
  argument(() => {
    const ms = parseDuration(text, 'allowed');
    if (ms === 0) throw new SpliceError('ERR_SPLICE_ARGUMENT', '0 leaves no time to read; write 1, or 500ms');
    return Math.max(100, ms);
  });

const parsePins = (text: string): string => argument(() => parseDirectoryOrNone(text));

/** The mistake in an argument as commander wants it. */
function argument<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
}

function buildProgram(context: CtlContext, finished: (code: ExitCode) => void): Command {
  const { stdout, stderr } = context.environment;
  const program = new Command('splice-ctl')
    .description('Looks into running symsplice servers and steers them.')
    .version(VERSION, '--version', 'Print the version and exit.')
    .helpOption('-h, --help', 'Print this help and exit.')
    .addHelpText('after', EXAMPLES)
    .exitOverride()
    .configureOutput({ writeOut: (text) => void stdout.write(text), writeErr: (text) => void stderr.write(text) })
    .showHelpAfterError('(splice-ctl --help lists all commands)');
  // Options are made anew for each command: commander keeps state in them.
  const json = () => new Option('--json', 'Print JSON instead of a table.');
  const control = () => new Option('--control <PATH>', 'Ask this control socket only.');
  const all = () => new Option('--all', 'Every running server, where there are several.');

  program
    .command('doctor')
    .description(
      'Probe this machine: privileges, kernel, limits; what each enables and what to do where it is missing.',
    )
    .addOption(json())
    .action(async (options: SocketOptions) => finished(await doctor(context, { json: options.json === true })));
  program
    .command('flows')
    .description('List the live flows: id, client, target, server, backend, state (of each side, too), bytes, age.')
    .addOption(json())
    .addOption(control())
    .addOption(
      new Option('--watch [SECONDS]', 'Again and again, until Ctrl-C; once a second if not said otherwise.').argParser(
        parseWatch,
      ),
    )
    .action(async ({ json, control, watch }: SocketOptions & { readonly watch?: number | true }) =>
      finished(await flows(context, { json: json === true, control, watchMs: watch === true ? WATCH_MS : watch })),
    );
  program
    .command('stats')
    .description('Show the counters of each server since its start.')
    .addOption(json())
    .addOption(control())
    .action(async (options: SocketOptions) =>
      finished(await stats(context, { json: options.json === true, control: options.control })),
    );
  program
    .command('cache')
    .description('Show the cache of each splice-http, or what is stored there under a URL.')
    .argument('[URL]', 'as clients ask for it, with http:// or https://')
    .addOption(json())
    .addOption(control())
    .action(async (url: string | undefined, options: CacheOptions) => finished(await cache(context, url, options)));
  program
    .command('purge')
    .description('Take out of the cache of a splice-http: a URL with all its variants, or more.')
    .argument('[URL]', 'as clients ask for it, with http:// or https://')
    .addOption(new Option('--prefix <URL>', 'Every URL that begins so.'))
    .addOption(new Option('--tag <TAG>', 'Everything that its origin has marked with this tag.'))
    .addOption(new Option('--everything', 'The whole cache.'))
    .addOption(new Option('--soft', 'Keep it as stale: to be validated, or sent where stale answers may be.'))
    .addOption(control())
    .addOption(all())
    .action(async (url: string | undefined, options: PurgeOptions) => finished(await purge(context, url, options)));
  for (const [verb, description] of [
    ['drain', 'Stop accepting, let flows end until the drain timeout, then exit.'],
    ['reload', 'Read configuration, users and rules again; on a mistake the old ones stay.'],
  ] as const) {
    program
      .command(verb)
      .description(description)
      .addOption(control())
      .addOption(all())
      .action(async (options: SocketOptions) =>
        finished(await change(context, verb, { control: options.control, all: options.all === true })),
      );
  }
  program
    .command('passwd')
    .description('Make or change a user. The password is asked for twice, or read from stdin if that is no terminal.')
    .argument('<NAME>', 'name of the user')
    .addOption(new Option('--file <FILE>', 'Put the line into this users file (mode 0600) instead of printing it.'))
    .action(async (name: string, options: { readonly file?: string }) =>
      finished(await passwd(context, name, options.file)),
    );
  program
    .command('uninstall')
    .description('Reset the flows that ended servers left in the kernel, and take the programs off the interfaces.')
    .addOption(
      new Option('--pin-directory <PATH>', 'Where they are pinned, if splice-socks was told so; none = nowhere.')
        .argParser(parsePins)
        .default(PIN_DIRECTORY),
    )
    .action(async ({ pinDirectory }: { readonly pinDirectory: string }) =>
      finished(await uninstall(context, pinDirectory)),
    );
  return program;
}
