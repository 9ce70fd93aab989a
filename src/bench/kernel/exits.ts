/** Exits of the relay program, by the stage of the flow whose segment took them. Names as in src/abi.gen.ts. */
import { PACKET_COUNTER_NAMES } from '../../abi.gen.js';

export interface StageCounts {
  /** Of no flow. */
  readonly miss: number;
  /** Of a flow without sockets. */
  readonly steady: number;
  /** Local sockets still own bytes of the flow, or have just been cut. */
  readonly transit: number;
  readonly dropped: number;
}

const MISS = ['not-ip', 'not-tcp', 'short', 'no-flow', 'icmp-no-flow'];
const TRANSIT = ['relayed-transit', 'relayed-ack'];

export function countStages(exits: readonly number[]): StageCounts {
  const sum = (wanted: (name: string) => boolean): number =>
    PACKET_COUNTER_NAMES.reduce((total, name, index) => total + (wanted(name) ? (exits[index] ?? 0) : 0), 0);
  return {
    miss: sum((name) => MISS.includes(name)),
    steady: sum((name) => name === 'relayed'),
    transit: sum((name) => name.startsWith('local-') || TRANSIT.includes(name)),
    dropped: sum((name) => name.startsWith('drop-')),
  };
}

/** How many of a hundred segments belong to a stage. */
export function percentOf(counts: StageCounts, stage: keyof StageCounts): number {
  return (100 * counts[stage]) / (counts.miss + counts.steady + counts.transit + counts.dropped);
}
