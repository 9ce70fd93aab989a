/** Stage accept: how many connections there are, in all, per client address and per user. */

export interface LimitSettings {
  /** Connections at one time; Infinity: no limit. */
  connections: number;
  perClient: number;
  perUser: number;
}

export class Limits {
  settings: LimitSettings;
  #total = 0;
  readonly #clients = new Map<string, number>();
  readonly #users = new Map<string, number>();

  constructor(settings: LimitSettings) {
    this.settings = settings;
  }

  get total(): number {
    return this.#total;
  }

  get full(): boolean {
    return this.#total >= this.settings.connections;
  }

  /** Counts a connection in; false, counting nothing, when its client has enough. */
  enter(client: string): boolean {
    const count = this.#clients.get(client) ?? 0;
    if (count >= this.settings.perClient) return false;
    this.#clients.set(client, count + 1);
    this.#total++;
    return true;
  }

  leave(client: string): void {
    this.#total--;
    decrease(this.#clients, client);
  }

  /** Counts a connection to its user; false, counting nothing, when the user has enough. */
  enterUser(user: string): boolean {
    const count = this.#users.get(user) ?? 0;
    if (count >= this.settings.perUser) return false;
    this.#users.set(user, count + 1);
    return true;
  }

  leaveUser(user: string): void {
    decrease(this.#users, user);
  }
}

function decrease(counts: Map<string, number>, key: string): void {
  const count = counts.get(key) ?? 0;
  if (count <= 1) counts.delete(key);
  else counts.set(key, count - 1);
}
