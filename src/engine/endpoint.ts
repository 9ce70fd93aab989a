/**
 * Stage splice: the two forms in which a connection reaches the engine, a Node socket or a raw
 * descriptor, and how either becomes what a backend needs. This is the only file that touches
 * inner parts of Node's sockets; test/unit/engine/endpoint.test.ts pins what it relies on.
 */
import { Socket, type Server } from 'node:net';
import { TLSSocket } from 'node:tls';
import { SpliceArgumentError, SpliceError, SpliceStateError } from '../errors.js';
import { native } from '../native.js';

export type Endpoint = { kind: 'socket'; socket: Socket } | { kind: 'descriptor'; fd: number };

/** The handle behind a net.Socket: libuv's stream, as Node names its parts. */
interface StreamHandle {
  readonly fd: number;
  /** Takes a descriptor for its own, before it has one; 0 or a negative errno. */
  open?(fd: number): number;
  reading?: boolean;
  readStart(): number;
  readStop(): number;
}

function handleOf(socket: Socket): StreamHandle | undefined {
  const handle = (socket as unknown as { _handle?: StreamHandle | null })._handle;
  return handle ?? undefined;
}

export function toEndpoint(value: Socket | number, role: string): Endpoint {
  if (typeof value === 'number') {
    if (!Number.isInteger(value) || value < 0) throw new SpliceArgumentError(`${role}: ${value} is no file descriptor`);
    return { kind: 'descriptor', fd: value };
  }
  if (value instanceof Socket) return { kind: 'socket', socket: value };
  throw new SpliceArgumentError(`${role}: give a net.Socket or a file descriptor`);
}

/** Throws unless the connection is established and both its directions can still be used. */
export function requireEstablished(method: string, endpoint: Endpoint, role: string): void {
  if (endpoint.kind === 'descriptor') {
    const error = native().connectedStream(endpoint.fd);
    if (error === '') return;
    if (error === 'ENOTCONN') throw new SpliceStateError(method, `the ${role} is not connected`, 'connect it first');
    throw new SpliceArgumentError(`${role}: descriptor ${endpoint.fd} is no connected stream socket (${error})`);
  }
  const { socket } = endpoint;
  if (socket.destroyed)
    throw new SpliceStateError(method, `the ${role} is destroyed`, 'a closed connection cannot be spliced');
  if (socket.connecting || socket.pending) {
    throw new SpliceStateError(method, `the ${role} is connecting`, 'wait for its "connect" event');
  }
  if (socket.writableEnded) {
    throw new SpliceStateError(
      method,
      `the ${role} has been ended`,
      'create its server or socket with allowHalfOpen: true, so that a FIN from the peer does not end it',
    );
  }
  if (socket.readableEncoding !== null) {
    // A decoder keeps half characters and replaces what it does not know: the bytes cannot be had back.
    throw new SpliceStateError(method, `the ${role} decodes its bytes to strings`, 'do not call setEncoding() on it');
  }
}

/** Throws unless the upstream is connected or can still become so. */
export function requireConnectable(method: string, upstream: Endpoint): void {
  if (upstream.kind === 'descriptor') {
    const error = native().connectedStream(upstream.fd);
    if (error === '' || error === 'ENOTCONN') return;
    throw new SpliceArgumentError(`upstream: descriptor ${upstream.fd} is no stream socket (${error})`);
  }
  if (upstream.socket.destroyed) throw new SpliceStateError(method, 'the upstream is destroyed', 'give a new one');
}

/** True when the bytes on the wire are not the bytes of the stream. */
export function isEncrypted(endpoint: Endpoint): boolean {
  return endpoint.kind === 'socket' && endpoint.socket instanceof TLSSocket;
}

/** Why no descriptor can be had of this endpoint, or undefined. */
export function refuseDescriptor(endpoint: Endpoint, role: string): string | undefined {
  if (endpoint.kind === 'descriptor') return undefined;
  if (isEncrypted(endpoint)) return `the ${role} is TLS: its bytes must pass through user space`;
  const handle = handleOf(endpoint.socket);
  if (handle === undefined || handle.fd < 0) return `the ${role} has no descriptor`;
  // A connection that broke a moment ago is no reason: whoever carries it will say how it ended.
  const error = native().connectedStream(handle.fd);
  return error === '' || error === 'ENOTCONN' ? undefined : `the ${role} is no stream socket (${error})`;
}

