/**
 * Configuration of splice-http: flags over file over defaults, checked as a whole. Called by the command line at start
 * and again at each SIGHUP; touches nothing but the file that --config names.
 */
import { checkPlaces, exposureMistake } from './config-checks.js';
import { loadSettings, restartSettings } from './config-load.js';
import type { ReadFile } from './config-load.js';
import type { FlagsOf, Program, ReportMistake } from './config-table.js';
import { formatSize } from './config-values.js';
import { LEAST_CACHE } from './http-settings-store.js';
import { HTTP_GROUPS, HTTP_SETTINGS } from './http-settings.js';
import type { HttpConfig } from './http-settings.js';
import { siteTwice } from './http-sites.js';

export type { HttpConfig, HttpSettingName } from './http-settings.js';
export type { StoreConfig } from './http-settings-store.js';
export type { CacheRules } from './http-settings-cache.js';
export type { OriginRules } from './http-settings-origin.js';
export type { SiteConfig } from './http-sites.js';

export type HttpFlags = FlagsOf<HttpConfig>;

export const HTTP: Program<HttpConfig> = {
  name: 'splice-http',
  groups: HTTP_GROUPS,
  settings: HTTP_SETTINGS,
  // Who asks for TLS only gets no port without it besides.
  complete: (config) =>
    config.tlsListen.length > 0 && config.listen === HTTP_SETTINGS.listen.initial ? { ...config, listen: [] } : config,
  checkTogether: (config, report) => {
    checkPlaces(config, { listen: config.listen, tlsListen: config.tlsListen }, report);
    checkOrigins(config, report);
    checkForward(config, report);
    checkTls(config, report);
    if (config.proxyProtocol && config.trust.length === 0) {
      report(
        'proxyProtocol',
        'proxy-protocol: nobody is trusted to send it; name the proxies before this one in trust',
      );
    }
    checkStore(config, report);
  },
};

/** @throws ConfigError with every mistake that could be found, one per line; `file` and `line` are those of the first. */
export function loadHttpConfig(flags: HttpFlags, read?: ReadFile): Promise<HttpConfig> {
  return loadSettings(HTTP, flags, read);
}

/** Settings that differ between two configurations and that a running server cannot change. */
export function httpChangesThatNeedRestart(before: HttpConfig, after: HttpConfig): string[] {
  return restartSettings(HTTP, before, after);
}

/**
 * Why these addresses must not be listened on: only a forward proxy takes its clients anywhere. Called for configured
 * addresses, and by the server for the sockets that systemd hands over.
 */
export function httpExposureMistake(
  addresses: HttpConfig['listen'],
  config: Pick<HttpConfig, 'forward' | 'users' | 'rules' | 'open'>,
): string | undefined {
  return config.forward ? exposureMistake(addresses, config) : undefined;
}

/** Each worker has a cache of its own, with its share of the room. */
function checkStore(config: HttpConfig, report: ReportMistake<HttpConfig>): void {
  const { cacheSize, cacheMaxObject, workers } = config;
  const share = Math.floor(cacheSize / workers);
  const room = workers === 1 ? `cache-size, which is ${formatSize(cacheSize)}` : `the share of one worker`;
  if (share < LEAST_CACHE) {
    report('cacheSize', `cache-size: ${formatSize(cacheSize)} is too little for ${workers} workers; each needs 4m`);
  } else if (cacheMaxObject !== 'auto' && cacheMaxObject > share) {
    const hint = workers === 1 ? '' : `: cache-size ${formatSize(cacheSize)} is for ${workers} of them`;
    report('cacheMaxObject', `cache-max-object: ${formatSize(cacheMaxObject)} does not fit into ${room}${hint}`);
  }
}

function checkOrigins({ origin, sites, forward }: HttpConfig, report: ReportMistake<HttpConfig>): void {
  if (origin === undefined && sites.length === 0 && !forward) {
    report('origin', 'there is nobody to ask: give --origin URL, or sites in a file (--config), or --forward');
  }
  for (const [index, site] of sites.entries()) {
    if (site.origin.origin === undefined && origin === undefined) {
      report('sites', `sites[${index}].origin: there is none, and none outside that would answer instead`);
    }
  }
  const twice = siteTwice(sites);
  if (twice !== undefined) {
    report('sites', `sites[${twice.index}]: an earlier site is for ${twice.place} already, so this one never answers`);
  }
}

function checkForward(config: HttpConfig, report: ReportMistake<HttpConfig>): void {
  if (!config.forward) {
    for (const name of ['users', 'rules', 'open'] as const) {
      if (config[name] !== undefined && config[name] !== false) {
        report(name, `${name}: it is about the forward proxy, which is off; give --forward, or leave it out`);
      }
    }
    return;
  }
  for (const name of ['listen', 'tlsListen'] as const) {
    const exposure = exposureMistake(config[name], config);
    if (exposure !== undefined) report(name, `${name === 'listen' ? name : 'tls-listen'}: ${exposure}`);
  }
}

function checkTls({ tlsListen, tlsCert, tlsKey }: HttpConfig, report: ReportMistake<HttpConfig>): void {
  if (tlsListen.length > 0 && tlsCert.length === 0) {
    report('tlsListen', 'tls-listen: there is no certificate; give --tls-cert FILE and --tls-key FILE');
  }
  if (tlsListen.length === 0 && tlsCert.length + tlsKey.length > 0) {
    report(tlsCert.length > 0 ? 'tlsCert' : 'tlsKey', 'tls-cert: nothing listens for TLS; give --tls-listen PORT');
  }
  if (tlsKey.length > 0 && tlsKey.length !== tlsCert.length) {
    const counts = `${tlsCert.length} certificate(s) and ${tlsKey.length} key(s)`;
    report('tlsKey', `tls-key: there are ${counts}; each certificate needs its key, in the same order`);
  }
}
