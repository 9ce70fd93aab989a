/** splice-http as a function: from the command line to the exit code. */
import { ConfigError } from '../errors.js';
import { loadHttpConfig } from '../server/http-config.js';
import type { HttpConfig } from '../server/http-config.js';
import type { StartServer } from '../server/server-interface.js';
import type { SendNotification } from '../server/systemd.js';
import { checkParts } from './check-configuration.js';
import type { ConfigurationPart } from './check-configuration.js';
import { EXIT, printError } from './environment.js';
import type { Environment, ExitCode } from './environment.js';
import { parseHttpCommand } from './http-command.js';
import { httpFace, summary } from './http-face.js';
import { runServer } from './run-server.js';

/** Loaded only when they are needed, so that --help and --check work where the native addon does not load. */
export interface HttpParts {
  /** What --check looks at when the configuration itself is in order. */
  checks(config: HttpConfig): readonly ConfigurationPart[];
  loadServer(): Promise<{ readonly start: StartServer<HttpConfig>; readonly notify: SendNotification | undefined }>;
}

export async function httpMain(environment: Environment, parts: HttpParts): Promise<ExitCode> {
  const command = parseHttpCommand(environment);
  if (command.kind === 'exit') return command.code;
  const { flags } = command;
  const readConfig = () => loadHttpConfig(flags);
  if (flags.check === true) {
    return checkParts(readConfig, summary, (config) => parts.checks(config), environment.stdout);
  }

  let debugging = flags.logLevel === 'debug' || flags.logLevel === 'trace';
  try {
    const config = await readConfig();
    debugging = config.logLevel === 'debug' || config.logLevel === 'trace';
    const { start, notify } = await parts.loadServer();
    return await runServer({ face: httpFace(), config, readConfig, environment, startServer: start, notify });
  } catch (error) {
    printError(environment.stderr, 'splice-http', error, debugging);
    return error instanceof ConfigError ? EXIT.usage : EXIT.failure;
  }
}
