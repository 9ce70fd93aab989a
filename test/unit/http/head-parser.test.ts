/** Every way to smuggle a request that we know of, from raw bytes; and what must pass all the same. */
import { describe, expect, test } from 'vitest';
import { RequestParser, ResponseParser } from '../../../src/http/head-parser.js';
import type { RefusalReason } from '../../../src/http/refusal.js';
import { latin1 } from './pieces.js';

function request(text: string, limits = {}): ReturnType<RequestParser['receive']> {
  return new RequestParser(limits).receive(latin1(text));
}

function accepted(text: string) {
  const result = request(text);
  if (result.kind !== 'head') throw new Error(`not a head: ${JSON.stringify(result)}`);
  return result;
}

const HOST = 'Host: a\r\n';

describe('refused requests', () => {
  const cases: [what: string, bytes: string, status: number, reason: RefusalReason][] = [
    // the line
    ['a TLS client', '\x16\x03\x01\x02\x00', 400, 'tls-client-hello'],
    ['a null byte first', '\0', 400, 'bad-method'],
    ['no method', ' / HTTP/1.1\r\n', 400, 'bad-method'],
    ['a method in lower case', 'get / HTTP/1.1\r\n', 501, 'bad-method'],
    ['a method with a letter in lower case', 'GEt / HTTP/1.1\r\n', 501, 'bad-method'],
    ['a method that is no token', 'GE(T / HTTP/1.1\r\n', 400, 'bad-method'],
    ['a method that begins with a digit', '1GET / HTTP/1.1\r\n', 501, 'bad-method'],
    ['a long method', `${'A'.repeat(33)} / HTTP/1.1\r\n`, 501, 'bad-method'],
    ['TLS in the middle of a method', 'GET\x16', 400, 'bad-method'],
    ['a method and nothing else', 'GET\r\n', 400, 'bad-request-line'],
    ['a tab behind the method', 'GET\t/ HTTP/1.1\r\n', 400, 'bad-method'],
    ['two spaces before the target', 'GET  / HTTP/1.1\r\n', 400, 'bad-request-line'],
    ['two spaces behind the target', 'GET /  HTTP/1.1\r\n', 400, 'bad-version'],
    ['a space in the target', 'GET /a b HTTP/1.1\r\n', 400, 'bad-version'],
    ['HTTP/0.9', 'GET /\r\n', 400, 'http-0.9'],
    ['HTTP/2.0', 'GET / HTTP/2.0\r\n', 505, 'version-not-supported'],
    ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505, 'version-not-supported'],
    ['HTTP/1.2', 'GET / HTTP/1.2\r\n', 505, 'version-not-supported'],
    ['HTTP/0.9 by name', 'GET / HTTP/0.9\r\n', 505, 'version-not-supported'],
    ['HTTP/1.10', 'GET / HTTP/1.10\r\n', 400, 'bad-version'],
    ['HTTP/11.1', 'GET / HTTP/11.1\r\n', 400, 'bad-version'],
    ['HTTP/1,1', 'GET / HTTP/1,1\r\n', 400, 'bad-version'],
    ['http/1.1 in lower case', 'GET / http/1.1\r\n', 400, 'bad-version'],
    ['RTSP', 'GET / RTSP/1.0\r\n', 400, 'bad-version'],
    ['a space behind the version', 'GET / HTTP/1.1 \r\n', 400, 'bad-version'],
    ['a bare LF behind the version', 'GET / HTTP/1.1\n', 400, 'bare-lf'],
    ['a bare LF behind the target', 'GET /\n', 400, 'bare-lf'],
    ['a bare LF behind the method', 'GET\n', 400, 'bare-lf'],
    ['a bare CR behind the version', 'GET / HTTP/1.1\rX', 400, 'bare-cr'],
    ['a bare CR before the request', '\rGET / HTTP/1.1', 400, 'bare-cr'],
    ['a bare LF before the request', '\nGET / HTTP/1.1', 400, 'bare-lf'],
    ['two CR behind the version', 'GET / HTTP/1.1\r\r\n', 400, 'bare-cr'],
    // the target
    ['a null byte in the target', 'GET /\0 HTTP/1.1\r\n', 400, 'bad-target'],
    ['a tab in the target', 'GET /\t HTTP/1.1\r\n', 400, 'bad-target'],
    ['raw UTF-8 in the target', 'GET /\xc3\xa4 HTTP/1.1\r\n', 400, 'bad-target'],
    ['a fragment', `GET /a#b HTTP/1.1\r\n${HOST}\r\n`, 400, 'bad-target'],
    ['a relative target', `GET a HTTP/1.1\r\n${HOST}\r\n`, 400, 'bad-target'],
    ['another scheme', `GET ftp://a/ HTTP/1.1\r\n${HOST}\r\n`, 400, 'bad-target'],
    ['javascript:', `GET javascript:1 HTTP/1.1\r\n${HOST}\r\n`, 400, 'bad-target'],
    ['no host in the URL', `GET http:///a HTTP/1.1\r\n${HOST}\r\n`, 400, 'bad-target'],
    ['a user in the URL', `GET http://u@a/ HTTP/1.1\r\n${HOST}\r\n`, 400, 'bad-target'],
    ['a user and password in the URL', `GET http://u:p@a/ HTTP/1.1\r\n${HOST}\r\n`, 400, 'bad-target'],
    ['port 0', `GET http://a:0/ HTTP/1.1\r\n${HOST}\r\n`, 400, 'bad-target'],
    ['port 65536', `GET http://a:65536/ HTTP/1.1\r\n${HOST}\r\n`, 400, 'bad-target'],
    ['a backslash in the authority', `GET http://a\\b/ HTTP/1.1\r\n${HOST}\r\n`, 400, 'bad-target'],
    ['* for GET', `GET * HTTP/1.1\r\n${HOST}\r\n`, 400, 'bad-target'],
    ['CONNECT to a path', `CONNECT / HTTP/1.1\r\n${HOST}\r\n`, 400, 'bad-target'],
    ['CONNECT without a port', `CONNECT a HTTP/1.1\r\n${HOST}\r\n`, 400, 'bad-target'],
    ['CONNECT to an empty port', `CONNECT a: HTTP/1.1\r\n${HOST}\r\n`, 400, 'bad-target'],
    ['CONNECT to a URL', `CONNECT http://a:80/ HTTP/1.1\r\n${HOST}\r\n`, 400, 'bad-target'],
    ['CONNECT with a user', `CONNECT u@a:80 HTTP/1.1\r\n${HOST}\r\n`, 400, 'bad-target'],
    ['a host and port for GET', `GET a:80 HTTP/1.1\r\n${HOST}\r\n`, 400, 'bad-target'],
    ['a long target', `GET /${'a'.repeat(8192)} HTTP/1.1\r\n`, 414, 'target-too-long'],
    // fields
    ['white space before the first field', `GET / HTTP/1.1\r\n ${HOST}\r\n`, 400, 'folded-field'],
    ['a folded field', `GET / HTTP/1.1\r\n${HOST}X: a\r\n b\r\n\r\n`, 400, 'folded-field'],
    ['a field folded with a tab', `GET / HTTP/1.1\r\n${HOST}X: a\r\n\tb\r\n\r\n`, 400, 'folded-field'],
    ['a space before the colon', 'GET / HTTP/1.1\r\nHost : a\r\n\r\n', 400, 'space-before-colon'],
    ['a tab before the colon', 'GET / HTTP/1.1\r\nHost\t: a\r\n\r\n', 400, 'space-before-colon'],
    ['a space in a name', 'GET / HTTP/1.1\r\nX Host: a\r\n\r\n', 400, 'space-before-colon'],
    ['no colon', 'GET / HTTP/1.1\r\nHost\r\n\r\n', 400, 'bad-field-name'],
    ['an empty name', 'GET / HTTP/1.1\r\n: a\r\n\r\n', 400, 'bad-field-name'],
    ['a control in a name', 'GET / HTTP/1.1\r\nHo\x01st: a\r\n\r\n', 400, 'bad-field-name'],
    ['a vertical tab behind a name', 'GET / HTTP/1.1\r\nHost\x0b: a\r\n\r\n', 400, 'bad-field-name'],
    ['a letter beyond ASCII in a name', 'GET / HTTP/1.1\r\nHost\xa0: a\r\n\r\n', 400, 'bad-field-name'],
    ['a parenthesis in a name', 'GET / HTTP/1.1\r\nA(b): a\r\n\r\n', 400, 'bad-field-name'],
    ['a null byte in a value', 'GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n', 400, 'control-character'],
    ['a vertical tab in a value', 'GET / HTTP/1.1\r\nHost:\x0ba\r\n\r\n', 400, 'control-character'],
    ['DEL in a value', 'GET / HTTP/1.1\r\nX: \x7f\r\n\r\n', 400, 'control-character'],
    ['a bare LF behind a value', 'GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n', 400, 'bare-lf'],
    ['a bare CR in a value', 'GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n', 400, 'bare-cr'],
    ['two CR behind a value', 'GET / HTTP/1.1\r\nHost: a\r\r\n\r\n', 400, 'bare-cr'],
    ['a bare LF in a name', 'GET / HTTP/1.1\r\nHost\n: a\r\n\r\n', 400, 'bare-lf'],
    ['a bare LF for the end', `GET / HTTP/1.1\r\n${HOST}\n`, 400, 'bare-lf'],
    ['a bare CR for the end', `GET / HTTP/1.1\r\n${HOST}\rX`, 400, 'bare-cr'],
    ['many fields', `GET / HTTP/1.1\r\n${HOST}${'a: b\r\n'.repeat(128)}\r\n`, 431, 'too-many-fields'],
    ['a long field', `GET / HTTP/1.1\r\n${HOST}X: ${'a'.repeat(32_768)}`, 431, 'head-too-large'],
    ['empty lines without end', '\r\n'.repeat(16_384), 431, 'head-too-large'],
    // Host
    ['no Host', 'GET / HTTP/1.1\r\n\r\n', 400, 'no-host'],
    ['no Host with a URL', 'GET http://a/ HTTP/1.1\r\n\r\n', 400, 'no-host'],
    ['no Host with CONNECT', 'CONNECT a:443 HTTP/1.1\r\n\r\n', 400, 'no-host'],
    ['two Hosts', `GET / HTTP/1.1\r\n${HOST}host: b\r\n\r\n`, 400, 'several-hosts'],
    ['two equal Hosts', `GET / HTTP/1.1\r\n${HOST}${HOST}\r\n`, 400, 'several-hosts'],
    ['two Hosts in HTTP/1.0', `GET / HTTP/1.0\r\n${HOST}${HOST}\r\n`, 400, 'several-hosts'],
    ['an empty Host', 'GET / HTTP/1.1\r\nHost:\r\n\r\n', 400, 'bad-host'],
    ['a list in Host', 'GET / HTTP/1.1\r\nHost: a, b\r\n\r\n', 400, 'bad-host'],
    ['a path in Host', 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n', 400, 'bad-host'],
    ['a user in Host', 'GET / HTTP/1.1\r\nHost: u@a\r\n\r\n', 400, 'bad-host'],
    ['a URL in Host', 'GET / HTTP/1.1\r\nHost: http://a\r\n\r\n', 400, 'bad-host'],
    ['a bad port in Host', 'GET / HTTP/1.1\r\nHost: a:80x\r\n\r\n', 400, 'bad-host'],
    ['a bad Host beside a URL', 'GET http://a/ HTTP/1.1\r\nHost: a b\r\n\r\n', 400, 'bad-host'],
    // lengths
    ['CL before TE', post('Content-Length: 5\r\nTransfer-Encoding: chunked'), 400, 'length-and-encoding'],
    ['TE before CL', post('Transfer-Encoding: chunked\r\nContent-Length: 5'), 400, 'length-and-encoding'],
    ['CL and a TE that is no coding', post('Content-Length: 5\r\nTransfer-Encoding: x'), 400, 'length-and-encoding'],
    ['CL and an empty TE', post('Content-Length: 5\r\nTransfer-Encoding:'), 400, 'length-and-encoding'],
    ['two CL', post('Content-Length: 5\r\nContent-Length: 6'), 400, 'several-content-lengths'],
    ['two equal CL', post('Content-Length: 5\r\ncontent-length: 5'), 400, 'several-content-lengths'],
    ['a list in CL', post('Content-Length: 5, 5'), 400, 'bad-content-length'],
    ['a plus sign', post('Content-Length: +5'), 400, 'bad-content-length'],
    ['a minus sign', post('Content-Length: -5'), 400, 'bad-content-length'],
    ['a space inside', post('Content-Length: 5 6'), 400, 'bad-content-length'],
    ['hexadecimal', post('Content-Length: 0x5'), 400, 'bad-content-length'],
    ['a decimal point', post('Content-Length: 5.0'), 400, 'bad-content-length'],
    ['an exponent', post('Content-Length: 1e3'), 400, 'bad-content-length'],
    ['an underscore', post('Content-Length: 1_0'), 400, 'bad-content-length'],
    ['no number', post('Content-Length:'), 400, 'bad-content-length'],
    ['quotes', post('Content-Length: "5"'), 400, 'bad-content-length'],
    ['more than 2^64', post('Content-Length: 18446744073709551617'), 400, 'bad-content-length'],
    ['more than 2^53', post('Content-Length: 9007199254740993'), 400, 'bad-content-length'],
    ['TE without chunked', post('Transfer-Encoding: gzip'), 400, 'bad-transfer-encoding'],
    ['identity', post('Transfer-Encoding: identity'), 400, 'bad-transfer-encoding'],
    ['chunked not last', post('Transfer-Encoding: chunked, gzip'), 400, 'bad-transfer-encoding'],
    ['chunked twice', post('Transfer-Encoding: chunked, chunked'), 400, 'bad-transfer-encoding'],
    [
      'chunked in two fields',
      post('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked'),
      400,
      'bad-transfer-encoding',
    ],
    [
      'chunked, then identity',
      post('Transfer-Encoding: chunked\r\nTransfer-Encoding: identity'),
      400,
      'bad-transfer-encoding',
    ],
    ['another coding before chunked', post('Transfer-Encoding: gzip, chunked'), 501, 'unsupported-transfer-encoding'],
    ['an empty TE', post('Transfer-Encoding:'), 400, 'bad-transfer-encoding'],
    ['xchunked', post('Transfer-Encoding: xchunked'), 400, 'bad-transfer-encoding'],
    ['chunked with a parameter', post('Transfer-Encoding: chunked;a=b'), 400, 'bad-transfer-encoding'],
    ['chunked in quotes', post('Transfer-Encoding: "chunked"'), 400, 'bad-transfer-encoding'],
    ['chunked behind a comma', post('Transfer-Encoding: , chunked'), 501, 'unsupported-transfer-encoding'],
    ['chunked behind a no-break space', post('Transfer-Encoding: \xa0chunked'), 400, 'bad-transfer-encoding'],
    ['chunked in HTTP/1.0', post('Transfer-Encoding: chunked', '1.0'), 400, 'encoding-in-http-1.0'],
    ['CONNECT with content', `CONNECT a:1 HTTP/1.1\r\n${HOST}Content-Length: 5\r\n\r\n`, 400, 'unexpected-content'],
    ['CONNECT chunked', `CONNECT a:1 HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n`, 400, 'unexpected-content'],
    ['TRACE with content', `TRACE / HTTP/1.1\r\n${HOST}Content-Length: 5\r\n\r\n`, 400, 'unexpected-content'],
  ];

  function post(lines: string, version = '1.1'): string {
    return `POST / HTTP/${version}\r\n${HOST}${lines}\r\n\r\nhello`;
  }

  test.each(cases)('%s', (_what, bytes, status, reason) => {
    const result = request(bytes);
    expect(result).toMatchObject({ kind: 'refused', status, reason });
    expect(result.kind === 'refused' && result.message).toMatch(/^[ -~]{10,}\.$/);
  });

  test('nothing is taken after a refusal', () => {
    const parser = new RequestParser();
    const first = parser.receive(latin1('GET / HTTP/1.1\n'));
    expect(first.kind).toBe('refused');
    expect(parser.receive(latin1(`GET / HTTP/1.1\r\n${HOST}\r\n`))).toBe(first);
  });
});

