/**
 * Stage accept: the listening sockets of a server, and when they rest. They rest while the limit
 * of connections is reached (clients then wait in the kernel's backlog instead of being turned
 * away) and for a moment after the process ran out of descriptors.
 */
import { SpliceError } from '../errors.js';
import { decodeAddress } from '../flow/address.js';
import { native } from '../native.js';
import { formatAddress, type HostPort } from './config.js';
import type { Logger } from './logging.js';
import type { ReactorHost } from './reactor-host.js';

/** Connections that the kernel keeps for us; it caps this at net.core.somaxconn. */
const BACKLOG = 4096;
/** Milliseconds to rest when descriptors or memory have run out: some flow may end meanwhile. */
const EXHAUSTED_MS = 100;

/** Opens a listening descriptor. @throws SpliceError `ERR_SPLICE_LISTEN`, with the way out */
export function openListener({ host, port }: HostPort): number {
  try {
    return native().listen(host, port, BACKLOG, false);
  } catch (cause) {
    const where = formatAddress({ host, port });
    const code = (cause as NodeJS.ErrnoException).code ?? '';
    throw new SpliceError('ERR_SPLICE_LISTEN', `cannot listen on ${where}: ${ADVICE[code] ?? code}`, { cause });
  }
}

const ADVICE: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another process listens there; stop it, or choose another port with --listen',
  EACCES: 'ports below 1024 need root or CAP_NET_BIND_SERVICE; choose a higher one with --listen',
  EADDRNOTAVAIL: 'no interface of this machine has that address',
  EAFNOSUPPORT: 'this machine has no such address family',
};

export class Listeners {
  readonly addresses: readonly HostPort[];
  readonly #host: ReactorHost;
  readonly #logger: Logger;
  readonly #slots: number[];
  readonly #full: () => boolean;
  #resting = false;
  #exhausted: NodeJS.Timeout | undefined;

  /** Owns `descriptors` from now on. `full` says whether one more connection would be too many. */
  constructor(host: ReactorHost, descriptors: readonly number[], logger: Logger, accepted: (slot: number, peer: Uint8Array) => void, full: () => boolean) {
    this.#host = host;
    this.#logger = logger;
    this.#full = full;
    this.addresses = descriptors.map((fd) => {
      const { address, port } = decodeAddress(native().describe(fd).local ?? new Uint8Array(0));
      return { host: address, port };
    });
    this.#slots = descriptors.map((fd) =>
      host.listen(fd, {
        onAccepted: (slot, _listener, peer) => {
          accepted(slot, peer);
          if (full()) this.#rest('the limit of connections is reached');
        },
        onAcceptFailed: (_listener, errno) => this.#exhaust(errno),
      }),
    );
  }

  /** A connection has left: accepts again if that was waited for. */
  relieved(): void {
    if (this.#resting && this.#exhausted === undefined && !this.#full()) this.#wake();
  }

  /** Stops listening; clients get a refusal from the kernel. */
  close(): void {
    clearTimeout(this.#exhausted);
    for (const slot of this.#slots) this.#host.closeListener(slot);
    this.#slots.length = 0;
    this.#resting = false;
  }

  #rest(why: string): void {
    if (this.#resting) return;
    this.#resting = true;
    this.#logger.warn({ why }, 'accepting no more for now');
    for (const slot of this.#slots) this.#host.reactor.pause(slot);
  }

  #wake(): void {
    this.#resting = false;
    for (const slot of this.#slots) this.#host.reactor.resume(slot);
  }

  #exhaust(errno: number): void {
    if (this.#exhausted !== undefined) return;
    this.#rest(`accept failed with errno ${errno}: descriptors or memory have run out`);
    this.#exhausted = setTimeout(() => {
      this.#exhausted = undefined;
      this.relieved();
    }, EXHAUSTED_MS);
  }
}
