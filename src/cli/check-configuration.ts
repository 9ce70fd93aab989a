/** `splice-socks --check`: reads everything that a start would read, says how each part is, and starts nothing. */
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

export async function checkConfiguration(
  readConfig: () => Promise<SocksConfig>,
  checks: FileChecks,
  stdout: Output,
): Promise<ExitCode> {
  let code: ExitCode = EXIT.ok;
  const part = async <T>(name: string, work: () => Promise<readonly [T, string]>): Promise<T | undefined> => {
    try {
      const [result, summary] = await work();
      stdout.write(`${name.padEnd(13)} ok     ${summary}\n`);
      return result;
    } catch (error) {
      code = EXIT.failure;
      const message = error instanceof Error ? error.message : String(error);
      for (const line of message.split('\n')) stdout.write(`${name.padEnd(13)} wrong  ${line}\n`);
      return undefined;
    }
  };

  const config = await part('configuration', async () => {
    const read = await readConfig();
    const addresses = read.listen.map(formatAddress).join(', ');
    return [read, `${read.config ?? 'flags and defaults'}: listens on ${addresses}, backend ${read.backend}`] as const;
  });
  for (const name of ['users', 'rules'] as const) {
    const path = config?.[name];
    if (config === undefined || path === undefined) continue;
    await part(name, async () => [undefined, `${path}: ${await checks[name](path, config)}`] as const);
  }
  return code;
}
