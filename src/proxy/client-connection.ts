/**
 * Stage handshake: a client's connection, and its requests one after the other. It reads heads and starts an exchange
 * for each; what comes behind a request waits here until the response has gone out (RFC 9112 section 9.3.2: responses in
 * the order of the requests). While content moves, in or out, whoever moves it owns the reading side of the wire.
 *
 * Two clocks: `heads` from accept, or the first byte of a head, to its last; `idle` between two requests.
 */
import { RequestParser, type ParsedRequest } from '../http/head-parser.js';
import type { Refusal } from '../http/refusal.js';
import { isHttp11 } from '../http/head.js';
import { requestPersists } from '../http/framing.js';
import type { Seat } from '../flow/limits.js';
import type { ProxyContext } from './context.js';
import { Exchange } from './exchange.js';
import { begin } from './handshake.js';
import { refusal } from './own-response.js';
import { clientLeft, refused, shutDown } from './teardown.js';
import type { Wire, WireOwner } from './wire.js';

/** Unsent bytes of responses; beyond them the next request of a client that does not read waits. */
const MOST_UNSENT = 256 * 1024;
/** Bytes behind a request that are kept while it is answered; what is more waits in the kernel. */
const MOST_AHEAD = 64 * 1024;
type Clock = 'heads' | 'idle';

const NOTHING: Uint8Array = new Uint8Array(0);

export class ClientConnection implements WireOwner {
  readonly wire: Wire;
  readonly #context: ProxyContext;
  readonly #seat: Seat;
  readonly #parser: RequestParser;
  #exchange: Exchange | undefined;
  #requests = 0;
  /** What came behind the request that is being answered. */
  #ahead = NOTHING;
  /** FIN has come: no request will follow. */
  #ended = false;
  /** What was unsent when the clock between two requests ran out before. */
  #behind = Infinity;
  #closed = false;
  #clock: Clock | undefined;
  /** Set while `#feed` runs: an exchange that ends within it lets it go on instead of nesting. */
  #feeding = false;

  constructor(context: ProxyContext, wire: Wire, seat: Seat) {
    this.#context = context;
    this.wire = wire;
    this.#seat = seat;
    this.#parser = new RequestParser(context.site.heads);
    wire.owner = this;
    context.connections.add(this);
    this.#watch('heads');
  }

  /** Between two requests, or before the first. */
  get resting(): boolean {
    return this.#exchange === undefined && !this.#parser.begun;
  }

  /** Whether content of the present request is here already. */
  get hasSent(): boolean {
    return this.#ahead.length > 0;
  }

  /** What came behind the head of the present request: it is the taker's now. */
  takeRest(): Uint8Array {
    const rest = this.#ahead;
    this.#ahead = NOTHING;
    return rest;
  }

