/** node git-http.js ROOT PORT: serves git repositories over HTTP by running `git http-backend` as a CGI program (RFC 3875). */
import { spawn } from 'node:child_process';
import http from 'node:http';

const [root = '.', port = '8081'] = process.argv.slice(2);

/** Splits a CGI answer into its header fields and what has come of the body. */
function parseHead(text: Buffer): { status: number; fields: [string, string][]; rest: Buffer } | undefined {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const fields = text
    .subarray(0, end)
    .toString('latin1')
    .split('\r\n')
    .map((line): [string, string] => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]);
  const status = fields.find(([name]) => name.toLowerCase() === 'status')?.[1] ?? '200';
  return {
    status: Number.parseInt(status, 10),
    fields: fields.filter(([name]) => name.toLowerCase() !== 'status'),
    rest: text.subarray(end + 4),
  };
}

http
  .createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://srv.lab');
    const backend = spawn('git', ['http-backend'], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: {
        ...process.env,
        GIT_PROJECT_ROOT: root,
        GIT_HTTP_EXPORT_ALL: '1',
        REQUEST_METHOD: request.method ?? 'GET',
        PATH_INFO: url.pathname,
        QUERY_STRING: url.search.slice(1),
        CONTENT_TYPE: request.headers['content-type'] ?? '',
        HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
        HTTP_GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
        REMOTE_USER: 'lab',
        ...(request.headers['content-length'] === undefined
          ? {}
          : { CONTENT_LENGTH: request.headers['content-length'] }),
      },
    });
    // The backend may answer an error without reading the request to its end.
    backend.stdin.on('error', () => undefined);
    request.pipe(backend.stdin);
    let head = Buffer.alloc(0);
    backend.stdout.on('data', (chunk: Buffer) => {
      if (response.headersSent) {
        response.write(chunk);
        return;
      }
      head = Buffer.concat([head, chunk]);
      const parsed = parseHead(head);
      if (parsed === undefined) return;
      response.writeHead(parsed.status, Object.fromEntries(parsed.fields));
      response.write(parsed.rest);
    });
    backend.on('close', () => response.end());
  })
  .listen(Number(port), '::');
