/**
 * From configuration to the site that requests are served by (src/proxy/site.ts). Called at start and at each reload;
 * reads the files that the configuration names, and changes nothing when one of them is wrong.
 */
import type { Authority } from '../http/authority.js';
import { plainPath } from '../http/plain-path.js';
import type { Route, RouteCache, Site } from '../proxy/site.js';
import { routeCache } from './http-cache-rules.js';
import type { HttpConfig, SiteConfig } from './http-config.js';
import { ForwardPolicy } from './http-forward.js';
import { originOf } from './http-origins.js';
import { RouteTable } from './http-routes.js';
import type { Place } from './http-routes.js';
import { trustOf } from './http-trust.js';
import type { Logger } from './logging.js';
import { readRules, readUsers, UsersWatch } from './policy.js';

/** The name of the route for what no site is for. */
const DEFAULT_ROUTE = 'default';

export interface HttpSite extends Site {
  readonly forward: ForwardPolicy | undefined;
}

/**
 * `listening`: the ports that are really listened on, where the configuration leaves them to the kernel.
 * @throws ConfigError that names the file, and the line where there is one
 */
export async function makeSite(
  config: HttpConfig,
  own: { readonly listening?: readonly { readonly port: number }[] } = {},
): Promise<HttpSite> {
  const cache = config.noCache ? undefined : routeCache(config, config.cacheVariants);
  const places: Place[] = [];
  for (const site of config.sites) places.push(...(await placesOf(config, site, cache)));
  if (config.origin !== undefined) {
    const origin = await originOf(config.origin, config);
    places.push({ host: '*', path: '/', route: { name: DEFAULT_ROUTE, origin, host: config.hostHeader, cache } });
  }
  const table = new RouteTable(places);
  return {
    via: config.via === '' ? undefined : config.via,
    cacheName: config.cacheName,
    heads: { maxHeadBytes: config.maxHead },
    forwarded: {
      trust: trustOf(config.trust),
      xForwarded: config.forwarded === 'x' || config.forwarded === 'both',
      forwarded: config.forwarded === 'rfc7239' || config.forwarded === 'both',
    },
    requestIds: config.requestId,
    route: (authority, path, named) => routeOf(table, authority, path, named),
    forward: config.forward ? await makeForward(config, forwardCache(cache, places), own.listening ?? []) : undefined,
    headTimeout: config.headTimeout,
    keepAlive: config.keepAlive,
    clientTimeout: config.clientTimeout,
    maxRequests: config.maxRequests === 0 ? Infinity : config.maxRequests,
    maxRequestBytes: config.maxRequestBody === 0 ? Infinity : config.maxRequestBody,
    tunnelTimeout: config.tunnelTimeout,
  };
}

/**
 * By the path as it was sent, which is what the origin gets. Where it could also be read as one that another place is
 * for, nothing is stored: what that place keeps away from the cache would be there under the other spelling.
 */
function routeOf(
  table: RouteTable,
  authority: Authority | undefined,
  path: string,
  named: boolean | undefined,
): Route | undefined {
  const route = table.find(authority, path, named);
  if (route?.cache === undefined) return route;
  const mark = path.indexOf('?');
  const sent = mark === -1 ? path : path.slice(0, mark);
  const plain = plainPath(sent);
  if (plain === sent || table.find(authority, plain, named) === route) return route;
  return { ...route, cache: undefined };
}

/** Whoever names a host to the front gets that of a place for all hosts: nobody who means the real one may get it. */
function forwardCache(cache: RouteCache | undefined, places: readonly Place[]): RouteCache | undefined {
  if (cache === undefined || !places.some(({ host }) => host === '*')) return cache;
  return { ...cache, key: { ...cache.key, space: 'forward' } };
}

async function placesOf(config: HttpConfig, site: SiteConfig, outside: RouteCache | undefined): Promise<Place[]> {
  const rules = { ...config, ...site.origin };
  // The configuration has made sure that there is one.
  if (rules.origin === undefined) return [];
  const route: Route = {
    name: site.name,
    origin: await originOf(rules.origin, rules),
    host: rules.hostHeader,
    cache: cacheOf(config, site, outside),
  };
  const hosts = site.hosts.length === 0 ? ['*'] : site.hosts;
  return hosts.map((host) => ({ host, path: site.path, route }));
}

function cacheOf(config: HttpConfig, { cache }: SiteConfig, outside: RouteCache | undefined): RouteCache | undefined {
  if (cache === 'off' || outside === undefined) return undefined;
  return Object.keys(cache).length === 0 ? outside : routeCache({ ...config, ...cache }, config.cacheVariants);
}

async function makeForward(
  config: HttpConfig,
  cache: RouteCache | undefined,
  listening: readonly { readonly port: number }[],
): Promise<ForwardPolicy> {
  const { users, rules, listen, tlsListen, admin } = config;
  const places = [...listening, ...listen, ...tlsListen, ...(admin === undefined ? [] : [admin])];
  return new ForwardPolicy(config, {
    users: users === undefined ? undefined : await readUsers(users),
    rules: rules === undefined ? undefined : await readRules(rules),
    cache,
    ownPorts: places.map(({ port }) => port).filter((port) => port !== 0),
  });
}

/** Takes users over as soon as their file changes; undefined where there is none. The caller stops it. */
export function watchUsers(config: HttpConfig, site: HttpSite, logger: Logger): UsersWatch | undefined {
  const { forward } = site;
  if (forward === undefined || config.users === undefined) return undefined;
  return new UsersWatch(config.users, logger, (users) => (forward.users = users));
}
