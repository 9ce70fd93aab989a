/**
 * Stage handshake: carries out what the protocol layer commands (src/socks decides, this file
 * acts), up to a connected upstream. Authentication and name look-ups are asynchronous, so every
 * continuation first asks whether the connection is still in the stage that it left.
 */
import { assertNever } from '../errors.js';
import type { SlotOwner } from '../server/reactor-host.js';
import { ConnectRace, type RaceCommand } from '../socks/connect-race.js';
import { failureFromErrno, type ConnectFailure, type SocksCommand, type Target } from '../socks/handshake.js';
import { decodeAddress, type SocketAddress } from './address.js';
import type { Connection, FlowContext } from './connection.js';
import { errnoName } from '../errno.js';
import { splice } from './splice.js';
import { abandon, fail, refuse } from './teardown.js';

/** Bytes of the client, in any cut. */
export function receive(context: FlowContext, connection: Connection, bytes: Uint8Array): void {
  if (connection.stage === 'over') return;
  execute(context, connection, connection.handshake.receive(bytes));
}

/** FIN. A client may half-close behind its request; before that it has changed its mind. */
export function clientEnded(context: FlowContext, connection: Connection): void {
  if (connection.stage === 'handshake') abandon(context, connection, 'client-gone');
}

export function clientFailed(context: FlowContext, connection: Connection): void {
  if (connection.stage !== 'over' && connection.stage !== 'relay') abandon(context, connection, 'client-gone');
}

/** The clock of the handshake, or of the connect, has run out. */
export function handshakeExpired(context: FlowContext, connection: Connection): void {
  abandon(context, connection, 'handshake-timeout');
}

export function connectExpired(context: FlowContext, connection: Connection): void {
  if (connection.race === undefined) refuse(context, connection, 'timed-out');
  else run(context, connection, connection.race.abandon('timed-out'));
}

export function execute(context: FlowContext, connection: Connection, commands: readonly SocksCommand[]): void {
  for (const command of commands) {
    switch (command.kind) {
      case 'send':
        // Replies of a handshake are a few bytes into an empty buffer: less than all means broken.
        if (context.host.reactor.send(connection.slot, command.bytes) !== command.bytes.length) {
          abandon(context, connection, 'client-gone');
          return;
        }
        break;
      case 'authenticate':
        connection.stage = 'authenticate';
        context.host.reactor.hold(connection.slot);
        void authenticate(context, connection, command.user, command.password);
        break;
      case 'connect':
        request(context, connection, command.target);
        break;
      case 'close':
        fail(context, connection, command.reason);
        return;
      default:
        assertNever(command);
    }
  }
}

async function authenticate(
  context: FlowContext,
  connection: Connection,
  user: string,
  password: string,
): Promise<void> {
  // A reload that takes the users away must not make a name true that nobody has checked.
  const users = context.policy.users ?? connection.users;
  let right = users === undefined;
  try {
    if (users !== undefined) right = await users.verify(user, password);
  } catch (error) {
    context.logger.error({ err: error }, 'a password could not be checked');
  }
  if (connection.stage !== 'authenticate') return;
  connection.stage = 'handshake';
  if (!right) {
    context.metrics.authFailed();
    context.logger.warn({ client: connection.client.address, user }, 'wrong user name or password');
  }
  execute(context, connection, connection.handshake.authenticated(right));
  if ((connection.stage as string) === 'handshake') context.host.reactor.release(connection.slot);
}

/** The request is whole: from here the client's bytes wait in the kernel for the relay. */
function request(context: FlowContext, connection: Connection, target: Target): void {
  connection.stage = 'connect';
  connection.target = target;
  context.host.reactor.hold(connection.slot);
  context.handshaking.delete(connection);
  context.connecting.add(connection);
  const { user } = connection.handshake;
  if (user !== undefined) {
    if (!context.limits.enterUser(user)) {
      context.metrics.limited('user');
      refuse(context, connection, 'limit');
      return;
    }
    connection.user = user;
  }
  if (target.type === 'name') void resolve(context, connection, target);
  else race(context, connection, target, [target.host]);
}

