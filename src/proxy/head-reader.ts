/**
 * Stage splice: reads the head of a response, and the interim ones before it, from an origin's wire. Made by fetch.ts
 * for each request; owns the wire until the final head is there, then leaves it paused for whoever moves the content.
 */
import { responseFraming, type Framing } from '../http/framing.js';
import type { ResponseHead } from '../http/head.js';
import { type HeadLimits, ResponseParser } from '../http/head-parser.js';
import { OriginError } from './origin.js';
import type { Transfer } from './body.js';
import type { Wire, WireOwner } from './wire.js';

export interface ArrivedHead {
  readonly head: ResponseHead;
  readonly framing: Framing;
  /** What came behind the head; our own copy. */
  readonly rest: Uint8Array;
}

/** Interim responses to one request; more are an attack, or a fault. */
const MOST_INTERIM = 32;

export class HeadReader implements WireOwner {
  /** The request's content on its way to this wire. */
  upload: Transfer | undefined;
  readonly arrived: Promise<ArrivedHead>;
  readonly #wire: Wire;
  readonly #method: string;
  readonly #parser: ResponseParser;
  readonly #interim: (head: ResponseHead) => void;
  #settle: { resolve: (arrived: ArrivedHead) => void; reject: (error: OriginError) => void } | undefined;
  #heads = 0;
  #heard = false;
  #excess = false;

  /** `interim` hears of 1xx but 101. */
  constructor(wire: Wire, method: string, limits: Partial<HeadLimits>, interim: (head: ResponseHead) => void) {
    this.#wire = wire;
    this.#method = method;
    this.#parser = new ResponseParser(limits);
    this.#interim = interim;
    this.arrived = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
    // Whoever gives up before it has an answer does not ask for the reason.
    this.arrived.catch(() => undefined);
    wire.owner = this;
  }

  /** Whether bytes came that belong to no response: such a connection is not used again. */
  get excess(): boolean {
    return this.#excess;
  }

  onData(bytes: Uint8Array): void {
    if (this.#settle === undefined) {
      this.#excess = true;
      return;
    }
    this.#heard = true;
    let at = 0;
    while (at < bytes.length) {
      const result = this.#parser.receive(bytes, at);
      if (result.kind === 'partial') return;
      if (result.kind === 'refused') return this.fail('bad-response', result.message);
      at = result.end;
      const { head } = result;
      if (head.status >= 200 || head.status === 101) {
        this.#final(head, bytes, at);
        return;
      }
      if (++this.#heads > MOST_INTERIM) return this.fail('bad-response', 'too many interim responses');
      this.#interim(head);
    }
  }

  onEnd(): void {
    if (this.#heard) this.fail('bad-response', 'it closed the connection in the middle of a head');
    else this.fail('send-failed', 'it closed the connection instead of answering');
  }

  onBroken(errno: number): void {
    this.upload?.lost();
    this.fail(this.#heard ? 'bad-response' : 'send-failed', `the connection broke (errno ${errno})`);
  }

  onDrained(): void {
    this.upload?.drained();
  }

  fail(failure: OriginError['failure'], message: string): void {
    const settle = this.#settle;
    this.#settle = undefined;
    settle?.reject(new OriginError(failure, message));
  }

  #final(head: ResponseHead, bytes: Uint8Array, at: number): void {
    const framing = responseFraming(head, this.#method);
    if (framing.kind === 'refused') return this.fail('bad-response', framing.message);
    const here = bytes.length - at;
    const whole = framing.kind === 'none' || (framing.kind === 'length' && framing.length <= here);
    // What is here already needs no pause; else nothing more is read before it is known where it goes.
    if (!whole) this.#wire.pause();
    const settle = this.#settle;
    this.#settle = undefined;
    settle?.resolve({ head, framing, rest: new Uint8Array(bytes.subarray(at)) });
  }
}
