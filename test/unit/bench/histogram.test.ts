/** The histogram of the load generator against exact arithmetic: what bench/README.md claims of its error. */
import path from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { Child } from '../../support/children.js';
import { compileLoad } from './load-program.js';

/** The claim: a bucket's middle is this near to each of its values, in parts of the value. */
const PART = 256n;

interface Answer {
  readonly count: bigint;
  readonly max: bigint;
  readonly quantiles: readonly bigint[];
  readonly buckets: readonly (readonly [bigint, number])[];
}

let tool: ReturnType<typeof compileLoad>;
beforeAll(() => {
  tool = compileLoad(['histogram.c', path.join(import.meta.dirname, 'histogram.c')]);
});
afterAll(() => tool.remove());

async function ask(values: readonly bigint[], quantiles: readonly number[]): Promise<Answer> {
  const end = await new Child(tool.program, quantiles.map(String), { input: values.join('\n') }).exited;
  const raw = JSON.parse(end.stdout.toString()) as {
    count: string;
    max: string;
    quantiles: string[];
    buckets: [string, number][];
  };
  return {
    count: BigInt(raw.count),
    max: BigInt(raw.max),
    quantiles: raw.quantiles.map(BigInt),
    buckets: raw.buckets.map(([middle, count]) => [BigInt(middle), count]),
  };
}

const distance = (a: bigint, b: bigint): bigint => (a > b ? a - b : b - a);
const near = (shown: bigint, value: bigint): boolean => distance(shown, value) * PART <= value;

/** The same row of numbers every time. */
function* numbers(seed: number): Generator<number> {
  for (let state = seed; ;) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield state / 2 ** 32;
  }
}

test('a value alone is shown exactly below 256 and within 1/256 of it above, up to the last of 64 bits', async () => {
  const edges = new Set<bigint>();
  for (let bit = 0n; bit < 64n; bit++) {
    const power = 1n << bit;
    for (const value of [power - 1n, power, power + 1n, power + power / 3n, power + power / 2n, 2n * power - 1n])
      edges.add(value);
  }
  const values = [...edges].sort((a, b) => (a < b ? -1 : 1));
  const answer = await ask(values, []);
  expect(answer.max).toBe(2n ** 64n - 1n);
  // In order, a bucket holds the next so many values.
  const shown = answer.buckets.flatMap(([middle, count]) => Array<bigint>(count).fill(middle));
  expect(shown).toHaveLength(values.length);
  values.forEach((value, i) => {
    expect(near(shown[i] ?? -1n, value), `${value} shown as ${shown[i]}`).toBe(true);
    if (value < 256n) expect(shown[i]).toBe(value);
  });
});

describe('quantiles of two merged histograms', () => {
  const quantiles = [0.5, 0.9, 0.99, 0.999, 1];

  test.each([
    ['of one value', 1, 9],
    ['of a few', 7, 12],
    ['of many', 5_000, 20],
    ['over many powers of two', 5_000, 40],
  ])('%s', async (_, count, bits) => {
    const source = numbers(count + bits);
    const values = Array.from({ length: count }, () =>
      BigInt(Math.floor(2 ** ((source.next().value as number) * bits))),
    );
    const sorted = [...values].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
    const answer = await ask(values, quantiles);
    expect(answer.count).toBe(BigInt(count));
    expect(answer.max).toBe(sorted.at(-1));
    quantiles.forEach((quantile, i) => {
      const exact = sorted[Math.ceil(quantile * count) - 1] ?? -1n;
      expect(near(answer.quantiles[i] ?? -1n, exact), `${quantile}: ${answer.quantiles[i]} for ${exact}`).toBe(true);
    });
  });

  test('none of nothing', async () => {
    expect(await ask([], quantiles)).toEqual({ count: 0n, max: 0n, quantiles: [0n, 0n, 0n, 0n, 0n], buckets: [] });
  });

  test('is never above the greatest value', async () => {
    const answer = await ask([1_000_000n], [0.5]);
    expect(answer.buckets[0]?.[0]).toBeGreaterThan(1_000_000n);
    expect(answer.quantiles).toEqual([1_000_000n]);
  });
});
