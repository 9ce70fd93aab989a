/**
 * Stage handshake: names to addresses, as the host's own programs see them (/etc/hosts, nsswitch,
 * resolv.conf: getaddrinfo(3) in libuv's thread pool). Questions that are asked already are not
 * asked twice; nothing is kept once it is answered, because getaddrinfo tells no lifetime.
 *
 * getaddrinfo cannot be cancelled, and a name server that keeps silent holds a thread for many seconds. So questions wait
 * here and not in the pool: a bounded number, and whoever has gone meanwhile is not asked for any more. Else a client with
 * many such names would keep everybody's from being answered, long after it has left.
 */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { failureFromErrno, type ConnectFailure } from '../socks/failure.js';
import { Gate } from '../socks/gate.js';

export type Resolution = { ok: true; addresses: readonly string[] } | { ok: false; failure: ConnectFailure };

/** Asks the operating system; rejects with an error that has a `code`. */
export type Lookup = (name: string) => Promise<readonly string[]>;

/** Threads of the pool that stay free for passwords, which check two at a time (socks/users.ts). */
const THREADS_FOR_PASSWORDS = 2;
/** Threads that libuv makes when it is told no number. */
const DEFAULT_THREADS = 4;
const MOST_WAITING = 4096;

function systemGate(): Gate {
  const threads = Number(process.env['UV_THREADPOOL_SIZE']) || DEFAULT_THREADS;
  return new Gate(Math.max(1, threads - THREADS_FOR_PASSWORDS), MOST_WAITING);
}

interface Question {
  readonly answer: Promise<Resolution>;
  /** Whether each of those who asked still waits. */
  readonly wanted: (() => boolean)[];
}

const systemLookup: Lookup = async (name) => {
  const found = await lookup(name, { all: true, order: 'verbatim' });
  return found.map((entry) => entry.address);
};

export class Resolver {
  readonly #lookup: Lookup;
  readonly #gate: Gate;
  readonly #underway = new Map<string, Question>();

  constructor(lookup: Lookup = systemLookup, gate: Gate = systemGate()) {
    this.#lookup = lookup;
    this.#gate = gate;
  }

  /**
   * Never rejects. A literal is its own answer. A question whose turn comes when nobody wants its answer any more is not
   * asked; `limit` when too many wait.
   */
  resolve(host: string, wanted: () => boolean = () => true): Promise<Resolution> {
    if (isIP(host) !== 0) return Promise.resolve({ ok: true, addresses: [host] });
    const key = host.toLowerCase();
    const known = this.#underway.get(key);
    if (known !== undefined) {
      known.wanted.push(wanted);
      return known.answer;
    }
    const all = [wanted];
    const answer = this.#wait(host, all).finally(() => this.#underway.delete(key));
    this.#underway.set(key, { answer, wanted: all });
    return answer;
  }

  async #wait(host: string, wanted: readonly (() => boolean)[]): Promise<Resolution> {
    const answer = this.#gate.run(async () =>
      wanted.some((still) => still()) ? this.#ask(host) : ({ ok: false, failure: 'timed-out' } as const),
    );
    return answer ?? { ok: false, failure: 'limit' };
  }

  async #ask(host: string): Promise<Resolution> {
    try {
      return { ok: true, addresses: await this.#lookup(host) };
    } catch (error) {
      return { ok: false, failure: failureFromErrno((error as NodeJS.ErrnoException).code ?? '') };
    }
  }
}
