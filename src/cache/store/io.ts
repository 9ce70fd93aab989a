/**
 * The system calls of the store as promises over plain descriptors. Descriptors and no FileHandles, because bodies go
 * to the engine, which takes numbers, and because nothing here may depend on when garbage is collected.
 */
import * as fs from 'node:fs';
import { mkdir, rename, stat, unlink as unlinkFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { codeOf } from './errors.js';

export const open = promisify(fs.open);
export const close = promisify(fs.close);
export const fstat = promisify(fs.fstat);
export const fsync = promisify(fs.fsync);
export const fdatasync = promisify(fs.fdatasync);
export const ftruncate = promisify(fs.ftruncate);
const read = promisify(fs.read);
const writev = promisify(fs.writev);

export { rename };

/**
 * A directory for us alone, with those above it that are missing; that it is there is fine. Node's own `recursive` goes
 * round for ever where a file system refuses a new name as if the directory above were missing, as procfs does.
 */
export async function makeDirectory(path: string): Promise<void> {
  if (await madeDirectory(path)) return;
  const above = dirname(path);
  await makeDirectory(above);
  if (!(await madeDirectory(path))) throw new Error(`no directory can be made in ${above}`);
}

/** False: the one above it is missing. */
async function madeDirectory(path: string): Promise<boolean> {
  try {
    await mkdir(path, { mode: 0o700 });
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT' && path !== dirname(path)) return false;
    if (codeOf(error) === 'EEXIST' && (await stat(path)).isDirectory()) return true;
    throw error;
  }
}

/** Writes all of `parts` from `position` on. A full disk first writes less than was asked, then fails. */
export async function writeAll(fd: number, parts: readonly Uint8Array[], position: number): Promise<void> {
  let rest = parts.filter((part) => part.length > 0);
  while (rest.length > 0) {
    const now = rest.slice(0, 1024); // IOV_MAX
    let { bytesWritten } = await writev(fd, now, position);
    position += bytesWritten;
    let i = 0;
    for (; i < now.length; i++) {
      const part = now[i];
      if (part === undefined || bytesWritten < part.length) break;
      bytesWritten -= part.length;
    }
    const cut = rest[i];
    rest = bytesWritten > 0 && cut !== undefined ? [cut.subarray(bytesWritten), ...rest.slice(i + 1)] : rest.slice(i);
  }
}

/** Reads up to `length` bytes; fewer only at the file's end. */
export async function readAt(fd: number, length: number, position: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafeSlow(length);
  let got = 0;
  while (got < length) {
    const { bytesRead } = await read(fd, buffer, got, length - got, position + got);
    if (bytesRead === 0) break;
    got += bytesRead;
  }
  return buffer.subarray(0, got);
}

/** The whole file, or undefined when there is none. */
export async function readWhole(path: string): Promise<Buffer | undefined> {
  let fd: number;
  try {
    fd = await open(path, 'r');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return await readAt(fd, (await fstat(fd)).size, 0);
  } finally {
    await close(fd);
  }
}

/** The beginning of a file that does not know its size, as those of procfs. */
export async function readWholeUnsized(path: string, most: number): Promise<Buffer> {
  const fd = await open(path, 'r');
  try {
    return await readAt(fd, most, 0);
  } finally {
    await close(fd);
  }
}

/** Replaces `path` by `bytes`, as a whole or not at all, also when the power fails. */
export async function replaceFile(path: string, bytes: Uint8Array): Promise<void> {
  const fd = await open(`${path}.new`, 'w', 0o600);
  try {
    await writeAll(fd, [bytes], 0);
    await fsync(fd);
  } finally {
    await close(fd);
  }
  await rename(`${path}.new`, path);
}

/** Makes names that were added to or taken from a directory safe against a loss of power. */
export async function syncDirectory(path: string): Promise<void> {
  const fd = await open(path, 'r');
  try {
    await fsync(fd);
  } finally {
    await close(fd);
  }
}

/** Removes a file; that there is none is fine. */
export async function unlink(path: string): Promise<void> {
  try {
    await unlinkFile(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}
