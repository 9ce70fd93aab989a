/** A store on a directory of its own, and the short ways that the tests use. */
import { readSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { StoreEvent } from '../../../src/cache/store/errors.js';
import { ObjectStore, type StoreOptions } from '../../../src/cache/store/store.js';
import type { FillResult, FillTarget, StoredObject, StoreLimits } from '../../../src/cache/store/types.js';

export interface Meta {
  readonly note: string;
}

export const LIMITS: StoreLimits = { diskBytes: 64 * 1024 * 1024, inlineBytes: 1024, objectBytes: 16 * 1024 * 1024 };

export async function temporary(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'store-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

export interface Bed {
  readonly store: ObjectStore<Meta>;
  readonly events: StoreEvent[];
  readonly kinds: () => string[];
}

export async function open(
  directory: string,
  limits: Partial<StoreLimits> = {},
  options: StoreOptions<Meta> = {},
): Promise<Bed> {
  const events: StoreEvent[] = [];
  const store = await ObjectStore.open<Meta>(
    directory,
    { ...LIMITS, ...limits },
    { onEvent: (event) => events.push(event), ...options },
  );
  onTestFinished(() => store.close());
  return { store, events, kinds: () => events.map((event) => event.kind).filter((kind) => kind !== 'opened') };
}

/** Bytes that name themselves: no two of these bodies are alike in any 8 bytes. */
export function bytes(length: number, seed = 1): Buffer {
  const body = Buffer.alloc(Math.ceil(length / 4) * 4);
  for (let i = 0; i < body.length; i += 4)
    body.writeUInt32LE((Math.imul(i + 1, 0x9e3779b1) ^ (seed * 0x85ebca6b)) >>> 0, i);
  return body.subarray(0, length);
}

export async function put(
  store: ObjectStore<Meta>,
  target: FillTarget | string,
  body: Buffer,
  note = 'note',
): Promise<FillResult<Meta>> {
  const fill = store.begin(typeof target === 'string' ? { key: target } : target, { note });
  for (let at = 0; at < body.length; at += 50_000) await fill.write(body.subarray(at, at + 50_000));
  return fill.commit(body.length);
}

export async function stored(
  store: ObjectStore<Meta>,
  target: FillTarget | string,
  body: Buffer,
  note = 'note',
): Promise<StoredObject<Meta>> {
  const result = await put(store, target, body, note);
  if (!result.stored) throw new Error(`not stored: ${result.reason}`);
  return result.object;
}

/** The body, wherever it is; undefined when the object is gone. */
export async function bodyOf(store: ObjectStore<Meta>, object: StoredObject<Meta>): Promise<Buffer | undefined> {
  if (object.body !== undefined) return object.body;
  const lease = await store.openBody(object);
  if (lease === undefined) return undefined;
  try {
    return readFd(lease.fd, 0, object.length);
  } finally {
    lease.release();
  }
}

export function readFd(fd: number, start: number, end: number): Buffer {
  const buffer = Buffer.alloc(end - start);
  return buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, start));
}

/** The only object of a key. */
export async function only(store: ObjectStore<Meta>, key: string): Promise<StoredObject<Meta>> {
  const found = await store.lookup(key);
  if (found.length !== 1 || found[0] === undefined) throw new Error(`${found.length} objects of ${key}`);
  return found[0];
}

/** Names of all body files. */
export async function bodyFiles(directory: string): Promise<string[]> {
  const entries = await readdir(join(directory, 'bodies'), { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}
