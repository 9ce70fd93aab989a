/**
 * What the operator decides, in the form in which a request asks for it: who answers, what may be cached, how long
 * anybody waits. Made by src/server/http-site.ts from the configuration and replaced as a whole at a reload; a request
 * keeps the one that it began with.
 */
import type { CachePolicy } from '../cache/policy.js';
import type { KeyPolicy } from '../cache/key.js';
import type { Authority } from '../http/authority.js';
import type { ForwardedPolicy } from '../http/forwarded.js';
import type { RequestHead } from '../http/head.js';
import type { HeadLimits } from '../http/head-parser.js';
import type { Origin } from './origin.js';

/** Answer for the requests of one host and path. */
export interface Route {
  /** In logs and metrics. */
  readonly name: string;
  readonly origin: Origin;
  /** Host field for the origin: the client's, or the origin's own. */
  readonly host: 'client' | 'origin';
  /** Undefined: nothing of it is stored or answered from the store. */
  readonly cache: RouteCache | undefined;
}

export interface RouteCache {
  readonly policy: CachePolicy;
  readonly key: KeyPolicy;
  /** Response fields that name tags for purges, such as Surrogate-Key or Cache-Tag; values are lists. */
  readonly tagFields: readonly string[];
  /** A rule of the operator keeps this request away from the cache. */
  bypass(request: RequestHead, path: string): boolean;
  /** What becomes of a fill whose client is gone, with `received` of `length` bytes (undefined: not known) there. */
  finishes(received: number, length: number | undefined): boolean;
}

/** Where a client of the forward proxy wants to go. */
export interface ForwardTarget {
  /** A name or an address, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  /** What would be connected to; undefined: not known yet. */
  readonly address: string | undefined;
  /** The client's address. */
  readonly client: string;
  /** What {@link ForwardProxy.authenticate} gave. */
  readonly user: string;
}

/** The forward proxy's side; undefined in Site where it is off. */
export interface ForwardProxy {
  /** The origin of an absolute target. */
  origin(scheme: 'http' | 'https', authority: Authority): Origin;
  /** Ports that CONNECT may name; undefined: any. */
  readonly connectPorts: ReadonlySet<number> | undefined;
  /** Whether the client may go there: rules, and never ourselves. Asked before a name is resolved and for each address. */
  allows(target: ForwardTarget): boolean;
  /** The user of a Proxy-Authorization value; undefined: not known. Where nobody needs to log in: `anonymous`. */
  authenticate(value: string | undefined): Promise<string | undefined> | string | undefined;
  readonly cache: RouteCache | undefined;
}

export interface Site {
  /** Our name in Via; undefined: no Via. */
  readonly via: string | undefined;
  /** What the cache calls itself in Cache-Status (RFC 9211) where no route's policy says it. */
  readonly cacheName: string;
  readonly heads: Partial<HeadLimits>;
  readonly forwarded: ForwardedPolicy;
  /** Give each request an X-Request-Id. */
  readonly requestIds: boolean;
  /**
   * Who answers a request to that host (undefined: HTTP/1.0 without Host) and path; undefined: nobody. `named`: not who
   * is there for every host. So it is asked for absolute targets where there is a forward proxy, which else would get none.
   */
  route(authority: Authority | undefined, path: string, named?: boolean): Route | undefined;
  readonly forward: ForwardProxy | undefined;
  /** Milliseconds from the first byte of a head to its last, and from accept to the first head. */
  readonly headTimeout: number;
  /** Milliseconds between requests of a connection. 0: connections are not used again. */
  readonly keepAlive: number;
  /** Milliseconds without a byte of a body, from or to a client. */
  readonly clientTimeout: number;
  /** Requests of one connection; then it closes. */
  readonly maxRequests: number;
  /** Bytes of a request's content. */
  readonly maxRequestBytes: number;
  /** Milliseconds without a byte either way in a tunnel; 0: never. */
  readonly tunnelTimeout: number;
}
