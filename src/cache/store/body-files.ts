/**
 * Bodies that are files: one file an object, named by a number that is never used twice, in 256 directories. A file
 * means nothing until a record in the log names it, so a fill that ends anywhere, by kill -9 too, leaves at worst a file
 * that nobody names; the sweep after the next start removes it.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import * as io from './io.js';

const SHARDS = 256;
const NAME = /^[0-9a-f]{1,14}$/;

export class BodyFiles {
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  static async open(directory: string): Promise<BodyFiles> {
    await io.makeDirectory(directory);
    const present = new Set(await readdir(directory));
    for (let shard = 0; shard < SHARDS; shard++) {
      const name = shardName(shard);
      if (!present.has(name)) await io.makeDirectory(join(directory, name));
    }
    return new BodyFiles(directory);
  }

  pathOf(fileId: number): string {
    return join(this.#directory, shardName(fileId % SHARDS), fileId.toString(16));
  }

  /** A new, empty file, for reading and writing. */
  create(fileId: number): Promise<number> {
    return io.open(this.pathOf(fileId), 'w+', 0o600);
  }

  /** The file of a partial object, to be written into. */
  reopen(fileId: number): Promise<number> {
    return io.open(this.pathOf(fileId), 'r+');
  }

  unlink(fileId: number): Promise<void> {
    return io.unlink(this.pathOf(fileId));
  }

  /** Makes these files and their names safe against a loss of power. Files that are gone need nothing. */
  async sync(fileIds: Iterable<number>): Promise<void> {
    const shards = new Set<number>();
    for (const fileId of fileIds) {
      const fd = await io.open(this.pathOf(fileId), 'r+').catch(() => -1);
      if (fd === -1) continue;
      try {
        await io.fdatasync(fd);
      } finally {
        await io.close(fd);
      }
      shards.add(fileId % SHARDS);
    }
    for (const shard of shards) await io.syncDirectory(join(this.#directory, shardName(shard)));
    if (shards.size > 0) await io.syncDirectory(this.#directory);
  }

  /**
   * Removes files with numbers below `before` that are not in `named`, which is sorted. Nobody may give out numbers below
   * `before` meanwhile; that an object goes away is no harm. Stops when `stopped` says so.
   */
  async sweep(named: Float64Array, before: number, stopped: () => boolean): Promise<number> {
    let removed = 0;
    for (let shard = 0; shard < SHARDS; shard++) {
      for (const name of await readdir(join(this.#directory, shardName(shard)))) {
        if (stopped()) return removed;
        const fileId = NAME.test(name) ? parseInt(name, 16) : NaN;
        if (!(fileId < before) || isIn(named, fileId)) continue;
        await this.unlink(fileId);
        removed++;
      }
    }
    return removed;
  }
}

function shardName(shard: number): string {
  return shard.toString(16).padStart(2, '0');
}

function isIn(sorted: Float64Array, value: number): boolean {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? 0) < value) low = middle + 1;
    else high = middle;
  }
  return sorted[low] === value;
}
