/** Many requests for one resource that is not there yet: one asks, the others wait, and none of them for ever. */
import { describe, expect, test } from 'vitest';
import { until } from '../../support/flow-bed.js';
import { front, get, response, type Front, type Peer } from './front-bed.js';

const STORED = 'Cache-Control: max-age=60';

/** A leader, whose request is with the origin, and so many who wait for it. */
async function crowd(bed: Front, waiters: number): Promise<{ leader: Peer; origin: Peer; others: Peer[] }> {
  const leader = await bed.client(get('/c'));
  const origin = await bed.origin();
  await origin.head();
  const others: Peer[] = [];
  for (let i = 0; i < waiters; i++) others.push(await bed.client(get('/c')));
  await until('they wait', () => bed.left.collapsed === waiters);
  return { leader, origin, others };
}

test('all get what one has asked for', async () => {
  const bed = await front();
  const { leader, origin, others } = await crowd(bed, 20);
  origin.write(response(200, 'shared', STORED));
  for (const each of [leader, ...others]) expect((await each.response()).content).toBe('shared');
  expect(bed.unasked).toBe(0);
  await bed.done();
});

test('a big one, which all follow while it comes', async () => {
  const bed = await front();
  const { leader, origin, others } = await crowd(bed, 5);
  const half = 'x'.repeat(1024 * 1024);
  origin.write(response(200, half, `Content-Length: ${2 * half.length}`, STORED));
  await others[0]!.until('the first of it', () => others[0]!.text.length > 1000);
  origin.write(half);
  for (const each of [leader, ...others]) expect((await each.response()).content.length).toBe(2 * half.length);
  expect(bed.unasked).toBe(0);
  await bed.done();
});

test('an answer without a known end', async () => {
  const bed = await front();
  const { leader, origin, others } = await crowd(bed, 3);
  origin.write(`${response(200, '', 'Transfer-Encoding: chunked', STORED)}4\r\nsome\r\n`);
  for (const each of others) await each.until('the first of it', () => each.text.includes('some'));
  origin.write('4\r\nmore\r\n0\r\n\r\n');
  for (const each of [leader, ...others]) {
    await each.until('the end', () => each.text.endsWith('0\r\n\r\n'));
    expect(each.text.replace(/\r\n\w+\r\n/g, '')).toContain('somemore');
  }
  await bed.done();
});

test('one that fails in the middle cuts all who follow it', async () => {
  const bed = await front();
  const { leader, origin, others } = await crowd(bed, 3);
  origin.write(response(200, 'some', 'Content-Length: 8', STORED));
  for (const each of others) await each.until('the first of it', () => each.text.endsWith('some'));
  origin.reset();
  for (const each of [leader, ...others]) {
    await each.untilOver();
    expect(each.broken).toBe('ECONNRESET');
  }
  await bed.done();
});

test('the leader goes: its question goes on for the others', async () => {
  const bed = await front();
  const { leader, origin, others } = await crowd(bed, 3);
  leader.reset();
  await until('it is gone', () => bed.left.connections === 3);
  origin.write(response(200, 'shared', STORED));
  for (const each of others) expect((await each.response()).content).toBe('shared');
  expect(bed.unasked).toBe(0);
  await bed.done();
});

test('all go: nothing is left', async () => {
  const bed = await front();
  const { leader, origin, others } = await crowd(bed, 3);
  for (const each of [leader, ...others]) each.reset();
  await until('they are gone', () => bed.left.connections === 0);
  expect(bed.left.collapsed).toBe(0);
  origin.write(response(200, 'for nobody', STORED));
  await bed.resting();
  await bed.done();
});

test('those who wait go, in any order', async () => {
  const bed = await front();
  const { leader, origin, others } = await crowd(bed, 4);
  others[0]!.reset();
  others[2]!.reset();
  await until('they are gone', () => bed.left.collapsed === 2);
  origin.write(response(200, 'shared', STORED));
  for (const each of [leader, others[1]!, others[3]!]) expect((await each.response()).content).toBe('shared');
  await bed.done();
});

test('what is not worth finishing for nobody is let go when its head comes', async () => {
  const bed = await front({ finishRemaining: '1k', finishFraction: 1 });
  const { leader, origin } = await crowd(bed, 0);
  leader.reset();
  await until('it is gone', () => bed.left.connections === 0);
  origin.write(response(200, 'some', `Content-Length: ${1024 * 1024}`, STORED));
  await origin.untilOver();
  await bed.done();
});

