/**
 * Configuration of splice-socks: flags over file over defaults, checked as a whole. Called by the command line at
 * start and again at each SIGHUP; touches nothing but the file that --config names.
 */
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { ConfigError } from '../errors.js';
import { formatAddress, isLoopback } from './config-address.js';
import type { HostPort } from './config-address.js';
import { parseConfigFile } from './config-file.js';
import type { FileValues, Mistake } from './config-file.js';
import { keyOf, SETTING_NAMES, SETTINGS } from './config-settings.js';
import type { SettingName, SocksConfig } from './config-settings.js';

export { formatAddress, isLoopback } from './config-address.js';
export type { HostPort } from './config-address.js';
export type { BackendChoice, LogFormat, LogLevel, SettingName, SocksConfig } from './config-settings.js';

/** What the command line gave: text, a list of texts (repeatable flags) or true (switches). */
export type FlagValues = { readonly [Name in SettingName]?: unknown };

export type ReadFile = (path: string) => Promise<string>;

const readText: ReadFile = (path) => readFile(path, 'utf8');

/**
 * Merges and checks. Relative paths in flags start at the working directory, those in the file at the file.
 * @throws ConfigError with every mistake that could be found, one per line; `file` and `line` are those of the first.
 */
export async function loadConfig(flags: FlagValues, read: ReadFile = readText): Promise<SocksConfig> {
  const mistakes: Mistake[] = [];
  const fromFlags = parseFlags(flags, mistakes);
  const file = typeof fromFlags.config === 'string' ? resolve(fromFlags.config) : undefined;
  const fromFile = file === undefined ? NO_FILE : parseConfigFile(await readOrThrow(file, read), file);
  mistakes.push(...fromFile.mistakes);

  const config: Record<string, unknown> = {};
  for (const name of SETTING_NAMES) {
    const setting = SETTINGS[name];
    const inFlags = fromFlags[name];
    const value: unknown = inFlags ?? fromFile.values[name] ?? setting.initial;
    const base = inFlags === undefined && file !== undefined ? dirname(file) : process.cwd();
    config[name] = setting.isPath && typeof value === 'string' ? resolve(base, value) : value;
  }
  // A flag about the control socket overrides whatever the file says about it, under either name.
  if (fromFlags.control !== undefined && fromFlags.noControl === undefined) config['noControl'] = false;
  if (fromFlags.noControl !== undefined && fromFlags.control === undefined) config['control'] = undefined;

  // Every setting was parsed by its own schema, so that the record has the shape that the table promises.
  const merged = config as unknown as SocksConfig;
  if (mistakes.length === 0) mistakes.push(...checkTogether(merged, fromFile, file));
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
export function changesThatNeedRestart(before: SocksConfig, after: SocksConfig): string[] {
  return SETTING_NAMES.filter(
    (name) => SETTINGS[name].needsRestart && JSON.stringify(before[name]) !== JSON.stringify(after[name]),
  ).map(keyOf);
}

/**
 * Why these addresses must not be listened on with this configuration, or undefined if they may.
 * Called for configured addresses, and by the server for the sockets that systemd hands over.
 */
export function exposureMistake(
  addresses: readonly HostPort[],
  { users, rules, open }: Pick<SocksConfig, 'users' | 'rules' | 'open'>,
): string | undefined {
  const exposed = addresses.find(({ host }) => !isLoopback(host));
  if (exposed === undefined || open || users !== undefined || rules !== undefined) return undefined;
  return (
    `${formatAddress(exposed)} can be reached from other machines, and neither users nor rules are set: ` +
    'anyone could use this proxy. Give --users FILE to ask for a password, or --rules FILE to say who may do what, ' +
    'or --open if everyone shall use it'
  );
}

const NO_FILE: FileValues = { values: {}, lines: new Map(), mistakes: [] };

function parseFlags(flags: FlagValues, mistakes: Mistake[]): { [Name in SettingName]?: unknown } {
  const values: { [Name in SettingName]?: unknown } = {};
  for (const name of SETTING_NAMES) {
    if (flags[name] === undefined) continue;
    const result = SETTINGS[name].schema.safeParse(flags[name]);
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

/** Mistakes that no single setting shows. */
function checkTogether(config: SocksConfig, fromFile: FileValues, file: string | undefined): Mistake[] {
  const mistakes: Mistake[] = [];
  const report = (name: SettingName, message: string) => {
    // Point at the file only where the value came from it: a flag has no line.
    const line = fromFile.values[name] === config[name] ? fromFile.lines.get(name) : undefined;
    mistakes.push(line === undefined || file === undefined ? { message } : { message, file, line });
  };
  const seen = new Set<string>();
  for (const address of config.listen) {
    const text = formatAddress(address);
    if (address.port !== 0 && seen.has(text)) report('listen', `listen: ${text} is named twice; name it once`);
    seen.add(text);
  }
  if (config.admin !== undefined && config.admin.port !== 0 && seen.has(formatAddress(config.admin))) {
    report('admin', `admin: ${formatAddress(config.admin)} is already used by listen; choose another port`);
  }
  if (config.control !== undefined && config.noControl) {
    report('noControl', 'no-control contradicts control; give only one of them');
  }
  const exposure = exposureMistake(config.listen, config);
  if (exposure !== undefined) report('listen', `listen: ${exposure}`);
  return mistakes;
}
