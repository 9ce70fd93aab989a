/**
 * Stage accept, once at open: the kernel module as one engine sees it. It is found, the flows that an earlier process
 * left in it become ours, and the source ports are chosen. Carries nothing: see module-backend.ts.
 */
import { constants } from 'node:os';
import { ABI_VERSION } from '../abi.gen.js';
import { SpliceError } from '../errors.js';
import {
  native,
  type AdoptedFlow,
  type KernelModule,
  type ModuleSettings as NativeSettings,
  type ModuleStatus,
} from '../native.js';
import { errnoOf, syscallOf } from './errno-of.js';
import type { KernelPlane } from './kernel-backend.js';
import { moduleProblem } from './module-status.js';
import type { PacketChoice } from './packet-options.js';
import { readSourcePorts, type ChosenPorts, type PortRange } from './source-ports.js';

/** What the plane needs of the machine. Tests give their own. */
export interface ModulePlaneParts {
  status(): ModuleStatus;
  /** @throws as `Native.KernelModule` */
  open(settings: NativeSettings, onReports: (words: Float64Array) => void): KernelModule;
  ports(asked: PortRange | 'auto'): ChosenPorts;
}

export const MODULE_MACHINE: ModulePlaneParts = {
  status: () => native().moduleStatus(),
  open: (settings, onReports) => new (native().KernelModule)(settings, onReports),
  ports: readSourcePorts,
};

/** What of the packet backend's settings is the module's, too. */
export type ModuleChoice = Pick<PacketChoice, 'afterBytes' | 'afterMs' | 'sourcePorts' | 'pinDirectory'>;

/** The module may be unloaded whenever it has no flow, and loaded again: flows go over while it is `there`. */
export type ModulePresence = 'there' | 'gone' | 'other-version';

export class ModulePlane implements KernelPlane {
  readonly kernel: KernelModule;
  readonly ports: PortRange;
  readonly left: readonly AdoptedFlow[];

  private constructor(module: KernelModule, ports: PortRange) {
    this.kernel = module;
    this.ports = ports;
    this.left = module.adopt();
  }

  /** @throws SpliceError with the reason in plain words; nothing stays behind then */
  static open(
    choice: ModuleChoice,
    onReports: (words: Float64Array) => void,
    parts: ModulePlaneParts = MODULE_MACHINE,
  ): ModulePlane {
    const problem = moduleProblem(parts.status());
    if (problem !== undefined) throw new SpliceError('ERR_SPLICE_SYSTEM', `${problem.found}: ${problem.advice}`);
    const ports = parts.ports(choice.sourcePorts);
    if ('problem' in ports) throw new SpliceError('ERR_SPLICE_SYSTEM', ports.problem);
    const [portLow, portHigh] = ports.range;
    const { afterBytes, pinDirectory } = choice;
    const module = openModule(parts, { portLow, portHigh, atOnce: afterBytes === 0, pinDirectory }, onReports);
    try {
      return new ModulePlane(module, ports.range);
    } catch (error) {
      module.close(true);
      throw error;
    }
  }

  get presence(): ModulePresence {
    const abi = this.kernel.abi();
    return abi === ABI_VERSION ? 'there' : abi === 0 ? 'gone' : 'other-version';
  }

  /** init_splice(): best done, and not needed; what cannot be spliced later is refused then. */
  init(listener: number): void {
    this.kernel.init(listener);
  }

  close(keep: boolean): void {
    this.kernel.close(keep);
  }
}

const { EBUSY, EPERM } = constants.errno;

/** Whose source ports we must keep clear of. */
const LEFT = 'an earlier process left flows of the packet backend here, and to see which source ports they have';

function openModule(
  parts: ModulePlaneParts,
  settings: NativeSettings,
  onReports: (words: Float64Array) => void,
): KernelModule {
  try {
    return parts.open(settings, onReports);
  } catch (cause) {
    if (!(cause instanceof Error)) throw cause;
    throw new SpliceError('ERR_SPLICE_SYSTEM', whyNot(cause), { cause });
  }
}

function whyNot(cause: Error): string {
  if (errnoOf(cause) === EBUSY && 'holder' in cause) {
    return `${String(cause.holder)} has the packet or module backend of this network namespace; stop it, or use another backend`;
  }
  switch (syscallOf(cause)) {
    case 'BPF_PROG_GET_FD_BY_ID':
      return errnoOf(cause) === EPERM ? `${LEFT} needs root, or CAP_SYS_ADMIN` : cause.message;
    case 'BPF_MAP_GET_FD_BY_ID':
      return `${LEFT} needs the version that left them: end them by its "splice-ctl uninstall"`;
    default:
      return cause.message;
  }
}
