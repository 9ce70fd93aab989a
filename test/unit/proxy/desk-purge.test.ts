/** Purges and invalidations: of what is stored, of what is on its way, of what was asked for before them. */
import { describe, expect, test, vi } from 'vitest';
import { DEFAULT_KEY_POLICY, cacheKey } from '../../../src/cache/key.js';
import { ObjectIndex } from '../../../src/cache/store/object-index.js';
import type { Waiter } from '../../../src/proxy/desk.js';
import { grownBy } from '../../support/heap.js';
import { RecentPurges } from '../../../src/proxy/desk-purges.js';
import type { RouteCache } from '../../../src/proxy/site.js';
import {
  answer,
  ask,
  bytes,
  CACHE,
  fill,
  follow,
  get,
  ok,
  openDesk,
  response,
  store,
  stored,
  temporary,
  URI,
} from './desk-bed.js';

const WITH_FIELDS: RouteCache = { ...CACHE, key: { ...DEFAULT_KEY_POLICY, fields: ['X-Country'] } };
const IN_GERMAN = cacheKey(URI, get({ 'X-Country': 'de' }).fields, WITH_FIELDS.key);
const OTHER = 'http://example.org/ab';

const targets = [
  ['uri', { key: URI }],
  ['prefix', { prefix: 'http://example.org/a' }],
  ['tag', { tag: 'red' }],
] as const;

describe.each(targets)('a purge by %s', (name, target) => {
  const alsoOther = name === 'prefix';

  test('hard: what it means is gone at once, and stays gone', async () => {
    const directory = await temporary();
    const { desk } = await openDesk(directory);
    await store(desk, bytes(10), { 'Surrogate-Key': 'blue red' });
    await store(desk, bytes(5000), { 'Surrogate-Key': 'red' }, { key: IN_GERMAN });
    await store(desk, bytes(10), { 'Surrogate-Key': 'red-ish' }, { key: OTHER });
    const purging = desk.purge(target, 'hard');
    expect(desk.peek(URI, CACHE.policy)).toEqual([]);
    expect(desk.peek(IN_GERMAN, CACHE.policy)).toEqual([]);
    expect(await purging).toEqual({ objects: alsoOther ? 3 : 2, durable: true });
    expect((await stored(desk, OTHER)).length).toBe(alsoOther ? 0 : 1);
    await desk.close();
    const next = await openDesk(directory);
    expect(await stored(next.desk, URI)).toEqual([]);
    expect((await stored(next.desk, OTHER)).length).toBe(alsoOther ? 0 : 1);
  });

  test('soft: it is to be validated, also in the next life, and is fresh again after that', async () => {
    const directory = await temporary();
    const { desk } = await openDesk(directory);
    await store(desk, bytes(10), { 'Surrogate-Key': 'red' });
    expect((await ask(desk)).kind).toBe('answer');
    const before = Date.now();
    const purging = desk.purge(target, 'soft');
    const [marked] = desk.peek(URI, CACHE.policy) ?? [];
    expect(marked?.record.staleSince).toBeGreaterThanOrEqual(before);
    await purging;
    await desk.close();
    const next = await openDesk(directory);
    const decision = await ask(next.desk);
    expect(decision.kind === 'forward' && decision.forward.purpose).toBe('validate');
    await answer(next.desk, response({ ETag: '"1"', 'Cache-Control': 'max-age=60' }, 304));
    expect((await ask(next.desk)).kind).toBe('answer');
  });

  test.each(['hard', 'soft'] as const)('%s while a fill is under way', async (mode) => {
    const { desk, ends } = await openDesk(await temporary());
    const live = await fill(desk, ok(5000, { 'Surrogate-Key': 'red' }));
    await live.write(bytes(5000).subarray(0, 2000));
    const reading = follow(live.follow());
    const fresh = live.stored;
    void desk.purge(target, mode);
    expect(live.followable).toBe(mode === 'soft');
    expect(live.stored.record.staleSince !== undefined).toBe(mode === 'soft');
    if (mode === 'hard') expect(desk.body(fresh)).toBeUndefined();
    await live.write(bytes(5000).subarray(2000));
    await live.end(5000, true);
    // Who was there already gets it all.
    const read = await reading;
    expect(read.whole && read.bytes.equals(bytes(5000))).toBe(true);
    expect(ends).toEqual([mode === 'hard' ? 'purged' : 'stored']);
    expect((await stored(desk)).map(({ record }) => record.staleSince !== undefined)).toEqual(
      mode === 'hard' ? [] : [true],
    );
  });

  test.each(['hard', 'soft'] as const)('%s also means an answer that was asked for before it', async (mode) => {
    const { desk } = await openDesk(await temporary());
    await desk.purge(target, mode);
    const now = Date.now();
    const head = ok(10, { 'Surrogate-Key': 'red' });
    const late = { times: { requestTime: now - 1000, responseTime: now + 1000 } };
    if (mode === 'hard') {
      await expect(fill(desk, head, late)).rejects.toThrow('no fill');
    } else {
      const live = await fill(desk, head, late);
      await live.write(bytes(10));
      await live.end(10, true);
      expect((await stored(desk))[0]?.record.staleSince).toBeDefined();
    }
    const live = await fill(desk, head, { times: { requestTime: now + 1000, responseTime: now + 1000 } });
    await live.write(bytes(10));
    await live.end(10, true);
    expect((await stored(desk))[0]?.record.staleSince).toBeUndefined();
  });
});

