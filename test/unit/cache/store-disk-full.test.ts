/**
 * A disk that is really full: a small tmpfs, mounted in a mount namespace of a child that runs the built store. Needs the
 * right to make namespaces (root, or user namespaces).
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { temporary } from './store-bed.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const NAMESPACE = ['--user', '--map-root-user', '--mount'];
const able = spawnSync('unshare', [...NAMESPACE, 'mount', '-t', 'tmpfs', 'none', '/mnt']).status === 0;

/** Runs in a tmpfs of 8 MiB, while the store believes it may have 64. Prints what came of it as JSON. */
const CHILD = `
  import { cpSync, readdirSync, writeFileSync, rmSync } from 'node:fs';
  import { createHash, randomBytes } from 'node:crypto';
  import { ObjectStore } from ${JSON.stringify(join(root, 'dist/cache/store/store.js'))};
  const [directory, elsewhere] = process.argv.slice(1);
  const events = [];
  const limits = { diskBytes: 64 * 1024 * 1024, inlineBytes: 4096, memoryBytes: 0 };
  const openStore = () => ObjectStore.open(directory + '/cache', limits, { onEvent: ({ kind }) => events.push(kind) });
  const digest = (body) => createHash('sha1').update(body).digest('hex');
  let store = await openStore();
  const reasons = {};
  const put = async (i) => {
    const body = randomBytes(i % 3 === 0 ? 60_000 : 2000);
    const fill = store.begin({ key: '/' + i, tags: i % 3 === 0 ? [] : ['small'] }, digest(body));
    for (let at = 0; at < body.length; at += 8000) await fill.write(body.subarray(at, at + 8000));
    const result = await fill.commit(body.length);
    const name = result.stored ? 'stored' : result.reason;
    reasons[name] = (reasons[name] ?? 0) + 1;
    return result.stored;
  };
  const check = async (count) => {
    let [whole, broken] = [0, 0];
    for (let i = 0; i < count; i++) {
      for (const object of await store.lookup('/' + i)) {
        const lease = object.body === undefined ? await store.openBody(object) : undefined;
        let body = object.body;
        if (lease) {
          const { readSync } = await import('node:fs');
          body = Buffer.alloc(object.length);
          readSync(lease.fd, body, 0, body.length, 0);
          lease.release();
        }
        if (body !== undefined && digest(body) === object.meta) whole++;
        else broken++;
      }
    }
    return { whole, broken };
  };
  for (let i = 0; i < 800; i++) await put(i);
  await store.settled();
  const first = await check(800);

  // Others fill what is left, to the last byte.
  let size = 65_536;
  for (let i = 0; size > 0; ) {
    try { writeFileSync(directory + '/other-' + i++, Buffer.alloc(size)); }
    catch { if (size === 1) break; size >>= 1; }
  }
  // Small bodies free no space: the log has none for what takes them back.
  const purged = await store.purge({ tag: 'small' }, 'hard');
  await store.settled();
  for (let i = 801; i < 840; i += 3) await put(i);
  const small = async () => {
    let count = 0;
    for (let i = 0; i < 840; i++) if (i % 3 !== 0) count += (await store.lookup('/' + i)).length;
    return count;
  };
  const afterPurge = await small();
  for (const name of readdirSync(directory)) if (name.startsWith('other')) rmSync(directory + '/' + name);
  const recovered = await put(900);
  await store.settled();
  // What kill -9 would leave now: the log had to be told what it could not take then.
  cpSync(directory + '/cache', elsewhere + '/copy', { recursive: true });
  await store.close();
  store = await ObjectStore.open(elsewhere + '/copy', limits, { onEvent: ({ kind }) => events.push(kind) });
  const afterRestart = await small();
  const last = await check(901);
  await store.close();
  console.log(JSON.stringify({ reasons, first, purged, afterPurge, recovered, afterRestart, last, kinds: [...new Set(events)] }));
`;

test.skipIf(!able)('a full disk is an event: fills fail, objects give way, the store goes on', async () => {
  const directory = await temporary();
  const script = 'mount -t tmpfs -o size=8m,mode=700 none "$1" && exec "$2" --input-type=module -e "$3" "$1" "$4"';
  const args = [...NAMESPACE, 'sh', '-c', script, 'sh', directory, process.execPath, CHILD, await temporary()];
  const result = JSON.parse(execFileSync('unshare', args, { encoding: 'utf8', timeout: 120_000 })) as {
    reasons: Record<string, number>;
    first: { whole: number; broken: number };
    purged: { objects: number; durable: boolean };
    afterPurge: number;
    recovered: boolean;
    afterRestart: number;
    last: { whole: number; broken: number };
    kinds: string[];
  };
  expect(result.kinds.sort()).toEqual(['disk-full', 'opened']);
  expect(Object.keys(result.reasons).sort()).toEqual(['disk-full', 'stored']);
  expect(result.reasons['stored']).toBeGreaterThan(100);
  expect(result.first.broken + result.last.broken).toBe(0);
  expect(result.first.whole).toBeGreaterThan(20);
  expect(result.last.whole).toBeGreaterThan(0);
  expect(result.purged.objects).toBeGreaterThan(0);
  expect([result.afterPurge, result.afterRestart]).toEqual([0, 0]);
  expect(result.recovered).toBe(true);
});