describe('accepted requests', () => {
  test('head, target, authority and framing', () => {
    const result = accepted(
      `POST /a?b HTTP/1.1\r\nHost: EXAMPLE.com:80\r\nX:\t a b \r\nContent-Length: 5\r\n\r\nhello`,
    );
    expect(result.head.method).toBe('POST');
    expect(result.head.target).toBe('/a?b');
    expect(result.head.version).toEqual({ major: 1, minor: 1 });
    expect([...result.head.fields]).toEqual([
      ['Host', 'EXAMPLE.com:80'],
      ['X', 'a b'],
      ['Content-Length', '5'],
    ]);
    expect(result.target).toEqual({ kind: 'origin', path: '/a?b' });
    expect(result.authority).toEqual({ host: 'example.com', port: 80 });
    expect(result.framing).toEqual({ kind: 'length', length: 5 });
  });

  test('bytes behind the head are not touched', () => {
    const head = `GET / HTTP/1.1\r\n${HOST}\r\n`;
    const result = accepted(`${head}\0\n\xff anything`);
    expect(result.end).toBe(head.length);
    expect(result.size).toBe(head.length);
  });

  test('heads one behind the other, with empty lines between', () => {
    const parser = new RequestParser();
    const one = `GET /1 HTTP/1.1\r\n${HOST}\r\n`;
    const bytes = latin1(`\r\n${one}\r\n\r\n${one.replace('/1', '/2')}rest`);
    const first = parser.receive(bytes);
    expect(first).toMatchObject({ kind: 'head', end: 2 + one.length, size: one.length });
    const second = parser.receive(bytes, 2 + one.length);
    expect(second).toMatchObject({ kind: 'head', end: 6 + 2 * one.length, head: { target: '/2' } });
    expect(parser.begun).toBe(false);
  });

  test.each([
    ['OPTIONS *', { kind: 'asterisk' }],
    ['CONNECT [2001:DB8::1]:443', { kind: 'authority', authority: { host: '[2001:db8::1]', port: 443 } }],
    ['CONNECT a.example:80', { kind: 'authority', authority: { host: 'a.example', port: 80 } }],
    ['GET http://B.example/c?d', { kind: 'absolute', scheme: 'http', authority: { host: 'b.example' }, path: '/c?d' }],
    ['GET HTTPS://b:8443', { kind: 'absolute', scheme: 'https', authority: { host: 'b', port: 8443 }, path: '' }],
    ['GET http://b?d', { kind: 'absolute', scheme: 'http', authority: { host: 'b' }, path: '?d' }],
    ['GET //b/c', { kind: 'origin', path: '//b/c' }],
    ['GET /%zz|{}"<>\\^`', { kind: 'origin', path: '/%zz|{}"<>\\^`' }],
    ['M-SEARCH /', { kind: 'origin', path: '/' }],
    ['BREW /pot', { kind: 'origin', path: '/pot' }],
    ['SOURCE /', { kind: 'origin', path: '/' }],
    ['PRI /', { kind: 'origin', path: '/' }],
  ])('%s', (line, target) => {
    const result = accepted(`${line} HTTP/1.1\r\nHost: other\r\n\r\n`);
    expect(result.target).toMatchObject(target);
    expect(result.head.method).toBe(line.split(' ')[0]);
    const { authority } = result.target as { authority?: object };
    expect(result.authority).toEqual(authority ?? { host: 'other', port: undefined });
  });

  test('HTTP/1.0 needs no Host', () => {
    expect(accepted('GET / HTTP/1.0\r\n\r\n')).toMatchObject({ authority: undefined, framing: { kind: 'none' } });
  });

  test.each([
    ['Transfer-Encoding: chunked', { kind: 'chunked' }],
    ['Transfer-Encoding: CHUNKED', { kind: 'chunked' }],
    ['Transfer-Encoding: \t chunked ', { kind: 'chunked' }],
    ['Content-Length: 0', { kind: 'length', length: 0 }],
    ['Content-Length: 007', { kind: 'length', length: 7 }],
    ['Content-Length: 5 ', { kind: 'length', length: 5 }],
    ['Content-Length: 9007199254740991', { kind: 'length', length: Number.MAX_SAFE_INTEGER }],
    ['X: y', { kind: 'none' }],
  ])('framing of %j', (line, framing) => {
    expect(accepted(`POST / HTTP/1.1\r\n${HOST}${line}\r\n\r\n`).framing).toEqual(framing);
  });

  test('more than 32 fields stay whole and in order', () => {
    const lines = Array.from({ length: 120 }, (_, i) => [`X-${i}`, `value ${i}`] as const);
    const text = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('');
    const result = accepted(`GET /here HTTP/1.1\r\n${HOST}${text}\r\n`);
    expect([...result.head.fields]).toEqual([['Host', 'a'], ...lines]);
    expect(result.head.target).toBe('/here');
  });

  test('a refused head leaves nothing behind for the next one', () => {
    const many = 'X: y\r\n'.repeat(40);
    expect(request(`GET /old HTTP/1.1\r\n${HOST}${many}Content-Length: x\r\n\r\n`).kind).toBe('refused');
    const result = accepted(`GET /new HTTP/1.1\r\n${HOST}${many}\r\n`);
    expect(result.head.fields.size).toBe(41);
    expect(result.head.target).toBe('/new');
  });

  test('bytes above 127 in a value are Latin-1', () => {
    expect(accepted(`GET / HTTP/1.1\r\n${HOST}X: \xe4\xff\r\n\r\n`).head.fields.get('x')).toBe('\xe4\xff');
  });

  test('what "Connection: close" says does not stop the next head of another connection', () => {
    const closing = `GET / HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`;
    expect(accepted(closing).kind).toBe('head');
    expect(request('GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n').kind).toBe('refused');
    expect(accepted(closing).kind).toBe('head');
  });
});

