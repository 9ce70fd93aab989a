/**
 * One record of the log, as bytes. Pure; segment-log.ts writes them, replay and lookups read them.
 *
 *     0  magic                     32  id, a double that holds an integer
 *     4  CRC-32 from 8 to payload   40  fileId, 0 when the body is in the record
 *     8  kind    9  flags          48  length of the whole representation
 *    10  key, 12 variant, 14 tags: lengths in bytes
 *    16  meta, 20 body, 28 ranges: lengths in bytes
 *    24  CRC-32 of the payload
 *    56  bytes of the body that are in the file
 *    64  key, variant, tags | payload: ranges, meta, body | zeros up to a multiple of 8
 *
 * Two checksums: a start must believe heads and need not check kilobytes of payload, a payload is checked whenever it is
 * read to be used. CRC-32 is
 * what Node has natively (zlib.crc32, 0.2 us for a head); it guards against torn and rotten bytes, not against people.
 *
 * The kinds: `put` is an object, and replaces the one of the same key and variant; `drop` and `stale` are about the
 * object of their key and variant if its id is not above theirs. So the log's state is a fold over its records in order.
 */
import { crc32 } from 'node:zlib';
import type { ByteRange, RangeSet } from './ranges.js';

export const PUT = 1;
export const DROP = 2;
export const STALE = 3;
export type RecordKind = typeof PUT | typeof DROP | typeof STALE;

/** Flag: purged softly, to be validated before it is used. */
export const SOFT_PURGED = 1;
/** Flag: only some ranges of the representation are there. */
export const PARTIAL = 2;
/** Flag: the file was written into again after a record had named it. */
export const EXTENDED = 4;

const MAGIC = 0x31435353; // "SSC1"; other digits, other layouts
const FIXED = 64;
const ALIGN = 8;
/** Key, variant and tags have two bytes for their lengths. */
export const MOST_NAME_BYTES = 0xffff;

export interface RecordNames {
  readonly key: string;
  /** The part of the cache key that Vary adds; '' without Vary. */
  readonly variant: string;
  /** Tags, each ended by a line feed; '' without tags. */
  readonly tags: string;
}

export interface RecordHead extends RecordNames {
  readonly kind: RecordKind;
  readonly flags: number;
  readonly id: number;
  readonly fileId: number;
  readonly length: number;
  readonly fileBytes: number;
}

export interface RecordPayload {
  readonly ranges: RangeSet;
  readonly meta: Uint8Array;
  readonly body: Uint8Array;
}

const NOTHING = new Uint8Array(0);
const NO_TAGS: readonly string[] = [];
export const NO_PAYLOAD: RecordPayload = { ranges: [], meta: NOTHING, body: NOTHING };

/** Bytes up to the end of a record that holds `used` bytes. */
function aligned(used: number): number {
  return Math.ceil(used / ALIGN) * ALIGN;
}

/** The record as one buffer. */
export function encodeRecord(head: RecordHead, payload: RecordPayload): Buffer {
  const keyBytes = Buffer.byteLength(head.key);
  const variantBytes = Buffer.byteLength(head.variant);
  const tagBytes = Buffer.byteLength(head.tags);
  const rangeBytes = payload.ranges.length * 16;
  const payloadAt = FIXED + keyBytes + variantBytes + tagBytes;
  const end = payloadAt + rangeBytes + payload.meta.length + payload.body.length;
  const buffer = Buffer.allocUnsafe(aligned(end));
  buffer.fill(0, end);

  buffer.writeUInt32LE(MAGIC, 0);
  buffer[8] = head.kind;
  buffer[9] = head.flags;
  buffer.writeUInt16LE(keyBytes, 10);
  buffer.writeUInt16LE(variantBytes, 12);
  buffer.writeUInt16LE(tagBytes, 14);
  buffer.writeUInt32LE(payload.meta.length, 16);
  buffer.writeUInt32LE(payload.body.length, 20);
  buffer.writeUInt32LE(rangeBytes, 28);
  buffer.writeDoubleLE(head.id, 32);
  buffer.writeDoubleLE(head.fileId, 40);
  buffer.writeDoubleLE(head.length, 48);
  buffer.writeDoubleLE(head.fileBytes, 56);
  buffer.write(head.key, FIXED);
  buffer.write(head.variant, FIXED + keyBytes);
  buffer.write(head.tags, FIXED + keyBytes + variantBytes);

  let at = payloadAt;
  for (const range of payload.ranges) {
    buffer.writeDoubleLE(range.start, at);
    buffer.writeDoubleLE(range.end, at + 8);
    at += 16;
  }
  buffer.set(payload.meta, at);
  buffer.set(payload.body, at + payload.meta.length);
  buffer.writeUInt32LE(crc32(buffer.subarray(payloadAt, end)), 24);
  buffer.writeUInt32LE(crc32(buffer.subarray(8, payloadAt)), 4);
  return buffer;
}

