/** The flags of a server, made from its table of settings: parsing, --help, --version. Starts nothing. */
import { Command, CommanderError, Option } from 'commander';
import { keyOf, namesOf } from '../server/config-table.js';
import type { FlagsOf, Program, Setting } from '../server/config-table.js';
import { EXIT } from './environment.js';
import type { Environment, ExitCode } from './environment.js';
import { VERSION } from './version.js';

export type ParsedCommand<Config> =
  { readonly kind: 'run'; readonly flags: FlagsOf<Config> } | { readonly kind: 'exit'; readonly code: ExitCode };

export interface CommandTexts {
  readonly description: string;
  /** Behind the flags. */
  readonly after: string;
}

/** Reads the command line; prints help, version and usage mistakes itself. */
export function parseServerCommand<Config>(
  program: Pick<Program<Config>, 'name' | 'groups' | 'settings'>,
  texts: CommandTexts,
  environment: Pick<Environment, 'argv' | 'stdout' | 'stderr'>,
): ParsedCommand<Config> {
  const command = new Command(program.name)
    .description(texts.description)
    .version(VERSION, '--version', 'Print the version and exit.')
    .helpOption('-h, --help', 'Print this help and exit.')
    .addHelpText('after', texts.after)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void environment.stdout.write(text),
      writeErr: (text) => void environment.stderr.write(text),
    })
    .showHelpAfterError(`(${program.name} --help lists all flags)`);
  const names = namesOf(program).filter((name) => program.settings[name].fileOnly === undefined);
  for (const group of program.groups) {
    for (const name of names.filter((candidate) => program.settings[candidate].group === group)) {
      command.addOption(optionFor(name, program.settings[name]));
    }
  }
  try {
    command.parse([...environment.argv], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return { kind: 'exit', code: error.exitCode === 0 ? EXIT.ok : EXIT.usage };
  }
  return { kind: 'run', flags: flagsOf<Config>(names, command.opts<Record<string, unknown>>()) };
}

function optionFor<T>(name: string, { argument, help, initialText, repeatable, group }: Setting<T>): Option {
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

/**
 * Commander keeps `--no-control` as `control: false`, and `cache: true` where there is a `--no-cache` that was not
 * given; the settings know both as switches of their own.
 */
function flagsOf<Config>(names: readonly (keyof Config & string)[], options: Record<string, unknown>): FlagsOf<Config> {
  const flags: Record<string, unknown> = { ...options };
  for (const name of names) {
    const [, first, rest] = /^no([A-Z])(.*)$/.exec(name) ?? [];
    if (first === undefined || rest === undefined) continue;
    const positive = `${first.toLowerCase()}${rest}`;
    const value = flags[positive];
    if (typeof value !== 'boolean') continue;
    delete flags[positive];
    if (!value) flags[name] = true;
  }
  return flags as FlagsOf<Config>;
}
