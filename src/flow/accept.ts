/** Stage accept: a client is there. Called by the server for every connection of its listeners. */
import type { SlotOwner } from '../server/reactor-host.js';
import { decodeAddress } from './address.js';
import { Connection, type FlowContext } from './connection.js';
import { clientEnded, clientFailed, receive } from './handshake.js';

export function accept(context: FlowContext, slot: number, peer: Uint8Array): void {
  context.metrics.accepted();
  const client = decodeAddress(peer);
  const seat = context.limits.enter(client.address);
  if (seat === 'refused') {
    // No reply could be understood before the client has spoken.
    context.metrics.limited('client');
    context.logger.warn(
      { client: client.address, limit: context.limits.settings.perClient },
      'client has too many connections',
    );
    context.host.close(slot, true);
    return;
  }
  const connection = new Connection(slot, client, seat, context.policy.users);
  context.handshaking.add(connection);
  context.host.own(slot, new ClientOwner(context, connection));
}

class ClientOwner implements SlotOwner {
  readonly #context: FlowContext;
  readonly #connection: Connection;

  constructor(context: FlowContext, connection: Connection) {
    this.#context = context;
    this.#connection = connection;
  }

  onData(_slot: number, bytes: Uint8Array): void {
    receive(this.#context, this.#connection, bytes);
  }

  onEnd(): void {
    clientEnded(this.#context, this.#connection);
  }

  onFailed(): void {
    clientFailed(this.#context, this.#connection);
  }

  onConnected(): void {
    // A client's slot is never connecting.
  }
}
