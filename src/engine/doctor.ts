/**
 * What this machine can do for symsplice, probed by doing it, with what each thing enables and
 * what to do where it is missing. `splice-ctl doctor` prints it. A probe that could not decide
 * says so ("unknown: why") and never guesses; nothing of a probe is left behind.
 */
import { probeBpf } from './doctor-bpf.js';
import { probeKernel } from './doctor-kernel.js';
import { probeLimits } from './doctor-limits.js';
import { probeModule } from './doctor-module.js';
import { probePacket } from './doctor-packet.js';
import { probePrivilege } from './doctor-privilege.js';

export interface Capability {
  name: string;
  group: string;
  /** ok: usable; limited: usable in part, or not decided; missing: not usable. */
  status: 'ok' | 'missing' | 'limited';
  /** What was seen. */
  found: string;
  /** What it is good for. */
  enables: string;
  /** What to do where it is not ok; '' when there is nothing to do. */
  advice: string;
}

/** Probes everything once; takes some tens of milliseconds. Needs no privilege to answer. */
export async function probeMachine(): Promise<Capability[]> {
  return [
    ...probePrivilege(),
    ...probeKernel(),
    ...(await probeBpf()),
    ...probePacket(),
    ...probeModule(),
    ...probeLimits(),
  ];
}
