/**
 * Requests that two recipients could read in two ways: what is known of request smuggling, and what RFC 9112 section
 * 11.2 and its neighbours warn of. Each is the bytes of one connection. Where `GET /canary` stands in them, no request
 * of that name was framed by anybody who reads by the RFC: an origin that sees one was tricked.
 */

export interface Trick {
  readonly name: string;
  readonly bytes: string;
  /**
   * `refuse`: a 4xx or 5xx, the connection closes, and no origin hears of it. `once`: one request that may be passed on,
   * or refused; the bytes behind it are its content, or nothing. Requests to /before and /after are honest.
   */
  readonly must: 'refuse' | 'once';
  /** Statuses that a refusal may have. **Default:** 400. */
  readonly statuses?: readonly number[];
}

const HOST = 'Host: site.example\r\n';
const CANARY = `GET /canary HTTP/1.1\r\n${HOST}\r\n`;
const size = (text: string): string => text.length.toString(16);

/** A POST with these fields and this content, then the canary. */
const post = (fields: string, content: string): string =>
  `POST /trick HTTP/1.1\r\n${HOST}${fields}\r\n${content}${CANARY}`;

/** Content that is the canary for whoever goes by the length 0 or the coding. */
const zero = '0\r\n\r\n';

const refuse = (name: string, bytes: string, statuses: readonly number[] = [400]): Trick => ({
  name,
  bytes,
  must: 'refuse',
  statuses,
});
const once = (name: string, bytes: string): Trick => ({ name, bytes, must: 'once' });

