import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Fields, HTTP_1_0, HTTP_1_1 } from '../../../src/http/head.js';
import { RequestParser, ResponseParser } from '../../../src/http/head-parser.js';
import { refuse } from '../../../src/http/refusal.js';
import { serializeRequest, serializeResponse } from '../../../src/http/serialize.js';
import { CONTINUE, refusalResponse, simpleResponse, traceResponse } from '../../../src/http/simple-response.js';
import { statusText } from '../../../src/http/status-text.js';

const NOW = Date.UTC(1994, 10, 6, 8, 49, 37);

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}

const request = { method: 'GET', target: '/', version: HTTP_1_1, fields: Fields.EMPTY };
const response = { status: 200, reason: 'OK', version: HTTP_1_1, fields: Fields.EMPTY };

describe('heads', () => {
  const fields = Fields.from([
    ['Host', 'a'],
    ['X-Empty', ''],
    ['X-Odd', '\xe4\t\xff'],
  ]);

  test('are written as they are', () => {
    expect(text(serializeRequest({ ...request, fields }))).toBe(
      'GET / HTTP/1.1\r\nHost: a\r\nX-Empty: \r\nX-Odd: \xe4\t\xff\r\n\r\n',
    );
    expect(text(serializeResponse({ ...response, version: HTTP_1_0, reason: '' }))).toBe('HTTP/1.0 200 \r\n\r\n');
  });

  test.each([
    ['a method', { ...request, method: 'GET /\r\nX:' }],
    ['no method', { ...request, method: '' }],
    ['a target with a space', { ...request, target: '/ HTTP/1.1' }],
    ['a target with CRLF', { ...request, target: '/\r\nX: y' }],
    ['no target', { ...request, target: '' }],
    ['HTTP/2', { ...request, version: { major: 2, minor: 0 } }],
    ['HTTP/1.2', { ...request, version: { major: 1, minor: 2 } }],
  ])('a request with %s', (_what, head) => expect(() => serializeRequest(head)).toThrow(/./));

  test.each([
    ['a reason', { ...response, reason: 'OK\r\nX: y' }],
    ['status 99', { ...response, status: 99 }],
    ['status 1000', { ...response, status: 1000 }],
    ['half a status', { ...response, status: 200.5 }],
  ])('a response with %s', (_what, head) => expect(() => serializeResponse(head)).toThrow(/./));

  test.each([
    ['X', 'a\r\nb'],
    ['X', 'a\nb'],
    ['X', 'a\rb'],
    ['X', 'a\0b'],
    ['X', '\x7f'],
    ['X', '\u0100'],
    ['X', '\u010d\u010a'],
    ['', 'a'],
    ['X Y', 'a'],
    ['X:', 'a'],
    ['X\r\n', 'a'],
  ])('a field %j: %j, whose value is not shown', (name, value) => {
    const fields = Fields.from([[name, `secret${value}`]]);
    expect(() => serializeRequest({ ...request, fields })).toThrow(/field|value/);
    expect(() => serializeRequest({ ...request, fields })).not.toThrow(/secret/);
  });

  test('what is written is read back as it was, or refused before', () => {
    const character = fc.constantFrom('a', 'B', ':', ' ', '\t', '\r', '\n', '\0', '\xe4', '"', ',', '\u0100');
    const value = fc.string({ unit: character, maxLength: 6 });
    const name = fc.string({ unit: fc.constantFrom('a', 'B', '-', ':', ' ', '\n'), minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value), { maxLength: 4 }), (pairs) => {
        let bytes: Uint8Array;
        try {
          bytes = serializeResponse({ ...response, fields: Fields.from(pairs) });
        } catch {
          return;
        }
        const result = new ResponseParser().receive(bytes);
        if (result.kind !== 'head') throw new Error(result.kind);
        const padded = pairs.map(([n, v]) => [n, v.replace(/^[ \t]+|[ \t]+$/g, '')]);
        expect([...result.head.fields]).toEqual(padded);
        expect(result.end).toBe(bytes.length);
      }),
      { numRuns: 3000 },
    );
  });
});

describe('simple responses', () => {
  function parsed(bytes: Uint8Array, method = 'GET') {
    const result = new ResponseParser().receive(bytes);
    if (result.kind !== 'head') throw new Error(result.kind);
    const body = text(bytes.subarray(result.end));
    if (method !== 'HEAD') expect(result.head.fields.get('content-length')).toBe(String(body.length));
    return { ...result.head, body };
  }

  test('a refusal', () => {
    const cacheStatus = Fields.from([['Cache-Status', 'me; detail=refused']]);
    const result = parsed(refusalResponse(refuse(431, 'head-too-large', 'The head is too large.'), NOW, cacheStatus));
    expect(result).toMatchObject({
      status: 431,
      reason: 'Request Header Fields Too Large',
      body: '431 Request Header Fields Too Large\n\nThe head is too large.\n',
    });
    expect([...result.fields]).toEqual([
      ['Date', 'Sun, 06 Nov 1994 08:49:37 GMT'],
      ['Content-Type', 'text/plain; charset=utf-8'],
      ['Content-Length', '60'],
      ['X-Content-Type-Options', 'nosniff'],
      ['Connection', 'close'],
      ['Cache-Status', 'me; detail=refused'],
    ]);
  });

  test('to HEAD the same head alone', () => {
    const plain = { status: 504, text: 'The origin does not answer.', nowMs: NOW, close: false };
    const get = parsed(simpleResponse(plain));
    const head = parsed(simpleResponse({ ...plain, method: 'HEAD' }), 'HEAD');
    expect(head).toMatchObject({ status: 504, body: '' });
    expect([...head.fields]).toEqual([...get.fields]);
    expect(head.fields.has('connection')).toBe(false);
  });

  test('TRACE is answered with the request, without secrets', () => {
    const received = new RequestParser().receive(
      Buffer.from('TRACE /a HTTP/1.1\r\nHost: a\r\ncookie: secret\r\nAuthorization: secret\r\nX: y\r\n\r\n'),
    );
    if (received.kind !== 'head') throw new Error(received.kind);
    const result = parsed(traceResponse(received.head, NOW));
    expect(result.fields.get('content-type')).toBe('message/http');
    expect(result.body).toBe('TRACE /a HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n');
  });

  test('100 Continue', () => {
    expect(new ResponseParser().receive(CONTINUE)).toMatchObject({ kind: 'head', head: { status: 100 }, end: 25 });
  });

  test('status texts', () => {
    expect([200, 413, 422, 502, 599].map(statusText)).toEqual([
      'OK',
      'Content Too Large',
      'Unprocessable Content',
      'Bad Gateway',
      '',
    ]);
  });
});
