/**
 * What the store tells the operator, in a log that stays readable: a disk that is full says so for every response that
 * it does not take, thousands of times a second. One line a kind in a while; the next one says how many there were.
 */
import type { StoreEvent } from '../cache/store/errors.js';

export interface DeskLogger {
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
}

/** What the desk itself has to say, beside the store's events. */
export interface DeskEvent {
  readonly kind: StoreEvent['kind'] | 'slow-disk' | 'tags-left-out' | 'refused';
  readonly text: string;
  readonly path?: string;
  readonly error?: unknown;
}

const QUIET_MS = 10_000;

/** What says that the disk does not take what it should. */
const DISK_KINDS: ReadonlySet<DeskEvent['kind']> = new Set(['disk-full', 'denied', 'io-error', 'stalled']);
/** The store makes room when the disk is full; whether that was enough is known after some responses. */
const TROUBLE_MS = 10_000;

interface Kind {
  /** When a line was written last. */
  at: number;
  /** Events since then, and the latest of them. */
  held: number;
  last: DeskEvent | undefined;
}

export class DeskEvents {
  readonly #logger: DeskLogger | undefined;
  readonly #onEvent: ((event: DeskEvent) => void) | undefined;
  readonly #clock: () => number;
  readonly #kinds = new Map<DeskEvent['kind'], Kind>();

  #troubleAt = -Infinity;

  /** `onEvent` hears of every event, `logger` of some. */
  constructor(
    logger: DeskLogger | undefined,
    onEvent: ((event: DeskEvent) => void) | undefined,
    clock: () => number = () => performance.now(),
  ) {
    this.#logger = logger;
    this.#onEvent = onEvent;
    this.#clock = clock;
  }

  /** The disk has failed a moment ago, and may again. */
  get diskTroubled(): boolean {
    return this.#clock() - this.#troubleAt < TROUBLE_MS;
  }

  tell(event: DeskEvent): void {
    this.#onEvent?.(event);
    const now = this.#clock();
    if (DISK_KINDS.has(event.kind)) this.#troubleAt = now;
    const kind = this.#kinds.get(event.kind);
    if (kind === undefined) {
      this.#kinds.set(event.kind, { at: now, held: 0, last: undefined });
      this.#write(event, 0);
    } else if (now - kind.at >= QUIET_MS) {
      this.#write(event, kind.held);
      kind.at = now;
      kind.held = 0;
    } else {
      kind.held++;
      kind.last = event;
    }
  }

  /** Writes what is held back long enough; `all`: everything, at the end. */
  flush(all = false): void {
    const now = this.#clock();
    for (const kind of this.#kinds.values()) {
      if (kind.held === 0 || kind.last === undefined || (!all && now - kind.at < QUIET_MS)) continue;
      this.#write(kind.last, kind.held - 1);
      kind.at = now;
      kind.held = 0;
    }
  }

  /** `more`: events of the kind that had no line of their own. */
  #write({ kind, text, path, error }: DeskEvent, more: number): void {
    const fields = {
      event: kind,
      ...(more > 0 && { more }),
      ...(path !== undefined && { path }),
      ...(error !== undefined && { err: error }),
    };
    if (kind === 'opened') this.#logger?.info(fields, `cache: ${text}`);
    else this.#logger?.warn(fields, `cache: ${text}`);
  }
}