const lengths: Trick[] = [
  ['CL and TE', 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n'],
  ['TE and CL', 'Transfer-Encoding: chunked\r\nContent-Length: 5\r\n'],
  ['CL of the whole and TE', `Content-Length: ${zero.length + CANARY.length}\r\nTransfer-Encoding: chunked\r\n`],
  ['CL and TE: identity', 'Content-Length: 5\r\nTransfer-Encoding: identity\r\n'],
  ['two lengths', 'Content-Length: 0\r\nContent-Length: 5\r\n'],
  ['two lengths, the other way', 'Content-Length: 5\r\nContent-Length: 0\r\n'],
  ['two equal lengths', 'Content-Length: 5\r\nContent-Length: 5\r\n'],
  ['a list of lengths', 'Content-Length: 5, 0\r\n'],
  ['a list of equal lengths', 'Content-Length: 5, 5\r\n'],
  ['length with a plus', 'Content-Length: +5\r\n'],
  ['negative length', 'Content-Length: -5\r\n'],
  ['hexadecimal length', 'Content-Length: 0x5\r\n'],
  ['length with a point', 'Content-Length: 5.0\r\n'],
  ['length with an exponent', 'Content-Length: 5e0\r\n'],
  ['empty length', 'Content-Length:\r\n'],
  ['length with a space within', 'Content-Length: 5 0\r\n'],
  ['length with underscores', 'Content-Length: 0_5\r\n'],
  ['length beyond 2^64', 'Content-Length: 18446744073709551621\r\n'],
  ['length beyond 2^53', 'Content-Length: 9007199254740993\r\n'],
  ['length in other digits', 'Content-Length: \xb2\r\n'],
  ['length behind a vertical tab', 'Content-Length:\x0b5\r\n'],
  ['length in quotes', 'Content-Length: "5"\r\n'],
].map(([name = '', fields = '']) => refuse(name, post(fields, zero), [400, 413]));

const codings: Trick[] = [
  ['TE twice', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n'],
  ['TE: chunked, identity', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n'],
  ['TE: identity, chunked', 'Transfer-Encoding: identity, chunked\r\n'],
  ['TE: chunked, chunked', 'Transfer-Encoding: chunked, chunked\r\n'],
  ['TE: xchunked', 'Transfer-Encoding: xchunked\r\n'],
  ['TE: x', 'Transfer-Encoding: x\r\n'],
  ['TE: empty', 'Transfer-Encoding:\r\n'],
  ['TE: comma before', 'Transfer-Encoding: ,chunked\r\n'],
  ['TE: comma behind', 'Transfer-Encoding: chunked,\r\n'],
  ['TE: in quotes', 'Transfer-Encoding: "chunked"\r\n'],
  ['TE: with a parameter', 'Transfer-Encoding: chunked;a=b\r\n'],
  ['TE: behind a vertical tab', 'Transfer-Encoding:\x0bchunked\r\n'],
  ['TE: behind a form feed', 'Transfer-Encoding: \x0cchunked\r\n'],
  ['TE: before a vertical tab', 'Transfer-Encoding: chunked\x0b\r\n'],
  ['TE: before NUL', 'Transfer-Encoding: chunked\x00\r\n'],
  ['TE: before a byte above ASCII', 'Transfer-Encoding: chunked\xa0\r\n'],
  ['TE: gzip', 'Transfer-Encoding: gzip\r\n'],
  ['TE: gzip, chunked', 'Transfer-Encoding: gzip, chunked\r\n'],
  ['TE: chunked, gzip', 'Transfer-Encoding: chunked, gzip\r\n'],
  ['TE: with a K of Kelvin', 'Transfer-Encoding: chun\xe2\x84\xaaed\r\n'],
].map(([name = '', fields = '']) => refuse(name, post(fields, zero), [400, 501]));

const names: Trick[] = [
  ['space before the colon', 'Transfer-Encoding : chunked\r\n'],
  ['tab before the colon', 'Transfer-Encoding\t: chunked\r\n'],
  ['space before the name', ' Transfer-Encoding: chunked\r\n'],
  ['folded', 'X-Fold: a\r\n Transfer-Encoding: chunked\r\n'],
  ['folded by a tab', 'X-Fold: a\r\n\tTransfer-Encoding: chunked\r\n'],
  ['coding on a folded line', 'Transfer-Encoding:\r\n chunked\r\n'],
  ['length on a folded line', 'Content-Length:\r\n 5\r\n'],
  ['NUL in the name', 'Transfer-\x00Encoding: chunked\r\n'],
  ['NUL before the name', '\x00Transfer-Encoding: chunked\r\n'],
  ['control character behind the name', 'Transfer-Encoding\x01: chunked\r\n'],
  ['byte above ASCII before the name', '\xffTransfer-Encoding: chunked\r\n'],
  ['no colon', 'Transfer-Encoding chunked\r\n'],
  ['no name', ': chunked\r\n'],
  ['name in parentheses', '(Transfer-Encoding): chunked\r\n'],
  ['space in the name', 'Transfer Encoding: chunked\r\n'],
  ['length: space before the colon', `Content-Length : ${CANARY.length}\r\n`],
].map(([name = '', fields = '']) => refuse(`name: ${name}`, post(fields, zero)));

const lines: Trick[] = [
  refuse('all lines end with LF', post('Transfer-Encoding: chunked\r\n', zero).replaceAll('\r\n', '\n')),
  refuse('one field ends with LF', post('X: y\nTransfer-Encoding: chunked\r\n', zero)),
  refuse('LF hides a length', `POST /trick HTTP/1.1\r\n${HOST}X: y\nContent-Length: ${CANARY.length}\r\n\r\n${CANARY}`),
  refuse('request line ends with LF', `POST /trick HTTP/1.1\n${HOST}Content-Length: 0\r\n\r\n${CANARY}`),
  refuse('head ends with LF', `POST /trick HTTP/1.1\r\n${HOST}Content-Length: ${CANARY.length}\r\n\n${CANARY}`),
  refuse('head ends with LF CR LF', `GET /trick HTTP/1.1\r\n${HOST}X: y\n\r\n${CANARY}`),
  refuse('bare CR between fields', post('X: y\rTransfer-Encoding: chunked\r\n', zero)),
  refuse('bare CR in a value', post('X: y\rz\r\nContent-Length: 5\r\n', zero)),
  refuse('CR CR LF', post('X: y\r\r\nTransfer-Encoding: chunked\r\n', zero)),
  refuse('bare CR ends the head', `GET /trick HTTP/1.1\r\n${HOST}X: y\r\r${CANARY}`),
  refuse('a request in a value behind CR', `GET /trick HTTP/1.1\r\n${HOST}X: y\r\rGET /canary HTTP/1.1\r${HOST}\r\n`),
  refuse('NUL in a value', `GET /trick HTTP/1.1\r\n${HOST}X: a\x00b\r\n\r\n${CANARY}`),
  refuse('DEL in a value', `GET /trick HTTP/1.1\r\n${HOST}X: a\x7fb\r\n\r\n${CANARY}`),
  refuse('bare LF before the request', `\nGET /trick HTTP/1.1\r\n${HOST}\r\n`),
];

const starts: Trick[] = [
  refuse('two spaces', `GET  /trick HTTP/1.1\r\n${HOST}\r\n${CANARY}`),
  refuse('space in the target', `GET /trick HTTP/1.1 HTTP/1.1\r\n${HOST}\r\n${CANARY}`),
  refuse('a request in the target', `GET /trick HTTP/1.1\x0b${HOST}GET /canary HTTP/1.1\r\n${HOST}\r\n`),
  refuse('tab for a space', `GET\t/trick\tHTTP/1.1\r\n${HOST}\r\n${CANARY}`),
  refuse('space behind the version', `GET /trick HTTP/1.1 \r\n${HOST}\r\n${CANARY}`),
  refuse('HTTP/0.9', `GET /trick\r\n\r\n${CANARY}`),
  refuse('HTTP/0.9 with a name', `GET /trick HTTP/0.9\r\n${HOST}\r\n${CANARY}`, [400, 505]),
  refuse('HTTP/1.2', `GET /trick HTTP/1.2\r\n${HOST}\r\n${CANARY}`, [400, 505]),
  refuse('HTTP/2.0', `GET /trick HTTP/2.0\r\n${HOST}\r\n${CANARY}`, [400, 505]),
  refuse('the preface of HTTP/2', `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${CANARY}`, [400, 505]),
  refuse('HTTP/1.10', `GET /trick HTTP/1.10\r\n${HOST}\r\n${CANARY}`, [400, 505]),
  refuse('HTTP/01.1', `GET /trick HTTP/01.1\r\n${HOST}\r\n${CANARY}`, [400, 505]),
  refuse('http/1.1 in small letters', `GET /trick http/1.1\r\n${HOST}\r\n${CANARY}`, [400, 505]),
  refuse('a method in quotes', `"GET" /trick HTTP/1.1\r\n${HOST}\r\n${CANARY}`, [400, 501]),
  refuse('a target without a slash', `GET trick HTTP/1.1\r\n${HOST}\r\n${CANARY}`),
  refuse('a target with a fragment', `GET /trick#/canary HTTP/1.1\r\n${HOST}\r\n${CANARY}`),
  refuse('a target above ASCII', `GET /tr\xefck HTTP/1.1\r\n${HOST}\r\n${CANARY}`),
  refuse('TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'),
  refuse('a target that is too long', `GET /${'a'.repeat(70_000)} HTTP/1.1\r\n${HOST}\r\n`, [414, 431]),
  refuse('a head that is too large', `GET /trick HTTP/1.1\r\n${HOST}X: ${'a'.repeat(200_000)}\r\n\r\n`, [431]),
  refuse('too many fields', `GET /trick HTTP/1.1\r\n${HOST}${'X: y\r\n'.repeat(5000)}\r\n`, [431]),
];

const hosts: Trick[] = [
  refuse('no Host', `GET /trick HTTP/1.1\r\n\r\n${CANARY}`),
  refuse('two Hosts', `GET /trick HTTP/1.1\r\n${HOST}Host: other.example\r\n\r\n${CANARY}`),
  refuse('two equal Hosts', `GET /trick HTTP/1.1\r\n${HOST}${HOST}\r\n${CANARY}`),
  refuse('a list of Hosts', `GET /trick HTTP/1.1\r\nHost: site.example, other.example\r\n\r\n${CANARY}`),
  refuse('Host with a path', `GET /trick HTTP/1.1\r\nHost: site.example/canary\r\n\r\n${CANARY}`),
  refuse('Host with a user', `GET /trick HTTP/1.1\r\nHost: other@site.example\r\n\r\n${CANARY}`),
  refuse('Host with a space', `GET /trick HTTP/1.1\r\nHost: site.example other\r\n\r\n${CANARY}`),
  refuse('Host with a bad port', `GET /trick HTTP/1.1\r\nHost: site.example:80a\r\n\r\n${CANARY}`),
  refuse('Host folded', `GET /trick HTTP/1.1\r\nHost: site.example\r\n .other.example\r\n\r\n${CANARY}`),
  refuse(
    'CONNECT with content',
    `CONNECT site.example:80 HTTP/1.1\r\n${HOST}Content-Length: 5\r\n\r\nhello${CANARY}`,
    [400, 403, 405, 501],
  ),
  refuse(
    'TRACE with content',
    `TRACE /trick HTTP/1.1\r\n${HOST}Content-Length: 5\r\n\r\nhello${CANARY}`,
    [400, 405, 501],
  ),
  refuse('HTTP/1.0 with TE', `POST /trick HTTP/1.0\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n${zero}${CANARY}`),
];

/** Chunked content that is malformed: what was passed on before that is seen must stay one unfinished request. */
const chunks: Trick[] = [
  ['size with a plus', '+0\r\n\r\n'],
  ['size with a sign', '-1\r\n\r\n'],
  ['size with 0x', '0x5\r\nhello\r\n0\r\n\r\n'],
  ['size with a space before', ' 5\r\nhello\r\n0\r\n\r\n'],
  ['size with a space behind', '5 \r\nhello\r\n0\r\n\r\n'],
  ['size empty', '\r\nhello\r\n0\r\n\r\n'],
  ['size with LF', '5\nhello\r\n0\r\n\r\n'],
  ['size with CR', '5\rhello\r\n0\r\n\r\n'],
  ['size of 64 bits and more', '10000000000000005\r\nhello\r\n0\r\n\r\n'],
  ['size of 32 bits and more', '100000000\r\nhello'],
  ['size that is negative as 64 bits', 'fffffffffffffffb\r\nhello\r\n0\r\n\r\n'],
  ['data longer than its size', '3\r\nhello\r\n0\r\n\r\n'],
  ['data shorter than its size', `6\r\nhello\r\n0\r\n\r\n`],
  ['data that ends with LF', '5\r\nhello\n0\r\n\r\n'],
  ['no CRLF behind data', '5\r\nhello0\r\n\r\n'],
  ['LF in an extension', `5;a\nhello\r\n0\r\n\r\n`],
  ['CR in an extension', `5;a\rb\r\nhello\r\n0\r\n\r\n`],
  ['a request in an extension behind LF', `1;\n${CANARY}x\r\n0\r\n\r\n`],
  ['NUL in an extension', '5;a=\x00\r\nhello\r\n0\r\n\r\n'],
  ['zero that ends with LF', '0\n\r\n'],
  ['end that is LF', '0\r\n\n'],
  ['bare CR in a trailer', '0\r\nX: y\rz\r\n\r\n'],
  ['LF ends a trailer', '0\r\nX: y\n\r\n'],
  ['space before the colon of a trailer', '0\r\nX : y\r\n\r\n'],
  ['folded trailer', '0\r\nX: y\r\n z\r\n\r\n'],
  ['extensions without end', `5;${'a'.repeat(300_000)}\r\nhello\r\n0\r\n\r\n`],
  ['trailers without end', `0\r\n${`X: ${'y'.repeat(100)}\r\n`.repeat(3000)}\r\n`],
].map(([name = '', content = '']) => ({
  name: `chunks: ${name}`,
  bytes: post('Transfer-Encoding: chunked\r\n', content),
  must: 'once',
  statuses: [400, 413, 431, 502],
}));

/** Odd, and allowed: one request, whatever becomes of it; the canary is its content. */
const allowed: Trick[] = [
  once('the canary as content', `POST /trick HTTP/1.1\r\n${HOST}Content-Length: ${CANARY.length}\r\n\r\n${CANARY}`),
  once(
    'the canary as content of a GET',
    `GET /trick HTTP/1.1\r\n${HOST}Content-Length: ${CANARY.length}\r\n\r\n${CANARY}`,
  ),
  once(
    'the canary as a chunk',
    `POST /trick HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n${size(CANARY)}\r\n${CANARY}\r\n${zero}`,
  ),
  once(
    'a length that Connection names',
    `POST /trick HTTP/1.1\r\n${HOST}Connection: Content-Length\r\nContent-Length: ${CANARY.length}\r\n\r\n${CANARY}`,
  ),
  once(
    'a coding that Connection names',
    `POST /trick HTTP/1.1\r\n${HOST}Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n${size(CANARY)}\r\n${CANARY}\r\n${zero}`,
  ),
  once('a Host that Connection names', `GET /trick HTTP/1.1\r\n${HOST}Connection: Host\r\n\r\n`),
  once(
    'underscores for hyphens',
    `POST /trick HTTP/1.1\r\n${HOST}Content_Length: 0\r\nContent-Length: ${CANARY.length}\r\n\r\n${CANARY}`,
  ),
  once(
    'coding with underscores',
    `POST /trick HTTP/1.1\r\n${HOST}Transfer_Encoding: chunked\r\nContent-Length: ${zero.length}\r\n\r\n${zero}`,
  ),
  once(
    'leading zeros in a size',
    `POST /trick HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n005\r\nhello\r\n000\r\n\r\n`,
  ),
  once('coding in capitals', `POST /trick HTTP/1.1\r\n${HOST}TRANSFER-ENCODING: CHUNKED\r\n\r\n5\r\nhello\r\n${zero}`),
  once(
    'a length in trailers',
    `POST /trick HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 50\r\n\r\n`,
  ),
  once(
    'a Host in trailers',
    `POST /trick HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n0\r\nHost: other.example\r\n\r\n`,
  ),
  once('escapes of CR and LF in the target', `GET /trick%0d%0a%0d%0aGET%20/canary HTTP/1.1\r\n${HOST}\r\n`),
  once(
    'an upgrade that is none',
    `POST /trick HTTP/1.1\r\n${HOST}Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAAA\r\nContent-Length: 0\r\n\r\n`,
  ),
  once(
    'Expect with the content at once',
    `POST /trick HTTP/1.1\r\n${HOST}Expect: 100-continue\r\nContent-Length: ${CANARY.length}\r\n\r\n${CANARY}`,
  ),
];

export const tricks: readonly Trick[] = [
  ...lengths,
  ...codings,
  ...names,
  ...lines,
  ...starts,
  ...hosts,
  ...chunks,
  ...allowed,
];
