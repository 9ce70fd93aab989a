/** The packet backend's data plane at one moment, as plain values that can go from thread to thread. */
import { PACKET_COUNTER_NAMES } from '../abi.gen.js';
import type { PacketPlane } from './packet-plane.js';

export interface PacketSnapshot {
  readonly interfaces: readonly string[];
  /** First and last. */
  readonly sourcePorts: readonly [number, number];
  readonly sourcePortsUsed: number;
  readonly maxFlows: number;
  /** Flows by phase. */
  readonly phases: { readonly transit: number; readonly released: number; readonly ended: number };
  /** Flows that were due and could not go over, since the start. */
  readonly refused: number;
  /** Segments, by what the programs did with them: names of `PACKET_COUNTER`. */
  readonly counters: Readonly<Record<string, number>>;
  /** The kernel's tag of the relay program. */
  readonly tag: string;
}

export function packetSnapshot(plane: PacketPlane): PacketSnapshot {
  const { maxFlows, transit, released, ended, ports, refused, tag } = plane.kernel.usage();
  const exits = plane.kernel.exits();
  return {
    interfaces: plane.interfaces,
    sourcePorts: [plane.ports[0], plane.ports[1]],
    sourcePortsUsed: ports,
    maxFlows,
    phases: { transit, released, ended },
    refused,
    counters: Object.fromEntries(PACKET_COUNTER_NAMES.map((name, index) => [name, exits[index] ?? 0])),
    tag,
  };
}
