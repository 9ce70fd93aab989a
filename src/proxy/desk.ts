/**
 * The cache as the proxy uses it: the rules of src/cache over the store of src/cache/store, plus what is being filled at
 * this moment. The implementation is cache-desk.ts. Nothing here rejects: a store that fails is a cache that misses.
 */
import type { Changes, Fill as FillPlan } from '../cache/decide.js';
import type { CachePolicy } from '../cache/policy.js';
import type { Collapse } from '../cache/collapse.js';
import type { PurgeResult, PurgeTarget, StoreStats } from '../cache/store/types.js';
import type { Follower } from '../cache/store/fill-types.js';
import type { StoredResponse } from '../cache/stored.js';
import type { FileGrowth } from '../engine/file-growth.js';
import type { RouteCache } from './site.js';

/** The bytes of a stored response. */
export type StoredBody =
  | { readonly kind: 'memory'; readonly bytes: Uint8Array }
  /** Byte p of the representation is at p. `release` must be called, once, when nothing is read of it any more. */
  | { readonly kind: 'file'; readonly fd: number; release(): void }
  /** It is being filled. */
  | { readonly kind: 'live'; readonly fill: LiveFill };

/** Where the kernel writes content: from `offset` on, announced by `growth`. The descriptor is lent until the end. */
export interface FillFile {
  readonly fd: number;
  readonly offset: number;
  readonly growth: FileGrowth;
}

/** Content on its way into the store. Every one must be ended, once, after whoever writes has stopped. */
export interface LiveFill {
  readonly key: string;
  /** The response as it will be stored if all goes well; usable for answers while it is fresh. */
  readonly stored: StoredResponse;
  /** Bytes of content that are expected; undefined: its end will tell. */
  readonly length: number | undefined;
  /** Others may be answered from it; false for parts that complete a stored response, and when it has failed. */
  readonly followable: boolean;
  /**
   * Undefined when the disk does not take it: the content goes on without being stored. What was written before by
   * write() is in the file already; once file() was called, write() is not to be.
   */
  file(): Promise<FillFile | undefined>;
  /** What {@link file} gives, from the very call of it to end(); for those who follow, whose follow() keeps it open. */
  readonly opening: Promise<FillFile | undefined> | undefined;
  /** Bytes that arrived here; they must not change afterwards. False: not stored any more. Mostly known at once. */
  write(bytes: Uint8Array): boolean | Promise<boolean>;
  /**
   * Reads along with write(), from the first byte; from the store where it is there already. `other`: for another client
   * than the one whose answer it is. That client counts until the follower is closed; and because it can be served
   * otherwise as long as it has got nothing, nothing is given before the disk, if it has just failed, has shown that it
   * takes this.
   */
  follow(other?: boolean): Follower;
  /** Other clients are answered from it at this moment. */
  readonly followed: boolean;
  /** Whoever writes sets it: the last of the other clients has gone. */
  forsaken: (() => void) | undefined;
  /**
   * It will not become whole: nobody else is answered from it from now on. To be said in the turn in which that is known,
   * before any client is cut, since end() has to wait for whoever writes.
   */
  cut(): void;
  /**
   * The content is over with `received` bytes from the fill's first on, of which the file has `stored` (**Default:**
   * all) because of `errno`: whole or not. Stores what may be stored, tells those who follow. Resolves when a request
   * that comes now finds it; undefined: it does already.
   */
  end(received: number, whole: boolean, stored?: number, errno?: number): Promise<void> | undefined;
}

/** A request that waits for another's answer. Identity is all that counts. */
export interface Waiter {
  /** `reuse`, `lead`: decide anew. `pass`: ask the origin without a look at the others. */
  proceed(how: 'reuse' | 'lead' | 'pass'): void;
}

export interface DeskStats extends StoreStats {
  /** Requests that wait for another's answer. */
  readonly waiting: number;
  /** Fills under way. */
  readonly live: number;
}

export interface Desk {
  readonly collapse: Collapse<Waiter>;
  /** What is stored under a key, without a disk; undefined where that needs one. */
  peek(key: string, policy: CachePolicy): readonly StoredResponse[] | undefined;
  lookup(key: string, policy: CachePolicy): Promise<readonly StoredResponse[]>;
  /** What is being filled under a key and can be followed, oldest first. Empty, mostly, and cheap then. */
  live(key: string): readonly LiveFill[];
  /**
   * The body, at once where it is in memory; undefined: it is gone (a miss). Also of a response that the rules made anew
   * of a stored one: what counts is its extent.
   */
  body(stored: StoredResponse): StoredBody | Promise<StoredBody | undefined> | undefined;
  /** It has answered a request. */
  touch(stored: StoredResponse): void;
  /**
   * Carries out what a decision says: the next peek shows it. `key` is that of the request. To be called before begin()
   * for the same response: what it invalidates is older.
   */
  apply(key: string, changes: Changes, cache: RouteCache): void;
  /** Starts to store; undefined where the store cannot. The response's fields give the tags. */
  begin(plan: FillPlan, key: string, cache: RouteCache): LiveFill | undefined;
  /** A `key` is a URI in normal form, and means all keys that add fields to it; prefixes are those of URIs. */
  purge(target: PurgeTarget, mode: 'hard' | 'soft'): Promise<PurgeResult>;
  /** To be called about once a second: lets those go who have waited long enough, and keeps its books. */
  expire(now: number): void;
  stats(): DeskStats;
  close(): Promise<void>;
}
