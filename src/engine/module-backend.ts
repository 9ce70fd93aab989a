/**
 * Backend `module`: as packet, but segments are relayed by a kernel module (kernel/), which has the sockets from
 * splice() on: the process may end in the middle. What a flow goes through is in kernel-backend.ts; who talks to the
 * module is addon/module/.
 */
import type { Relay, RelaySettings } from '../native.js';
import type { Handover, Refusal } from './backend.js';
import { peekDescriptor } from './endpoint.js';
import { KernelBackend, makeRelay } from './kernel-backend.js';
import { ModulePlane, type ModuleChoice, type ModulePlaneParts } from './module-plane.js';
import { Carriages } from './packet-words.js';

/** Tests give their own. */
export interface ModuleParts {
  readonly plane?: ModulePlaneParts;
  /** Why the machine has no better backend, where one was asked for. **Default:** none was. */
  readonly better?: readonly Refusal[];
  relay(settings: RelaySettings, onReports: (words: Float64Array) => void): Relay;
}

export class ModuleBackend extends KernelBackend<ModulePlane> {
  readonly name = 'module';

  /** @throws SpliceError with the reason in plain words; nothing stays behind then */
  constructor(settings: RelaySettings, choice: ModuleChoice, parts: ModuleParts = { relay: makeRelay }) {
    super({
      settings,
      choice,
      carriages: new Carriages('module', choice, settings.kernelPatient, parts.better),
      plane: (onReports) => ModulePlane.open(choice, onReports, parts.plane),
      relay: parts.relay,
    });
  }

  // An intent makes what comes from both peers wait for the splice. Whoever else carries the flow must get it.
  override refuse(handover: Handover): string | undefined {
    const reason = super.refuse(handover);
    const client = reason === undefined ? undefined : peekDescriptor(handover.client);
    if (client !== undefined && client >= 0) this.plane.kernel.cancel(client);
    return reason;
  }
}
