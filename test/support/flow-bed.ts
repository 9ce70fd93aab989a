/**
 * Loopback connections for tests of the engine. A flow needs two: the client's and the server's.
 * Of each, `near` is the end that the engine gets and `far` the end that the test plays.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { native } from '../../src/native.js';

export interface Pair {
  readonly near: net.Socket;
  readonly far: net.Socket;
}

export interface Bed {
  /** What the engine gets. */
  readonly client: net.Socket;
  readonly upstream: net.Socket;
  /** What the test plays: the program behind the client's connection, and the server. */
  readonly caller: net.Socket;
  readonly server: net.Socket;
}

/** One TCP connection over 127.0.0.1; both ends may be half-closed, and the near end is not read yet. */
export async function connectPair(): Promise<Pair> {
  const listener = net.createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const accepted = once(listener, 'connection') as Promise<[net.Socket]>;
  const far = net.connect({ port: portOf(listener), host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
  const [[near]] = await Promise.all([accepted, once(far, 'connect')]);
  listener.close();
  // Resets are looked at where a test asks for them.
  near.on('error', () => undefined);
  far.on('error', () => undefined);
  return { near, far };
}

export function portOf(listener: net.Server): number {
  return (listener.address() as net.AddressInfo).port;
}

/** A port on which every further connect hangs: nobody accepts, and the backlog is full. */
export async function hangingPort(): Promise<{ port: number; dispose: () => void }> {
  const fd = native().listen('127.0.0.1', 0, 0, false);
  const local = native().describe(fd).local!;
  const port = (local[1]! << 8) | local[2]!;
  // A backlog of 0 takes one connection.
  const first = net.connect(port, '127.0.0.1');
  first.on('error', () => undefined);
  await once(first, 'connect');
  return {
    port,
    dispose: () => {
      first.destroy();
      native().close(fd);
    },
  };
}

export async function makeBed(): Promise<Bed> {
  const [client, upstream] = await Promise.all([connectPair(), connectPair()]);
  return { client: client.near, upstream: upstream.near, caller: client.far, server: upstream.far };
}

/** The descriptor behind a socket, taken away from Node: ours to hand over or to close. */
export function rawDescriptor(socket: net.Socket): number {
  const fd = native().duplicate(descriptorOf(socket));
  socket.destroy();
  return fd;
}

export function descriptorOf(socket: net.Socket): number {
  return (socket as unknown as { _handle: { fd: number } })._handle.fd;
}

/** What a stream brings until its FIN; rejects when it breaks. */
export async function readAll(socket: net.Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** Until there may be something to read, or never again. */
function change(socket: net.Socket): Promise<void> {
  return new Promise((resolve) => {
    const events = ['readable', 'end', 'close'];
    const done = (): void => {
      for (const event of events) socket.off(event, done);
      resolve();
    };
    for (const event of events) socket.on(event, done);
  });
}

/** Exactly so many bytes; what comes behind them stays in the stream. */
export async function readBytes(socket: net.Socket, length: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let missing = length;
  while (missing > 0) {
    const chunk = socket.read(Math.min(missing, socket.readableLength || missing)) as Buffer | null;
    if (chunk !== null) {
      chunks.push(chunk);
      missing -= chunk.length;
    } else if (socket.readableEnded || socket.destroyed) {
      throw new Error(`the stream ended ${missing} bytes early`);
    } else {
      await change(socket);
    }
  }
  return Buffer.concat(chunks);
}

/**
 * Waits until the kernel has given the connection up because of a reset, whatever is unread in it. Node itself
 * reports a reset behind unread bytes as an end.
 */
export async function resetArrives(socket: net.Socket): Promise<void> {
  await until('a reset arrives', () => !stillThere(socket));
}

/** Resolves when a socket is closed, for whatever reason: `once(socket, 'close')` would reject if it breaks meanwhile. */
export async function untilClosed(socket: net.Socket): Promise<void> {
  if (!socket.closed) await new Promise<void>((resolve) => socket.once('close', () => resolve()));
}

/** Whether the kernel has not given the connection up. */
function stillThere(socket: net.Socket): boolean {
  return !socket.destroyed && native().connectedStream(descriptorOf(socket)) !== 'ENOTCONN';
}

/** How the far end of a broken connection is told: the code of its error, or what it saw instead. */
export async function fateOf(socket: net.Socket): Promise<string> {
  if (socket.errored !== null) return (socket.errored as NodeJS.ErrnoException).code ?? 'error';
  return new Promise((resolve) => {
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'));
    // libuv says "end" for a reset too that it meets in one look with the last bytes. The kernel knows better, unless both
    // sides have ended, which leaves no connection either.
    socket.once('end', () => resolve(socket.writableEnded || stillThere(socket) ? 'FIN' : 'ECONNRESET'));
    socket.once('close', () => resolve('closed'));
    socket.resume();
  });
}

export const bytesOf = (length: number): Buffer => randomBytes(length);

/** Waits for a state, not for a time: asks until it is there. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  withinMs = 60_000,
): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`);
    await sleep(5);
  }
}

/** Milliseconds between two looks of {@link settled}. */
const LOOK_MS = 10;

/** Waits until a number has stopped changing for a while, and returns it. */
export async function settled(read: () => number, quietMs = 300): Promise<number> {
  let value = read();
  // Looks, and not a clock: a process that was held up has seen no event meanwhile.
  for (let quiet = 0; quiet < quietMs / LOOK_MS; quiet++) {
    await sleep(LOOK_MS);
    const now = read();
    if (now === value) continue;
    value = now;
    quiet = -1;
  }
  return value;
}

/** Descriptors that this process holds: sockets, ends of pipes, and all. */
export function descriptors(): { all: number; sockets: number; pipes: number } {
  const counts = { all: 0, sockets: 0, pipes: 0 };
  for (const name of readdirSync('/proc/self/fd')) {
    let target: string;
    try {
      target = readlinkSync(`/proc/self/fd/${name}`);
    } catch {
      continue; // the directory's own
    }
    counts.all++;
    if (target.startsWith('socket:')) counts.sockets++;
    if (target.startsWith('pipe:')) counts.pipes++;
  }
  return counts;
}

/** Ends every socket of a bed, whatever state it is in. */
export function clear(...sockets: net.Socket[]): void {
  for (const socket of sockets) {
    socket.on('error', () => undefined);
    socket.destroy();
  }
}