/** The meta in a record, sharing its memory. */
export function metaIn(record: Buffer): Buffer {
  const at = payloadOffset(record, 0) + record.readUInt32LE(28);
  return record.subarray(at, at + record.readUInt32LE(16));
}

/** The body in a record, sharing its memory. */
export function bodyIn(record: Buffer): Buffer {
  const at = payloadOffset(record, 0) + record.readUInt32LE(28) + record.readUInt32LE(16);
  return record.subarray(at, at + record.readUInt32LE(20));
}

/** How many bytes the record at `at` has, once its head is known to be right; 0 when it is not, or is cut off. */
export function recordSize(buffer: Buffer, at: number): number {
  if (at + FIXED > buffer.length || buffer.readUInt32LE(at) !== MAGIC) return 0;
  const payloadAt = at + payloadOffset(buffer, at);
  const end = payloadAt + payloadBytes(buffer, at);
  const size = aligned(end - at);
  if (at + size > buffer.length) return 0;
  return crc32(buffer.subarray(at + 8, payloadAt)) === buffer.readUInt32LE(at + 4) ? size : 0;
}

/** Where, at or after `at`, a record begins whose head is right; the buffer's length when there is none. */
export function nextRecord(buffer: Buffer, at: number): number {
  for (let i = aligned(at); i + FIXED <= buffer.length; i += ALIGN) if (recordSize(buffer, i) > 0) return i;
  return buffer.length;
}

/** The head of a record that {@link recordSize} found right; undefined for a kind that this version does not know. */
export function decodeHead(buffer: Buffer, at: number): RecordHead | undefined {
  const kind = buffer[at + 8];
  if (kind !== PUT && kind !== DROP && kind !== STALE) return undefined;
  const variantAt = at + FIXED + buffer.readUInt16LE(at + 10);
  const tagsAt = variantAt + buffer.readUInt16LE(at + 12);
  return {
    kind,
    flags: buffer[at + 9] ?? 0,
    id: buffer.readDoubleLE(at + 32),
    fileId: buffer.readDoubleLE(at + 40),
    length: buffer.readDoubleLE(at + 48),
    fileBytes: buffer.readDoubleLE(at + 56),
    key: buffer.toString('utf8', at + FIXED, variantAt),
    variant: buffer.toString('utf8', variantAt, tagsAt),
    tags: buffer.toString('utf8', tagsAt, at + payloadOffset(buffer, at)),
  };
}

/** The payload, sharing the buffer's memory; undefined when its checksum is wrong. */
export function decodePayload(buffer: Buffer, at: number): RecordPayload | undefined {
  const start = at + payloadOffset(buffer, at);
  const end = start + payloadBytes(buffer, at);
  if (crc32(buffer.subarray(start, end)) !== buffer.readUInt32LE(at + 24)) return undefined;
  const metaAt = start + buffer.readUInt32LE(at + 28);
  const bodyAt = metaAt + buffer.readUInt32LE(at + 16);
  const ranges: ByteRange[] = [];
  for (let i = start; i < metaAt; i += 16)
    ranges.push({ start: buffer.readDoubleLE(i), end: buffer.readDoubleLE(i + 8) });
  return { ranges, meta: buffer.subarray(metaAt, bodyAt), body: buffer.subarray(bodyAt, end) };
}

/** A copy of a record that carries `flags`. */
export function copyWithFlags(record: Buffer, flags: number): Buffer {
  const copy = Buffer.from(record);
  if (copy[9] === flags) return copy;
  copy[9] = flags;
  copy.writeUInt32LE(crc32(copy.subarray(8, payloadOffset(copy, 0))), 4);
  return copy;
}

function payloadOffset(buffer: Buffer, at: number): number {
  return FIXED + buffer.readUInt16LE(at + 10) + buffer.readUInt16LE(at + 12) + buffer.readUInt16LE(at + 14);
}

function payloadBytes(buffer: Buffer, at: number): number {
  return buffer.readUInt32LE(at + 28) + buffer.readUInt32LE(at + 16) + buffer.readUInt32LE(at + 20);
}

/** Tags as a record has them. */
export function joinTags(tags: readonly string[]): string {
  return tags.map((tag) => `${tag}\n`).join('');
}

export function splitTags(tags: string): readonly string[] {
  return tags === '' ? NO_TAGS : tags.slice(0, -1).split('\n');
}
