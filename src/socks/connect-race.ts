/**
 * Which of several addresses to connect to, and when: happy eyeballs, RFC 8305, without sockets and without a clock.
 * Stage: handshake, between the resolver and the connected target. The flow carries out the commands in order and
 * reports what became of each attempt; a late or repeated report is ignored, so reports may cross with cancels.
 *
 * Where this differs from RFC 8305:
 * - Section 4 starts with the family that the resolver put first. Here IPv6 always goes first, then the families take
 *   turns; the resolver's order holds within each family. A relay cannot know the addresses its resolver sorted for.
 * - Section 3 connects while the other family is still being resolved. Here all addresses are known at the start.
 * - Section 5 lets the delay follow measured round trips. Here it is constant.
 *
 * There is one timer: `arm-delay` replaces an earlier one, and a stale one may fire without harm.
 */
import type { ConnectFailure } from './failure.js';

export type RaceCommand =
  /** Begin to connect. */
  | { readonly kind: 'attempt'; readonly address: string }
  /** Call `delayElapsed()` after `ms`, in place of any earlier delay. */
  | { readonly kind: 'arm-delay'; readonly ms: number }
  /** Close this attempt; nothing more need be reported about it. */
  | { readonly kind: 'cancel'; readonly address: string }
  /** The race is over: use this connection. */
  | { readonly kind: 'won'; readonly address: string }
  /** The race is over: there is no connection. */
  | { readonly kind: 'lost'; readonly failure: ConnectFailure };

export interface RaceOptions {
  /** Head start of an attempt over the next one, in milliseconds. **Default:** `250` (RFC 8305 section 8). */
  readonly attemptDelayMs?: number;
  /** Addresses tried at most, 1 to 30; bounds what one request can set in motion. **Default:** `8`. */
  readonly maxAttempts?: number;
}

/** Attempts are bits of a 32-bit number. */
const MOST_ATTEMPTS = 30;

/**
 * The most telling failure first. A refusal proves that the target was reached. A host that is unreachable was looked
 * for by somebody near it. A time-out means that packets left and were lost. The rest speaks about this host alone;
 * in particular a missing IPv6 route must not hide that IPv4 timed out.
 */
const TELLING: readonly ConnectFailure[] = [
  'refused',
  'unreachable-host',
  'timed-out',
  'denied',
  'unreachable-network',
  'limit',
  'failed',
  'name-not-found',
];

/** IPv6 and IPv4 in turns, IPv6 first, each address once. */
export function interleave(addresses: readonly string[]): string[] {
  const distinct = [...new Set(addresses)];
  const six = distinct.filter((address) => address.includes(':'));
  const four = distinct.filter((address) => !address.includes(':'));
  const order: string[] = [];
  for (let i = 0; i < Math.max(six.length, four.length); i++) {
    const a = six[i];
    const b = four[i];
    if (a !== undefined) order.push(a);
    if (b !== undefined) order.push(b);
  }
  return order;
}

export class ConnectRace {
  readonly #order: readonly string[];
  readonly #attemptDelayMs: number;
  /** Index of the next address to try; `#order.length` when none is left. */
  #next = 0;
  /** Bit i: the attempt on `#order[i]` is under way. */
  #flying = 0;
  #failure: ConnectFailure | undefined;
  #over = false;

  constructor(addresses: readonly string[], options?: RaceOptions) {
    const most = Math.min(MOST_ATTEMPTS, Math.max(1, options?.maxAttempts ?? 8));
    // One address is the usual case: a literal, or a name with one record.
    this.#order = addresses.length === 1 ? addresses : interleave(addresses).slice(0, most);
    this.#attemptDelayMs = options?.attemptDelayMs ?? 250;
  }

  /** True after `won` or `lost`. */
  get over(): boolean {
    return this.#over;
  }

  /** Begins. Without any address the race is lost at once: the name has none. */
  start(): RaceCommand[] {
    if (this.#over || this.#next > 0) return [];
    return this.#proceed();
  }

  /** An attempt came to nothing; the next one need not wait. */
  failed(address: string, failure: ConnectFailure): RaceCommand[] {
    if (!this.#land(address)) return [];
    this.#note(failure);
    return this.#proceed();
  }

  /** An attempt is connected: it wins, the others are cancelled. */
  connected(address: string): RaceCommand[] {
    if (!this.#land(address)) return [];
    const commands = this.#cancelAll();
    commands.push({ kind: 'won', address });
    return commands;
  }

  /** The head start is over. */
  delayElapsed(): RaceCommand[] {
    if (this.#over || this.#next === 0 || this.#next === this.#order.length) return [];
    return this.#proceed();
  }

  /** Gives up, because the time for the whole is over or the client is gone. `failure` stands for all open attempts. */
  abandon(failure: ConnectFailure): RaceCommand[] {
    if (this.#over) return [];
    this.#note(failure);
    const commands = this.#cancelAll();
    commands.push({ kind: 'lost', failure: this.#failure ?? failure });
    return commands;
  }

  #proceed(): RaceCommand[] {
    const address = this.#order[this.#next];
    if (address === undefined) {
      if (this.#flying !== 0) return [];
      this.#over = true;
      return [{ kind: 'lost', failure: this.#failure ?? 'name-not-found' }];
    }
    this.#flying |= 1 << this.#next++;
    const attempt: RaceCommand = { kind: 'attempt', address };
    return this.#next === this.#order.length ? [attempt] : [attempt, { kind: 'arm-delay', ms: this.#attemptDelayMs }];
  }

  /** Takes an attempt out of the air; false when it is not there, or the race is over. */
  #land(address: string): boolean {
    if (this.#over) return false;
    const bit = 1 << this.#order.indexOf(address); // an unknown address gives bit 31, which never flies
    if ((this.#flying & bit) === 0) return false;
    this.#flying &= ~bit;
    return true;
  }

  #note(failure: ConnectFailure): void {
    if (this.#failure === undefined || TELLING.indexOf(failure) < TELLING.indexOf(this.#failure))
      this.#failure = failure;
  }

  #cancelAll(): RaceCommand[] {
    this.#over = true;
    const commands: RaceCommand[] = [];
    if (this.#flying === 0) return commands;
    this.#order.forEach((address, i) => {
      if ((this.#flying & (1 << i)) !== 0) commands.push({ kind: 'cancel', address });
    });
    this.#flying = 0;
    return commands;
  }
}
