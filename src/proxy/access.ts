/** Stage teardown: what is told of a request once it is over, to the access log and to the metrics. */

export interface AccessRecord {
  readonly client: string;
  readonly method: string;
  /** Host as asked for, without a port that goes without saying. */
  readonly host: string | undefined;
  readonly target: string;
  readonly version: string;
  /** 0: the client was gone before there was one. */
  readonly status: number;
  /** Bytes of content to and from the client. */
  readonly bytesOut: number;
  readonly bytesIn: number;
  readonly durationMs: number;
  /** The route's name, or `forward`, `tunnel`; undefined: refused before. */
  readonly route: string | undefined;
  readonly origin: string | undefined;
  /** Address that the origin was reached at. */
  readonly originAddress: string | undefined;
  /** Milliseconds from forwarding to the head of the response. */
  readonly originMs: number | undefined;
  readonly cache: CacheOutcome;
  readonly requestId: string | undefined;
  readonly user: string | undefined;
  readonly agent: string | undefined;
  readonly referer: string | undefined;
  /** Our own, to validate what was sent stale: logged, but no client's request. */
  readonly background?: boolean;
  /** `ok`, or why it did not end well: a refusal's code, an OriginFailure, a BodyReason, `client-gone`, `shutdown`. */
  readonly reason: string;
}

/** `none`: the cache had no part in it. `collapsed`: it waited for another request's answer. */
export type CacheOutcome = 'none' | 'hit' | 'stale' | 'miss' | 'revalidated' | 'bypass' | 'collapsed' | 'partial';

/** Hears of every request, once. Called thousands of times a second. */
export interface AccessSink {
  request(record: AccessRecord): void;
  /** A fill has begun, and has ended stored or not, for this reason. */
  fillBegan(): void;
  fillEnded(stored: boolean, reason: string, bytes: number): void;
  connected(origin: string, reused: boolean): void;
  originFailed(origin: string, failure: string): void;
}
