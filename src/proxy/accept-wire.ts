/**
 * Stage accept: from a connection that the reactor has accepted to the wire that requests come on. In the clear that is
 * one step. Before it may come a PROXY protocol header, which says who the client is, and TLS, in this order. Called by
 * the server for every connection of its listeners; it reads nothing that belongs to HTTP.
 *
 * A header is looked for only from peers that the listener trusts, and they must send one: a peer that may or may not
 * send one could be made to pass its client's bytes on as ours.
 */
import { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { resetSocket } from '../engine/endpoint.js';
import { decodeAddress, type SocketAddress } from '../flow/address.js';
import { DeadlineQueue } from '../flow/deadlines.js';
import { parseProxyHeader } from '../http/proxy-protocol.js';
import { native } from '../native.js';
import type { Lingering } from '../flow/lingering.js';
import type { Logger } from '../server/logging.js';
import type { ReactorHost } from '../server/reactor-host.js';
import { ReactorWire } from './reactor-wire.js';
import type { TlsServer } from './tls-server.js';
import { tlsWire } from './tls-wire.js';
import { NOBODY, type Wire, type WireOwner } from './wire.js';

/** What a listener says of its connections. */
export interface AcceptSettings {
  readonly tls: TlsServer | undefined;
  readonly proxyProtocol: false | { trusted(address: string): boolean };
  /** Milliseconds for the header of the PROXY protocol, and again for the TLS handshake. */
  readonly handshakeTimeout: number;
}

/** Why a connection never came to be a wire; stable words. */
export type AcceptFailure =
  'proxy-header' | 'proxy-timeout' | 'tls-failed' | 'tls-timeout' | 'client-gone' | 'shutdown';

export interface AcceptOptions {
  readonly host: ReactorHost;
  readonly settings: AcceptSettings;
  readonly logger: Pick<Logger, 'warn' | 'debug'>;
  /** The wire's owner is to be set within the call. */
  accepted(wire: Wire): void;
  /** One was closed, its seat left, and the log told. */
  refused?(failure: AcceptFailure): void;
}

/** A connection between accept and wire. */
interface Pending {
  /** Closes it. */
  give(failure: 'timeout' | 'shutdown'): void;
}

/** One listener's connections. */
export class AcceptWire {
  readonly #options: AcceptOptions;
  readonly #pending: DeadlineQueue<Pending>;
  #settings: AcceptSettings;

  constructor(options: AcceptOptions) {
    this.#options = options;
    this.#settings = options.settings;
    this.#pending = new DeadlineQueue(options.settings.handshakeTimeout);
  }

  /** Connections that have not become wires yet. */
  get pending(): number {
    return this.#pending.size;
  }

  /** For connections that come from now on. */
  use(settings: AcceptSettings): void {
    this.#settings = settings;
    this.#pending.durationMs = settings.handshakeTimeout;
  }

  /** `peer` is its encoded address. What is accepted in the clear is with its owner when this returns. */
  accept(slot: number, peer: Uint8Array): void {
    const address = decodeAddress(peer);
    const { proxyProtocol, tls } = this.#settings;
    const wire = new ReactorWire(this.#options.host, slot, address);
    if (proxyProtocol !== false && proxyProtocol.trusted(address.address)) {
      wire.owner = new HeaderOwner(this, wire, tls);
    } else {
      this.pass(wire, tls, undefined);
    }
  }

  /** To be called regularly. */
  sweep(now: number): void {
    for (const pending of this.#pending.expired(now)) pending.give('timeout');
  }

  /** Gives everybody up who is not accepted yet. */
  stop(): void {
    for (const pending of [...this.#pending.entries()]) pending.give('shutdown');
  }

  /** Its clock starts. */
  enter(pending: Pending): void {
    this.#pending.add(pending);
  }

  leave(pending: Pending): void {
    this.#pending.delete(pending);
  }

  /** Nothing more comes before TLS, or HTTP; `head` was read of it already. */
  pass(wire: ReactorWire, tls: TlsServer | undefined, head: Uint8Array | undefined): void {
    if (tls !== undefined) {
      this.#startTls(wire, tls, head);
      return;
    }
    this.accepted(wire);
    if (head !== undefined && head.length > 0) wire.onData(wire.slot, head);
  }

  accepted(wire: Wire): void {
    this.#options.accepted(wire);
  }

  /** It is closed. */
  refused(failure: AcceptFailure, peer: SocketAddress, detail: string): void {
    const { host, logger } = this.#options;
    host.leaveSeat();
    // Who is trusted to send a header and does not is misconfigured; broken handshakes come from every scanner.
    const level = failure === 'proxy-header' || failure === 'proxy-timeout' ? 'warn' : 'debug';
    logger[level]({ client: peer.address, failure, detail }, 'a connection was not accepted');
    this.#options.refused?.(failure);
  }

  #startTls(wire: ReactorWire, tls: TlsServer, head: Uint8Array | undefined): void {
    const { peer, local } = wire;
    const fd = wire.detach();
    let socket: Socket;
    try {
      socket = new Socket({ fd, allowHalfOpen: true });
    } catch (error) {
      native().reset(fd);
      this.refused('client-gone', peer, (error as Error).message);
      return;
    }
    if (head !== undefined && head.length > 0) socket.unshift(head.slice());
    void new Handshake(this, tls.start(socket), peer, local, this.#options.host.lingering);
  }
}

/** Reads the header. What stands behind it is the first that the wire's owner, or TLS, gets. */
class HeaderOwner implements WireOwner, Pending {
  readonly #stage: AcceptWire;
  readonly #wire: ReactorWire;
  readonly #tls: TlsServer | undefined;
  #received: Uint8Array = new Uint8Array(0);

  constructor(stage: AcceptWire, wire: ReactorWire, tls: TlsServer | undefined) {
    this.#stage = stage;
    this.#wire = wire;
    this.#tls = tls;
    stage.enter(this);
  }

  onData(bytes: Uint8Array): void {
    const received = this.#received.length === 0 ? bytes : Buffer.concat([this.#received, bytes]);
    const header = parseProxyHeader(received);
    if (header === undefined) {
      this.#received = received === bytes ? bytes.slice() : received;
    } else if (header.kind === 'refused') {
      this.#refuse('proxy-header', header.reason);
    } else {
      this.#stage.leave(this);
      if (header.kind === 'proxied') this.#wire.rename(header.source, header.destination);
      this.#wire.owner = NOBODY;
      this.#stage.pass(this.#wire, this.#tls, received.subarray(header.end));
    }
  }

  onEnd(): void {
    this.#refuse('proxy-header', 'the connection ended before its header did');
  }

  onBroken(): void {
    this.#stage.leave(this);
    this.#stage.refused('client-gone', this.#wire.peer, 'the connection broke before its header came');
  }

  onDrained(): void {
    // Nothing was sent.
  }

  give(failure: 'timeout' | 'shutdown'): void {
    if (failure === 'timeout') this.#refuse('proxy-timeout', 'no header has come');
    else this.#refuse('shutdown', 'the server stops');
  }

  #refuse(failure: AcceptFailure, detail: string): void {
    this.#stage.leave(this);
    this.#wire.close(true);
    this.#stage.refused(failure, this.#wire.peer, detail);
  }
}

/** Waits for the end of a TLS handshake. */
class Handshake implements Pending {
  readonly #stage: AcceptWire;
  readonly #socket: TLSSocket;
  readonly #peer: SocketAddress;
  readonly #local: SocketAddress;
  readonly #lingering: Lingering;

  readonly #onSecure = (): void => {
    this.#leave();
    const wire = tlsWire(this.#socket, this.#peer, this.#local, this.#lingering);
    wire.resume();
    this.#stage.accepted(wire);
  };

  readonly #onError = (error: Error): void => {
    this.#refuse('tls-failed', error.message);
  };

  readonly #onClose = (): void => {
    this.#refuse('client-gone', 'the connection was closed in the middle of the handshake');
  };

  constructor(stage: AcceptWire, socket: TLSSocket, peer: SocketAddress, local: SocketAddress, lingering: Lingering) {
    this.#stage = stage;
    this.#socket = socket;
    this.#peer = peer;
    this.#local = local;
    this.#lingering = lingering;
    stage.enter(this);
    socket.on('secure', this.#onSecure);
    socket.on('error', this.#onError);
    // The client's FIN: with allowHalfOpen nothing would close the socket.
    socket.on('end', this.#onClose);
    socket.on('close', this.#onClose);
  }

  give(failure: 'timeout' | 'shutdown'): void {
    if (failure === 'timeout') this.#refuse('tls-timeout', 'the handshake took too long');
    else this.#refuse('shutdown', 'the server stops');
  }

  #refuse(failure: AcceptFailure, detail: string): void {
    this.#leave();
    this.#socket.on('error', () => undefined);
    if (failure === 'tls-failed') this.#socket.destroy();
    else resetSocket(this.#socket);
    this.#stage.refused(failure, this.#peer, detail);
  }

  #leave(): void {
    this.#stage.leave(this);
    this.#socket.off('secure', this.#onSecure);
    this.#socket.off('error', this.#onError);
    this.#socket.off('end', this.#onClose);
    this.#socket.off('close', this.#onClose);
  }
}
