/**
 * Backend `copy`: Node's streams carry the bytes. The last resort, the reference in tests, and
 * the way for connections whose bytes must pass through user space (TLS).
 *
 * Node watches a socket only while it reads or writes it. A reset of a side that is not read (its
 * FIN has come, or the other side is blocked) is therefore met with the next byte, not before.
 */
import { constants } from 'node:os';
import type { Socket } from 'node:net';
import type { CloseReason } from '../abi.gen.js';
import type { Backend, Carrier, Handover } from './backend.js';
import type { FlowEnd } from './flow.js';
import type { Endpoint } from './endpoint.js';
import { muteListeners, resetSocket, startReading, stopReading, toStream, wasReset } from './endpoint.js';

/** One direction. `ended`: its FIN was passed on. */
interface Direction {
  from: Socket;
  to: Socket;
  fromReset: CloseReason;
  toReset: CloseReason;
  bytes: number;
  left: number;
  ended: boolean;
}

export class CopyBackend implements Backend {
  readonly name = 'copy';
  readonly #flows = new Set<CopyFlow>();

  refuse(): undefined {
    return undefined;
  }

  start(handover: Handover, onEnd: (end: FlowEnd) => void): Carrier {
    const flow: CopyFlow = new CopyFlow(handover, (end) => {
      this.#flows.delete(flow);
      onEnd(end);
    });
    this.#flows.add(flow);
    return flow;
  }

  stop(): void {
    for (const flow of this.#flows) flow.abort();
  }
}

class CopyFlow implements Carrier {
  readonly #up: Direction;
  readonly #down: Direction;
  readonly #bounded: Direction | undefined;
  /** Duplicates of a bounded flow's descriptors, ours to close. */
  readonly #wrapped: Socket[] = [];
  readonly #onEnd: (end: FlowEnd) => void;
  readonly #started = performance.now();
  #activeAt = this.#started;
  #idle: NodeJS.Timeout | undefined;
  #over = false;
  readonly #undo: (() => void)[] = [];
  readonly #unmute: (() => void)[] = [];

