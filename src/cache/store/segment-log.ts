/**
 * The log: numbered files, appended to one after the other, removed from the oldest on. What the store knows is the
 * fold over their records in order; the snapshot only spares a start the reading. Knows nothing of what records mean,
 * except how big they are.
 *
 * Appending: records wait in a queue, and one writev(2) takes what waits, so that many objects share a write: what was
 * appended in `gatherMs`, or less if somebody waits for it or it is much. One write is under way at a time, in
 * libuv's pool; the next gathers meanwhile. Handing a write to another thread and back costs more than writing a record
 * of 2 KB, so nothing else makes small objects cheap. `done` is called in the order of the log, synchronously after the
 * write: the index changes in the same order as the log, and who waits for roll() sees all records before it in the
 * index.
 *
 * A disk that stalls stops the writes, and not those who append. The log takes what it is given all the same (a removal
 * must not be lost) and says in `isBehind` that it should be given nothing new.
 *
 * After kill -9 the last segment may end in the middle of a record. A start never appends to an old segment.
 *
 * A write that fails is cut off again, so that a record that was reported as failed does not come back with the next
 * start; where even that fails the segment is left, and the next record begins a new one.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import * as io from './io.js';

export interface Location {
  readonly segment: number;
  readonly offset: number;
  readonly size: number;
}

interface Segment {
  bytes: number;
  /** Bytes of records that the index points at. */
  live: number;
}

interface Append {
  readonly record: Uint8Array;
  readonly done: (location: Location | undefined, error: unknown) => void;
}

/** A place in the queue that somebody waits for. */
interface Mark {
  readonly reached: (current: number) => void;
  /** Whether the segment ends here. */
  readonly leave: boolean;
}

const BATCH_BYTES = 1024 * 1024;
const BATCH_RECORDS = 512;
/** Records that wait in memory, beyond which there is to be nothing new: what a slow disk takes in a second. */
const MOST_BEHIND_BYTES = 32 * 1024 * 1024;
/** So much does not wait for more. */
const GATHERED_BYTES = 256 * 1024;
const NAME = /^(\d{8,})\.log$/;

export class SegmentLog {
  readonly #directory: string;
  readonly #segmentBytes: number;
  readonly #gatherMs: number;
  readonly #segments = new Map<number, Segment>();
  #queue: (Append | Mark)[] = [];
  /** Bytes in the queue, and whether somebody waits for what is there. */
  #waiting = 0;
  #awaited = false;
  /** Bytes that are not written, those of the write under way among them. */
  #unwritten = 0;
  #draining = false;
  #timer: NodeJS.Timeout | undefined;
  #fd = -1;
  /** The segment that is, or will be, appended to. */
  #current: number;
  #at = 0;
  #bytes = 0;
  #live = 0;
  #appended = 0;

  private constructor(directory: string, segmentBytes: number, gatherMs: number, segments: Map<number, number>) {
    this.#directory = directory;
    this.#segmentBytes = segmentBytes;
    this.#gatherMs = gatherMs;
    let last = 0;
    for (const [number, bytes] of segments) {
      this.#segments.set(number, { bytes, live: 0 });
      this.#bytes += bytes;
      last = number;
    }
    this.#current = last + 1;
  }

  static async open(directory: string, segmentBytes: number, gatherMs: number): Promise<SegmentLog> {
    await io.makeDirectory(directory);
    const numbers: number[] = [];
    for (const name of await readdir(directory)) {
      const match = NAME.exec(name);
      if (match !== null) numbers.push(Number(match[1]));
    }
    const segments = new Map<number, number>();
    for (const number of numbers.sort((a, b) => a - b)) {
      const fd = await io.open(pathOf(directory, number), 'r');
      try {
        segments.set(number, (await io.fstat(fd)).size);
      } finally {
        await io.close(fd);
      }
    }
    return new SegmentLog(directory, segmentBytes, gatherMs, segments);
  }

