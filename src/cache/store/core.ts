/**
 * The heart of the store: the one place that changes index, policies and log together. Used by store.ts, fill.ts,
 * purge.ts, maintenance.ts and recovery.ts; never by anyone outside this folder.
 *
 * Order of things, which everything rests on:
 * - A record is in the log only when its body is in its file, and nobody is told that an object is stored, or gone,
 *   before its record is in the log.
 * - An object under a new name is in the index as soon as its record is in the queue of the log (putNow), and until the
 *   record is written it is kept in memory. One that takes another's place waits for its record (put): if the disk does
 *   not take it, the other stays.
 * - An object leaves the index at once; the record that says so follows; its file is unlinked after that. A start that
 *   finds a record without its file has lost the race by microseconds of a power failure, not of a kill.
 * - Records get into the log in the order in which append() is called, and the index changes in that order.
 */
import { throwUncaught } from '../../errors.js';
import { Roster } from '../../flow/roster.js';
import type { BodyFiles } from './body-files.js';
import { CacheError, codeOf, eventKindOf, type StoreEvent, type StoreEventListener } from './errors.js';
import type { Fill } from './fill.js';
import * as io from './io.js';
import { Hot } from './hot.js';
import { LongNames } from './long-names.js';
import { MemoryTier } from './memory-tier.js';
import { NO_SLOT, ObjectIndex } from './object-index.js';
import { OpenFiles } from './open-files.js';
import type { ActivePurge, ActiveUpdate } from './purge.js';
import {
  decodeHead,
  decodePayload,
  DROP,
  encodeRecord,
  metaIn,
  NO_PAYLOAD,
  PARTIAL,
  PUT,
  recordSize,
  SOFT_PURGED,
  STALE,
  type RecordHead,
  type RecordPayload,
} from './record.js';
import type { RangeSet } from './ranges.js';
import { Room } from './room.js';
import { fingerprint, S3Fifo } from './s3-fifo.js';
import type { Location, SegmentLog } from './segment-log.js';
import type { Codec, FillFailure, StoreLimits } from './types.js';

export type Limits = Required<StoreLimits>;

const MOST_META_BYTES = 1024 * 1024;
const BLOCK = 4096;
/** The log may hold a third more than what is alive in it, before maintenance.ts cleans it. */
const LOG_SLACK = 4 / 3;

/** The segment of a record that is not written yet: a number that no segment has. */
const UNWRITTEN = 0xffffffff;

export type PutResult<M> = Hot<M> | Extract<FillFailure, 'disk-full' | 'io-error' | 'stalled' | 'gone'>;