describe('limits', () => {
  const head = `GET /${'a'.repeat(9)} HTTP/1.1\r\n${HOST}\r\n`;

  test('are exact', () => {
    expect(request(head, { maxHeadBytes: head.length }).kind).toBe('head');
    expect(request(head, { maxHeadBytes: head.length - 1 })).toMatchObject({ status: 431, reason: 'head-too-large' });
    expect(request(head, { maxTargetBytes: 10 }).kind).toBe('head');
    expect(request(head, { maxTargetBytes: 9 })).toMatchObject({ status: 414, reason: 'target-too-long' });
    expect(request(head, { maxFields: 1 }).kind).toBe('head');
    expect(request(head, { maxFields: 0 })).toMatchObject({ status: 431, reason: 'too-many-fields' });
  });

  test('hold when the head comes in pieces, and bytes behind it count for nothing', () => {
    const parser = new RequestParser({ maxHeadBytes: head.length });
    expect(parser.receive(latin1(head.slice(0, 10))).kind).toBe('partial');
    expect(parser.begun).toBe(true);
    expect(parser.receive(latin1(`${head.slice(10)}${'x'.repeat(100)}`))).toMatchObject({
      kind: 'head',
      end: head.length - 10,
    });
  });
});

describe('responses', () => {
  const response = (text: string): ReturnType<ResponseParser['receive']> => new ResponseParser().receive(latin1(text));

  test.each([
    ['HTTP/1.1 200 OK', 200, 'OK'],
    ['HTTP/1.0 404 Not Found', 404, 'Not Found'],
    ['HTTP/1.1 200', 200, ''],
    ['HTTP/1.1 200 ', 200, ''],
    ['HTTP/1.1 999 a  b\xe4', 999, 'a  b\xe4'],
    ['HTTP/1.1 103 Early Hints', 103, 'Early Hints'],
    ['HTTP/1.1 101 Switching Protocols', 101, 'Switching Protocols'],
  ])('%j', (line, status, reason) => {
    const text = `${line}\r\nServer: x\r\n\r\n`;
    expect(response(`${text}body`)).toMatchObject({ kind: 'head', end: text.length, head: { status, reason } });
  });

  test.each<[string, RefusalReason]>([
    ['HTTP/1.1 99 x\r\n\r\n', 'bad-status-line'],
    ['HTTP/1.1 099 x\r\n\r\n', 'bad-status-line'],
    ['HTTP/1.1 1000 x\r\n\r\n', 'bad-status-line'],
    ['HTTP/1.1 +20 x\r\n\r\n', 'bad-status-line'],
    ['HTTP/1.1  200 x\r\n\r\n', 'bad-status-line'],
    ['HTTP/1.1\r\n\r\n', 'bad-status-line'],
    ['\r\nHTTP/1.1 200 OK\r\n\r\n', 'bad-status-line'],
    ['ICY 200 OK\r\n\r\n', 'bad-status-line'],
    ['<html>', 'bad-status-line'],
    ['HTTP/2.0 200 OK\r\n\r\n', 'version-not-supported'],
    ['HTTP/1.1 200 OK\nServer: x\n\n', 'bare-lf'],
    ['HTTP/1.1 200 O\rK\r\n\r\n', 'bare-cr'],
    ['HTTP/1.1 200 O\0K\r\n\r\n', 'control-character'],
    ['HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n', 'folded-field'],
    ['HTTP/1.1 200 OK\r\nA : b\r\n\r\n', 'space-before-colon'],
    ['HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n', 'control-character'],
    ['HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n', 'several-content-lengths'],
    ['HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n', 'length-and-encoding'],
  ])('%j is a bad gateway', (text, reason) => {
    expect(response(text)).toMatchObject({ kind: 'refused', status: 502, reason });
  });

  test('a large head is a bad gateway', () => {
    expect(response(`HTTP/1.1 200 OK\r\nA: ${'b'.repeat(40_000)}`)).toMatchObject({
      status: 502,
      reason: 'head-too-large',
    });
  });

  test('an interim response is a head of its own', () => {
    const parser = new ResponseParser();
    const bytes = latin1('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n');
    const first = parser.receive(bytes);
    expect(first).toMatchObject({ kind: 'head', head: { status: 100 } });
    expect(first.kind === 'head' && parser.receive(bytes, first.end)).toMatchObject({ head: { status: 200 } });
  });
});

describe('names that other servers take for lengths', () => {
  test.each(['Content_Length', 'content_length', 'Transfer_Encoding', 'transfer_encoding'])('%s is refused', (name) => {
    const text = `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n${name}: 0\r\n\r\n`;
    expect(new RequestParser().receive(Buffer.from(text, 'latin1'))).toMatchObject({
      kind: 'refused',
      status: 400,
      reason: 'bad-field-name',
    });
  });

  test('other names with an underscore are passed', () => {
    const text = 'GET / HTTP/1.1\r\nHost: a\r\nX_Content_Length: 3\r\n\r\n';
    expect(new RequestParser().receive(Buffer.from(text, 'latin1')).kind).toBe('head');
  });
});
