/** Stage accept: a client's connection is there, its TLS and PROXY headers behind it. Called by accept-wire.ts. */
import { ClientConnection } from './client-connection.js';
import type { ProxyContext } from './context.js';
import type { Wire } from './wire.js';

/** Counted by its client's address, the one that a PROXY header named; who has too many is reset. */
export function accept(context: ProxyContext, wire: Wire): void {
  const seat = context.limits.enter(wire.peer.address);
  if (seat === 'refused') {
    context.metrics.limited('client');
    context.logger.warn(
      { client: wire.peer.address, limit: context.limits.settings.perClient },
      'client has too many connections',
    );
    wire.close(true);
    return;
  }
  void new ClientConnection(context, wire, seat);
}
