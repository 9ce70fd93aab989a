/**
 * The addon's typed face: what the native side offers, word for word. Policy lives above, in
 * engine/ and server/; nothing here decides.
 */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ABI_VERSION } from './abi.gen.js';
import { SpliceError } from './errors.js';

/** An error of a system call, in Node's own shape. */
export interface ErrnoException extends Error {
  code: string;
  /** Negative errno. */
  errno: number;
  syscall: string;
}

/** What {@link Native.describe} says of a descriptor. Addresses in the reactor's encoding, see {@link decodeAddress}. */
export interface DescriptorInfo {
  stream: boolean;
  listening: boolean;
  connected: boolean;
  /** The kernel's TCP state (1 = ESTABLISHED, 8 = CLOSE_WAIT ...), null when it is not TCP. */
  tcpState: number | null;
  local: Uint8Array | null;
  peer: Uint8Array | null;
}

/**
 * Stages accept and handshake: sockets without Node's streams. Events of one wake-up come as one
 * call of `onBatch(count)`: `records` holds `count` times five words (event, slot, value, offset,
 * length), `bytes` what they refer to; both are overwritten after the call. A slot names a
 * connection until it is taken or closed.
 */
export interface Reactor {
  /**
   * Watches a listening descriptor and owns it. Its connections come as `ACCEPTED`, each with a seat of `quota`;
   * `FULL` says that there was none, and comes again until the listener is paused.
   */
  listen(fd: number, quota?: Quota): number;
  /** Watches a connected descriptor and owns it. */
  adopt(fd: number): number;
  /**
   * Begins to connect; `host` is an address literal. A negative errno when it failed at once.
   * @param client the slot of the connection for which this one is made: with {@link alignWith} it gets a source port
   * of the backend's, and offers what the client's connection has
   */
  connect(host: string, port: number, client?: number): number;
  /** Connections that name their client are prepared for the packet or module backend from now on. */
  alignWith(flows: KernelFlows): void;
  /** Bytes, of both together, that the kernel took at once; or a negative errno (`-EAGAIN`: none for now). */
  send(slot: number, bytes: Uint8Array, more?: Uint8Array): number;
  /** After a send that was short: `WRITABLE` comes, once, when the kernel takes bytes again. */
  awaitWritable(slot: number): void;
  /** The number of a descriptor that stays the reactor's; -1 when the slot is gone. */
  descriptor(slot: number): number;
  /** Our own address, encoded; empty when there is none. */
  local(slot: number): Uint8Array;
  /** Whether neither bytes nor a FIN nor an error wait in the kernel. */
  quiet(slot: number): boolean;
  /**
   * Reads nothing more: bytes and FIN wait in the kernel. `FAILED` still comes. Costs no system call; but for the first
   * bytes that wait, bytes that others take off a duplicate of the descriptor wake nobody here.
   */
  hold(slot: number): void;
  /** Reads again after {@link hold}; what has come meanwhile, FIN included, comes with the next turn. */
  release(slot: number): void;
  /** Stops accepting; connections wait in the backlog. */
  pause(listener: number): void;
  resume(listener: number): void;
  /** Hands the descriptor out; it belongs to the caller now. */
  take(slot: number): number;
  /**
   * Says goodbye so that the last reply arrives: sends FIN, then throws away what the peer still
   * sends (a close with unread bytes would send RST, and the peer could lose the reply). Returns
   * true when the peer has finished too; else `END` or `FAILED` will say so.
   */
  linger(slot: number): boolean;
  /** Closes, by RST when `reset`. */
  close(slot: number, reset: boolean): void;
  /** Closes everything. No call comes after it. */
  stop(): void;
}

/**
 * Stage accept: counts of connections that several threads share. All who give the same pool number count together;
 * a pool is forgotten with its last Quota. Calls are atomic.
 */
