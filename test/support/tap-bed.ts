/** What tests of the TCP tap need beside a bed: files, and a look at how the parts of a body ended. */
import { createHash } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import type net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TapBody, TapPartName } from '../../src/engine/tap-body.js';

export interface OpenFile {
  readonly fd: number;
  readonly path: string;
}

/** A directory of files that are open until it is disposed of. */
export class FileBed {
  readonly directory = mkdtempSync(join(tmpdir(), 'splice-tap-'));
  readonly #open: number[] = [];

  file(flags = 'wx+'): OpenFile {
    const path = join(this.directory, String(this.#open.length));
    const fd = openSync(path, flags);
    this.#open.push(fd);
    return { fd, path };
  }

  dispose(): void {
    for (const fd of this.#open) closeSync(fd);
    rmSync(this.directory, { recursive: true });
  }
}

/** `END` or `END BYTES` of each part: how it ended, and with how many bytes. */
export async function endsOf(body: TapBody): Promise<Record<TapPartName, string | undefined>> {
  const [source, file, client] = await Promise.all([body.received, body.stored, body.delivered]);
  const words = (part: { end: string; bytes: number } | undefined): string | undefined =>
    part === undefined ? undefined : `${part.end} ${part.bytes}`;
  return { source: words(source), file: words(file), client: words(client) };
}

export const digestOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Writes, and resolves when the kernel has taken it all. */
export const wrote = (socket: net.Socket, bytes: Uint8Array): Promise<void> =>
  new Promise((resolve, reject) => socket.write(bytes, (error) => (error ? reject(error) : resolve())));
