/**
 * Configuration of a server: flags over file over defaults, checked as a whole. Called through config.ts or
 * http-config.ts at start and again at each SIGHUP; touches nothing but the file that --config names.
 */
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { ConfigError } from '../errors.js';
import type { OperationConfig } from './config-common.js';
import { keyOf, namesOf } from './config-table.js';
import type { FlagsOf, Mistake, Program, Setting } from './config-table.js';
import { parseSettingsFile } from './config-yaml.js';
import type { FileValues } from './config-yaml.js';

export type ReadFile = (path: string) => Promise<string>;

const readText: ReadFile = (path) => readFile(path, 'utf8');

/**
 * Merges and checks. Relative paths in flags start at the working directory, those in the file at the file.
 * @throws ConfigError with every mistake that could be found, one per line; `file` and `line` are those of the first.
 */
export async function loadSettings<Config extends OperationConfig>(
  program: Program<Config>,
  flags: FlagsOf<Config>,
  read: ReadFile = readText,
): Promise<Config> {
  const mistakes: Mistake[] = [];
  const fromFlags = parseFlags(program, flags, mistakes);
  const file = typeof fromFlags['config'] === 'string' ? resolve(fromFlags['config']) : undefined;
  const fromFile: FileValues<Config> =
    file === undefined
      ? { values: {}, lines: new Map(), mistakes: [] }
      : parseSettingsFile(program, await readOrThrow(file, read), file);
  mistakes.push(...fromFile.mistakes);

  const config: Record<string, unknown> = {};
  for (const name of namesOf(program)) {
    const setting = program.settings[name];
    const inFlags = fromFlags[name];
    const value: unknown = inFlags ?? fromFile.values[name] ?? setting.initial;
    const base = inFlags === undefined && file !== undefined ? dirname(file) : process.cwd();
    config[name] = resolved(setting, value, base);
  }
  // A flag about the control socket overrides whatever the file says about it, under either name.
  if (fromFlags['control'] !== undefined && fromFlags['noControl'] === undefined) config['noControl'] = false;
  if (fromFlags['noControl'] !== undefined && fromFlags['control'] === undefined) config['control'] = undefined;

  // Every setting was parsed by its own schema, so that the record has the shape that the table promises.
  const given = config as unknown as Config;
  const merged = program.complete?.(given) ?? given;
  if (mistakes.length === 0) mistakes.push(...mistakesTogether(program, merged, fromFlags, fromFile, file));
  if (mistakes.length > 0) throw configError(mistakes);
  return merged;
}

/** One ConfigError for a list of mistakes (at least one). */
export function configError(mistakes: readonly Mistake[]): ConfigError {
  const [first, ...rest] = mistakes;
  const further = rest.map((mistake) => `\n${new ConfigError(mistake.message, mistake).message}`);
  return new ConfigError(`${first?.message ?? ''}${further.join('')}`, first ?? {});
}

/** Settings that differ between two configurations and that a running server cannot change. */
export function restartSettings<Config>(program: Program<Config>, before: Config, after: Config): string[] {
  return namesOf(program)
    .filter(
      (name) => program.settings[name].needsRestart && JSON.stringify(before[name]) !== JSON.stringify(after[name]),
    )
    .map(keyOf);
}

function resolved<T>(setting: Setting<T>, value: unknown, base: string): unknown {
  if (setting.isPath === undefined) return value;
  if (typeof setting.isPath === 'function') return setting.isPath(value as T, (path) => resolve(base, path));
  if (Array.isArray(value)) return value.map((path: string) => resolve(base, path));
  // '' is how some settings keep `none`.
  return typeof value === 'string' && value !== '' ? resolve(base, value) : value;
}

function parseFlags<Config>(
  program: Program<Config>,
  flags: FlagsOf<Config>,
  mistakes: Mistake[],
): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const name of namesOf(program)) {
    if (flags[name] === undefined) continue;
    const result = program.settings[name].schema.safeParse(flags[name]);
    if (result.success) values[name] = result.data;
    else mistakes.push(...result.error.issues.map((issue) => ({ message: `--${keyOf(name)}: ${issue.message}` })));
  }
  return values;
}

async function readOrThrow(file: string, read: ReadFile): Promise<string> {
  try {
    return await read(file);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigError(`cannot be read: ${why}; check the path after --config`, { file }, { cause });
  }
}

function mistakesTogether<Config extends OperationConfig>(
  program: Program<Config>,
  config: Config,
  fromFlags: Readonly<Record<string, unknown>>,
  fromFile: FileValues<Config>,
  file: string | undefined,
): Mistake[] {
  const mistakes: Mistake[] = [];
  program.checkTogether(config, (name, message) => {
    // Point at the file only where the value came from it: a flag has no line.
    const line = fromFlags[name] === undefined ? fromFile.lines.get(name) : undefined;
    mistakes.push(line === undefined || file === undefined ? { message } : { message, file, line });
  });
  return mistakes;
}