export interface Quota {
  /** The number of the pool, for other threads of the process. */
  pool(): number;
  /** Seats that are taken, by all threads. */
  seats(): number;
  /** Seats there are, for all threads; Infinity (also in the beginning): no limit. */
  limitSeats(limit: number): void;
  /** Gives back a seat that {@link Reactor.listen} took for a connection. */
  leaveSeat(): void;
  /** Counts one more under a key; false, counting nothing, when there are `limit` already. */
  enter(key: string, limit: number): boolean;
  leave(key: string): void;
  /** No call of `onRelieved` comes after it. What was entered stays counted. */
  close(): void;
}

/** Which direction a bounded flow moves: see {@link Relay.add}. */
export const BOUNDED = { none: 0, up: 1, down: 2 } as const;

/**
 * Numbers of a report: id, close reason, errno, bytes up, bytes down, duration in ms, a {@link PACKET_STATUS} and the
 * latest answer of the packet or module backend.
 */
export const REPORT_WORDS = 8;

/** How far the packet or module backend has come with a flow; `young` also where there is neither. */
export const PACKET_STATUS = { young: 0, transit: 1, released: 2, refused: 3 } as const;

/** Answers that the addon gives itself, beside those of the kernel (`PACKET_ANSWER` of abi.gen.ts). */
export const PACKET_ANSWERS_NATIVE = {
  /** The server's connection does not come from a source port of ours. */
  FOREIGN_PORT: 100,
  /** One leg speaks IPv4, the other IPv6. */
  FAMILIES: 101,
  /** No segment of one of the peers came by any interface that is watched. */
  NOT_SEEN: 102,
  /** The test run of `control` failed; the process lacks a privilege or memory. */
  CONTROL_FAILED: 103,
  /** The kernel module could not be asked, or did not understand. */
  MODULE_FAILED: 104,
  /** A connection of another network namespace than the one the module was asked in. */
  OTHER_NAMESPACE: 105,
  /** The kernel module was unloaded; one that is loaded now has not been found yet, or is of another version. */
  MODULE_GONE: 106,
} as const;

/** Stages splice to teardown of the `splice` backend: threads that move bytes by splice(2). */
export interface Relay {
  /**
   * Takes two connected descriptors, makes them non-blocking and owns them, unless `bounded`: then
   * one direction moves at most `maxBytes`, over duplicates, and the descriptors stay the caller's.
   * @param idleMs ends the flow after so long without a byte; 0: never
   * @param reply written to the client first; not counted, it is no byte of the stream
   * @param clientHead bytes already read from the client; they go first, and are counted
   * @param upstreamHead the same of the server
   * @param prepared they do not block and have TCP_NODELAY: set nothing
   * @returns the flow's id
   * @throws an {@link ErrnoException} when a bounded flow finds no descriptor left; nothing was taken then
   */
  add(
    client: number,
    upstream: number,
    idleMs: number,
    reply: Uint8Array | undefined,
    clientHead: Uint8Array | undefined,
    upstreamHead: Uint8Array | undefined,
    bounded: number,
    maxBytes: number,
    prepared: boolean,
  ): number;
  /**
   * Fills `out` (bytes up, bytes down, state, ms since the last byte; where it has room for six also a
   * {@link PACKET_STATUS} and the latest answer of the packet or module backend); false when the flow is gone.
   */
  counters(id: number, out: Float64Array): boolean;
  /** Fills `out` as {@link KernelFlows.detail} does; false while neither packet nor module backend carries the flow. */
  detail(id: number, out: Float64Array): boolean;
  /** Ends a flow by RST to both sides. */
  end(id: number): void;
  /**
   * Ends every flow without a report and joins the threads. With `keep`, flows that have no socket any more go on
   * in the kernel, for another process to adopt; returns how many those are.
   */
  stop(keep?: boolean): number;
}

