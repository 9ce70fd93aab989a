/**
 * Where cached objects live: files and an index, on one directory that this store alone uses. Called by the HTTP server
 * (lookups, fills) and the admin API (purges). It knows nothing of HTTP: what an object means, whether it is fresh, which
 * variant answers a request, is src/cache/'s business; here it has a key, a variant, tags and `meta`, which a codec turns
 * into bytes.
 *
 * THE DESIGN
 *
 *     log/NNNNNNNN.log   records: an object's names, meta and, when small, its body; removals; soft purges
 *     bodies/xx/ID       bodies above `inlineBytes`, one file each: for sendfile(2), splice(2) and tee(2)
 *     snapshot           the index at some moment, so that a start need not read the log
 *     life               how the last life ended
 *
 * The log is the truth, and its state a fold over its records in order. Everything else follows from that: kill -9 at
 * any moment leaves a prefix of the log, so every object is whole or absent; a damaged snapshot costs time; a damaged
 * record costs its object; the oldest segment may go once what is alive in it was appended again.
 *
 * Why not an embedded database: LMDB and SQLite are native dependencies whose transactions promise what a cache need not
 * have (durability of each write, isolation) and pay for it with a sync or a B-tree write per fill and per eviction. Their
 * rows would still have to be loaded to purge by prefix and tag, and for a lookup without a promise. An append of 300
 * bytes that many fills share is the least that can be written; what is ours in its place (segment-log.ts, record.ts,
 * replay.ts, snapshot.ts, maintenance.ts) is some thousand lines, with tests that kill it.
 *
 * Why metas are in the log and not in the head of each file: one read gets meta and small body of a cold object, a 304
 * appends the meta (and the small body) and touches no file, a body file begins with the body's first byte, and a million small objects are
 * no inodes. Hot ones stand decoded in memory: a hit, a HEAD, a validation reads no disk (`peek`).
 *
 * What is promised: against kill -9 everything that a promise has reported, without a single sync. Against a loss of
 * power: no object that is not whole; what is younger than the last checkpoint (maintenance.ts) may be missing.
 * A body that the kernel moved is not checksummed, since nobody saw it; its length is checked whenever it is opened.
 *
 * CONCURRENCY
 *
 * - One thread, one store a directory (directory-lock.ts). Every change of the index is synchronous; all I/O is not.
 * - A StoredObject is what a lookup saw. It may be evicted, replaced or purged a moment later: `openBody` then has
 *   nothing, `update` and a fill on top of it store nothing. Who has a body open keeps it to the end.
 * - Of two fills of the same key and variant, the one that commits last stays. Collapsing requests is the caller's
 *   business; `fills` shows whom it may follow.
 * - A hard purge takes objects and fills that began before it, soft likewise; see purge.ts.
 *
 * A process with a file size limit (RLIMIT_FSIZE) must ignore SIGXFSZ, or the kernel ends it before we hear EFBIG; Node
 * does, from its start.
 *
 * Measured by hand, a million objects of 300 bytes of meta and body, keys of 65 characters, two busy shared cores: a
 * start takes 1.8 to 2.0 s of CPU (1.9 to 3.8 s by the clock) and 250 to 280 MB more of resident memory, of which 200
 * are the index; storing takes 27 to 37 us an object, `peek` 0.35 us, a lookup from the disk 50 to 190 us; a purge by tag
 * or prefix walks the million in 0.15 to 0.4 s and does not stop the loop meanwhile. While the index grows, a doubling
 * of its Map does: 0.17 to 0.36 s were seen around the millionth object.
 */
import type { Limits, StoreCore } from './core.js';
import { CacheError, codeOf, type StoreEventListener } from './errors.js';
import { Fill } from './fill.js';
import * as io from './io.js';
import type { Maintenance } from './maintenance.js';
import type { Hot } from './hot.js';
import { NO_SLOT } from './object-index.js';
import { openStore, type OpenedStore } from './open-store.js';
import { purge, survivesPurges, type ActiveUpdate } from './purge.js';
import { EXTENDED, joinTags, MOST_NAME_BYTES, PARTIAL } from './record.js';
import {
  UNKNOWN_LENGTH,
  type Codec,
  type FillTarget,
  type PurgeResult,
  type PurgeTarget,
  type ReadLease,
  type StoreLimits,
  type StoredObject,
  type StoreStats,
} from './types.js';

