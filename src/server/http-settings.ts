/**
 * THE list of settings of splice-http: flags, YAML keys, help text, defaults, checks and what SIGHUP can change. Its
 * parts are in http-settings-*.ts; those about origins and about what is cached may also stand in a site.
 */
import { parseListen } from './config-address.js';
import type { HostPort } from './config-address.js';
import {
  BACKEND_CHOICES,
  BACKEND_SETTING,
  operationSettings,
  PACKET_SETTINGS,
  PREFER_SETTING,
  RELAY_THREADS_SETTING,
  RULES_SETTING,
  USERS_SETTING,
  WORKERS_SETTING,
} from './config-common.js';
import type { AccessConfig, PacketConfig, RelayConfig, ServerConfig } from './config-common.js';
import { listOf, onOff, path, valueOf } from './config-table.js';
import type { SettingTable } from './config-table.js';
import { parsePath, parseWord } from './config-values.js';
import { CACHE_SETTINGS } from './http-settings-cache.js';
import type { CacheRules } from './http-settings-cache.js';
import { LIMIT_SETTINGS } from './http-settings-limits.js';
import type { LimitConfig } from './http-settings-limits.js';
import { ORIGIN_SETTINGS } from './http-settings-origin.js';
import type { OriginRules } from './http-settings-origin.js';
import { STORE_SETTINGS } from './http-settings-store.js';
import type { StoreConfig } from './http-settings-store.js';
import { resolveSites, sitesSchema } from './http-sites.js';
import type { SiteConfig } from './http-sites.js';
import { itemsOf, parseHostPattern, parseNetworkText, parsePortList, parseVia } from './http-values.js';

/** The configuration of one splice-http process. Plain data: it goes to worker threads. */
export interface HttpConfig
  extends ServerConfig, RelayConfig, PacketConfig, AccessConfig, OriginRules, StoreConfig, CacheRules, LimitConfig {
  readonly tlsListen: readonly HostPort[];
  /** Absolute paths; the first is for clients that name no known host. */
  readonly tlsCert: readonly string[];
  /** One for each certificate, or none: then each is in the file of its certificate. */
  readonly tlsKey: readonly string[];
  /** Connections from `trust` begin with a PROXY protocol header. */
  readonly proxyProtocol: boolean;
  /** Networks, as text, whose word about who the client is counts. */
  readonly trust: readonly string[];
  readonly sites: readonly SiteConfig[];
  readonly forward: boolean;
  readonly connectPorts: readonly number[] | 'any';
  readonly forwarded: 'x' | 'rfc7239' | 'both' | 'none';
  /** '' = no Via. */
  readonly via: string;
  readonly requestId: boolean;
  readonly noAccessLog: boolean;
  /** Absolute path of the file with the token that the admin endpoint asks for. */
  readonly adminToken: string | undefined;
  /** Names that the admin endpoint is reached by. */
  readonly adminNames: readonly string[];
}

export type HttpSettingName = keyof HttpConfig;

export const HTTP_GROUPS = [
  'Listening',
  'Origins',
  'Forward proxy',
  'Forwarding',
  'Cache',
  'Cache rules',
  'Limits',
  'Tunnels',
  'Packet backend',
  'Operation',
] as const;

const addresses = listOf(valueOf(parseListen), 'name at least one address, or leave the setting out');
const paths = listOf(valueOf(parsePath));