export interface RelaySettings {
  /** Gives flows over to the packet or module backend once they are due: after so many bytes of a direction, or so old. */
  kernel?: KernelFlows;
  /** 0 with `kernelAfterMs` 0: at once. */
  kernelAfterBytes?: number;
  kernelAfterMs?: number;
  /** A flow that is due waits while its losses are repaired sooner on each leg. */
  kernelPatient?: boolean;
  /** Relay threads. */
  threads: number;
  /** Bytes asked of every pipe; above fs.pipe-max-size the kernel gives less. */
  pipeSize: number;
  /** A direction is copied until it has moved so many bytes and proves bulky; Infinity: always copied. */
  spliceAfter: number;
}

/** Stages splice to teardown of the `sockmap` backend. Counters are as {@link Relay.counters}, then two that it keeps for itself. */
export interface Sockmap {
  /** Why these two cannot be carried; '' when they can. Changes nothing. */
  refuse(client: number, upstream: number): string;
  /** As {@link Relay.add}; a negative errno when nothing was taken. */
  add(
    client: number,
    upstream: number,
    idleMs: number,
    reply: Uint8Array | undefined,
    clientHead: Uint8Array | undefined,
    upstreamHead: Uint8Array | undefined,
  ): number;
  counters(id: number, out: Float64Array): boolean;
  end(id: number): void;
  stop(): void;
}

/** Parts of a body that a {@link Tap} moves; each is reported by itself. */
export const TAP_PART = { source: 0, file: 1, client: 2 } as const;

/** How a part of a body ended, in the order of the addon's numbers (addon/tap_body.h says when). */
export const TAP_ENDS = ['complete', 'short', 'reset', 'idle', 'aborted', 'unwanted', 'error'] as const;
export type TapEnd = (typeof TAP_ENDS)[number];

/** How far a file has been filled, for the whole process: another worker finds it by its number. */
export interface Growth {
  number(): number;
  /** Position in the file below which every byte is there. */
  filled(): number;
  /** Never backwards. */
  advance(filled: number): void;
  /** The first end counts. Collected without one, it fails. */
  end(complete: boolean): void;
}

export interface TapSettings {
  /** Threads for bodies that go into a file, which may wait for a disk, and for all others. */
  fillThreads: number;
  sendThreads: number;
  /** Bytes asked of every pipe: of a body without a file, and of one that is tapped. */
  pipeSize: number;
  widePipeSize: number;
}

/** What {@link Tap.relay} and {@link Tap.send} are told alike. */
export interface TapSend {
  /** Where in the file the body begins. **Default:** 0. */
  offset?: number | undefined;
  /** Bytes of the body. **Default:** to the end of the source, or of the growth. */
  length?: number | undefined;
  /** For the client alone, before the body; not counted. */
  prefix?: Uint8Array | undefined;
  /** Number of a {@link Growth}: advanced by `relay`, followed by `send`. **Default:** 0, none. */
  growth?: number | undefined;
  /** Ends the client's part when it takes nothing of what there is for it; 0: never. */
  clientIdleMs?: number | undefined;
}

export interface TapRelay extends TapSend {
  /** Bytes of the body that were read from the source before. */
  head?: Uint8Array | undefined;
  /** A client that is lost does not end the fill. */
  withoutClient?: boolean | undefined;
  sourceIdleMs?: number | undefined;
}

/**
 * Stages splice to teardown of bodies: from a source to a client and, tapped by tee(2), into a file; or from a file to
 * a client. All descriptors are lent: duplicates are used, nothing is shut down, sockets are made non-blocking. A
 * client whose part has not ended as `complete` is left so that its close sends RST. Reports
 * have {@link REPORT_WORDS} numbers: id, a {@link TAP_PART}, an index of {@link TAP_ENDS}, errno, bytes of that part,
 * duration in ms, and two that mean nothing. Each part there is reports once, when its descriptor is out of use.
 */
export interface Tap {
  /**
   * -1: no client, no file. With both the file must be open to read, too.
   * @returns the body's id
   * @throws an {@link ErrnoException}; nothing was taken then: EMFILE, descriptors have run out; EBADF, EINVAL, the
   * file cannot be written (and read) at any place; ENOENT, nobody has the growth any more
   */
  relay(source: number, client: number, file: number, settings: TapRelay): number;
  send(file: number, client: number, settings: TapSend): number;
  /** Fills `out`: bytes taken from the source, in the file, taken by the client; false when the body is gone. */
  counters(id: number, out: Float64Array): boolean;
  /** Ends all parts. */
  abort(id: number): void;
  /** Ends every body without a report and joins the threads. */
  stop(): void;
}

