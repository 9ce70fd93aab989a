/**
 * The index as a file, so that a start need not read the log: everything that stood in segments before `segment`, to be
 * completed by replaying the log from there. It is written while the store works. That is no contradiction: what changes
 * meanwhile has its record in the log from `segment` on, and replaying a record a second time changes nothing.
 *
 * Blocks of about a megabyte, each with a checksum. A snapshot with any damage is not used at all; the log has
 * everything, and reading it takes longer, that is the whole harm.
 */
import { crc32 } from 'node:zlib';
import { codeOf } from './errors.js';
import * as io from './io.js';
import { PUT, type RecordHead } from './record.js';
import type { Location } from './segment-log.js';

export interface SnapshotHead {
  /** The first segment that is to be replayed. */
  readonly segment: number;
  /** Files with smaller numbers were safe against a loss of power when this was written. */
  readonly safeBefore: number;
}

export interface SnapshotEntry {
  readonly head: RecordHead;
  readonly location: Location;
  readonly rank: number;
}

const MAGIC = 0x31495353; // "SSI1"
const HEAD_BYTES = 32;
const BLOCK_HEAD = 12;
const BLOCK_BYTES = 1024 * 1024;
const ENTRY = 56;
const MOST_ENTRY = ENTRY + 3 * 0xffff;

/** Writes a snapshot beside `path` and puts it in place; lets others go on where an entry is undefined. Resolves to its size. */
export async function writeSnapshot(
  path: string,
  { segment, safeBefore }: SnapshotHead,
  entries: Iterable<SnapshotEntry | undefined>,
): Promise<number> {
  const temporary = `${path}.new`;
  const fd = await io.open(temporary, 'w', 0o600);
  try {
    const head = Buffer.alloc(HEAD_BYTES);
    head.writeUInt32LE(MAGIC, 0);
    head.writeDoubleLE(segment, 8);
    head.writeDoubleLE(safeBefore, 16);
    head.writeUInt32LE(crc32(head.subarray(8)), 4);
    await io.writeAll(fd, [head], 0);

    let position = HEAD_BYTES;
    const block = Buffer.allocUnsafe(BLOCK_HEAD + BLOCK_BYTES + MOST_ENTRY);
    let used = BLOCK_HEAD;
    const flush = async (): Promise<void> => {
      block.writeUInt32LE(used - BLOCK_HEAD, 0);
      block.writeUInt32LE(crc32(block.subarray(BLOCK_HEAD, used)), 4);
      block.writeUInt32LE(MAGIC, 8);
      await io.writeAll(fd, [block.subarray(0, used)], position);
      position += used;
      used = BLOCK_HEAD;
    };
    for (const entry of entries) {
      if (entry === undefined) {
        await new Promise(setImmediate);
        continue;
      }
      used += encodeEntry(block, used, entry);
      if (used >= BLOCK_HEAD + BLOCK_BYTES) await flush();
    }
    if (used > BLOCK_HEAD) await flush();
    await flush(); // an empty block is the end
    await io.fsync(fd);
    await io.close(fd);
    await io.rename(temporary, path);
    return position;
  } catch (error) {
    await io.close(fd).catch(() => undefined);
    await io.unlink(temporary).catch(() => undefined);
    throw error;
  }
}

/** Reads a snapshot. 'none' when there is none, 'damaged' when it cannot be used; `take` may have been called then. */
export async function readSnapshot(
  path: string,
  take: (entry: SnapshotEntry) => void,
): Promise<SnapshotHead | 'none' | 'damaged'> {
  let fd: number;
  try {
    fd = await io.open(path, 'r');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return 'none';
    throw error;
  }
  try {
    const head = await io.readAt(fd, HEAD_BYTES, 0);
    if (head.length < HEAD_BYTES || head.readUInt32LE(0) !== MAGIC) return 'damaged';
    if (head.readUInt32LE(4) !== crc32(head.subarray(8))) return 'damaged';
    let position = HEAD_BYTES;
    for (;;) {
      const blockHead = await io.readAt(fd, BLOCK_HEAD, position);
      if (blockHead.length < BLOCK_HEAD || blockHead.readUInt32LE(8) !== MAGIC) return 'damaged';
      const length = blockHead.readUInt32LE(0);
      if (length > BLOCK_BYTES + MOST_ENTRY) return 'damaged';
      const block = await io.readAt(fd, length, position + BLOCK_HEAD);
      if (block.length < length || crc32(block) !== blockHead.readUInt32LE(4)) return 'damaged';
      if (length === 0) return { segment: head.readDoubleLE(8), safeBefore: head.readDoubleLE(16) };
      for (let at = 0; at < length;) at = decodeEntry(block, at, take);
      position += BLOCK_HEAD + length;
    }
  } finally {
    await io.close(fd);
  }
}

function encodeEntry(block: Buffer, at: number, { head, location, rank }: SnapshotEntry): number {
  const keyBytes = block.write(head.key, at + ENTRY);
  const variantBytes = head.variant === '' ? 0 : block.write(head.variant, at + ENTRY + keyBytes);
  const tagBytes = head.tags === '' ? 0 : block.write(head.tags, at + ENTRY + keyBytes + variantBytes);
  block.writeUInt32LE(location.segment, at);
  block.writeUInt32LE(location.offset, at + 4);
  block.writeUInt32LE(location.size, at + 8);
  block.writeUInt16LE(keyBytes, at + 12);
  block.writeUInt16LE(variantBytes, at + 14);
  block.writeUInt16LE(tagBytes, at + 16);
  block[at + 18] = head.flags;
  block[at + 19] = rank;
  block.writeUInt32LE(0, at + 20);
  block.writeDoubleLE(head.id, at + 24);
  block.writeDoubleLE(head.fileId, at + 32);
  block.writeDoubleLE(head.length, at + 40);
  block.writeDoubleLE(head.fileBytes, at + 48);
  return ENTRY + keyBytes + variantBytes + tagBytes;
}

function decodeEntry(block: Buffer, at: number, take: (entry: SnapshotEntry) => void): number {
  const variantAt = at + ENTRY + block.readUInt16LE(at + 12);
  const tagsAt = variantAt + block.readUInt16LE(at + 14);
  const end = tagsAt + block.readUInt16LE(at + 16);
  take({
    head: {
      kind: PUT,
      flags: block[at + 18] ?? 0,
      id: block.readDoubleLE(at + 24),
      fileId: block.readDoubleLE(at + 32),
      length: block.readDoubleLE(at + 40),
      fileBytes: block.readDoubleLE(at + 48),
      key: block.toString('utf8', at + ENTRY, variantAt),
      variant: variantAt === tagsAt ? '' : block.toString('utf8', variantAt, tagsAt),
      tags: tagsAt === end ? '' : block.toString('utf8', tagsAt, end),
    },
    location: {
      segment: block.readUInt32LE(at),
      offset: block.readUInt32LE(at + 4),
      size: block.readUInt32LE(at + 8),
    },
    rank: block[at + 19] ?? 0,
  });
  return end;
}
