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
   * Counts an accepted connection in, which has its seat already: the reactor accepts nobody without one.
   * False, and the seat is free again, when its client has enough.
   */
  enter(client: string): boolean {
    if (!this.#quota.enter(clientKey(client), this.#settings.perClient)) {
      this.#quota.leaveSeat();
      return false;
    }
    this.#total++;
    return true;
  }

  leave(client: string): void {
    this.#total--;
    this.#quota.leave(clientKey(client));
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