export class StoreCore<M> {
  readonly limits: Limits;
  readonly codec: Codec<M>;
  readonly log: SegmentLog;
  readonly files: BodyFiles;
  readonly leases: OpenFiles;
  readonly index = new ObjectIndex();
  readonly disk = new S3Fifo((slot) => this.#fingerprintOf(slot));
  readonly memory: MemoryTier<M>;
  readonly names: LongNames;
  readonly room = new Room(this);
  readonly fills = new Roster<Fill<M>>();
  readonly purges = new Set<ActivePurge>();
  readonly updates = new Set<ActiveUpdate>();
  /** Files that were named since the last checkpoint. */
  unsynced = new Set<number>();
  /** Bytes of bodies that fills have written. */
  filling = 0;
  nextId = 1;
  fileCount = 0;
  closed = false;
  readonly counts = { memoryHits: 0, diskReads: 0, stored: 0, evicted: 0, purged: 0, lost: 0, failedFills: 0 };
  /** Called after every change that may make work for maintenance. */
  onChange: () => void = () => undefined;
  readonly #onEvent: StoreEventListener;
  readonly #loading = new Map<number, Promise<Hot<M> | undefined>>();
  readonly #unlinking = new Set<Promise<void>>();
  /** Objects whose records are in the log's queue, each at the `offset` that the index has for it; and free places. */
  readonly #unwritten: (Hot<M> | undefined)[] = [];
  readonly #unwrittenFree: number[] = [];
  /** Records that a full disk refused and that must not be forgotten. */
  #owed: { record: Uint8Array }[] = [];
  #turn: Promise<unknown> = Promise.resolve();

  constructor(limits: Limits, codec: Codec<M>, log: SegmentLog, files: BodyFiles, onEvent: StoreEventListener) {
    this.limits = limits;
    this.codec = codec;
    this.log = log;
    this.files = files;
    this.#onEvent = onEvent;
    this.leases = new OpenFiles(limits.openFiles, (error) => this.failed(error, 'closing a file'));
    this.names = new LongNames(limits.memoryBytes);
    const left = (): number => limits.memoryBytes - this.names.bytes;
    this.memory = new MemoryTier(left, (slot) => this.#fingerprintOf(slot));
  }

  emit(event: StoreEvent): void {
    try {
      this.#onEvent(event);
    } catch (error) {
      throwUncaught(error);
    }
  }

  /** Reports an error of a system call; a full disk also makes room. Returns what a fill says of it. */
  failed(error: unknown, doing: string, path?: string): 'disk-full' | 'io-error' {
    const kind = eventKindOf(error);
    const what =
      kind === 'disk-full' ? 'the disk is full' : kind === 'denied' ? 'permission denied' : 'the disk failed';
    const message = error instanceof Error ? error.message : String(error);
    this.emit({ kind, text: `${what} while ${doing}: ${message}`, error, ...(path === undefined ? {} : { path }) });
    // EFBIG speaks of one file, not of the disk: eviction would not help.
    if (kind === 'disk-full' && codeOf(error) !== 'EFBIG') this.room.shrink();
    return kind === 'disk-full' ? 'disk-full' : 'io-error';
  }

  /** What the kernel was told by the disk while it wrote for somebody. */
  reported(kind: 'disk-full' | 'io-error', doing: string, path: string): void {
    const what = kind === 'disk-full' ? 'the disk is full' : 'the disk failed';
    this.emit({ kind, text: `${what} while ${doing}`, path });
    if (kind === 'disk-full') this.room.shrink();
  }

  /** What an object costs on disk. */
  weigh(recordBytes: number, fileId: number, fileBytes: number): number {
    return recordBytes * LOG_SLACK + (fileId === 0 ? 0 : Math.ceil(fileBytes / BLOCK) * BLOCK + 512);
  }

  /** Bytes that count against the limit. */
  get diskBytes(): number {
    return this.disk.weight + this.filling;
  }

  /** Throws when the caller's meta is too big, or whatever its codec throws. */
  encode(meta: M): Uint8Array {
    const bytes = this.codec.encode(meta);
    if (bytes.length <= MOST_META_BYTES) return bytes;
    throw new CacheError('ERR_CACHE_ARGUMENT', `the meta of an object has at most ${MOST_META_BYTES} bytes`);
  }

  /** Whether something new must not be stored because the disk has not taken what is there already. */
  refusesNew(): boolean {
    if (!this.log.isBehind) return false;
    this.emit({ kind: 'stalled', text: 'the disk does not keep up; nothing new is stored until it does' });
    return true;
  }

  /** Whether an object of that name would take no other's place. */
  isNew(key: string, variant: string): boolean {
    return this.index.find(key, variant) === NO_SLOT;
  }

  /**
   * An object under a name that is new ({@link isNew}), where nothing is behind ({@link SegmentLog.isBehind}): it can be
   * found from now on, and its record follows. `written` hears when the log has it, or why not; then it is gone again.
   */
  putNow(
    head: Omit<RecordHead, 'id' | 'kind'>,
    payload: RecordPayload,
    written: (failure: 'disk-full' | 'io-error' | undefined) => void,
  ): Hot<M> {
    const whole: RecordHead = { ...head, id: this.nextId++, kind: PUT };
    const record = encodeRecord(whole, payload);
    const place = this.#unwrittenFree.pop() ?? this.#unwritten.length;
    const slot = this.install(whole, { segment: UNWRITTEN, offset: place, size: record.length }, true);
    const hot = this.#hot(slot, record, payload.ranges, undefined);
    this.#unwritten[place] = hot;
    this.memory.put(hot, record.length);
    if (head.fileId !== 0) this.unsynced.add(head.fileId);
    this.log.append(record, (location, error) => {
      this.#unwritten[place] = undefined;
      this.#unwrittenFree.push(place);
      const holds = this.index.holds(slot, whole.id);
      if (location === undefined) {
        const failure = this.failed(error, 'writing the log');
        if (holds) this.uninstall(slot);
        if (holds && head.fileId !== 0) this.unlink(head.fileId);
        return written(failure);
      }
      if (holds) {
        this.index.relocate(slot, location);
        this.log.credit(location);
      }
      this.#wrote();
      written(undefined);
    });
    this.room.make();
    return hot;
  }

  /** Writes a record; when it is in the log, and `wanted` still says so, it is an object. */
  put(
    head: Omit<RecordHead, 'id' | 'kind'>,
    payload: RecordPayload,
    meta: M,
    wanted: () => Extract<FillFailure, 'gone'> | undefined,
  ): Promise<PutResult<M>> {
    if (this.refusesNew()) return Promise.resolve('stalled');
    const whole: RecordHead = { ...head, id: this.nextId++, kind: PUT };
    const record = encodeRecord(whole, payload);
    return new Promise((resolve) => {
      this.log.append(
        record,
        (location, error) => {
          if (location === undefined) return resolve(this.failed(error, 'writing the log'));
          const refused = wanted();
          if (refused !== undefined) {
            this.#say(DROP, whole);
            return resolve(refused);
          }
          const there = this.index.find(head.key, head.variant);
          // What it was to replace is gone, and a younger one is there (putNow): the log has them in that order, too.
          if (there !== NO_SLOT && (this.index.ids[there] ?? 0) > whole.id) return resolve('gone');
          const slot = this.install(whole, location, true);
          const hot = this.#hot(slot, record, payload.ranges, meta);
          this.memory.put(hot, location.size);
          if (head.fileId !== 0) this.unsynced.add(head.fileId);
          this.room.make();
          this.#wrote();
          resolve(hot);
        },
        true,
      );
    });
  }

  /** Puts an object into the index, in place of another of the same key and variant. `live`: not at a start. `rank`: from s3-fifo.ts. */
  install(head: RecordHead, location: Location, live: boolean, rank?: number): number {
    let slot = this.index.find(head.key, head.variant);
    const weight = this.weigh(location.size, head.fileId, head.fileBytes);
    if (slot === NO_SLOT) {
      slot = this.index.insert(head, location);
      if (rank === undefined) this.disk.insert(slot, weight);
      else this.disk.restore(slot, weight, rank);
      if (live) this.#limitVariants(head.key);
    } else {
      const oldFile = this.index.fileIds[slot] ?? 0;
      this.log.credit(this.index.locationOf(slot), -1);
      if (oldFile !== 0) this.fileCount--;
      this.index.rewrite(slot, head, location);
      this.disk.reweigh(slot, weight);
      this.memory.remove(slot);
      if (live && oldFile !== 0 && oldFile !== head.fileId) this.unlink(oldFile);
    }
    this.names.put(slot, head.key.length + head.variant.length + head.tags.length);
    this.log.credit(location);
    if (head.fileId !== 0) this.fileCount++;
    return slot;
  }

  /** Takes an object out of the index, without a word to the log. */
  uninstall(slot: number): void {
    this.log.credit(this.index.locationOf(slot), -1);
    if (this.index.fileIds[slot] !== 0) this.fileCount--;
    this.disk.remove(slot);
    this.memory.remove(slot);
    this.names.remove(slot);
    this.index.remove(slot);
  }

  /** An object goes: out of the index now, out of the log and the disk soon. `said` hears whether the log took it. */
  drop(slot: number, said?: (durable: boolean) => void): void {
    const names = this.#namesOf(slot);
    const fileId = this.index.fileIds[slot] ?? 0;
    this.uninstall(slot);
    this.#say(DROP, names, (durable) => {
      if (fileId !== 0) this.unlink(fileId);
      said?.(durable);
    });
  }

