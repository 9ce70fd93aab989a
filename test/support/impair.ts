/** A bad wire between an end host of the lab and the proxy host (see impair.bpf.c). */
import type { Host, Lab } from './lab.js';
import { attachFilters, compileTool, LineTool } from './packet-tool.js';

/** Shares between 0 and 1 of the segments of one direction, and the seed that says which. */
export interface Faults {
  readonly loss?: number;
  readonly duplicate?: number;
  /** Held back for `holdMs`, so that others overtake it; 1 is a delay of all. */
  readonly hold?: number;
  /** A byte is changed, the checksum is not. */
  readonly corrupt?: number;
  /** Marked "congestion experienced", if its sender speaks ECN. */
  readonly congest?: number;
}

export interface Tally {
  readonly segments: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly held: number;
  readonly corrupted: number;
  readonly congested: number;
}

// Behind peer-host.ts on the way out, before it on the way in.
const outPriority = 20;
const inPriority = 10;

const share = (part = 0): number => Math.min(0xffffffff, Math.round(part * 2 ** 32));

export class Wire {
  readonly #out: LineTool;
  readonly #in: LineTool;
  readonly #hold: LineTool;
  readonly #device: number;
  readonly #tap: number;

  private constructor(tools: { out: LineTool; in: LineTool; hold: LineTool }, device: number, tap: number) {
    this.#out = tools.out;
    this.#in = tools.in;
    this.#hold = tools.hold;
    this.#device = device;
    this.#tap = tap;
  }

  /** `device` is the host's end of the link: `c` on cli, `s` on srv. */
  static async open(lab: Lab, host: Host, device: 'c' | 's'): Promise<Wire> {
    const hold = await LineTool.start(host, compileTool(lab, 'impair-hold'), ['held']);
    const attach = (priority: number, ...where: string[]): Promise<LineTool> =>
      attachFilters(lab, host, 'impair', priority, where);
    const out = await attach(outPriority, `out=${device}:egress`, 'back=held:ingress');
    // Loaded a second time: each of the two has maps of its own, with the rule of its own direction. The way back
    // from the tap needs both.
    const inwards = await attach(inPriority, `in=${device}:ingress`);
    const index = Number(/^(\d+):/.exec(host.ip('-o', 'link', 'show', 'dev', device))?.[1]);
    const wire = new Wire({ out, in: inwards, hold }, index, Number(hold.greeting));
    await wire.set({});
    return wire;
  }

  /** The same faults both ways, each with its own row of lots. */
  async set(faults: Faults, options: { holdMs?: number; seed?: number } = {}): Promise<void> {
    const { seed = 1, holdMs = 3 } = options;
    const words = (direction: 0 | 1): string =>
      [
        seed * 2 + direction,
        share(faults.loss),
        share(faults.duplicate),
        share(faults.hold),
        share(faults.corrupt),
        share(faults.congest),
        this.#device,
        this.#tap,
      ].join(' ');
    await this.#hold.ask(`hold ${holdMs}`);
    await this.#out.ask(`set rules 0 ${words(0)}`);
    await this.#out.ask(`set rules 1 ${words(1)}`);
    await this.#in.ask(`set rules 1 ${words(1)}`);
  }

  async tallies(): Promise<{ out: Tally; in: Tally }> {
    const read = async (tool: LineTool, direction: 0 | 1): Promise<Tally> => {
      const words = (await tool.ask(`get tallies ${direction}`)).split(' ').map(Number);
      const [segments = 0, lost = 0, duplicated = 0, held = 0, corrupted = 0, congested = 0] = words;
      return { segments, lost, duplicated, held, corrupted, congested };
    };
    return { out: await read(this.#out, 0), in: await read(this.#in, 1) };
  }

  async close(): Promise<void> {
    await this.set({});
    // The filters before the tap that they lead to.
    await this.#out.stop();
    await this.#in.stop();
    await this.#hold.stop();
  }
}

/** Both links of the lab, bad in the same way. */
export async function openWires(lab: Lab): Promise<{
  set: (faults: Faults, options?: { holdMs?: number; seed?: number }) => Promise<void>;
  tallies: () => Promise<Tally>;
  close: () => Promise<void>;
}> {
  const wires = [await Wire.open(lab, lab.cli, 'c'), await Wire.open(lab, lab.srv, 's')];
  return {
    async set(faults, options = {}) {
      for (const [index, wire] of wires.entries()) {
        await wire.set(faults, { ...options, seed: (options.seed ?? 1) * 2 + index });
      }
    },
    async tallies() {
      const all = (await Promise.all(wires.map((wire) => wire.tallies()))).flatMap((tally) => [tally.out, tally.in]);
      const sum = (name: keyof Tally): number => all.reduce((total, tally) => total + tally[name], 0);
      return {
        segments: sum('segments'),
        lost: sum('lost'),
        duplicated: sum('duplicated'),
        held: sum('held'),
        corrupted: sum('corrupted'),
        congested: sum('congested'),
      };
    },
    async close() {
      for (const wire of wires) await wire.close();
    },
  };
}
