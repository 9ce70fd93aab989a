/** Answers of which a part is stored and the rest comes from the origin: both in one message, or none that looks whole. */
import { expect, test } from 'vitest';
import { until } from '../../support/flow-bed.js';
import { front, get, response, type Front, type Peer } from './front-bed.js';

const FIELDS = ['Cache-Control: max-age=60', 'ETag: "a"', 'Accept-Ranges: bytes'];
const SIZE = 300_000;
const HALF = SIZE / 2;
const content = 'ab'.repeat(SIZE / 2);

/** The first half is stored, because the origin broke off there; a client asks, and the origin for the rest. */
async function half(): Promise<{ bed: Front; client: Peer; origin: Peer }> {
  const bed = await front();
  const first = await bed.client(get('/j'));
  const cut = await bed.origin();
  await cut.head();
  cut.write(response(200, content.slice(0, HALF), `Content-Length: ${SIZE}`, ...FIELDS));
  await first.until('the first half', () => first.text.length > HALF);
  cut.end();
  await first.untilOver();
  await bed.resting();
  const client = await bed.client(get('/j'));
  const origin = await bed.origin();
  expect(await origin.head()).toMatch(/range: bytes=\d+-/i);
  return { bed, client, origin };
}

const partial = (from: number, to: number, said: string): string =>
  response(206, said, `Content-Length: ${to - from}`, `Content-Range: bytes ${from}-${to - 1}/${SIZE}`, ...FIELDS);

test('both parts are one answer, and one object from then on', async () => {
  const { bed, client, origin } = await half();
  origin.write(partial(HALF, SIZE, content.slice(HALF)));
  expect((await client.response()).content).toBe(content);
  await bed.resting();
  client.write(get('/j'));
  expect((await client.response()).content).toBe(content);
  expect(bed.unasked).toBe(0);
  await bed.done();
});

test.each([
  ['ends', (origin: Peer) => origin.end()],
  ['breaks', (origin: Peer) => origin.reset()],
])('an origin that %s within the rest: the client is cut', async (_name, end) => {
  const { bed, client, origin } = await half();
  origin.write(partial(HALF, SIZE, content.slice(HALF, SIZE - 10)));
  await client.until('the stored half', () => client.text.length > HALF);
  end(origin);
  await client.untilOver();
  const at = client.text.indexOf('\r\n\r\n') + 4;
  expect(content.startsWith(client.text.slice(at))).toBe(true);
  expect(client.text.length - at).toBeLessThan(SIZE);
  await bed.done();
});

test('a client that goes between the parts', async () => {
  const { bed, client, origin } = await half();
  origin.write(partial(HALF, SIZE, ''));
  await client.until('the stored half', () => client.text.length > HALF);
  client.reset();
  await until('it is gone', () => bed.left.connections === 0);
  origin.write(content.slice(HALF));
  await bed.resting();
  await bed.done();
});

test('another part than the one that was asked for is not joined', async () => {
  const { bed, client, origin } = await half();
  origin.write(partial(HALF + 10, SIZE, content.slice(HALF + 10)));
  // There is too much of it to read it away.
  await origin.untilOver();
  const again = await bed.origin();
  expect(await again.head()).not.toMatch(/range:/i);
  again.write(response(200, content, ...FIELDS));
  expect((await client.response()).content).toBe(content);
  await bed.done();
});
