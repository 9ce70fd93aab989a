/**
 * The engine: two connections in, one flow out. It checks what may be called when, chooses the
 * backend and keeps the books; bytes never pass through here.
 */
import { Server, isIP, type Socket } from 'node:net';
import { availableParallelism } from 'node:os';
import { BackendUnavailableError, SpliceArgumentError, SpliceStateError } from '../errors.js';
import { native, type KernelFlows } from '../native.js';
import { BACKENDS, type Backend, type BackendCapability, type BackendName, type Handover } from './backend.js';
import { buildBackends, type Built } from './build.js';
import {
  flushed,
  listenerDescriptor,
  requireConnectable,
  requireEstablished,
  stopReading,
  toEndpoint,
  type Endpoint,
} from './endpoint.js';
import { Flow } from './flow.js';
import { prepareUpstream } from './intend.js';
import { KernelBackend } from './kernel-backend.js';
import { ModuleBackend } from './module-backend.js';
import type { ModulePlane } from './module-plane.js';
import {
  PREFERENCES,
  boundOf,
  requireBytes,
  requireReply,
  timerOf,
  type CloseOptions,
  type Destination,
  type EngineOptions,
  type SpliceNowOptions,
  type SpliceOptions,
} from './options.js';
import { PacketBackend } from './packet-backend.js';
import { packetChoice } from './packet-options.js';
import type { PacketPlane } from './packet-plane.js';
import { requireInteger, requireNumber } from './require.js';
import { Selector } from './select.js';

/** Sockets in the hands of an engine, whichever engine it is. */
const intended = new WeakMap<Socket, SpliceEngine>();
const spliced = new WeakSet<Socket>();

/**
 * @example
 * const engine = await SpliceEngine.open();
 * const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (client) => {
 *   const upstream = connect({ port: 8080, allowHalfOpen: true }, async () => {
 *     const flow = await engine.splice(client, upstream);
 *     const { reason, bytesUp, bytesDown } = await flow.closed;
 *   });
 *   engine.intendSplice(client, upstream);
 * });
 * engine.initSplice(server.listen(1234));
 */
export class SpliceEngine {
  /** What this machine offers, backend by backend, with the reason either way. */
  readonly capabilities: readonly BackendCapability[];
  readonly #backends: ReadonlyMap<BackendName, Backend>;
  readonly #selector: Selector;
  /** The backend whose flows need no process, where there is one. */
  readonly #kernel: KernelBackend | undefined;
  readonly #idleTimeoutMs: number;
  readonly #flows = new Map<string, Flow>();
  #next = 1;
  #closing: Promise<number> | undefined;

  private constructor(options: EngineOptions, { backends, capabilities, auto }: Built) {
    this.capabilities = capabilities;
    this.#backends = backends;
    this.#idleTimeoutMs = options.idleTimeoutMs ?? 0;
    this.#selector = new Selector(Selector.wanted(options.backend ?? 'auto', auto), backends, capabilities);
    const kernel = backends.get('packet') ?? backends.get('module');
    this.#kernel = kernel instanceof KernelBackend ? kernel : undefined;
    this.#adopt();
  }

