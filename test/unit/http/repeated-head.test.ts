import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RequestParser } from '../../../src/http/head-parser.js';

const FIELDS = 'Host: a.example\r\nUser-Agent: t\r\nAccept: */*\r\n\r\n';
const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');

/** What a parser says that has seen nothing before, and one that has seen the same fields. */
function both(text: string): { fresh: unknown; seasoned: unknown } {
  const seasoned = new RequestParser();
  expect(seasoned.receive(bytes(`GET /first HTTP/1.1\r\n${FIELDS}`)).kind).toBe('head');
  return { fresh: flat(new RequestParser().receive(bytes(text))), seasoned: flat(seasoned.receive(bytes(text))) };
}

const flat = (result: unknown): unknown => JSON.parse(JSON.stringify(result));

describe('fields that come again', () => {
  test('are the same object, so that what was worked out of them need not be again', () => {
    const parser = new RequestParser();
    const first = parser.receive(bytes(`GET /a HTTP/1.1\r\n${FIELDS}`));
    const second = parser.receive(bytes(`GET /b?c HTTP/1.1\r\n${FIELDS}rest`));
    if (first.kind !== 'head' || second.kind !== 'head') throw new Error('no heads');
    expect(second.head.fields).toBe(first.head.fields);
    expect(second.head.target).toBe('/b?c');
    expect(second.end).toBe(`GET /b?c HTTP/1.1\r\n${FIELDS}`.length);
  });

  test('in a piece of several requests, from anywhere in it', () => {
    const parser = new RequestParser();
    const one = `GET /a HTTP/1.1\r\n${FIELDS}`;
    const piece = bytes(one.repeat(3));
    let at = 0;
    for (let n = 0; n < 3; n++) {
      const result = parser.receive(piece, at);
      if (result.kind !== 'head') throw new Error('no head');
      expect(result.head.fields.get('host')).toBe('a.example');
      at = result.end;
    }
    expect(at).toBe(piece.length);
  });

  test('empty lines in a piece of their own are not taken for bytes of the next one', () => {
    // Fourteen bytes of them would move the end of the request line to that of the first field.
    const text = `GET /a HTTP/1.1\r\nXY: HTTP/1.1\r\n${FIELDS}`;
    const parser = new RequestParser();
    expect(parser.receive(bytes('\r\n'.repeat(7))).kind).toBe('partial');
    expect(parser.receive(bytes(text)).kind).toBe('head');
    const next = bytes(`GET /b HTTP/1.1\r\n${FIELDS}`);
    expect(flat(parser.receive(next))).toEqual(flat(new RequestParser().receive(next)));
  });

  test.each(Array.from({ length: 256 }, (_, c) => c))('a target with byte %i is judged as the first would be', (c) => {
    for (const target of [
      `/${String.fromCharCode(c)}`,
      `/x${String.fromCharCode(c)}y`,
      `/?${String.fromCharCode(c)}`,
    ]) {
      const { fresh, seasoned } = both(`GET ${target} HTTP/1.1\r\n${FIELDS}`);
      expect(seasoned).toEqual(fresh);
    }
  });

  test('a target, or a head, that is too long is refused as before', () => {
    for (const length of [8190, 8191, 8192, 8193, 33_000]) {
      const { fresh, seasoned } = both(`GET /${'x'.repeat(length)} HTTP/1.1\r\n${FIELDS}`);
      expect(seasoned).toEqual(fresh);
    }
    const limits = { maxHeadBytes: 100 };
    const parser = new RequestParser(limits);
    expect(parser.receive(bytes(`GET / HTTP/1.1\r\n${FIELDS}`)).kind).toBe('head');
    const long = bytes(`GET /${'x'.repeat(60)} HTTP/1.1\r\n${FIELDS}`);
    expect(flat(parser.receive(long))).toEqual(flat(new RequestParser(limits).receive(long)));
  });

  test('whatever else differs by a byte, inserted, changed or left out, is judged as the first would be', () => {
    const whole = `GET /path?q HTTP/1.1\r\n${FIELDS}`;
    fc.assert(
      fc.property(
        fc.nat(whole.length - 1),
        fc.nat(255),
        fc.constantFrom('insert', 'change', 'leave out'),
        (at, c, how) => {
          const behind = how === 'insert' ? at : at + 1;
          const text = whole.slice(0, at) + (how === 'leave out' ? '' : String.fromCharCode(c)) + whole.slice(behind);
          const { fresh, seasoned } = both(text);
          expect(seasoned).toEqual(fresh);
        },
      ),
      { numRuns: 3000 },
    );
  });

  test('with content or in another version they are not taken for known', () => {
    for (const head of ['POST / HTTP/1.1', 'GET / HTTP/1.0', 'HEAD / HTTP/1.1', 'GET http://b.example/ HTTP/1.1']) {
      const { fresh, seasoned } = both(`${head}\r\n${FIELDS}`);
      expect(seasoned).toEqual(fresh);
    }
  });
});
