/**
 * Who may log in: the users file and the check of passwords. Stage: handshake; called by the flow on `authenticate`.
 * On a re-read of the file make a new object, which knows nothing of what the old one had verified.
 *
 * One user a line, `name:hash`; see password.ts for the hash. Empty lines and lines that begin with `#` are skipped.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { ConfigError } from '../errors.js';
import { Gate } from './gate.js';
import { DEFAULT_COST, type Derive, type PasswordHash, deriveScrypt, parseHash } from './password.js';

export { hashPassword } from './password.js';

const NAME_LIMIT = 255;
const MOST_REMEMBERED = 1024;

/**
 * For the whole process, because all `Users` share one thread pool. It has four threads by default and resolves names
 * as well, so passwords get half of it. Waiting is bounded so that a flood of wrong passwords costs no memory.
 */
const SHARED_GATE = new Gate(2, 512);

/** Keys the memory of verified pairs, so that a heap dump holds no fast hash to try passwords on. */
const PROCESS_KEY = randomBytes(32);

export interface UsersInternals {
  /** For tests: counts or replaces scrypt. */
  readonly derive?: Derive;
  readonly gate?: Gate;
}

function digest(name: string, password: string): Buffer {
  // The length keeps apart what a separator could not: names come off the wire with any character in them.
  return createHmac('sha256', PROCESS_KEY).update(`${name.length}:`).update(name).update(password).digest();
}

export class Users {
  readonly #hashes: ReadonlyMap<string, PasswordHash>;
  /** Stand-ins for unknown names, one for each known user, so that both cost the same. */
  readonly #decoys: readonly PasswordHash[];
  readonly #derive: Derive;
  readonly #gate: Gate;
  /** Pairs that were right, the latest last. */
  readonly #remembered = new Set<string>();
  /** Verifications under way, by pair. */
  readonly #underway = new Map<string, Promise<boolean>>();
  #turnedAway = 0;

  private constructor(hashes: ReadonlyMap<string, PasswordHash>, internals: UsersInternals) {
    this.#hashes = hashes;
    this.#decoys = [...hashes.values()];
    this.#derive = internals.derive ?? deriveScrypt;
    this.#gate = internals.gate ?? SHARED_GATE;
  }

  /**
   * Reads the text of a users file; `file` is for messages, which never show a hash or a password.
   *
   * @throws ConfigError with file and line on the first mistake, and when there is no user at all.
   */
  static parse(text: string, file: string, internals: UsersInternals = {}): Users {
    const hashes = new Map<string, PasswordHash>();
    const lines = new Map<string, number>();
    text
      .replace(/^\ufeff/, '')
      .split(/\r?\n/)
      .forEach((raw, i) => {
        const entry = raw.trim();
        if (entry === '' || entry.startsWith('#')) return;
        const line = i + 1;
        const colon = entry.indexOf(':');
        if (colon === -1) throw new ConfigError('there is no colon; a line is name:hash', { file, line });
        const name = entry.slice(0, colon);
        const problem = wrongName(name);
        if (problem !== undefined) throw new ConfigError(problem, { file, line });
        const first = lines.get(name);
        if (first !== undefined) {
          throw new ConfigError(`user "${name}" is already on line ${first}; remove one of the two`, { file, line });
        }
        const hash = parseHash(entry.slice(colon + 1));
        if (typeof hash === 'string') throw new ConfigError(`user "${name}": ${hash}`, { file, line });
        hashes.set(name, hash);
        lines.set(name, line);
      });
    if (hashes.size === 0) {
      throw new ConfigError('there is no user, so nobody could log in; add one with "splice-ctl passwd"', { file });
    }
    return new Users(hashes, internals);
  }

  get size(): number {
    return this.#hashes.size;
  }

  /** Verifications refused unseen because too many were waiting. */
  get turnedAway(): number {
    return this.#turnedAway;
  }

  has(name: string): boolean {
    return this.#hashes.has(name);
  }

  /**
   * Whether the password is right. A pair that was right before is answered from memory; one that is being checked is
   * not checked twice. Unknown names take as long as known ones. False also when too many checks are waiting.
   *
   * @throws SpliceError (as a rejection) when scrypt itself fails, for want of memory.
   */
  async verify(name: string, password: string): Promise<boolean> {
    const pair = digest(name, password).toString('base64');
    if (this.#remembered.delete(pair)) {
      this.#remembered.add(pair);
      return true;
    }
    const underway = this.#underway.get(pair);
    if (underway !== undefined) return underway;

    const check = this.#gate.run(() => this.#check(name, password));
    if (check === undefined) {
      this.#turnedAway++;
      return false;
    }
    const settled = check
      .then((ok) => {
        if (ok) this.#remember(pair);
        return ok;
      })
      .finally(() => this.#underway.delete(pair));
    this.#underway.set(pair, settled);
    return settled;
  }

  async #check(name: string, password: string): Promise<boolean> {
    const known = this.#hashes.get(name);
    const { cost, salt, hash } = known ?? this.#decoy(name);
    const derived = await this.#derive(password, salt, hash.length, cost);
    return timingSafeEqual(derived, hash) && known !== undefined;
  }

  /** The same decoy for the same name each time, and costs as often as real users have them. */
  #decoy(name: string): PasswordHash {
    const decoy = this.#decoys[digest(name, '').readUInt32BE(0) % this.#decoys.length];
    return decoy ?? { cost: DEFAULT_COST, salt: PROCESS_KEY, hash: PROCESS_KEY };
  }

  #remember(pair: string): void {
    this.#remembered.add(pair);
    if (this.#remembered.size <= MOST_REMEMBERED) return;
    for (const oldest of this.#remembered) {
      this.#remembered.delete(oldest);
      break;
    }
  }
}

/** What is wrong with the name of a user, for a person; undefined when nothing is. `splice-ctl passwd` asks as well. */
export function wrongName(name: string): string | undefined {
  if (name === '') return 'the user name is empty';
  if (name.includes(':') || name.startsWith('#')) return 'a user name has no colon and does not begin with #';
  if (name !== name.trim()) return 'there is a space beside the user name; remove it';
  if (/[\u0000-\u001f\u007f-\u009f]/.test(name)) return 'the user name has a control character';
  if (Buffer.byteLength(name) > NAME_LIMIT)
    return `the user name is longer than ${NAME_LIMIT} bytes, more than SOCKS carries`;
  return undefined;
}