/**
 * Nobody but the engine reads from now on; what was read stays in the stream's buffer. The
 * function that it returns gives the stream back as it was, flowing or not.
 */
export function stopReading(endpoint: Endpoint): () => void {
  if (endpoint.kind === 'descriptor') return () => undefined;
  const { socket } = endpoint;
  const flowing = socket.readableFlowing === true;
  socket.pause();
  const handle = handleOf(socket);
  if (handle !== undefined && !isEncrypted(endpoint)) {
    handle.reading = false;
    handle.readStop();
  }
  return () => {
    startReading(socket);
    if (flowing && !socket.destroyed) socket.resume();
  };
}

/** Node reads again, into the stream's buffer. Resuming the stream is not enough: it takes a read that was stopped for one under way. */
export function startReading(socket: Socket): void {
  const handle = handleOf(socket);
  if (handle === undefined || socket.destroyed || handle.reading !== false) return;
  handle.reading = true;
  handle.readStart();
}

/** Resolves when the kernel has taken all that was written to the stream. */
export async function flushed(endpoint: Endpoint): Promise<void> {
  if (endpoint.kind === 'descriptor' || endpoint.socket.writableLength === 0) return;
  const { socket } = endpoint;
  while (socket.writableCorked > 0) socket.uncork();
  await new Promise<void>((resolve, reject) => {
    const lost = (cause?: Error | null): void => {
      reject(new SpliceError('ERR_SPLICE_SYSTEM', 'the connection broke before its reply was written', { cause }));
    };
    socket.once('close', lost);
    socket.write(new Uint8Array(0), (error) => {
      socket.off('close', lost);
      if (error) lost(error);
      else resolve();
    });
  });
}

export interface Taken {
  fd: number;
  /** Bytes that Node had read already. */
  head: Uint8Array | undefined;
}

/**
 * Takes the caller's listeners off while the engine reads the stream: a read of ours would emit
 * `data` to them, and theirs at `readable` would take our bytes. The result puts them back.
 */
export function muteListeners(socket: Socket, ...events: ('data' | 'readable')[]): () => void {
  const muted = events.flatMap((event) =>
    socket.rawListeners(event).map((listener) => ({ event, listener: listener as () => void })),
  );
  for (const { event, listener } of muted) socket.off(event, listener);
  return () => {
    for (const { event, listener } of muted) socket.on(event, listener);
  };
}

function readBuffered(socket: Socket, most: number): Uint8Array | undefined {
  const length = Math.min(socket.readableLength, most);
  if (length === 0) return undefined;
  const unmute = muteListeners(socket, 'data');
  const bytes = socket.read(length) as Buffer | null;
  unmute();
  return bytes ?? undefined;
}

/** Descriptors that outlive Node's own: both, or neither when the process has run out of them. */
function duplicatePair(client: Endpoint, upstream: Endpoint): [number, number] {
  const clientFd = duplicateOf(client);
  try {
    return [clientFd, duplicateOf(upstream)];
  } catch (error) {
    if (client.kind === 'socket') native().close(clientFd);
    throw error;
  }
}

function duplicateOf(endpoint: Endpoint): number {
  return endpoint.kind === 'descriptor' ? endpoint.fd : duplicate(handleOf(endpoint.socket)!.fd);
}

function duplicate(fd: number): number {
  try {
    return native().duplicate(fd);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new SpliceError('ERR_SPLICE_SYSTEM', `a connection cannot be taken over: ${why}`, { cause });
  }
}

export interface Lent extends Taken {
  /** Ends the loan before anything was used of it: the head goes back into the stream's buffer. */
  giveBack(): void;
  /**
   * Makes the loan a gift: Node closes its own descriptor, and no FIN is sent, because ours keeps
   * the connection alive.
   */
  keep(): void;
}

