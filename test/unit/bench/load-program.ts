/** The load generator as the tests run it: compiled once for a file of tests, started and read. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

import type { LoadMode, LoadResult } from '../../../src/bench/model.js';
import { Child, type Finished } from '../../support/children.js';

const sources = path.resolve(import.meta.dirname, '../../../bench/load');

/** Compiles `files` of bench/load, and others by their absolute paths, into a program of its own. */
export function compileLoad(files: readonly string[] = []): { program: string; remove: () => void } {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'splice-load-'));
  const program = path.join(directory, 'program');
  const all = files.length > 0 ? files : readdirSync(sources).filter((name) => name.endsWith('.c'));
  const paths = all.map((name) => path.resolve(sources, name));
  const flags = ['-std=gnu11', '-O1', '-Wall', '-Wextra', '-pthread', '-I', sources];
  execFileSync('cc', [...flags, '-o', program, ...paths]);
  return { program, remove: () => rmSync(directory, { recursive: true, force: true }) };
}

/** What the program prints beside what the benchmark reads. */
export interface Printed extends LoadResult {
  readonly errorKinds: Readonly<Record<string, number>>;
}

export class LoadProgram {
  readonly program: string;
  readonly #remove: () => void;
  #server: Child | undefined;

  constructor() {
    ({ program: this.program, remove: this.#remove } = compileLoad());
  }

  /** Starts the server and gives its port. */
  async serve(...args: readonly string[]): Promise<number> {
    this.#server = new Child(this.program, ['serve', '0', ...args]);
    return Number((await this.#server.waitForOutput(/serving on (\d+)/))[1]);
  }

  /** Runs it to its end, whatever that is. */
  async try(...args: readonly string[]): Promise<Finished> {
    return await new Child(this.program, args).exited;
  }

  /** A run that prints a result. */
  async run(mode: LoadMode, port: number, ...args: readonly string[]): Promise<Printed> {
    const end = await this.try('run', '--mode', mode, '--target', `127.0.0.1:${port}`, '--timeout', '20', ...args);
    if (end.stdout.length === 0) throw new Error(`no result, code ${end.code}: ${end.stderr}`);
    const result = JSON.parse(end.stdout.toString()) as Printed;
    if ((end.code === 0) !== result.clean) throw new Error(`ended with ${end.code}, clean: ${result.clean}`);
    return result;
  }

  async close(): Promise<void> {
    await this.#server?.stop();
    this.#remove();
  }
}

/** A listener on loopback whose connections, that may stay half open, are all `talk`'s affair. */
export class Peer {
  readonly #sockets = new Set<net.Socket>();
  readonly #server: net.Server;

  private constructor(talk: (socket: net.Socket) => void) {
    this.#server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      this.#sockets.add(socket);
      // The other side may leave at any time: what it makes of that is what the tests look at.
      socket.on('error', () => undefined).on('close', () => this.#sockets.delete(socket));
      talk(socket);
    });
  }

  static async listen(talk: (socket: net.Socket) => void): Promise<Peer> {
    const peer = new Peer(talk);
    await new Promise<void>((resolve) => peer.#server.listen(0, '127.0.0.1', resolve));
    return peer;
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** Joins two sockets until both directions have ended. */
export function join(one: net.Socket, other: net.Socket): void {
  other.on('error', () => one.destroy()).on('close', () => one.destroy());
  one.on('error', () => other.destroy());
  one.pipe(other).pipe(one);
}
