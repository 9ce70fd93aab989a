/** Any calls in any order, with restarts between them, against a Map. */
import fc from 'fast-check';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ObjectStore } from '../../../src/cache/store/store.js';
import { bodyFiles, bodyOf, bytes, LIMITS, put, type Meta } from './store-bed.js';

const key = fc.constantFrom('/a', '/a/1', '/a/2', '/b', '/b/ü');
const variant = fc.constantFrom('', 'gzip');
const tags = fc.subarray(['red', 'blue', 'red-ish']);
const length = fc.constantFrom(0, 7, 1024, 1025, 9000);

const command = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('put' as const), key, variant, tags, length, seed: fc.nat(1000) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('update' as const), key, variant, note: fc.string() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('remove' as const), key, variant }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('purge' as const),
      target: fc.oneof(
        fc.record({ key }),
        fc.record({ prefix: fc.constantFrom('', '/a', '/b/', '/c') }),
        fc.record({ tag: fc.constantFrom('red', 'blue', 'none') }),
      ),
      mode: fc.constantFrom('hard' as const, 'soft' as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const), snapshot: fc.boolean() }) },
);

interface Expected {
  key: string;
  variant: string;
  tags: string[];
  body: Buffer;
  note: string;
  soft: boolean;
}

test('the store is a map that outlives its process', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(command, { minLength: 1, maxLength: 25 }), async (commands) => {
      const directory = await mkdtemp(join(tmpdir(), 'store-'));
      let store = await ObjectStore.open<Meta>(directory, LIMITS);
      const model = new Map<string, Expected>();
      const nameOf = (each: { key: string; variant: string }): string => `${each.key} ${each.variant}`;
      const find = async (each: { key: string; variant: string }) =>
        (await store.lookup(each.key)).find((object) => object.variant === each.variant);
      try {
        for (const each of commands) {
          switch (each.do) {
            case 'put': {
              const body = bytes(each.length, each.seed);
              expect((await put(store, each, body, `n${each.seed}`)).stored).toBe(true);
              model.set(nameOf(each), { ...each, body, note: `n${each.seed}`, soft: false });
              break;
            }
            case 'update': {
              const object = await find(each);
              const known = model.get(nameOf(each));
              expect(object === undefined).toBe(known === undefined);
              if (object === undefined || known === undefined) break;
              expect((await store.update(object, { note: each.note }))?.meta.note).toBe(each.note);
              model.set(nameOf(each), { ...known, note: each.note, soft: false });
              break;
            }
            case 'remove': {
              const object = await find(each);
              expect(object !== undefined && store.remove(object)).toBe(model.delete(nameOf(each)));
              break;
            }
            case 'purge': {
              const { target } = each;
              const meant = [...model.values()].filter((known) => {
                if (each.mode === 'soft' && known.soft) return false;
                if ('key' in target) return known.key === target.key;
                return 'tag' in target ? known.tags.includes(target.tag) : known.key.startsWith(target.prefix);
              });
              expect((await store.purge(target, each.mode)).objects).toBe(meant.length);
              for (const known of meant) {
                if (each.mode === 'soft') known.soft = true;
                else model.delete(nameOf(known));
              }
              break;
            }
            case 'restart':
              await store.close();
              if (!each.snapshot) await rm(join(directory, 'snapshot'));
              store = await ObjectStore.open<Meta>(directory, LIMITS);
              break;
          }
          for (const name of new Set([...model.values()].map((known) => known.key).concat('/a', '/c'))) {
            const objects = await store.lookup(name);
            const known = [...model.values()].filter((one) => one.key === name);
            expect(objects.length).toBe(known.length);
            for (const object of objects) {
              const wanted = model.get(nameOf(object));
              expect({ tags: object.tags, note: object.meta.note, soft: object.softPurged }).toEqual({
                tags: wanted?.tags,
                note: wanted?.note,
                soft: wanted?.soft,
              });
              expect((await bodyOf(store, object))?.equals(wanted?.body ?? Buffer.alloc(1))).toBe(true);
            }
          }
        }
        await store.settled();
        expect(store.stats().objects).toBe(model.size);
        expect((await bodyFiles(directory)).length).toBe(store.stats().files);
      } finally {
        await store.close();
        await rm(directory, { recursive: true });
      }
    }),
    { numRuns: 25 },
  );
});
