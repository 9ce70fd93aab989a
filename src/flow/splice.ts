/** Stage splice: both connections stand, the client gets its reply, the engine gets both. */
import { native } from '../native.js';
import { formatEndpoint, type SocketAddress } from './address.js';
import type { Connection, FlowContext } from './connection.js';
import { ended, settle } from './teardown.js';

/**
 * `slot` is the upstream's. The reply goes out first and at once: the client waits for it, and
 * nothing of the server's can have been read before, for its slot was never read.
 */
export function splice(
  context: FlowContext,
  connection: Connection,
  slot: number,
  upstream: SocketAddress,
  bound: SocketAddress,
): void {
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
      prepared: true,
    });
  } catch (error) {
    native().reset(clientFd);
    native().reset(upstreamFd);
    const between = [
      formatEndpoint(connection.client.address, connection.client.port),
      formatEndpoint(upstream.address, upstream.port),
    ];
    context.logger.error({ err: error, between }, 'two connections could not be spliced');
    settle(context, connection, 'failed');
    return;
  }
  connection.stage = 'relay';
  context.relaying.add(connection);
  context.seated?.add(connection);
  context.metrics.flowOpened(connection.flow.backend);
  connection.flow.onClosed((end) => ended(context, connection, end));
}
