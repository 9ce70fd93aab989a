/** Stage splice, once at open: which backends this machine has, and why not the others. */
import { constants, release } from 'node:os';
import type { RelaySettings } from '../native.js';
import type { Backend, BackendCapability, BackendName } from './backend.js';
import { CopyBackend } from './copy-backend.js';
import { errnoOf, syscallOf } from './errno-of.js';
import { PacketBackend } from './packet-backend.js';
import type { Preference } from './options.js';
import type { PacketChoice } from './packet-options.js';
import { SockmapBackend } from './sockmap-backend.js';
import { SpliceBackend } from './splice-backend.js';

export interface Built {
  backends: ReadonlyMap<BackendName, Backend>;
  capabilities: readonly BackendCapability[];
}

export interface BuildSettings {
  readonly relay: RelaySettings;
  readonly packet: PacketChoice;
  /** What `auto` may take; a backend that is named is meant. */
  readonly prefer: Preference;
  /** When flows that an earlier process left end without a byte; 0: never. */
  readonly idleMs: number;
}

/** Backends that are asked for only by name are made only then. `packet` is what `auto` wants most. */
export async function buildBackends(asked: BackendName | 'auto', settings: BuildSettings): Promise<Built> {
  const backends = new Map<BackendName, Backend>();
  const capabilities: BackendCapability[] = [
    asked === 'packet' || (asked === 'auto' && settings.prefer === 'end-to-end')
      ? addPacket(backends, settings)
      : { backend: 'packet', available: false, reason: asked === 'auto' ? 'split is preferred' : 'not asked for' },
    { backend: 'module', available: false, reason: 'not part of this version' },
  ];
  backends.set('splice', new SpliceBackend(settings.relay, backends.has('packet')));
  capabilities.push({ backend: 'splice', available: true, reason: 'splice(2) in native threads, needs no privilege' });
  backends.set('copy', new CopyBackend());
  capabilities.push({ backend: 'copy', available: true, reason: "Node's streams" });
  capabilities.push(
    asked === 'sockmap'
      ? addSockmap(backends)
      : { backend: 'sockmap', available: false, reason: 'only when asked for' },
  );
  return { backends, capabilities };
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
    return { backend: 'packet', available: false, reason: reasonOf(cause, PACKET_NEEDS), cause };
  }
}

/** Before 6.6 sockmap loses bytes and crashes; until 6.16 stalls were still being fixed. */
const SOCKMAP_SINCE = { major: 6, minor: 6 };

function addSockmap(backends: Map<BackendName, Backend>): BackendCapability {
  const unavailable = (reason: string): BackendCapability => ({ backend: 'sockmap', available: false, reason });
  const [major = 0, minor = 0] = release().split('.').map(Number);
  if (major < SOCKMAP_SINCE.major || (major === SOCKMAP_SINCE.major && minor < SOCKMAP_SINCE.minor)) {
    return unavailable(`needs Linux 6.6 or later, this is ${release()}`);
  }
  try {
    backends.set('sockmap', new SockmapBackend());
  } catch (cause) {
    return { ...unavailable(reasonOf(cause, SOCKMAP_NEEDS)), cause };
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
