/**
 * Whom requests are forwarded to, and what can go wrong on the way there. Made by the configuration (or, for the forward
 * proxy, from the target of a request); the pool is src/proxy/origin-pool.ts.
 */
import type { Wire } from './wire.js';

export interface Origin {
  /** `http://host:port`, in logs, metrics and as the pool's key together with what else tells connections apart. */
  readonly name: string;
  readonly scheme: 'http' | 'https';
  /** A name or an address literal, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  readonly tls: OriginTls | undefined;
  /** Version of the PROXY protocol header to begin with, 0: none. A connection with one is for one client only. */
  readonly proxyProtocol: 0 | 1 | 2;
  /** Milliseconds to resolve, connect and shake hands. */
  readonly connectTimeout: number;
  /** Milliseconds from the end of a request to the head of its response. */
  readonly responseTimeout: number;
  /** Milliseconds without a byte, in the middle of a body. */
  readonly idleTimeout: number;
  /** Milliseconds for which an unused connection is kept. 0: connections are not used again. */
  readonly keepAlive: number;
  /** Connections at one time, in use or idle; Infinity: no limit. */
  readonly maxConnections: number;
}

export interface OriginTls {
  /** Name for SNI and for the certificate's check. */
  readonly serverName: string;
  /** PEM; undefined: the system's. */
  readonly ca: string | undefined;
  /** False: any certificate will do. */
  readonly verify: boolean;
  /** Our own certificate and key, PEM. */
  readonly certificate: { readonly cert: string; readonly key: string } | undefined;
}

/** Why there is no response. Stable words: access log, metrics and Cache-Status show them. */
export type OriginFailure =
  | 'name-not-found'
  | 'refused'
  | 'unreachable'
  | 'connect-timeout'
  | 'tls-failed'
  | 'denied' // by a rule
  | 'no-connection' // at the limit of connections, for too long
  | 'local-failure' // descriptors, ports, memory
  | 'send-failed' // it broke while the request was sent, or before a byte of the response
  | 'response-timeout'
  | 'bad-response' // no HTTP/1.x response, or one that can be read in two ways
  | 'aborted'; // nobody wants the answer any more

export class OriginError extends Error {
  readonly failure: OriginFailure;
  constructor(failure: OriginFailure, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = 'OriginError';
    this.failure = failure;
  }
}

/** Says that nobody wants it any more. An AbortSignal is one; most requests never need all that one is. */
export interface Abandonment {
  readonly aborted: boolean;
  addEventListener(event: 'abort', listener: () => void, options?: { readonly once: boolean }): void;
  removeEventListener(event: 'abort', listener: () => void): void;
}

export interface Acquire {
  /** Milliseconds of idleness up to which a pooled connection will do; 0: a new one. */
  readonly maxIdle: number;
  /** For the PROXY protocol header; undefined: the request is our own. */
  readonly client: Pick<Wire, 'peer' | 'local'> | undefined;
  /** Whoever aborts gets a rejection, and what was under way is closed. Without effect on a connection that was lent. */
  readonly signal: Abandonment | undefined;
  /** Whether this request may be sent to an address: asked after the name is resolved, and of pooled connections. */
  readonly allows?: ((address: string) => boolean) | undefined;
  /** The wire of a client whose tunnel this will be: the packet backend wants a new connection that fits it. */
  readonly align?: Wire | undefined;
}

/**
 * A connection that is lent until `release` or `discard`; one of them must be called, also when it broke or was
 * detached, and only the first call counts. It may be paused: set `wire.owner`, then call `wire.resume()`.
 */
export interface OriginConnection {
  readonly wire: Wire;
  /** It has carried a request before: it may turn out to be closed. */
  readonly used: boolean;
  /** Back to the pool, with no message under way: paused or not, its owner is the pool from now on. */
  release(): void;
  /** Closes it; by RST, because it is in the middle of a message, unless `reset` is false. */
  discard(reset?: boolean): void;
}
