/**
 * Stored responses as bytes. The extent is left out: which bytes are there is what the store itself knows best, also
 * where two fills have extended the same file. JSON, because V8 reads it faster than anything written in JavaScript: a
 * record of 12 fields takes about as long as a tenth of the disk read before it.
 */
import type { Codec } from '../cache/store/types.js';
import type { StoredRecord } from '../cache/stored.js';
import type { Selection } from '../cache/vary.js';

export type StoredMeta = Omit<StoredRecord, 'extent'>;

/** Another number, another layout: objects of other versions are lost, which is a miss. */
const VERSION = 1;

type Row = readonly [
  version: number,
  status: number,
  reason: string,
  fields: readonly string[],
  selections: readonly Selection[],
  requestTime: number,
  responseTime: number,
  staleSince: number | null,
  invalid: 0 | 1,
];

export const STORED_CODEC: Codec<StoredMeta> = {
  encode(meta) {
    const { status, reason, fields, selections, requestTime, responseTime, staleSince, invalid } = meta;
    const row: Row = [
      VERSION,
      status,
      reason,
      fields,
      selections,
      requestTime,
      responseTime,
      staleSince ?? null,
      invalid === true ? 1 : 0,
    ];
    return Buffer.from(JSON.stringify(row));
  },
  decode(bytes) {
    const parsed: unknown = JSON.parse(bytes.toString());
    if (!isRow(parsed)) throw new TypeError('a stored response of another version');
    const [, status, reason, fields, selections, requestTime, responseTime, staleSince, invalid] = parsed;
    return {
      status,
      reason,
      fields,
      selections,
      requestTime,
      responseTime,
      ...(staleSince !== null && { staleSince }),
      ...(invalid === 1 && { invalid: true as const }),
    };
  },
};

/** The store has checked that the bytes are those that were written; the version says what they mean. */
function isRow(value: unknown): value is Row {
  return Array.isArray(value) && value[0] === VERSION && value.length === 9;
}