export const HTTP_SETTINGS: SettingTable<HttpConfig> = {
  listen: {
    group: 'Listening',
    argument: '[HOST:]PORT',
    help:
      'Listen here; repeatable. A port alone means 127.0.0.1; [::1]:8080 is IPv6; :8080 or *:8080 is every address, ' +
      'IPv4 and IPv6. Port 0 lets the kernel choose. Where only --tls-listen is given, there is no default.',
    schema: addresses,
    initial: [{ host: '127.0.0.1', port: 8080 }],
    initialText: '127.0.0.1:8080',
    repeatable: true,
    needsRestart: true,
  },
  tlsListen: {
    group: 'Listening',
    argument: '[HOST:]PORT',
    help: 'Listen here for TLS; repeatable. Its bodies pass through this process: the kernel cannot move them.',
    schema: addresses,
    initial: [],
    repeatable: true,
    needsRestart: true,
  },
  tlsCert: {
    group: 'Listening',
    argument: 'FILE',
    help: 'Certificate with its chain (PEM); repeatable. The client chooses by name; the first is for all others.',
    schema: paths,
    initial: [],
    repeatable: true,
    isPath: true,
  },
  tlsKey: {
    group: 'Listening',
    argument: 'FILE',
    help: 'Its key (PEM); repeatable, in the same order. Else keys are looked for in the files of the certificates.',
    schema: paths,
    initial: [],
    repeatable: true,
    isPath: true,
  },
  trust: {
    group: 'Listening',
    argument: 'LIST',
    help: 'Networks of proxies before this one: what they say of the client counts (X-Forwarded-For, Forwarded, PROXY).',
    schema: valueOf((value): readonly string[] => itemsOf(value).map(parseNetworkText)),
    initial: [],
  },
  proxyProtocol: {
    group: 'Listening',
    argument: undefined,
    help: 'Connections from --trust begin with a PROXY protocol header (version 1 or 2); those from others do not.',
    schema: onOff,
    initial: false,
  },
  workers: {
    group: 'Listening',
    help: 'Threads that serve, each with its own listener (SO_REUSEPORT).',
    ...WORKERS_SETTING,
  },
  ...ORIGIN_SETTINGS,
  sites: {
    group: 'Origins',
    argument: 'LIST',
    help: 'Origins and rules by host and path.',
    schema: sitesSchema,
    initial: [],
    isPath: resolveSites,
    fileOnly: true,
  },
  forward: {
    group: 'Forward proxy',
    argument: undefined,
    help: 'Serve requests for any URL, and CONNECT: clients name this server as their proxy.',
    schema: onOff,
    initial: false,
  },
  connectPorts: {
    group: 'Forward proxy',
    argument: 'LIST',
    help: 'Ports that CONNECT may name, as in 443,8443; any = all.',
    schema: valueOf(parsePortList),
    initial: [443],
    initialText: '443',
  },
  users: {
    group: 'Forward proxy',
    help: 'Ask for a name and password; FILE is made by "splice-ctl passwd".',
    ...USERS_SETTING,
  },
  rules: { group: 'Forward proxy', ...RULES_SETTING },
  open: {
    group: 'Forward proxy',
    argument: undefined,
    help: 'Let everyone who can reach a listening address use the forward proxy, without users and rules.',
    schema: onOff,
    initial: false,
  },
  forwarded: {
    group: 'Forwarding',
    argument: 'WHICH',
    help: 'Tell origins who the client is: x = X-Forwarded-For, -Proto and -Host, rfc7239 = Forwarded, both, none.',
    schema: valueOf((value) => parseWord(value, ['x', 'rfc7239', 'both', 'none'] as const)),
    initial: 'x',
    initialText: 'x',
  },
  via: {
    group: 'Forwarding',
    argument: 'NAME',
    help: 'Our name in Via; none = no Via.',
    schema: valueOf(parseVia),
    initial: 'splice-http',
    initialText: 'splice-http',
  },
  requestId: {
    group: 'Forwarding',
    argument: undefined,
    help: 'Give each request that is forwarded an X-Request-Id, unless a proxy in --trust has.',
    schema: onOff,
    initial: false,
  },
  ...STORE_SETTINGS,
  ...CACHE_SETTINGS,
  ...LIMIT_SETTINGS,
  backend: {
    group: 'Tunnels',
    help: `How tunnels are relayed: ${BACKEND_CHOICES.join(', ')}. A backend named here is used or the start fails.`,
    ...BACKEND_SETTING,
  },
  prefer: { group: 'Tunnels', ...PREFER_SETTING },
  relayThreads: {
    group: 'Tunnels',
    help: 'Native threads that move the bytes of tunnels and bodies, or auto.',
    ...RELAY_THREADS_SETTING,
  },
  ...PACKET_SETTINGS,
  ...operationSettings(
    'http',
    'Serve /metrics (Prometheus), /health, /cache and /purge here. Keep it private, or set --admin-token.',
  ),
  adminToken: {
    group: 'Operation',
    argument: 'FILE',
    help: 'Ask callers of the admin endpoint, which can purge, for the token in the first line of FILE.',
    schema: path,
    initial: undefined,
    isPath: true,
  },
  adminNames: {
    group: 'Operation',
    argument: 'LIST',
    help: 'Names by which the admin endpoint is reached; under others it does not purge. Addresses need none.',
    schema: valueOf((value): readonly string[] => itemsOf(value).map(parseHostPattern)),
    initial: [],
    needsRestart: true,
  },
  noAccessLog: {
    group: 'Operation',
    argument: undefined,
    help: 'Do not log a line for each request; they are counted in any case.',
    schema: onOff,
    initial: false,
  },
};
