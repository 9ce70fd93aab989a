/**
 * Descriptors of files that are read: one per file, shared by all its readers, a number of them kept open for the next
 * reader. Readers must read at explicit offsets (pread, sendfile and splice with an offset), never by the position.
 *
 * A file may be unlinked while it is read: {@link OpenFiles.forget} then closes the descriptor when the last reader has
 * released it, and nobody gets it any more. So the name may be used again at once.
 */
import * as io from './io.js';

/** A right to read from `fd`, until `release()`. */
export interface ReadLease {
  readonly fd: number;
  /** The file's size when it was opened; it may have grown. */
  readonly size: number;
  release(): void;
}

interface OpenFile {
  readonly path: string;
  readonly opening: Promise<{ fd: number; size: number }>;
  readers: number;
  /** Not in the table any more. */
  forgotten: boolean;
}

export class OpenFiles {
  readonly #files = new Map<string, OpenFile>();
  /** Those without a reader, the one whose last reader left first in front. */
  readonly #idle = new Set<OpenFile>();
  readonly #mostIdle: number;
  readonly #onCloseError: (error: unknown) => void;

  /** `mostIdle` descriptors are kept without a reader; those with readers come on top. */
  constructor(mostIdle: number, onCloseError: (error: unknown) => void) {
    this.#mostIdle = mostIdle;
    this.#onCloseError = onCloseError;
  }

  get count(): number {
    return this.#files.size;
  }

  /** Rejects with the error of open(2). */
  async lease(path: string): Promise<ReadLease> {
    let file = this.#files.get(path);
    if (file === undefined) {
      file = { path, opening: openSized(path), readers: 0, forgotten: false };
      this.#files.set(path, file);
    }
    file.readers++;
    this.#idle.delete(file);
    try {
      const { fd, size } = await file.opening;
      return { fd, size, release: once(() => this.#release(file)) };
    } catch (error) {
      if (this.#files.get(path) === file) this.#files.delete(path);
      throw error;
    }
  }

  /** The file has been, or will be, unlinked or replaced. */
  forget(path: string): void {
    const file = this.#files.get(path);
    if (file !== undefined) this.#forget(file);
  }

  forgetAll(): void {
    for (const file of [...this.#files.values()]) this.#forget(file);
  }

  #release(file: OpenFile): void {
    file.readers--;
    if (file.readers > 0) return;
    if (file.forgotten) return this.#close(file);
    this.#idle.add(file);
    for (const idle of this.#idle) {
      if (this.#idle.size <= this.#mostIdle) break;
      this.#forget(idle);
    }
  }

  #forget(file: OpenFile): void {
    this.#files.delete(file.path);
    file.forgotten = true;
    if (this.#idle.delete(file)) this.#close(file);
  }

  #close(file: OpenFile): void {
    file.opening.then(({ fd }) => io.close(fd)).catch(this.#onCloseError);
  }
}

async function openSized(path: string): Promise<{ fd: number; size: number }> {
  const fd = await io.open(path, 'r');
  try {
    return { fd, size: (await io.fstat(fd)).size };
  } catch (error) {
    await io.close(fd);
    throw error;
  }
}

function once(job: () => void): () => void {
  let done = false;
  return () => {
    if (done) return;
    done = true;
    job();
  };
}
