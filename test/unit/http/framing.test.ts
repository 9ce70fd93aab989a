import { describe, expect, test } from 'vitest';
import {
  connectionOptions,
  expectsContinue,
  listOf,
  requestFraming,
  requestPersists,
  responseFraming,
  responsePersists,
  upgradeOf,
} from '../../../src/http/framing.js';
import { Fields, HTTP_1_0, HTTP_1_1, type RequestHead, type ResponseHead } from '../../../src/http/head.js';

function fieldsOf(text: string): Fields {
  return Fields.from(
    text
      .split('; ')
      .filter((line) => line !== '')
      .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)] as const),
  );
}

function request(method: string, fields: string, version = HTTP_1_1): RequestHead {
  return { method, target: '/', version, fields: fieldsOf(fields) };
}

function response(status: number, fields: string, version = HTTP_1_1): ResponseHead {
  return { status, reason: '', version, fields: fieldsOf(fields) };
}

describe('framing of responses (RFC 9112 section 6.3)', () => {
  const five = { kind: 'length', length: 5 };
  test.each([
    ['GET', 200, 'Content-Length:5', five],
    ['GET', 200, 'Transfer-Encoding:chunked', { kind: 'chunked' }],
    ['GET', 200, '', { kind: 'close' }],
    ['GET', 206, 'Content-Length:5', five],
    ['GET', 404, 'Content-Length:0', { kind: 'length', length: 0 }],
    ['HEAD', 200, 'Content-Length:5', { kind: 'none' }],
    ['HEAD', 200, 'Transfer-Encoding:chunked', { kind: 'none' }],
    ['HEAD', 200, '', { kind: 'none' }],
    ['GET', 100, '', { kind: 'none' }],
    ['GET', 103, 'Content-Length:5', { kind: 'none' }],
    ['GET', 204, 'Content-Length:5', { kind: 'none' }],
    ['GET', 304, 'Content-Length:5', { kind: 'none' }],
    ['GET', 304, 'Transfer-Encoding:chunked', { kind: 'none' }],
    ['GET', 101, '', { kind: 'tunnel' }],
    ['CONNECT', 200, 'Content-Length:5', { kind: 'tunnel' }],
    ['CONNECT', 299, 'Transfer-Encoding:chunked', { kind: 'tunnel' }],
    ['CONNECT', 407, 'Content-Length:5', five],
    ['CONNECT', 502, '', { kind: 'close' }],
    ['head', 200, 'Content-Length:5', five],
    ['GET', 205, 'Content-Length:0', { kind: 'length', length: 0 }],
  ])('%s %i %s', (method, status, fields, expected) => {
    expect(responseFraming(response(status, fields), method)).toEqual(expected);
  });

  test.each([
    ['GET', 200, 'Content-Length:5; Transfer-Encoding:chunked', 'length-and-encoding'],
    ['HEAD', 200, 'Content-Length:5; Transfer-Encoding:chunked', 'length-and-encoding'],
    ['CONNECT', 200, 'Content-Length:5; Content-Length:5', 'several-content-lengths'],
    ['GET', 304, 'Content-Length:x', 'bad-content-length'],
    ['GET', 200, 'Transfer-Encoding:gzip', 'bad-transfer-encoding'],
    ['GET', 200, 'Transfer-Encoding:chunked, chunked', 'bad-transfer-encoding'],
    ['GET', 200, 'Transfer-Encoding:chunked, gzip, chunked', 'bad-transfer-encoding'],
    ['GET', 200, 'Transfer-Encoding:gzip, chunked', 'unsupported-transfer-encoding'],
  ])('%s %i %s is a bad gateway', (method, status, fields, reason) => {
    expect(responseFraming(response(status, fields), method)).toMatchObject({ kind: 'refused', status: 502, reason });
  });

  test('chunked with HTTP/1.0 is a bad gateway', () => {
    expect(responseFraming(response(200, 'Transfer-Encoding:chunked', HTTP_1_0), 'GET')).toMatchObject({
      status: 502,
      reason: 'encoding-in-http-1.0',
    });
  });
});

