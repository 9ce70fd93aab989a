/**
 * One body on its way into the store. The caller writes it, or lets the kernel write it, and commits or aborts. Until
 * the record is in the log's queue nobody finds it, and until it is in the log no other life of the store does: a fill
 * that is cut short never looks whole.
 *
 *     open -> committing -> stored
 *       `--------`--------> failed   (abort, a wrong length, a full disk, the store's end; a hard purge, at the commit)
 *
 * Small bodies are gathered in memory and go into the log with their head, as one write; under a new name they are
 * objects as soon as they are committed (commitNow), and `stored` becomes `failed` if the disk then does not take them. A fill becomes a file when it
 * outgrows `inlineBytes`, or when `descriptor()` is called: then the kernel writes (tee(2), splice(2)), always at
 * explicit offsets from `offset` on, and the caller reports how far it got with `written()`. A file that is small in the
 * end is read back into the log.
 *
 * Followers read what is there while more comes: `follow()` gives pieces, in order, and waits where there are none.
 * They may go on after commit, eviction or purge: they hold the bytes or the open file. Where a body does not become
 * complete they are told so.
 */
import { ABSENT } from '../../flow/roster.js';
import { ownText } from '../../own-text.js';
import { CacheError } from './errors.js';
import type { StoreCore } from './core.js';
import * as io from './io.js';
import type { Hot } from './hot.js';
import { NO_SLOT } from './object-index.js';
import { EXTENDED, PARTIAL, SOFT_PURGED } from './record.js';
import { covers, sizeOf, unite, type RangeSet } from './ranges.js';
import type { FillOrder, Follower, Piece } from './fill-types.js';
import { UNKNOWN_LENGTH, type FillFailure, type FillResult, type StoredObject } from './types.js';

const NOTHING = new Uint8Array(0);
const NO_RANGES: RangeSet = [];

type State = 'open' | 'committing' | 'stored' | 'failed';

export class Fill<M> {
  readonly key: string;
  readonly variant: string;
  /** Each ended by a line feed. */
  readonly tags: string;
  /** Where in the file the body begins: 0, but for a part. */
  readonly offset: number;
  /** In the roster of fills that are under way. */
  place = ABSENT;
  readonly #core: StoreCore<M>;
  readonly #order: FillOrder<M>;
  #state: State = 'open';
  #failure: FillFailure | undefined;
  #chunks: Uint8Array[] = [];
  #available = 0;
  /** What of it counts as being filled. */
  #counted = 0;
  /** The file: 0 while there is none. */
  #fileId = 0;
  #opening: Promise<number | undefined> | undefined;
  #fd = -1;
  /** Whether the caller has the descriptor. */
  #lent = false;
  /** Who needs the descriptor: this fill while it is under way, the caller it was lent to, followers. */
  #holders = 1;
  #writing: Promise<void> = Promise.resolve();
  /** All bytes are there: followers have what they need, whether it becomes an object or not. */
  #complete = false;
  /** What there is, is only a beginning: followers must not take its end for that of the body. */
  #cut = false;
  #stale = false;
  #hardPurged = false;
  #ending: Promise<FillResult<M>> | undefined;
  #wake: (() => void)[] = [];

  /** Only the store makes fills. */
  constructor(core: StoreCore<M>, order: FillOrder<M>) {
    this.#core = core;
    this.#order = order;
    this.key = ownText(order.key); // it stays when the request has gone
    this.variant = order.variant;
    this.tags = order.tags;
    this.offset = order.part?.first ?? 0;
    if ((order.length ?? 0) > core.limits.objectBytes) this.#fail('too-large');
    else if (core.refusesNew()) this.#fail('stalled');
  }

  get state(): State {
    return this.#state;
  }

  /** Why the state is `failed`. */
  get failure(): FillFailure | undefined {
    return this.#failure;
  }

  /** Whether a hard purge meant it: it goes on for those who follow, is not stored, and must not be followed by others. */
  get purged(): boolean {
    return this.#hardPurged;
  }

