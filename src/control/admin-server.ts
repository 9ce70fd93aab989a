/**
 * The admin endpoint: metrics and health over HTTP for monitoring. Reads only; changing anything needs the control
 * socket. Runs in the main thread beside the relay.
 */
import { createServer } from 'node:http';
import { SpliceError } from '../errors.js';
import { formatAddress } from '../server/config-address.js';
import type { HostPort } from '../server/config-address.js';
import { closeServer, HTTP_LIMITS, json, routeListener, text } from './http-routes.js';
import type { Metrics } from './metrics.js';

/** Scrapers need a few; the rest is somebody else's appetite for descriptors. */
const MAX_CONNECTIONS = 64;

const INDEX =
  'symsplice splice-socks\n\n/metrics  Prometheus metrics\n/health   200 while serving, 503 while draining\n';

export interface AdminServer {
  readonly address: HostPort;
  close(): Promise<void>;
}

/** Listens on `address`; port 0 is resolved in the result. @throws SpliceError ERR_SPLICE_LISTEN. */
export async function startAdminServer(options: {
  readonly address: HostPort;
  readonly metrics: Metrics;
  readonly draining: () => boolean;
  readonly failed: (error: unknown) => void;
}): Promise<AdminServer> {
  const { address, metrics, draining, failed } = options;
  const { registry } = metrics;
  const server = createServer(
    HTTP_LIMITS,
    routeListener(
      {
        '/': { GET: () => text(200, INDEX) },
        '/metrics': {
          GET: async () => ({ status: 200, type: registry.contentType, body: await registry.metrics() }),
        },
        '/health': { GET: () => (draining() ? json(503, { status: 'draining' }) : json(200, { status: 'ok' })) },
      },
      failed,
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
