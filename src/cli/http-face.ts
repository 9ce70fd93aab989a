/** How a running splice-http looks from outside: what it says when it is ready, its metrics, its admin endpoint. */
import { HttpMetrics } from '../control/http-metrics.js';
import { readToken } from '../control/http-token.js';
import { formatAddress } from '../server/config-address.js';
import { formatSize } from '../server/config-values.js';
import { httpChangesThatNeedRestart } from '../server/http-config.js';
import type { HttpConfig } from '../server/http-config.js';
import { formatOrigin } from '../server/http-values.js';
import { reachable } from './run-server.js';
import type { ServerFace } from './run-server.js';
import { VERSION } from './version.js';

export function httpFace(): ServerFace<HttpConfig> {
  let token: string | undefined;
  return {
    kind: 'http',
    metrics: new HttpMetrics(VERSION),
    changesThatNeedRestart: httpChangesThatNeedRestart,
    welcome,
    adminHttp: (server, config) => ({ cache: server.cache, token: () => token, names: config.adminNames }),
    prepare: async ({ adminToken }) => {
      const read = adminToken === undefined ? undefined : await readToken(adminToken);
      return () => (token = read);
    },
  };
}

const welcome: ServerFace<HttpConfig>['welcome'] = ({ listening, backend }, config) => {
  const lines = listening.map((address) => `listening on ${formatAddress(address)}`);
  lines.push(cacheLine(config));
  lines.push(`backend ${backend.name}: ${backend.reason}`);
  const first = listening[0];
  if (first !== undefined) lines.push(`try: ${example(config, formatAddress(reachable(first)))}`);
  return `${lines.join('\n')}\n`;
};

function cacheLine({ noCache, cacheDir, cacheSize, cacheMemory }: HttpConfig): string {
  if (noCache) return 'cache off';
  return `cache ${cacheDir === '' ? 'until the end' : cacheDir}, up to ${formatSize(cacheSize)} on disk and ${formatSize(cacheMemory)} in memory`;
}

/** Something that this server answers, as far as its configuration tells. */
function example(config: HttpConfig, address: string): string {
  const secure = config.listen.length === 0;
  const scheme = secure ? 'https' : 'http';
  const flags = secure ? '-ik' : '-i';
  if (config.origin !== undefined) return `curl ${flags} ${scheme}://${address}/`;
  const [site] = config.sites;
  if (site !== undefined) {
    const [host] = site.hosts;
    const name = host === undefined ? '' : `-H 'Host: ${host.replace(/^\*/, 'www')}' `;
    return `curl ${flags} ${name}${scheme}://${address}${site.path}`;
  }
  const user = config.users === undefined ? '' : '--proxy-user NAME:PASSWORD ';
  return `curl ${secure ? '--proxy-insecure ' : ''}--proxy ${scheme}://${address} ${user}https://example.com/`;
}

/** For --check: what the configuration amounts to. */
export function summary(config: HttpConfig): string {
  const addresses = [
    ...config.listen.map(formatAddress),
    ...config.tlsListen.map((address) => `${formatAddress(address)} (TLS)`),
  ];
  const answers = [
    ...(config.sites.length > 0 ? [`${config.sites.length} site(s)`] : []),
    ...(config.origin === undefined ? [] : [`origin ${formatOrigin(config.origin)}`]),
    ...(config.forward ? ['forward proxy'] : []),
  ];
  return `${config.config ?? 'flags and defaults'}: listens on ${addresses.join(', ')}, ${answers.join(', ')}, ${cacheLine(config)}`;
}
