/**
 * What operators ask of the cache of a running splice-http, over the admin endpoint and over the control socket. The
 * server implements it for all its threads; http-desk-actions.ts does for one of them. Runs beside the requests.
 */
import type { PurgeResult } from '../cache/store/types.js';
import type { HttpSnapshot } from './http-snapshot.js';

/** What is to go. URIs are in the normal form of `normalUri` (src/http/target.ts). */
export type PurgeOrder =
  /** Everything under that URI: all variants, and all keys that the operator's key policy made of it. */
  | { readonly kind: 'uri'; readonly uri: string }
  /** Every URI that begins so. */
  | { readonly kind: 'prefix'; readonly prefix: string }
  | { readonly kind: 'tag'; readonly tag: string }
  | { readonly kind: 'all' };

/** `soft`: it is stale from now on, and can still be validated, or served where stale answers may be. */
export type PurgeMode = 'hard' | 'soft';

/** One stored response as operators see it. Milliseconds, and plain data. */
export interface StoredInfo {
  readonly status: number;
  readonly ageMs: number;
  readonly lifetimeMs: number;
  /** What is left of the lifetime; negative since it is stale. */
  readonly freshMs: number;
  /** What the lifetime rests on: the origin's word, Last-Modified, the operator's word, or nothing. */
  readonly basis: 'explicit' | 'heuristic' | 'negative' | 'none';
  /** To be validated before it is used: purged softly, invalidated by an unsafe method, or by the origin's word. */
  readonly validate?: 'purged' | 'invalid' | 'no-cache';
  /** Bytes that are stored. */
  readonly bytes: number;
  /** Of the whole representation; absent while nobody has said it. */
  readonly length?: number;
  readonly complete: boolean;
  readonly etag?: string;
  readonly type?: string;
  readonly encoding?: string;
  /** Request fields by which it is chosen among the variants. */
  readonly vary: readonly string[];
  /** It is on its way into the store, and others may read along. */
  readonly filling?: true;
}

export interface CacheActions {
  /** Holds at once, in every thread, also for what is being filled. Resolves when all objects are gone or marked. */
  purge(order: PurgeOrder, mode: PurgeMode): Promise<PurgeResult>;
  /** Numbers of this moment, of all threads. */
  stats(): Promise<HttpSnapshot>;
  /** What is stored for a request to `uri` that has none of the fields and cookies of the key policy. Normal form. */
  lookup(uri: string): Promise<readonly StoredInfo[]>;
}
