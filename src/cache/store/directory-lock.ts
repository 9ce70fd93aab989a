/**
 * One owner a directory: two processes, or two threads of one, that append to the same log would destroy it. The lock is
 * an abstract socket named by the directory's device and inode. It cannot be left behind: the kernel takes it back with
 * the process, however that ends. It holds within one network namespace; containers that share a cache directory but no
 * network are not protected from one another. Who connects to the socket is told the holder's process number, for the
 * error that the next one gets.
 */
import { stat } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { CacheError, codeOf } from './errors.js';

/** A holder that is stopped or busy does not say who it is. */
const ANSWER_MS = 1000;
const MOST_DIGITS = 10;

export class DirectoryLock {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async take(directory: string): Promise<DirectoryLock> {
    const { dev, ino } = await stat(directory, { bigint: true });
    const path = `\0symsplice-cache-${dev}-${ino}`;
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.end(String(process.pid));
      socket.unref();
    });
    server.unref();
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen({ path }, resolve);
      });
    } catch (error) {
      if (codeOf(error) !== 'EADDRINUSE') throw error;
      const holder = await holderOf(path);
      const text = `${directory} is in use by ${holder}: one process at a time owns it; end that one, or use another directory`;
      throw new CacheError('ERR_CACHE_LOCKED', text, { cause: error });
    }
    return new DirectoryLock(server);
  }

  release(): Promise<void> {
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }
}

function holderOf(path: string): Promise<string> {
  return new Promise((resolve) => {
    let said = '';
    const socket = connect({ path });
    const done = (): void => {
      socket.destroy();
      resolve(/^\d+$/.test(said) ? `process ${said}` : 'another process');
    };
    socket.setEncoding('latin1').setTimeout(ANSWER_MS, done);
    socket.on('data', (text: string) => {
      said += text;
      if (said.length > MOST_DIGITS) done();
    });
    socket.on('error', done);
    socket.on('close', done);
  });
}