export interface StoreOptions<M> {
  /** **Default:** JSON. */
  readonly codec?: Codec<M>;
  /** What the operator should know. **Default:** nothing happens. */
  readonly onEvent?: StoreEventListener;
  /** Milliseconds that a record may wait for others, to be written with them. **Default:** 0, what comes in one turn. */
  readonly gatherMs?: number;
}

const LEAST_DISK_BYTES = 1024 * 1024;
const MOST_INLINE_BYTES = 1024 * 1024;

export class ObjectStore<M> {
  readonly #core: StoreCore<M>;
  readonly #maintenance: Maintenance<M>;
  readonly #opened: OpenedStore<M>;
  #closing: Promise<void> | undefined;

  private constructor(opened: OpenedStore<M>) {
    this.#opened = opened;
    this.#core = opened.core;
    this.#maintenance = opened.maintenance;
  }

  /** Opens a directory, which is made if need be. Rejects with a CacheError: locked, or not usable. */
  static async open<M>(directory: string, limits: StoreLimits, options: StoreOptions<M> = {}): Promise<ObjectStore<M>> {
    const codec = options.codec ?? jsonCodec<M>();
    const { onEvent = () => undefined, gatherMs = 0 } = options;
    return new ObjectStore(await openStore(directory, checked(limits), codec, onEvent, gatherMs));
  }

  /** The objects of a key without a disk read. Undefined when that needs one: `lookup` does it. */
  peek(key: string): readonly StoredObject<M>[] | undefined {
    this.#mustBeOpen('peek');
    const found: StoredObject<M>[] = [];
    for (const slot of this.#slotsOf(key)) {
      const object = this.#core.inMemory(slot);
      if (object === undefined) return undefined;
      found.push(object);
    }
    this.#core.counts.memoryHits += found.length;
    return found;
  }

