/**
 * Server side of SOCKS4, 4a and 5 without sockets and without a clock: bytes in, commands out. Stage: handshake.
 *
 * The flow owns one {@link SocksHandshake} per client, gives it what it reads, and carries out the commands in order:
 *
 *     receive ──► send, authenticate ──► authenticated(ok) ──► send, connect ──► connected(bound) / refused(failure)
 *
 * Time-outs and the end of the stream are the flow's business: it simply drops the handshake. No input throws; only
 * calls in the wrong order do.
 *
 * Invariants:
 * - What comes out depends on the bytes, never on how they were cut.
 * - Bytes after the request belong to the target. They wait here, copied and in order, until `connected()` gives them
 *   back. How many they may be is bounded by the flow, which stops reading after `authenticate` and `connect`.
 * - After a `close` command nothing follows, whatever arrives.
 */
import { SpliceStateError } from '../errors.js';
import type { ConnectFailure, HandshakeFailure } from './failure.js';
import {
  AUTHENTICATION_FAILED,
  AUTHENTICATION_SUCCEEDED,
  type BoundAddress,
  HTTP_REFUSAL,
  METHOD_NONE_CHOSEN,
  METHOD_PASSWORD_CHOSEN,
  NO_METHOD_ACCEPTABLE,
  REJECTED_4,
  failureReply5,
  replyCode5,
  successReply4,
  successReply5,
} from './replies.js';
import { readRequest4 } from './socks4.js';
import { greetingEnd, greetingOffers, readCredentials, readRequest5 } from './socks5.js';
import { METHOD_NONE, METHOD_PASSWORD, type Target, VERSION_4, VERSION_5, concatBytes, copyBytes } from './wire.js';

export { type ConnectFailure, type HandshakeFailure, type ProtocolFailure, failureFromErrno } from './failure.js';
export type { BoundAddress } from './replies.js';
export type { Target } from './wire.js';

export type SocksCommand =
  /** Send these bytes. They may be a shared constant: do not write into them. */
  | { readonly kind: 'send'; readonly bytes: Uint8Array }
  /** Check the password and call `authenticated()`. */
  | { readonly kind: 'authenticate'; readonly user: string; readonly password: string }
  /** Resolve, ask the rules, connect, and call `connected()` or `refused()`. */
  | { readonly kind: 'connect'; readonly target: Target }
  /** Send what was to be sent before, then close. Always the last command. */
  | { readonly kind: 'close'; readonly reason: HandshakeFailure };

export interface HandshakeOptions {
  /** True when users are configured: SOCKS4 and the method "no authentication" are then refused. */
  readonly requireAuthentication: boolean;
}

export type HandshakeState =
  | 'greeting' // nothing understood yet
  | 'credentials' // RFC 1929 message to come
  | 'authenticating' // the flow checks the password
  | 'request' // SOCKS5 request to come, or a SOCKS4 request begun
  | 'connecting' // the flow connects
  | 'connected'
  | 'closed';

const NOTHING: readonly SocksCommand[] = [];
const NO_BYTES = new Uint8Array(0);
const CHOOSE_NONE: readonly SocksCommand[] = [{ kind: 'send', bytes: METHOD_NONE_CHOSEN }];
const CHOOSE_PASSWORD: readonly SocksCommand[] = [{ kind: 'send', bytes: METHOD_PASSWORD_CHOSEN }];
const WELCOME: readonly SocksCommand[] = [{ kind: 'send', bytes: AUTHENTICATION_SUCCEEDED }];

/** What a first byte that is not SOCKS looks like. One byte decides, so that the answer does not depend on the cut. */
function strangerAt(first: number): 'http-request' | 'tls-client-hello' | 'unknown-protocol' {
  if (first === 0x16) return 'tls-client-hello';
  // The methods of HTTP in use begin so: CONNECT DELETE GET HEAD OPTIONS PATCH POST PRI PUT TRACE.
  return 'CDGHOPT'.includes(String.fromCharCode(first)) ? 'http-request' : 'unknown-protocol';
}