async function resolve(context: FlowContext, connection: Connection, target: Target): Promise<void> {
  const { rules } = context.policy;
  const question = { client: connection.client.address, user: connection.user, host: target.host, port: target.port };
  if (rules !== undefined && !rules.couldAllowName(question)) {
    deny(context, connection);
    return;
  }
  const resolution = await context.resolver.resolve(target.host, () => connection.stage === 'connect');
  if (connection.stage !== 'connect') return;
  if (resolution.ok) race(context, connection, target, resolution.addresses);
  else refuse(context, connection, resolution.failure);
}

// Rules judge every address: a name must not lead where its addresses may not.
function race(context: FlowContext, connection: Connection, target: Target, addresses: readonly string[]): void {
  const { rules } = context.policy;
  let allowed = addresses;
  if (rules !== undefined) {
    const host = target.type === 'name' ? target.host : undefined;
    const question = { client: connection.client.address, user: connection.user, host, port: target.port };
    allowed = addresses.filter((address) => rules.decide({ ...question, address }).allow);
    if (allowed.length === 0) {
      deny(context, connection);
      return;
    }
  }
  connection.race = new ConnectRace(allowed);
  run(context, connection, connection.race.start());
}

function deny(context: FlowContext, connection: Connection): void {
  context.metrics.denied();
  refuse(context, connection, 'denied');
}

function run(context: FlowContext, connection: Connection, commands: readonly RaceCommand[]): void {
  for (const command of commands) {
    // An attempt may fail at once and with it the connection, before the commands behind it.
    if (connection.stage !== 'connect') return;
    switch (command.kind) {
      case 'attempt':
        attempt(context, connection, command.address);
        break;
      case 'arm-delay':
        clearTimeout(connection.attemptTimer);
        connection.attemptTimer = setTimeout(() => {
          if (connection.stage === 'connect') run(context, connection, connection.race!.delayElapsed());
        }, command.ms);
        break;
      case 'cancel':
        cancel(context, connection, command.address);
        break;
      case 'won':
        break; // The attempt that won reports itself, with both of its addresses: see AttemptOwner.
      case 'lost':
        refuse(context, connection, command.failure);
        break;
      default:
        assertNever(command);
    }
  }
}

function attempt(context: FlowContext, connection: Connection, address: string): void {
  // The client's slot goes along: its options and MSS are those that the packet backend wants of the server's side.
  const slot = context.host.reactor.connect(address, connection.target!.port, connection.slot);
  if (slot < 0) {
    run(context, connection, connection.race!.failed(address, failureFromErrno(errnoName(-slot))));
    return;
  }
  connection.attempts.push({ slot, address });
  context.host.own(slot, new AttemptOwner(context, connection, address));
}

function cancel(context: FlowContext, connection: Connection, address: string): void {
  const index = connection.attempts.findIndex((entry) => entry.address === address);
  if (index < 0) return;
  context.host.close(connection.attempts[index]!.slot, false);
  connection.attempts.splice(index, 1);
}

class AttemptOwner implements SlotOwner {
  readonly #context: FlowContext;
  readonly #connection: Connection;
  readonly #address: string;

  constructor(context: FlowContext, connection: Connection, address: string) {
    this.#context = context;
    this.#connection = connection;
    this.#address = address;
  }

  onConnected(slot: number, errno: number, local: Uint8Array): void {
    if (errno !== 0) {
      this.#failed(failureFromErrno(errnoName(errno)));
      return;
    }
    const connection = this.#connection;
    connection.attempts = connection.attempts.filter((entry) => entry.slot !== slot);
    run(this.#context, connection, connection.race!.connected(this.#address));
    clearTimeout(connection.attemptTimer);
    const upstream: SocketAddress = { address: this.#address, port: connection.target!.port };
    splice(this.#context, connection, slot, upstream, decodeAddress(local));
  }

  onFailed(_slot: number, errno: number): void {
    this.#failed(failureFromErrno(errnoName(errno)));
  }

  onData(): void {
    // An attempt's slot is held from the moment it is connected: nothing is read here.
  }

  onEnd(): void {
    // The same.
  }

  #failed(failure: ConnectFailure): void {
    cancel(this.#context, this.#connection, this.#address);
    run(this.#context, this.#connection, this.#connection.race!.failed(this.#address, failure));
  }
}