  onData(bytes: Uint8Array): void {
    // What waits already waits for onDrained, and comes first.
    if (this.#exchange !== undefined || this.#ahead.length > 0 || this.#slow) this.#keep(bytes);
    else this.#feed(bytes, false);
  }

  onEnd(): void {
    this.#ended = true;
    // A client may close its half once it has said what it wants; else there is nothing to wait for.
    if (this.#exchange === undefined && this.#ahead.length === 0) this.#goodbye();
  }

  onBroken(): void {
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.#leave();
    if (exchange !== undefined) clientLeft(this.#context, exchange);
  }

  onDrained(): void {
    const exchange = this.#exchange;
    if (exchange === undefined) {
      this.#goOn();
      return;
    }
    const { whenDrained } = exchange;
    exchange.whenDrained = undefined;
    whenDrained?.();
    exchange.download?.drained();
  }

  /** The time for a head, or between two, is over. */
  expired(): void {
    if (this.#exchange !== undefined || this.#closed) return;
    const { unsent } = this.wire;
    if (this.#parser.begun) this.#refuse({ kind: 'refused', status: 408, reason: 'head-timeout', message: TOO_SLOW });
    else if (unsent === 0) this.#goodbye();
    // It is no pause between two requests while the client still reads the response to the last one.
    else if (unsent < this.#behind) {
      this.#watch('idle');
      this.#behind = unsent;
    } else this.close(true);
  }

  /** The server drains: a connection without a request has no future. What is unsent still goes out. */
  retire(): void {
    if (!this.resting || this.#ahead.length > 0) return;
    if (this.wire.unsent > 0) this.#goodbye();
    else this.close(false);
  }

  /** The exchange is over, and its response is in the wire's queue. `leftover`: what came behind its content. */
  next(exchange: Exchange, leftover: Uint8Array): void {
    if (this.#exchange !== exchange || this.#closed) return;
    this.#exchange = undefined;
    if (leftover.length > 0) this.#ahead = join(leftover, this.#ahead);
    if (!exchange.keep || this.#context.draining) {
      this.#goodbye();
      return;
    }
    if (!this.#feeding) this.#goOn();
  }

  /** The response is cut: only a reset tells the client. */
  cut(exchange: Exchange): void {
    if (this.#exchange !== exchange) return;
    this.#exchange = undefined;
    this.close(true);
  }

  /** At once; what is under way is lost. */
  close(reset: boolean): void {
    if (this.#closed) return;
    this.wire.close(reset);
    this.#leave();
  }

  /** The server stops: now. */
  shutDown(): void {
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.close(true);
    if (exchange !== undefined) shutDown(this.#context, exchange);
  }

  /** A tunnel has the socket from now on; the seat stays taken until {@link vacate}. */
  handOver(): { readonly vacate: () => void } {
    this.#exchange = undefined;
    this.#forget();
    return { vacate: () => this.#context.limits.leave(this.wire.peer.address, this.#seat) };
  }

  /** The client does not read what it asked for. */
  get #slow(): boolean {
    return this.wire.unsent > MOST_UNSENT;
  }

  /** With what came behind the last request. */
  #goOn(): void {
    if (this.#ahead.length > 0 && this.#slow) {
      this.#rest();
      return;
    }
    this.wire.resume();
    this.#feed(this.takeRest(), true);
  }

  /** `own`: the bytes are ours to keep. */
  #feed(bytes: Uint8Array, own: boolean): void {
    let at = 0;
    this.#feeding = true;
    while (at < bytes.length) {
      const result = this.#parser.receive(bytes, at);
      if (result.kind === 'partial') break;
      if (result.kind === 'refused') {
        this.#refuse(result);
        break;
      }
      at = result.end;
      if (at < bytes.length) this.#ahead = own ? bytes.subarray(at) : new Uint8Array(bytes.subarray(at));
      this.#begin(result);
      if (this.#exchange !== undefined || this.#closed) break;
      // So many answers at once that the client cannot keep up with them: onDrained goes on.
      if (this.#ahead.length > 0 && this.#slow) break;
      // Answered within the call: what came behind is the next request.
      bytes = this.takeRest();
      own = true;
      at = 0;
    }
    this.#feeding = false;
    this.#rest();
  }

  /** Nothing more to do for now: which clock runs. */
  #rest(): void {
    if (this.#closed) return;
    if (this.#exchange !== undefined) this.#watch(undefined);
    else if (this.#ended && this.#ahead.length === 0) this.#goodbye();
    else this.#watch(this.#parser.begun || this.#requests === 0 ? 'heads' : 'idle');
  }

  /** The clock of a head goes on with each of its pieces; the other begins anew with each request. */
  #watch(clock: Clock | undefined): void {
    if (clock === this.#clock && clock !== 'idle') return;
    if (this.#clock !== undefined && this.#clock !== clock) this.#context[this.#clock].delete(this);
    if (clock !== undefined) this.#context[clock].add(this);
    this.#behind = Infinity;
    this.#clock = clock;
  }

  #begin(parsed: ParsedRequest): void {
    const context = this.#context;
    const { site } = context;
    this.#requests++;
    const exchange = new Exchange(site, this, this.wire, this.wire.scheme, parsed);
    // As a gateway we may keep a connection of HTTP/1.0 open; a forward proxy must not (RFC 9112 appendix C.2.2).
    const gateway = parsed.target.kind === 'origin';
    exchange.keep =
      site.keepAlive > 0 &&
      this.#requests < site.maxRequests &&
      !context.draining &&
      requestPersists(parsed.head, gateway) &&
      (isHttp11(parsed.head.version) || gateway);
    this.#exchange = exchange;
    begin(context, exchange);
  }

  #keep(bytes: Uint8Array): void {
    this.#ahead = this.#ahead.length === 0 ? new Uint8Array(bytes) : join(this.#ahead, bytes);
    if (this.#ahead.length > MOST_AHEAD) this.wire.pause();
  }

  #refuse(why: Refusal): void {
    this.wire.send(refusal(this.#context, why));
    refused(this.#context, this, why);
    this.#goodbye();
  }

  /** The last response is on its way. */
  #goodbye(): void {
    if (this.#closed) return;
    this.wire.finish();
    this.#leave();
  }

  #leave(): void {
    if (this.#closed) return;
    this.#forget();
    this.#context.limits.leave(this.wire.peer.address, this.#seat);
    this.#context.onLeave();
  }

  #forget(): void {
    this.#closed = true;
    this.#ahead = NOTHING;
    this.#watch(undefined);
    this.#context.connections.delete(this);
  }
}

const TOO_SLOW = 'The head of the request did not arrive in time.';

function join(a: Uint8Array, b: Uint8Array): Uint8Array {
  if (b.length === 0) return a;
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
