/** Stage splice, once at open: which backends this machine has, and why not the others. */
import { constants, release } from 'node:os';
import { native, type RelaySettings } from '../native.js';
import type { Backend, BackendCapability, BackendName } from './backend.js';
import { CopyBackend } from './copy-backend.js';
import { errnoOf, syscallOf } from './errno-of.js';
import { makeRelay } from './kernel-backend.js';
import { ModuleBackend, type ModuleParts } from './module-backend.js';
import { MODULE_MACHINE } from './module-plane.js';
import { isLoaded } from './module-status.js';
import { PacketBackend } from './packet-backend.js';
import type { Preference } from './options.js';
import type { PacketChoice } from './packet-options.js';
import { AUTO_ORDER } from './select.js';
import { SockmapBackend } from './sockmap-backend.js';
import { SpliceBackend } from './splice-backend.js';

export interface Built {
  backends: ReadonlyMap<BackendName, Backend>;
  capabilities: readonly BackendCapability[];
  /** What `auto` tries here, the best first. */
  auto: readonly BackendName[];
}

export interface BuildSettings {
  readonly relay: RelaySettings;
  readonly packet: PacketChoice;
  /** What `auto` may take; a backend that is named is meant. */
  readonly prefer: Preference;
  /** When flows that an earlier process left end without a byte; 0: never. */
  readonly idleMs: number;
}

/** Backends that are asked for only by name are made only then. `packet` is what `auto` wants most, then `module`. */
export async function buildBackends(asked: BackendName | 'auto', settings: BuildSettings): Promise<Built> {
  const backends = new Map<BackendName, Backend>();
  const endToEnd = asked === 'auto' && settings.prefer !== 'split';
  const packet =
    asked === 'packet' || endToEnd ? addPacket(backends, settings) : unavailable('packet', notTaken(asked));
  const status = asked === 'module' || (endToEnd && !packet.available) ? native().moduleStatus() : undefined;
  const module =
    status === undefined
      ? unavailable('module', notTaken(asked, packet))
      : addModule(backends, settings, {
          plane: { ...MODULE_MACHINE, status: () => status },
          better: asked === 'auto' ? [{ backend: 'packet', reason: packet.reason }] : [],
          relay: makeRelay,
        });
  const capabilities: BackendCapability[] = [packet, module];
  backends.set('splice', new SpliceBackend(settings.relay, packet.available || module.available));
  capabilities.push({ backend: 'splice', available: true, reason: 'splice(2) in native threads, needs no privilege' });
  backends.set('copy', new CopyBackend());
  capabilities.push({ backend: 'copy', available: true, reason: "Node's streams" });
  capabilities.push(asked === 'sockmap' ? addSockmap(backends) : unavailable('sockmap', 'only when asked for'));
  // What a machine never had is no reason that each of its flows should name.
  const hasModule = status !== undefined && isLoaded(status);
  return { backends, capabilities, auto: AUTO_ORDER.filter((name) => name !== 'module' || hasModule) };
}

function unavailable(backend: BackendName, reason: string, cause?: unknown): BackendCapability {
  return { backend, available: false, reason, ...(cause !== undefined && { cause }) };
}

/** Why a backend that `auto` could take was not even tried. */
function notTaken(asked: BackendName | 'auto', better?: BackendCapability): string {
  if (asked !== 'auto') return 'not asked for';
  return better?.available === true ? `${better.backend} is there` : 'split is preferred';
}

const { EPERM } = constants.errno;

/** Privileges without which the backends cannot be had. CAP_NET_RAW: flows without sockets are reset by hand. */
export const PACKET_NEEDS = 'CAP_BPF, CAP_NET_ADMIN, CAP_NET_RAW and CAP_PERFMON';
const SOCKMAP_NEEDS = 'CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON';

function addPacket(backends: Map<BackendName, Backend>, settings: BuildSettings): BackendCapability {
  try {
    const backend = new PacketBackend(settings.relay, settings.packet, settings.idleMs);
    backends.set('packet', backend);
    const watched = backend.plane.interfaces.join(', ');
    return { backend: 'packet', available: true, reason: `BPF programs rewrite and send on segments at ${watched}` };
  } catch (cause) {
    return unavailable('packet', reasonOf(cause, PACKET_NEEDS), cause);
  }
}

function addModule(
  backends: Map<BackendName, Backend>,
  { relay, packet }: BuildSettings,
  parts: ModuleParts,
): BackendCapability {
  try {
    backends.set('module', new ModuleBackend(relay, packet, parts));
    return { backend: 'module', available: true, reason: 'a kernel module rewrites and sends on segments' };
  } catch (cause) {
    return unavailable('module', cause instanceof Error ? cause.message : String(cause), cause);
  }
}

/** Before 6.6 sockmap loses bytes and crashes; until 6.16 stalls were still being fixed. */
const SOCKMAP_SINCE = { major: 6, minor: 6 };

function addSockmap(backends: Map<BackendName, Backend>): BackendCapability {
  const [major = 0, minor = 0] = release().split('.').map(Number);
  if (major < SOCKMAP_SINCE.major || (major === SOCKMAP_SINCE.major && minor < SOCKMAP_SINCE.minor)) {
    return unavailable('sockmap', `needs Linux 6.6 or later, this is ${release()}`);
  }
  try {
    backends.set('sockmap', new SockmapBackend());
  } catch (cause) {
    return unavailable('sockmap', reasonOf(cause, SOCKMAP_NEEDS), cause);
  }
  return { backend: 'sockmap', available: true, reason: 'BPF verdicts redirect segments from socket to socket' };
}

/** The reason for people why a backend that needs such privileges cannot be had, from what its making threw. */
export function reasonOf(error: unknown, needs: string): string {
  if (!(error instanceof Error)) return String(error);
  // The addon begins with the backend's name, and so does whoever shows the reason.
  if (errnoOf(error) !== EPERM) return error.message.split('\n')[0]!.replace(/^packet: /, '');
  // The kernel shows others' programs to nobody with less; see "Run as a service" in the manual.
  if (syscallOf(error) === 'BPF_PROG_GET_FD_BY_ID') {
    return 'an earlier process left flows in the kernel, and to adopt them needs root, or CAP_SYS_ADMIN';
  }
  return `needs root, or ${needs}`;
}
