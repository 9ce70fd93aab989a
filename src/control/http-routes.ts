/** The little that the control and admin servers need of HTTP: fixed paths, fixed methods, small bodies both ways. */
import type { IncomingHttpHeaders, IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';

export interface Answer {
  readonly status: number;
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string;
}

/** One request, as a route sees it. */
export interface Call {
  readonly method: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  /** The body as text; undefined: longer than is sensible, or not UTF-8. */
  body(): Promise<string | undefined>;
}

const METHODS = ['GET', 'POST', 'PURGE'] as const;
type Method = (typeof METHODS)[number];
export type Handler = (call: Call) => Promise<Answer> | Answer;
/** For each path, what each method does. HEAD is answered from GET. */
export type Routes = Readonly<Record<string, Readonly<Partial<Record<Method, Handler>>>>>;

/** Looks at a request before its route does. An answer is the end of it. */
export type Guard = (path: string, call: Call) => Answer | undefined;

export function json(status: number, value: unknown): Answer {
  return { status, type: 'application/json', body: `${JSON.stringify(value)}\n` };
}

export function text(status: number, body: string): Answer {
  return { status, body };
}

/** What went wrong, for programs (`code` is stable) and for people, and what to do next. */
export function problem(status: number, code: string, error: string, next: string): Answer {
  return json(status, { code, error, next });
}

/** Bounds every resource that an idle or hostile peer could hold. */
export const HTTP_LIMITS = {
  requestTimeout: 10_000,
  headersTimeout: 5_000,
  keepAliveTimeout: 5_000,
  maxHeaderSize: 8 * 1024,
} as const;
const MOST_BODY_BYTES = 64 * 1024;

export function routeListener(routes: Routes, failed: (error: unknown) => void, guard?: Guard): RequestListener {
  const table = new Map(Object.entries(routes));
  return (request, response) => {
    answer(table, request, guard)
      .catch((error: unknown) => {
        failed(error);
        return text(500, 'internal error\n');
      })
      .then((result) => send(request, response, result))
      .catch(failed);
  };
}

type Table = ReadonlyMap<string, Routes[string]>;

async function answer(table: Table, request: IncomingMessage, guard: Guard | undefined): Promise<Answer> {
  const url = request.url ?? '/';
  const mark = url.indexOf('?');
  const path = mark === -1 ? url : url.slice(0, mark);
  const call: Call = {
    method: request.method ?? '',
    query: new URLSearchParams(mark === -1 ? '' : url.slice(mark + 1)),
    headers: request.headers,
    body: () => readBody(request),
  };
  const refused = guard?.(path, call);
  if (refused !== undefined) return refused;
  const route = table.get(path);
  if (route === undefined) return text(404, `not found; try ${[...table.keys()].join(' ')}\n`);
  const method = METHODS.find((name) => name === (request.method === 'HEAD' ? 'GET' : request.method));
  const handler = method === undefined ? undefined : route[method];
  if (handler !== undefined) return await handler(call);
  const allow = Object.keys(route)
    .flatMap((name) => (name === 'GET' ? ['GET', 'HEAD'] : [name]))
    .join(', ');
  return { ...text(405, `use ${allow}\n`), headers: { allow } };
}

async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MOST_BODY_BYTES) return undefined;
    chunks.push(chunk);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
  } catch {
    return undefined;
  }
}

function send(request: IncomingMessage, response: ServerResponse, result: Answer): void {
  // What no route has read is read to the end, which keeps the connection usable.
  request.resume();
  response.statusCode = result.status;
  response.setHeader('content-type', result.type ?? 'text/plain; charset=utf-8');
  response.setHeader('cache-control', 'no-store');
  for (const [name, value] of Object.entries(result.headers ?? {})) response.setHeader(name, value);
  response.setHeader('content-length', Buffer.byteLength(result.body));
  response.end(request.method === 'HEAD' ? undefined : result.body);
}

/** Stops listening and cuts what is still open; resolves when the server is gone. */
export function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
