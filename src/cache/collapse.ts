/**
 * Collapsed forwarding (RFC 9111 section 4): of many requests with one question, one asks the origin and the others
 * wait for its answer. Called by the proxy for every forward that decide.ts calls collapsible; a state machine without
 * a clock or a timer. What it returns is to be done by the caller; what it is told is what happened.
 *
 * The danger is the answer that nobody may share: if each follower then became the next leader, the queue would be
 * served one by one. So such an answer releases all at once, and is remembered for a while, during which nobody waits
 * for that key any more. A follower never waits longer than a limit, nor do more than a limit wait.
 */
import { ownText } from '../own-text.js';
import type { Shared } from './decide-response.js';
import { KeyFamilies } from './key-families.js';

export interface CollapseLimits {
  /** Followers of one leader. */
  readonly mostWaiting: number;
  /** Milliseconds that a follower waits. */
  readonly longestWait: number;
  /** Milliseconds for which a key is remembered as one that nobody may share. */
  readonly passFor: number;
  /** Keys remembered, and characters of them; the oldest are forgotten. */
  readonly mostPasses: number;
  readonly mostPassCharacters: number;
  /** Leaders in a row that may fail before all followers are let go. */
  readonly mostLeaders: number;
}

export const DEFAULT_COLLAPSE_LIMITS: CollapseLimits = {
  mostWaiting: 10_000,
  longestWait: 10_000,
  passFor: 60_000,
  mostPasses: 10_000,
  // Clients choose how long a URI is. 200 characters for each of the passes, 2 to 4 MB in all.
  mostPassCharacters: 2 * 1024 * 1024,
  mostLeaders: 3,
};

/** What a request that arrives has to do. */
export type Role =
  /** Ask the origin, and say how it went. */
  | 'lead'
  /** Wait until told. */
  | 'wait'
  /** Ask the origin, nobody depends on it. */
  | 'pass';

/** What requests that waited have to do now. */
export interface Release<Id> {
  /** Decide anew: the answer is stored, or being stored, and may suit them. */
  readonly reuse: readonly Id[];
  /** Ask the origin by themselves, all at once. */
  readonly pass: readonly Id[];
  /** This one leads from now on; it decides anew, and the others go on waiting for it. */
  readonly lead: Id | undefined;
}

interface Group<Id> {
  /** Undefined when it is over: the map's old tables may keep a group for long (see src/flow/roster.ts). */
  leader: Id | undefined;
  /** In order of arrival, with the time of it. */
  readonly waiting: Map<Id, number>;
  /** How many leaders there have been without an answer. */
  leaders: number;
}

export class Collapse<Id> {
  readonly #limits: CollapseLimits;
  readonly #groups = new Map<string, Group<Id>>();
  /** Until when a key is not shared; in order of insertion, which is nearly that of expiry. */
  readonly #passes = new Map<string, number>();
  readonly #families = new KeyFamilies();
  #passCharacters = 0;

  constructor(limits: CollapseLimits = DEFAULT_COLLAPSE_LIMITS) {
    this.#limits = limits;
  }

  /** Requests that wait, of all keys. */
  get waiting(): number {
    let sum = 0;
    for (const group of this.#groups.values()) sum += group.waiting.size;
    return sum;
  }

  /** Keys with a leader. */
  get size(): number {
    return this.#groups.size;
  }

  /** A request wants to be forwarded. `id` is new: no request arrives twice without having been released. */
  arrive(key: string, id: Id, now: number): Role {
    const group = this.#groups.get(key);
    if (group !== undefined) {
      if (group.waiting.size >= this.#limits.mostWaiting) return 'pass';
      group.waiting.set(id, now);
      return 'wait';
    }
    const until = this.#passes.get(key);
    if (until !== undefined) {
      if (now < until) return 'pass';
      this.#endPass(key);
    }
    this.#groups.set(key, { leader: id, waiting: new Map(), leaders: 1 });
    return 'lead';
  }

  /** For a validation in the background: true if this one is to do it, false if somebody is asking already. */
  tryLead(key: string, id: Id): boolean {
    if (this.#groups.has(key)) return false;
    this.#groups.set(key, { leader: id, waiting: new Map(), leaders: 1 });
    return true;
  }

  /** The head of the leader's answer has been decided. From a request that does not lead this changes nothing. */
  answered(key: string, id: Id, shared: Shared, now: number): Release<Id> {
    const group = this.#groups.get(key);
    if (group === undefined || group.leader !== id) {
      // Who passed and found that the answer can be shared after all ends the passing.
      if (shared === 'shared') this.#endPass(key);
      return nothing();
    }
    switch (shared) {
      case 'shared':
        this.#endPass(key);
        return this.#dissolve(key, group, 'reuse');
      case 'pass':
        this.#remember(key, now);
        return this.#dissolve(key, group, 'pass');
      case 'pass-once':
        return this.#dissolve(key, group, 'pass');
      case 'again':
        return this.#next(key, group);
    }
  }

  /** The leader got no answer, or is gone and its fetch with it. */
  failed(key: string, id: Id): Release<Id> {
    const group = this.#groups.get(key);
    if (group === undefined || group.leader !== id) return nothing();
    return this.#next(key, group);
  }

  /** A follower is gone. */
  left(key: string, id: Id): void {
    this.#groups.get(key)?.waiting.delete(id);
  }

  /** Followers that have waited long enough: they ask by themselves. To be called now and then. */
  expire(now: number): Id[] {
    const { longestWait } = this.#limits;
    const tired: Id[] = [];
    for (const { waiting } of this.#groups.values()) {
      for (const [id, since] of waiting) {
        if (now - since < longestWait) break;
        waiting.delete(id);
        tired.push(id);
      }
    }
    for (const [key, until] of this.#passes) {
      if (until > now) break;
      this.#endPass(key);
    }
    return tired;
  }

  /** What a purge has to do as well: the resource may have become cacheable. */
  forget(key: string): void {
    this.#endPass(key);
  }

  /** The same for every key that adds fields to this URI. */
  forgetFamily(uri: string): void {
    for (const key of [...this.#families.of(uri)]) this.#endPass(key);
  }

  /** The same for every key that begins so. */
  forgetPrefix(prefix: string): void {
    for (const key of this.#passes.keys()) if (key.startsWith(prefix)) this.#endPass(key);
  }

  #next(key: string, group: Group<Id>): Release<Id> {
    const [next] = group.waiting.keys();
    if (next === undefined || group.leaders >= this.#limits.mostLeaders) return this.#dissolve(key, group, 'pass');
    group.waiting.delete(next);
    group.leader = next;
    group.leaders++;
    return { ...nothing<Id>(), lead: next };
  }

  #dissolve(key: string, group: Group<Id>, as: 'reuse' | 'pass'): Release<Id> {
    this.#groups.delete(key);
    group.leader = undefined;
    return { ...nothing<Id>(), [as]: [...group.waiting.keys()] };
  }

  #remember(key: string, now: number): void {
    this.#endPass(key);
    const own = ownText(key);
    this.#passes.set(own, now + this.#limits.passFor);
    this.#passCharacters += own.length;
    this.#families.add(own);
    const { mostPasses, mostPassCharacters } = this.#limits;
    for (const oldest of this.#passes.keys()) {
      if (this.#passes.size <= mostPasses && this.#passCharacters <= mostPassCharacters) break;
      this.#endPass(oldest);
    }
  }

  #endPass(key: string): void {
    if (!this.#passes.delete(key)) return;
    this.#passCharacters -= key.length;
    this.#families.delete(key);
  }
}

function nothing<Id>(): Release<Id> {
  return { reuse: [], pass: [], lead: undefined };
}
