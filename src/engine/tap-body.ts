/**
 * Stages relay and teardown of a body, seen from TypeScript: it is watched here, never carried. A body has up to three
 * parts, its source, its file and its client, and each ends by itself: an origin is free for its next request while a
 * slow client still reads. Made by src/engine/tap.ts.
 */
import { throwUncaught } from '../errors.js';
import { TAP_ENDS, TAP_PART, type TapEnd } from '../native.js';

export type TapPartName = keyof typeof TAP_PART;

/** How a part of a body ended. */
export interface TapPartEnd {
  /**
   * `complete`: all of the body. `short`: what it came from ended before. `reset`: the connection broke. `idle`: not a
   * byte for its idle time. `aborted`: by the caller. `unwanted`: neither client nor file took any more. `error`: the
   * file failed.
   */
  readonly end: TapEnd;
  /** errno behind a reset or an error, 0 when there was none. */
  readonly errno: number;
  /** Bytes of the body that were taken from the source, are in the file, or were taken by the client's socket. */
  readonly bytes: number;
  readonly durationMs: number;
}

export interface TapCounters {
  readonly received: number;
  readonly stored: number;
  readonly delivered: number;
}

/** What carries a body. */
export interface TapCarrier {
  counters(): TapCounters | undefined;
  abort(): void;
}

const PART_NAMES = Object.keys(TAP_PART) as TapPartName[];
const NOTHING: TapCounters = { received: 0, stored: 0, delivered: 0 };
const COUNTED = { source: 'received', file: 'stored', client: 'delivered' } as const;

export class TapBody {
  readonly #open: Set<TapPartName>;
  readonly #ends = new Map<TapPartName, TapPartEnd>();
  readonly #listeners = new Map<TapPartName, ((end: TapPartEnd) => void)[]>();
  #carrier: TapCarrier | undefined;
  #last = NOTHING;

  /** Bodies are made by `Tap`. */
  constructor(parts: readonly TapPartName[]) {
    this.#open = new Set(parts);
  }

  /** Resolves when nothing more is read of the source, and it is the caller's again; with undefined where the body has none. Never rejects. */
  get received(): Promise<TapPartEnd | undefined> {
    return this.#promise('source');
  }

  /** Resolves when the file gets no more. Complete or not: what `bytes` counts is in it. */
  get stored(): Promise<TapPartEnd | undefined> {
    return this.#promise('file');
  }

  /** Resolves when the client's socket has taken the body, or takes no more, and it is the caller's again. */
  get delivered(): Promise<TapPartEnd | undefined> {
    return this.#promise('client');
  }

  /** Resolves when all parts have ended. */
  get closed(): Promise<void> {
    return Promise.all([this.received, this.stored, this.delivered]).then(() => undefined);
  }

  /**
   * A part's end without a promise, for servers that end thousands of bodies a second: `listener` is called once, in
   * the turn in which the end is known; at once when it is known already; never when the body has no such part.
   */
  onEnd(part: TapPartName, listener: (end: TapPartEnd) => void): void {
    const end = this.#ends.get(part);
    if (end !== undefined) {
      listener(end);
    } else if (this.#open.has(part)) {
      const listeners = this.#listeners.get(part);
      if (listeners === undefined) this.#listeners.set(part, [listener]);
      else listeners.push(listener);
    }
  }

  /** Bytes of this moment; after the end, those of the end. */
  counters(): TapCounters {
    // Between its end and the report the carrier knows the body no longer.
    this.#last = this.#carrier?.counters() ?? this.#last;
    const counted = { ...this.#last };
    for (const [part, end] of this.#ends) counted[COUNTED[part]] = end.bytes;
    return counted;
  }

  /** Ends all parts that have not ended; the sockets are in the middle of a body then. */
  abort(): void {
    this.#carrier?.abort();
  }

  /** By `Tap`: what carries the body from now on. */
  carriedBy(carrier: TapCarrier): void {
    this.#carrier = carrier;
  }

  /** By `Tap`: a part has ended. True when it was the last. */
  ended(part: TapPartName, end: TapPartEnd): boolean {
    this.#ends.set(part, end);
    this.#open.delete(part);
    const listeners = this.#listeners.get(part) ?? [];
    this.#listeners.delete(part);
    if (this.#open.size === 0) this.#carrier = undefined;
    for (const listener of listeners) {
      try {
        listener(end);
      } catch (error) {
        throwUncaught(error); // the others must hear of the end as well
      }
    }
    return this.#open.size === 0;
  }

  /** By `Tap`: parts that have not ended. */
  get openParts(): readonly TapPartName[] {
    return [...this.#open];
  }

  #promise(part: TapPartName): Promise<TapPartEnd | undefined> {
    if (!this.#open.has(part) && !this.#ends.has(part)) return Promise.resolve(undefined);
    return new Promise((resolve) => this.onEnd(part, resolve));
  }
}

/** A report of the addon, as `Tap` of src/native.ts lays it out. */
export function partEndOf(words: Float64Array, at: number): { part: TapPartName; end: TapPartEnd } {
  return {
    part: PART_NAMES[words[at + 1]!]!,
    end: {
      end: TAP_ENDS[words[at + 2]!]!,
      errno: words[at + 3]!,
      bytes: words[at + 4]!,
      durationMs: words[at + 5]!,
    },
  };
}
