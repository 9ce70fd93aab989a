/**
 * Stage splice: the two forms in which a connection reaches the engine, a Node socket or a raw
 * descriptor, and how either becomes what a backend needs. This is the only file that touches
 * inner parts of Node's sockets; test/unit/engine/endpoint.test.ts pins what it relies on.
 */
import { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { SpliceArgumentError, SpliceError, SpliceStateError } from '../errors.js';
import { native } from '../native.js';

export type Endpoint = { kind: 'socket'; socket: Socket } | { kind: 'descriptor'; fd: number };

/** The handle behind a net.Socket: libuv's stream, as Node names its parts. */
interface StreamHandle {
  readonly fd: number;
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
  if (socket.destroyed) throw new SpliceStateError(method, `the ${role} is destroyed`, 'a closed connection cannot be spliced');
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
  return handle !== undefined && handle.fd >= 0 ? undefined : `the ${role} has no descriptor`;
}

/** Nobody but the engine reads from now on; what was read stays in the stream's buffer. */
export function stopReading(endpoint: Endpoint): void {
  if (endpoint.kind === 'descriptor') return;
  const { socket } = endpoint;
  socket.pause();
  const handle = handleOf(socket);
  if (handle === undefined || isEncrypted(endpoint)) return;
  handle.reading = false;
  handle.readStop();
}

/** Undoes {@link stopReading}: Node reads again, into the stream's buffer. */
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
  /** Bytes that Node had read already, at most `most` of them. */
  head: Uint8Array | undefined;
}

function readBuffered(socket: Socket, most: number): Uint8Array | undefined {
  const length = Math.min(socket.readableLength, most);
  if (length === 0) return undefined;
  const bytes = socket.read(length) as Buffer | string | null;
  return typeof bytes === 'string' ? Buffer.from(bytes, socket.readableEncoding ?? 'utf8') : (bytes ?? undefined);
}

export interface Lent extends Taken {
  /** Ends the loan: the socket reads again where the flow stopped. `unused`: the head was not. */
  giveBack(unused: boolean): void;
  /**
   * Makes the loan a gift: Node closes its own descriptor, and no FIN is sent, because ours keeps
   * the connection alive.
   */
  keep(): void;
}

/** Lends the connection; a Node socket is paused meanwhile. At most `mostHead` buffered bytes come along. */
export function lendDescriptor(endpoint: Endpoint, mostHead: number): Lent {
  if (endpoint.kind === 'descriptor') {
    return { fd: endpoint.fd, head: undefined, giveBack: () => undefined, keep: () => undefined };
  }
  const { socket } = endpoint;
  stopReading(endpoint);
  const fd = native().duplicate(handleOf(socket)!.fd);
  // In one go with the duplicate: nothing can be read in between.
  const head = readBuffered(socket, mostHead);
  return {
    fd,
    head,
    giveBack: (unused) => {
      native().close(fd);
      if (unused && head !== undefined) socket.unshift(head);
      startReading(socket);
    },
    keep: () => void socket.destroy(),
  };
}

/** Takes the connection away from Node for good: the descriptor, and the bytes that were read. */
export function takeDescriptor(endpoint: Endpoint): Taken {
  const lent = lendDescriptor(endpoint, Number.MAX_SAFE_INTEGER);
  lent.keep();
  return lent;
}

/** The descriptor as it is, to look at; undefined when there is none. */
export function peekDescriptor(endpoint: Endpoint): number | undefined {
  return endpoint.kind === 'descriptor' ? endpoint.fd : handleOf(endpoint.socket)?.fd;
}

/**
 * The connection as a stream that may be half-closed, for backends that need the bytes here. A
 * descriptor is wrapped; with `lend` a duplicate is, so that the caller's stays open.
 */
export function toStream(endpoint: Endpoint, lend: boolean): Socket {
  if (endpoint.kind === 'descriptor') {
    return new Socket({ fd: lend ? native().duplicate(endpoint.fd) : endpoint.fd, allowHalfOpen: true });
  }
  endpoint.socket.allowHalfOpen = true;
  return endpoint.socket;
}