  /** Whether a soft purge meant it: it will be stored as stale. */
  get stale(): boolean {
    return this.#stale;
  }

  /** Bytes that followers can have. */
  get available(): number {
    return this.#available;
  }

  /**
   * Adds bytes, which must not change afterwards. False: the fill has failed; the body may go on to the client. Known at
   * once while the body is small.
   */
  write(bytes: Uint8Array): boolean | Promise<boolean> {
    if (this.#state === 'failed') return false;
    this.#mustBeOpen('write');
    const small = this.#opening === undefined && this.#order.part === undefined;
    if (small && this.#available + bytes.length <= this.#core.limits.inlineBytes) {
      this.#chunks.push(bytes);
      this.#advance(this.#available + bytes.length);
      return !this.#hasFailed();
    }
    this.#opening ??= this.#openFile();
    this.#writing = this.#writing.then(() => this.#append(bytes));
    return this.#writing.then(() => !this.#hasFailed());
  }

  /**
   * The file to write into, from `offset` + `available` on; undefined when the fill has failed. It is lent: the caller
   * does not close it, and the fill keeps it open, even after a failure of its own, until the caller commits or aborts.
   * So no writer ever meets a number that has become another file; and every fill must be committed or aborted.
   */
  async descriptor(): Promise<number | undefined> {
    if (this.#state === 'failed') return undefined;
    this.#mustBeOpen('descriptor');
    this.#opening ??= this.#openFile();
    const fd = await this.#opening;
    if (fd === undefined || this.#hasFailed()) return undefined;
    if (!this.#lent) this.#holders++;
    this.#lent = true;
    return fd;
  }

  /** The kernel has written up to here: `total` bytes since the fill's first. */
  written(total: number): void {
    if (this.#state === 'failed') return;
    this.#mustBeOpen('written');
    if (this.#fd === -1) throw new CacheError('ERR_CACHE_STATE', 'written: only after descriptor() has resolved');
    if (total < this.#available) throw new CacheError('ERR_CACHE_ARGUMENT', `written: ${total} is less than before`);
    this.#advance(total);
  }

  /**
   * The body is `length` bytes, and complete. With `meta`, that is stored in place of what `begin` was given. With `total`
   * it was cut off: it is only the beginning of so many bytes, and becomes a partial object.
   */
  commit(length: number, meta: M = this.#order.meta, total?: number): Promise<FillResult<M>> {
    if (this.#state === 'failed') {
      this.#takeBack();
      return Promise.resolve(this.#result());
    }
    this.#mustBeOpen('commit');
    if (total !== undefined && (this.#order.part !== undefined || !(total > length))) {
      throw new CacheError('ERR_CACHE_ARGUMENT', `commit: ${length} of ${total} bytes is no beginning`);
    }
    if (total === undefined) {
      let written: (result: FillResult<M>) => void;
      const object = this.commitNow(length, meta, (failure) =>
        written(failure === undefined && object !== undefined ? { stored: true, object } : this.#result()),
      );
      if (object !== undefined) return new Promise((resolve) => (written = resolve));
    }
    const encoded = this.#core.encode(meta);
    this.#state = 'committing';
    this.#cut = total !== undefined;
    this.#ending = this.#commit(length, meta, encoded, total).finally(() => this.#takeBack());
    return this.#ending;
  }

  /**
   * As {@link commit}, where that needs no disk before the record: the body is in memory, whole, and takes no other
   * object's place. Then it is an object when this returns, and `written` hears later, once, whether the log has it. Else
   * undefined, and nothing has happened.
   */
  commitNow(length: number, meta: M, written: (failure: FillFailure | undefined) => void): StoredObject<M> | undefined {
    const { part, length: announced = length } = this.#order;
    if (this.#state !== 'open' || this.#hardPurged || this.#opening !== undefined || part !== undefined)
      return undefined;
    if (this.#available !== length || announced !== length) return undefined;
    if (!this.#core.isNew(this.key, this.variant) || this.#core.log.isBehind) return undefined;
    const encoded = this.#core.encode(meta);
    const { tags, key, variant } = this;
    this.#uncount(); // or the object would be counted twice, and others evicted for it
    const object = this.#core.putNow(
      { flags: this.#stale ? SOFT_PURGED : 0, fileId: 0, length, fileBytes: 0, key, variant, tags },
      { ranges: NO_RANGES, meta: encoded, body: this.#body() },
      (failure) => {
        if (failure !== undefined) {
          this.#state = 'failed';
          this.#failure = failure;
          this.#core.counts.failedFills++;
        }
        written(failure);
      },
    );
    this.#state = 'stored';
    this.#complete = true;
    this.#leave();
    return object;
  }

  /** The body will not be complete; `reason` is what the disk told the caller. Harmless after an end. */
  abort(reason: Extract<FillFailure, 'aborted' | 'disk-full' | 'io-error'> = 'aborted'): void {
    if (this.#state === 'committing') return;
    if (this.#state === 'open') {
      if (reason !== 'aborted') {
        this.#core.reported(reason, 'the kernel wrote a body', this.#core.files.pathOf(this.#fileId));
      }
      this.#fail(reason);
    }
    this.#takeBack();
  }

  /** By the store, which closes. Who was lent the descriptor still has it. */
  end(): void {
    if (this.#state === 'open') this.#fail('closed');
  }

  /** Reads along, from the first byte. Only while the fill is under way; afterwards the store has the object, or not. */
  follow(): Follower {
    if (this.#state !== 'committing') this.#mustBeOpen('follow');
    this.#holders++;
    let at = 0;
    let held = true;
    const close = (): void => {
      if (held) this.#letGo();
      held = false;
    };
    const next = async (): Promise<Piece> => {
      for (;;) {
        const piece = held ? this.#pieceFrom(at) : ({ kind: 'failed', reason: 'aborted' } as const);
        if (piece !== undefined) {
          if (piece.kind === 'bytes') at += piece.bytes.length;
          if (piece.kind === 'file') at = piece.end - this.offset;
          return piece;
        }
        await new Promise<void>((resolve) => this.#wake.push(resolve));
      }
    };
    return { next, close };
  }

  /** By the store: a purge meant this. The promise is there when its end must be waited for. */
  purge(soft: boolean): Promise<unknown> | undefined {
    if (soft) this.#stale = true;
    else this.#hardPurged = true;
    return this.#state === 'committing' ? this.#ending : undefined;
  }

  /** By the store: lasts until it has ended and nothing of it is under way. */
  async ended(): Promise<void> {
    await this.#ending;
    await this.#writing;
    await this.#opening;
  }

  /** The file that is being made, 0 for none; the files below the smallest of them are all decided. */
  get newFileId(): number {
    return this.#order.base === undefined ? this.#fileId : 0;
  }

  async #openFile(): Promise<number | undefined> {
    const { files } = this.#core;
    const base = this.#order.base as Hot<M> | undefined;
    try {
      this.#fileId = base?.fileId ?? this.#core.nextId++;
      const fd = base === undefined ? await files.create(this.#fileId) : await files.reopen(this.#fileId);
      await io.writeAll(fd, this.#chunks, 0).catch((error: unknown) => this.#writeFailed(error));
      this.#fd = fd;
      if (this.#hasFailed()) this.#removeFile();
      else this.#chunks = [];
      if (this.#holders === 0) this.#closeFile();
      return fd;
    } catch (error) {
      this.#writeFailed(error);
      return undefined;
    }
  }

  async #append(bytes: Uint8Array): Promise<void> {
    const fd = await this.#opening;
    if (fd === undefined || this.#hasFailed()) return;
    if (this.#available + bytes.length > this.#core.limits.objectBytes) return this.#fail('too-large');
    try {
      await io.writeAll(fd, [bytes], this.offset + this.#available);
      if (!this.#hasFailed()) this.#advance(this.#available + bytes.length);
    } catch (error) {
      this.#fail(this.#core.failed(error, 'writing a body', this.#core.files.pathOf(this.#fileId)));
    }
  }

  /** A method, because awaits lie between two looks. */
  #hasFailed(): boolean {
    return this.#state === 'failed';
  }

  #writeFailed(error: unknown): void {
    // The base's file may have been evicted between the lookup and now; that is no fault of the disk.
    if (this.#order.base !== undefined && this.#baseSlot() === undefined) return this.#fail('gone');
    this.#fail(this.#core.failed(error, 'making the file of a body', this.#core.files.pathOf(this.#fileId)));
  }

  #advance(available: number): void {
    if (available > this.#core.limits.objectBytes) return this.#fail('too-large');
    this.#core.filling += available - this.#available;
    this.#counted += available - this.#available;
    this.#available = available;
    this.#core.room.make();
    this.#wakeAll();
  }

  #pieceFrom(at: number): Piece | undefined {
    if (at < this.#available) {
      if (this.#fd !== -1) {
        return { kind: 'file', fd: this.#fd, start: this.offset + at, end: this.offset + this.#available };
      }
      let skip = at;
      for (const chunk of this.#chunks) {
        if (skip < chunk.length) return { kind: 'bytes', bytes: viewOf(chunk).subarray(skip) };
        skip -= chunk.length;
      }
    }
    if (this.#state === 'stored' || this.#complete) {
      return this.#cut ? { kind: 'failed', reason: 'short' } : { kind: 'end' };
    }
    if (this.#state === 'failed') return { kind: 'failed', reason: this.#failure ?? 'aborted' };
    return undefined;
  }

  async #commit(length: number, meta: M, encoded: Uint8Array, total: number | undefined): Promise<FillResult<M>> {
    await this.#writing;
    await this.#opening;
    if (this.#state === 'failed') return this.#result();
    const announced = this.#order.length;
    if (length > this.#core.limits.objectBytes) return this.#failWith('too-large');
    if (announced !== undefined && announced !== (total ?? length)) return this.#failWith('short');
    const part = this.#order.part;
    if (part !== undefined && part.first + length > part.total) return this.#failWith('short');
    try {
      if (this.#fd === -1) {
        if (this.#available !== length) return this.#failWith('short');
        if (part === undefined && total === undefined) {
          return await this.#store(meta, encoded, length, this.#body(), []);
        }
        if ((await this.#openFileForPart()) === undefined) return this.#result();
      }
      if (this.#available > length) return this.#failWith('short');
      const { size } = await io.fstat(this.#fd);
      if (part !== undefined) {
        if (size < this.offset + length) return this.#failWith('short');
        return await this.#core.inTurn(() => this.#storePart(meta, encoded, length, part.total));
      }
      if (size !== length) return this.#failWith('short');
      if (total !== undefined) {
        return await this.#core.inTurn(() => this.#storePart(meta, encoded, length, total));
      }
      if (length > this.#core.limits.inlineBytes) return await this.#store(meta, encoded, length, undefined, []);
      const body = await io.readAt(this.#fd, length, 0);
      return await this.#store(meta, encoded, length, body, []);
    } catch (error) {
      return this.#failWith(this.#core.failed(error, 'completing a body'));
    }
  }

  /** What is empty or small may have no file yet; a partial object must have one. */
  #openFileForPart(): Promise<number | undefined> {
    this.#opening ??= this.#openFile();
    return this.#opening;
  }

  async #storePart(meta: M, encoded: Uint8Array, length: number, said: number): Promise<FillResult<M>> {
    let held: RangeSet = [];
    let total = said;
    if (this.#order.base !== undefined) {
      const slot = this.#baseSlot();
      const base = slot === undefined ? undefined : await this.#core.load(slot);
      if (base === undefined || this.#baseSlot() === undefined) return this.#failWith('gone');
      held = base.ranges ?? [{ start: 0, end: base.length }];
      if (total === UNKNOWN_LENGTH) total = base.length; // another part may have said it meanwhile
    }
    const ranges = unite(held, { start: this.offset, end: this.offset + length });
    if (sizeOf(ranges) > this.#core.limits.objectBytes) return this.#failWith('too-large');
    // A record without ranges is that of a whole body.
    if (ranges.length === 0 && total > 0) return this.#failWith('short');
    return this.#store(meta, encoded, total, undefined, covers(ranges, { start: 0, end: total }) ? [] : ranges, length);
  }

  /** Where the object is now whose file this fill extends. */
  #baseSlot(): number | undefined {
    const slot = this.#core.index.find(this.key, this.variant);
    return slot !== NO_SLOT && this.#core.index.fileIds[slot] === this.#fileId ? slot : undefined;
  }

  async #store(
    meta: M,
    encoded: Uint8Array,
    length: number,
    body: Uint8Array | undefined,
    ranges: RangeSet,
    written = length,
  ): Promise<FillResult<M>> {
    // The kernel need not have reported: its bytes are there. Those of a part are not all of the whole.
    this.#advance(written);
    this.#complete = true;
    this.#wakeAll();
    if (this.#hardPurged) return this.#failWith('purged');
    const extended = this.#order.base === undefined ? 0 : EXTENDED;
    const flags = (this.#stale ? SOFT_PURGED : 0) | (ranges.length > 0 ? PARTIAL : 0) | extended;
    const put = await this.#core.put(
      {
        flags,
        fileId: body === undefined ? this.#fileId : 0,
        length,
        fileBytes: body !== undefined ? 0 : ranges.length > 0 ? sizeOf(ranges) : length,
        key: this.key,
        variant: this.variant,
        tags: this.tags,
      },
      { ranges, meta: encoded, body: body ?? NOTHING },
      meta,
      () => {
        this.#uncount(); // or the object would be counted twice, and others evicted for it
        return this.#hardPurged || (this.#order.base !== undefined && this.#baseSlot() === undefined)
          ? 'gone'
          : undefined;
      },
    );
    if (typeof put === 'string') return this.#failWith(put === 'gone' && this.#hardPurged ? 'purged' : put);
    if (this.#stale && this.#core.index.holds(put.slot, put.id)) this.#core.markStale(put.slot);
    this.#state = 'stored';
    if (body !== undefined) this.#removeFile();
    this.#leave();
    return { stored: true, object: put };
  }

  /** What there is in memory. */
  #body(): Uint8Array {
    const [first = NOTHING, second] = this.#chunks;
    return second === undefined ? first : Buffer.concat(this.#chunks);
  }

  #result(): FillResult<M> {
    return { stored: false, reason: this.#failure ?? 'aborted' };
  }

  #failWith(reason: FillFailure): FillResult<M> {
    this.#fail(reason);
    return this.#result();
  }

  #fail(reason: FillFailure): void {
    if (this.#state === 'failed') return;
    this.#state = 'failed';
    this.#failure = reason;
    this.#core.counts.failedFills++;
    if (this.#fd !== -1) this.#removeFile();
    this.#leave();
  }

  /** The file has no name any more; who has it open keeps it. That of a partial object is not ours to remove. */
  #removeFile(): void {
    if (this.#fileId !== 0 && this.#order.base === undefined) this.#core.unlink(this.#fileId);
  }

  #uncount(): void {
    this.#core.filling -= this.#counted;
    this.#counted = 0;
  }

  #leave(): void {
    this.#uncount();
    this.#core.fills.delete(this);
    this.#letGo();
    this.#wakeAll();
  }

  #takeBack(): void {
    if (!this.#lent) return;
    this.#lent = false;
    this.#letGo();
  }

  #letGo(): void {
    if (--this.#holders === 0) this.#closeFile();
  }

  #closeFile(): void {
    const fd = this.#fd;
    if (fd === -1) return;
    this.#fd = -1;
    io.close(fd).catch((error: unknown) => this.#core.failed(error, 'closing a body'));
  }

  #wakeAll(): void {
    const waiting = this.#wake;
    this.#wake = [];
    for (const wake of waiting) wake();
  }

  #mustBeOpen(method: string): void {
    if (this.#state === 'open') return;
    throw new CacheError('ERR_CACHE_STATE', `${method}: the fill of ${this.key} is already ${this.#state}`);
  }
}

function viewOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