  /** Oldest first. */
  get segments(): number[] {
    return [...this.#segments.keys()];
  }

  get bytes(): number {
    return this.#bytes;
  }

  get live(): number {
    return this.#live;
  }

  get segmentBytes(): number {
    return this.#segmentBytes;
  }

  /** Bytes appended since the start. */
  get appended(): number {
    return this.#appended;
  }

  /** The disk does not keep up: a second of it waits in memory. */
  get isBehind(): boolean {
    return this.#unwritten >= MOST_BEHIND_BYTES;
  }

  has(segment: number): boolean {
    return this.#segments.has(segment);
  }

  pathOf(segment: number): string {
    return pathOf(this.#directory, segment);
  }

  /** The index points at these bytes, or (`by` -1) does not any more. */
  credit(location: Location, by: 1 | -1 = 1): void {
    const segment = this.#segments.get(location.segment);
    if (segment === undefined) return;
    segment.live += by * location.size;
    this.#live += by * location.size;
  }

  /** Bytes of a segment that the index points at. */
  liveIn(segment: number): number {
    return this.#segments.get(segment)?.live ?? 0;
  }

  /** `soon`: somebody waits for it, and it does not gather. */
  append(record: Uint8Array, done: Append['done'], soon = false): void {
    if (soon) this.#awaited = true;
    this.#queue.push({ record, done });
    this.#waiting += record.length;
    this.#unwritten += record.length;
    this.#begin();
  }

  /** Ends the current segment once what waits is written. Resolves to the number of the first segment after it. */
  roll(): Promise<number> {
    return this.#mark(true);
  }

  /** Resolves when everything that was appended until now is written or has failed. */
  async flushed(): Promise<void> {
    await this.#mark(false);
  }

  #mark(leave: boolean): Promise<number> {
    return new Promise((reached) => {
      this.#queue.push({ reached, leave });
      this.#awaited = true;
      this.#begin();
    });
  }

  /** Whether a new record would come into `segment`. */
  isCurrent(segment: number): boolean {
    return segment === this.#current;
  }

  /** Removes a segment that is not the current one. Readers that have it open keep it. */
  async remove(segment: number): Promise<void> {
    const entry = this.#segments.get(segment);
    if (entry === undefined) return;
    await io.unlink(this.pathOf(segment));
    this.#segments.delete(segment);
    this.#bytes -= entry.bytes;
    this.#live -= entry.live;
  }

  /** Makes what was written into segments from `from` on, up to and without `to`, safe against a loss of power. */
  async sync(from: number, to: number): Promise<void> {
    for (const segment of this.segments) {
      if (segment < from || segment >= to) continue;
      const fd = await io.open(this.pathOf(segment), 'r+');
      try {
        await io.fdatasync(fd);
      } finally {
        await io.close(fd);
      }
    }
    await io.syncDirectory(this.#directory);
  }

  async close(): Promise<void> {
    await this.flushed();
    await this.#leaveSegment();
  }

  #begin(): void {
    if (this.#draining) return;
    if (this.#isDue()) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      this.#draining = true;
      void this.#drain();
    } else {
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined;
        this.#draining = true;
        void this.#drain();
      }, this.#gatherMs);
    }
  }

  #isDue(): boolean {
    return this.#awaited || this.#gatherMs === 0 || this.#waiting >= GATHERED_BYTES;
  }

  async #drain(): Promise<void> {
    await Promise.resolve(); // so that what is appended in this turn shares a write
    do {
      const taken = this.#queue;
      this.#queue = [];
      this.#waiting = 0;
      this.#awaited = false;
      let batch: Append[] = [];
      let size = 0;
      for (const item of taken) {
        if ('record' in item) {
          batch.push(item);
          size += item.record.length;
          if (size < BATCH_BYTES && batch.length < BATCH_RECORDS) continue;
        }
        await this.#write(batch, size);
        batch = [];
        size = 0;
        if ('reached' in item) {
          if (item.leave) await this.#leaveSegment();
          item.reached(this.#current);
        }
      }
      await this.#write(batch, size);
    } while (this.#queue.length > 0 && this.#isDue());
    this.#draining = false;
    if (this.#queue.length > 0) this.#begin();
  }

  async #write(batch: readonly Append[], size: number): Promise<void> {
    if (batch.length === 0) return;
    let offset: number;
    try {
      if (this.#fd !== -1 && this.#at >= this.#segmentBytes) await this.#leaveSegment();
      if (this.#fd === -1) await this.#enterSegment();
      offset = this.#at;
      await io.writeAll(
        this.#fd,
        batch.map((item) => item.record),
        offset,
      );
    } catch (error) {
      await this.#cutOff();
      this.#unwritten -= size;
      for (const item of batch) item.done(undefined, error);
      return;
    }
    this.#at += size;
    this.#unwritten -= size;
    this.#count(size);
    for (const item of batch) {
      item.done({ segment: this.#current, offset, size: item.record.length }, undefined);
      offset += item.record.length;
    }
  }

  #count(bytes: number): void {
    const segment = this.#segments.get(this.#current);
    if (segment !== undefined) segment.bytes += bytes;
    this.#bytes += bytes;
    this.#appended += bytes;
  }

  async #enterSegment(): Promise<void> {
    this.#fd = await io.open(this.pathOf(this.#current), 'wx', 0o600);
    this.#segments.set(this.#current, { bytes: 0, live: 0 });
    this.#at = 0;
  }

  async #leaveSegment(): Promise<void> {
    if (this.#fd === -1) return;
    const fd = this.#fd;
    this.#fd = -1;
    this.#current++;
    await io.close(fd).catch(() => undefined); // it was written; what close says comes too late to matter
  }

  async #cutOff(): Promise<void> {
    if (this.#fd === -1) return;
    try {
      await io.ftruncate(this.#fd, this.#at);
    } catch {
      await this.#leaveSegment();
    }
  }
}

function pathOf(directory: string, segment: number): string {
  return join(directory, `${String(segment).padStart(8, '0')}.log`);
}