  /** An object is to be validated before it is used. */
  markStale(slot: number, said?: (durable: boolean) => void): void {
    this.index.flags[slot] = (this.index.flags[slot] ?? 0) | SOFT_PURGED;
    const hot = this.inMemory(slot);
    if (hot !== undefined) hot.softPurged = true;
    this.#say(STALE, this.#namesOf(slot), said);
  }

  /** The object in a slot, where no read is needed: always while its record is not written. */
  inMemory(slot: number): Hot<M> | undefined {
    const hot = this.memory.get(slot);
    if (hot !== undefined || this.index.segmentOf(slot) !== UNWRITTEN) return hot;
    return this.#unwritten[this.index.locationOf(slot).offset];
  }

  /** The object in a slot, from memory or by one read of the log; undefined when it is gone or was not whole. */
  load(slot: number): Hot<M> | Promise<Hot<M> | undefined> {
    const hot = this.inMemory(slot);
    if (hot !== undefined) {
      this.counts.memoryHits++;
      return hot;
    }
    const id = this.index.ids[slot] ?? 0;
    const under = this.#loading.get(id);
    if (under !== undefined) return under;
    const loading = this.#read(slot, id).finally(() => this.#loading.delete(id));
    this.#loading.set(id, loading);
    return loading;
  }

