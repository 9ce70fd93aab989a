/**
 * Stage relay: a stretch of content that the kernel moves from wire to wire, while both are left alone here. Made by
 * copied-body.ts, which goes on where it ends.
 */
import { SpliceError } from '../errors.js';
import type { TapBody, TapPartEnd } from '../engine/tap-body.js';
import type { Movers } from './body-movers.js';
import type { BodySink } from './body-sink.js';

export interface Stretch {
  /** Descriptors. */
  readonly source: number;
  readonly client: number;
  /** Bytes; Infinity: to the FIN. */
  readonly ahead: number;
  /** Of the source. */
  readonly idleTimeout: number;
}

export class BodyLeap {
  /** 0 where only a FIN tells. */
  readonly length: number;
  readonly #body: TapBody;

  private constructor(body: TapBody, length: number) {
    this.#body = body;
    this.length = length;
  }

  /** Undefined where it cannot be: out of descriptors, or the server ends. Copying needs nothing. */
  static begin(movers: Movers, { source, client, ahead, idleTimeout }: Stretch, sink: BodySink): BodyLeap | undefined {
    const length = ahead === Infinity ? 0 : ahead;
    try {
      const body = movers.tap.relayBody(source, client, {
        ...(ahead !== Infinity && { length }),
        prefix: sink.lead(length),
        sourceIdleMs: idleTimeout,
        clientIdleMs: sink.idleTimeout,
      });
      sink.led(length);
      return new BodyLeap(body, length);
    } catch (error) {
      if (error instanceof SpliceError) return undefined;
      throw error;
    }
  }

  /** Bytes that count as sent already and are not. */
  get missing(): number {
    return this.length - this.#body.counters().delivered;
  }

  /** `source`, when the kernel reads no more of it; `landed` with the client's end, when both have ended. */
  onEnds(source: (end: TapPartEnd) => void, landed: (client: TapPartEnd) => void): void {
    let open = 2;
    let client: TapPartEnd | undefined;
    const ended = (): void => {
      if (--open === 0 && client !== undefined) landed(client);
    };
    this.#body.onEnd('source', (end) => {
      source(end);
      ended();
    });
    this.#body.onEnd('client', (end) => {
      client = end;
      ended();
    });
  }

  abort(): void {
    this.#body.abort();
  }
}
