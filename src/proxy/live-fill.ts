/**
 * Stages splice and relay: one body on its way from an origin into the store, and to those who follow it. Made by
 * cache-desk.ts; written by bodies (write(), or file() for the kernel), which must call end() once, after whoever writes
 * has stopped. It puts together what three rooms know: the rules say what may be kept (src/cache/fill.ts), the store keeps
 * it (src/cache/store/fill.ts), and a FileGrowth tells the kernel's readers how far the file is.
 *
 * What is small and new is stored in the turn in which it ends, without a promise; the disk hears of it later. Order at
 * the end, which followers depend on: first the growth, so that the kernel's readers go on without waiting for the disk;
 * then the store's commit; then the desk's table. A request that comes at any moment finds the fill, or the
 * object, or both.
 */
import { constants } from 'node:os';
import { finishFill, type Fill as FillPlan } from '../cache/decide.js';
import { isComplete, openExtent } from '../cache/spans.js';
import { type StoredRecord, type StoredResponse, restoreStored } from '../cache/stored.js';
import type { Fill } from '../cache/store/fill.js';
import type { Follower, Piece } from '../cache/store/fill-types.js';
import type { ObjectStore } from '../cache/store/store.js';
import { UNKNOWN_LENGTH, type FillFailure } from '../cache/store/types.js';
import { FileGrowth } from '../engine/file-growth.js';
import { carefully } from './careful-follower.js';
import type { FillFile, LiveFill } from './desk.js';
import type { StoredMeta } from './desk-codec.js';
import type { Stored } from './desk-responses.js';
import type { RouteCache } from './site.js';

/** The desk, as its fills see it. */
export interface FillHost {
  readonly store: ObjectStore<StoredMeta>;
  /** A response was made of it, which may be of this object already. */
  fillNamed(fill: CacheFill, response: StoredResponse, object: Stored | undefined): void;
  /** It is in the store; nobody was told yet. */
  fillStored(fill: CacheFill, object: Stored): void;
  /** The disk has it. */
  fillWritten(tookMs: number): void;
  /** The last that is heard of it. */
  fillLeft(fill: CacheFill, stored: boolean, reason: FillEnd, bytes: number): void;
  /** Whether the disk has failed a moment ago. */
  diskTroubled(): boolean;
  /** Something that ought not to happen. */
  fillFaulted(fill: CacheFill, error: unknown): void;
}

/** How a fill ended, for metrics. `incomplete`: the origin broke off, and what there was may not be kept. */
export type FillEnd = 'stored' | 'incomplete' | FillFailure;

export interface FillOrder {
  /** What the response is called while it is not stored. */
  readonly id: string;
  readonly plan: FillPlan;
  readonly fill: Fill<StoredMeta>;
  readonly cache: RouteCache;
}

const DISK_IS_FULL: ReadonlySet<number> = new Set([
  constants.errno.ENOSPC,
  constants.errno.EDQUOT,
  constants.errno.EFBIG,
]);

/** A hundred times a second costs nothing, and nobody waits much longer than needed. */
const ASK_MS = 10;

export class CacheFill implements LiveFill {
  readonly key: string;
  readonly length: number | undefined;
  readonly plan: FillPlan;
  readonly #host: FillHost;
  readonly #order: FillOrder;
  readonly #fill: Fill<StoredMeta>;
  /** It is a whole representation, from its first byte. */
  readonly #whole: boolean;
  #response: { readonly stale: boolean; readonly stored: StoredResponse } | undefined;
  #opening: Promise<FillFile | undefined> | undefined;
  #file: FillFile | undefined;
  #ended = false;
  #ending: Promise<void> | undefined;
  /** The origin broke off, or the disk did. */
  #broken = false;
  #object: Stored | undefined;
  /** Other clients that are answered from it. */
  #others = 0;
  forsaken: (() => void) | undefined;
  /** Those who wait for a piece, and what asks the kernel for them. */
  #waiting = 0;
  #asking: NodeJS.Timeout | undefined;

