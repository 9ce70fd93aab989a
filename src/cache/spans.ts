/**
 * Which bytes of a representation are there. Used by ranges.ts, combine.ts and the store; pure arithmetic.
 *
 * Offsets are those of the representation, `end` is exclusive. A list of spans is ascending, and no two of them touch
 * or overlap; every function keeps it so.
 */
export interface Span {
  readonly first: number;
  /** Exclusive. */
  readonly end: number;
}

export interface Extent {
  /** Length of the whole representation; undefined while nobody has said it. */
  readonly total: number | undefined;
  readonly spans: readonly Span[];
}

export function wholeExtent(total: number): Extent {
  return { total, spans: total === 0 ? [] : [{ first: 0, end: total }] };
}

/** Of a response that others are answered from while it arrives and only its end will tell how long it is. Never stored. */
export function openExtent(): Extent {
  return { total: undefined, spans: [{ first: 0, end: Infinity }] };
}

export function isOpen({ total, spans }: Extent): boolean {
  return total === undefined && spans[0]?.end === Infinity;
}

export function isComplete(extent: Extent): boolean {
  return extent.total !== undefined && containsSpan(extent, { first: 0, end: extent.total });
}

/** An empty span is contained in anything. */
export function containsSpan(extent: Extent, span: Span): boolean {
  return span.end <= span.first || extent.spans.some((each) => each.first <= span.first && span.end <= each.end);
}

export function addSpan(spans: readonly Span[], added: Span): Span[] {
  if (added.end <= added.first) return [...spans];
  const before = spans.filter((each) => each.end < added.first);
  const after = spans.filter((each) => each.first > added.end);
  const touched = spans.slice(before.length, spans.length - after.length);
  const first = Math.min(added.first, touched[0]?.first ?? added.first);
  const end = Math.max(added.end, touched.at(-1)?.end ?? added.end);
  return [...before, { first, end }, ...after];
}

/** From the first byte that is missing to the last one: what a single range request has to bring. */
export function missingSpan(extent: Extent): Span | undefined {
  const { total, spans } = extent;
  if (total === undefined || isComplete(extent)) return undefined;
  const head = spans[0];
  const tail = spans.at(-1);
  const first = head !== undefined && head.first === 0 ? head.end : 0;
  const end = tail !== undefined && tail.end === total ? tail.first : total;
  return { first, end };
}
