/**
 * Stage splice: which backend carries a flow. `auto` takes the best that the machine and the two
 * connections allow; every better one leaves its reason, which the flow keeps.
 */
import { BackendUnavailableError, SpliceError } from '../errors.js';
import type { Backend, BackendCapability, BackendName, Handover, Refusal } from './backend.js';

/** What `auto` may try, the best first. Others carry a flow only when asked for by name. */
export const AUTO_ORDER: readonly BackendName[] = ['packet', 'module', 'splice', 'copy'];

/** What carries a flow that the backend asked for by name refuses. */
const FALLBACK: readonly BackendName[] = ['splice', 'copy'];

export interface Selection {
  backend: Backend;
  refusals: readonly Refusal[];
}

export class Selector {
  readonly #backends: readonly Backend[];
  /** Refusals by the machine are the same for every flow: one frozen list serves them all. */
  readonly #machineRefusals: ReadonlyMap<BackendName, readonly Refusal[]>;

  /** `wanted`: names in order; `capabilities` says which of them the machine has. */
  constructor(
    wanted: readonly BackendName[],
    backends: ReadonlyMap<BackendName, Backend>,
    capabilities: readonly BackendCapability[],
  ) {
    const usable: Backend[] = [];
    const refusals: Refusal[] = [];
    const byBackend = new Map<BackendName, readonly Refusal[]>();
    for (const name of wanted) {
      const backend = backends.get(name);
      if (backend !== undefined) {
        usable.push(backend);
        byBackend.set(name, Object.freeze([...refusals]));
      } else {
        const reason = capabilities.find((capability) => capability.backend === name)?.reason ?? 'unknown backend';
        refusals.push({ backend: name, reason });
      }
    }
    this.#backends = usable;
    this.#machineRefusals = byBackend;
  }

  /** `auto`: what of AUTO_ORDER it tries on this machine. */
  static wanted(asked: BackendName | 'auto', auto: readonly BackendName[] = AUTO_ORDER): readonly BackendName[] {
    return asked === 'auto' ? auto : [asked, ...FALLBACK.filter((name) => name !== asked)];
  }

  /** The first choice on this machine, before any connection is known. */
  get preferred(): Selection {
    const backend = this.#backends[0];
    if (backend === undefined) throw new BackendUnavailableError('auto', 'no backend can be used on this machine');
    return { backend, refusals: this.#machineRefusals.get(backend.name) ?? [] };
  }

  /**
   * Calls `start` with one backend after another until one takes the pair. A backend that throws a
   * SpliceError has taken nothing, so that the next one can have it.
   * @throws BackendUnavailableError with every refusal
   */
  choose<T>(handover: Handover, start: (selection: Selection) => T): T {
    let refused: Refusal[] | undefined;
    for (const backend of this.#backends) {
      const machine = this.#machineRefusals.get(backend.name) ?? [];
      let reason = backend.refuse(handover);
      if (reason === undefined) {
        try {
          return start({ backend, refusals: refused === undefined ? machine : [...machine, ...refused] });
        } catch (error) {
          if (!(error instanceof SpliceError)) throw error;
          reason = error.message;
        }
      }
      (refused ??= []).push({ backend: backend.name, reason });
    }
    throw new BackendUnavailableError(
      this.#backends.map((backend) => backend.name).join(', '),
      (refused ?? []).map((refusal) => `${refusal.backend}: ${refusal.reason}`).join('; '),
    );
  }
}
