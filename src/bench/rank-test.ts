/**
 * The exact two-sided rank test of Mann and Whitney: how often two samples would lie at least so far apart if both came
 * from the same source. It asks nothing of distributions, and a stray value weighs no more than its rank. Pure.
 */

/** Ranks of both samples together, doubled so that those of equal values, which share a mean rank, stay whole. */
function doubledRanks(values: readonly number[]): number[] {
  const sorted = [...values].sort((a, b) => a - b);
  const first = new Map<number, number>();
  const last = new Map<number, number>();
  sorted.forEach((value, at) => {
    if (!first.has(value)) first.set(value, at + 1);
    last.set(value, at + 1);
  });
  return values.map((value) => (first.get(value) ?? 0) + (last.get(value) ?? 0));
}

/** By sum of doubled ranks: how many ways there are to choose `size` of them with that sum. */
function waysBySum(ranks: readonly number[], size: number): number[] {
  const most = ranks.reduce((sum, rank) => sum + rank, 0);
  const ways = Array.from({ length: size + 1 }, () => new Array<number>(most + 1).fill(0));
  const none = ways[0];
  if (none !== undefined) none[0] = 1;
  for (const rank of ranks) {
    for (let chosen = size; chosen >= 1; chosen--) {
      const [mine, fewer] = [ways[chosen] ?? [], ways[chosen - 1] ?? []];
      for (let sum = most; sum >= rank; sum--) mine[sum] = (mine[sum] ?? 0) + (fewer[sum - rank] ?? 0);
    }
  }
  return ways[size] ?? [];
}

/** What the sums of ranks of one size of samples give, which is the same for most pairs of a comparison. */
const known = new Map<string, number[]>();
const KNOWN = 200;

function waysFor(ranks: readonly number[], size: number): number[] {
  const key = `${size}:${[...ranks].sort((a, b) => a - b).join()}`;
  const found = known.get(key) ?? waysBySum(ranks, size);
  if (known.size >= KNOWN) known.clear();
  known.set(key, found);
  return found;
}

/** Between 0 and 1. Symmetric; 1 for equal samples, and where one of them is empty. */
export function rankTest(one: readonly number[], other: readonly number[]): number {
  if (one.length === 0 || other.length === 0) return 1;
  const ranks = doubledRanks([...one, ...other]);
  const ways = waysFor(ranks, one.length);
  const expected = one.length * (one.length + other.length + 1);
  const distance = Math.abs(ranks.slice(0, one.length).reduce((sum, rank) => sum + rank, 0) - expected);
  let all = 0;
  let asFar = 0;
  ways.forEach((count, sum) => {
    all += count;
    if (Math.abs(sum - expected) >= distance) asFar += count;
  });
  return asFar / all;
}

/** The greatest value of the test not above `level` that samples of these sizes, without equal values, can give: what chance makes of it. */
export function attainedLevel(one: number, other: number, level: number): number {
  const ranks = Array.from({ length: one + other }, (_, at) => 2 * (at + 1));
  const ways = waysFor(ranks, one);
  const expected = one * (one + other + 1);
  const byDistance = new Map<number, number>();
  let all = 0;
  ways.forEach((count, sum) => {
    all += count;
    if (count > 0) byDistance.set(Math.abs(sum - expected), (byDistance.get(Math.abs(sum - expected)) ?? 0) + count);
  });
  let asFar = 0;
  for (const [, count] of [...byDistance].sort(([a], [b]) => b - a)) {
    if ((asFar + count) / all > level) break;
    asFar += count;
  }
  return asFar / all;
}
