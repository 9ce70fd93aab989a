/**
 * Work in the background, one job at a time: checkpoints and cleaning. Started by the store's changes, not by a timer.
 *
 * A checkpoint makes everything up to now safe against a loss of power (fdatasync of log and new files), then writes a
 * snapshot; it is due when as much was appended as four segments have, and as the last snapshot was big. So after a
 * power failure the objects of the last few hundred megabytes may be missing, and none is wrong. kill -9 needs no sync:
 * what was written is in the kernel.
 *
 * Cleaning removes the oldest segment after what is alive in it was appended again. Always the oldest: so a record that
 * takes something back never goes before what it takes back, and the fold over the log is right at any moment. It is due
 * when more than a quarter of the log is dead.
 *
 * A disk that is full must not keep the log from getting smaller: what cannot be appended again is evicted, and where no
 * snapshot can be written the old one is removed, since without one every segment may go.
 */
import type { StoreCore } from './core.js';
import * as io from './io.js';
import { NO_SLOT } from './object-index.js';
import { copyWithFlags, PUT } from './record.js';
import { scanSegment } from './replay.js';
import { writeSnapshot, type SnapshotEntry } from './snapshot.js';

const CHECKPOINT_SEGMENTS = 4;
const COPY_BYTES = 1024 * 1024;
/** Less than a millisecond of reading heads. */
const RECORDS_PER_TURN = 500;
/** About a millisecond of a snapshot. */
const SLOTS_PER_TURN = 1000;

export class Maintenance<M> {
  readonly #core: StoreCore<M>;
  readonly #path: string;
  /** The first segment that the snapshot leaves to replay; 0 without a snapshot. */
  #snapshotSegment: number;
  #snapshotBytes = 0;
  #syncedBefore: number;
  #appendedThen = 0;
  #running: Promise<void> | undefined;
  #stopped = false;

  constructor(core: StoreCore<M>, path: string, snapshotSegment: number) {
    this.#core = core;
    this.#path = path;
    this.#snapshotSegment = snapshotSegment;
    this.#syncedBefore = snapshotSegment;
  }

