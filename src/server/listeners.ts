/**
 * Stage accept: the listening sockets of a server, and when they rest. They rest while the limit
 * of connections is reached (clients then wait in the kernel's backlog instead of being turned
 * away) and for a moment after the process ran out of descriptors. The limit is exact, because the
 * reactor takes a seat of the quota before it accepts.
 */
import { ConfigError, SpliceError } from '../errors.js';
import { decodeAddress } from '../flow/address.js';
import { native, type Quota } from '../native.js';
import { formatAddress, type HostPort } from './config.js';
import type { Logger } from './logging.js';
import type { ListenerOwner, ReactorHost } from './reactor-host.js';
import type { InheritedSocket } from './systemd.js';

/** Connections that the kernel keeps for us; it caps this at net.core.somaxconn. */
const BACKLOG = 4096;
/** Milliseconds to rest when descriptors or memory have run out: some flow may end meanwhile. */
const EXHAUSTED_MS = 100;
/** A full server may rest and wake with every connection: it says so once in so many milliseconds. */
const SAY_AGAIN_MS = 10_000;

/**
 * Opens what a server listens on: one list of descriptors for each of `shares` threads, which belong to the caller.
 * Sockets from systemd replace the configured addresses; their own descriptors are closed, and `exposure` says why they
 * must not be listened on.
 * @throws ConfigError, or SpliceError `ERR_SPLICE_LISTEN`; nothing that was opened stays open then
 */
export function openListeners(
  addresses: readonly HostPort[],
  inherited: readonly InheritedSocket[],
  shares: number,
  exposure: (addresses: readonly HostPort[]) => string | undefined,
): number[][] {
  const opened = Array.from({ length: shares }, (): number[] => []);
  try {
    for (const socket of inherited) adoptListener(socket, opened);
    if (inherited.length === 0) {
      for (const address of addresses) openShared(address, opened);
    } else {
      const mistake = exposure((opened[0] ?? []).map(localAddress));
      if (mistake !== undefined) throw new ConfigError(`socket activation: ${mistake}`);
    }
    return opened;
  } catch (error) {
    for (const fd of opened.flat()) native().close(fd);
    throw error;
  }
}

// The first socket is bound without SO_REUSEPORT, so that an address where another process listens is refused, whatever
// that process shares; only then the address is opened to our own. It also settles port 0 for all.
function openShared(address: HostPort, opened: number[][]): void {
  let { port } = address;
  opened.forEach((share, index) => {
    const fd = openListener({ host: address.host, port }, index > 0);
    share.push(fd);
    if (index > 0 || opened.length === 1) return;
    native().sharePort(fd);
    ({ port } = localAddress(fd));
  });
}

/** A listening socket of systemd's; ours must not block and must not reach children, so it is duplicated so. */
function adoptListener({ fd }: InheritedSocket, opened: number[][]): void {
  if (!native().describe(fd).listening) throw new ConfigError(`socket activation: descriptor ${fd} does not listen`);
  for (const share of opened) share.push(native().duplicate(fd));
  native().close(fd);
}

/** Where a descriptor listens. */
export function localAddress(fd: number): HostPort {
  const { address, port } = decodeAddress(native().describe(fd).local ?? new Uint8Array(0));
  return { host: address, port };
}

function openListener({ host, port }: HostPort, reusePort: boolean): number {
  try {
    return native().listen(host, port, BACKLOG, reusePort);
  } catch (cause) {
    if (cause instanceof SpliceError) throw cause; // no addon: it says itself what to do
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
  readonly #slots: number[] = [];
  #resting = false;
  #saidAt = -Infinity;
  #exhausted: NodeJS.Timeout | undefined;

  /**
   * Owns `descriptors` from now on. Who is accepted has a seat of `quota`, whose owner calls {@link relieved}; `index` says
   * by which of the descriptors it came.
   */
  constructor(
    host: ReactorHost,
    descriptors: readonly number[],
    logger: Logger,
    quota: Quota,
    accepted: (slot: number, peer: Uint8Array, index: number) => void,
  ) {
    this.#host = host;
    this.#logger = logger;
    this.addresses = descriptors.map(localAddress);
    const owner: ListenerOwner = {
      onAccepted: (slot, listener, peer) => accepted(slot, peer, this.#slots.indexOf(listener)),
      onAcceptFailed: (_listener, errno) => this.#exhaust(errno),
      onFull: () => this.#rest('the limit of connections is reached'),
    };
    const waiting = [...descriptors];
    try {
      // The reactor owns a descriptor from the call on, and closes it when it cannot watch it.
      for (let fd = waiting.shift(); fd !== undefined; fd = waiting.shift()) {
        this.#slots.push(host.listen(fd, quota, owner));
      }
    } catch (error) {
      for (const fd of waiting) native().close(fd);
      throw error;
    }
  }

  /** There may be a seat: accepts again if that was waited for. The reactor finds out who gets it. */
  relieved(): void {
    if (this.#resting && this.#exhausted === undefined) this.#wake();
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
    const now = performance.now();
    if (now - this.#saidAt >= SAY_AGAIN_MS) {
      this.#saidAt = now;
      this.#logger.warn({ why }, 'accepting no more for now');
    }
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
