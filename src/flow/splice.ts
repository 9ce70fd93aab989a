/** Stage splice: both connections stand, the client gets its reply, the engine gets both. */
import { SpliceStateError } from '../errors.js';
import { native } from '../native.js';
import { formatEndpoint, type SocketAddress } from './address.js';
import type { Connection, FlowContext } from './connection.js';
import { ended, settle } from './teardown.js';

/**
 * `slot` is the upstream's. The reply goes out first and at once: the client waits for it, and
 * nothing of the server's can have been read before, for its slot was never read.
 */
export function splice(context: FlowContext, connection: Connection, slot: number, upstream: SocketAddress, bound: SocketAddress): void {
  const { host } = context;
  connection.upstream = upstream;
  const { reply, leftover } = connection.handshake.connected(bound);
  const sent = host.reactor.send(connection.slot, reply);
  if (sent < 0) {
    host.close(slot, true);
    host.close(connection.slot, true);
    settle(context, connection, 'client-gone');
    return;
  }
  context.connecting.delete(connection);
  const clientFd = host.take(connection.slot);
  const upstreamFd = host.take(slot);
  try {
    connection.flow = context.engine.spliceNow(clientFd, upstreamFd, {
      ...(sent < reply.length && { reply: reply.subarray(sent) }),
      ...(leftover.length > 0 && { clientHead: leftover }),
      idleTimeoutMs: context.policy.idleTimeoutMs,
    });
  } catch (error) {
    // A reset that came a moment ago is the network's doing; anything else is ours.
    const broken = error instanceof SpliceStateError;
    const reason = !broken ? 'failed' : native().connectedStream(clientFd) === '' ? 'upstream-reset' : 'client-reset';
    native().reset(clientFd);
    native().reset(upstreamFd);
    if (broken) {
      settle(context, connection, reason);
      return;
    }
    const between = [formatEndpoint(connection.client.address, connection.client.port), formatEndpoint(upstream.address, upstream.port)];
    context.logger.error({ err: error, between }, 'two connections could not be spliced');
    settle(context, connection, reason);
    return;
  }
  connection.stage = 'relay';
  context.relaying.add(connection);
  context.metrics.flowOpened(connection.flow.backend);
  void connection.flow.closed.then((end) => ended(context, connection, end));
}
