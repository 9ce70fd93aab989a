/** `--check`: reads everything that a start would read, says how each part is, and starts nothing. */
import { formatAddress } from '../server/config.js';
import type { SocksConfig } from '../server/config.js';
import { EXIT } from './environment.js';
import type { ExitCode, Output } from './environment.js';

/** Reads one file as the server would; resolves with a few words about it, rejects with the mistake. */
export type CheckFile = (path: string, config: SocksConfig) => Promise<string>;

export interface FileChecks {
  readonly users: CheckFile;
  readonly rules: CheckFile;
}

/** One thing that a configuration names. */
export interface ConfigurationPart {
  readonly name: string;
  /** Reads it as the server would; resolves with a few words about it, rejects with the mistake. */
  check(): Promise<string>;
}

export function checkConfiguration(
  readConfig: () => Promise<SocksConfig>,
  checks: FileChecks,
  stdout: Output,
): Promise<ExitCode> {
  const describe = ({ config, listen, backend }: SocksConfig): string =>
    `${config ?? 'flags and defaults'}: listens on ${listen.map(formatAddress).join(', ')}, backend ${backend}`;
  const parts = (config: SocksConfig): ConfigurationPart[] =>
    (['users', 'rules'] as const).flatMap((name) => {
      const path = config[name];
      if (path === undefined) return [];
      return [{ name, check: async () => `${path}: ${await checks[name](path, config)}` }];
    });
  return checkParts(readConfig, describe, parts, stdout);
}

/** The configuration itself, and then what it names, each of them although another is wrong. */
export async function checkParts<Config>(
  readConfig: () => Promise<Config>,
  describe: (config: Config) => string,
  partsOf: (config: Config) => readonly ConfigurationPart[],
  stdout: Output,
): Promise<ExitCode> {
  let code: ExitCode = EXIT.ok;
  const tell = async (name: string, check: () => Promise<string>): Promise<void> => {
    try {
      stdout.write(`${name.padEnd(13)} ok     ${await check()}\n`);
    } catch (error) {
      code = EXIT.failure;
      const message = error instanceof Error ? error.message : String(error);
      for (const line of message.split('\n')) stdout.write(`${name.padEnd(13)} wrong  ${line}\n`);
    }
  };

  let config: Config | undefined;
  await tell('configuration', async () => describe((config = await readConfig())));
  if (config !== undefined) for (const part of partsOf(config)) await tell(part.name, () => part.check());
  return code;
}