test('a soft purge also means what a 304 has just brought and the disk does not have yet', async () => {
  const { desk } = await openDesk(await temporary());
  await store(desk, bytes(10), { 'Cache-Control': 'max-age=0' });
  await desk.purge({ key: URI }, 'soft');
  const now = Date.now() + 1000;
  const times = { requestTime: now, responseTime: now };
  await answer(desk, response({ ETag: '"1"', 'Cache-Control': 'max-age=60' }, 304), { times });
  expect(desk.peek(URI, CACHE.policy)?.[0]?.record.staleSince).toBeUndefined();
  const purging = desk.purge({ key: URI }, 'soft');
  expect(desk.peek(URI, CACHE.policy)?.[0]?.record.staleSince).toBeDefined();
  await purging;
  await desk.close();
});

describe('an unsafe request', () => {
  test('that changed something takes away everything under its URI and those it names', async () => {
    const { desk } = await openDesk(await temporary());
    const elsewhere = 'http://example.org/c';
    const foreign = 'http://example.net/c';
    for (const key of [URI, IN_GERMAN, OTHER, elsewhere, foreign]) await store(desk, bytes(10), {}, { key });
    const head = response({ Location: '/c', 'Content-Location': foreign }, 201);
    await answer(desk, head, { request: get({}, 'POST'), cache: WITH_FIELDS });
    for (const key of [URI, IN_GERMAN, elsewhere]) expect(desk.peek(key, CACHE.policy)).toEqual([]);
    for (const key of [OTHER, foreign]) expect(desk.peek(key, CACHE.policy)?.length).toBe(1);
  });

  test('means the key that the policy makes of a URI', async () => {
    const { desk } = await openDesk(await temporary());
    const cache: RouteCache = { ...CACHE, key: { ...DEFAULT_KEY_POLICY, ignoreParameters: ['utm_*'] } };
    await store(desk, bytes(10), {}, { cache });
    desk.apply(`${URI}?utm_x=1`, { update: [], drop: [], invalidate: [`${URI}?utm_x=1`] }, cache);
    expect(desk.peek(URI, CACHE.policy)).toEqual([]);
  });

  test('also means the fill that is under way', async () => {
    const { desk, ends } = await openDesk(await temporary());
    const live = await fill(desk, ok(10));
    desk.apply(URI, { update: [], drop: [], invalidate: [URI] }, CACHE);
    expect(desk.live(URI)).toEqual([]);
    await live.write(bytes(10));
    await live.end(10, true);
    expect(ends).toEqual(['purged']);
  });
});

test('a purge lets requests wait for one another again', async () => {
  const { desk } = await openDesk(await temporary());
  const waiter = (): Waiter => ({ proceed: () => undefined });
  const pass = (key: string): void => {
    const leader = waiter();
    expect(desk.collapse.arrive(key, leader, 0)).toBe('lead');
    desk.collapse.answered(key, leader, 'pass', 0);
    expect(desk.collapse.arrive(key, waiter(), 1)).toBe('pass');
  };
  for (const key of [URI, IN_GERMAN, OTHER]) pass(key);
  await desk.purge({ key: URI }, 'hard');
  expect([URI, IN_GERMAN, OTHER].map((key) => desk.collapse.arrive(key, waiter(), 1))).toEqual([
    'lead',
    'lead',
    'pass',
  ]);
  await desk.purge({ prefix: 'http://example.org/' }, 'soft');
  expect(desk.collapse.arrive(OTHER, waiter(), 1)).toBe('lead');
});

test('those who have waited long enough are let go', async () => {
  const { desk } = await openDesk(await temporary(), {}, {});
  const heard: string[] = [];
  desk.collapse.arrive(URI, { proceed: () => undefined }, 0);
  desk.collapse.arrive(URI, { proceed: (how) => void heard.push(how) }, 0);
  desk.expire(9999);
  expect([heard, desk.stats().waiting]).toEqual([[], 1]);
  desk.expire(10_000);
  expect([heard, desk.stats().waiting]).toEqual([['pass'], 0]);
});

