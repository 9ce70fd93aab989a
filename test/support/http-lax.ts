/**
 * Origins that are lax: each reads requests in a way that some server in the world does, or did. What a proxy lets
 * through to one of them must not become two requests. They only ever say `200`, and remember what they took for
 * requests. Raw sockets; beside them stand Node's own server, strict and lax.
 */
import { createServer as createHttpServer } from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';

export interface Dialect {
  readonly name: string;
  /** A line may end with LF alone. */
  readonly bareLf?: boolean;
  /** ... or with CR alone. */
  readonly bareCr?: boolean;
  /** Content-Length counts even beside a Transfer-Encoding. */
  readonly lengthFirst?: boolean;
  /** Which of several lengths. */
  readonly which?: 'first' | 'last';
  /** Number() or parseInt() instead of digits: `+5`, `5, 5`, `0x5`. */
  readonly looseNumbers?: boolean;
  /** Any mention of chunked, in whatever letters and with whatever around it. */
  readonly looseChunked?: boolean;
  /** White space (or any control character) around a field's name is no part of it. */
  readonly looseNames?: boolean;
}

export const dialects: readonly Dialect[] = [
  { name: 'bare line feeds, loose names', bareLf: true, looseNames: true, looseChunked: true },
  { name: 'bare carriage returns', bareCr: true, bareLf: true, looseNames: true },
  { name: 'length before coding', lengthFirst: true, bareLf: true, looseNumbers: true, which: 'first' },
  { name: 'last length, loose numbers', lengthFirst: true, looseNumbers: true, which: 'last', looseNames: true },
];

export interface SeenOrigin {
  readonly name: string;
  readonly port: number;
  /** Request lines, in order. */
  readonly seen: string[];
  close(): Promise<void>;
}

/** How many bytes of `text` are one request in that dialect; undefined: it is not whole yet; its line and its end. */
function takeRequest(text: string, dialect: Dialect): { readonly line: string; readonly end: number } | undefined {
  const newline =
    dialect.bareCr === true ? '(?:\\r\\n|\\n|\\r(?!\\n))' : dialect.bareLf === true ? '\\r?\\n' : '\\r\\n';
  const begin = new RegExp(`^(?:${newline})*`).exec(text)?.[0].length ?? 0;
  const end = new RegExp(`${newline}${newline}`).exec(text.slice(begin));
  if (end === null) return undefined;
  const lines = text.slice(begin, begin + end.index).split(new RegExp(newline));
  const body = begin + end.index + end[0].length;
  const [line = '', ...fields] = lines;
  const values = (name: string): string[] =>
    fields.flatMap((field) => {
      const colon = field.indexOf(':');
      const raw = field.slice(0, colon);
      const key = dialect.looseNames === true ? raw.replace(/[\x00-\x20\x7f]/g, '').replaceAll('_', '-') : raw;
      return key.toLowerCase() === name ? [field.slice(colon + 1).trim()] : [];
    });
  const codings = values('transfer-encoding');
  const chunked = codings.some((value) =>
    dialect.looseChunked === true ? /chunked/i.test(value) : value === 'chunked',
  );
  const lengths = values('content-length').map((value) =>
    dialect.looseNumbers === true ? Number.parseInt(value.replace(/^[^0-9-]*/, '')) || 0 : Number(value) || 0,
  );
  const length = (dialect.which === 'last' ? lengths.at(-1) : lengths[0]) ?? 0;
  if (chunked && !(dialect.lengthFirst === true && lengths.length > 0)) {
    const stop = endOfChunks(text, body);
    return stop === undefined ? undefined : { line, end: stop };
  }
  const stop = body + Math.max(0, length);
  return text.length < stop ? undefined : { line, end: stop };
}

/** Sizes as strtol() reads them, lines that end with LF. */
function endOfChunks(text: string, from: number): number | undefined {
  for (let at = from; ;) {
    const newline = text.indexOf('\n', at);
    if (newline < 0) return undefined;
    const size = Math.max(0, Number.parseInt(text.slice(at, newline).trim(), 16) || 0);
    at = newline + 1;
    if (size === 0) {
      const stop = /^(?:[^\r\n]+\r?\n)*\r?\n/.exec(text.slice(at));
      return stop === null ? undefined : at + stop[0].length;
    }
    at += size;
    const behind = /^\r?\n/.exec(text.slice(at))?.[0];
    if (text.length <= at) return undefined;
    at += behind?.length ?? 0;
  }
}

const ANSWER = 'HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 2\r\n\r\nok';

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error('the origin has no port');
  return bound.port;
}

async function stop(server: Server, sockets: Set<Socket>): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve));
  for (const socket of sockets) socket.destroy();
  await closed;
}

export async function startLax(dialect: Dialect): Promise<SeenOrigin> {
  const seen: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    let text = '';
    socket.on('data', (bytes: Buffer) => {
      text += bytes.toString('latin1');
      for (let request = takeRequest(text, dialect); request !== undefined; request = takeRequest(text, dialect)) {
        seen.push(request.line);
        text = text.slice(request.end);
        socket.write(ANSWER);
      }
    });
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
  });
  const port = await listen(server);
  return { name: dialect.name, port, seen, close: () => stop(server, sockets) };
}

/** Node's own server; lax: with `insecureHTTPParser`. */
export async function startNode(lax: boolean): Promise<SeenOrigin> {
  const seen: string[] = [];
  const sockets = new Set<Socket>();
  const server = createHttpServer({ insecureHTTPParser: lax, keepAliveTimeout: 60_000 }, (request, response) => {
    seen.push(`${request.method} ${request.url}`);
    request.resume();
    response.setHeader('cache-control', 'no-store');
    request.on('end', () => response.end('ok'));
  });
  server.on('clientError', (_error, socket) => {
    // A connection that the proxy merely closes or resets is none.
    if (socket.writable) socket.end('HTTP/1.1 400 Bad\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
  });
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  const port = await listen(server);
  return { name: lax ? 'Node, lax' : 'Node, strict', port, seen, close: () => stop(server, sockets) };
}
