/** splice-socks as a function: from the command line to the exit code. */
import { Metrics } from '../control/metrics.js';
import { ConfigError } from '../errors.js';
import { changesThatNeedRestart, formatAddress, loadConfig } from '../server/config.js';
import type { SocksConfig } from '../server/config.js';
import type { StartServer } from '../server/server-interface.js';
import type { SendNotification } from '../server/systemd.js';
import { checkConfiguration } from './check-configuration.js';
import type { FileChecks } from './check-configuration.js';
import { EXIT, printError } from './environment.js';
import type { Environment, ExitCode } from './environment.js';
import { reachable, runServer } from './run-server.js';
import type { ServerFace } from './run-server.js';
import { parseSocksCommand } from './socks-command.js';
import { VERSION } from './version.js';

/** Loaded only when they are needed, so that --help and --check work where the native addon does not load. */
export interface SocksParts {
  readonly checks: FileChecks;
  loadServer(): Promise<{ readonly start: StartServer; readonly notify: SendNotification | undefined }>;
}

export async function socksMain(environment: Environment, parts: SocksParts): Promise<ExitCode> {
  const command = parseSocksCommand(environment);
  if (command.kind === 'exit') return command.code;
  const { flags } = command;
  const readConfig = () => loadConfig(flags);
  if (flags.check === true) return checkConfiguration(readConfig, parts.checks, environment.stdout);

  let debugging = flags.logLevel === 'debug' || flags.logLevel === 'trace';
  try {
    const config = await readConfig();
    debugging = config.logLevel === 'debug' || config.logLevel === 'trace';
    const { start, notify } = await parts.loadServer();
    return await runServer({ face: socksFace(), config, readConfig, environment, startServer: start, notify });
  } catch (error) {
    printError(environment.stderr, 'splice-socks', error, debugging);
    return error instanceof ConfigError ? EXIT.usage : EXIT.failure;
  }
}

function socksFace(): ServerFace<SocksConfig> {
  return { kind: 'socks', metrics: new Metrics(VERSION), changesThatNeedRestart, welcome };
}

const welcome: ServerFace<SocksConfig>['welcome'] = (server, config) => {
  const lines = server.listening.map((address) => `listening on ${formatAddress(address)}`);
  lines.push(`backend ${server.backend.name}: ${server.backend.reason}`);
  const first = server.listening[0];
  if (first !== undefined) {
    const user = config.users === undefined ? '' : '--proxy-user NAME:PASSWORD ';
    lines.push(`try: curl --socks5-hostname ${formatAddress(reachable(first))} ${user}https://example.com/`);
  }
  return `${lines.join('\n')}\n`;
};
