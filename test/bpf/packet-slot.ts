/** Keys and slots of include/splice/packet.h as bytes and back; test/contract/packet.c holds the same offsets. */
import { addressBytes } from './segment.js';

export const SLOT_BYTES = 256;
const LEG_BYTES = 112;

const legFields = {
  ifindex: [36, 4],
  seqDelta: [40, 4],
  tsDelta: [44, 4],
  cut: [48, 4],
  end: [52, 4],
  finEnd: [56, 4],
  ack: [60, 4],
  edgeAck: [64, 4],
  clockOffset: [68, 4],
  segments: [72, 4],
  active: [76, 4],
  way: [80, 4],
  flags: [84, 4],
  edgeWindow: [88, 2],
  limit: [90, 2],
  peerScale: [92, 1],
  ownScale: [93, 1],
  state: [94, 1],
  promised: [96, 4],
  told: [100, 4],
} as const;

const slotFields = {
  phase: [232, 4],
  owner: [236, 4],
  ended: [240, 4],
  generation: [244, 2],
  family: [246, 1],
  reason: [247, 1],
} as const;

/** One connection as a segment from its peer names it. */
export interface Connection {
  remote: string;
  remotePort: number;
  local: string;
  localPort: number;
}

export type LegState = Record<keyof typeof legFields, number> & { bytes: number };
export type SlotState = Record<keyof typeof slotFields, number>;
export const LEG = { timestamps: 1, sack: 2, ecn: 4, microseconds: 8, seen: 16, edge: 32, fin: 64, raw: 128 } as const;

function mapped(address: string): number[] {
  const bytes = addressBytes(address);
  return bytes.length === 16 ? bytes : [...Array<number>(10).fill(0), 255, 255, ...bytes];
}

/** The 36 bytes of `struct splice_key`. */
export function keyBytes(connection: Connection): Buffer {
  const key = Buffer.from([...mapped(connection.remote), ...mapped(connection.local), 0, 0, 0, 0]);
  key.writeUInt16BE(connection.remotePort, 32);
  key.writeUInt16BE(connection.localPort, 34);
  return key;
}

export function slotBytes(legs: [Connection & LegState, Connection & LegState], slot: SlotState): Buffer {
  const bytes = Buffer.alloc(SLOT_BYTES);
  legs.forEach((leg, side) => {
    const at = side * LEG_BYTES;
    keyBytes(leg).copy(bytes, at);
    for (const name of Object.keys(legFields) as (keyof typeof legFields)[]) {
      const [offset, size] = legFields[name];
      bytes.writeUIntLE(leg[name] >>> 0, at + offset, size);
    }
    bytes.writeBigUInt64LE(BigInt(leg.bytes), at + 104);
  });
  for (const name of Object.keys(slotFields) as (keyof typeof slotFields)[]) {
    const [offset, size] = slotFields[name];
    bytes.writeUIntLE(slot[name] >>> 0, offset, size);
  }
  return bytes;
}

export function readLeg(slot: Uint8Array, side: number): LegState {
  const bytes = Buffer.from(slot).subarray(side * LEG_BYTES, (side + 1) * LEG_BYTES);
  const names = Object.keys(legFields) as (keyof typeof legFields)[];
  const fields = Object.fromEntries(
    names.map((name) => [name, bytes.readUIntLE(legFields[name][0], legFields[name][1])]),
  );
  return { ...(fields as Record<keyof typeof legFields, number>), bytes: Number(bytes.readBigUInt64LE(104)) };
}

export function readSlot(slot: Uint8Array): SlotState {
  const bytes = Buffer.from(slot);
  const names = Object.keys(slotFields) as (keyof typeof slotFields)[];
  return Object.fromEntries(
    names.map((name) => [name, bytes.readUIntLE(slotFields[name][0], slotFields[name][1])]),
  ) as SlotState;
}
