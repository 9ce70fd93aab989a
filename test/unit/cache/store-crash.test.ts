/**
 * kill -9 at any moment. A child, which runs the built store, fills, extends, updates, purges and evicts as fast as it
 * can and says on its pipe what was promised to it; then it is killed in the middle. Whatever the next life finds must be
 * whole, by checksum; what was promised must be kept.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import type { ObjectStore } from '../../../src/cache/store/store.js';
import type { StoredObject, StoreLimits } from '../../../src/cache/store/types.js';
import { bodyFiles, bodyOf, open, readFd, temporary, type Meta } from './store-bed.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const KEYS = 120;
const WRITERS = 6;
/** Each kills one to three lives, one after the other, before it looks. */
const ROUNDS = 9;

/** Its arguments: directory, limits as JSON, the first sequence number, `gatherMs`. A note is "sequence digest-of-the-whole-body". */
const CHILD = `
  import { createHash, randomBytes } from 'node:crypto';
  import { writeSync } from 'node:fs';
  import { ObjectStore } from ${JSON.stringify(join(root, 'dist/cache/store/store.js'))};
  const [directory, limits, first, gather] = process.argv.slice(1);
  const say = (...words) => writeSync(1, words.join(' ') + '\\n');
  const store = await ObjectStore.open(directory, JSON.parse(limits), {
    gatherMs: Number(gather),
    onEvent: ({ kind, text }) => { if (kind !== 'opened') say('EVENT', kind, text); },
  });
  let sequence = Number(first);
  const pick = (n) => Math.floor(Math.random() * n);
  const digest = (body) => createHash('sha1').update(body).digest('hex');
  const one = async (key) => {
    const now = ++sequence;
    const body = randomBytes([pick(300), pick(3000), 20_000 + pick(100_000)][pick(3)]);
    const note = now + ' ' + digest(body);
    const kind = pick(10);
    if (kind === 0) {
      const object = (await store.lookup(key))[0];
      if (object && object.ranges === undefined) {
        const old = object.meta.note.split(' ')[1];
        if (await store.update(object, { note: now + ' ' + old })) say('stored', key, now);
      }
      return;
    }
    if (kind === 1 && body.length > 10) {
      // In two parts, the second on top of the first.
      const half = body.length >> 1;
      const a = store.begin({ key, part: { first: 0, total: body.length } }, { note });
      await a.write(body.subarray(0, half));
      const committed = await a.commit(half);
      if (!committed.stored) return;
      say('stored', key, now);
      const b = store.begin({ key, part: { first: half, total: body.length }, base: committed.object }, { note });
      await b.write(body.subarray(half));
      await b.commit(body.length - half);
      return;
    }
    const fill = store.begin({ key }, { note });
    if (kind < 5) {
      const fd = await fill.descriptor();
      for (let at = 0; fd !== undefined && at < body.length; at += 9000) {
        const piece = body.subarray(at, at + 9000);
        writeSync(fd, piece, 0, piece.length, at);
        fill.written(at + piece.length);
        if (pick(4) === 0) await new Promise(setImmediate);
      }
    } else {
      for (let at = 0; at < body.length; at += 9000) await fill.write(body.subarray(at, at + 9000));
    }
    if (kind === 5) return fill.abort();
    if ((await fill.commit(body.length)).stored) say('stored', key, now);
  };
  const writer = async (number) => {
    for (;;) await one('/' + (number % 3) + '/' + (number + ${WRITERS} * pick(${KEYS / WRITERS})));
  };
  const purger = async () => {
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, pick(40)));
      const prefix = '/' + pick(3) + '/' + pick(KEYS);
      const now = ++sequence;
      say('purging', prefix, now);
      const { durable } = await store.purge({ prefix }, 'hard');
      if (durable) say('purged', prefix, now);
    }
  };
  const KEYS = ${KEYS};
  say('ready');
  for (let i = 0; i < ${WRITERS}; i++) writer(i);
  purger();
`;

interface Said {
  readonly word: string;
  readonly name: string;
  readonly sequence: number;
}

