/**
 * One connection, and the page to open first. A client's connection passes five stages, each a
 * file of this folder, which call one another in this order:
 *
 *     accept.ts     a client is there: counted, and its clock started
 *     handshake.ts  what it says is understood, allowed, resolved and connected to
 *     splice.ts     both connections go to the engine
 *     relay.ts      watched, never touched
 *     teardown.ts   counted out, logged, forgotten
 *
 * Every connection ends in teardown.ts, once, from whatever stage.
 */
import type { SpliceEngine } from '../engine/engine.js';
import type { Flow } from '../engine/flow.js';
import type { MetricCounts } from '../control/metric-counts.js';
import type { Logger } from '../server/logging.js';
import type { ReactorHost } from '../server/reactor-host.js';
import type { ConnectRace } from '../socks/connect-race.js';
import { SocksHandshake, type Target } from '../socks/handshake.js';
import type { Rules } from '../socks/rules.js';
import type { Users } from '../socks/users.js';
import type { SocketAddress } from './address.js';
import type { DeadlineQueue } from './deadlines.js';
import type { Limits, Seat } from './limits.js';
import type { Resolver } from './resolver.js';

/** What a server decides by. Replaced as a whole when the configuration is read again. */
export interface Policy {
  users: Users | undefined;
  rules: Rules | undefined;
  idleTimeoutMs: number;
}

/** What the connections of one server share. */
export interface FlowContext {
  readonly host: ReactorHost;
  readonly engine: SpliceEngine;
  readonly resolver: Resolver;
  readonly limits: Limits;
  readonly metrics: MetricCounts;
  readonly logger: Logger;
  policy: Policy;
  readonly handshaking: DeadlineQueue<Connection>;
  readonly connecting: DeadlineQueue<Connection>;
  /** Flows that may come to need no descriptor, to be looked at again; undefined where seats do not stand for descriptors. */
  seated: DeadlineQueue<Connection> | undefined;
  /** Connections whose flow is live. */
  readonly relaying: Set<Connection>;
  /** Called when a connection has left, so that a paused listener may accept again. */
  onLeave(): void;
}

export type Stage = 'handshake' | 'authenticate' | 'connect' | 'relay' | 'over';

export class Connection {
  stage: Stage = 'handshake';
  readonly slot: number;
  readonly client: SocketAddress;
  readonly seat: Seat;
  /** Its seat is somebody else's: the kernel carries it without a descriptor. */
  vacated = false;
  /** Who might log in when it came; a handshake that began with users ends with users. */
  readonly users: Users | undefined;
  readonly startedAt = performance.now();
  readonly handshake: SocksHandshake;
  target: Target | undefined;
  /** The user that was counted against its limit. */
  user: string | undefined;
  race: ConnectRace | undefined;
  /** Attempts under way: slot and address. */
  attempts: { slot: number; address: string }[] = [];
  attemptTimer: NodeJS.Timeout | undefined;
  /** The server's address, once connected. */
  upstream: SocketAddress | undefined;
  flow: Flow | undefined;

  constructor(slot: number, client: SocketAddress, seat: Seat, users: Users | undefined) {
    this.seat = seat;
    this.slot = slot;
    this.client = client;
    this.users = users;
    this.handshake = new SocksHandshake({ requireAuthentication: users !== undefined });
  }
}
