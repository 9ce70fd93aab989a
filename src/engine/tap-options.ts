/** What callers may ask of the tap, and the checks that no state changes: a value that is wrong here is wrong always. */
import { availableParallelism } from 'node:os';
import { SpliceArgumentError } from '../errors.js';
import type { TapSend, TapSettings } from '../native.js';
import type { FileGrowth } from './file-growth.js';
import { timerOf } from './options.js';
import { requireInteger, requireNumber } from './require.js';

export interface TapOptions {
  /**
   * Threads for bodies that go into a file: writing may wait for the disk, and then all bodies of the thread do.
   * **Default:** the processors, at most 4.
   */
  fillThreads?: number;
  /** Threads for all other bodies; these wait for no disk. **Default:** the processors, at most 4. */
  sendThreads?: number;
  /** Bytes asked of the pipe of a body without a file. **Default:** 131072. */
  pipeSize?: number;
  /** Bytes asked of the pipes of a body that goes into a file. **Default:** 1048576. */
  widePipeSize?: number;
}

/** A descriptor of a file, or what has one, such as a `FileHandle`. It stays the caller's; its position is not used. */
export type FileLike = number | { readonly fd: number };

export interface BodyOptions {
  /** Bytes of the body. **Default:** to the end of what it comes from. */
  length?: number;
  /** Where in the file the body begins. **Default:** `0`. */
  offset?: number;
  /** Written to the client before the body, such as a head; not counted, and not for the file. */
  prefix?: Uint8Array;
  /** Milliseconds in which the client takes none of the bytes there are for it, after which it is lost; 0: never. **Default:** `0`. */
  clientIdleMs?: number;
}

export interface RelayBodyOptions extends BodyOptions {
  /** Written as well, from `offset` on. Open for writing, and for reading too where there is a client. */
  file?: FileLike;
  /** Advanced as the file is filled. Its end is the caller's to say. */
  growth?: FileGrowth;
  /** Bytes of the body that were read already. Those that sit in a Node socket's buffer are found without this. */
  head?: Uint8Array;
  /** Goes on into the file when the client is lost. **Default:** `false`, the body ends then. */
  withoutClient?: boolean;
  /** Milliseconds without a byte of the source, while it is waited for, after which it ends; 0: never. **Default:** `0`. */
  sourceIdleMs?: number;
}

export interface SendFileOptions extends BodyOptions {
  /** Of a file that is still being filled: waits for what is not there yet. Of another worker: its number. */
  growth?: FileGrowth | number;
}

export function tapSettings(options: TapOptions): TapSettings {
  const processors = Math.min(4, availableParallelism());
  const { fillThreads = processors, sendThreads = processors } = options;
  const { pipeSize = 128 * 1024, widePipeSize = 1024 * 1024 } = options;
  requireInteger('fillThreads', fillThreads, 1, 256);
  requireInteger('sendThreads', sendThreads, 1, 256);
  requireInteger('pipeSize', pipeSize, 65536, 2 ** 30);
  requireInteger('widePipeSize', widePipeSize, 65536, 2 ** 30);
  return { fillThreads, sendThreads, pipeSize, widePipeSize };
}

export function requireBody(options: BodyOptions & { head?: Uint8Array }): void {
  const most = Number.MAX_SAFE_INTEGER;
  if (options.length !== undefined) requireInteger('length', options.length, 0, most);
  requireInteger('offset', options.offset ?? 0, 0, most - (options.length ?? 0));
  requireNumber('clientIdleMs', options.clientIdleMs ?? 0, 0, Infinity);
  for (const name of ['prefix', 'head'] as const) {
    if (options[name] !== undefined && !(options[name] instanceof Uint8Array))
      throw new SpliceArgumentError(`${name}: give a Uint8Array`);
  }
}

/** What the addon is told alike of every body. */
export function common(options: BodyOptions): TapSend {
  return {
    offset: options.offset,
    length: options.length,
    prefix: options.prefix,
    clientIdleMs: timerOf(options.clientIdleMs ?? 0),
  };
}

export function descriptorOf(file: FileLike): number {
  const fd = typeof file === 'number' ? file : file.fd;
  if (!Number.isInteger(fd) || fd < 0) throw new SpliceArgumentError(`file: ${String(fd)} is no file descriptor`);
  return fd;
}
