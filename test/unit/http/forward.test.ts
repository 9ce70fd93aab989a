import { describe, expect, test } from 'vitest';
import {
  type RequestForwarding,
  type ResponseForwarding,
  countHop,
  forwardRequest,
  forwardResponse,
  passedThrough,
} from '../../../src/http/forward.js';
import { Fields, HTTP_1_0, HTTP_1_1, type RequestHead, type ResponseHead } from '../../../src/http/head.js';
import { hopByHop } from '../../../src/http/hop-by-hop.js';

const endToEnd = (fields: Fields): Fields => {
  const unwanted = hopByHop(fields);
  return fields.filter((name) => !unwanted(name));
};

type Pairs = readonly (readonly [string, string])[];

function request(pairs: Pairs, method = 'GET', version = HTTP_1_1): RequestHead {
  return { method, target: 'http://outer.example/a', version, fields: Fields.from(pairs) };
}

function response(status: number, pairs: Pairs, version = HTTP_1_1): ResponseHead {
  return { status, reason: 'Fine', version, fields: Fields.from(pairs) };
}

const REQUEST: RequestForwarding = {
  target: '/a',
  host: 'origin.example',
  asked: undefined,
  framing: { kind: 'none' },
  peer: { address: '192.0.2.1', port: 1, scheme: 'http' },
  forwarded: { trust: (address) => address.startsWith('10.'), xForwarded: false },
  via: undefined,
  requestId: undefined,
  upgrade: false,
  close: false,
};
const TRUSTED: RequestForwarding = { ...REQUEST, peer: { ...REQUEST.peer, address: '10.0.0.1' } };

const RESPONSE: ResponseForwarding = {
  framing: { kind: 'length', length: 5 },
  via: undefined,
  clientVersion: HTTP_1_1,
  close: false,
  receivedMs: Date.UTC(1994, 10, 6, 8, 49, 37),
};
const DATE = ['Date', 'Sun, 06 Nov 1994 08:49:37 GMT'] as const;

function sent(pairs: Pairs, how: Partial<RequestForwarding> = {}, version = HTTP_1_1): Pairs {
  return [...forwardRequest(request(pairs, 'GET', version), { ...REQUEST, ...how }).fields];
}

function answered(status: number, pairs: Pairs, how: Partial<ResponseForwarding> = {}, version = HTTP_1_1): Pairs {
  return [...forwardResponse(response(status, pairs, version), { ...RESPONSE, ...how }).fields];
}

describe('fields of one connection', () => {
  test('stay behind, named or not', () => {
    const fields = Fields.from([
      ['Connection', 'X-A, keep-alive'],
      ['X-A', '1'],
      ['x-a', '2'],
      ['X-B', '3'],
      ['Keep-Alive', 'timeout=5'],
      ['Proxy-Connection', 'keep-alive'],
      ['TE', 'trailers'],
      ['Transfer-Encoding', 'chunked'],
      ['Upgrade', 'h2c'],
      ['HTTP2-Settings', 'x'],
      ['connection', 'x-c'],
      ['X-C', '4'],
      ['Trailer', 'X-D'],
    ]);
    expect([...endToEnd(fields)]).toEqual([
      ['X-B', '3'],
      ['Trailer', 'X-D'],
    ]);
  });

  test('fields for all recipients cannot be named away', () => {
    const fields = Fields.from([
      ['Host', 'a'],
      ['Cookie', 'b'],
      ['Cache-Control', 'no-store'],
      ['Content-Length', '5'],
      ['X-Forwarded-For', '192.0.2.1'],
      ['Connection', 'close, host, cookie, cache-control, content-length, x-forwarded-for'],
    ]);
    expect(endToEnd(fields).names).toEqual(['host', 'cookie', 'cache-control', 'content-length', 'x-forwarded-for']);
  });
});

