import { describe, expect, test } from 'vitest';
import { CHUNK_END, chunkHead, lastChunk } from '../../../src/http/chunked-encoder.js';
import { ChunkedDecoder, type ChunkedLimits, type ChunkedResult } from '../../../src/http/chunked.js';
import { Fields } from '../../../src/http/head.js';
import type { RefusalReason } from '../../../src/http/refusal.js';
import { latin1 } from './pieces.js';

function decode(text: string, limits: Partial<ChunkedLimits> = {}): ChunkedResult {
  return new ChunkedDecoder('request', limits).receive(latin1(text));
}

/** The bytes of each span, by its kind. */
function spansOf(text: string): string[] {
  const result = decode(text);
  if (result.kind === 'refused') throw new Error(result.message);
  return result.spans.map(({ kind, start, end }) => `${kind} ${text.slice(start, end)}`);
}

describe('spans', () => {
  test('data, framing and trailers; bytes behind belong to nobody', () => {
    const text = '5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX: y\r\n\r\nGET';
    expect(spansOf(text)).toEqual([
      'framing 5\r\n',
      'data hello',
      'framing \r\n6;a=b\r\n',
      'data  world',
      'framing \r\n0\r\n',
      'trailers X: y\r\n\r\n',
    ]);
    const result = decode(text);
    expect(result).toMatchObject({ kind: 'end', end: text.length - 3 });
    expect(result.kind === 'end' && [...result.trailers]).toEqual([['X', 'y']]);
  });

  test('an empty body', () => {
    expect(spansOf('0\r\n\r\n')).toEqual(['framing 0\r\n', 'trailers \r\n']);
    expect(decode('0\r\n\r\n')).toMatchObject({ kind: 'end', end: 5, trailers: Fields.EMPTY });
  });

  test.each(['000', '0;x', '0;last="y\\"z"'])('%s is a last chunk too', (size) => {
    expect(decode(`${size}\r\n\r\n`).kind).toBe('end');
  });

  test.each([
    ['a', 10],
    ['A', 10],
    ['00000000000fF', 255],
    ['1fffffffffffff'.slice(1), 0xfffffffffffff],
  ])('size %s', (digits, size) => {
    const decoder = new ChunkedDecoder('response');
    decoder.receive(latin1(`${digits}\r\n`));
    expect(decoder.ahead).toBe(size);
  });

  test('after the end nothing is taken', () => {
    const decoder = new ChunkedDecoder('response');
    decoder.receive(latin1('0\r\n\r\n'));
    expect(decoder.ended).toBe(true);
    expect(decoder.receive(latin1('5\r\nhello'))).toMatchObject({ kind: 'end', spans: [], end: 0 });
  });
});

describe('data that goes by the kernel', () => {
  test('is counted, and the framing goes on behind it', () => {
    const decoder = new ChunkedDecoder('response');
    expect(decoder.ahead).toBe(0);
    expect(decoder.receive(latin1('10\r\nabc'))).toMatchObject({
      kind: 'more',
      spans: [
        { kind: 'framing', start: 0, end: 4 },
        { kind: 'data', start: 4, end: 7 },
      ],
    });
    expect(decoder.ahead).toBe(13);
    decoder.moved(5);
    decoder.moved(8);
    expect(decoder.ahead).toBe(0);
    expect(decoder.bodyBytes).toBe(16);
    expect(decoder.receive(latin1('\r\n0\r\n\r\n')).kind).toBe('end');
  });

  test.each([-1, 6, 0.5, Number.NaN])('moved(%d) of 5 is a mistake and changes nothing', (count) => {
    const decoder = new ChunkedDecoder('response');
    decoder.receive(latin1('5\r\n'));
    expect(() => decoder.moved(count)).toThrow(/is not from 0 to 5/);
    expect(decoder.ahead).toBe(5);
  });
});