/** Words that {@link KernelFlows.detail} fills; pairs are client's, server's. */
export const PACKET_DETAIL = {
  slot: 0,
  phase: 1,
  ways: 2,
  states: 4,
  flags: 6,
  segments: 8,
  bytes: 10,
  family: 12,
  ageMs: 13,
} as const;
export const PACKET_DETAIL_WORDS = 14;

export interface PacketSettings {
  /** Most flows at a time; the maps are made for so many. */
  flows: number;
  /** Source ports of upstream connections, first and last. */
  portLow: number;
  portHigh: number;
  /** How long an ended flow still relays what comes late: 2 MSL. */
  timeWaitMs: number;
  /**
   * Directory on a bpffs in which maps and programs are pinned too, below one for the network namespace, so that a
   * process without CAP_SYS_ADMIN can adopt them. Made when missing; '' or not writable: nothing is pinned.
   */
  pinDirectory?: string;
}

/** A flow that another process left in the kernel. Addresses in the reactor's encoding. */
export interface AdoptedFlow {
  /** For {@link KernelFlows.counters}, {@link KernelFlows.end} and the reports; not a number of any Relay. */
  id: number;
  client: Uint8Array;
  server: Uint8Array;
  /** The proxy's own addresses towards them. */
  clientLocal: Uint8Array;
  serverLocal: Uint8Array;
  ageMs: number;
}

/** A data plane of another version, left to finish its flows. */
export interface ForeignPlane {
  abi: number;
  /** The kernel's tag of its relay program. */
  tag: string;
  /** Its flows, as far as its map tells. */
  flows: number;
}

export interface PacketAdoption {
  flows: AdoptedFlow[];
  foreign: ForeignPlane[];
}

export interface PacketUsage {
  maxFlows: number;
  /** Slots by phase. */
  transit: number;
  released: number;
  ended: number;
  /** Source ports of ours that flows in the kernel hold. */
  ports: number;
  /** Of the whole process, since the data plane was opened. */
  refused: number;
  /** The kernel's tag of the relay program. */
  tag: string;
}

/**
 * What the packet and module backends have in common: flows that need no process, and the connections that will become
 * such. One a process, shared by all objects of it in whatever thread. Calls are for the thread that made the object.
 */
export interface KernelFlows {
  /** As {@link Relay.counters}, for adopted flows. */
  counters(id: number, out: Float64Array): boolean;
  /** Fills `out` by {@link PACKET_DETAIL}, for adopted flows. */
  detail(id: number, out: Float64Array): boolean;
  /** Ends an adopted flow by RST to both sides. */
  end(id: number): void;
  /** A source port for a connection to `host` (a literal); 0 when none is free. Bind with SO_REUSEADDR. */
  sourcePort(host: string, port: number): number;
  /**
   * Prepares a socket that is not connected yet: source port, MSS and options as the client's connection has them.
   * Returns the port; 0 when none is free or the socket is bound already.
   */
  intend(client: number, upstream: number, host: string, port: number): number;
  /**
   * A new socket of `host`'s family, non-blocking and close-on-exec, prepared as {@link intend} does; a negative errno
   * when there is none: EADDRINUSE when no port is free.
   */
  socket(client: number, host: string, port: number): number;
}

/**
 * The packet backend's data plane; the first object of the process opens it. It outlives the process, and the next one
 * adopts it.
 */