  constructor(handover: Handover, onEnd: (end: FlowEnd) => void) {
    this.#onEnd = onEnd;
    const { bound } = handover;
    const client = this.#stream(handover.client, bound !== undefined);
    let upstream: Socket;
    try {
      upstream = this.#stream(handover.upstream, bound !== undefined);
    } catch (error) {
      for (const socket of this.#wrapped) socket.destroy();
      throw error;
    }
    const limit = (direction: 'up' | 'down'): number => (bound?.direction === direction ? bound.maxBytes : Infinity);
    this.#up = {
      from: client,
      to: upstream,
      fromReset: 'client-reset',
      toReset: 'upstream-reset',
      bytes: 0,
      left: limit('up'),
      ended: false,
    };
    this.#down = {
      from: upstream,
      to: client,
      fromReset: 'upstream-reset',
      toReset: 'client-reset',
      bytes: 0,
      left: limit('down'),
      ended: false,
    };
    this.#bounded = bound === undefined ? undefined : bound.direction === 'up' ? this.#up : this.#down;
    // What the other direction brings is the caller's to read.
    if (bound !== undefined) stopReading({ kind: 'socket', socket: bound.direction === 'up' ? upstream : client });
    client.setNoDelay(true);
    upstream.setNoDelay(true);
    if (handover.idleMs > 0) this.#watchIdle(handover.idleMs);
    if (handover.reply !== undefined) client.write(handover.reply);
    // Never inside the constructor: the caller has no carrier yet.
    queueMicrotask(() => {
      if (this.#over) return;
      for (const direction of [this.#up, this.#down]) {
        if (this.#bounded === undefined || this.#bounded === direction) {
          this.#carry(direction, direction === this.#up ? handover.clientHead : handover.upstreamHead);
        } else {
          this.#listen(direction.from, 'error', (error) => this.#finish(direction.fromReset, error));
        }
      }
    });
  }

  counters(): { bytesUp: number; bytesDown: number; idleMs: number; state: 'relay' | 'teardown' } {
    const state = this.#up.ended || this.#down.ended ? 'teardown' : 'relay';
    return { bytesUp: this.#up.bytes, bytesDown: this.#down.bytes, idleMs: performance.now() - this.#activeAt, state };
  }

  abort(): void {
    this.#finish('aborted');
  }

  #stream(endpoint: Endpoint, lend: boolean): Socket {
    const stream = toStream(endpoint, lend);
    if (endpoint.kind === 'descriptor' && lend) this.#wrapped.push(stream);
    if (endpoint.kind === 'socket') this.#unmute.push(muteListeners(stream, 'data', 'readable'));
    return stream;
  }

  #carry(direction: Direction, head: Uint8Array | undefined): void {
    const { from, to } = direction;
    startReading(from);
    if (head !== undefined && head.length > 0) this.#pass(direction, head);
    this.#listen(from, 'readable', () => this.#pump(direction));
    this.#listen(to, 'drain', () => this.#pump(direction));
    this.#listen(from, 'end', () => this.#ended(direction));
    this.#listen(from, 'error', (error) => this.#finish(direction.fromReset, error));
    this.#listen(from, 'close', () => {
      // Closed with neither end nor error: destroyed by somebody else.
      if (!direction.ended && !from.readableEnded) this.#finish('error');
    });
    if (from.readableEnded) this.#ended(direction);
    else this.#pump(direction);
  }

  // read(n) rather than 'data': a bounded direction must not take more than its share.
  #pump(direction: Direction): void {
    const { from, to } = direction;
    while (!this.#over && !to.writableNeedDrain) {
      if (direction.left === 0) {
        this.#limited(direction);
        return;
      }
      const length = Math.min(from.readableLength, direction.left);
      const chunk = (length > 0 ? from.read(length) : from.read()) as Buffer | null;
      if (chunk === null) return;
      this.#pass(direction, chunk);
    }
  }

  #pass(direction: Direction, chunk: Uint8Array): void {
    direction.bytes += chunk.length;
    direction.left -= chunk.length;
    this.#activeAt = performance.now();
    this.#idle?.refresh();
    direction.to.write(chunk);
  }

  #limited(direction: Direction): void {
    // Handed back only when the bytes have left: the caller writes right behind them.
    direction.to.write(new Uint8Array(0), (error) => this.#finish(error ? direction.toReset : 'limit', error));
  }

  #ended(direction: Direction): void {
    if (this.#over || direction.ended) return;
    const other = direction === this.#up ? this.#down : this.#up;
    if (!other.ended && wasReset(direction.from)) {
      this.#finish(direction.fromReset, Object.assign(new Error('reset behind unread bytes'), { code: 'ECONNRESET' }));
      return;
    }
    direction.ended = true;
    if (this.#bounded !== undefined) {
      direction.to.write(new Uint8Array(0), (error) => this.#finish(error ? direction.toReset : 'end', error));
      return;
    }
    direction.to.end(() => {
      if (this.#up.ended && this.#down.ended && this.#up.to.writableFinished && this.#down.to.writableFinished)
        this.#finish('end');
    });
  }

  #watchIdle(idleMs: number): void {
    this.#idle = setTimeout(() => this.#finish('idle'), idleMs);
  }

  #listen(socket: Socket, event: string, listener: (error?: Error) => void): void {
    socket.on(event, listener);
    this.#undo.push(() => socket.off(event, listener));
  }

  // Sockets close with FIN when all was relayed, else with RST: a cut stream never looks whole.
  // Those of a bounded flow go back to the caller.
  #finish(reason: CloseReason, cause?: Error | null): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#idle);
    for (const undo of this.#undo) undo();
    const end: FlowEnd = {
      reason,
      errno: errnoOf(cause),
      bytesUp: this.#up.bytes,
      bytesDown: this.#down.bytes,
      durationMs: performance.now() - this.#started,
    };
    if (this.#bounded === undefined) {
      this.#close(reason === 'end');
    } else {
      this.#handBack(this.#bounded, end);
      for (const unmute of this.#unmute) unmute();
    }
    this.#onEnd(end);
  }

  #close(whole: boolean): void {
    for (const socket of [this.#up.from, this.#down.from]) {
      // A late error of a socket that we are done with must not become an uncaught exception.
      socket.on('error', () => undefined);
      if (whole) socket.destroy();
      else resetSocket(socket);
    }
  }

  #handBack(bounded: Direction, end: FlowEnd): void {
    if (this.#wrapped.includes(bounded.from)) {
      stopReading({ kind: 'socket', socket: bounded.from });
      const leftover = bounded.from.read() as Buffer | null;
      if (leftover !== null) end.leftover = leftover;
    }
    for (const socket of this.#wrapped) socket.destroy();
  }
}

function errnoOf(error: Error | null | undefined): number {
  const code = (error as NodeJS.ErrnoException | null | undefined)?.code;
  return code === undefined ? 0 : ((constants.errno as Record<string, number>)[code] ?? 0);
}
