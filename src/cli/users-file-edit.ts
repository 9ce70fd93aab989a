/** Changes one line of a users file and leaves the rest, comments included, as it is. Called by `splice-ctl passwd`. */
import { open, readFile, realpath, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { isErrno } from '../control/control-directory.js';

/** `text` with the line of `name` replaced, or appended. Pure. */
export function withUser(text: string, name: string, hash: string): { readonly text: string; readonly added: boolean } {
  const entry = `${name}:${hash}`;
  const lines = text === '' ? [] : text.replace(/\n$/, '').split('\n');
  let found = false;
  const changed = lines.flatMap((line) => {
    if (line.trim().startsWith('#') || line.trim().split(':')[0] !== name) return [line];
    // Further lines of the same user would make the file wrong.
    if (found) return [];
    found = true;
    return [entry];
  });
  if (!found) changed.push(entry);
  return { text: `${changed.join('\n')}\n`, added: !found };
}

/**
 * Writes the user into `file`, made if missing, with mode 0600. A reader sees the old file or the new one, never a
 * part; owner and group stay, so that a service which could read the file still can. Symbolic links are followed.
 */
export async function writeUser(file: string, name: string, hash: string): Promise<{ readonly added: boolean }> {
  let path = file;
  let text = '';
  let owner: { uid: number; gid: number } | undefined;
  try {
    path = await realpath(file);
    [text, owner] = [await readFile(path, 'utf8'), await stat(path)];
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
  const result = withUser(text, name, hash);
  const draft = join(dirname(path), `.${basename(path)}.${process.pid}.new`);
  const handle = await open(draft, 'wx', 0o600);
  try {
    await handle.chmod(0o600);
    const same = owner === undefined || (owner.uid === process.getuid?.() && owner.gid === process.getgid?.());
    if (owner !== undefined && !same) await handle.chown(owner.uid, owner.gid);
    await handle.writeFile(result.text);
    await handle.sync();
    await rename(draft, path);
  } catch (error) {
    await unlink(draft).catch(() => undefined);
    throw error;
  } finally {
    await handle.close();
  }
  return { added: result.added };
}
