/**
 * Stage splice for bodies of messages, the TCP tap: header in TypeScript, body by the kernel. Checks what may be called
 * when, lends sockets and files to the addon and gives them back, part by part. Protocol layers decide what a body is
 * and what a lost client or a full disk means; no byte passes through here. The mover is addon/tap_body.h.
 */
import { Socket } from 'node:net';
import { SpliceArgumentError, SpliceError, SpliceStateError, throwUncaught } from '../errors.js';
import { native, REPORT_WORDS, type Tap as NativeTap, type TapEnd, type TapSettings } from '../native.js';
import {
  borrowBuffered,
  flushed,
  peekDescriptor,
  refuseDescriptor,
  requireEstablished,
  stopReading,
  toEndpoint,
  type Endpoint,
} from './endpoint.js';
import { errnoOf, syscallOf } from './errno-of.js';
import { timerOf } from './options.js';
import { join } from './reported-flows.js';
import { requireNumber } from './require.js';
import { TapBody, partEndOf, type TapPartName } from './tap-body.js';
import {
  common,
  descriptorOf,
  requireBody,
  tapSettings,
  type FileLike,
  type RelayBodyOptions,
  type SendFileOptions,
  type TapOptions,
} from './tap-options.js';

/** Gives a body to the addon, with this descriptor for its file (-1: none), and returns its number. */
type Start = (file: number) => number;

/** Sockets that a body reads, and that one writes: not two at a time either way. */
const read = new WeakSet<Socket>();
const written = new WeakSet<Socket>();

/**
 * @example
 * const tap = new Tap();
 * const body = tap.relayBody(origin, client, { length, file, growth, prefix: head, withoutClient: true });
 * const received = await body.received; // the origin is free for its next request
 * if (received?.end === 'complete') growth.complete();
 * else growth.fail();
 * await body.delivered; // and now the client
 */
export class Tap {
  readonly #settings: TapSettings;
  readonly #bodies = new Map<number, TapBody>();
  /** Bodies that wait until a Node socket has written what it holds. */
  readonly #waiting = new Set<TapBody>();
  readonly #words = new Float64Array(3);
  #tap: NativeTap | undefined;
  #closing: Promise<void> | undefined;

  /** Threads start with the first body. @throws SpliceError `ERR_SPLICE_ARGUMENT` */
  constructor(options: TapOptions = {}) {
    this.#settings = tapSettings(options);
  }

  /**
   * Moves a body from a source to a client, and into a file on the way. Nothing beyond it is read of the source, and
   * nothing at all of the client. While a body is under way nobody else may read its source or write to its client.
   *
   * With a file a client that is slow does not slow the source: it is served from the file. A file that takes no more
   * (see `stored`) does not end the body for the client, which then sets the pace.
   *
   * A client that was not delivered the body complete is in the middle of it: all that is left to do is to destroy it,
   * which sends RST then, so that a cut body never looks whole. The same holds for a source that was not received
   * complete.
   * @param client undefined: the body is only for the file
   * @throws SpliceError `ERR_SPLICE_ARGUMENT`, `ERR_SPLICE_STATE`, `ERR_SPLICE_SYSTEM`; both sockets are as before then
   */
  relayBody(source: Socket | number, client: Socket | number | undefined, options: RelayBodyOptions = {}): TapBody {
    this.#requireOpen('relayBody');
    requireBody(options);
    requireNumber('sourceIdleMs', options.sourceIdleMs ?? 0, 0, Infinity);
    if (client === undefined && options.file === undefined) throw new SpliceArgumentError('relayBody: to nobody');
    if (client === source) throw new SpliceArgumentError('relayBody: source and client are the same');
    if (options.growth !== undefined && options.file === undefined)
      throw new SpliceArgumentError('growth: only together with a file');
    const given = options.head?.length ?? 0;
    if (given > (options.length ?? Infinity))
      throw new SpliceArgumentError(`length: the head alone has ${given} bytes`);
    const file = options.file === undefined ? undefined : descriptorOf(options.file);
    const from = endpointOf('relayBody', source, 'source', read);
    const to = client === undefined ? undefined : endpointOf('relayBody', client, 'client', written);
    const parts: TapPartName[] = ['source'];
    if (file !== undefined) parts.push('file');
    if (to !== undefined) parts.push('client');
    const body = new TapBody(parts);
    const restore = stopReading(from);
    const giveBack = (): void => {
      release(from, read);
      restore();
    };
    claim(from, read);
    body.onEnd('source', giveBack);
    try {
      this.#begin(body, to, file, (fd) => this.#relay(from, to, fd, options));
    } catch (error) {
      giveBack();
      throw error;
    }
    // Not to be collected while it grows: it would fail.
    body.onEnd('file', () => void options.growth);
    return body;
  }

  /**
   * Sends a range of a file to a client. Bytes that are sent must not be written again, nor the file be cut: pages on
   * their way are the file's own.
   * @throws SpliceError as {@link relayBody}
   */
  sendFile(file: FileLike, client: Socket | number, options: SendFileOptions): TapBody {
    this.#requireOpen('sendFile');
    requireBody(options);
    if (options.length === undefined && options.growth === undefined)
      throw new SpliceArgumentError('length: needed where there is no growth');
    const from = descriptorOf(file);
    const to = endpointOf('sendFile', client, 'client', written);
    const { growth } = options;
    const number = typeof growth === 'number' ? growth : growth?.number;
    const body = new TapBody(['client']);
    this.#begin(body, to, from, (fd) => this.#native.send(fd, fdOf(to), { ...common(options), growth: number }));
    body.onEnd('client', () => void growth);
    return body;
  }

