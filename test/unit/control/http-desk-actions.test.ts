/**
 * What an operator's URL means for the keys of the store: over a desk with a map for its store, which like the real one
 * takes a key to mean its URI with all fields and cookies that are added to it.
 */
import { describe, expect, test } from 'vitest';
import { DEFAULT_KEY_POLICY, type KeyPolicy, cacheKey } from '../../../src/cache/key.js';
import { DEFAULT_POLICY } from '../../../src/cache/policy.js';
import type { PurgeTarget } from '../../../src/cache/store/types.js';
import { restoreStored, type StoredRecord, type StoredResponse } from '../../../src/cache/stored.js';
import { DeskActions, addPurges, describeStored, type CacheSite } from '../../../src/control/http-desk-actions.js';
import { Fields } from '../../../src/http/head.js';
import type { LiveFill } from '../../../src/proxy/desk.js';
import { fields, stored, T0 } from '../cache/build.js';
import { snapshot } from './http-fixture.js';

class MapDesk {
  readonly responses = new Map<string, StoredResponse[]>();
  readonly filling = new Map<string, StoredResponse[]>();
  readonly targets: PurgeTarget[] = [];
  durable = true;

  purge(target: PurgeTarget) {
    this.targets.push(target);
    const meant = [...this.responses.keys()].filter((key) =>
      'key' in target
        ? key.split(' ')[0] === target.key
        : 'prefix' in target
          ? key.startsWith(target.prefix)
          : key.includes(target.tag),
    );
    for (const key of meant) this.responses.delete(key);
    return Promise.resolve({ objects: meant.length, durable: this.durable });
  }

  lookup(key: string) {
    return Promise.resolve(this.responses.get(key) ?? []);
  }

  live(key: string) {
    return (this.filling.get(key) ?? []).map((each) => ({ key, stored: each }) as LiveFill);
  }
}

const withKey = (key: Partial<KeyPolicy>) => ({
  cache: { key: { ...DEFAULT_KEY_POLICY, ...key }, policy: DEFAULT_POLICY },
});

function setUp(site: CacheSite = { route: () => withKey({}), forward: undefined }) {
  const desk = new MapDesk();
  return { desk, actions: new DeskActions(desk, snapshot, () => site) };
}

const A = 'http://e.com/a?x=1&y=2';

describe('purge', () => {
  test('of a URI takes its key and no neighbour', async () => {
    const { desk, actions } = setUp();
    for (const key of [A, `${A}3`, 'http://e.com/a', `https${A.slice(4)}`]) desk.responses.set(key, []);
    expect(await actions.purge({ kind: 'uri', uri: A }, 'hard')).toEqual({ objects: 1, durable: true });
    expect([...desk.responses.keys()]).toEqual([`${A}3`, 'http://e.com/a', `https${A.slice(4)}`]);
    expect(desk.targets).toEqual([{ key: A }]);
  });

  test('of a URI takes what fields and cookies made of it', async () => {
    const key = { fields: ['X-Device'], cookies: ['lang'] };
    const { desk, actions } = setUp({ route: () => withKey(key), forward: undefined });
    const requests = [{}, { 'X-Device': 'phone' }, { 'X-Device': 'tv', Cookie: 'lang=de' }].map(fields);
    for (const request of requests) desk.responses.set(cacheKey(A, request, { ...DEFAULT_KEY_POLICY, ...key }), []);
    desk.responses.set(cacheKey(`${A}3`, Fields.EMPTY, { ...DEFAULT_KEY_POLICY, ...key }), []);
    expect((await actions.purge({ kind: 'uri', uri: A }, 'hard')).objects).toBe(3);
    expect(desk.responses.size).toBe(1);
  });

  test('of a URI goes by the key policy of its route and of the forward proxy', async () => {
    const asked: unknown[] = [];
    const { desk, actions } = setUp({
      route: (...about) => (asked.push(about), withKey({ ignoreParameters: ['y'] })),
      forward: withKey({ ignoreParameters: 'all' }),
    });
    for (const key of [A, 'http://e.com/a?x=1', 'http://e.com/a', 'http://e.com/a?y=2']) desk.responses.set(key, []);
    expect((await actions.purge({ kind: 'uri', uri: A }, 'hard')).objects).toBe(3);
    expect([...desk.responses.keys()]).toEqual(['http://e.com/a?y=2']);
    expect(asked).toEqual([[{ host: 'e.com', port: undefined }, '/a?x=1&y=2']]);
  });

  test('of a URI that nobody answers any more', async () => {
    const { desk, actions } = setUp({ route: () => undefined, forward: undefined });
    desk.responses.set(A, []);
    expect((await actions.purge({ kind: 'uri', uri: A }, 'hard')).objects).toBe(1);
  });

  test('of a prefix, a tag, everything', async () => {
    const { desk, actions } = setUp();
    for (const key of ['http://e.com/s/1', 'http://e.com/s/2', 'http://e.com/tagged', 'http://f.com/']) {
      desk.responses.set(key, []);
    }
    expect((await actions.purge({ kind: 'prefix', prefix: 'http://e.com/s/' }, 'hard')).objects).toBe(2);
    expect((await actions.purge({ kind: 'tag', tag: 'tagged' }, 'hard')).objects).toBe(1);
    expect(desk.responses.size).toBe(1);
    expect((await actions.purge({ kind: 'all' }, 'hard')).objects).toBe(1);
    expect(desk.responses.size).toBe(0);
  });

  test('is begun as a whole in the turn in which it is asked for', () => {
    const { desk, actions } = setUp({ route: () => withKey({ ignoreParameters: 'all' }), forward: undefined });
    void actions.purge({ kind: 'uri', uri: A }, 'soft');
    expect(desk.targets).toEqual([{ key: A }, { key: 'http://e.com/a' }]);
  });

  test('answers add up; one that is not durable makes all of it so', async () => {
    const { desk, actions } = setUp();
    desk.durable = false;
    expect((await actions.purge({ kind: 'all' }, 'hard')).durable).toBe(false);
    expect(addPurges([])).toEqual({ objects: 0, durable: true });
    expect(
      addPurges([
        { objects: 1, durable: true },
        { objects: 2, durable: false },
      ]),
    ).toEqual({ objects: 3, durable: false });
  });
});

