/**
 * An origin that does what a test tells it, byte for byte: a behaviour for each path, which answers, stalls, lies or
 * dies. It keeps every request as it came. No HTTP library, in the process of the test.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { ByteStream, StreamEnded } from './byte-stream.js';
import { fieldLines, Head, pattern, readChunked, readHead, type FieldList } from './http-message.js';

/** A request as it was received. */
export class OriginRequest {
  readonly method: string;
  readonly target: string;
  readonly version: string;
  readonly head: Head;
  /** Which connection it came on, from 1. */
  readonly connection: number;
  trailers: FieldList = [];
  /** Its content, once that has been read. */
  body: Buffer | undefined;
  readonly #stream: ByteStream;

  constructor(head: Head, connection: number, stream: ByteStream) {
    const [method = '', target = '', version = ''] = head.start.split(' ');
    this.method = method;
    this.target = target;
    this.version = version;
    this.head = head;
    this.connection = connection;
    this.#stream = stream;
  }

  get path(): string {
    return this.target.replace(/\?.*$/, '');
  }

  get(name: string): string | undefined {
    return this.head.get(name);
  }

  /** Reads the content to its end. @throws StreamEnded */
  async content(): Promise<Buffer> {
    if (this.body !== undefined) return this.body;
    const pieces: Buffer[] = [];
    await this.each((piece) => pieces.push(piece));
    return (this.body = Buffer.concat(pieces));
  }

  /** The same piece by piece, without keeping it; at most once. */
  async each(take: (piece: Buffer) => void): Promise<void> {
    this.body = Buffer.alloc(0);
    if (this.get('transfer-encoding') !== undefined) this.trailers = await readChunked(this.#stream, take);
    else await this.#stream.each(Number(this.get('content-length') ?? 0), take);
  }

  /** What comes next, without a look at what it means. */
  get stream(): ByteStream {
    return this.#stream;
  }
}

interface Connection {
  readonly socket: Socket;
  /** Below TLS, if there is any. */
  readonly raw: Socket;
  readonly gone: Promise<void>;
}

/** The origin's side of one connection, for one answer. Writing to somebody who is gone does nothing. */
export class Reply {
  readonly #socket: Socket;
  readonly #raw: Socket;
  ended = false;
  /** The peer is gone. */
  readonly gone: Promise<void>;

  constructor({ socket, raw, gone }: Connection) {
    this.#socket = socket;
    this.#raw = raw;
    this.gone = gone;
  }