  /** Something changed: begins what is due. */
  poke(): void {
    if (this.#running !== undefined || this.#stopped || !(this.#checkpointIsDue() || this.#cleaningIsDue())) return;
    this.#running = this.#run().finally(() => (this.#running = undefined));
  }

  /** Resolves when nothing is due any more. */
  async idle(): Promise<void> {
    this.poke();
    while (this.#running !== undefined) await this.#running;
  }

  /** Finishes the job that is under way; with `last`, writes a last snapshot. False when that was not possible. */
  async stop(last: boolean): Promise<boolean> {
    this.#stopped = true;
    while (this.#running !== undefined) await this.#running;
    return last ? this.#checkpoint() : true;
  }

  async #run(): Promise<void> {
    try {
      if (this.#checkpointIsDue()) await this.#checkpoint();
      while (!this.#stopped && this.#cleaningIsDue()) if (!(await this.#clean())) break;
    } catch (error) {
      this.#core.failed(error, 'cleaning the log');
    }
  }

  #checkpointIsDue(): boolean {
    const { log } = this.#core;
    const since = log.appended - this.#appendedThen;
    return since >= Math.max(CHECKPOINT_SEGMENTS * log.segmentBytes, this.#snapshotBytes);
  }

  #cleaningIsDue(): boolean {
    const { log } = this.#core;
    return log.bytes - log.live > log.bytes / 4 + log.segmentBytes;
  }

  async #checkpoint(): Promise<boolean> {
    const core = this.#core;
    this.#appendedThen = core.log.appended;
    const unsynced = core.unsynced;
    core.unsynced = new Set();
    const safeBefore = this.#undecidedFile();
    const segment = await core.log.roll();
    try {
      await core.log.sync(this.#syncedBefore, segment);
      await core.files.sync(unsynced);
      this.#syncedBefore = segment;
      this.#snapshotBytes = await writeSnapshot(this.#path, { segment, safeBefore }, this.#entriesBefore(segment));
      this.#snapshotSegment = segment;
      return true;
    } catch (error) {
      for (const fileId of unsynced) core.unsynced.add(fileId);
      core.failed(error, 'writing the snapshot', this.#path);
      await io.unlink(this.#path).then(
        () => (this.#snapshotSegment = 0),
        () => undefined,
      );
      return false;
    }
  }

  /** Every file with a smaller number is named, and in `unsynced` or synced, or will never be named. */
  #undecidedFile(): number {
    let lowest = this.#core.nextId;
    for (const fill of this.#core.fills) if (fill.newFileId !== 0) lowest = Math.min(lowest, fill.newFileId);
    return lowest;
  }

  /**
   * What stands from `segment` on, or is not written yet, is replayed anyway, and not yet synced: it must not be in the
   * snapshot. Undefined now and then: time for others.
   */
  *#entriesBefore(segment: number): Generator<SnapshotEntry | undefined> {
    const { index, disk } = this.#core;
    for (let slot = 0; slot < index.end; slot++) {
      if (slot % SLOTS_PER_TURN === 0) yield undefined;
      const key = index.keyOf(slot);
      if (key === undefined || index.segmentOf(slot) >= segment) continue;
      yield {
        head: {
          kind: PUT,
          flags: index.flags[slot] ?? 0,
          id: index.ids[slot] ?? 0,
          fileId: index.fileIds[slot] ?? 0,
          length: index.lengths[slot] ?? 0,
          fileBytes: index.fileBytes[slot] ?? 0,
          key,
          variant: index.variantOf(slot),
          tags: index.tagsOf(slot),
        },
        location: index.locationOf(slot),
        rank: disk.rank(slot),
      };
    }
  }

  /** Removes the oldest segment. False when it cannot be. */
  async #clean(): Promise<boolean> {
    const core = this.#core;
    const oldest = core.log.segments[0];
    if (oldest === undefined || core.log.isCurrent(oldest)) return false;
    // What the snapshot leaves to replay must be there; a newer snapshot needs less of it.
    if (this.#snapshotSegment !== 0 && oldest >= this.#snapshotSegment) await this.#checkpoint();
    if (this.#snapshotSegment !== 0 && oldest >= this.#snapshotSegment) return false;

    const path = core.log.pathOf(oldest);
    const bytes = (await io.readWhole(path)) ?? Buffer.alloc(0);
    let waiting = 0;
    let turn = 0;
    for (const { head, offset, size } of scanSegment(bytes)) {
      if (++turn % RECORDS_PER_TURN === 0) await new Promise(setImmediate);
      if (head?.kind !== PUT) continue;
      const slot = core.index.find(head.key, head.variant);
      if (slot === NO_SLOT || !this.#standsAt(slot, head.id, oldest, offset)) continue;
      this.#copy(slot, head.id, oldest, bytes.subarray(offset, offset + size), offset);
      waiting += size;
      if (waiting < COPY_BYTES) continue;
      waiting = 0;
      await core.log.flushed();
    }
    await core.log.flushed();
    if (core.log.liveIn(oldest) > 0) this.#loseWhatStandsIn(oldest, path);
    core.leases.forget(path);
    await core.log.remove(oldest);
    return true;
  }

  /** In the turn in which the object was looked up: what takes it back later has its record after this copy. */
  #copy(slot: number, id: number, segment: number, record: Buffer, offset: number): void {
    const { log, index, counts } = this.#core;
    log.append(copyWithFlags(record, index.flags[slot] ?? 0), (location) => {
      if (!this.#standsAt(slot, id, segment, offset)) return;
      if (location === undefined) {
        counts.evicted++;
        return this.#core.drop(slot);
      }
      log.credit(index.locationOf(slot), -1);
      index.relocate(slot, location);
      log.credit(location);
    });
  }

  /** Records of live objects that could not be read. */
  #loseWhatStandsIn(segment: number, path: string): void {
    const { index } = this.#core;
    for (let slot = 0; slot < index.end; slot++) {
      const key = index.keyOf(slot);
      if (key === undefined || index.segmentOf(slot) !== segment) continue;
      this.#core.lose(slot, { kind: 'corrupt', text: `the record of ${key} is damaged; the object is dropped`, path });
    }
  }

  #standsAt(slot: number, id: number, segment: number, offset: number): boolean {
    const { index } = this.#core;
    if (!index.holds(slot, id) || index.segmentOf(slot) !== segment) return false;
    return index.locationOf(slot).offset === offset;
  }
}