  #relay(from: Endpoint, to: Endpoint | undefined, file: number, options: RelayBodyOptions): number {
    const given = options.head?.length ?? 0;
    const borrowed = borrowBuffered(from, (options.length ?? Infinity) - given);
    try {
      return this.#native.relay(fdOf(from), fdOf(to), file, {
        ...common(options),
        growth: options.growth?.number,
        head: join(options.head, borrowed.head),
        withoutClient: options.withoutClient,
        sourceIdleMs: timerOf(options.sourceIdleMs ?? 0),
      });
    } catch (cause) {
      borrowed.giveBack();
      throw cause;
    }
  }

  /** Ends every body and the threads; all ends are known when this resolves. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    const bodies = [...this.#bodies.values(), ...this.#waiting];
    await Promise.all(
      bodies.map((body) => {
        body.abort();
        return body.closed;
      }),
    );
    this.#tap?.stop();
  }

  get #native(): NativeTap {
    return (this.#tap ??= new (native().Tap)(this.#settings, (words) => this.#deliver(words)));
  }

  #requireOpen(method: string): void {
    if (this.#closing !== undefined) throw new SpliceStateError(method, 'the tap is closed', 'make a new one');
  }

  /** Starts at once, or when the client's stream has written what it holds: its bytes come before ours. */
  #begin(body: TapBody, to: Endpoint | undefined, file: number | undefined, start: Start): void {
    if (to?.kind === 'socket' && to.socket.writableLength > 0) {
      // The caller may close its own at once.
      const own = file === undefined ? undefined : native().duplicate(file);
      void this.#beginLater(body, to, own, start);
    } else {
      this.#launch(body, start, file);
    }
    if (to === undefined) return;
    claim(to, written);
    body.onEnd('client', () => release(to, written));
  }

  #launch(body: TapBody, start: Start, file: number | undefined): void {
    const id = translated(() => start(file ?? -1));
    this.#bodies.set(id, body);
    body.carriedBy({ counters: () => this.#counters(id), abort: () => this.#tap!.abort(id) });
  }

  /** As {@link #begin}, but nobody is calling any more: what fails is a value. */
  async #beginLater(body: TapBody, to: Endpoint, file: number | undefined, start: Start): Promise<void> {
    this.#waiting.add(body);
    const over = (client: TapEnd, others: TapEnd, errno: number): void => {
      if (!this.#waiting.delete(body)) return;
      if (file !== undefined) native().close(file);
      for (const part of body.openParts) {
        const isClient = part === 'client';
        const end = isClient ? client : others;
        body.ended(part, { end, errno: isClient ? errno : 0, bytes: 0, durationMs: 0 });
      }
    };
    body.carriedBy({ counters: () => undefined, abort: () => over('aborted', 'aborted', 0) });
    try {
      await flushed(to);
    } catch (error) {
      over('reset', 'unwanted', errnoOf(error));
    }
    if (!this.#waiting.has(body)) return;
    try {
      this.#launch(body, start, file);
    } catch (error) {
      over('error', 'error', errnoOf(error));
      return;
    }
    this.#waiting.delete(body);
    if (file !== undefined) native().close(file);
  }

  #deliver(words: Float64Array): void {
    for (let at = 0; at < words.length; at += REPORT_WORDS) {
      const id = words[at]!;
      const body = this.#bodies.get(id);
      const { part, end } = partEndOf(words, at);
      try {
        if (body?.ended(part, end) === true) this.#bodies.delete(id);
      } catch (error) {
        throwUncaught(error); // the batch's other bodies must not lose their ends
      }
    }
  }

  #counters(id: number): { received: number; stored: number; delivered: number } | undefined {
    const out = this.#words;
    if (this.#tap?.counters(id, out) !== true) return undefined;
    return { received: out[0]!, stored: out[1]!, delivered: out[2]! };
  }
}

function endpointOf(method: string, value: Socket | number, role: string, claimed: WeakSet<Socket>): Endpoint {
  const endpoint = toEndpoint(value, role);
  if (endpoint.kind === 'descriptor') {
    // One that broke a moment ago is no mistake: its part will say how it ended.
    const error = native().connectedStream(endpoint.fd);
    if (error !== '' && error !== 'ENOTCONN')
      throw new SpliceArgumentError(`${role}: descriptor ${endpoint.fd} is no stream socket (${error})`);
    return endpoint;
  }
  requireEstablished(method, endpoint, role);
  const refusal = refuseDescriptor(endpoint, role);
  if (refusal !== undefined) throw new SpliceArgumentError(`${method}: ${refusal}`);
  if (claimed.has(endpoint.socket))
    throw new SpliceStateError(method, `another body is under way over the ${role}`, 'wait for its end');
  return endpoint;
}

function claim(endpoint: Endpoint, claimed: WeakSet<Socket>): void {
  if (endpoint.kind === 'socket') claimed.add(endpoint.socket);
}

function release(endpoint: Endpoint, claimed: WeakSet<Socket>): void {
  if (endpoint.kind === 'socket') claimed.delete(endpoint.socket);
}

function fdOf(endpoint: Endpoint | undefined): number {
  return endpoint === undefined ? -1 : (peekDescriptor(endpoint) ?? -1);
}

function translated(launch: () => number): number {
  try {
    return launch();
  } catch (cause) {
    if (cause instanceof SpliceError || errnoOf(cause) === 0) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    switch (syscallOf(cause)) {
      case 'growth':
        throw new SpliceStateError('growth', 'nobody has it any more', 'its end has come: look at the file again');
      case 'open':
        throw new SpliceArgumentError(`file: not open for what is to be done with it (${why})`, { cause });
      default:
        throw new SpliceError('ERR_SPLICE_SYSTEM', `a body cannot be started: ${why}`, { cause });
    }
  }
}
