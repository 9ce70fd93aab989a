/** The little that the control and admin servers need of HTTP: fixed paths, fixed methods, small answers. */
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';

export interface Answer {
  readonly status: number;
  readonly type?: string;
  readonly body: string;
}

/** For each path, what each method does. HEAD is answered from GET. */
export type Routes = Readonly<
  Record<string, Readonly<Partial<Record<'GET' | 'POST', () => Promise<Answer> | Answer>>>>
>;

export function json(status: number, value: unknown): Answer {
  return { status, type: 'application/json', body: `${JSON.stringify(value)}\n` };
}

export function text(status: number, body: string): Answer {
  return { status, body };
}

/** Bounds every resource that an idle or hostile peer could hold. */
export const HTTP_LIMITS = {
  requestTimeout: 10_000,
  headersTimeout: 5_000,
  keepAliveTimeout: 5_000,
  maxHeaderSize: 8 * 1024,
} as const;

export function routeListener(routes: Routes, failed: (error: unknown) => void): RequestListener {
  const table = new Map(Object.entries(routes));
  return (request, response) => {
    // Bodies are not used by any route; reading them to the end keeps the connection usable.
    request.resume();
    answer(table, request)
      .catch((error: unknown) => {
        failed(error);
        return text(500, 'internal error\n');
      })
      .then((result) => send(request, response, result))
      .catch(failed);
  };
}

type Table = ReadonlyMap<string, Routes[string]>;

async function answer(table: Table, request: IncomingMessage): Promise<Answer & { allow?: string }> {
  const route = table.get((request.url ?? '/').split('?')[0] ?? '/');
  if (route === undefined) return text(404, `not found; try ${[...table.keys()].join(' ')}\n`);
  const method = request.method === 'HEAD' ? 'GET' : request.method;
  const handler = method === 'GET' || method === 'POST' ? route[method] : undefined;
  if (handler !== undefined) return await handler();
  const allow = Object.keys(route)
    .flatMap((name) => (name === 'GET' ? ['GET', 'HEAD'] : [name]))
    .join(', ');
  return { ...text(405, `use ${allow}\n`), allow };
}

function send(request: IncomingMessage, response: ServerResponse, result: Answer & { allow?: string }): void {
  response.statusCode = result.status;
  response.setHeader('content-type', result.type ?? 'text/plain; charset=utf-8');
  response.setHeader('cache-control', 'no-store');
  if (result.allow !== undefined) response.setHeader('allow', result.allow);
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
