/** Writes a cpio archive in the "newc" form, which the kernel unpacks as its first root file system. */
import { closeSync, openSync, writeSync } from 'node:fs';

export type Entry =
  | { readonly path: string; readonly kind: 'directory'; readonly mode?: number }
  | { readonly path: string; readonly kind: 'file'; readonly content: Uint8Array; readonly mode?: number }
  | { readonly path: string; readonly kind: 'link'; readonly target: string }
  | { readonly path: string; readonly kind: 'character'; readonly major: number; readonly minor: number };

const types = { directory: 0o040000, file: 0o100000, link: 0o120000, character: 0o020000 } as const;
const defaultMode = { directory: 0o755, file: 0o644, link: 0o777, character: 0o600 } as const;

const padding = (length: number): number => -length & 3;

/** One record: 13 numbers of eight hexadecimal digits, the name, the content, each part padded to four bytes. */
function record(entry: Entry, inode: number): Buffer {
  const name = Buffer.from(`${entry.path}\0`);
  const content =
    entry.kind === 'file' ? entry.content : entry.kind === 'link' ? Buffer.from(entry.target) : Buffer.alloc(0);
  const mode = types[entry.kind] | (('mode' in entry ? entry.mode : undefined) ?? defaultMode[entry.kind]);
  const device = entry.kind === 'character' ? [entry.major, entry.minor] : [0, 0];
  const numbers = [inode, mode, 0, 0, 1, 0, content.length, 0, 0, ...device, name.length, 0];
  const head = Buffer.from(`070701${numbers.map((number) => number.toString(16).padStart(8, '0')).join('')}`);
  return Buffer.concat([
    head,
    name,
    Buffer.alloc(padding(head.length + name.length)),
    content,
    Buffer.alloc(padding(content.length)),
  ]);
}

/** Directories on the way to an entry are added; they need not be listed. */
export function writeArchive(file: string, entries: readonly Entry[]): void {
  const out = openSync(file, 'w');
  try {
    const known = new Set<string>();
    let inode = 1;
    const put = (entry: Entry): void => {
      const parent = entry.path.slice(0, Math.max(0, entry.path.lastIndexOf('/')));
      if (parent !== '' && !known.has(parent)) put({ path: parent, kind: 'directory' });
      if (known.has(entry.path)) {
        if (entry.kind === 'directory') return;
        throw new Error(`${entry.path} is there twice`);
      }
      known.add(entry.path);
      writeSync(out, record(entry, inode++));
    };
    for (const entry of entries) put(entry);
    writeSync(out, record({ path: 'TRAILER!!!', kind: 'file', content: Buffer.alloc(0), mode: 0 }, 0));
  } finally {
    closeSync(out);
  }
}