describe('lookup', () => {
  test('shows what is stored and what is on its way', async () => {
    const key = { ignoreParameters: 'all', fields: ['X-Device'] } as const;
    const { desk, actions } = setUp({ route: () => withKey(key), forward: withKey(key) });
    const name = cacheKey(A, Fields.EMPTY, { ...DEFAULT_KEY_POLICY, ...key });
    desk.responses.set(name, [
      stored({ 'Cache-Control': 'max-age=1' }, { id: '1' }),
      stored({ Vary: 'Accept' }, { id: '2', status: 404 }),
    ]);
    desk.filling.set(name, [stored({ 'Cache-Control': 'no-cache' }, { id: '3' })]);
    // The same key under both policies: each is shown once.
    expect(await actions.lookup(A)).toMatchObject([
      { status: 200, lifetimeMs: 1000, vary: [] },
      { status: 404, basis: 'none', vary: ['accept'] },
      { status: 200, filling: true, validate: 'no-cache' },
    ]);
    expect(await actions.lookup('http://e.com/other')).toEqual([]);
  });

  test('one response in full', () => {
    const response = stored({
      'Cache-Control': 'max-age=60',
      Age: '10',
      ETag: '"x"',
      'Content-Type': 'text/plain',
      'Content-Encoding': 'gzip',
      Vary: '*',
    });
    expect(describeStored(response, T0 + 5000)).toEqual({
      status: 200,
      ageMs: 15_000,
      lifetimeMs: 60_000,
      freshMs: 45_000,
      basis: 'explicit',
      bytes: 10,
      length: 10,
      complete: true,
      etag: '"x"',
      type: 'text/plain',
      encoding: 'gzip',
      vary: ['*'],
    });
  });

  const changed = (part: Partial<StoredRecord>) => {
    const { record } = stored({ 'Cache-Control': 'max-age=60' });
    return describeStored(restoreStored('1', { ...record, ...part }, DEFAULT_POLICY), T0 + 1000);
  };

  test('what must be validated, and parts', () => {
    expect(changed({})).not.toHaveProperty('validate');
    expect(changed({ invalid: true })).toMatchObject({ validate: 'invalid' });
    expect(changed({ staleSince: T0 })).toMatchObject({ validate: 'purged', freshMs: -1000 });
    const spans = [
      { first: 0, end: 10 },
      { first: 50, end: 100 },
    ];
    expect(changed({ extent: { total: 100, spans } })).toMatchObject({ bytes: 60, length: 100, complete: false });
    expect(changed({ extent: { total: undefined, spans } })).not.toHaveProperty('length');
  });
});

test('stats are the snapshot', async () => {
  expect(await setUp().actions.stats()).toEqual(snapshot());
});