  /**
   * Probes the machine once and makes an engine.
   * @throws SpliceError `ERR_SPLICE_BACKEND` when the backend asked for by name cannot be used here,
   * `ERR_SPLICE_ARGUMENT` for options out of range, `ERR_SPLICE_ADDON` when the addon does not load
   */
  static async open(options: EngineOptions = {}): Promise<SpliceEngine> {
    const asked = options.backend ?? 'auto';
    if (asked !== 'auto' && !BACKENDS.includes(asked)) {
      throw new SpliceArgumentError(`backend: "${String(asked)}" is none of auto, ${BACKENDS.join(', ')}`);
    }
    const prefer = options.prefer ?? 'auto';
    if (!PREFERENCES.includes(prefer)) {
      throw new SpliceArgumentError(`prefer: "${String(prefer)}" is none of ${PREFERENCES.join(', ')}`);
    }
    const threads = options.relayThreads ?? Math.min(4, availableParallelism());
    requireInteger('relayThreads', threads, 1, 256);
    requireInteger('pipeSize', options.pipeSize ?? 65536, 65536, 2 ** 30);
    requireNumber('spliceAfter', options.spliceAfter ?? 0, 0, Infinity);
    requireNumber('idleTimeoutMs', options.idleTimeoutMs ?? 0, 0, Infinity);
    const built = await buildBackends(asked, {
      relay: {
        threads,
        pipeSize: options.pipeSize ?? 128 * 1024,
        spliceAfter: options.spliceAfter ?? 64 * 1024,
        kernelPatient: asked === 'auto' && prefer === 'auto',
      },
      packet: packetChoice(options.packet),
      prefer,
      idleMs: timerOf(options.idleTimeoutMs ?? 0),
    });
    if (asked !== 'auto' && !built.backends.has(asked)) {
      for (const backend of built.backends.values()) backend.stop(true);
      const { reason = 'unknown', cause } = built.capabilities.find((entry) => entry.backend === asked) ?? {};
      throw new BackendUnavailableError(asked, reason, { cause });
    }
    return new SpliceEngine(options, built);
  }

  /** The backend that a flow gets when its connections allow it, and why no better one. */
  get preferred(): { backend: BackendName; reason: string } {
    const { backend, refusals } = this.#selector.preferred;
    const reason = this.capabilities.find((entry) => entry.backend === backend.name)?.reason ?? '';
    const others = refusals.map((refusal) => `; not ${refusal.backend}: ${refusal.reason}`).join('');
    return { backend: backend.name, reason: reason + others };
  }

  /**
   * Stage accept: prepares a listening socket, before its connections are accepted.
   * @throws SpliceError `ERR_SPLICE_STATE` when it does not listen, or the engine is closed
   */
  initSplice(listener: Server | number): void {
    this.#requireOpen('initSplice');
    if (listener instanceof Server) {
      if (!listener.listening)
        throw new SpliceStateError('initSplice', 'the server does not listen', 'call listen() first');
      this.#initKernel(listenerDescriptor(listener));
      return;
    }
    if (typeof listener !== 'number')
      throw new SpliceArgumentError('initSplice: give a net.Server or a listening descriptor');
    let listening: boolean;
    try {
      listening = native().describe(listener).listening;
    } catch (cause) {
      throw new SpliceArgumentError(`initSplice: ${listener} is no socket`, { cause });
    }
    if (!listening) throw new SpliceStateError('initSplice', 'the descriptor does not listen', 'call listen() first');
    this.#initKernel(listener);
  }

