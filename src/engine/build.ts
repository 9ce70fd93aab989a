/** Stage splice, once at open: which backends this machine has, and why not the others. */
import type { RelaySettings } from '../native.js';
import type { Backend, BackendCapability, BackendName } from './backend.js';
import { CopyBackend } from './copy-backend.js';
import { SpliceBackend } from './splice-backend.js';

export interface Built {
  backends: ReadonlyMap<BackendName, Backend>;
  capabilities: readonly BackendCapability[];
}

/** Backends that are asked for only by name are made only then. */
export async function buildBackends(_asked: BackendName | 'auto', settings: RelaySettings): Promise<Built> {
  const backends = new Map<BackendName, Backend>();
  const capabilities: BackendCapability[] = [
    { backend: 'packet', available: false, reason: 'not part of this version' },
    { backend: 'module', available: false, reason: 'not part of this version' },
  ];
  backends.set('splice', new SpliceBackend(settings));
  capabilities.push({ backend: 'splice', available: true, reason: 'splice(2) in native threads, needs no privilege' });
  backends.set('copy', new CopyBackend());
  capabilities.push({ backend: 'copy', available: true, reason: "Node's streams" });
  capabilities.push({ backend: 'sockmap', available: false, reason: 'pending' });
  return { backends, capabilities };
}
