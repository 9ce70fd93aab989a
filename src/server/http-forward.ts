/**
 * The forward proxy's side of a site: who asks, where to, and may they. Stage handshake; asked by
 * src/proxy/forward-proxy.ts for each request with an absolute target and each CONNECT.
 */
import { networkInterfaces } from 'node:os';
import type { Authority, Scheme } from '../http/authority.js';
import { defaultPort } from '../http/authority.js';
import type { Origin } from '../proxy/origin.js';
import type { ForwardProxy, ForwardTarget, RouteCache } from '../proxy/site.js';
import { contains, isUnspecified, parseAddress, parseNetwork } from '../socks/address.js';
import type { Rules } from '../socks/rules.js';
import type { Users } from '../socks/users.js';
import type { HttpConfig } from './http-config.js';
import { forwardOrigin } from './http-origins.js';

/** Who everybody is where nobody logs in. */
const ANONYMOUS = 'anonymous';

export class ForwardPolicy implements ForwardProxy {
  readonly connectPorts: ReadonlySet<number> | undefined;
  readonly cache: RouteCache | undefined;
  /** Replaced when the users file changes. */
  users: Users | undefined;
  readonly #rules: Rules | undefined;
  readonly #config: HttpConfig;
  /** Ports that this process listens on. */
  readonly #ownPorts: ReadonlySet<number>;

  constructor(
    config: HttpConfig,
    parts: {
      readonly users: Users | undefined;
      readonly rules: Rules | undefined;
      readonly cache: RouteCache | undefined;
      readonly ownPorts: readonly number[];
    },
  ) {
    this.#config = config;
    this.connectPorts = config.connectPorts === 'any' ? undefined : new Set(config.connectPorts);
    this.users = parts.users;
    this.#rules = parts.rules;
    this.cache = parts.cache;
    this.#ownPorts = new Set(parts.ownPorts);
  }

  origin(scheme: Scheme, { host, port }: Authority): Origin {
    const bare = host.startsWith('[') ? host.slice(1, -1) : host;
    return forwardOrigin({ scheme, host: bare, port: port ?? defaultPort(scheme) }, this.#config);
  }

  allows({ host, port, address, client, user }: ForwardTarget): boolean {
    const literal = parseAddress(host) !== undefined;
    const known = address ?? (literal ? host : undefined);
    // Without a users file nobody has logged in, so that rules about users match nobody.
    const who = this.users === undefined ? undefined : user;
    const name = literal ? undefined : host;
    if (known === undefined) {
      return this.#rules?.couldAllowName({ client, user: who, host, port }) ?? true;
    }
    const target = parseAddress(known);
    if (target === undefined || isUnspecified(target)) return false;
    // A request to ourselves would be a request to ourselves, and so on.
    if (this.#ownPorts.has(port) && isOwn(known)) return false;
    return this.#rules?.decide({ client, user: who, host: name, address: known, port }).allow ?? true;
  }

  authenticate(value: string | undefined): Promise<string | undefined> | string | undefined {
    const { users } = this;
    if (users === undefined) return ANONYMOUS;
    const pair = readBasic(value);
    if (pair === undefined) return undefined;
    // scrypt without memory: nobody gets in then.
    return users.verify(pair.name, pair.password).then(
      (right) => (right ? pair.name : undefined),
      () => undefined,
    );
  }
}

/** Name and password of the Basic scheme (RFC 7617), in UTF-8. */
export function readBasic(value: string | undefined): { readonly name: string; readonly password: string } | undefined {
  const match = /^basic +([A-Za-z0-9+/]+={0,2}) *$/i.exec(value ?? '');
  if (match === null) return undefined;
  const text = Buffer.from(match[1] ?? '', 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon === -1 ? undefined : { name: text.slice(0, colon), password: text.slice(colon + 1) };
}

const LOOPBACK = parseNetwork('127.0.0.0/8');

/** Addresses come and go, so the kernel is asked; only for targets that have one of our ports. */
function isOwn(text: string): boolean {
  const address = parseAddress(text);
  if (address === undefined) return false;
  if (typeof LOOPBACK !== 'string' && contains(LOOPBACK, address)) return true;
  return Object.values(networkInterfaces()).some((list) =>
    list?.some((each) => {
      const own = parseNetwork(each.address);
      return typeof own !== 'string' && contains(own, address);
    }),
  );
}
