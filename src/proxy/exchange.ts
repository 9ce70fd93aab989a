/**
 * One request and its response, and the page to open first. An exchange passes the five stages of every flow, each a
 * file of this folder, which call one another in this order:
 *
 *     accept.ts     a client's connection is there; client-connection.ts takes its requests apart, one after the other
 *     handshake.ts  whom the request is for; what the cache says to it; whether it waits for another's answer
 *     splice.ts     an origin is asked (fetch.ts), and what it says is judged
 *     relay.ts      the content goes by the kernel, from the origin and into the store, or from the store
 *     teardown.ts   counted, logged, forgotten; the connection goes on or closes
 *
 * CONNECT and upgrades leave this road for tunnel.ts: there the engine has both connections for good.
 *
 * Every exchange ends in teardown.ts, once. One without a client is a validation in the background, or has lost its
 * client while others, or the store, still want the answer.
 */
import type { CacheOutcome } from './access.js';
import type { ClientConnection } from './client-connection.js';
import type { SendTransfer, Transfer } from './body.js';
import type { Waiter } from './desk.js';
import { ABSENT } from '../flow/roster.js';
import type { ForwardReason } from '../cache/cache-status.js';
import type { Peer } from '../http/forwarded.js';
import type { RequestHead } from '../http/head.js';
import type { ParsedRequest } from '../http/head-parser.js';
import type { Scheme } from '../http/authority.js';
import type { Abandonment, OriginConnection } from './origin.js';
import type { Route, RouteCache, Site } from './site.js';
import type { Wire } from './wire.js';

/** The client's side, while it is there. */
export type ClientSide = Pick<ClientConnection, 'wire' | 'next' | 'cut' | 'hasSent' | 'takeRest' | 'handOver'>;

export class Exchange implements Waiter {
  readonly site: Site;
  readonly parsed: ParsedRequest;
  readonly startedAt = performance.now();
  /** Undefined once it is gone, and in the background from the beginning. */
  client: ClientSide | undefined;
  /** Who the client is and was. */
  readonly ends: Pick<Wire, 'peer' | 'local'>;
  readonly peer: Peer;
  scheme: Scheme;
  /** The request as it is forwarded: the client's own, but for a validation in the background. */
  request: RequestHead;
  route: Route | undefined;
  /** Target URI in normal form, and the key; '' where the cache has no part. */
  uri = '';
  key = '';
  /** The connection can carry another request behind this one. */
  keep: boolean;
  /** What waits for the collapse's word; called once. */
  wake: ((how: 'reuse' | 'lead' | 'pass') => void) | undefined;
  /** It has to tell the collapse how its question went. */
  leads = false;
  /** Why it was to be forwarded before it waited for another's answer. */
  waited: ForwardReason | undefined;
  origin: OriginConnection | undefined;
  /** Ends a fetch that nobody wants any more. */
  readonly abandon = new AbandonSignal();
  /** Content of the request, and of the response, on its way. */
  upload: Transfer | undefined;
  download: SendTransfer | undefined;
  /** The client's wire has sent everything: what a tunnel waits for. */
  whenDrained: (() => void) | undefined;
  /** Of the forward proxy: whether an address may be connected to. */
  allows: ((address: string | undefined) => boolean) | undefined;
  /** A validation that no client waits for. */
  background = false;
  /** When the cache was asked, in milliseconds since the epoch. */
  decidedAt = 0;
  over = false;
  /** In the context's roster. */
  place = ABSENT;

  // For the access record.
  status = 0;
  bytesIn = 0;
  bytesOut = 0;
  cache: CacheOutcome = 'none';
  originAddress: string | undefined;
  originMs: number | undefined;
  requestId: string | undefined;
  user: string | undefined;

  constructor(
    site: Site,
    client: ClientSide | undefined,
    ends: Exchange['ends'],
    scheme: Scheme,
    parsed: ParsedRequest,
  ) {
    this.site = site;
    this.client = client;
    this.ends = { peer: ends.peer, local: ends.local };
    this.scheme = scheme;
    this.parsed = parsed;
    this.request = parsed.head;
    this.peer = { address: ends.peer.address, port: ends.peer.port, scheme };
    this.keep = false;
  }

  get routeCache(): RouteCache | undefined {
    return this.route?.cache;
  }

  /** Content follows the head, and nobody has begun to read it: behind the response it would be taken for a request. */
  get contentWaits(): boolean {
    const { framing } = this.parsed;
    return (
      this.upload === undefined && (framing.kind === 'chunked' || (framing.kind === 'length' && framing.length > 0))
    );
  }

  /** By the collapse: another's answer is there, or will not come. */
  proceed(how: 'reuse' | 'lead' | 'pass'): void {
    const { wake } = this;
    this.wake = undefined;
    wake?.(how);
  }
}

/** Told once that nobody wants the answer any more. An AbortController would be the dearest part of a small miss. */
class AbandonSignal implements Abandonment {
  aborted = false;
  #listeners: (() => void)[] = [];

  addEventListener(_event: 'abort', listener: () => void): void {
    this.#listeners.push(listener);
  }

  removeEventListener(_event: 'abort', listener: () => void): void {
    const at = this.#listeners.indexOf(listener);
    if (at >= 0) this.#listeners.splice(at, 1);
  }

  abort(): void {
    if (this.aborted) return;
    this.aborted = true;
    for (const listener of this.#listeners.splice(0)) listener();
  }
}
