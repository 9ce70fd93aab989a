/**
 * Puts a unix socket file in place and takes it away, without a moment in which others could connect to it or in
 * which the socket of a living process is lost. Called when a control socket opens and when splice-ctl tidies up.
 */
import { chmod, link, lstat, mkdir, rmdir, stat, unlink } from 'node:fs/promises';
import { connect } from 'node:net';
import type { Server } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { SpliceError } from '../errors.js';
import { isErrno } from './control-directory.js';

/** sun_path holds 108 bytes with the terminating zero; a longer path would be cut off silently. */
const MAX_PATH_BYTES = 107;

/** A lock is held for a few milliseconds; one that is older was left by a process that died. */
const STALE_LOCK_MS = 10_000;
const RETRY_MS = 20;
const RETRIES = 50;

export type SocketFileState = 'absent' | 'living' | 'dead' | 'foreign' | 'unreachable';

let serial = 0;

/** Whether somebody listens behind `path`. `foreign` is no socket; `unreachable` cannot be decided (permission). */
export async function probeSocket(path: string): Promise<SocketFileState> {
  try {
    if (!(await lstat(path)).isSocket()) return 'foreign';
  } catch (error) {
    return isErrno(error, 'ENOENT', 'ENOTDIR') ? 'absent' : 'unreachable';
  }
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.once('connect', () => {
      socket.destroy();
      resolve('living');
    });
    socket.once('error', (error) => {
      // EAGAIN: the backlog is full, so somebody does listen.
      if (isErrno(error, 'ECONNREFUSED')) resolve('dead');
      else if (isErrno(error, 'ENOENT')) resolve('absent');
      else resolve(isErrno(error, 'EAGAIN') ? 'living' : 'unreachable');
    });
  });
}

/**
 * Listens at `path` with mode 0600.
 *
 * The socket is bound under a name of its own, given its mode, and then published with link(2), which fails if the
 * name is taken: so it is never open to others, never seen half made, and never replaces a living one.
 */
export async function listenAt(server: Server, path: string): Promise<void> {
  const hidden = join(dirname(path), `.${process.pid}-${serial++}`);
  if (Buffer.byteLength(path) > MAX_PATH_BYTES || Buffer.byteLength(hidden) > MAX_PATH_BYTES) {
    throw listenError(path, `the path is longer than ${MAX_PATH_BYTES} bytes; choose a shorter one with --control`);
  }
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(hidden, () => {
        server.off('error', reject);
        resolve();
      });
    });
    await chmod(hidden, 0o600);
    await publish(hidden, path);
  } catch (error) {
    server.close();
    if (error instanceof SpliceError) throw error;
    throw listenError(path, `${messageOf(error)}; choose another path with --control or none with --no-control`, error);
  } finally {
    await unlink(hidden).catch(() => undefined);
  }
}

/**
 * Removes the file if nobody listens behind it; says whether it did.
 *
 * Why no living socket is lost: names appear by link(2) only, which needs the name to be free, and disappear under
 * the lock only. So what was found dead under the lock is still the same file when it is unlinked.
 */
export async function removeDead(path: string): Promise<boolean> {
  const lock = join(dirname(path), `.${basename(path)}.lock`);
  if (!(await takeLock(lock))) return false;
  try {
    if ((await probeSocket(path)) !== 'dead') return false;
    await unlink(path);
    return true;
  } catch {
    return false;
  } finally {
    await rmdir(lock).catch(() => undefined);
  }
}

async function takeLock(lock: string): Promise<boolean> {
  try {
    await mkdir(lock, { mode: 0o700 });
    return true;
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) return false;
  }
  const info = await stat(lock).catch(() => undefined);
  if (info !== undefined && Date.now() - info.mtimeMs > STALE_LOCK_MS) await rmdir(lock).catch(() => undefined);
  return false;
}

async function publish(hidden: string, path: string): Promise<void> {
  for (let attempt = 0; attempt < RETRIES; attempt++) {
    try {
      return await link(hidden, path);
    } catch (error) {
      if (!isErrno(error, 'EEXIST')) throw error;
    }
    const state = await probeSocket(path);
    if (state === 'foreign') throw listenError(path, 'the file exists and is not a socket; choose another path');
    if (state === 'living' || state === 'unreachable') {
      throw listenError(path, 'another process listens there; stop it or choose another path with --control');
    }
    // Somebody else may hold the lock for the same reason; then either the name is free soon, or it lives.
    if (state === 'dead' && !(await removeDead(path))) await delay(RETRY_MS);
  }
  throw listenError(path, 'the dead socket there cannot be removed; remove it or choose another path with --control');
}

function listenError(path: string, why: string, cause?: unknown): SpliceError {
  return new SpliceError('ERR_SPLICE_LISTEN', `control socket ${path}: ${why}`, { cause });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