  /** Bytes of a record, wherever cleaning may have moved it meanwhile; undefined when the object is gone. */
  async readRecord(slot: number, id: number): Promise<Buffer | undefined> {
    for (;;) {
      const location = this.index.locationOf(slot);
      try {
        const lease = await this.leases.lease(this.log.pathOf(location.segment));
        try {
          return await io.readAt(lease.fd, location.size, location.offset);
        } finally {
          lease.release();
        }
      } catch (error) {
        if (!this.index.holds(slot, id)) return undefined;
        const now = this.index.locationOf(slot);
        if (now.segment === location.segment && now.offset === location.offset) throw error;
      }
    }
  }

  /** An object turned out not to be there, or not to be what was written. */
  lose(slot: number, event: StoreEvent): void {
    this.counts.lost++;
    this.emit(event);
    this.drop(slot);
  }

  /** Jobs that read what they then write, one after the other. */
  inTurn<T>(job: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(job);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  unlink(fileId: number): void {
    const path = this.files.pathOf(fileId);
    this.leases.forget(path);
    this.unsynced.delete(fileId);
    const job = this.files
      .unlink(fileId)
      .catch((error: unknown) => void this.failed(error, 'removing a file', path))
      .finally(() => this.#unlinking.delete(job));
    this.#unlinking.add(job);
  }

  /** Resolves when the log has said what it has to say, and the files that are to go are gone. */
  async settled(): Promise<void> {
    await this.log.flushed();
    this.#payOwed();
    await this.log.flushed();
    while (this.#unlinking.size > 0) await Promise.all(this.#unlinking);
  }

  async #read(slot: number, id: number): Promise<Hot<M> | undefined> {
    const key = this.index.keyOf(slot) ?? '';
    const path = this.log.pathOf(this.index.segmentOf(slot));
    let record: Buffer | undefined;
    try {
      this.counts.diskReads++;
      record = await this.readRecord(slot, id);
    } catch (error) {
      this.failed(error, 'reading the log', path);
      // Out of descriptors or memory says nothing of the object.
      if (['EIO', 'ENOENT'].includes(codeOf(error)) && this.index.holds(slot, id)) {
        this.lose(slot, { kind: 'lost', text: `the record of ${key} cannot be read; the object is dropped`, path });
      }
      return undefined;
    }
    if (record === undefined || !this.index.holds(slot, id)) return undefined;
    const payload = recordSize(record, 0) === record.length ? decodePayload(record, 0) : undefined;
    const head = payload === undefined ? undefined : decodeHead(record, 0);
    if (payload === undefined || head?.id !== id || head.key !== key) {
      this.lose(slot, { kind: 'corrupt', text: `the record of ${key} is damaged; the object is dropped`, path });
      return undefined;
    }
    try {
      const hot = this.#hot(slot, record, payload.ranges, this.codec.decode(metaIn(record)));
      this.memory.put(hot, record.length);
      return hot;
    } catch (error) {
      const text = `the head of ${key} cannot be understood; the object is dropped`;
      this.lose(slot, { kind: 'corrupt', text, path, error });
      return undefined;
    }
  }

  #hot(slot: number, record: Buffer, ranges: RangeSet, meta: M | undefined): Hot<M> {
    const { index } = this;
    const flags = index.flags[slot] ?? 0;
    const names = {
      slot,
      fileId: index.fileIds[slot] ?? 0,
      id: index.ids[slot] ?? 0,
      key: index.keyOf(slot) ?? '',
      variant: index.variantOf(slot),
      tags: index.tagsOf(slot),
      length: index.lengths[slot] ?? 0,
      ranges: (flags & PARTIAL) === 0 ? undefined : ranges,
      softPurged: (flags & SOFT_PURGED) !== 0,
    };
    return new Hot(names, record, this.codec, meta);
  }

  /** Evicts one object. False when there is none. */
  evictOne(): boolean {
    const slot = (this.names.isOver ? this.names.oldest() : undefined) ?? this.disk.evict();
    if (slot === -1) return false;
    this.counts.evicted++;
    this.drop(slot);
    return true;
  }

  /** New slots come first in the list, so the last is the oldest. */
  #limitVariants(key: string): void {
    let count = 0;
    let last = NO_SLOT;
    for (let slot = this.index.first(key); slot !== NO_SLOT; slot = this.index.next(slot)) {
      count++;
      last = slot;
    }
    if (count <= this.limits.variants) return;
    this.counts.evicted++;
    this.drop(last);
  }

