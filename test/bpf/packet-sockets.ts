/**
 * A host for ring 2: a network namespace with one device, and sockets in it whose state the test says (sockets.c).
 * Nobody lives at the other end of the device; what a peer would send, the test puts on the wire.
 */
import { execFileSync, spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { namespacePrefix, sweepLab } from '../support/sweep.js';
import { hosts } from './packet-bench.js';
import type { Connection } from './packet-slot.js';
import { build, type Segment } from './segment.js';
import { root } from './support.js';

/** A socket as TCP_REPAIR makes it; what is left out is as ordinary as can be. */
export interface SocketState {
  writeSeq: number;
  readSeq: number;
  timestamps?: boolean;
  sack?: boolean;
  peerScale?: number;
  ownScale?: number;
  mss?: number;
  /** What the peer has promised, in bytes. */
  sendWindow?: number;
  /** What was promised to the peer. */
  receiveWindow?: number;
}

export class SocketHost {
  readonly namespace = `${namespacePrefix(process.pid)}0prx`;
  /** Number of the device that every leg uses. */
  readonly ifindex: number;
  /** Number of a device that is down. */
  readonly deadIfindex: number;
  readonly #directory = mkdtempSync(join(tmpdir(), 'symsplice-sockets-'));
  readonly #program: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;
  #next = 0;
  #open = new Set<number>();

  constructor() {
    process.once('exit', this.#clean);
    const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8' });
    const inside = (...args: string[]): string => ip('-n', this.namespace, ...args);
    ip('netns', 'add', this.namespace);
    inside('link', 'set', 'lo', 'up');
    inside('link', 'add', 'leg', 'address', '02:00:00:00:00:02', 'type', 'veth', 'peer', 'name', 'wire');
    for (const device of ['leg', 'wire']) inside('link', 'set', device, 'up');
    for (const family of [4, 6] as const) {
      const { client, toClient, toServer, server } = hosts[family];
      for (const local of [toClient, toServer]) {
        inside(
          'address',
          'add',
          `${local}/${family === 4 ? 24 : 64}`,
          'dev',
          'leg',
          ...(family === 6 ? ['nodad'] : []),
        );
      }
      for (const remote of [client, server]) {
        inside('neighbour', 'add', remote, 'lladdr', '02:00:00:00:00:01', 'dev', 'leg', 'nud', 'permanent');
      }
    }
    const { behindTunnel, server } = hosts[6];
    inside('route', 'add', behindTunnel, 'encap', 'seg6', 'mode', 'inline', 'segs', server, 'dev', 'leg');
    inside('link', 'add', 'dead', 'type', 'veth', 'peer', 'name', 'deadwire');
    const indexOf = (device: string): number => Number(/^(\d+):/.exec(inside('link', 'show', device))![1]);
    this.ifindex = indexOf('leg');
    this.deadIfindex = indexOf('dead');
    const program = join(this.#directory, 'sockets');
    execFileSync('cc', ['-O1', '-Wall', '-pthread', '-o', program, `${root}/test/bpf/sockets.c`]);
    this.#program = spawn('ip', ['netns', 'exec', this.namespace, program]);
    this.#lines = createInterface(this.#program.stdout)[Symbol.asyncIterator]();
  }

  async #ask(line: string): Promise<void> {
    this.#program.stdin.write(`${line}\n`);
    const { value } = (await this.#lines.next()) as { value: string | undefined };
    if (value !== 'ok') throw new Error(`${line}: ${value ?? 'sockets.c has ended'}`);
  }

  /** The local socket of a connection. */
  async open(connection: Connection, state: SocketState): Promise<LocalSocket> {
    const id = this.#next++ % 64;
    const { timestamps = true, sack = true, peerScale = 7, ownScale = 7, mss = 1460 } = state;
    const words = [
      ...[connection.local, connection.localPort, connection.remote, connection.remotePort],
      ...[state.writeSeq, state.readSeq, (timestamps ? 1 : 0) | (sack ? 2 : 0), peerScale | (ownScale << 4), mss],
      ...[state.sendWindow ?? 65536, state.receiveWindow ?? 65536],
    ];
    await this.#ask(`open ${id} ${words.join(' ')}`);
    this.#open.add(id);
    return {
      queue: (count) => this.#ask(`queue ${id} ${count}`),
      read: (count) => this.#ask(`read ${id} ${count}`),
      write: (count) => this.#ask(`write ${id} ${count}`),
      arrives: (segment) => this.#ask(`wire ${id} wire ${build(segment).toString('hex')}`),
      whileLocked: async (run) => {
        await this.#ask(`hold ${id}`);
        try {
          run();
        } finally {
          await this.#ask(`let ${id}`);
        }
      },
      shut: () => this.#ask(`shut ${id}`),
      sign: () => this.#ask(`sign ${id}`),
      close: () => this.#close(id),
    };
  }

  async #close(id: number): Promise<void> {
    this.#open.delete(id);
    await this.#ask(`close ${id}`);
  }

  /** Closes what a test has left open. */
  async clear(): Promise<void> {
    for (const id of [...this.#open]) await this.#close(id);
  }

  readonly #clean = (): void => {
    sweepLab(process.pid);
    rmSync(this.#directory, { recursive: true, force: true });
  };

  async close(): Promise<void> {
    this.#program.stdin.end();
    await once(this.#program, 'exit');
    process.off('exit', this.#clean);
    this.#clean();
  }
}

export interface LocalSocket {
  /** So many bytes have arrived and wait to be read. */
  queue(count: number): Promise<void>;
  read(count: number): Promise<void>;
  write(count: number): Promise<void>;
  /** What its peer sends, by the wire: no program is attached. */
  arrives(segment: Segment): Promise<void>;
  /** Runs this while a process is in the middle of reading a byte, and so holds the socket's lock. */
  whileLocked(run: () => void): Promise<void>;
  /** Sends FIN. */
  shut(): Promise<void>;
  /** TCP-MD5. */
  sign(): Promise<void>;
  /** By TCP_REPAIR: without a word. */
  close(): Promise<void>;
}
