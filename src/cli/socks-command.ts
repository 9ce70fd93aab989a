/** The flags of splice-socks, made from the table of settings: parsing, --help, --version. Starts nothing. */
import { SOCKS } from '../server/config.js';
import type { SocksConfig } from '../server/config.js';
import { EXIT_HELP } from './environment.js';
import type { Environment } from './environment.js';
import { parseServerCommand } from './server-command.js';
import type { ParsedCommand } from './server-command.js';

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

/** Reads the command line; prints help, version and usage mistakes itself. */
export function parseSocksCommand(
  environment: Pick<Environment, 'argv' | 'stdout' | 'stderr'>,
): ParsedCommand<SocksConfig> {
  return parseServerCommand(SOCKS, { description: DESCRIPTION, after: EXAMPLES }, environment);
}
