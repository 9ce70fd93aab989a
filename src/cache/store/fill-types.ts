/** What a fill is made from, and what its followers get. */
import type { FillFailure, StoredObject } from './types.js';

/** A target with its defaults, checked. */
export interface FillOrder<M> {
  readonly key: string;
  readonly variant: string;
  readonly tags: string;
  readonly meta: M;
  readonly length: number | undefined;
  readonly part: { readonly first: number; readonly total: number } | undefined;
  readonly base: StoredObject<unknown> | undefined;
}

/** What a follower gets: bytes, or a place in a file, or the end. Positions count from the fill's first byte. */
export type Piece =
  | { readonly kind: 'bytes'; readonly bytes: Buffer }
  | { readonly kind: 'file'; readonly fd: number; readonly start: number; readonly end: number }
  | { readonly kind: 'end' }
  | { readonly kind: 'failed'; readonly reason: FillFailure };

export interface Follower {
  /** The next piece; waits while there is none. After `end` or `failed` it says the same again. */
  next(): Promise<Piece>;
  /** Must be called, once done with the pieces. */
  close(): void;
}
