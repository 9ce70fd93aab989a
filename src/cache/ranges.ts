/**
 * Byte ranges (RFC 9110 section 14): Range and Content-Range, and what of a stored representation answers a request.
 * Called by respond.ts, storable.ts and combine.ts; pure. `bytes` is the only unit understood; requests for others are
 * answered as if they had no Range, responses with others are not stored.
 */
import { trim } from './list.js';
import { type Extent, type Span, containsSpan, isOpen } from './spans.js';

export type RangeSpec =
  /** `last` is inclusive, as on the wire; undefined for "to the end". */
  | { readonly kind: 'from'; readonly first: number; readonly last: number | undefined }
  | { readonly kind: 'suffix'; readonly length: number };

export type RangeAnswer =
  /** Answer as if there were no Range. */
  | { readonly kind: 'whole' }
  | { readonly kind: 'spans'; readonly spans: readonly [Span, ...Span[]] }
  /** 416 */
  | { readonly kind: 'unsatisfiable'; readonly total: number }
  /** Some of it is not stored: the origin has to be asked. */
  | { readonly kind: 'missing' };

export interface ContentRange {
  readonly span: Span;
  readonly total: number | undefined;
}

/** The ranges of a Range field, or undefined where it has to be ignored: another unit, or not well-formed. */
export function parseRange(value: string): readonly RangeSpec[] | undefined {
  const [, set] = /^bytes=(.*)$/i.exec(trim(value)) ?? [];
  if (set === undefined) return undefined;
  const specs: RangeSpec[] = [];
  for (const text of set.split(',').map(trim)) {
    if (text === '') continue;
    const [, first, last] = /^([0-9]*)-([0-9]*)$/.exec(text) ?? [];
    if (first === undefined || last === undefined) return undefined;
    if (first === '') {
      if (last === '') return undefined;
      specs.push({ kind: 'suffix', length: position(last) });
    } else {
      if (last !== '' && position(last) < position(first)) return undefined;
      specs.push({ kind: 'from', first: position(first), last: last === '' ? undefined : position(last) });
    }
  }
  return specs.length > 0 ? specs : undefined;
}

/** The Content-Range of a 206 with one part; undefined where it is invalid or not in bytes. */
export function parseContentRange(value: string | undefined): ContentRange | undefined {
  const [, first, last, total] = /^bytes ([0-9]{1,15})-([0-9]{1,15})\/([0-9]{1,15}|\*)$/i.exec(trim(value ?? '')) ?? [];
  if (first === undefined || last === undefined || total === undefined) return undefined;
  const span = { first: Number(first), end: Number(last) + 1 };
  const length = total === '*' ? undefined : Number(total);
  if (span.end <= span.first || (length !== undefined && length < span.end)) return undefined;
  return { span, total: length };
}

export function formatContentRange(span: Span, total: number | undefined): string {
  return `bytes ${span.first}-${span.end - 1}/${total ?? '*'}`;
}

/** The value of Range for what is missing. */
export function formatRange(span: Span, total: number | undefined): string {
  return `bytes=${span.first}-${span.end === total ? '' : span.end - 1}`;
}

/**
 * What to answer from what is stored. More than `mostRanges` ranges, and ranges of which more than two overlap, are an
 * attack or a mistake (RFC 9110 section 14.2), and the whole is the cheapest answer that is right.
 */
export function answerRange(specs: readonly RangeSpec[], extent: Extent, mostRanges: number): RangeAnswer {
  if (specs.length > mostRanges) return { kind: 'whole' };
  // It may turn out to be shorter than the range that was promised.
  if (isOpen(extent)) return { kind: 'missing' };
  const { total } = extent;
  const spans: Span[] = [];
  for (const spec of specs) {
    const span = resolve(spec, total);
    if (span === 'unknown') return { kind: 'missing' };
    if (span !== undefined) spans.push(span);
  }
  if (spans.length === 0) return total === undefined ? { kind: 'missing' } : { kind: 'unsatisfiable', total };
  if (!spans.every((span) => containsSpan(extent, span))) return { kind: 'missing' };
  if (countOverlaps(spans) > 2) return { kind: 'whole' };
  const [first, ...rest] = coalesce(spans);
  // What has no bytes cannot be sent as a range; a suffix of nothing is all of it.
  if (first === undefined || first.end === first.first) return { kind: 'whole' };
  return { kind: 'spans', spans: [first, ...rest] };
}

/** The span of a range in a representation of that length; undefined where it is not satisfiable. */
function resolve(spec: RangeSpec, total: number | undefined): Span | undefined | 'unknown' {
  if (spec.kind === 'suffix') {
    if (spec.length === 0) return undefined;
    return total === undefined ? 'unknown' : { first: Math.max(0, total - spec.length), end: total };
  }
  if (total === undefined) {
    return spec.last === undefined ? 'unknown' : { first: spec.first, end: spec.last + 1 };
  }
  if (spec.first >= total) return undefined;
  return { first: spec.first, end: Math.min(total, (spec.last ?? total) + 1) };
}

function countOverlaps(spans: readonly Span[]): number {
  let overlaps = 0;
  spans.forEach((a, i) => {
    if (spans.some((b, j) => j < i && a.first < b.end && b.first < a.end)) overlaps++;
  });
  return overlaps;
}

/** Overlapping and adjacent ranges become one; the order asked for stays (RFC 9110 section 15.3.7.2). */
function coalesce(spans: readonly Span[]): Span[] {
  const result: Span[] = [];
  for (const span of spans) {
    let merged = span;
    for (let i = result.length - 1; i >= 0; i--) {
      const other = result[i];
      if (other === undefined || merged.first > other.end || other.first > merged.end) continue;
      merged = { first: Math.min(merged.first, other.first), end: Math.max(merged.end, other.end) };
      result.splice(i, 1);
    }
    result.push(merged);
  }
  return result;
}

/** Numbers of any length are allowed; beyond what a double counts exactly they all mean "past the end". */
function position(digits: string): number {
  return Math.min(Number(digits), Number.MAX_SAFE_INTEGER - 1);
}
