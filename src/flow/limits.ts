/**
 * Stage accept: how many connections there are, in all, per client address and per user. The counts
 * live in the addon (addon/quota.cc), because the threads of one server count together; what this
 * thread holds itself is known here, for a drain.
 */
import type { Quota } from '../native.js';

export interface LimitSettings {
  /** Connections at one time; Infinity: no limit. */
  readonly connections: number;
  readonly perClient: number;
  readonly perUser: number;
}

/** How a connection was counted in: `counted` also under its client. */
export type Seat = 'refused' | 'uncounted' | 'counted';

export class Limits {
  readonly #quota: Quota;
  #settings: LimitSettings;
  #total = 0;

  constructor(settings: LimitSettings, quota: Quota) {
    this.#quota = quota;
    this.#settings = settings;
    quota.limitSeats(settings.connections);
  }

  get settings(): LimitSettings {
    return this.#settings;
  }

  set settings(settings: LimitSettings) {
    this.#settings = settings;
    this.#quota.limitSeats(settings.connections);
  }

  /** Connections of this thread. */
  get total(): number {
    return this.#total;
  }

  /**
   * Counts an accepted connection in, which has its seat already: the reactor accepts nobody without one. `refused`,
   * and the seat is free again, when its client has enough. Without a limit nobody is counted by client, which would
   * cost every connection; a limit that is set later counts those that come after it.
   */
  enter(client: string): Seat {
    const { perClient } = this.#settings;
    if (perClient !== Infinity && !this.#quota.enter(clientKey(client), perClient)) {
      this.#quota.leaveSeat();
      return 'refused';
    }
    this.#total++;
    return perClient === Infinity ? 'uncounted' : 'counted';
  }

  /** `vacated`: its seat was given back before, by {@link vacate}. */
  leave(client: string, seat: Seat, vacated = false): void {
    this.#total--;
    if (seat === 'counted') this.#quota.leave(clientKey(client));
    if (!vacated) this.#quota.leaveSeat();
  }

  /** Gives back the seat of a connection that needs it no more, but lives on: its client and user stay counted. */
  vacate(): void {
    this.#quota.leaveSeat();
  }

  /** Counts a connection to its user; false, counting nothing, when the user has enough. */
  enterUser(user: string): boolean {
    return this.#quota.enter(userKey(user), this.#settings.perUser);
  }

  leaveUser(user: string): void {
    this.#quota.leave(userKey(user));
  }
}

// One table holds both: a user may be called like an address.
const clientKey = (client: string): string => `c${client}`;
const userKey = (user: string): string => `u${user}`;