describe('forwardRequest', () => {
  test('target, version and Host are ours', () => {
    const head = forwardRequest(request([['Host', 'other'], ['Accept', '*/*']], 'GET', HTTP_1_0), REQUEST); // prettier-ignore
    expect(head).toMatchObject({ method: 'GET', target: '/a', version: { major: 1, minor: 1 } });
    expect([...head.fields]).toEqual([
      ['Host', 'origin.example'],
      ['Accept', '*/*'],
    ]);
  });

  test('the framing is what it is told, whatever was received', () => {
    const received: Pairs = [
      ['Content-Length', '5'],
      ['X', 'y'],
    ];
    expect(sent(received, { framing: { kind: 'length', length: 7 } }).slice(1)).toEqual([
      ['X', 'y'],
      ['Content-Length', '7'],
    ]);
    expect(sent(received, { framing: { kind: 'chunked' } }).slice(1)).toEqual([
      ['X', 'y'],
      ['Transfer-Encoding', 'chunked'],
    ]);
    expect(sent(received).slice(1)).toEqual([['X', 'y']]);
    expect(sent([['Transfer-Encoding', 'Chunked']], { framing: { kind: 'chunked' } }).slice(1)).toEqual([
      ['Transfer-Encoding', 'chunked'],
    ]);
  });

  test('Via has the version that was received', () => {
    const via: Pairs = [
      ['Via', '1.0 a'],
      ['X', 'y'],
      ['Via', '1.1 b (c)'],
    ];
    expect(sent(via, { via: 'me' }, HTTP_1_0).slice(1)).toEqual([
      ['X', 'y'],
      ['Via', '1.0 a, 1.1 b (c), 1.0 me'],
    ]);
    expect(sent([], { via: 'me' }).slice(1)).toEqual([['Via', '1.1 me']]);
    expect(sent(via).slice(1)).toEqual(via);
  });

  test('forwarding fields of a stranger are dropped, those of a trusted proxy kept, where we write none', () => {
    const received: Pairs = [
      ['X-Forwarded-For', '6.6.6.6'],
      ['Forwarded', 'for=6.6.6.6'],
    ];
    expect(sent(received).slice(1)).toEqual([]);
    expect(sent(received, TRUSTED).slice(1)).toEqual(received);
  });

  test('X-Forwarded-Host is what the client asked for', () => {
    // The Host field may say something else: where the target overrules it, or in another spelling.
    const how = { asked: 'asked.example', forwarded: { trust: () => false } };
    const fields = Fields.from(sent([['Host', 'EVIL.example.:80']], how));
    expect(fields.get('x-forwarded-host')).toBe('asked.example');
    expect(fields.get('x-forwarded-for')).toBe('192.0.2.1');
    expect(fields.get('x-forwarded-proto')).toBe('http');
    expect(fields.has('forwarded')).toBe(false);
  });

  test.each([
    ['a stranger', 'theirs', REQUEST, 'ours'],
    ['a trusted proxy', 'theirs', TRUSTED, 'theirs'],
    ['a trusted proxy, odd', 'th eirs', TRUSTED, 'ours'],
    ['a trusted proxy, long', 'a'.repeat(129), TRUSTED, 'ours'],
    ['a trusted proxy, empty', '', TRUSTED, 'ours'],
  ])('the request id of %s', (_who, theirs, how, expected) => {
    expect(sent([['X-Request-ID', theirs]], { ...how, requestId: 'ours' }).slice(1)).toEqual([
      ['X-Request-Id', expected],
    ]);
    expect(sent([['X-Request-ID', theirs]], how).slice(1)).toEqual([['X-Request-ID', theirs]]);
  });

  test('TE: trailers is asked for anew, other codings are not', () => {
    const named = (value: string, connection = 'te'): Pairs =>
      sent([
        ['TE', value],
        ['Connection', connection],
      ]).slice(1);
    const asked = [
      ['TE', 'trailers'],
      ['Connection', 'TE'],
    ];
    expect(named('trailers')).toEqual(asked);
    expect(named('gzip;q=0.5, Trailers ;q=1')).toEqual(asked);
    expect(named('gzip')).toEqual([]);
    expect(named('trailers', 'close')).toEqual([]);
  });

  test('an upgrade is offered only on request', () => {
    const received: Pairs = [
      ['Connection', 'keep-alive, Upgrade'],
      ['Upgrade', 'websocket'],
      ['Sec-WebSocket-Version', '13'],
    ];
    expect(sent(received).slice(1)).toEqual([['Sec-WebSocket-Version', '13']]);
    expect(sent(received, { upgrade: true, close: true }).slice(1)).toEqual([
      ['Sec-WebSocket-Version', '13'],
      ['Upgrade', 'websocket'],
      ['Connection', 'close, Upgrade'],
    ]);
  });

  test('Proxy-Authorization is for us', () => {
    const received: Pairs = [['Proxy-Authorization', 'Basic eA==']];
    expect(sent(received).slice(1)).toEqual([]);
    expect(sent(received, { proxyAuthorization: true }).slice(1)).toEqual(received);
  });
});

