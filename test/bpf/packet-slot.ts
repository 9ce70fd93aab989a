/** Keys and slots of include/splice/packet.h as bytes and back; test/contract/packet.c holds the same offsets. */
import { addressBytes } from './segment.js';

export const SLOT_BYTES = 256;
const LEG_BYTES = 128;
const BYTES_AT = 88;

const legFields = {
  ifindex: [36, 4],
  seqDelta: [40, 4],
  tsDelta: [44, 4],
  flags: [48, 4],
  limit: [52, 2],
  peerScale: [54, 1],
  ownScale: [55, 1],
  state: [56, 1],
  end: [64, 4],
  ack: [68, 4],
  promised: [72, 4],
  segments: [76, 4],
  active: [80, 4],
  cut: [84, 4],
  finEnd: [96, 4],
  edgeAck: [100, 4],
  clockOffset: [104, 4],
  way: [108, 4],
  edgeWindow: [112, 2],
  told: [114, 2],
} as const;

const slotFields = {
  phase: [60, 4],
  ended: [116, 4],
  generation: [188, 2],
  family: [190, 1],
  reason: [191, 1],
  moved: [244, 4],
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
export const LEG = {
  timestamps: 1,
  sack: 2,
  ecn: 4,
  microseconds: 8,
  seen: 16,
  edge: 32,
  fin: 64,
  narrow: 128,
} as const;

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
    bytes.writeBigUInt64LE(BigInt(leg.bytes), at + BYTES_AT);
  });
  for (const name of Object.keys(slotFields) as (keyof typeof slotFields)[]) {
    const [offset, size] = slotFields[name];
    bytes.writeUIntLE(slot[name] >>> 0, offset, size);
  }
  return bytes;
}

export const flagsAt = (side: number): number => side * LEG_BYTES + legFields.flags[0];

export function readLeg(slot: Uint8Array, side: number): LegState {
  const bytes = Buffer.from(slot).subarray(side * LEG_BYTES, (side + 1) * LEG_BYTES);
  const names = Object.keys(legFields) as (keyof typeof legFields)[];
  const fields = Object.fromEntries(
    names.map((name) => [name, bytes.readUIntLE(legFields[name][0], legFields[name][1])]),
  );
  return { ...(fields as Record<keyof typeof legFields, number>), bytes: Number(bytes.readBigUInt64LE(BYTES_AT)) };
}

export function readSlot(slot: Uint8Array): SlotState {
  const bytes = Buffer.from(slot);
  const names = Object.keys(slotFields) as (keyof typeof slotFields)[];
  return Object.fromEntries(
    names.map((name) => [name, bytes.readUIntLE(slotFields[name][0], slotFields[name][1])]),
  ) as SlotState;
}
