/** The flags of splice-socks, made from the table of settings: parsing, --help, --version. Starts nothing. */
import { Command, CommanderError, Option } from 'commander';
import { keyOf, SETTING_GROUPS, SETTING_NAMES, SETTINGS } from '../server/config-settings.js';
import type { SettingName } from '../server/config-settings.js';
import type { FlagValues } from '../server/config.js';
import { EXIT, EXIT_HELP } from './environment.js';
import type { Environment, ExitCode } from './environment.js';
import { VERSION } from './version.js';

const DESCRIPTION = `SOCKS4, SOCKS4a and SOCKS5 proxy that hands each connection to the kernel after the handshake.`;

const EXAMPLES = `
Durations: 500ms, 10s, 5m, 1h, 1d; a plain number means seconds.
A setting is taken from its flag, else from the file, else from the default. SIGHUP reads the file again.

Examples:
  $ splice-socks
      for programs on this machine, on 127.0.0.1:1080
  $ splice-socks --listen :1080 --users /etc/symsplice/users
      for everyone who has a password (splice-ctl passwd makes one)
  $ splice-socks --listen 10.0.0.1:1080 --listen [fd00::1]:1080 --rules /etc/symsplice/rules.yaml
      for whom the rules allow
  $ splice-socks --config /etc/symsplice/splice-socks.yaml --check
      say what is wrong with a configuration, and exit

Signals: SIGTERM and SIGINT drain (again: stop at once), SIGHUP reads configuration, users and rules again.
With --check, 0 means that everything is in order and 1 that it is not.
${EXIT_HELP}
`;

export type ParsedCommand =
  { readonly kind: 'run'; readonly flags: FlagValues } | { readonly kind: 'exit'; readonly code: ExitCode };

/** Reads the command line; prints help, version and usage mistakes itself. */
export function parseSocksCommand(environment: Pick<Environment, 'argv' | 'stdout' | 'stderr'>): ParsedCommand {
  const command = new Command('splice-socks')
    .description(DESCRIPTION)
    .version(VERSION, '--version', 'Print the version and exit.')
    .helpOption('-h, --help', 'Print this help and exit.')
    .addHelpText('after', EXAMPLES)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void environment.stdout.write(text),
      writeErr: (text) => void environment.stderr.write(text),
    })
    .showHelpAfterError('(splice-socks --help lists all flags)');
  for (const group of SETTING_GROUPS) {
    for (const name of SETTING_NAMES.filter((candidate) => SETTINGS[candidate].group === group)) {
      command.addOption(optionFor(name));
    }
  }
  try {
    command.parse([...environment.argv], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return { kind: 'exit', code: error.exitCode === 0 ? EXIT.ok : EXIT.usage };
  }
  return { kind: 'run', flags: flagsOf(command.opts<Record<string, unknown>>()) };
}

function optionFor(name: SettingName): Option {
  const { argument, help, initialText, repeatable, group } = SETTINGS[name];
  const flag = `--${keyOf(name)}`;
  const description = initialText === undefined ? help : `${help} (default: ${initialText})`;
  const option = new Option(argument === undefined ? flag : `${flag} <${argument}>`, description).helpGroup(
    `${group}:`,
  );
  // Commander takes any [ in the flags for an optional argument; the one in [HOST:]PORT is only meant for readers.
  option.optional = false;
  if (repeatable) option.argParser((value: string, before: string[] | undefined) => [...(before ?? []), value]);
  return option;
}

/** Commander keeps `--no-control` as `control: false`; the settings know it as a switch of its own. */
function flagsOf(options: Record<string, unknown>): FlagValues {
  const { control, ...flags } = options;
  if (control === undefined) return flags;
  return control === false ? { ...flags, noControl: true } : { ...flags, control };
}