  constructor(host: FillHost, order: FillOrder) {
    const { plan, fill } = order;
    const { place } = plan;
    this.#host = host;
    this.#order = order;
    this.#fill = fill;
    this.plan = plan;
    this.key = fill.key;
    this.length = place.end === undefined ? undefined : place.end - place.first;
    this.#whole = plan.kind === 'new' && place.first === 0 && place.end === place.total;
  }

  get stored(): StoredResponse {
    const { stale } = this.#fill;
    if (this.#response?.stale === stale) return this.#response.stored;
    const { id, cache } = this.#order;
    const before = this.#response?.stored.record;
    const record = before ?? this.#expectedRecord();
    const stored = restoreStored(id, stale ? { ...record, staleSince: Date.now() } : record, cache.policy);
    this.#response = { stale, stored };
    this.#host.fillNamed(this, stored, this.#object);
    return stored;
  }

  /** The response, if somebody has asked for it: by its extent it is known once it is stored. */
  get known(): StoredResponse | undefined {
    return this.#response?.stored;
  }

  get followable(): boolean {
    return this.#whole && !this.#broken && !this.#fill.purged && this.#fill.state !== 'failed';
  }

  /** The kernel may have closed what a follower would be given now: nobody begins to follow the file after the end. */
  get opening(): Promise<FillFile | undefined> | undefined {
    return this.#ended ? undefined : this.#opening;
  }

  file(): Promise<FillFile | undefined> {
    return (this.#opening ??= this.#openFile());
  }

  write(bytes: Uint8Array): boolean | Promise<boolean> {
    if (this.#ended || this.#fill.state !== 'open') return false;
    return this.#fill.write(bytes);
  }

  get followed(): boolean {
    return this.#others > 0;
  }

  follow(other = false): Follower {
    return other ? this.#counted(this.#follow(true)) : this.#follow(false);
  }

  #follow(careful: boolean): Follower {
    const { state } = this.#fill;
    if (state === 'open' || state === 'committing') {
      this.progress();
      const follower = this.#watched(this.#fill.follow());
      return careful && this.#host.diskTroubled() ? carefully(follower, this.length) : follower;
    }
    const settled = this.#ending ?? Promise.resolve();
    return followObject(
      this.#host.store,
      settled.then(() => this.#object),
    );
  }

  #counted(follower: Follower): Follower {
    this.#others++;
    let open = true;
    const close = (): void => {
      if (!open) return;
      open = false;
      follower.close();
      if (--this.#others === 0) this.forsaken?.();
    };
    return { next: () => follower.next(), close };
  }

  cut(): void {
    this.#broken = true;
  }

  end(received: number, whole: boolean, stored = received, errno = 0): Promise<void> | undefined {
    if (this.#ended) return this.#ending;
    this.#ended = true;
    this.forsaken = undefined;
    if (whole && stored === received && this.#endNow(received)) return undefined;
    return (this.#ending = this.#end(received, whole, stored, errno));
  }

  /** What the kernel has written so far, for the store's books and for those who follow by follow(). */
  progress(): void {
    if (this.#file === undefined || this.#fill.state !== 'open') return;
    const written = this.#file.growth.filled - this.#fill.offset;
    if (written > this.#fill.available) this.#fill.written(written);
  }

  /** The kernel tells nobody how far it is: while somebody waits for it, it is asked. */
  #watched(follower: Follower): Follower {
    const next = async (): Promise<Piece> => {
      this.#watch(1);
      try {
        return await follower.next();
      } finally {
        this.#watch(-1);
      }
    };
    return { next, close: () => follower.close() };
  }

  #watch(more: number): void {
    this.#waiting += more;
    if (this.#waiting > 0 && this.#file !== undefined) {
      this.#asking ??= setInterval(() => this.progress(), ASK_MS);
    } else {
      clearInterval(this.#asking);
      this.#asking = undefined;
    }
  }

  /** By the desk, which closes. The owner still has to call end(). */
  abandon(): void {
    this.#file?.growth.fail();
  }

  async #openFile(): Promise<FillFile | undefined> {
    if (this.#ended || this.#fill.state !== 'open') return undefined;
    try {
      const fd = await this.#fill.descriptor();
      if (fd === undefined || this.#ended) return undefined;
      const offset = this.#fill.offset + this.#fill.available;
      this.#file = { fd, offset, growth: new FileGrowth(offset) };
      this.#watch(0);
      return this.#file;
    } catch (error) {
      this.#host.fillFaulted(this, error);
      return undefined;
    }
  }

  /** False: the store needs the disk first, or it is not so simple. */
  #endNow(received: number): boolean {
    if (this.#opening !== undefined || !this.#whole) return false;
    const { plan, cache } = this.#order;
    const record = finishFill(plan, received, true, cache.policy);
    if (record === undefined || !isComplete(record.extent)) return false;
    const start = performance.now();
    try {
      this.#object = this.#fill.commitNow(received, record, (failure) => {
        this.#host.fillWritten(performance.now() - start);
        this.#host.fillLeft(this, failure === undefined, failure ?? 'stored', received);
      });
    } catch {
      return false; // and #commit() will say so
    }
    if (this.#object === undefined) return false;
    this.#host.fillStored(this, this.#object);
    return true;
  }

  async #end(received: number, whole: boolean, stored: number, errno: number): Promise<void> {
    const missed = stored < received;
    if (missed || !whole) {
      this.cut();
      this.#file?.growth.fail();
    } else {
      this.#file?.growth.complete();
    }
    let reason: FillEnd;
    try {
      reason = missed
        ? this.#abort(DISK_IS_FULL.has(errno) ? 'disk-full' : 'io-error')
        : await this.#commit(received, whole);
    } catch (error) {
      this.#host.fillFaulted(this, error);
      reason = this.#abort('aborted');
    }
    this.#host.fillLeft(this, reason === 'stored', reason, received);
  }

  async #commit(received: number, whole: boolean): Promise<FillEnd> {
    const { plan, cache } = this.#order;
    const record = finishFill(plan, received, whole, cache.policy);
    if (record === undefined) {
      const reason = this.#abort('aborted');
      return reason === 'aborted' ? 'incomplete' : reason;
    }
    const { extent, ...meta } = record;
    // A part says where it belongs when it begins; of what was to be whole this is the beginning.
    const cut = this.#whole && !isComplete(extent);
    const start = performance.now();
    const result = await (cut
      ? this.#fill.commit(received, meta, extent.total ?? UNKNOWN_LENGTH)
      : this.#fill.commit(received, meta));
    if (!result.stored) return result.reason;
    this.#object = result.object;
    this.#host.fillWritten(performance.now() - start);
    this.#host.fillStored(this, result.object);
    return 'stored';
  }

  #abort(reason: 'aborted' | 'disk-full' | 'io-error'): FillEnd {
    this.#fill.abort(reason);
    return this.#fill.failure ?? reason;
  }

  #expectedRecord(): StoredRecord {
    const { plan, cache } = this.#order;
    const record = this.length === undefined ? undefined : finishFill(plan, this.length, true, cache.policy);
    if (record !== undefined) return record;
    return plan.kind === 'new' ? { ...plan.draft.record, extent: openExtent() } : plan.base.record;
  }
}

/** For those who come when all is over: the whole of what was stored, as one piece. */
function followObject(store: ObjectStore<StoredMeta>, settled: Promise<Stored | undefined>): Follower {
  let given = false;
  let closed = false;
  let release: (() => void) | undefined;
  const failed = (reason: FillFailure): Piece => ({ kind: 'failed', reason });
  const next = async (): Promise<Piece> => {
    if (closed) return failed('aborted');
    if (given) return { kind: 'end' };
    const object = await settled;
    if (object === undefined || object.ranges !== undefined) return failed('aborted');
    if (object.length === 0) return { kind: 'end' };
    if (object.body !== undefined) {
      given = true;
      return { kind: 'bytes', bytes: object.body };
    }
    const lease = await store.openBody(object).catch(() => undefined);
    if (lease === undefined) return failed('gone');
    if (closed) {
      lease.release();
      return failed('aborted');
    }
    given = true;
    release = () => lease.release();
    return { kind: 'file', fd: lease.fd, start: 0, end: object.length };
  };
  const close = (): void => {
    closed = true;
    release?.();
    release = undefined;
  };
  return { next, close };
}
