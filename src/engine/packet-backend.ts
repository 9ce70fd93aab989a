/**
 * Backend `packet`: segments are rewritten and sent on by BPF programs at the interfaces, and the sockets go away. What
 * a flow goes through is in kernel-backend.ts, the data plane in packet-plane.ts and addon/packet/.
 */
import type { Relay, RelaySettings } from '../native.js';
import { KernelBackend, makeRelay } from './kernel-backend.js';
import type { PacketChoice } from './packet-options.js';
import { PacketPlane, type PlaneParts } from './packet-plane.js';
import { Carriages } from './packet-words.js';

/** What the backend needs beside the plane. Tests give their own. */
export interface PacketParts {
  readonly plane?: PlaneParts;
  relay(settings: RelaySettings, onReports: (words: Float64Array) => void): Relay;
}

export class PacketBackend extends KernelBackend<PacketPlane> {
  readonly name = 'packet';

  /** @throws SpliceError (also VerifierError) with the reason in plain words; nothing stays behind then */
  constructor(
    settings: RelaySettings,
    choice: PacketChoice,
    idleMs: number,
    parts: PacketParts = { relay: makeRelay },
  ) {
    super({
      settings,
      choice,
      carriages: new Carriages('packet', choice, settings.kernelPatient),
      plane: (onReports) => PacketPlane.open(choice, idleMs, onReports, parts.plane),
      relay: parts.relay,
    });
    endWithProcess(this);
  }

  override stop(keep: boolean): void {
    running.delete(this);
    if (running.size === 0) process.off('exit', stopAll);
    super.stop(keep);
  }
}

/** Backends of this thread that nobody has stopped. */
const running = new Set<PacketBackend>();

// A program that just ends leaves flows that need it no more, as intended; but no programs without flows, and no flow
// half way over: its sockets must not send a plain FIN, which the kernel's own end of a process makes them do.
function endWithProcess(backend: PacketBackend): void {
  if (running.size === 0) process.once('exit', stopAll);
  running.add(backend);
}

function stopAll(): void {
  for (const backend of [...running]) backend.stop(true);
}
