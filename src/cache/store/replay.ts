/**
 * A segment's bytes as records, and what a start makes of them. Damage costs what it hit: reading goes on at the next
 * record whose checksum is right.
 */
import { assertNever } from '../../errors.js';
import type { StoreCore } from './core.js';
import { NO_SLOT } from './object-index.js';
import {
  decodeHead,
  DROP,
  EXTENDED,
  nextRecord,
  PARTIAL,
  PUT,
  recordSize,
  SOFT_PURGED,
  STALE,
  type RecordHead,
} from './record.js';
import type { Location } from './segment-log.js';

/** A record, or (without a head) bytes in which none could be read. */
export interface Scanned {
  readonly head: RecordHead | undefined;
  readonly offset: number;
  readonly size: number;
}

/** The records of a segment, in order. Step by step, so that the reader may rest between them. */
export function* scanSegment(bytes: Buffer): Generator<Scanned> {
  for (let at = 0; at < bytes.length;) {
    const size = recordSize(bytes, at);
    if (size > 0) {
      const head = decodeHead(bytes, at);
      if (head !== undefined) yield { head, offset: at, size };
      at += size;
    } else {
      const next = nextRecord(bytes, at + 8);
      yield { head: undefined, offset: at, size: next - at };
      at = next;
    }
  }
}

export interface ReplayOptions {
  /** The machine stopped: files from `safeBefore` on, and those written into again, may not be what their size says. */
  readonly powerFailed: boolean;
  readonly safeBefore: number;
}

export interface Replayed {
  records: number;
  /** Objects left out because of `powerFailed`. */
  unsafe: number;
  highestId: number;
}

/**
 * Folds one segment into the index. Records that the index already knows change nothing. Returns what could not be read;
 * the end of a segment that a crash cut off is no damage.
 */
export function replaySegment<M>(
  core: StoreCore<M>,
  segment: number,
  bytes: Buffer,
  options: ReplayOptions,
  result: Replayed,
): Scanned[] {
  const damaged: Scanned[] = [];
  for (const scanned of scanSegment(bytes)) {
    const { head, offset, size } = scanned;
    if (head !== undefined) replayRecord(core, head, { segment, offset, size }, options, result);
    else if (offset + size < bytes.length) damaged.push(scanned);
  }
  return damaged;
}

function replayRecord<M>(
  core: StoreCore<M>,
  head: RecordHead,
  location: Location,
  options: ReplayOptions,
  result: Replayed,
): void {
  result.records++;
  result.highestId = Math.max(result.highestId, head.id, head.fileId);
  const slot = core.index.find(head.key, head.variant);
  const known = slot === NO_SLOT ? -1 : (core.index.ids[slot] ?? -1);
  if (known > head.id) return; // the snapshot is ahead of this record
  switch (head.kind) {
    case PUT:
      if (options.powerFailed && isUnsafe(head, options.safeBefore)) {
        result.unsafe++;
        if (slot !== NO_SLOT) core.uninstall(slot);
      } else {
        core.install(head, location, false);
      }
      break;
    case DROP:
      if (slot !== NO_SLOT) core.uninstall(slot);
      break;
    case STALE:
      if (slot !== NO_SLOT) core.index.flags[slot] = (core.index.flags[slot] ?? 0) | SOFT_PURGED;
      break;
    default:
      assertNever(head.kind);
  }
}

function isUnsafe(head: RecordHead, safeBefore: number): boolean {
  return head.fileId !== 0 && (head.fileId >= safeBefore || (head.flags & (PARTIAL | EXTENDED)) !== 0);
}