test.each([
  ['GET', '', { kind: 'none' }],
  ['GET', 'Content-Length:5', { kind: 'length', length: 5 }],
  ['POST', '', { kind: 'none' }],
  ['CONNECT', 'Content-Length:0', { kind: 'none' }],
  ['TRACE', '', { kind: 'none' }],
])('framing of the request %s %s', (method, fields, expected) => {
  expect(requestFraming(request(method, fields))).toEqual(expected);
});

describe('persistence (RFC 9112 section 9.3)', () => {
  test.each([
    [HTTP_1_1, '', true, true],
    [HTTP_1_1, 'Connection:close', false, false],
    [HTTP_1_1, 'Connection:TE, Close', false, false],
    [HTTP_1_1, 'Connection:TE; Connection:close', false, false],
    [HTTP_1_1, 'Connection:closed', true, true],
    [HTTP_1_0, '', false, false],
    [HTTP_1_0, 'Connection:Keep-Alive', true, false],
    [HTTP_1_0, 'Connection:keep-alive, close', false, false],
  ])('of a request: %o %s', (version, fields, gateway, proxy) => {
    expect(requestPersists(request('GET', fields, version), true)).toBe(gateway);
    expect(requestPersists(request('GET', fields, version), false)).toBe(proxy);
  });

  test.each([
    [HTTP_1_1, '', { kind: 'length', length: 1 }, true],
    [HTTP_1_1, '', { kind: 'none' }, true],
    [HTTP_1_1, '', { kind: 'chunked' }, true],
    [HTTP_1_1, '', { kind: 'close' }, false],
    [HTTP_1_1, '', { kind: 'tunnel' }, false],
    [HTTP_1_1, 'Connection:close', { kind: 'none' }, false],
    [HTTP_1_0, '', { kind: 'none' }, false],
    [HTTP_1_0, 'Connection:keep-alive', { kind: 'length', length: 1 }, true],
    [HTTP_1_0, 'Connection:keep-alive', { kind: 'close' }, false],
  ] as const)('of a response: %o %s %o', (version, fields, framing, expected) => {
    expect(responsePersists(response(200, fields, version), framing)).toBe(expected);
  });
});

describe('Expect (RFC 9110 section 10.1.1)', () => {
  const length = { kind: 'length', length: 5 } as const;
  test.each([
    ['Expect:100-continue', HTTP_1_1, length, true],
    ['Expect:100-Continue', HTTP_1_1, { kind: 'chunked' }, true],
    ['Expect:100-continue', HTTP_1_1, { kind: 'none' }, false],
    ['Expect:100-continue', HTTP_1_1, { kind: 'length', length: 0 }, false],
    ['Expect:100-continue', HTTP_1_0, length, false],
    ['Expect:other', HTTP_1_0, length, false],
    ['', HTTP_1_1, length, false],
  ] as const)('%s %o %o: %s', (fields, version, framing, expected) => {
    expect(expectsContinue(request('PUT', fields, version), framing)).toBe(expected);
  });

  test('anything else is 417', () => {
    const both = request('PUT', 'Expect:100-continue, gold');
    expect(expectsContinue(both, length)).toMatchObject({ status: 417, reason: 'expectation-failed' });
  });
});

test('lists lose empty elements and padding, but no other white space', () => {
  expect(listOf(' a ,, b\t,c\xa0,')).toEqual(['a', 'b', 'c\xa0']);
  expect(listOf('')).toEqual([]);
  expect(connectionOptions(fieldsOf('Connection:A, b; connection:C'))).toEqual(['a', 'b', 'c']);
});

test.each([
  ['Connection:Upgrade; Upgrade:websocket', HTTP_1_1, 'websocket'],
  ['Connection:keep-alive, upgrade; Upgrade:websocket', HTTP_1_1, 'websocket'],
  ['Upgrade:websocket', HTTP_1_1, undefined],
  ['Connection:Upgrade', HTTP_1_1, undefined],
  ['Connection:Upgrade; Upgrade:', HTTP_1_1, undefined],
  ['Connection:Upgrade; Upgrade:websocket', HTTP_1_0, undefined],
])('upgrade of %s %o', (fields, version, expected) => {
  expect(upgradeOf(request('GET', fields, version))).toBe(expected);
});
