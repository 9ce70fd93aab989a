/**
 * A disk that is really full, as in store-disk-full.test.ts: the built desk in a child with a tmpfs of its own. Content
 * goes on without being stored, nothing throws, nothing that is found is cut.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { temporary } from './desk-bed.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const NAMESPACE = ['--user', '--map-root-user', '--mount'];
const able = spawnSync('unshare', [...NAMESPACE, 'mount', '-t', 'tmpfs', 'none', '/mnt']).status === 0;

const CHILD = `
  import { readSync, writeSync } from 'node:fs';
  import { randomBytes, createHash } from 'node:crypto';
  import { CacheDesk } from ${JSON.stringify(join(root, 'dist/proxy/cache-desk.js'))};
  import { DEFAULT_POLICY } from ${JSON.stringify(join(root, 'dist/cache/policy.js'))};
  const [directory] = process.argv.slice(1);
  const ends = {};
  const events = [];
  const lines = [];
  const logger = { info: (fields) => lines.push(fields.event), warn: (fields) => lines.push(fields.event) };
  const sink = { fillBegan: () => {}, fillEnded: (stored, reason) => { ends[reason] = (ends[reason] ?? 0) + 1; } };
  const desk = await CacheDesk.open({
    directory,
    limits: { diskBytes: 64 * 1024 * 1024, inlineBytes: 1024 },
    logger,
    onEvent: ({ kind }) => events.push(kind),
    sink,
  });
  const cache = { policy: DEFAULT_POLICY, key: {}, tagFields: [], bypass: () => false, finishes: () => true };
  const digest = (body) => createHash('sha1').update(body).digest('hex');
  let refused = 0;
  let unfollowable = 0;
  for (let i = 0; i < 300; i++) {
    const body = randomBytes(100_000);
    const now = Date.now();
    const record = {
      status: 200,
      reason: 'OK',
      fields: ['Cache-Control', 'max-age=60', 'ETag', '"' + digest(body) + '"'],
      selections: [{}],
      requestTime: now,
      responseTime: now,
    };
    const place = { first: 0, end: body.length, total: body.length };
    const plan = { kind: 'new', draft: { record, place, keepIncomplete: true }, place, replaces: [] };
    const live = desk.begin(plan, 'http://example.org/' + i, cache);
    let stored = 0;
    let errno = 0;
    if (i % 2 === 0) {
      const file = await live.file();
      if (file === undefined) refused++;
      else {
        try {
          while (stored < body.length) stored += writeSync(file.fd, body, stored, Math.min(16384, body.length - stored), stored);
        } catch (error) {
          errno = -error.errno;
        }
      }
    } else {
      for (; stored < body.length; stored += 16384) if (!(await live.write(body.subarray(stored, stored + 16384)))) break;
      if (stored < body.length && !live.followable) unfollowable++;
      stored = body.length;
    }
    await live.end(body.length, true, stored, errno);
  }
  let [whole, broken] = [0, 0];
  for (let i = 0; i < 300; i++) {
    for (const each of await desk.lookup('http://example.org/' + i, DEFAULT_POLICY)) {
      const body = await desk.body(each);
      const bytes = Buffer.alloc(each.record.extent.total);
      readSync(body.fd, bytes, 0, bytes.length, 0);
      body.release();
      if (each.etag.text === '"' + digest(bytes) + '"') whole++;
      else broken++;
    }
  }
  const { live } = desk.stats();
  await desk.close();
  console.log(JSON.stringify({ ends, kinds: [...new Set(events)], lines: lines.length, events: events.length, whole, broken, live, refused, unfollowable }));
`;

test.skipIf(!able)('a full disk costs hits, and nothing else', async () => {
  const script = 'mount -t tmpfs -o size=8m,mode=700 none "$1" && exec "$2" --input-type=module -e "$3" "$1"';
  const args = [...NAMESPACE, 'sh', '-c', script, 'sh', await temporary(), process.execPath, CHILD];
  const result = JSON.parse(execFileSync('unshare', args, { encoding: 'utf8', timeout: 120_000 })) as {
    ends: Record<string, number>;
    kinds: string[];
    lines: number;
    events: number;
    whole: number;
    broken: number;
    live: number;
    refused: number;
    unfollowable: number;
  };
  expect(result.kinds.sort()).toEqual(['disk-full', 'opened']);
  expect(Object.keys(result.ends).sort()).toEqual(['disk-full', 'stored']);
  expect((result.ends['stored'] ?? 0) + (result.ends['disk-full'] ?? 0)).toBe(300);
  // What gives way makes room: it does not stay full.
  expect(result.ends['stored']).toBeGreaterThan(100);
  expect(result.unfollowable).toBeGreaterThan(0);
  expect([result.broken, result.live]).toEqual([0, 0]);
  expect(result.whole).toBeGreaterThan(20);
  expect(result.events).toBeGreaterThan(result.lines);
});
