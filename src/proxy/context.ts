/** What the connections of one HTTP server share. Made by src/server/http-server.ts; one a thread. */
import type { MetricCounts } from '../control/metric-counts.js';
import type { SpliceEngine } from '../engine/engine.js';
import type { Tap } from '../engine/tap.js';
import type { DeadlineQueue } from '../flow/deadlines.js';
import type { Limits } from '../flow/limits.js';
import type { Group } from '../flow/roster.js';
import type { Logger } from '../server/logging.js';
import type { AccessSink } from './access.js';
import type { BodyClock } from './body-clock.js';
import type { ClientConnection } from './client-connection.js';
import type { CacheDesk } from './cache-desk.js';
import type { Exchange } from './exchange.js';
import type { OriginPool } from './origin-pool.js';
import type { Site } from './site.js';
import type { Tunnel } from './tunnel.js';

export interface ProxyContext {
  readonly engine: SpliceEngine;
  readonly tap: Tap;
  /** Of content that is copied: who waits too long. */
  readonly clock: BodyClock;
  readonly pool: OriginPool;
  /** Undefined: no cache. */
  readonly desk: CacheDesk | undefined;
  readonly limits: Limits;
  readonly access: AccessSink;
  /** Of connections and tunnels, as splice-socks has them. */
  readonly metrics: MetricCounts;
  readonly logger: Logger;
  /** Replaced as a whole at a reload; an exchange keeps the one that it began with. */
  site: Site;
  /** No connection is used again: each closes behind the exchange that is under way. */
  draining: boolean;
  readonly connections: Set<ClientConnection>;
  readonly exchanges: Group<Exchange>;
  readonly tunnels: Set<Tunnel>;
  /** Connections from which a head, or its rest, is awaited; and those between two requests. */
  readonly heads: DeadlineQueue<ClientConnection>;
  readonly idle: DeadlineQueue<ClientConnection>;
  /** Called when a connection, an exchange or a tunnel has left. */
  onLeave(): void;
}
