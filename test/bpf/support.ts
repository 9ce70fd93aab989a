/** Ring 2 on sockets: where it must run, connected pairs whose far ends the test plays, and what the verdict counted. */
import { existsSync, readFileSync } from 'node:fs';
import { once } from 'node:events';
import { createServer, connect, type Server, type Socket } from 'node:net';
import { release } from 'node:os';
import { fileURLToPath } from 'node:url';
import { CLOSE_REASON_NAMES, type CloseReason } from '../../src/abi.gen.js';
import { BpfObject } from '../../src/engine/bpf-object.js';
import { native, REPORT_WORDS, type Sockmap } from '../../src/native.js';

export const root = fileURLToPath(new URL('../..', import.meta.url));

/**
 * Why BPF need not work here, or undefined where it must: then its absence is a failure, not a skip.
 * @param least the oldest kernel on which it must: what the program in question is known to load on
 */
export function bpfExcused(least: readonly [major: number, minor: number] = [6, 6]): string | undefined {
  if (process.geteuid?.() !== 0) return 'needs root';
  const [major = 0, minor = 0] = release().split('.').map(Number);
  if (major < least[0] || (major === least[0] && minor < least[1])) {
    return `needs Linux ${least.join('.')}, this is ${release()}`;
  }
  if (!existsSync('/sys/kernel/btf/vmlinux')) return 'needs a kernel with BTF (CONFIG_DEBUG_INFO_BTF)';
  return undefined;
}

/** Names of the verdict's counters, in the order of their slots, from the contract itself. */
export function counterNames(): string[] {
  const header = readFileSync(`${root}/include/splice/sockmap.h`, 'utf8');
  return [...header.matchAll(/^\tX\((\w+),\s*\d+\)/gm)].map((match) => match[1]!);
}

export interface Ended {
  reason: CloseReason;
  errno: number;
  bytesUp: number;
  bytesDown: number;
  durationMs: number;
}

/** The far end of one leg, and the descriptor that the proxy would hold. */
export interface Leg {
  peer: Socket;
  fd: number;
}

/** A loaded sockmap object with its thread, and a listener that makes legs. One a test file. */
export class Bench {
  readonly object: BpfObject;
  readonly sockmap: Sockmap;
  readonly #ends = new Map<number, (end: Ended) => void>();
  readonly #server: Server;
  // By the far end's port: a connection that nobody has asked for yet, or who asked before it came.
  readonly #arrived = new Map<number, Socket>();
  readonly #awaited = new Map<number, (socket: Socket) => void>();

  private constructor(server: Server, limit: number | undefined) {
    this.#server = server;
    this.object = BpfObject.open('sockmap', { sizes: { peers: 256, halves: 256, copied: 256 } });
    this.object.load();
    this.sockmap = new (native().Sockmap)(this.object.native, limit === undefined ? {} : { limit }, (words) => {
      for (let i = 0; i < words.length; i += REPORT_WORDS) {
        const [id, reason, errno, bytesUp, bytesDown, durationMs] = words.slice(i, i + 6);
        this.#ends.get(id!)?.({
          reason: CLOSE_REASON_NAMES[reason!]!,
          errno: errno!,
          bytesUp: bytesUp!,
          bytesDown: bytesDown!,
          durationMs: durationMs!,
        });
        this.#ends.delete(id!);
      }
    });
    server.on('connection', (socket) => {
      const port = socket.remotePort!;
      const waiting = this.#awaited.get(port);
      if (waiting === undefined) this.#arrived.set(port, socket);
      else waiting(socket);
    });
  }

  static async open(limit?: number): Promise<Bench> {
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new Bench(server, limit);
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the server does not listen on TCP');
    return address.port;
  }

  /** Hands out the descriptor of the connection that comes from this port, away from Node. */
  async accept(remotePort: number): Promise<number> {
    const socket =
      this.#arrived.get(remotePort) ?? (await new Promise<Socket>((resolve) => this.#awaited.set(remotePort, resolve)));
    this.#arrived.delete(remotePort);
    this.#awaited.delete(remotePort);
    const handle = (socket as unknown as { _handle: { fd: number } })._handle;
    const fd = native().duplicate(handle.fd);
    socket.destroy();
    await once(socket, 'close');
    return fd;
  }

  async leg(): Promise<Leg> {
    const peer = connect({ port: this.port, host: '127.0.0.1', allowHalfOpen: true });
    await once(peer, 'connect');
    return { peer, fd: await this.accept(peer.localPort!) };
  }

  start(
    client: number,
    upstream: number,
    more: { idleMs?: number; reply?: Uint8Array; clientHead?: Uint8Array; upstreamHead?: Uint8Array } = {},
  ): { id: number; closed: Promise<Ended> } {
    const id = this.sockmap.add(client, upstream, more.idleMs ?? 0, more.reply, more.clientHead, more.upstreamHead);
    if (id < 0) throw new Error(`insertion failed: errno ${-id}`);
    return { id, closed: new Promise((resolve) => this.#ends.set(id, resolve)) };
  }

  /** What the verdict has counted so far, by name. */
  counts(): Record<string, number> {
    const names = counterNames();
    return Object.fromEntries(this.object.counters('counters').map((value, slot) => [names[slot]!, value]));
  }

  /** Entries left in all maps of flows. */
  entries(): number {
    return ['peers', 'halves', 'copied'].reduce((sum, map) => sum + this.object.native.keys(map).length, 0);
  }

  close(): void {
    this.sockmap.stop();
    this.object.close();
    this.#server.close();
  }
}