export class SocksHandshake {
  readonly #requireAuthentication: boolean;
  #state: HandshakeState = 'greeting';
  #version: 4 | 5 | undefined;
  #user: string | undefined;
  #userId: string | undefined;
  /** Our own copy of what was received and not understood yet; never empty. */
  #pending: Uint8Array | undefined;
  /** Bytes that the last successful step has used up. */
  #used = 0;

  constructor(options: HandshakeOptions) {
    this.#requireAuthentication = options.requireAuthentication;
  }

  get state(): HandshakeState {
    return this.#state;
  }

  /** Protocol version, once the first byte is there. */
  get version(): 4 | 5 | undefined {
    return this.#version;
  }

  /** The user whose password was checked. Undefined where no password is required, whatever the client sends. */
  get user(): string | undefined {
    return this.#state === 'authenticating' ? undefined : this.#user;
  }

  /** What the client calls itself without proof: SOCKS4 user id, or a user name that nobody asked for. For logs only. */
  get userId(): string | undefined {
    return this.#userId;
  }

  /**
   * Takes bytes from the client, in pieces of any size; the caller may reuse the buffer afterwards.
   *
   * @throws SpliceStateError after `connected()`: those bytes belong to the target.
   */
  receive(bytes: Uint8Array): readonly SocksCommand[] {
    switch (this.#state) {
      case 'connected':
        throw new SpliceStateError('SocksHandshake.receive', this.#state, 'give the bytes to the target instead');
      case 'closed':
        return NOTHING;
      case 'authenticating':
      case 'connecting':
        if (bytes.length > 0) {
          this.#pending = this.#pending === undefined ? copyBytes(bytes, 0) : concatBytes(this.#pending, bytes);
        }
        return NOTHING;
      default:
        if (this.#pending === undefined) return this.#advance(bytes, false, NOTHING);
        return this.#advance(concatBytes(this.#pending, bytes), true, NOTHING);
    }
  }

  /** Answer to `authenticate`. */
  authenticated(ok: boolean): readonly SocksCommand[] {
    if (this.#state !== 'authenticating') {
      throw new SpliceStateError(
        'SocksHandshake.authenticated',
        this.#state,
        'call it once after an authenticate command',
      );
    }
    if (!ok) {
      this.#user = undefined;
      return this.#close('authentication-failed', AUTHENTICATION_FAILED);
    }
    this.#state = 'request';
    return this.#pending === undefined ? WELCOME : this.#advance(this.#pending, true, WELCOME);
  }

  /**
   * Answer to `connect`: the target is there. Gives the reply for the client and the bytes that the client sent ahead;
   * the latter go to the target before anything else.
   */
  connected(bound: BoundAddress): { reply: Uint8Array; leftover: Uint8Array } {
    this.#expectConnecting('connected');
    this.#state = 'connected';
    const leftover = this.#pending ?? NO_BYTES;
    this.#pending = undefined;
    return { reply: this.#version === VERSION_4 ? successReply4(bound) : successReply5(bound), leftover };
  }

  /** Answer to `connect`: the target cannot be had. */
  refused(failure: ConnectFailure): readonly SocksCommand[] {
    this.#expectConnecting('refused');
    return this.#close(failure, this.#version === VERSION_4 ? REJECTED_4 : failureReply5(replyCode5(failure)));
  }

  #expectConnecting(method: string): void {
    if (this.#state === 'connecting') return;
    throw new SpliceStateError(`SocksHandshake.${method}`, this.#state, 'call it once after a connect command');
  }

  /** Takes as many steps as `input` allows. `own` says that it is our copy, so that the rest may be kept as a view. */
  #advance(input: Uint8Array, own: boolean, before: readonly SocksCommand[]): readonly SocksCommand[] {
    let commands = before;
    let at = 0;
    while (
      at < input.length &&
      (this.#state === 'greeting' || this.#state === 'credentials' || this.#state === 'request')
    ) {
      const step = this.#step(input, at);
      if (step === undefined) break;
      at += this.#used;
      commands = commands.length === 0 ? step : [...commands, ...step];
    }
    if (this.#state === 'closed' || at === input.length) this.#pending = undefined;
    else this.#pending = own ? input.subarray(at) : copyBytes(input, at);
    return commands;
  }

  /** One message at `at` (there is a byte at least); undefined when it is not whole yet. */
  #step(input: Uint8Array, at: number): readonly SocksCommand[] | undefined {
    if (this.#state === 'credentials') return this.#credentials(input, at);
    if (this.#state === 'request' && this.#version === VERSION_5) return this.#request5(input, at);
    const first = input[at] ?? 0;
    if (first === VERSION_5) return this.#greeting(input, at);
    if (first === VERSION_4) return this.#request4(input, at);
    const stranger = strangerAt(first);
    return this.#close(stranger, stranger === 'http-request' ? HTTP_REFUSAL : undefined);
  }

  #greeting(input: Uint8Array, at: number): readonly SocksCommand[] | undefined {
    this.#version = VERSION_5;
    const end = greetingEnd(input, at);
    if (end === -1) return undefined;
    this.#used = end - at;
    if (!this.#requireAuthentication && greetingOffers(input, at, end, METHOD_NONE)) {
      this.#state = 'request';
      return CHOOSE_NONE;
    }
    // Without users, a client that insists on a password gets to send one, and the flow accepts it.
    if (greetingOffers(input, at, end, METHOD_PASSWORD)) {
      this.#state = 'credentials';
      return CHOOSE_PASSWORD;
    }
    return this.#close('no-acceptable-method', NO_METHOD_ACCEPTABLE);
  }

  #credentials(input: Uint8Array, at: number): readonly SocksCommand[] | undefined {
    const credentials = readCredentials(input, at);
    if (credentials === undefined) return undefined;
    if (credentials === 'wrong-version') return this.#close('bad-authentication-version', AUTHENTICATION_FAILED);
    this.#used = credentials.end - at;
    this.#state = 'authenticating';
    // A name whose password nobody can check must never meet a rule about users.
    if (this.#requireAuthentication) this.#user = credentials.user;
    else this.#userId = credentials.user;
    return [{ kind: 'authenticate', user: credentials.user, password: credentials.password }];
  }

  #request5(input: Uint8Array, at: number): readonly SocksCommand[] | undefined {
    const request = readRequest5(input, at);
    if (request === undefined) return undefined;
    if (request.kind === 'rejection') return this.#close(request.reason, failureReply5(request.code));
    this.#used = request.end - at;
    this.#state = 'connecting';
    return [{ kind: 'connect', target: request.target }];
  }

  #request4(input: Uint8Array, at: number): readonly SocksCommand[] | undefined {
    this.#version = VERSION_4;
    this.#state = 'request';
    const request = readRequest4(input, at);
    if (request === undefined) return undefined;
    if (request.kind === 'rejection') return this.#close(request.reason, REJECTED_4);
    // Only now: a close with unread input in the kernel would reset the connection and take the reply with it.
    if (this.#requireAuthentication) return this.#close('authentication-required', REJECTED_4);
    this.#used = request.end - at;
    this.#state = 'connecting';
    if (request.userId !== '') this.#userId = request.userId;
    return [{ kind: 'connect', target: request.target }];
  }

  #close(reason: HandshakeFailure, reply: Uint8Array | undefined): readonly SocksCommand[] {
    this.#state = 'closed';
    this.#pending = undefined;
    const close: SocksCommand = { kind: 'close', reason };
    return reply === undefined ? [close] : [{ kind: 'send', bytes: reply }, close];
  }
}
