/** What the store and its callers say to one another. */
import type { RangeSet } from './ranges.js';
import type { ReadLease } from './open-files.js';

export type { ReadLease };

/** How much the store may take. Bytes are what the disk gives away: blocks, records, and what waits to be cleaned up. */
export interface StoreLimits {
  /** Bytes on disk. Objects give way before they are exceeded, fills that are under way counted in. */
  readonly diskBytes: number;
  /** Bytes of heads and small bodies in memory; long names (long-names.ts) get up to half of it. **Default:** 128 MiB. */
  readonly memoryBytes?: number;
  /** Body of one object. **Default:** an eighth of `diskBytes`. */
  readonly objectBytes?: number;
  /** Bodies up to this stand in the log beside their head and are served from memory; bigger ones are files. **Default:** 64 KiB. */
  readonly inlineBytes?: number;
  /** Objects of one key (Vary); the oldest gives way. **Default:** `32`. */
  readonly variants?: number;
  /** Descriptors kept open for the next reader; those in use come on top. **Default:** `256`. */
  readonly openFiles?: number;
}

/** How the caller's description of an object becomes bytes. The store never looks into it. */
export interface Codec<M> {
  encode(meta: M): Uint8Array;
  /** Throws when the bytes are not what `encode` made; the object is then lost. */
  decode(bytes: Buffer): M;
}

/** An object as it was at the moment of the lookup. Immutable, but for `softPurged`. */
export interface StoredObject<M> {
  /** Grows with every change; never used twice. */
  readonly id: number;
  readonly key: string;
  readonly variant: string;
  readonly tags: readonly string[];
  readonly meta: M;
  /** Of the whole representation, also when only parts of it are there; perhaps {@link UNKNOWN_LENGTH} then. */
  readonly length: number;
  /** What is there of a partial object; undefined when all is. */
  readonly ranges: RangeSet | undefined;
  /** The body, when it is small. Otherwise `openBody` has it. */
  readonly body: Buffer | undefined;
  /** Purged softly: to be validated before it is used. */
  readonly softPurged: boolean;
}

/** The `length` of a partial object, and the `total` of a part, while nobody has said how long the whole is. */
export const UNKNOWN_LENGTH = Number.MAX_SAFE_INTEGER;

/** What a new object is called. */
export interface FillTarget {
  readonly key: string;
  /** **Default:** ''. */
  readonly variant?: string;
  readonly tags?: readonly string[];
  /** How long the body will be, if that is known; another length is then not stored. */
  readonly length?: number;
  /**
   * A part (206): `first` is its position in a representation of `total` bytes, or {@link UNKNOWN_LENGTH}. The part's own
   * length is `length`.
   */
  readonly part?: { readonly first: number; readonly total: number };
  /**
   * The partial object that a part is added to. The caller has made sure that both are of the same representation
   * (same strong validator, RFC 9110 section 8.8.1): the file is extended in place.
   */
  readonly base?: StoredObject<unknown>;
}

/** Why a fill did not become an object. */
export type FillFailure =
  | 'aborted' // by the caller
  | 'short' // the body has not the length that was announced or committed
  | 'too-large' // more than `objectBytes`
  | 'disk-full'
  | 'io-error' // the disk said something else
  | 'stalled' // the disk is so far behind that nothing new is stored
  | 'purged' // hard, while it was filled
  | 'gone' // the partial object that it extends was evicted, purged or replaced
  | 'closed'; // the store was

export type FillResult<M> =
  | { readonly stored: true; readonly object: StoredObject<M> }
  | { readonly stored: false; readonly reason: FillFailure };

/**
 * `family`: also the keys that are this one with something behind a space (src/cache/key.ts); they are found without a
 * walk over all keys.
 */
export type PurgeTarget =
  { readonly key: string; readonly family?: boolean } | { readonly prefix: string } | { readonly tag: string };

export interface PurgeResult {
  readonly objects: number;
  /** False when the disk refused to note it: it holds for now, but not over a restart. */
  readonly durable: boolean;
}

export interface StoreStats {
  readonly objects: number;
  /** Of them, those whose body is a file. */
  readonly files: number;
  /** Bytes counted against `diskBytes`. */
  readonly diskBytes: number;
  readonly logBytes: number;
  /** Bytes in the log that nothing points at. */
  readonly deadBytes: number;
  readonly memoryObjects: number;
  /** Of them, and of long names. */
  readonly memoryBytes: number;
  readonly fills: number;
  readonly openFiles: number;
  /** Since the start: */
  readonly memoryHits: number;
  readonly diskReads: number;
  readonly stored: number;
  readonly evicted: number;
  readonly purged: number;
  readonly lost: number;
  readonly failedFills: number;
}
