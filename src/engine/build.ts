/** Stage splice, once at open: which backends this machine has, and why not the others. */
import { constants, release } from 'node:os';
import type { RelaySettings } from '../native.js';
import type { Backend, BackendCapability, BackendName } from './backend.js';
import { CopyBackend } from './copy-backend.js';
import { SockmapBackend } from './sockmap-backend.js';
import { SpliceBackend } from './splice-backend.js';

export interface Built {
  backends: ReadonlyMap<BackendName, Backend>;
  capabilities: readonly BackendCapability[];
}

/** Backends that are asked for only by name are made only then. */
export async function buildBackends(asked: BackendName | 'auto', settings: RelaySettings): Promise<Built> {
  const backends = new Map<BackendName, Backend>();
  const capabilities: BackendCapability[] = [
    { backend: 'packet', available: false, reason: 'not part of this version' },
    { backend: 'module', available: false, reason: 'not part of this version' },
  ];
  backends.set('splice', new SpliceBackend(settings));
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
  } catch (error) {
    return unavailable(reasonOf(error));
  }
  return { backend: 'sockmap', available: true, reason: 'BPF verdicts redirect segments from socket to socket' };
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const denied =
    error.cause instanceof Error && 'errno' in error.cause && Math.abs(Number(error.cause.errno)) === EPERM;
  return denied ? 'needs root, or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON' : error.message;
}
