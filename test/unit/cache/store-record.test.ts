/** Records as bytes: what was written is read, and what was damaged is not. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  copyWithFlags,
  decodeHead,
  decodePayload,
  encodeRecord,
  PUT,
  recordSize,
  type RecordHead,
} from '../../../src/cache/store/record.js';
import { scanSegment } from '../../../src/cache/store/replay.js';

const text = fc.string({ unit: 'grapheme', maxLength: 30 });
const size = fc.nat(Number.MAX_SAFE_INTEGER);
const record = fc.record({
  head: fc.record({
    kind: fc.constantFrom(1 as const, 2 as const, 3 as const),
    flags: fc.nat(7),
    id: size,
    fileId: size,
    length: size,
    fileBytes: size,
    key: text,
    variant: text,
    tags: text,
  }),
  payload: fc.record({
    ranges: fc.array(fc.record({ start: size, end: size }), { maxLength: 3 }),
    meta: fc.uint8Array({ maxLength: 40 }),
    body: fc.uint8Array({ maxLength: 100 }),
  }),
});

test('what was written is read', () => {
  fc.assert(
    fc.property(record, fc.nat(7), ({ head, payload }, flags) => {
      const buffer = encodeRecord(head, payload);
      expect(buffer.length % 8).toBe(0);
      const moved = Buffer.concat([Buffer.alloc(8), buffer, Buffer.alloc(16, 1)]);
      expect(recordSize(moved, 8)).toBe(buffer.length);
      expect(decodeHead(moved, 8)).toEqual(head);
      const read = decodePayload(moved, 8);
      expect(read?.ranges).toEqual(payload.ranges);
      expect(Buffer.from(read?.meta ?? []).equals(payload.meta)).toBe(true);
      expect(Buffer.from(read?.body ?? []).equals(payload.body)).toBe(true);
      const copy = copyWithFlags(buffer, flags);
      expect(recordSize(copy, 0)).toBe(buffer.length);
      expect(decodeHead(copy, 0)).toEqual({ ...head, flags });
    }),
  );
});

test('a changed bit is noticed, but for the zeros at the end', () => {
  fc.assert(
    fc.property(record, fc.nat(), ({ head, payload }, seed) => {
      const buffer = encodeRecord(head, payload);
      const bit = seed % (buffer.length * 8);
      buffer[bit >> 3] = (buffer[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      if (recordSize(buffer, 0) === 0 || decodePayload(buffer, 0) === undefined) return;
      expect(buffer.length - (bit >> 3)).toBeLessThanOrEqual(8);
      expect(decodeHead(buffer, 0)).toEqual(head);
    }),
    { numRuns: 500 },
  );
});

test('damage in a segment costs the records that it hits', () => {
  const many = fc.array(record, { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(many, fc.nat(), fc.integer({ min: 1, max: 120 }), fc.nat(255), (records, seed, length, value) => {
      const buffers = records.map(({ head, payload }) => encodeRecord(head, payload));
      const segment = Buffer.concat(buffers);
      const start = seed % segment.length;
      const before = Buffer.from(segment);
      segment.fill(value, start, Math.min(segment.length, start + length));
      let at = 0;
      const intact: RecordHead[] = [];
      records.forEach(({ head }, i) => {
        const end = at + (buffers[i]?.length ?? 0);
        if (segment.subarray(at, end).equals(before.subarray(at, end))) intact.push(head);
        at = end;
      });
      const found = [...scanSegment(segment)].flatMap(({ head: each }) => each ?? []);
      // A hit payload leaves the head to be found; a record is found once, in order, and none is made up.
      expect(found.filter((head) => intact.some((each) => same(each, head))).length).toBeGreaterThanOrEqual(
        intact.length,
      );
      for (const head of found) expect(records.some((each) => same(each.head, head))).toBe(true);
    }),
    { numRuns: 300 },
  );
});

function same(a: RecordHead, b: RecordHead): boolean {
  return JSON.stringify(Object.entries(a).sort()) === JSON.stringify(Object.entries(b).sort());
}

test('a segment that was cut off gives all records before the cut', () => {
  const head: RecordHead = {
    kind: PUT,
    flags: 0,
    id: 1,
    fileId: 0,
    length: 5,
    fileBytes: 0,
    key: 'k',
    variant: '',
    tags: '',
  };
  const payload = { ranges: [], meta: Buffer.from('meta'), body: Buffer.from('body!') };
  const one = encodeRecord(head, payload);
  const segment = Buffer.concat([one, one, one]);
  for (let length = 0; length <= segment.length; length++) {
    const found = [...scanSegment(segment.subarray(0, length))].filter((scanned) => scanned.head !== undefined);
    expect(found.length).toBe(Math.floor(length / one.length));
  }
});