/** Runs the child for `ms` after it is ready, kills it, and returns what it said. */
async function runAndKill(
  directory: string,
  limits: StoreLimits,
  sequence: number,
  gatherMs: number,
  ms: number,
): Promise<Said[]> {
  const args = [
    '--input-type=module',
    '-e',
    CHILD,
    directory,
    JSON.stringify(limits),
    String(sequence),
    String(gatherMs),
  ];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  const ready = new Promise<void>((resolve, reject) => {
    child.once('close', () => reject(new Error(`the child ended by itself: ${output}`)));
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      if (output.startsWith('ready') || output.includes('\nready')) resolve();
    });
  });
  const ended = new Promise((resolve) => child.once('close', resolve));
  await ready;
  await sleep(ms);
  child.kill('SIGKILL');
  await ended;
  const lines = output.split('\n').slice(0, -1); // the last may be cut off
  expect(lines.filter((line) => line.startsWith('EVENT'))).toEqual([]);
  return lines.map((line) => {
    const [word = '', name = '', number] = line.split(' ');
    return { word, name, sequence: Number(number) };
  });
}

async function whole(store: ObjectStore<Meta>, object: StoredObject<Meta>): Promise<boolean> {
  const digest = object.meta.note.split(' ')[1];
  if (object.ranges === undefined) {
    const body = await bodyOf(store, object);
    return body !== undefined && createHash('sha1').update(body).digest('hex') === digest;
  }
  // Half an object: its bytes are there; there is no checksum of a half.
  const lease = await store.openBody(object);
  if (lease === undefined) return false;
  const [range] = object.ranges;
  const got = readFd(lease.fd, range?.start ?? 0, range?.end ?? 0);
  lease.release();
  return object.ranges.length === 1 && got.length === (range?.end ?? 0) - (range?.start ?? 0);
}

test.each([
  { name: 'with room for all', diskBytes: 24 * 1024 * 1024, evicts: false, gatherMs: 0 },
  { name: 'records waiting for one another', diskBytes: 24 * 1024 * 1024, evicts: false, gatherMs: 5 },
  { name: 'while objects give way and the log is cleaned', diskBytes: 2 * 1024 * 1024, evicts: true, gatherMs: 2 },
])(
  'after kill -9 every object is whole or absent, $name',
  async ({ diskBytes, evicts, gatherMs }) => {
    const directory = await temporary();
    const limits: StoreLimits = { diskBytes, inlineBytes: 4096, objectBytes: 1024 * 1024 };
    let sequence = 0;
    let known = new Map<string, number>();
    let found = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const said: Said[] = [];
      for (let life = 0; life <= round % 3; life++) {
        const more = await runAndKill(directory, limits, sequence, gatherMs, 5 + Math.random() * 150);
        said.push(...more);
        sequence = Math.max(sequence, ...more.map((each) => each.sequence || 0)) + 1_000_000; // above what it did not say
      }
      const purges = said.filter(({ word }) => word.startsWith('purg'));
      for (const { word, name, sequence: number } of said) if (word === 'stored') known.set(name, number);

      const { store, kinds } = await open(directory, limits);
      const present = new Map<string, number>();
      for (let i = 0; i < KEYS; i++) {
        const key = `/${(i % WRITERS) % 3}/${i}`;
        for (const object of await store.lookup(key)) {
          expect(await whole(store, object), `round ${round}: ${key} ${object.meta.note}`).toBe(true);
          present.set(key, Number(object.meta.note.split(' ')[0]));
        }
      }
      for (const { word, name, sequence: number } of purges) {
        for (const [key, stored] of present) {
          // A promise that was kept: nothing from before the purge came back.
          if (word === 'purged' && key.startsWith(name))
            expect(stored, `${key} and purge ${name}`).toBeGreaterThan(number);
        }
      }
      if (!evicts) {
        for (const [key, stored] of known) {
          if (purges.some((purge) => key.startsWith(purge.name) && purge.sequence > stored)) continue;
          expect(present.get(key) ?? -1, `${key} was stored`).toBeGreaterThanOrEqual(stored);
        }
      }
      expect(kinds()).toEqual([]);
      await store.settled();
      expect((await bodyFiles(directory)).length).toBe(store.stats().files);
      found += present.size;
      known = present;
      sequence = Math.max(sequence, ...present.values()) + 1_000_000; // the kill may have cut off what it said
      await store.close();
    }
    expect(found).toBeGreaterThan(ROUNDS);
  },
  120_000,
);