  /** Resolves when there is room for more. */
  async raw(bytes: string | Buffer): Promise<void> {
    if (this.#socket.destroyed) return;
    const data = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes;
    if (this.#socket.write(data)) return;
    let drained: (() => void) | undefined;
    await Promise.race([new Promise<void>((resolve) => this.#socket.once('drain', (drained = resolve))), this.gone]);
    if (drained !== undefined) this.#socket.off('drain', drained);
  }

  /** Status line and fields; a Date unless there is one. */
  head(status: number, fields: FieldList = []): Promise<void> {
    return this.raw(responseHead(status, fields));
  }

  /** A whole answer with its length. */
  async answer(status: number, fields: FieldList = [], body: string | Buffer = ''): Promise<void> {
    const bytes = Buffer.from(body);
    const head = responseHead(status, [...fields, ['Content-Length', String(bytes.length)]]);
    await this.raw(Buffer.concat([Buffer.from(head, 'latin1'), bytes]));
  }

  chunk(bytes: string | Buffer, extension = ''): Promise<void> {
    const data = Buffer.from(bytes);
    return this.raw(
      Buffer.concat([Buffer.from(`${data.length.toString(16)}${extension}\r\n`), data, Buffer.from('\r\n')]),
    );
  }

  lastChunk(trailers: FieldList = []): Promise<void> {
    return this.raw(`0\r\n${fieldLines(trailers)}\r\n`);
  }

  /** So many bytes of the pattern. */
  async pattern(count: number, { from = 0, seed = 0 } = {}): Promise<void> {
    for (let done = 0; done < count && !this.#socket.destroyed; done += 65_521) {
      await this.raw(pattern(Math.min(65_521, count - done), from + done, seed));
    }
  }

  /** FIN: nothing more will be said on this connection. */
  end(): void {
    this.ended = true;
    this.#socket.end();
  }

  /** FIN without the word with which TLS ends. */
  cut(): void {
    this.ended = true;
    this.#raw.end();
  }

  reset(): void {
    this.ended = true;
    this.#raw.resetAndDestroy();
  }
}

function responseHead(status: number, fields: FieldList): string {
  const dated = fields.some(([name]) => name.toLowerCase() === 'date');
  const date: FieldList = dated || status < 200 ? [] : [['Date', new Date().toUTCString()]];
  return `HTTP/1.1 ${status} Whatever\r\n${fieldLines([...date, ...fields])}\r\n`;
}

/** Answers one request; the next one of the connection is read when it has. */
export type Behaviour = (reply: Reply, request: OriginRequest) => unknown;

type Tls = NonNullable<OriginOptions['tls']>;

/** Takes connections, and gives them on with TLS around them. */
function startTls(tls: Tls, accept: (socket: Socket, raw: Socket) => void): (raw: Socket) => void {
  const raws = new Map<number | undefined, Socket>();
  const options = { ...tls, requestCert: tls.demand === true, rejectUnauthorized: tls.demand === true };
  const server = createTlsServer({ ...options, allowHalfOpen: true }, (socket) => {
    const raw = raws.get(socket.remotePort);
    if (raw !== undefined) accept(socket, raw);
  });
  return (raw) => {
    const { remotePort } = raw;
    raws.set(remotePort, raw);
    raw.on('error', () => undefined);
    raw.once('close', () => raws.delete(remotePort));
    server.emit('connection', raw);
  };
}

export interface OriginOptions {
  readonly host?: string;
  readonly port?: number;
  /** PEM; `demand`: a client without a certificate of `ca` is refused. */
  readonly tls?: { readonly key: string; readonly cert: string; readonly ca?: string; readonly demand?: boolean };
  /** Reads what comes before the first request of a connection. */
  readonly preface?: (stream: ByteStream) => Promise<unknown>;
}

export class Origin {
  readonly port: number;
  readonly url: string;
  /** Every request whose head was read, in that order. */
  readonly requests: OriginRequest[] = [];
  /** What `preface` gave, in the order of the connections. */
  readonly prefaces: unknown[] = [];
  /** Faults of behaviours and of what was received; a test looks at it at its end. */
  readonly faults: unknown[] = [];
  connections = 0;
  readonly #server: Server;
  /** What is below, and what is read from: the same, or with TLS around it. */
  readonly #sockets = new Map<Socket, Socket>();
  readonly #behaviours = new Map<string, Behaviour>();
  readonly #options: OriginOptions;

  private constructor(server: Server, port: number, options: OriginOptions) {
    this.#server = server;
    this.#options = options;
    this.port = port;
    const host = options.host ?? '127.0.0.1';
    this.url = `${options.tls === undefined ? 'http' : 'https'}://${host.includes(':') ? `[${host}]` : host}:${port}`;
  }

  static async start(options: OriginOptions = {}): Promise<Origin> {
    let origin: Origin | undefined;
    const secure =
      options.tls === undefined ? undefined : startTls(options.tls, (...sockets) => origin?.accept(...sockets));
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      if (secure === undefined) origin?.accept(socket, socket);
      else secure(socket);
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ port: options.port ?? 0, host: options.host ?? '127.0.0.1', backlog: 4096 }, resolve);
    });
    const bound = server.address();
    if (bound === null || typeof bound === 'string') throw new Error('the origin has no port');
    origin = new Origin(server, bound.port, options);
    return origin;
  }

  /** What is done for a path (without its query), or for all others: `*`. */
  on(path: string, behaviour: Behaviour): this {
    this.#behaviours.set(path, behaviour);
    return this;
  }

  /** How many requests came for a path. */
  count(path: string): number {
    return this.of(path).length;
  }

  of(path: string): OriginRequest[] {
    return this.requests.filter((request) => request.path === path);
  }

  /** Connections that are open. */
  get open(): number {
    return this.#sockets.size;
  }

  /** @param raw what is below: the same, or the connection that carries TLS */
  accept(socket: Socket, raw: Socket): void {
    const number = ++this.connections;
    this.#sockets.set(raw, socket);
    // Its own: a connection that nobody uses may rest for as long as it likes.
    const stream = new ByteStream(socket, 600_000);
    const gone = new Promise<void>((resolve) => {
      raw.once('close', () => {
        this.#sockets.delete(raw);
        resolve();
      });
    });
    this.#serve({ socket, raw, gone }, stream, number).catch((error: unknown) => {
      // The proxy may hang up where it likes; what is wrong with what it sends is a fault.
      if (!(error instanceof StreamEnded)) this.faults.push(error);
      raw.destroy();
    });
  }

  async #serve(connection: Connection, stream: ByteStream, number: number): Promise<void> {
    const { socket } = connection;
    if (this.#options.preface !== undefined) this.prefaces[number - 1] = await this.#options.preface(stream);
    for (;;) {
      const head = await readHead(stream);
      if (head === undefined) break;
      const request = new OriginRequest(head, number, stream);
      this.requests.push(request);
      const behaviour = this.#behaviours.get(request.path) ?? this.#behaviours.get('*');
      const reply = new Reply(connection);
      if (behaviour === undefined) {
        await request.content();
        await reply.answer(404, [['Cache-Control', 'no-store']], 'nothing here\n');
      } else await behaviour(reply, request);
      if (reply.ended || socket.destroyed) return;
      if (request.body === undefined) await request.content();
    }
    socket.end();
  }

  /** Ends all connections; by reset, so that nobody waits for them. */
  disconnect(): void {
    for (const [raw, socket] of this.#sockets) {
      raw.resetAndDestroy();
      socket.destroy();
    }
  }

  /** Listens no more, as an origin that is down. */
  async close(): Promise<void> {
    // Not its own event: sockets with TLS around them do not tell it of their end.
    this.#server.close();
    this.disconnect();
    await new Promise(setImmediate);
  }
}

/** Opens once; behaviours wait for it. */
export class Gate {
  readonly opened: Promise<void>;
  open!: () => void;

  constructor() {
    this.opened = new Promise((resolve) => (this.open = resolve));
  }
}
