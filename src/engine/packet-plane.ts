/**
 * Stage accept, once at open: the data plane of the packet backend as one engine sees it. It opens the process' own, or
 * adopts what an earlier process left; watches the interfaces, and those that come up later; finds the source ports.
 * Runs on the engine's thread. Carries nothing: see packet-backend.ts.
 */
import { release } from 'node:os';
import { SpliceError } from '../errors.js';
import {
  native,
  type AdoptedFlow,
  type ForeignPlane,
  type Packet,
  type PacketAdoption,
  type PacketSettings,
} from '../native.js';
import { readBpfObject, translate } from './bpf-object.js';
import type { KernelPlane } from './kernel-backend.js';
import { judgeLink, nothingToWatch, readLinks, unwatchable, type Link } from './links.js';
import { atLeast, parseKernelVersion } from './machine-facts.js';
import type { PacketChoice } from './packet-options.js';
import { readSourcePorts, type ChosenPorts, type PortRange } from './source-ports.js';

/** What the plane needs of the machine. Tests give their own. */
export interface PlaneParts {
  readonly kernel: string;
  /** @throws as `Native.Packet` */
  open(settings: PacketSettings, onReports: (words: Float64Array) => void): Packet;
  links(): Link[];
  ports(asked: PortRange | 'auto'): ChosenPorts;
}

const MACHINE: PlaneParts = {
  kernel: release(),
  open: (settings, onReports) => translate(() => new (native().Packet)(readBpfObject('packet'), settings, onReports)),
  links: readLinks,
  ports: readSourcePorts,
};

/** How often we look for interfaces that came up. */
const LOOK_MS = 2000;

/** The oldest kernel with all that the programs call. */
const SINCE = [5, 15] as const;

export class PacketPlane implements KernelPlane {
  readonly kernel: Packet;
  readonly ports: PortRange;
  /** What an earlier process left here. */
  readonly adoption: PacketAdoption;
  /** Names of the interfaces that are watched, by index. */
  readonly #watched = new Map<number, string>();
  /** Interfaces that could not be watched, and why. */
  readonly #failed = new Map<string, string>();
  readonly #names: readonly string[] | 'auto';
  readonly #parts: PlaneParts;
  readonly #timer: NodeJS.Timeout;

  private constructor(packet: Packet, ports: PortRange, choice: PacketChoice, idleMs: number, parts: PlaneParts) {
    this.kernel = packet;
    this.ports = ports;
    this.#names = choice.interfaces;
    this.#parts = parts;
    const links = this.#look();
    if (this.#watched.size === 0) {
      const [failure] = this.#failed.values();
      throw new SpliceError('ERR_SPLICE_SYSTEM', failure ?? nothingToWatch(links, this.#names));
    }
    this.adoption = packet.adopt(idleMs);
    this.#timer = setInterval(() => this.#lookAgain(), LOOK_MS);
    this.#timer.unref();
  }

  /**
   * @param idleMs when adopted flows end without a byte; 0: never
   * @throws SpliceError with the reason in plain words; nothing stays behind then
   */
  static open(
    choice: PacketChoice,
    idleMs: number,
    onReports: (words: Float64Array) => void,
    parts: PlaneParts = MACHINE,
  ): PacketPlane {
    const version = parseKernelVersion(parts.kernel);
    if (version !== undefined && !atLeast(version, ...SINCE)) {
      throw new SpliceError('ERR_SPLICE_SYSTEM', `needs Linux ${SINCE.join('.')} or later, this is ${parts.kernel}`);
    }
    const ports = parts.ports(choice.sourcePorts);
    if ('problem' in ports) throw new SpliceError('ERR_SPLICE_SYSTEM', ports.problem);
    const [portLow, portHigh] = ports.range;
    const { flows, timeWaitMs, pinDirectory } = choice;
    const settings = { flows, portLow, portHigh, timeWaitMs, pinDirectory };
    const packet = parts.open(settings, onReports);
    try {
      return new PacketPlane(packet, ports.range, choice, idleMs, parts);
    } catch (error) {
      packet.close(true);
      throw error;
    }
  }

  get left(): readonly AdoptedFlow[] {
    return this.adoption.flows;
  }

  /** Names of the interfaces that are watched now. */
  get interfaces(): string[] {
    return [...this.#watched.values()];
  }

  /** Why interfaces that should be watched are not, for people; empty when all are. */
  get unwatched(): string[] {
    const failures = [...this.#failed.values()];
    return this.#names === 'auto' ? failures : [...failures, ...unwatchable(this.#parts.links(), this.#names)];
  }

  /** What an operator should know of the data planes of other builds that were found. */
  get foreign(): readonly ForeignPlane[] {
    return this.adoption.foreign;
  }

  close(keep: boolean): void {
    clearInterval(this.#timer);
    this.kernel.close(keep);
  }

  // When all descriptors are taken nothing can be read; the process must not end of it. The next look is soon.
  #lookAgain(): void {
    try {
      this.#look();
    } catch {
      // What is watched stays watched.
    }
  }

  /** Watches what should be watched and is not yet; an interface that went away took its programs along. */
  #look(): Link[] {
    const links = this.#parts.links();
    const there = new Set(links.map(({ ifindex }) => ifindex));
    for (const ifindex of this.#watched.keys()) if (!there.has(ifindex)) this.#watched.delete(ifindex);
    for (const link of links) {
      const verdict = judgeLink(link, this.#names);
      if (!('watch' in verdict) || this.#watched.has(link.ifindex)) continue;
      try {
        this.kernel.attach(link.ifindex, verdict.watch === 'ethernet');
        this.#watched.set(link.ifindex, link.name);
        this.#failed.delete(link.name);
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        this.#failed.set(link.name, `interface ${link.name} cannot be watched: ${why}`);
      }
    }
    return links;
  }
}
