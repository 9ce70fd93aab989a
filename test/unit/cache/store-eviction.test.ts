/** The policy against a plain model of it, and the store's limits under load. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fingerprint, S3Fifo } from '../../../src/cache/store/s3-fifo.js';
import { bodyFiles, bytes, open, put, stored, temporary } from './store-bed.js';

/** S3-FIFO as lists; as slow as it is plain. Its ghost never overflows: the runs are short. */
class Model {
  small: { slot: number; weight: number; uses: number }[] = [];
  main: { slot: number; weight: number; uses: number }[] = [];
  ghost: number[] = [];

  weight(queue = [...this.small, ...this.main]): number {
    return queue.reduce((sum, each) => sum + each.weight, 0);
  }

  find(slot: number): { slot: number; weight: number; uses: number } | undefined {
    return [...this.small, ...this.main].find((each) => each.slot === slot);
  }

  insert(slot: number, weight: number): void {
    const known = this.ghost.indexOf(slot);
    if (known !== -1) this.ghost.splice(known, 1);
    (known === -1 ? this.small : this.main).push({ slot, weight, uses: 0 });
  }

  remove(slot: number): void {
    this.small = this.small.filter((each) => each.slot !== slot);
    this.main = this.main.filter((each) => each.slot !== slot);
  }

  evict(): number {
    while (this.small.length + this.main.length > 0) {
      const full = this.weight(this.small) >= this.weight() * 0.1;
      if (this.small.length > 0 && (this.main.length === 0 || full)) {
        const victim = this.small.shift();
        if (victim === undefined) break;
        if (victim.uses >= 2) {
          this.main.push({ ...victim, uses: 0 });
          continue;
        }
        this.ghost.push(victim.slot);
        this.ghost = this.ghost.slice(-(this.small.length + this.main.length + 1));
        return victim.slot;
      }
      const victim = this.main.shift();
      if (victim === undefined) break;
      if (victim.uses === 0) return victim.slot;
      this.main.push({ ...victim, uses: victim.uses - 1 });
    }
    return -1;
  }
}

describe('S3-FIFO', () => {
  // Slots that share a ghost bucket would forget more than the model does; eight slots do not.
  const command = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('access' as const),
        slot: fc.nat(7),
        weight: fc.integer({ min: 1, max: 9 }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('remove' as const), slot: fc.nat(7), weight: fc.constant(0) }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('reweigh' as const),
        slot: fc.nat(7),
        weight: fc.integer({ min: 1, max: 9 }),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({ kind: fc.constant('evict' as const), slot: fc.constant(0), weight: fc.constant(0) }),
    },
  );

  test('evicts what the model evicts', () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 120 }), (commands) => {
        const policy = new S3Fifo((slot) => slot + 1);
        const model = new Model();
        for (const { kind, slot, weight } of commands) {
          const known = model.find(slot);
          if (kind === 'evict') {
            expect(policy.evict()).toBe(model.evict());
          } else if (kind === 'remove') {
            policy.remove(slot);
            model.remove(slot);
          } else if (kind === 'reweigh') {
            policy.reweigh(slot, weight);
            if (known !== undefined) known.weight = weight;
          } else if (known !== undefined) {
            policy.touch(slot);
            known.uses = Math.min(3, known.uses + 1);
          } else {
            policy.insert(slot, weight);
            model.insert(slot, weight);
          }
          expect(policy.weight).toBe(model.weight());
          expect(policy.has(slot)).toBe(model.find(slot) !== undefined);
        }
      }),
      { numRuns: 500 },
    );
  });

  /** Share of hits of `requests`, in a cache that holds `room` objects. */
  function hits(requests: Iterable<number>, room: number): number {
    const policy = new S3Fifo((slot) => fingerprint(String(slot)));
    let [all, hit] = [0, 0];
    for (const slot of requests) {
      all++;
      if (policy.has(slot)) {
        hit++;
        policy.touch(slot);
      } else {
        while (policy.weight >= room) policy.evict();
        policy.insert(slot, 1);
      }
    }
    return hit / all;
  }

  test('a scan does not flush what is used', () => {
    function* requests(): Generator<number> {
      for (let round = 0; round < 200; round++) {
        for (let i = 0; i < 50; i++) yield i;
        for (let i = 0; i < 100; i++) yield 1000 + round * 100 + i;
      }
    }
    expect(hits(requests(), 100)).toBeGreaterThan(0.3); // of 1/3 that can hit; an LRU of this size has none
  });

  test('a loop that is bigger than the cache still hits', () => {
    function* requests(): Generator<number> {
      for (let i = 0; i < 50_000; i++) yield i % 1300;
    }
    expect(hits(requests(), 1000)).toBeGreaterThan(0.4);
  });

  test('rank carries queue and uses over a restart', () => {
    const policy = new S3Fifo((slot) => slot);
    for (let i = 0; i < 20; i++) policy.insert(i, 1);
    for (const used of [0, 0, 0, 5]) policy.touch(used);
    const after = new S3Fifo((slot) => slot);
    for (let i = 0; i < 20; i++) after.restore(i, 1, policy.rank(i));
    for (let i = 0; i < 30; i++) expect(after.evict()).toBe(policy.evict());
  });
});

