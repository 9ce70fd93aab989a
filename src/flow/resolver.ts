/**
 * Stage handshake: names to addresses, as the host's own programs see them (/etc/hosts, nsswitch,
 * resolv.conf: getaddrinfo(3) in libuv's thread pool). Questions that are asked already are not
 * asked twice; nothing is kept once it is answered, because getaddrinfo tells no lifetime.
 */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { failureFromErrno, type ConnectFailure } from '../socks/failure.js';

export type Resolution = { ok: true; addresses: readonly string[] } | { ok: false; failure: ConnectFailure };

/** Asks the operating system; rejects with an error that has a `code`. */
export type Lookup = (name: string) => Promise<readonly string[]>;

const systemLookup: Lookup = async (name) => {
  const found = await lookup(name, { all: true, order: 'verbatim' });
  return found.map((entry) => entry.address);
};

export class Resolver {
  readonly #lookup: Lookup;
  readonly #underway = new Map<string, Promise<Resolution>>();

  constructor(lookup: Lookup = systemLookup) {
    this.#lookup = lookup;
  }

  /** Never rejects. A literal is its own answer. */
  resolve(host: string): Promise<Resolution> {
    if (isIP(host) !== 0) return Promise.resolve({ ok: true, addresses: [host] });
    const key = host.toLowerCase();
    let answer = this.#underway.get(key);
    if (answer === undefined) {
      answer = this.#ask(host).finally(() => this.#underway.delete(key));
      this.#underway.set(key, answer);
    }
    return answer;
  }

  async #ask(host: string): Promise<Resolution> {
    try {
      return { ok: true, addresses: await this.#lookup(host) };
    } catch (error) {
      return { ok: false, failure: failureFromErrno((error as NodeJS.ErrnoException).code ?? '') };
    }
  }
}