/**
 * Lends two connections, with all that Node has read of them.
 * @throws SpliceError `ERR_SPLICE_SYSTEM` when descriptors have run out; nothing was taken then
 */
export function lendPair(client: Endpoint, upstream: Endpoint): [Lent, Lent] {
  const [clientFd, upstreamFd] = duplicatePair(client, upstream);
  return [lent(client, clientFd), lent(upstream, upstreamFd)];
}

function lent(endpoint: Endpoint, fd: number): Lent {
  const { head, giveBack } = borrowBuffered(endpoint, Number.MAX_SAFE_INTEGER);
  if (endpoint.kind === 'descriptor') return { fd, head, giveBack, keep: () => undefined };
  return {
    fd,
    head,
    giveBack: () => {
      native().close(fd);
      giveBack();
    },
    keep: () => void endpoint.socket.destroy(),
  };
}

/** Takes at most so many of the bytes that Node has read; the function puts them back. Node reads nothing meanwhile. */
export function borrowBuffered(
  endpoint: Endpoint,
  most: number,
): { head: Uint8Array | undefined; giveBack: () => void } {
  if (endpoint.kind === 'descriptor') return { head: undefined, giveBack: () => undefined };
  const { socket } = endpoint;
  const head = readBuffered(socket, most);
  // Only now, for taking bytes from the buffer makes Node read on; and it reads nothing before its next turn.
  stopReading(endpoint);
  return { head, giveBack: () => void (head !== undefined && socket.unshift(head)) };
}

/** Takes two connections away from Node for good: the descriptors, and the bytes that were read. Throws as {@link lendPair}. */
export function takePair(client: Endpoint, upstream: Endpoint): [Taken, Taken] {
  const pair = lendPair(client, upstream);
  for (const loan of pair) loan.keep();
  return pair;
}

/**
 * Gives a socket that is about to connect the descriptor that `make` returns; a negative one says that there is none.
 * A socket that has one already (it is bound) keeps it, and `make` is not called.
 */
export function openHandle(socket: Socket, make: () => number): void {
  const handle = handleOf(socket);
  if (handle?.open === undefined || handle.fd >= 0) return;
  const fd = make();
  if (fd >= 0 && handle.open(fd) !== 0) native().close(fd);
}

/** The descriptor as it is, to look at; undefined when there is none. */
export function peekDescriptor(endpoint: Endpoint): number | undefined {
  return endpoint.kind === 'descriptor' ? endpoint.fd : handleOf(endpoint.socket)?.fd;
}

/** The descriptor of a server that listens, to look at; undefined where another process listens for it (cluster). */
export function listenerDescriptor(server: Server): number | undefined {
  const fd = (server as unknown as { _handle?: Partial<StreamHandle> | null })._handle?.fd;
  return fd === undefined || fd < 0 ? undefined : fd;
}

/**
 * The connection as a stream that may be half-closed, for backends that need the bytes here. A
 * descriptor is wrapped; with `lend` a duplicate is, so that the caller's stays open.
 */
export function toStream(endpoint: Endpoint, lend: boolean): Socket {
  if (endpoint.kind === 'descriptor') {
    return new Socket({ fd: lend ? duplicate(endpoint.fd) : endpoint.fd, allowHalfOpen: true });
  }
  endpoint.socket.allowHalfOpen = true;
  return endpoint.socket;
}

/**
 * Whether the "end" of a stream that we have not ended ourselves was a reset: libuv reports one
 * that comes behind unread bytes as an end of stream.
 */
export function wasReset(socket: Socket): boolean {
  const fd = handleOf(socket)?.fd ?? -1;
  return fd >= 0 && native().connectedStream(fd) === 'ENOTCONN';
}

/** Closes by RST. For every kind of socket: Node's own resetAndDestroy() throws for TLS and unix sockets. */
export function resetSocket(socket: Socket): void {
  const fd = handleOf(socket)?.fd ?? -1;
  if (fd >= 0) native().resetOnClose(fd);
  socket.destroy();
}