test('an unsafe request finds all keys of its URI without a walk through the others', async () => {
  const { desk } = await openDesk(await temporary());
  const walk = vi.spyOn(ObjectIndex.prototype, 'keys');
  const asked = { key: IN_GERMAN, cache: WITH_FIELDS };
  await store(desk, bytes(10), {}, asked);
  await store(desk, bytes(10), {}, { key: OTHER });
  const leader: Waiter = { proceed: () => undefined };
  expect(desk.collapse.arrive(IN_GERMAN, leader, 0)).toBe('lead');
  desk.collapse.answered(IN_GERMAN, leader, 'pass', 0);
  expect(desk.collapse.arrive(IN_GERMAN, leader, 1)).toBe('pass');
  desk.apply(URI, { update: [], drop: [], invalidate: [URI] }, WITH_FIELDS);
  expect(desk.peek(IN_GERMAN, CACHE.policy)).toEqual([]);
  // It may be cacheable now.
  expect(desk.collapse.arrive(IN_GERMAN, leader, 1)).toBe('lead');
  expect((await stored(desk, OTHER)).length).toBe(1);
  expect(walk).not.toHaveBeenCalled();
});

describe('recent purges', () => {
  test('judge what lies between the question and the answer', () => {
    const purges = new RecentPurges();
    purges.note({ key: URI }, 'soft', 100);
    purges.note({ prefix: 'http://example.org/' }, 'hard', 200);
    const at = (requestTime: number, responseTime: number, key = URI, tags: string[] = []) =>
      purges.judge(key, tags, { requestTime, responseTime });
    expect(at(50, 150)).toBe('soft');
    expect(at(50, 150, IN_GERMAN)).toBe('soft');
    expect(at(50, 150, OTHER)).toBeUndefined();
    expect(at(50, 250)).toBe('hard');
    expect(at(150, 250, OTHER)).toBe('hard');
    expect(at(50, 100)).toBeUndefined();
    expect(at(201, 300)).toBeUndefined();
    purges.note({ tag: 'red' }, 'soft', 400);
    expect(at(350, 500, OTHER, ['red'])).toBe('soft');
    expect(at(350, 500, OTHER, ['blue'])).toBeUndefined();
    // A hard one is not forgotten over a soft one that follows.
    purges.note({ key: URI }, 'hard', 500);
    purges.note({ key: URI }, 'soft', 501);
    expect(at(450, 600)).toBe('hard');
    purges.expire(1_000_000);
    expect(at(50, 600)).toBeUndefined();
  });

  test('are bounded; what is forgotten early counts against all that was asked for before it', () => {
    const purges = new RecentPurges();
    for (let i = 0; i < 30_000; i++) purges.note({ key: `http://example.org/${i}` }, 'hard', i);
    const judge = (requestTime: number, key = OTHER) => purges.judge(key, [], { requestTime, responseTime: 40_000 });
    expect([judge(9_999), judge(10_000)]).toEqual(['hard', undefined]);
    expect(judge(10_000, 'http://example.org/9999')).toBeUndefined();
    expect(judge(10_000, 'http://example.org/10000')).toBe('hard');
    purges.expire(400_000);
    expect(judge(10_000, 'http://example.org/10000')).toBeUndefined();
  });

  test('are bounded by their characters too, and hold no more than those', () => {
    const purges = new RecentPurges();
    const kept = grownBy(() => {
      for (let i = 0; i < 3000; i++) purges.note({ key: `http://example.org/${i}/${'x'.repeat(8000)}` }, 'hard', i);
      for (let i = 0; i < 400; i++) purges.note({ prefix: `http://example.org/${i}/${'y'.repeat(8000)}` }, 'hard', i);
      // Few characters, each cut out of a long text.
      for (let i = 3000; i < 5000; i++) purges.note({ key: cutOut(i) }, 'soft', i);
    });
    const judge = (requestTime: number, key: string) =>
      purges.judge(key, [], { requestTime, responseTime: requestTime + 2 });
    expect(judge(2000, OTHER)).toBe('hard'); // it is not known any more what was meant then
    expect(judge(2999, cutOut(3000))).toBe('soft');
    expect(judge(4998, cutOut(4999))).toBe('soft');
    expect(judge(4998, OTHER)).toBeUndefined();
    expect(kept).toBeLessThan(8 * 1024 * 1024);
  });
});

/** A URI in the head of a request of 30,000 characters. */
function cutOut(i: number): string {
  const head = Buffer.alloc(30_000, `GET http://example.org/cut/out/${i} HTTP/1.1 `).toString('latin1');
  return head.slice(4, head.indexOf(' ', 4));
}
