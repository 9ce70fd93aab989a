/**
 * A client whose bytes a test writes itself and whose responses it gets taken apart: to pipeline, to read slowly or not
 * at all, to hang up anywhere. In the process of the test.
 */
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import { ByteStream, StreamEnded, type Ending } from './byte-stream.js';
import { within } from './children.js';
import { fieldLines, Head, readChunked, readHead, type FieldList } from './http-message.js';

export interface Response {
  readonly status: number;
  readonly version: string;
  readonly head: Head;
  /** Those before it: 1xx. */
  readonly interim: readonly Head[];
  /** Empty where the content went to `take`. */
  readonly body: Buffer;
  readonly trailers: FieldList;
  /** How its end was to be known. */
  readonly framing: 'none' | 'length' | 'chunked' | 'close';
  /** False: the connection ended first. One without a length is whole if it ended by FIN. */
  readonly whole: boolean;
  /** How the connection ended, where that was seen. */
  readonly ending: Ending | undefined;
  get(name: string): string | undefined;
}

export interface ReadOptions {
  /** Of the request. **Default:** `GET`. */
  readonly method?: string;
  /** Takes the content, instead of keeping it. */
  readonly take?: (piece: Buffer) => void;
}

export interface ConnectOptions {
  readonly host?: string;
  /** An address of our own, such as 127.0.0.5. */
  readonly from?: string;
  readonly tls?: ConnectionOptions;
  /** Bounds every wait. */
  readonly limitMs?: number;
}

export interface RequestOptions {
  readonly method?: string;
  readonly fields?: FieldList;
  readonly body?: string | Buffer;
  readonly version?: string;
}

/** A request as a decent client writes it; Host and Content-Length unless there are any. */
export function requestBytes(target: string, options: RequestOptions = {}): Buffer {
  const { method = 'GET', fields = [], body, version = 'HTTP/1.1' } = options;
  const has = (name: string): boolean => fields.some(([key]) => key.toLowerCase() === name);
  const host: FieldList = has('host') ? [] : [['Host', 'site.example']];
  const content = body === undefined ? undefined : Buffer.from(body);
  const framed = content === undefined || has('content-length') || has('transfer-encoding');
  const length: FieldList = framed ? [] : [['Content-Length', String(content.length)]];
  const head = Buffer.from(
    `${method} ${target} ${version}\r\n${fieldLines([...host, ...fields, ...length])}\r\n`,
    'latin1',
  );
  return content === undefined ? head : Buffer.concat([head, content]);
}

export class RawClient {
  readonly stream: ByteStream;
  readonly socket: Socket;

  private constructor(socket: Socket, limitMs?: number) {
    this.socket = socket;
    this.stream = new ByteStream(socket, limitMs);
  }

  static async connect(port: number, options: ConnectOptions = {}): Promise<RawClient> {
    const { host = '127.0.0.1', from, tls } = options;
    const place = { host, port, allowHalfOpen: true, noDelay: true, ...(from !== undefined && { localAddress: from }) };
    const socket = tls === undefined ? connectTcp(place) : connectTls({ ...place, rejectUnauthorized: false, ...tls });
    const ready = new Promise<void>((resolve, reject) => {
      socket.once(tls === undefined ? 'connect' : 'secureConnect', resolve);
      socket.once('error', reject);
    });
    await within(ready, 10_000, () => `no connection to ${host}:${port}`);
    socket.removeAllListeners('error');
    return new RawClient(socket, options.limitMs);
  }

  send(bytes: string | Buffer): void {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  }

  request(target: string, options?: RequestOptions): void {
    this.send(requestBytes(target, options));
  }

  /** The next final response with its content. Undefined if the connection ends before its first byte. */
  async response({ method = 'GET', take }: ReadOptions = {}): Promise<Response | undefined> {
    const interim: Head[] = [];
    let head = await readHead(this.stream);
    while (head !== undefined && statusOf(head) < 200 && statusOf(head) !== 101) {
      interim.push(head);
      head = await readHead(this.stream);
    }
    if (head === undefined) return undefined;
    const framing = framingOf(head, method);
    const pieces: Buffer[] = [];
    const sink = take ?? ((piece: Buffer) => void pieces.push(piece));
    let trailers: FieldList = [];
    let whole = true;
    try {
      if (framing === 'length') await this.stream.each(Number(head.get('content-length')), sink);
      else if (framing === 'chunked') trailers = await readChunked(this.stream, sink);
      else if (framing === 'close') {
        for (let piece = await this.stream.some(); piece !== undefined; piece = await this.stream.some()) sink(piece);
        whole = this.stream.ending === 'fin';
      }
    } catch (error) {
      if (!(error instanceof StreamEnded)) throw error;
      whole = false;
    }
    const found = head;
    return {
      status: statusOf(head),
      version: head.start.slice(0, 8),
      head,
      interim,
      body: Buffer.concat(pieces),
      trailers,
      framing,
      whole,
      ending: this.stream.ending,
      get: (name) => found.get(name),
    };
  }

  /** The same; it must be there. */
  async answer(options?: ReadOptions): Promise<Response> {
    const response = await this.response(options);
    if (response === undefined) throw new Error(`the connection ended (${this.stream.ending}) without a response`);
    return response;
  }

  /** What is left on the connection, and how it ends. */
  rest(): Promise<{ readonly bytes: Buffer; readonly ending: Ending }> {
    return this.stream.rest();
  }

  /** FIN. */
  finish(): void {
    this.socket.end();
  }

  reset(): void {
    this.socket.resetAndDestroy();
  }

  close(): void {
    this.socket.destroy();
  }
}

function statusOf(head: Head): number {
  const status = /^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(head.start)?.[1];
  if (status === undefined) throw new Error(`no status line: ${JSON.stringify(head.start)}`);
  return Number(status);
}

function framingOf(head: Head, method: string): Response['framing'] {
  const status = statusOf(head);
  if (method === 'HEAD' || status === 204 || status === 304 || status === 101) return 'none';
  if (method === 'CONNECT' && status < 300) return 'none';
  const length = head.all('content-length');
  const coding = head.get('transfer-encoding');
  if (coding !== undefined) {
    if (coding !== 'chunked' || length.length > 0)
      throw new Error(`a response that could be read in two ways:\n${head.raw}`);
    return 'chunked';
  }
  if (length.length > 1) throw new Error(`two lengths:\n${head.raw}`);
  return length.length === 1 ? 'length' : 'close';
}

/** One request on a connection of its own. */
export async function ask(
  port: number,
  target: string,
  options: RequestOptions & ConnectOptions & Pick<ReadOptions, 'take'> = {},
): Promise<Response> {
  const client = await RawClient.connect(port, options);
  try {
    client.request(target, { ...options, fields: [...(options.fields ?? []), ['Connection', 'close']] });
    const { method, take } = options;
    return await client.answer({ ...(method !== undefined && { method }), ...(take !== undefined && { take }) });
  } finally {
    client.close();
  }
}