describe('limits', () => {
  test('what is on disk stays below, whatever is stored', async () => {
    const directory = await temporary();
    const diskBytes = 4 * 1024 * 1024;
    const { store, kinds } = await open(directory, { diskBytes, objectBytes: 500_000, inlineBytes: 4096 });
    for (let round = 0; round < 40; round++) {
      const jobs = Array.from({ length: 20 }, (_, i) =>
        put(store, `${round}/${i}`, bytes(i === 0 ? 200_000 : i * 200)),
      );
      await Promise.all(jobs);
      const hot = await store.lookup('0/1');
      for (const object of hot) store.touch(object);
      if (round % 10 !== 9) continue;
      await store.settled();
      const { logBytes, diskBytes: counted, evicted } = store.stats();
      const files = (await bodyFiles(directory)).length;
      expect(files).toBe(store.stats().files);
      expect(logBytes + files * 204_800).toBeLessThanOrEqual(diskBytes);
      expect(counted).toBeLessThanOrEqual(diskBytes);
      if (round > 20) expect(evicted).toBeGreaterThan(0);
    }
    expect((await store.lookup('0/1')).length).toBe(1); // used all the time
    expect((await store.lookup('39/19')).length).toBe(1); // the last
    expect(kinds()).toEqual([]);
  });

  test('a fill that is under way takes room from objects, and gives it back', async () => {
    const { store } = await open(await temporary(), { diskBytes: 4 * 1024 * 1024, objectBytes: 3_000_000 });
    for (let i = 0; i < 30; i++) await stored(store, `${i}`, bytes(100_000));
    const fill = store.begin({ key: 'big' }, { note: 'x' });
    for (let i = 0; i < 25; i++) await fill.write(bytes(100_000));
    expect(store.stats().diskBytes).toBeLessThanOrEqual(4 * 1024 * 1024);
    expect(store.stats().objects).toBeLessThan(20);
    fill.abort();
    await store.settled();
    expect(store.stats().diskBytes).toBeLessThan(2_000_000);
  });

  test('memory holds what is hot, not more', async () => {
    const { store } = await open(await temporary(), { memoryBytes: 20_000 });
    for (let i = 0; i < 100; i++) await stored(store, `${i}`, bytes(800));
    expect(store.stats().memoryBytes).toBeLessThanOrEqual(20_000);
    expect(store.stats().objects).toBe(100);
    for (let i = 0; i < 100; i++) expect((await store.lookup(`${i}`)).length).toBe(1);
    expect(store.stats().diskReads).toBeGreaterThan(70);
  });
});