  #namesOf(slot: number): RecordHead {
    return {
      kind: PUT,
      flags: 0,
      id: this.index.ids[slot] ?? 0,
      fileId: 0,
      length: 0,
      fileBytes: 0,
      key: this.index.keyOf(slot) ?? '',
      variant: this.index.variantOf(slot),
      tags: '',
    };
  }

  /** A record is in the log: what that makes possible, or due. */
  #wrote(): void {
    this.counts.stored++;
    this.#payOwed();
    this.onChange();
  }

  #say(kind: typeof DROP | typeof STALE, about: RecordHead, said?: (durable: boolean) => void): void {
    const record = encodeRecord({ ...about, kind, flags: 0, fileId: 0, tags: '' }, NO_PAYLOAD);
    this.log.append(record, (location, error) => {
      if (location === undefined) {
        if (this.#owed.length === 0) this.failed(error, 'writing the log');
        this.#owed.push({ record });
      }
      said?.(location !== undefined);
    });
  }

  /** The log takes records again: those that it refused go first. */
  #payOwed(): void {
    if (this.#owed.length === 0) return;
    const owed = this.#owed;
    this.#owed = [];
    for (const each of owed) {
      this.log.append(each.record, (location) => {
        if (location === undefined) this.#owed.push(each);
      });
    }
  }

  #fingerprintOf(slot: number): number {
    return fingerprint(this.index.variantOf(slot), fingerprint(this.index.keyOf(slot) ?? ''));
  }
}
