/** Laws of the chunked decoder: no throw, only the bytes count, and what was encoded comes out. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CHUNK_END, chunkHead, lastChunk } from '../../../src/http/chunked-encoder.js';
import { ChunkedDecoder } from '../../../src/http/chunked.js';
import { Fields } from '../../../src/http/head.js';
import { almost, cut, latin1, marks } from './pieces.js';

const LIMITS = { maxBodyBytes: 40, maxExtensionBytes: 6, maxTrailerBytes: 24, maxTrailers: 2 };
const broken = almost(['5\r\nhello\r\n', '0\r\n', '\r\n', '3;a=b\r\nabc\r\n', 'a\r\n', 'X: y\r\n', 'Host: a\r\n'], 8);

interface Run {
  /** d, f or t for every byte; nothing when the message is refused. */
  kinds: string;
  end: string;
  trailers?: unknown;
  body: number;
}

/** `kernel` moves as much as it may of the data that is not in the piece yet. */
function run(pieces: readonly Uint8Array[], kernel: boolean): Run {
  const decoder = new ChunkedDecoder('request', LIMITS);
  const result: Run = { kinds: '', end: 'more', body: 0 };
  for (const piece of pieces) {
    let at = 0;
    if (kernel) {
      at = Math.min(decoder.ahead, piece.length);
      decoder.moved(at);
      result.kinds += 'd'.repeat(at);
    }
    const step = decoder.receive(piece, at);
    if (step.kind === 'refused') return { kinds: '', end: step.reason, body: decoder.bodyBytes };
    for (const span of step.spans) {
      expect(span.start).toBe(at);
      at = span.end;
      result.kinds += (span.kind[0] ?? '').repeat(span.end - span.start);
    }
    result.end = step.kind;
    result.body = decoder.bodyBytes;
    if (step.kind === 'end') {
      expect(step.end).toBe(at);
      return { ...result, trailers: [...step.trailers] };
    }
    expect(at).toBe(piece.length);
  }
  return result;
}

test('the cut does not matter, nor who moves the data', () => {
  fc.assert(
    fc.property(broken, marks, fc.boolean(), (text, at, kernel) => {
      const stream = latin1(text);
      const whole = run([stream], false);
      expect(run(cut(stream, at), kernel)).toEqual(whole);
      expect(
        run(
          [...stream].map((byte) => Uint8Array.of(byte)),
          kernel,
        ),
      ).toEqual(whole);
    }),
    { numRuns: 3000 },
  );
});

test('what was encoded comes out, and ends at its last byte', () => {
  const token = fc.string({ unit: fc.constantFrom('a', 'B', '-', '1'), minLength: 1, maxLength: 4 });
  const trailers = fc.array(fc.tuple(token, token), { maxLength: 3 });
  const chunks = fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { maxLength: 6 });
  fc.assert(
    fc.property(chunks, trailers, marks, fc.uint8Array({ maxLength: 9 }), (data, fields, at, behind) => {
      const encoded = Buffer.concat([
        ...data.flatMap((chunk, i) => [chunkHead(chunk.length, i === 0), chunk]),
        ...(data.length > 0 ? [CHUNK_END] : []),
        lastChunk(Fields.from(fields)),
      ]);
      const decoder = new ChunkedDecoder('response');
      const out: Uint8Array[] = [];
      let rest = 0;
      for (const piece of cut(Buffer.concat([encoded, behind]), at)) {
        const step = decoder.receive(piece);
        if (step.kind === 'refused') throw new Error(step.message);
        for (const span of step.spans) if (span.kind === 'data') out.push(piece.subarray(span.start, span.end));
        if (step.kind === 'end') {
          rest += piece.length - step.end;
          expect([...step.trailers]).toEqual(fields);
        }
      }
      expect(decoder.ended).toBe(true);
      expect(rest).toBe(behind.length);
      expect(Buffer.concat(out).equals(Buffer.concat(data))).toBe(true);
    }),
  );
});