  /** The objects of a key, one for each variant. */
  async lookup(key: string): Promise<readonly StoredObject<M>[]> {
    this.#mustBeOpen('lookup');
    const loads = this.#slotsOf(key).map((slot) => this.#core.load(slot));
    const found: StoredObject<M>[] = [];
    for (const load of loads) {
      const object = await load;
      if (object !== undefined && this.#stillHolds(object)) found.push(object);
    }
    return found;
  }

  /** This object answered a request: it is worth more. Costs nothing. */
  touch(object: StoredObject<M>): void {
    if (!this.#isVersionOf(object)) return;
    this.#core.disk.touch(hot(object).slot);
    this.#core.memory.touch(hot(object).slot);
    this.#core.names.touch(hot(object).slot);
  }

  /**
   * The file of an object that has no `body`. Its bytes begin at 0, those of a part at their place in the whole. Undefined
   * when the object is gone, or the disk fails: a miss. The lease must be released.
   */
  async openBody(object: StoredObject<M>): Promise<ReadLease | undefined> {
    this.#mustBeOpen('openBody');
    const { slot, fileId } = hot(object);
    if (fileId === 0) throw new CacheError('ERR_CACHE_ARGUMENT', 'openBody: this object has its body in memory');
    if (!this.#holdsFile(slot, fileId)) return undefined;
    const core = this.#core;
    const path = core.files.pathOf(fileId);
    let lease: ReadLease | undefined;
    try {
      lease = await core.leases.lease(path);
      const needed = object.ranges === undefined ? object.length : (object.ranges.at(-1)?.end ?? 0);
      const size = lease.size < needed ? (await io.fstat(lease.fd)).size : lease.size;
      if (size === needed || (size > needed && object.ranges !== undefined)) return lease;
      lease.release();
    } catch (error) {
      lease?.release();
      if (!this.#holdsFile(slot, fileId)) return undefined;
      core.failed(error, 'opening a body', path);
      if (codeOf(error) !== 'ENOENT') return undefined;
    }
    if (this.#holdsFile(slot, fileId)) {
      core.leases.forget(path);
      core.lose(slot, { kind: 'lost', text: `the body of ${object.key} is not whole; the object is dropped`, path });
    }
    return undefined;
  }

  /** Begins a new object, or a part of one. Nothing is written before the first byte is. */
  begin(target: FillTarget, meta: M): Fill<M> {
    this.#mustBeOpen('begin');
    const { key, variant = '', tags = [], length, part, base } = target;
    for (const name of [key, variant]) {
      if (Buffer.byteLength(name) <= MOST_NAME_BYTES) continue;
      throw new CacheError('ERR_CACHE_ARGUMENT', 'begin: key and variant have at most 65,535 bytes each');
    }
    checkTags('begin', tags);
    for (const number of [length, part?.first, part?.total]) {
      if (number === undefined || (Number.isSafeInteger(number) && number >= 0)) continue;
      throw new CacheError('ERR_CACHE_ARGUMENT', `begin: ${number} is no number of bytes`);
    }
    if (base !== undefined) {
      const sameTotal = part?.total === base.length || (part !== undefined && base.length === UNKNOWN_LENGTH);
      const fits = base.ranges !== undefined && sameTotal;
      if (!fits || base.key !== key || base.variant !== variant) {
        throw new CacheError('ERR_CACHE_ARGUMENT', 'begin: base must be partial, of the same key, variant and total');
      }
    }
    const fill = new Fill(this.#core, { key, variant, tags: joinTags(tags), meta, length, part, base });
    if (fill.state === 'open') this.#core.fills.add(fill);
    return fill;
  }

  /** The fills of a key that may be followed. Looks at every fill there is. */
  fills(key: string): readonly Fill<M>[] {
    return [...this.#core.fills].filter((fill) => fill.key === key && !fill.purged);
  }

  /**
   * Gives an object another meta (304), and other tags if there are some; takes back a soft purge that was before the
   * call. Its body stays. Resolves to the object as it is now; undefined when it is gone or was replaced, or the disk does
   * not take it.
   */
  async update(object: StoredObject<M>, meta: M, tags?: readonly string[]): Promise<StoredObject<M> | undefined> {
    this.#mustBeOpen('update');
    if (tags !== undefined) checkTags('update', tags);
    const bytes = this.#core.encode(meta);
    const update: ActiveUpdate = { slot: hot(object).slot, since: this.#core.nextId, stale: false };
    this.#core.updates.add(update);
    try {
      return await this.#core.inTurn(() => this.#update(object, meta, bytes, tags, update));
    } finally {
      this.#core.updates.delete(update);
    }
  }

  async #update(
    object: StoredObject<M>,
    meta: M,
    bytes: Uint8Array,
    tags: readonly string[] | undefined,
    update: ActiveUpdate,
  ): Promise<StoredObject<M> | undefined> {
    const { slot, fileId } = hot(object);
    const { index } = this.#core;
    const id = index.ids[slot] ?? 0;
    // The object gets another number, by which a purge that is under way would take it for one that came later.
    const same = (): boolean => index.holds(slot, id) && this.#isVersionOf(object) && survivesPurges(this.#core, slot);
    if (!same()) return undefined;
    const now = await this.#core.load(slot);
    if (now === undefined || !same()) return undefined;
    const put = await this.#core.put(
      {
        flags: (index.flags[slot] ?? 0) & (PARTIAL | EXTENDED),
        fileId,
        length: now.length,
        fileBytes: index.fileBytes[slot] ?? 0,
        key: now.key,
        variant: now.variant,
        tags: tags === undefined ? index.tagsOf(slot) : joinTags(tags),
      },
      { ranges: now.ranges ?? [], meta: bytes, body: now.body ?? Buffer.alloc(0) },
      meta,
      () => (same() ? undefined : 'gone'),
    );
    if (typeof put === 'string') return undefined;
    if (update.stale && index.holds(put.slot, put.id)) this.#core.markStale(put.slot);
    return put;
  }

  /** Takes one object out. False when it is gone already. */
  remove(object: StoredObject<M>): boolean {
    this.#mustBeOpen('remove');
    if (!this.#stillHolds(object)) return false;
    this.#core.drop(hot(object).slot);
    return true;
  }

  /** The same by number, for those who have not got the object; costs no disk read. */
  removeId(key: string, id: number): boolean {
    this.#mustBeOpen('removeId');
    const slot = this.#slotsOf(key).find((each) => this.#core.index.ids[each] === id);
    if (slot !== undefined) this.#core.drop(slot);
    return slot !== undefined;
  }

  /** Hard: the objects are gone. Soft: they are to be validated before they are used. Holds at once. */
  purge(target: PurgeTarget, mode: 'hard' | 'soft'): Promise<PurgeResult> {
    this.#mustBeOpen('purge');
    return purge(this.#core, target, mode === 'soft');
  }

  stats(): StoreStats {
    const core = this.#core;
    return {
      objects: core.index.count,
      files: core.fileCount,
      diskBytes: Math.round(core.diskBytes),
      logBytes: core.log.bytes,
      deadBytes: core.log.bytes - core.log.live,
      memoryObjects: core.memory.count,
      memoryBytes: core.memory.bytes + core.names.bytes,
      fills: core.fills.size,
      openFiles: core.leases.count,
      ...core.counts,
    };
  }

  /** Resolves when everything so far is written, removed and cleaned up. Nothing needs it but tests and orderly people. */
  async settled(): Promise<void> {
    await this.#opened.sweeping;
    await this.#core.settled();
    await this.#maintenance.idle();
    await this.#core.settled();
  }

  /** Ends fills as failed, writes a snapshot, gives the directory back. Bodies that are being read stay open. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const core = this.#core;
    core.closed = true;
    const fills = [...core.fills];
    for (const fill of fills) fill.end();
    await Promise.all(fills.map((fill) => fill.ended()));
    await core.inTurn(async () => undefined);
    await this.#opened.sweeping;
    await core.settled();
    const inOrder = await this.#maintenance.stop(true);
    await core.settled();
    await core.log.close();
    core.leases.forgetAll();
    await this.#opened.end(inOrder);
  }

  #slotsOf(key: string): number[] {
    const { index, purges } = this.#core;
    const slots: number[] = [];
    for (let slot = index.first(key); slot !== NO_SLOT;) {
      const next = index.next(slot);
      if (purges.size === 0 || survivesPurges(this.#core, slot)) slots.push(slot);
      slot = next;
    }
    return slots;
  }

  #stillHolds(object: StoredObject<M>): boolean {
    return this.#core.index.holds(hot(object).slot, object.id);
  }

  /** The same object, or what an update or a further part has made of it. */
  #isVersionOf(object: StoredObject<M>): boolean {
    return hot(object).fileId === 0 ? this.#stillHolds(object) : this.#holdsFile(hot(object).slot, hot(object).fileId);
  }

  #holdsFile(slot: number, fileId: number): boolean {
    return this.#core.index.fileIds[slot] === fileId && this.#core.index.keyOf(slot) !== undefined;
  }

  #mustBeOpen(method: string): void {
    if (this.#core.closed) throw new CacheError('ERR_CACHE_STATE', `${method}: the store is closed`);
  }
}

function checkTags(method: string, tags: readonly string[]): void {
  if (tags.some((tag) => tag === '' || tag.includes('\n'))) {
    throw new CacheError('ERR_CACHE_ARGUMENT', `${method}: a tag is not empty and has no line feed`);
  }
  if (Buffer.byteLength(joinTags(tags)) <= MOST_NAME_BYTES) return;
  throw new CacheError('ERR_CACHE_ARGUMENT', `${method}: tags have at most 65,535 bytes together`);
}

/** Every StoredObject was made by the core. */
function hot<M>(object: StoredObject<M>): Hot<M> {
  return object as Hot<M>;
}

function jsonCodec<M>(): Codec<M> {
  return {
    encode: (meta) => Buffer.from(JSON.stringify(meta)),
    decode: (bytes) => JSON.parse(bytes.toString()) as M,
  };
}

function checked(limits: StoreLimits): Limits {
  const inRange = (name: keyof StoreLimits, value: number, least: number, most: number): number => {
    if (Number.isSafeInteger(value) && value >= least && value <= most) return value;
    throw new CacheError('ERR_CACHE_ARGUMENT', `${name}: ${value} is not a whole number from ${least} to ${most}`);
  };
  const most = Number.MAX_SAFE_INTEGER;
  const diskBytes = inRange('diskBytes', limits.diskBytes, LEAST_DISK_BYTES, most);
  const objectBytes = inRange('objectBytes', limits.objectBytes ?? Math.floor(diskBytes / 8), 1, diskBytes);
  return {
    diskBytes,
    objectBytes,
    memoryBytes: inRange('memoryBytes', limits.memoryBytes ?? 128 * 1024 * 1024, 0, most),
    inlineBytes: inRange('inlineBytes', limits.inlineBytes ?? 64 * 1024, 0, MOST_INLINE_BYTES),
    variants: inRange('variants', limits.variants ?? 32, 1, 10_000),
    openFiles: inRange('openFiles', limits.openFiles ?? 256, 0, 1_000_000),
  };
}
