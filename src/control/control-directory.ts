/**
 * Where control sockets live. The server puts its socket into the first directory that it can use; splice-ctl looks
 * into all of them. A directory that others could have prepared is never used.
 */
import { lstat, mkdir } from 'node:fs/promises';
import { join } from 'node:path';

export interface Surroundings {
  readonly uid: number;
  readonly tmpdir: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** The programs that have a control socket; it begins with this word. */
export type ServerKind = 'socks' | 'http';

/** Candidate directories, best first. */
export function controlDirectories({ uid, tmpdir, env }: Surroundings): string[] {
  const directories: string[] = [];
  // Set by systemd for RuntimeDirectory=symsplice; several are separated by colons.
  const runtime = env['RUNTIME_DIRECTORY']?.split(':')[0];
  if (runtime) directories.push(runtime);
  // Others look here too: root asks services that run under their own user.
  if (uid === 0) directories.push('/run/symsplice');
  const session = env['XDG_RUNTIME_DIR'];
  if (session) directories.push(join(session, 'symsplice'));
  directories.push(join(tmpdir, `symsplice-${uid}`));
  return [...new Set(directories)];
}

/** True if `directory` is a real directory of `uid` or root (or, for root, anyone's below /run) that others cannot write. */
export async function isTrusted(directory: string, uid: number): Promise<boolean> {
  try {
    const info = await lstat(directory);
    const ownerTrusted = info.uid === uid || info.uid === 0 || (uid === 0 && directory.startsWith('/run/'));
    return info.isDirectory() && ownerTrusted && (info.mode & 0o022) === 0;
  } catch {
    return false;
  }
}

/** The first candidate that exists, or can be made, and can be trusted; undefined if there is none. */
export async function chooseDirectory(surroundings: Surroundings): Promise<string | undefined> {
  for (const directory of controlDirectories(surroundings)) {
    try {
      await mkdir(directory, { mode: 0o700 });
    } catch (error) {
      if (!isErrno(error, 'EEXIST')) continue;
    }
    if (await isTrusted(directory, surroundings.uid)) return directory;
  }
  return undefined;
}

export function isErrno(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && codes.includes(error.code);
}