export interface Packet extends KernelFlows {
  /** Watches an interface, with or without Ethernet header. Again: no harm. @throws an {@link ErrnoException} */
  attach(ifindex: number, ethernet: boolean): void;
  /** Watches it no more; flows over it go dumb. */
  detach(ifindex: number): void;
  /** Interfaces that are watched, by index. */
  interfaces(): number[];
  /** Claims the flows that an earlier process left and nobody has claimed; their ends come as reports of this object. */
  adopt(idleMs: number): PacketAdoption;
  /** Segments by `enum splice_packet_counter`, since the maps were made. */
  exits(): number[];
  /** Transitions of the state machine taken, by `SPLICE_EDGE`. */
  edges(): number[];
  usage(): PacketUsage;
  /**
   * Takes this handle off. The last one of the process also takes the data plane off the host, unless `keep` and
   * flows are left in the kernel; returns how many those are.
   */
  close(keep: boolean): number;
}

export interface ModuleSettings {
  /** Source ports of upstream connections, first and last. */
  portLow: number;
  portHigh: number;
  /** Every flow goes to the module as soon as it begins: what its peers send waits for that from the intent on. */
  atOnce: boolean;
  /** Where the packet backend may have left flows, of whose source ports this keeps clear: see PacketSettings. */
  pinDirectory: string;
  /** Room for ends that wait to be heard of; those that find none are found later. **Default:** 4 MiB. */
  eventBytes?: number;
}

/** What the kernel module says to anybody who asks. */
export interface ModuleStatus {
  /** 0, or a negative errno: -ENOENT, it is not loaded. The rest is 0 then. */
  error: number;
  /** 0, or a negative errno: -EPERM, this process may not use it. */
  permitted: number;
  abi: number;
  /** Flows of this network namespace. */
  flows: number;
}

export interface ModuleStats {
  /** By `enum splice_packet_counter`, since the module was loaded. */
  counters: number[];
  /** By `SPLICE_EDGE`. */
  edges: number[];
  /** By `enum symsplice_counter`. */
  more: number[];
}

export interface ModuleUsage {
  /** Flows of this network namespace by phase. */
  transit: number;
  released: number;
  ended: number;
  /** Source ports of ours that flows in the kernel hold. */
  ports: number;
  /** Of the whole process: flows that were due and could not go over. */
  refused: number;
}

/** The kernel module as one engine sees it. Its flows outlive the process, and the next one adopts them. */
export interface KernelModule extends KernelFlows {
  /** init_splice(), for a listening descriptor: 0, or a negative errno. */
  init(listener: number): number;
  /** A connection that {@link intend} or {@link socket} was told of is not spliced: what has waited goes to its socket. */
  cancel(client: number): void;
  /** Claims the flows that an earlier process left and nobody has claimed; their ends come as reports of this object. */
  adopt(): AdoptedFlow[];
  /** @throws an {@link ErrnoException} */
  stats(): ModuleStats;
  usage(): ModuleUsage;
  /**
   * ABI version of the module that is loaded, as of the latest look, which is about a second old at most; 0: none is. One of
   * this version is used, also when it was unloaded in between; no flow goes over else.
   */
  abi(): number;
  /** Takes this handle off; with `keep`, flows go on in the kernel: returns how many. */
  close(keep: boolean): number;
}

export interface PacketRemains {
  /** Filters that were removed. */
  filters: number;
  /** Flows that were reset. */
  flows: number;
}