describe('forwardResponse', () => {
  test('loses what was for us, and gets Date and Via', () => {
    const received: Pairs = [
      ['Connection', 'keep-alive, X-A'],
      ['X-A', '1'],
      ['Content-Length', '5'],
      ['Set-Cookie', 'a=b'],
      ['Set-Cookie', 'c=d'],
    ];
    expect(answered(200, received, { via: 'me' }, HTTP_1_0)).toEqual([
      ['Set-Cookie', 'a=b'],
      ['Set-Cookie', 'c=d'],
      DATE,
      ['Via', '1.0 me'],
      ['Content-Length', '5'],
    ]);
    expect(forwardResponse(response(404, []), RESPONSE)).toMatchObject({
      status: 404,
      reason: 'Fine',
      version: HTTP_1_1,
    });
  });

  test('a Date that is one is kept, another replaced', () => {
    const good = ['Date', 'Mon Nov  7 08:49:37 1994'] as const;
    expect(answered(200, [good], { framing: { kind: 'close' } })).toEqual([good]);
    expect(answered(200, [['Date', 'yesterday']], { framing: { kind: 'close' } })).toEqual([DATE]);
  });

  test.each<[number, ResponseForwarding['framing'], string | undefined, string | undefined]>([
    [200, { kind: 'length', length: 9 }, '9', undefined],
    [200, { kind: 'chunked' }, undefined, 'chunked'],
    [200, { kind: 'close' }, undefined, undefined],
    [200, { kind: 'none' }, '5', undefined],
    [304, { kind: 'none' }, '5', undefined],
    [204, { kind: 'none' }, undefined, undefined],
    [103, { kind: 'none' }, undefined, undefined],
    [200, { kind: 'tunnel' }, undefined, undefined],
  ])('%i with framing %o', (status, framing, length, coding) => {
    const fields = Fields.from(answered(status, [['Content-Length', '5']], { framing }));
    expect(fields.get('content-length')).toBe(length);
    expect(fields.get('transfer-encoding')).toBe(coding);
    expect(fields.count('content-length')).toBeLessThan(2);
  });

  test.each([
    [200, HTTP_1_1, false, undefined],
    [200, HTTP_1_1, true, 'close'],
    [200, HTTP_1_0, false, 'keep-alive'],
    [200, HTTP_1_0, true, 'close'],
    [100, HTTP_1_1, true, undefined],
    [100, HTTP_1_0, false, undefined],
  ])('Connection of %i to %o, close %s: %s', (status, clientVersion, close, expected) => {
    expect(Fields.from(answered(status, [], { clientVersion, close })).get('connection')).toBe(expected);
  });

  test('the agreement to an upgrade is passed on', () => {
    const received: Pairs = [
      ['Upgrade', 'websocket'],
      ['Connection', 'Upgrade'],
      ['Sec-WebSocket-Accept', 'x'],
    ];
    const framing = { kind: 'tunnel' } as const;
    expect(answered(101, received, { framing })).toEqual([
      ['Sec-WebSocket-Accept', 'x'],
      ['Upgrade', 'websocket'],
      ['Connection', 'Upgrade'],
    ]);
    expect(answered(200, received, { framing: { kind: 'close' } })).toEqual([['Sec-WebSocket-Accept', 'x'], DATE]);
  });

  test('an interim response gets no Date', () => {
    expect(answered(103, [['Link', '</a>']], { framing: { kind: 'none' } })).toEqual([['Link', '</a>']]);
  });
});

test.each([
  ['1.1 me', true],
  ['1.0 a, HTTP/1.1 ME (comment)', true],
  ['1.1 a,1.1\tme', true],
  ['1.1 meme', false],
  ['me', false],
  ['1.1 a (me), 1.1 b', false],
])('Via %s has been here: %s', (via, expected) => {
  expect(passedThrough(Fields.from([['Via', via]]), 'me')).toBe(expected);
  expect(passedThrough(Fields.EMPTY, 'me')).toBe(false);
});

describe('Max-Forwards (RFC 9110 section 7.6.2)', () => {
  const count = (method: string, value: string) => countHop(request([['Max-Forwards', value]], method));

  test.each(['TRACE', 'OPTIONS'])('counts down for %s', (method) => {
    expect(count(method, '0')).toEqual({ kind: 'answer' });
    expect(count(method, '00')).toEqual({ kind: 'answer' });
    const hops = count(method, '7');
    expect(hops.kind === 'forward' && hops.fields.get('max-forwards')).toBe('6');
    const many = count(method, '9'.repeat(400));
    expect(many.kind === 'forward' && many.fields.get('max-forwards')).toBe('255');
    for (const wrong of ['', '-1', '+1', '1.5', '1, 2', 'x']) {
      expect(count(method, wrong)).toMatchObject({ kind: 'refused', status: 400 });
    }
  });

  test('means nothing for others', () => {
    const hops = count('GET', '0');
    expect(hops.kind === 'forward' && hops.fields.get('max-forwards')).toBe('0');
    expect(countHop(request([], 'TRACE'))).toMatchObject({ kind: 'forward' });
  });
});
