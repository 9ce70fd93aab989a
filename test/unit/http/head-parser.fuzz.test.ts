/** Laws of the head parser over all inputs: no throw, only the bytes count and not the cut, and what passes is strict. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { RequestParser, ResponseParser } from '../../../src/http/head-parser.js';
import { serializeRequest } from '../../../src/http/serialize.js';
import { almost, cut, latin1, marks } from './pieces.js';

const WORDS = [
  'GET / HTTP/1.1\r\n',
  'POST /a?b HTTP/1.1\r\n',
  'CONNECT a:1 HTTP/1.0\r\n',
  'HTTP/1.1 200 OK\r\n',
  'Host: a\r\n',
  'Host:',
  'X: y\r\n',
  'Content-Length: 5\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Connection: close, upgrade\r\nUpgrade: x\r\n',
  '\r\n',
  '\r\n\r\n',
];

const LIMITS = { maxHeadBytes: 120, maxTargetBytes: 12, maxFields: 6 };
const streams = almost(WORDS, 12).map(latin1);
/** Most of these are heads that pass. */
const begun = fc
  .tuple(fc.constantFrom(...WORDS.slice(0, 4)), fc.constantFrom('', 'Host: a\r\n'), almost(WORDS, 5))
  .map(([line, host, rest]) => latin1(`${line}${host}${rest}\r\n\r\nbehind`));

type Parser = RequestParser | ResponseParser;

/** All heads of the stream, one directly behind the other, and where the last ends; or the refusal. */
function run(parser: Parser, pieces: readonly Uint8Array[]): unknown {
  const heads: unknown[] = [];
  let before = 0;
  let end = 0;
  for (const piece of pieces) {
    for (let at = 0; at <= piece.length;) {
      const result = parser.receive(piece, at);
      if (result.kind === 'refused') return { heads, refused: result.reason, status: result.status };
      if (result.kind === 'partial') break;
      expect(result.end).toBeGreaterThan(at);
      at = result.end;
      end = before + at;
      heads.push({ ...result, end });
    }
    before += piece.length;
  }
  return { heads, end, begun: parser.begun };
}

test.each([
  ['request', () => new RequestParser(LIMITS)],
  ['response', () => new ResponseParser(LIMITS)],
  ['request with usual limits', () => new RequestParser()],
])('%s: the cut does not matter', (_name, make) => {
  fc.assert(
    fc.property(fc.oneof(streams, begun), marks, (stream, at) => {
      const whole = run(make(), [stream]);
      expect(run(make(), cut(stream, at))).toEqual(whole);
      expect(
        run(
          make(),
          [...stream].map((byte) => Uint8Array.of(byte)),
        ),
      ).toEqual(whole);
    }),
    { numRuns: 1500 },
  );
});

test('pieces may be overwritten once they were given', () => {
  fc.assert(
    fc.property(begun, marks, (stream, at) => {
      const parser = new RequestParser();
      const reused = (): unknown => {
        for (const piece of cut(stream, at)) {
          const result = parser.receive(piece);
          piece.fill(0x0a);
          if (result.kind !== 'partial') return result.kind === 'head' ? result.head : result;
        }
        return undefined;
      };
      const result = new RequestParser().receive(stream);
      expect(reused()).toEqual(result.kind === 'head' ? result.head : result.kind === 'refused' ? result : undefined);
    }),
  );
});

test('what passes is written as it came, but for the padding of values', () => {
  let passed = 0;
  fc.assert(
    fc.property(begun, (stream) => {
      const result = new RequestParser().receive(stream);
      if (result.kind !== 'head') return;
      passed++;
      const received = Buffer.from(stream.subarray(result.end - result.size, result.end)).toString('latin1');
      const plain = received.replace(/:[ \t]*/g, ': ').replace(/[ \t]+\r\n/g, '\r\n');
      const written = Buffer.from(serializeRequest(result.head)).toString('latin1');
      expect(written.replace(/:[ \t]*/g, ': ').replace(/[ \t]+\r\n/g, '\r\n')).toBe(plain);
      expect(received).not.toMatch(/[^\r]\n|\r[^\n]|\0|\r\n[ \t]|[ \t]:/);
    }),
    { numRuns: 3000 },
  );
  expect(passed).toBeGreaterThan(100);
});

test('any bytes at all', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      expect(['refused', 'partial', 'head']).toContain(new RequestParser().receive(bytes).kind);
      expect(['refused', 'partial', 'head']).toContain(new ResponseParser().receive(bytes).kind);
    }),
    { numRuns: 2000 },
  );
});