describe('leaders that fail', () => {
  test('the next in line asks', async () => {
    const bed = await front();
    const { leader, origin, others } = await crowd(bed, 3);
    origin.reset();
    expect((await leader.response()).status).toBe(502);
    const second = await bed.origin();
    await second.head();
    second.write(response(200, 'shared', STORED));
    for (const each of others) expect((await each.response()).content).toBe('shared');
    expect(bed.unasked).toBe(0);
    await bed.done();
  });

  test('three of them: then all ask', async () => {
    const bed = await front();
    const { leader, origin, others } = await crowd(bed, 6);
    origin.reset();
    expect((await leader.response()).status).toBe(502);
    for (let i = 0; i < 2; i++) {
      const next = await bed.origin();
      await next.head();
      next.reset();
      expect((await others.shift()!.response()).status).toBe(502);
    }
    for (let i = 0; i < 4; i++) {
      const next = await bed.origin();
      await next.head();
      next.write(response(200, 'own', STORED));
    }
    for (const each of others) expect((await each.response()).content).toBe('own');
    await bed.done();
  });

  test('the one whose turn it is has gone', async () => {
    const bed = await front();
    const { leader, origin, others } = await crowd(bed, 2);
    others[0]!.reset();
    await until('it is gone', () => bed.left.collapsed === 1);
    origin.reset();
    expect((await leader.response()).status).toBe(502);
    const next = await bed.origin();
    await next.head();
    next.write(response(200, 'own', STORED));
    expect((await others[1]!.response()).content).toBe('own');
    await bed.done();
  });
});

test('an answer that nobody may share lets all go at once', async () => {
  const bed = await front();
  const { leader, origin, others } = await crowd(bed, 5);
  origin.write(response(200, 'private', 'Cache-Control: private'));
  expect((await leader.response()).content).toBe('private');
  // All of them are with the origin before one is answered.
  const origins: Peer[] = [];
  for (let i = 0; i < 5; i++) {
    const each = i === 0 && bed.unasked === 0 && origin.text !== '' ? origin : await bed.origin();
    await each.head();
    origins.push(each);
  }
  for (const each of origins) each.write(response(200, 'own', 'Cache-Control: private'));
  for (const each of others) expect((await each.response()).content).toBe('own');
  await bed.done();
});

test('a purge while it comes: those who come later ask anew', async () => {
  const bed = await front();
  const { leader, origin } = await crowd(bed, 0);
  origin.write(response(200, 'old', 'Content-Length: 6', STORED));
  await leader.until('the first half', () => leader.text.endsWith('old'));
  await bed.server.cache!.purge({ kind: 'uri', uri: 'http://front.test/c' }, 'hard');
  const late = await bed.client(get('/c'));
  const other = await bed.origin();
  await other.head();
  other.write(response(200, 'new', STORED));
  expect((await late.response()).content).toBe('new');
  origin.write('old');
  expect((await leader.response()).content).toBe('oldold');
  await bed.resting();
  const last = await bed.client(get('/c'));
  expect((await last.response()).content).toBe('new');
  await bed.done();
});

describe('a validation in the background', () => {
  async function stale(bed: Front): Promise<Peer> {
    const client = await bed.client(get('/s'));
    const origin = await bed.origin();
    await origin.head();
    origin.write(response(200, 'one', 'Cache-Control: max-age=0, stale-while-revalidate=60', 'ETag: "1"'));
    await client.response();
    await bed.resting();
    client.write(get('/s') + get('/s'));
    // Both get the stale one, and one validation is under way.
    expect((await client.response()).content).toBe('one');
    expect((await client.response()).content).toBe('one');
    expect(await origin.head()).toMatch(/if-none-match: "1"/i);
    expect(bed.unasked).toBe(0);
    expect(bed.left.requests).toBe(1);
    return origin;
  }

  test('brings a new one', async () => {
    const bed = await front();
    const origin = await stale(bed);
    origin.write(response(200, 'two', STORED));
    await bed.resting();
    const client = await bed.client(get('/s'));
    expect((await client.response()).content).toBe('two');
    await bed.done();
  });

  test.each([
    ['fails', (origin: Peer) => origin.reset()],
    ['breaks off', (origin: Peer) => (origin.write(response(200, 'tw', 'Content-Length: 3', STORED)), origin.end())],
    ['is a 304', (origin: Peer) => origin.write('HTTP/1.1 304 Not Modified\r\nETag: "1"\r\n\r\n')],
    ['is a 500', (origin: Peer) => origin.write(response(500, 'no'))],
  ])('%s', async (name, act) => {
    const bed = await front();
    const origin = await stale(bed);
    act(origin);
    // A connection that had been used may have been closed for that: it is asked once more on a new one.
    if (name === 'fails') (await bed.origin()).reset();
    await bed.resting();
    const client = await bed.client(get('/s'));
    expect((await client.response()).content).toBe('one');
    // Which asks for the next validation.
    await bed.server.stop();
    expect(bed.left.requests).toBe(0);
  });

  test('brings one that is not for the cache: the old one has been overtaken', async () => {
    const bed = await front();
    const origin = await stale(bed);
    origin.write(response(200, 'two', 'Cache-Control: no-store'));
    await bed.resting();
    const client = await bed.client(get('/s'));
    await origin.head();
    origin.write(response(200, 'three'));
    expect((await client.response()).content).toBe('three');
    await bed.done();
  });

  test('does not outlive the server', async () => {
    const bed = await front();
    await stale(bed);
    await bed.server.stop();
    expect(bed.left.requests).toBe(0);
  });
});
