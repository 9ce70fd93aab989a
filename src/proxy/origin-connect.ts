/**
 * Stage handshake: one new connection to an origin, from its name to a wire that a request can be sent on. The steps:
 * resolve, ask which addresses are allowed, race them (src/socks/connect-race.ts decides, this file acts), PROXY
 * protocol header, TLS. Called by the pool, which counts; lends nothing and knows of no other connection.
 *
 * All of it has to happen within the origin's connect timeout, and can be given up at any moment: every continuation
 * first asks whether somebody still waits for it. Whatever the step, no descriptor stays behind.
 */
import { errnoName } from '../errno.js';
import { assertNever } from '../errors.js';
import { decodeAddress, type SocketAddress } from '../flow/address.js';
import type { Resolver } from '../flow/resolver.js';
import { buildProxyHeader } from '../http/proxy-protocol.js';
import type { ReactorHost, SlotOwner } from '../server/reactor-host.js';
import { ConnectRace, type RaceCommand } from '../socks/connect-race.js';
import { failureFromErrno } from '../socks/failure.js';
import { originError, originFailure } from './origin-failure.js';
import type { TlsClient } from './origin-tls.js';
import { OriginError, type Acquire, type Origin, type OriginFailure } from './origin.js';
import { ReactorWire } from './reactor-wire.js';
import { tlsWire } from './tls-wire.js';
import type { Wire } from './wire.js';

/** The most that a timer can wait; longer ones would fire at once. */
const LONGEST_MS = 2 ** 31 - 1;

/** A connection under way. Its outcome is told once, never from within the call that began it, never after abort(). */
export interface Attempt {
  abort(): void;
}

export type Dial = (origin: Origin, want: Acquire, done: (outcome: Wire | OriginError) => void) => Attempt;

export interface DialParts {
  readonly host: ReactorHost;
  readonly resolver: Resolver;
  /** For origins with TLS. */
  readonly tls: TlsClient | undefined;
}

export class OriginDial implements Attempt, SlotOwner {
  readonly #parts: DialParts;
  readonly #origin: Origin;
  readonly #want: Acquire;
  readonly #done: (outcome: Wire | OriginError) => void;
  readonly #clock: NodeJS.Timeout;
  #over = false;
  #race: ConnectRace | undefined;
  #headStart: NodeJS.Timeout | undefined;
  /** Slots of the race's open attempts. */
  readonly #attempts = new Map<number, string>();
  #abortTls: (() => void) | undefined;

  constructor(parts: DialParts, origin: Origin, want: Acquire, done: (outcome: Wire | OriginError) => void) {
    this.#parts = parts;
    this.#origin = origin;
    this.#want = want;
    this.#done = done;
    this.#clock = setTimeout(() => this.#expired(), Math.min(origin.connectTimeout, LONGEST_MS));
    void this.#resolve();
  }