export interface Native {
  readonly abiVersion: number;
  /** A listening, non-blocking descriptor. `::` takes IPv4 connections too. */
  listen(host: string, port: number, backlog: number, reusePort: boolean): number;
  /** SO_REUSEPORT for a socket that is bound already: only from now on others may bind its address. */
  sharePort(fd: number): void;
  /** A second descriptor of the same socket. */
  duplicate(fd: number): number;
  close(fd: number): void;
  /** Closes with RST. */
  reset(fd: number): void;
  /** Leaves the descriptor open, but its close will send RST. */
  resetOnClose(fd: number): void;
  describe(fd: number): DescriptorInfo;
  noDelay(fd: number): void;
  /** '' for a connected stream socket, else the name of the errno that says why not (EBADF, ENOTSOCK, ENOTCONN, EPROTOTYPE). */
  connectedStream(fd: number): string;
  /** One datagram to a unix socket, as sd_notify(3) does. */
  notify(path: string, message: string): void;
  /** @param readSize bytes of a read, at most half of `bytes`. **Default:** 4096 */
  Reactor: new (records: Int32Array, bytes: Uint8Array, onBatch: (count: number) => void, readSize?: number) => Reactor;
  /**
   * Joins a pool, or makes a new one. `onRelieved` is called, later and in this thread, when there may be a seat
   * again after `FULL`.
   */
  Quota: new (pool: number | undefined, onRelieved: () => void) => Quota;
  /** `object`: a loaded `BpfObject` of bpf/sockmap.bpf.c; `limit` bytes may be on their way in a direction. */
  Sockmap: new (object: object, settings: { limit?: number }, onReports: (words: Float64Array) => void) => Sockmap;
  Growth: new (filled?: number) => Growth;
  Tap: new (settings: TapSettings, onReports: (words: Float64Array) => void) => Tap;
  Relay: new (settings: RelaySettings, onReports: (words: Float64Array) => void) => Relay;
  /**
   * `object`: the bytes of packet.bpf.o. Adopts the data plane that an earlier process left, when it is of the same
   * build. Throws as `BpfObject` does (code, errno, program, log); EBUSY: another process of this network namespace
   * has the packet or module backend.
   */
  Packet: new (object: Uint8Array, settings: PacketSettings, onReports: (words: Float64Array) => void) => Packet;
  /** What the kernel module says of itself. Loads it where it is installed and not loaded. */
  moduleStatus(): ModuleStatus;
  /**
   * Throws an {@link ErrnoException}: ENOENT, it is not loaded; EBUSY, a process has the packet or module backend of
   * this network namespace, and `holder` says which.
   */
  KernelModule: new (settings: ModuleSettings, onReports: (words: Float64Array) => void) => KernelModule;
  /** Resets all flows of this network namespace; how many there were. @throws as the constructor */
  moduleAbort(): number;
  /** Resets all flows of data planes left on this host, and removes every filter. EBUSY: a living process has one. */
  packetUninstall(pinDirectory?: string): PacketRemains;
}

/** The package's own directory, from src/ under a test runner and from dist/ in production alike. */
export const packageRoot = join(dirname(fileURLToPath(import.meta.url)), '..');

/** Where a built file may be: built here, or shipped in the package for this platform. */
export function builtFile(built: string, shipped: string): string[] {
  return [
    join(packageRoot, 'build', built),
    join(packageRoot, 'prebuilds', `${process.platform}-${process.arch}`, shipped),
  ];
}

/** npm runs a package's own install script only when told to, so the way to it stands where it is missed. */
const BUILD_IT =
  'build it with "npm rebuild symsplice", or "npm run build" in a checkout (Linux only; on Debian and Ubuntu it takes ' +
  'g++ make cmake clang llvm libbpf-dev libelf-dev zlib1g-dev libuv1-dev)';

function load(): Native {
  const require = createRequire(import.meta.url);
  const failures: string[] = [];
  for (const file of builtFile('Release/symsplice.node', 'symsplice.node')) {
    let native: Native;
    try {
      native = require(file) as Native;
    } catch (error) {
      failures.push(error instanceof Error ? error.message.split('\n')[0]! : String(error));
      continue;
    }
    if (native.abiVersion !== ABI_VERSION) {
      throw new SpliceError(
        'ERR_SPLICE_ABI',
        `${file} was built for ABI ${native.abiVersion}, this package has ABI ${ABI_VERSION}: ${BUILD_IT}`,
      );
    }
    return native;
  }
  throw new SpliceError(
    'ERR_SPLICE_ADDON',
    `the native addon does not load here: ${BUILD_IT}\n  ${failures.join('\n  ')}`,
  );
}

let loaded: Native | undefined;

/** The addon, loaded on first use. Throws `ERR_SPLICE_ADDON` or `ERR_SPLICE_ABI`. */
export function native(): Native {
  return (loaded ??= load());
}
