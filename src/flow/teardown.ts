/**
 * Stage teardown: the one way out, from every stage. In order: a) attempts and timers end, b) the
 * client's connection closes so that it gets what was said to it last, c) the connection is
 * counted out, measured and logged. After that no event finds it: its slots have no owner.
 */
import type { FlowEnd } from '../engine/flow.js';
import { logAccess } from '../server/logging.js';
import type { ConnectFailure, HandshakeFailure } from '../socks/failure.js';
import { formatEndpoint } from './address.js';
import type { Connection, FlowContext } from './connection.js';

/** Why a connection ended before relay, where the protocol layer has no word for it. */
export type EarlyEnd = 'client-gone' | 'handshake-timeout' | 'shutdown';

const NO_END: Pick<FlowEnd, 'bytesUp' | 'bytesDown'> = { bytesUp: 0, bytesDown: 0 };

/** The upstream cannot be had: tells the client, truthfully, and ends. */
export function refuse(context: FlowContext, connection: Connection, failure: ConnectFailure): void {
  for (const command of connection.handshake.refused(failure)) {
    if (command.kind === 'send') context.host.reactor.send(connection.slot, command.bytes);
  }
  context.metrics.connectFailed(failure);
  goodbye(context, connection, failure);
}

/** The client broke the protocol, or was turned away in it; what it is told has been sent. */
export function fail(context: FlowContext, connection: Connection, reason: HandshakeFailure): void {
  context.metrics.handshakeFailed(reason);
  goodbye(context, connection, reason);
}

/** Ends without a word, in any stage before relay. */
export function abandon(context: FlowContext, connection: Connection, reason: EarlyEnd): void {
  context.metrics.handshakeFailed(reason);
  context.host.close(connection.slot, true);
  settle(context, connection, reason);
}

function goodbye(context: FlowContext, connection: Connection, reason: string): void {
  context.host.linger(connection.slot);
  settle(context, connection, reason);
}

/** The flow is over; its sockets are closed. */
export function ended(context: FlowContext, connection: Connection, end: FlowEnd): void {
  const { backend } = connection.flow!;
  context.relaying.delete(connection);
  context.seated?.delete(connection);
  context.metrics.flowClosed(backend, end.reason, end.bytesUp, end.bytesDown, performance.now() - connection.startedAt);
  settle(context, connection, end.reason, end);
}

/** Counts the connection out and writes its line. Its sockets are closed or somebody else's. */
export function settle(context: FlowContext, connection: Connection, reason: string, end = NO_END): void {
  connection.stage = 'over';
  clearTimeout(connection.attemptTimer);
  for (const { slot } of connection.attempts) context.host.close(slot, true);
  connection.attempts = [];
  context.handshaking.delete(connection);
  context.connecting.delete(connection);
  context.limits.leave(connection.client.address, connection.seat, connection.vacated);
  if (connection.user !== undefined) context.limits.leaveUser(connection.user);
  log(context, connection, reason, end);
  context.onLeave();
}

function log(
  context: FlowContext,
  connection: Connection,
  reason: string,
  end: Pick<FlowEnd, 'bytesUp' | 'bytesDown'>,
): void {
  if (!context.logger.isLevelEnabled('info')) return;
  const { client, target, upstream, flow } = connection;
  logAccess(context.logger, {
    client: formatEndpoint(client.address, client.port),
    user: connection.user,
    target: target && formatEndpoint(target.host, target.port),
    upstream: upstream && formatEndpoint(upstream.address, upstream.port),
    bytesUp: end.bytesUp,
    bytesDown: end.bytesDown,
    durationMs: performance.now() - connection.startedAt,
    backend: flow?.backend,
    refusals: flow?.refusals,
    reason,
  });
}