  abort(): void {
    if (this.#over) return;
    this.#over = true;
    this.#clean();
  }

  /** Also for a literal: whoever began this must have it in hand before it ends. */
  async #resolve(): Promise<void> {
    const resolution = await this.#parts.resolver.resolve(this.#origin.host, () => !this.#over);
    if (this.#over) return;
    if (!resolution.ok) {
      this.#fail(originFailure(resolution.failure));
      return;
    }
    const { allows } = this.#want;
    const allowed = allows === undefined ? resolution.addresses : resolution.addresses.filter(allows);
    if (allowed.length === 0 && resolution.addresses.length > 0) {
      this.#fail('denied');
      return;
    }
    this.#race = new ConnectRace(allowed);
    this.#run(this.#race.start());
  }

  #run(commands: readonly RaceCommand[]): void {
    for (const command of commands) {
      // An attempt may fail at once and with it the race, before the commands behind it.
      if (this.#over) return;
      switch (command.kind) {
        case 'attempt':
          this.#attempt(command.address);
          break;
        case 'arm-delay':
          clearTimeout(this.#headStart);
          this.#headStart = setTimeout(() => this.#run(this.#race?.delayElapsed() ?? []), command.ms);
          break;
        case 'cancel':
          this.#cancel(command.address);
          break;
        case 'won':
          break; // onConnected() has the slot and goes on from there.
        case 'lost':
          this.#fail(originFailure(command.failure));
          break;
        default:
          assertNever(command);
      }
    }
  }

  #attempt(address: string): void {
    const { host } = this.#parts;
    const { align } = this.#want;
    const client = align instanceof ReactorWire ? align.slot : undefined;
    const slot = host.reactor.connect(address, this.#origin.port, client);
    if (slot < 0) {
      this.#run(this.#race?.failed(address, failureFromErrno(errnoName(-slot))) ?? []);
      return;
    }
    this.#attempts.set(slot, address);
    host.own(slot, this);
  }

  #cancel(address: string): void {
    for (const [slot, of] of this.#attempts) if (of === address) this.#closeAttempt(slot);
  }

  #closeAttempt(slot: number): void {
    this.#attempts.delete(slot);
    this.#parts.host.close(slot, false);
  }

  onConnected(slot: number, errno: number, local: Uint8Array): void {
    if (errno !== 0) {
      this.onFailed(slot, errno);
      return;
    }
    const address = this.#attempts.get(slot);
    if (address === undefined || this.#race === undefined) return;
    this.#attempts.delete(slot);
    this.#run(this.#race.connected(address));
    clearTimeout(this.#headStart);
    this.#connected(slot, { address, port: this.#origin.port }, decodeAddress(local));
  }

  onFailed(slot: number, errno: number): void {
    const address = this.#attempts.get(slot);
    if (address === undefined) return;
    this.#closeAttempt(slot);
    this.#run(this.#race?.failed(address, failureFromErrno(errnoName(errno))) ?? []);
  }

  onData(): void {
    // A slot that was made by connect is held: nothing is read before a wire wants it.
  }

  onEnd(): void {
    // The same.
  }

  #connected(slot: number, peer: SocketAddress, local: SocketAddress): void {
    const { host, tls } = this.#parts;
    if (!this.#introduce(slot)) {
      host.close(slot, true);
      this.#fail('send-failed');
      return;
    }
    if (tls === undefined) {
      this.#succeed(new ReactorWire(host, slot, peer, local, true));
      return;
    }
    this.#abortTls = tls.handshake(host.take(slot), (outcome) => {
      this.#abortTls = undefined;
      if (outcome.ok) this.#succeed(tlsWire(outcome.socket, peer, local, host.lingering));
      else this.#fail('tls-failed', outcome.error);
    });
  }

  /** The PROXY protocol's header comes before everything, TLS too: a few bytes into an empty buffer. */
  #introduce(slot: number): boolean {
    const { proxyProtocol } = this.#origin;
    if (proxyProtocol === 0) return true;
    const { client } = this.#want;
    const header = buildProxyHeader(proxyProtocol, client?.peer, client?.local);
    return this.#parts.host.reactor.send(slot, header) === header.length;
  }

  /** Those that are in the air are closed by the race, and give their reason a chance to be the telling one. */
  #expired(): void {
    if (this.#race === undefined || this.#race.over) this.#fail('connect-timeout');
    else this.#run(this.#race.abandon('timed-out'));
  }

  #succeed(wire: Wire): void {
    this.#over = true;
    this.#clean();
    this.#done(wire);
  }

  #fail(failure: OriginFailure, cause?: Error): void {
    if (this.#over) return;
    this.#over = true;
    this.#clean();
    this.#done(originError(this.#origin, failure, cause));
  }

  #clean(): void {
    clearTimeout(this.#clock);
    clearTimeout(this.#headStart);
    for (const slot of [...this.#attempts.keys()]) this.#closeAttempt(slot);
    this.#abortTls?.();
    this.#abortTls = undefined;
  }
}
