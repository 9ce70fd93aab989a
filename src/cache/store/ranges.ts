/**
 * Sets of byte ranges: which parts of a representation an object holds (RFC 9111 section 3.4, RFC 9110 section 14).
 * Pure. A set is sorted, its ranges neither overlap nor touch, `end` is the first byte that is not there any more.
 */

export interface ByteRange {
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
}

export type RangeSet = readonly ByteRange[];

/** The set with `range` in it too. */
export function unite(set: RangeSet, range: ByteRange): RangeSet {
  if (range.end <= range.start) return set;
  const result: ByteRange[] = [];
  let { start, end } = range;
  let placed = false;
  for (const each of set) {
    if (each.end < start) {
      result.push(each);
    } else if (each.start > end) {
      if (!placed) result.push({ start, end });
      placed = true;
      result.push(each);
    } else {
      start = Math.min(start, each.start);
      end = Math.max(end, each.end);
    }
  }
  if (!placed) result.push({ start, end });
  return result;
}

/** Whether every byte of `range` is there. */
export function covers(set: RangeSet, range: ByteRange): boolean {
  return range.end <= range.start || set.some((each) => each.start <= range.start && range.end <= each.end);
}

/** The parts of `range` that are not there. */
export function missing(set: RangeSet, range: ByteRange): RangeSet {
  const result: ByteRange[] = [];
  let at = range.start;
  for (const each of set) {
    if (each.end <= at) continue;
    if (each.start >= range.end) break;
    if (each.start > at) result.push({ start: at, end: each.start });
    at = each.end;
  }
  if (at < range.end) result.push({ start: at, end: range.end });
  return result;
}

/** How many bytes are there. */
export function sizeOf(set: RangeSet): number {
  return set.reduce((sum, each) => sum + each.end - each.start, 0);
}