describe('refused', () => {
  test.each<[what: string, text: string, reason: RefusalReason]>([
    ['no size', '\r\n', 'bad-chunk'],
    ['an extension without a size', ';a\r\n', 'bad-chunk'],
    ['not hexadecimal', 'g\r\n', 'bad-chunk'],
    ['0x', '0x5\r\nhello', 'bad-chunk'],
    ['a plus sign', '+5\r\nhello', 'bad-chunk'],
    ['a minus sign', '-5\r\n', 'bad-chunk'],
    ['an underscore', '1_0\r\n', 'bad-chunk'],
    ['a space before the size', ' 5\r\nhello', 'bad-chunk'],
    ['a space behind the size', '5 \r\nhello', 'bad-chunk'],
    ['a tab behind the size', '5\t\r\nhello', 'bad-chunk'],
    ['a space before an extension', '5 ;a\r\nhello', 'bad-chunk'],
    ['a bare LF behind the size', '5\nhello', 'bad-chunk'],
    ['a bare CR behind the size', '5\rhello', 'bad-chunk'],
    ['a bare LF in an extension', '5;a\nhello', 'bad-chunk'],
    ['a bare CR in an extension', '5;a\rb\r\nhello', 'bad-chunk'],
    ['a null byte in an extension', '5;\0\r\nhello', 'bad-chunk'],
    ['two CR behind the size', '5\r\r\nhello', 'bad-chunk'],
    ['more data than was said', '5\r\nhello!\r\n', 'bad-chunk'],
    ['less data than was said', '5\r\nhell\r\n0\r\n\r\n', 'bad-chunk'],
    ['a bare LF behind the data', '5\r\nhello\n0\r\n\r\n', 'bad-chunk'],
    ['a bare CR behind the data', '5\r\nhello\r0\r\n\r\n', 'bad-chunk'],
    ['something between CR and the next size', '5\r\nhello\rX0\r\n\r\n', 'bad-chunk'],
    ['an empty line behind the data', '5\r\nhello\r\n\r\n', 'bad-chunk'],
    ['fourteen digits', '10000000000000\r\n', 'chunk-too-large'],
    ['fourteen zeros', '00000000000000\r\n', 'chunk-too-large'],
    ['2^64 and a bit', '10000000000000005\r\nhello', 'chunk-too-large'],
    ['a bare LF in the trailers', '0\r\nX: y\n\r\n', 'bare-lf'],
    ['a bare LF for the end', '0\r\n\n', 'bare-lf'],
    ['a bare CR in the trailers', '0\r\nX: y\rz\r\n', 'bare-cr'],
    ['a folded trailer', '0\r\nX: y\r\n z\r\n\r\n', 'folded-field'],
    ['white space first', '0\r\n X: y\r\n\r\n', 'folded-field'],
    ['a request in the trailers', '0\r\nGET / HTTP/1.1\r\n\r\n', 'space-before-colon'],
    ['a null byte in a trailer', '0\r\nX: \0\r\n\r\n', 'control-character'],
    ['a trailer for a length', '0\r\nContent-Length: 5\r\n\r\n', 'bad-trailer'],
    ['a trailer for a coding', '0\r\nTRANSFER-ENCODING: chunked\r\n\r\n', 'bad-trailer'],
    ['a trailer for a host', '0\r\nA: b\r\nHost: a\r\n\r\n', 'bad-trailer'],
  ])('%s', (_what, text, reason) => {
    expect(decode(text)).toMatchObject({ kind: 'refused', reason });
    const decoder = new ChunkedDecoder('response');
    const result = decoder.receive(latin1(text));
    expect(result).toMatchObject({ kind: 'refused', status: 502, reason });
    expect(decoder.receive(latin1('0\r\n\r\n'))).toMatchObject({ kind: 'refused', reason });
    expect(decoder.ahead).toBe(0);
  });

  test('limits are exact', () => {
    expect(decode('5\r\nhello', { maxChunkBytes: 5 }).kind).toBe('more');
    expect(decode('5\r\nhello', { maxChunkBytes: 4 })).toMatchObject({ status: 413, reason: 'chunk-too-large' });
    expect(decode('5\r\nhello\r\n5\r\n', { maxBodyBytes: 10 }).kind).toBe('more');
    expect(decode('5\r\nhello\r\n6\r\n', { maxBodyBytes: 10 })).toMatchObject({ status: 413 });
    expect(decode('1;abc\r\na\r\n1;ab\r\n', { maxExtensionBytes: 5 }).kind).toBe('more');
    expect(decode('1;abc\r\na\r\n1;abc\r\n', { maxExtensionBytes: 5 })).toMatchObject({ reason: 'bad-chunk' });
    expect(decode('0\r\nX: y\r\n\r\n', { maxTrailerBytes: 8 }).kind).toBe('end');
    expect(decode('0\r\nX: y\r\n\r\n', { maxTrailerBytes: 7 })).toMatchObject({
      status: 431,
      reason: 'trailers-too-large',
    });
    expect(decode('0\r\nX: y\r\nX: z\r\n\r\n', { maxTrailers: 2 }).kind).toBe('end');
    expect(decode('0\r\nX: y\r\nX: z\r\n\r\n', { maxTrailers: 1 })).toMatchObject({ reason: 'trailers-too-large' });
  });
});

test('trailers that change what was said before are left out', () => {
  const text =
    '0\r\nX-Checksum:  abc \r\nSet-Cookie: a=b\r\nConnection: close\r\nExpires: 0\r\nServer-Timing: a\r\n\r\n';
  const result = decode(text);
  expect(result.kind === 'end' && [...result.trailers]).toEqual([
    ['X-Checksum', 'abc'],
    ['Server-Timing', 'a'],
  ]);
});

describe('encoder', () => {
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

  test('writes what stands around data', () => {
    expect(text(chunkHead(1))).toBe('1\r\n');
    expect(text(chunkHead(65_536, false))).toBe('\r\n10000\r\n');
    expect(text(CHUNK_END)).toBe('\r\n');
    expect(text(lastChunk())).toBe('0\r\n\r\n');
    const trailers = Fields.from([['X', 'y']]);
    expect(text(lastChunk(trailers))).toBe('0\r\nX: y\r\n\r\n');
  });

  test.each([0, -1, 1.5, Number.NaN, 2 ** 53])('no chunk has %d bytes', (size) => {
    expect(() => chunkHead(size)).toThrow(/cannot have/);
  });

  test('no trailer breaks the message', () => {
    expect(() => lastChunk(Fields.from([['X', 'a\r\nb']]))).toThrow(/control character/);
  });
});