  /**
   * Stage handshake, before the upstream connects: from now on nobody but the engine reads the
   * client. What the client sends waits, and belongs to the flow. An upstream that connects from now on gets what the
   * `packet` and `module` backends need: a source port of the engine's, and the options of the client's connection.
   * @param destination for an upstream that is a raw descriptor: where it will be connected to
   * @throws SpliceError `ERR_SPLICE_STATE` when either socket is intended or spliced already,
   * the client is not connected, or the engine is closed
   */
  intendSplice(client: Socket | number, upstream: Socket | number, destination?: Destination): void {
    this.#requireOpen('intendSplice');
    const clientEnd = toEndpoint(client, 'client');
    const upstreamEnd = toEndpoint(upstream, 'upstream');
    if (client === upstream) throw new SpliceArgumentError('intendSplice: client and upstream are the same');
    for (const [endpoint, role] of [
      [clientEnd, 'client'],
      [upstreamEnd, 'upstream'],
    ] as const) {
      requireFree('intendSplice', endpoint, role);
      if (endpoint.kind === 'socket' && intended.has(endpoint.socket)) {
        throw new SpliceStateError('intendSplice', `the ${role} is intended already`, 'call splice(), or destroy it');
      }
    }
    requireEstablished('intendSplice', clientEnd, 'client');
    requireConnectable('intendSplice', upstreamEnd);
    if (destination !== undefined) requireDestination(destination);
    stopReading(clientEnd);
    if (this.#kernel !== undefined) prepareUpstream(this.#kernel.plane.kernel, clientEnd, upstreamEnd, destination);
    for (const endpoint of [clientEnd, upstreamEnd])
      if (endpoint.kind === 'socket') intended.set(endpoint.socket, this);
  }

  /**
   * Stage splice: hands two established connections to the kernel. Both are out of the caller's
   * hands when the promise resolves, and no byte that either side has sent, or that was read or
   * written through a Node socket, is lost. When it rejects, both are still the caller's.
   * @throws SpliceError `ERR_SPLICE_STATE`, `ERR_SPLICE_ARGUMENT`, `ERR_SPLICE_BACKEND`
   */
  async splice(client: Socket | number, upstream: Socket | number, options: SpliceOptions = {}): Promise<Flow> {
    const handover = this.#handover(client, upstream, options);
    const ends = [handover.client, handover.upstream];
    for (const endpoint of ends) if (endpoint.kind === 'socket') spliced.add(endpoint.socket);
    const undo = ends.map(stopReading);
    const handBack = (): void => {
      release(handover);
      for (const restore of undo) restore();
    };
    try {
      // Until both streams have written what they hold, the pair is not ours to move.
      await flushed(handover.client);
      await flushed(handover.upstream);
      this.#requireOpen('splice');
      requireEstablished('splice', handover.client, 'client');
      requireEstablished('splice', handover.upstream, 'upstream');
      return this.#start(handover, handBack);
    } catch (error) {
      handBack();
      throw error;
    }
  }

  /**
   * {@link splice} for raw descriptors, without waiting for a turn of the event loop: for servers
   * that do thousands of hand-overs a second.
   */
  spliceNow(client: number, upstream: number, options: SpliceNowOptions = {}): Flow {
    const handover =
      options.prepared === true
        ? this.#preparedHandover(client, upstream, options)
        : this.#handover(client, upstream, options);
    return this.#start(handover, () => undefined);
  }

  /** The live flow with this id. */
  flow(id: string): Flow | undefined {
    return this.#flows.get(id);
  }

  /** Live flows, in the order in which they began; those that an earlier process began come first. */
  flows(): IterableIterator<Flow> {
    return this.#flows.values();
  }

  /** The packet backend's data plane, for those who show or share it; undefined where there is none. */
  get packetPlane(): PacketPlane | undefined {
    return this.#kernel instanceof PacketBackend ? this.#kernel.plane : undefined;
  }

  /** The kernel module as the module backend uses it, for the same; undefined where there is none. */
  get modulePlane(): ModulePlane | undefined {
    return this.#kernel instanceof ModuleBackend ? this.#kernel.plane : undefined;
  }

  /** What prepares connections to servers for such a backend; undefined where none needs it. */
  get kernelFlows(): KernelFlows | undefined {
    return this.#kernel?.plane.kernel;
  }

  /**
   * Ends every flow by RST and frees threads, maps and descriptors; `closed` of each has resolved
   * when this resolves. To let flows end by themselves, await their `closed` first. With `keep`, flows that need no
   * process any more go on in the kernel, and end here with reason `kept`.
   * @returns how many were kept
   */
  close(options: CloseOptions = {}): Promise<number> {
    return (this.#closing ??= this.#close(options.keep === true));
  }

  async #close(keep: boolean): Promise<number> {
    const flows = [...this.#flows.values()];
    const ending = keep ? flows.filter((flow) => !flow.leave()) : flows;
    await Promise.all(
      ending.map((flow) => {
        flow.abort();
        return flow.closed;
      }),
    );
    for (const backend of this.#backends.values()) backend.stop(keep);
    return flows.length - ending.length;
  }

  /** Makes flows of what an earlier process left in the kernel. */
  #adopt(): void {
    const kernel = this.#kernel;
    if (kernel === undefined) return;
    for (const { ends, begin } of kernel.adopted()) {
      const id = String(this.#next++);
      const carriage = { backend: kernel.name, refusals: [] };
      this.#flows.set(id, new Flow(id, carriage, begin, (ended) => this.#flows.delete(ended.id), ends));
    }
  }

  /** What such a backend does to a listening socket. */
  #initKernel(listener: number | undefined): void {
    if (listener !== undefined) this.modulePlane?.init(listener);
  }

  #requireOpen(method: string): void {
    if (this.#closing !== undefined) throw new SpliceStateError(method, 'the engine is closed', 'open a new one');
  }

  #handover(client: Socket | number, upstream: Socket | number, options: SpliceOptions): Handover {
    this.#requireOpen('splice');
    const clientEnd = toEndpoint(client, 'client');
    const upstreamEnd = toEndpoint(upstream, 'upstream');
    if (client === upstream) throw new SpliceArgumentError('splice: client and upstream are the same');
    for (const [endpoint, role] of [
      [clientEnd, 'client'],
      [upstreamEnd, 'upstream'],
    ] as const) {
      requireFree('splice', endpoint, role);
      if (endpoint.kind === 'socket' && intended.has(endpoint.socket) && intended.get(endpoint.socket) !== this) {
        throw new SpliceStateError('splice', `the ${role} is intended by another engine`, 'call splice() of that one');
      }
      requireEstablished('splice', endpoint, role);
    }
    requireReply(clientEnd, options.replyBytes ?? 0);
    const idleMs = options.idleTimeoutMs ?? this.#idleTimeoutMs;
    requireNumber('idleTimeoutMs', idleMs, 0, Infinity);
    requireBytes(options);
    return {
      client: clientEnd,
      upstream: upstreamEnd,
      reply: options.reply,
      clientHead: options.clientHead,
      upstreamHead: options.upstreamHead,
      idleMs: timerOf(idleMs),
      bound: boundOf(options),
      prepared: false,
    };
  }

  #preparedHandover(client: number, upstream: number, options: SpliceNowOptions): Handover {
    this.#requireOpen('splice');
    return {
      client: { kind: 'descriptor', fd: client },
      upstream: { kind: 'descriptor', fd: upstream },
      reply: options.reply,
      clientHead: options.clientHead,
      upstreamHead: options.upstreamHead,
      idleMs: timerOf(options.idleTimeoutMs ?? this.#idleTimeoutMs),
      bound: undefined,
      prepared: true,
    };
  }

  /** `handBack` is called when a bounded flow has ended. */
  #start(handover: Handover, handBack: () => void): Flow {
    const id = String(this.#next++);
    return this.#selector.choose(handover, ({ backend, refusals }) => {
      const flow = new Flow(
        id,
        { backend: backend.name, refusals },
        (onEnd) => backend.start(handover, onEnd),
        (ended) => {
          this.#flows.delete(ended.id);
          if (handover.bound !== undefined) handBack();
        },
      );
      this.#flows.set(id, flow);
      return flow;
    });
  }
}

function requireDestination({ host, port }: Destination): void {
  if (isIP(host) === 0) throw new SpliceArgumentError(`destination: "${host}" is no IP address`);
  requireInteger('destination.port', port, 1, 65535);
}

function requireFree(method: string, endpoint: Endpoint, role: string): void {
  if (endpoint.kind === 'socket' && spliced.has(endpoint.socket)) {
    throw new SpliceStateError(method, `the ${role} is spliced already`, 'a connection belongs to one flow');
  }
}

/** Sockets that a failed or bounded splice leaves with the caller. */
function release(handover: Handover): void {
  for (const endpoint of [handover.client, handover.upstream]) {
    if (endpoint.kind !== 'socket') continue;
    spliced.delete(endpoint.socket);
    intended.delete(endpoint.socket);
  }
}
