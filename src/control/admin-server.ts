/**
 * The admin endpoint: metrics and health over HTTP for monitoring, and of a splice-http the cache, with purges. It steers
 * nothing else; that needs the control socket. Runs in the main thread beside the relay.
 */
import { createServer } from 'node:http';
import { SpliceError } from '../errors.js';
import { formatAddress } from '../server/config-address.js';
import type { HostPort } from '../server/config-address.js';
import type { CacheActions } from './http-actions.js';
import { cacheRoutes } from './http-cache-routes.js';
import { adminGuard } from './http-guard.js';
import { closeServer, HTTP_LIMITS, json, routeListener, text } from './http-routes.js';
import type { Metrics } from './metrics.js';

/** Scrapers need a few; the rest is somebody else's appetite for descriptors. */
const MAX_CONNECTIONS = 64;

const INDEX = '/metrics  Prometheus metrics\n/health   200 while serving, 503 while draining\n';
const CACHE_INDEX =
  '/cache    numbers of the cache; /cache/lookup?url=URL: what is stored under it\n' +
  '/purge    POST {"url": URL} or {"prefix": URL} or {"tag": TAG}, with "mode": "soft" to keep it as stale\n';

export interface AdminServer {
  readonly address: HostPort;
  close(): Promise<void>;
}

/** What a splice-http has in addition. */
export interface AdminHttp {
  /** Undefined: it keeps no cache. */
  readonly cache: CacheActions | undefined;
  /** What callers have to show, see {@link adminGuard}. **Default:** nothing. */
  readonly token?: () => string | undefined;
  /** Names of the endpoint, beside the one it listens on. */
  readonly names?: readonly string[];
}

/** Listens on `address`; port 0 is resolved in the result. @throws SpliceError ERR_SPLICE_LISTEN. */
export async function startAdminServer(options: {
  readonly address: HostPort;
  readonly metrics: Metrics;
  readonly draining: () => boolean;
  readonly failed: (error: unknown) => void;
  /** Undefined in a splice-socks: it has no routes for a cache. */
  readonly http?: AdminHttp | undefined;
}): Promise<AdminServer> {
  const { address, metrics, draining, failed, http } = options;
  const { registry } = metrics;
  const index =
    http === undefined ? `symsplice splice-socks\n\n${INDEX}` : `symsplice splice-http\n\n${INDEX}${CACHE_INDEX}`;
  const names = [...(http?.names ?? []), address.host];
  const server = createServer(
    HTTP_LIMITS,
    routeListener(
      {
        '/': { GET: () => text(200, index) },
        '/metrics': {
          GET: async () => ({ status: 200, type: registry.contentType, body: await registry.metrics() }),
        },
        '/health': { GET: () => (draining() ? json(503, { status: 'draining' }) : json(200, { status: 'ok' })) },
        ...(http !== undefined && cacheRoutes(http.cache)),
      },
      failed,
      http && adminGuard({ token: http.token ?? (() => undefined), names }),
    ),
  );
  server.maxConnections = MAX_CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(
        new SpliceError(
          'ERR_SPLICE_LISTEN',
          `admin endpoint ${formatAddress(address)}: ${cause.message}; choose another address with --admin`,
          { cause },
        ),
      ),
    );
    server.listen({ host: address.host, port: address.port }, resolve);
  });
  server.on('error', failed);
  const bound = server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : address.port;
  return { address: { host: address.host, port }, close: () => closeServer(server) };
}
