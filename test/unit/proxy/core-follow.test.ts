/** One who goes in the middle of an answer that others follow: it is theirs as well, until the last of them has gone. */
import { describe, expect, test } from 'vitest';
import { until } from '../../support/flow-bed.js';
import { asked, get, response, type Front, type Peer } from './front-bed.js';

const STORED = 'Cache-Control: max-age=60';
/** Nothing is worth finishing for nobody. */
const FOR_NOBODY = { finishRemaining: 0, finishFraction: 1 };
const MB = 1024 * 1024;

interface Followed {
  readonly bed: Front;
  readonly origin: Peer;
  readonly first: Peer;
  readonly second: Peer;
  /** What the origin has still to say. */
  readonly rest: string;
}

describe.each([
  ['length, by the kernel', 'length', 4 * MB],
  ['length, by copying', 'length', 40_000],
  ['chunked, big', 'chunked', 4 * MB],
  ['chunked, small', 'chunked', 40_000],
] as const)('%s', (_name, framing, size) => {
  const half = size / 2;
  const content = 'x'.repeat(size);
  const chunk = `${half.toString(16)}\r\n${content.slice(half)}\r\n`;

  /** Two clients have the first half, one of them because the other had asked. */
  async function halfWay(): Promise<Followed> {
    const { bed, client: first, origin } = await asked(get('/a'), FOR_NOBODY);
    if (framing === 'length') origin.write(response(200, content.slice(half), `Content-Length: ${size}`, STORED));
    else origin.write(response(200, '', 'Transfer-Encoding: chunked', STORED) + chunk);
    await first.until('the first half', () => first.text.length > half);
    const second = await bed.client(get('/a'));
    await second.until('the first half', () => second.text.length > half);
    return { bed, origin, first, second, rest: framing === 'length' ? content.slice(half) : `${chunk}0\r\n\r\n` };
  }

  test('the first goes, and the other gets the whole', async () => {
    const { bed, origin, first, second, rest } = await halfWay();
    first.reset();
    await until('it is gone', () => bed.left.connections === 1);
    origin.write(rest);
    expect(await second.head()).toMatch(/collapsed/);
    if (framing === 'length') expect((await second.bytes(size)) === content).toBe(true);
    else {
      await second.until('the end', () => second.text.endsWith('\r\n0\r\n\r\n'));
      expect(second.take().replaceAll(/[^x]/g, '').length).toBe(size);
    }
    await bed.done();
  });

  test.each([
    ['first', 'second'],
    ['second', 'first'],
  ] as const)('the %s goes, then the %s: the origin is let go', async (one, other) => {
    const all = await halfWay();
    const { bed, origin } = all;
    all[one].reset();
    await until('one is gone', () => bed.left.connections === 1);
    all[other].reset();
    await origin.untilOver();
    await bed.resting();
    await bed.done();
  });
});
