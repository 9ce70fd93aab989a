/** The flags of splice-http, made from the table of settings: parsing, --help, --version. Starts nothing. */
import { HTTP } from '../server/http-config.js';
import type { HttpConfig } from '../server/http-config.js';
import { EXIT_HELP } from './environment.js';
import type { Environment } from './environment.js';
import { parseServerCommand } from './server-command.js';
import type { ParsedCommand } from './server-command.js';

const DESCRIPTION = `HTTP proxy with a cache, whose bodies the kernel moves: in front of origins, or as a forward proxy.`;

const EXAMPLES = `
Durations: 500ms, 10s, 5m, 1h, 1d; a plain number means seconds.
Sizes: 64k, 512m, 10g; a plain number means bytes. Parts: 0.1 or 10%. Lists: a,b; none empties one.
A setting is taken from its flag, else from the file, else from the default. SIGHUP reads the file again.

Examples:
  $ splice-http --origin http://127.0.0.1:3000
      in front of an application, on 127.0.0.1:8080
  $ splice-http --listen :80 --tls-listen :443 --tls-cert site.pem --origin http://10.0.0.5:3000 --cache-size 20g
      for everyone, with a certificate and its key in one file
  $ splice-http --config /etc/symsplice/splice-http.yaml --check
      say what is wrong with a configuration, and exit
  $ splice-http --forward --listen 10.0.0.1:3128 --rules /etc/symsplice/rules.yaml
      a forward proxy for whom the rules allow
  $ splice-ctl purge https://www.example.com/news
      forget what is stored for a URL; see also: splice-ctl purge --help

Two sites, in a file:
  listen: ":80"
  sites:
    - host: [www.example.com, example.com]
      origin: http://10.0.0.5:3000
    - host: www.example.com
      path: /api/
      origin: http://10.0.0.6:4000
      cache: off

Signals: SIGTERM and SIGINT drain (again: stop at once), SIGHUP reads configuration, certificates, users and rules again.
With --check, 0 means that everything is in order and 1 that it is not.
${EXIT_HELP}
`;

/** Reads the command line; prints help, version and usage mistakes itself. */
export function parseHttpCommand(
  environment: Pick<Environment, 'argv' | 'stdout' | 'stderr'>,
): ParsedCommand<HttpConfig> {
  return parseServerCommand(HTTP, { description: DESCRIPTION, after: EXAMPLES }, environment);
}
