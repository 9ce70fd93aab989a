/**
 * Where a cache lives on disk. With a directory of the operator's it outlives the process; each worker has a part of its
 * own in it, because a store has one owner.
 *
 * Without one it lives as long as the process, in a temporary directory, and not in memory alone: bodies must be files
 * for the kernel to send them from and to write them into. The directory is removed when the desk closes. A process that
 * was killed leaves it; the next one to start finds it, and that nobody has the store's lock on it, and removes it.
 */
import { mkdtemp, readdir, readlink, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DirectoryLock } from '../cache/store/directory-lock.js';
import { CacheError } from '../cache/store/errors.js';
import { makeDirectory } from '../cache/store/io.js';
import { readLife } from '../cache/store/life.js';

/** One that is younger may belong to a process that has not taken its lock yet. */
const STALE_MS = 60_000;

/** What a store makes (src/cache/store/store.ts). `life` goes last: it is what tells that the others are a store's. */
const STORE_NAMES = ['log', 'bodies', 'snapshot', 'snapshot.new', 'life.new', 'life'];

export interface DeskDirectory {
  readonly path: string;
  /** When the store is closed. */
  leave(): Promise<void>;
}

export async function deskDirectory(directory: string | undefined, worker: number | undefined): Promise<DeskDirectory> {
  if (directory !== undefined) {
    const path = worker === undefined ? directory : join(directory, workerName(worker));
    return { path, leave: () => Promise.resolve() };
  }
  const prefix = await temporaryPrefix();
  await removeStale(prefix, STALE_MS);
  const path = await mkdtemp(join(tmpdir(), prefix));
  return { path, leave: () => rm(path, { recursive: true, force: true }).catch(() => undefined) };
}

/**
 * Makes a directory of the operator's this process's own, by the main thread before the desks are opened: one process at
 * a time, whatever number of workers each has. Where there are several, what is returned is to be released when they are
 * gone. One thread alone has its store where the lock is, which takes it for itself.
 * @throws CacheError; nothing was changed then
 */
export async function claimDirectory(directory: string, workers: number): Promise<DirectoryLock | undefined> {
  const lock = await lockDirectory(directory);
  try {
    await tidyDirectory(directory, workers);
  } catch (error) {
    await lock.release();
    throw error;
  }
  if (workers > 1) return lock;
  await lock.release();
  return undefined;
}

async function lockDirectory(directory: string): Promise<DirectoryLock> {
  try {
    await makeDirectory(directory);
    return await DirectoryLock.take(directory);
  } catch (error) {
    if (error instanceof CacheError) throw error;
    const message = error instanceof Error ? error.message : String(error);
    throw new CacheError('ERR_CACHE_DIRECTORY', `${directory} cannot be used as a cache: ${message}`, { cause: error });
  }
}

/**
 * Removes what belongs to another number of workers, which nobody would ever clean: the parts of workers from number
 * `workers` on, all of them where there is one thread alone, and that thread's own where there are several. What is in use
 * stays, and what no store has made.
 */
async function tidyDirectory(directory: string, workers: number): Promise<void> {
  for (const name of await namesIn(directory)) {
    const [, number] = /^worker-(\d{1,4})$/.exec(name) ?? [];
    if (number === undefined || (workers > 1 && Number(number) < workers)) continue;
    const path = join(directory, name);
    if (await isStore(path)) await removeUnused(path);
  }
  if (workers === 1 || !(await isStore(directory))) return;
  await removeAll(STORE_NAMES.map((name) => join(directory, name)));
}

/** Removes what killed processes left under names that begin with `prefix`. */
export async function removeStale(prefix: string, olderThanMs: number): Promise<void> {
  const owner = process.geteuid?.();
  for (const name of await namesIn(tmpdir())) {
    if (!name.startsWith(prefix)) continue;
    const path = join(tmpdir(), name);
    const found = await stat(path).catch(() => undefined);
    if (found?.isDirectory() !== true || found.uid !== owner) continue;
    if (Date.now() - found.mtimeMs >= olderThanMs) await removeUnused(path);
  }
}

/**
 * The lock tells the processes of one network namespace apart, and a directory for temporary files may be shared by
 * several: the name says whose lock counts.
 */
async function temporaryPrefix(): Promise<string> {
  const namespace = await readlink('/proc/self/ns/net').catch(() => '');
  return `splice-http-${/\d+/.exec(namespace)?.[0] ?? '0'}-`;
}

async function isStore(path: string): Promise<boolean> {
  return (await readLife(join(path, 'life')).catch(() => undefined)) !== undefined;
}

/** Unless the store at `path` is in use. */
async function removeUnused(path: string): Promise<void> {
  const lock = await DirectoryLock.take(path).catch(() => undefined);
  if (lock === undefined) return;
  await removeAll([path]);
  await lock.release();
}

async function removeAll(paths: readonly string[]): Promise<void> {
  try {
    for (const path of paths) await rm(path, { recursive: true, force: true });
  } catch {
    // Not ours to remove.
  }
}

function workerName(worker: number): string {
  return `worker-${worker}`;
}

function namesIn(directory: string): Promise<string[]> {
  return readdir(directory).catch(() => []);
}
