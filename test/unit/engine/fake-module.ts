/** A kernel module without a kernel: what the addon's KernelModule and Relay would say, set by the test. */
import { ABI_VERSION } from '../../../src/abi.gen.js';
import type { ModuleParts } from '../../../src/engine/module-backend.js';
import type { ModulePlaneParts } from '../../../src/engine/module-plane.js';
import type {
  AdoptedFlow,
  KernelModule,
  ModuleSettings,
  ModuleStatus,
  Relay,
  RelaySettings,
} from '../../../src/native.js';
import { FakeKeeper, youngFlow } from './fake-packet.js';

export const LOADED: ModuleStatus = { error: 0, permitted: 0, abi: ABI_VERSION, flows: 0 };

export class FakeModule {
  readonly plane = new FakeKeeper();
  readonly relay = new FakeKeeper();
  /** What was asked of it, in order. */
  readonly asked: string[] = [];
  status: ModuleStatus = LOADED;
  abi = ABI_VERSION;
  adopted: AdoptedFlow[] = [];
  settings: (ModuleSettings & { relay?: RelaySettings }) | undefined;
  openFails: Error | undefined;
  relayFails: Error | undefined;
  statsFail: Error | undefined;
  #next = 1;

  get module(): KernelModule {
    const { plane } = this;
    return {
      init: (listener) => (this.asked.push(`init ${listener}`), 0),
      cancel: (client) => void this.asked.push(`cancel ${client >= 0}`),
      adopt: () => {
        for (const { id } of this.adopted) plane.flows.set(id, { ...youngFlow(), status: 2, phase: 1, states: [2, 2] });
        return this.adopted;
      },
      counters: (id, out) => plane.counters(id, out),
      detail: (id, out) => plane.detail(id, out),
      end: (id) => plane.end(id),
      stats: () => {
        if (this.statsFail !== undefined) throw this.statsFail;
        return { counters: [1, 2, 3], edges: [], more: [4, 5] };
      },
      usage: () => ({ transit: 1, released: 2, ended: 3, ports: 4, refused: 5 }),
      abi: () => this.abi,
      sourcePort: () => 0,
      intend: () => 0,
      socket: () => -98,
      close: (keep) => (this.asked.push(`plane ${keep ? 'kept' : 'ended'}`), 0),
    };
  }

  get planeParts(): ModulePlaneParts {
    return {
      status: () => this.status,
      open: (settings, onReports) => {
        if (this.openFails !== undefined) throw this.openFails;
        this.settings = settings;
        this.plane.report = onReports;
        return this.module;
      },
      ports: (asked) => (asked === 'auto' ? { range: [61000, 65535] } : { problem: 'no ports today' }),
    };
  }

  get parts(): ModuleParts {
    return {
      plane: this.planeParts,
      relay: (settings, onReports): Relay => {
        if (this.relayFails !== undefined) throw this.relayFails;
        this.settings = { ...this.settings!, relay: settings };
        this.relay.report = onReports;
        return {
          add: () => {
            const id = this.#next++;
            this.relay.flows.set(id, youngFlow());
            return id;
          },
          counters: (id, out) => this.relay.counters(id, out),
          detail: (id, out) => this.relay.detail(id, out),
          end: (id) => this.relay.end(id),
          stop: (keep) => (this.asked.push(`relay ${keep === true ? 'keeping' : 'all'}`), 0),
        };
      },
    };
  }
}
