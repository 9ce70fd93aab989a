// What one client says must not become what another is told: inputs that no key holds, answers that are for one.
import { describe, expect, test } from 'vitest';
import { cacheKey } from '../../../src/cache/key.js';
import { matchVary, varyNames, type VaryPolicy } from '../../../src/cache/vary.js';
import { forwardRequest, type RequestForwarding } from '../../../src/http/forward.js';
import { Fields, HTTP_1_1 } from '../../../src/http/head.js';
import { withoutNominated } from '../../../src/http/hop-by-hop.js';
import { plainPath } from '../../../src/http/plain-path.js';
import {
  SECOND,
  T0,
  URI,
  ask,
  fields,
  forwarded,
  get,
  policy,
  reply,
  response,
  stored,
  type Lines,
} from '../cache/build.js';

const LATER = T0 + 61 * SECOND;
const KEPT: Lines = { 'Cache-Control': 'max-age=60', ETag: '"a"', 'Content-Length': '10' };

describe('what an origin is told of the client', () => {
  const how: RequestForwarding = {
    target: '/',
    host: 'shop.example',
    asked: 'shop.example',
    framing: { kind: 'none' },
    peer: { address: '192.0.2.1', port: 1, scheme: 'http' },
    forwarded: { trust: (address) => address === '10.0.0.1', forwarded: true },
    via: undefined,
    requestId: undefined,
    upgrade: false,
    close: false,
  };
  const head = (lines: Lines) => ({ method: 'GET', target: '/', version: HTTP_1_1, fields: fields(lines) });

  test('the host is that of the key, whatever the Host field says', () => {
    const { fields: sent } = forwardRequest(head({ Host: 'evil.example' }), how);
    expect(sent.get('x-forwarded-host')).toBe('shop.example');
    expect(sent.get('forwarded')).toContain('host=shop.example');
    expect(String(sent.raw)).not.toContain('evil');
  });

  const names = [
    'X-Forwarded-Port',
    'X-Forwarded-Scheme',
    'X-Forwarded-Prefix',
    'X-Real-IP',
    'X-Host',
    'X-Original-Host',
  ];
  test.each(names)('%s of a stranger goes nowhere, that of a proxy in trust arrives', (name) => {
    const received = head({ Host: 'shop.example', [name]: 'x' });
    expect(forwardRequest(received, how).fields.has(name)).toBe(false);
    const peer = { ...how.peer, address: '10.0.0.1' };
    expect(forwardRequest(received, { ...how, peer }).fields.get(name)).toBe('x');
  });

  test('without a host in the request nobody claims that one was asked for', () => {
    expect(forwardRequest(head({}), { ...how, asked: undefined }).fields.has('x-forwarded-host')).toBe(false);
  });
});

describe('what overrules the request line', () => {
  test.each(['X-HTTP-Method-Override', 'X-HTTP-Method', 'X-Method-Override', 'X-Original-URL', 'X-Rewrite-URL'])(
    'a GET with %s has no part in the cache',
    (name) => {
      const plan = forwarded(ask(get({ [name]: 'DELETE' }), [stored(KEPT)], T0));
      expect(plan).toMatchObject({ purpose: 'pass', why: 'bypass', collapsible: false });
      const decision = reply(plan, response({ 'Cache-Control': 'max-age=60' }), [], T0);
      expect(decision).toMatchObject({ kind: 'relay', fill: undefined });
    },
  );
});

describe('fields that Connection names', () => {
  test('are not there for the rules, as they are not for the origin', () => {
    const received = fields({ Host: 'a', 'X-Device': 'phone', Connection: 'X-Device, keep-alive' });
    expect(withoutNominated(received).has('x-device')).toBe(false);
    expect(withoutNominated(received).get('connection')).toBe('X-Device, keep-alive');
  });

  test('nobody talks away what is for all, and nothing is made anew where nothing goes', () => {
    const received = fields({ Host: 'a', Cookie: 'c', Upgrade: 'x', Connection: 'Cookie, Host, Upgrade' });
    expect(withoutNominated(received)).toBe(received);
  });
});

describe('Vary', () => {
  const VARY: VaryPolicy = { codings: undefined, languages: undefined, selectByContentLanguage: false };

  test.each(['X-Forwarded-For', 'Forwarded', 'Via', 'X-Request-ID'])('%s, which we write: for nobody else', (name) => {
    expect(varyNames(fields({ Vary: `Accept, ${name}` }))).toBe('*');
  });

  test('normal forms that are remembered are those of the field, of the policy and of the request', () => {
    const kept = stored(
      { ...KEPT, Vary: 'Accept-Encoding, Accept' },
      { request: { 'Accept-Encoding': 'gzip, br', Accept: 'a/b' } },
    );
    const same = fields({ 'Accept-Encoding': 'br,gzip', Accept: 'A/B' });
    const other = fields({ 'Accept-Encoding': 'gzip', Accept: 'a/b' });
    for (let round = 0; round < 2; round++) {
      expect(matchVary(kept, same, VARY)).toBe('exact');
      expect(matchVary(kept, other, VARY)).toBe('none');
      expect(matchVary(kept, other, { ...VARY, codings: ['gzip'] })).toBe('exact');
      expect(matchVary(kept, fields({ 'Accept-Encoding': 'a/b', Accept: 'gzip, br' }), VARY)).toBe('none');
    }
  });
});

describe('answers to one client or one moment', () => {
  test.each([428, 429, 431, 511])('%i is not stored, though it says how long it is fresh (RFC 6585)', (status) => {
    const plan = forwarded(ask(get(), [], T0));
    const decision = reply(plan, response({ 'Cache-Control': 'public, max-age=60', ETag: '"a"' }, status), [], T0);
    expect(decision).toMatchObject({ kind: 'relay', fill: undefined, collapse: 'pass-once' });
  });
});

describe('a newer head that is for one client', () => {
  const kept = stored(KEPT);
  const revalidated = (request: Lines, answer: Lines, how = policy()) =>
    reply(forwarded(ask(get(request), [kept], LATER)), response({ ETag: '"a"', ...answer }, 304), [kept], LATER, how);

  test.each(['private', 'private, max-age=60', 'no-store', 'no-store, max-age=60'])(
    '304 with %s: that client gets it, and it is stored no more',
    (directives) => {
      const decision = revalidated({}, { 'Cache-Control': directives, 'X-User': 'alice' });
      expect(decision).toMatchObject({ kind: 'answer', changes: { update: [], drop: ['one'] }, collapse: 'pass' });
      expect(decision.kind === 'answer' && decision.answer.head.fields.get('x-user')).toBe('alice');
    },
  );

  test('304 to a request with Authorization: what it says is said to that client alone', () => {
    const decision = revalidated({ Authorization: 'Basic x' }, { 'X-User': 'alice' });
    expect(decision).toMatchObject({ kind: 'answer', changes: { update: [], drop: [] } });
    expect(decision.kind === 'answer' && decision.answer.head.fields.get('x-user')).toBe('alice');
    const open = revalidated({ Authorization: 'Basic x' }, { 'Cache-Control': 'public, max-age=60' });
    expect(open).toMatchObject({ changes: { update: [{ id: 'one' }] } });
  });

  test('304 to a request with no-store changes nothing that is stored', () => {
    const decision = revalidated({ 'Cache-Control': 'no-store' }, { 'X-User': 'alice' });
    expect(decision).toMatchObject({ kind: 'answer', changes: { update: [], drop: [] } });
  });

  test.each<[string, Lines, ReturnType<typeof policy>, boolean]>([
    ['says nothing of freshness', {}, policy(), false],
    ['says how long it is fresh', { 'Cache-Control': 'max-age=9' }, policy(), true],
    ['and cookies are stored', {}, { ...policy(), setCookie: 'store' }, true],
    ['and cookies are refused', { 'Cache-Control': 'max-age=9' }, { ...policy(), setCookie: 'refuse' }, false],
  ])('Set-Cookie in a 304 that %s', (_, lines, how, remembered) => {
    const decision = revalidated({}, { ...lines, 'Set-Cookie': 'id=alice' }, how);
    if (decision.kind !== 'answer') throw new Error(decision.kind);
    expect(decision.answer.head.fields.get('set-cookie')).toBe('id=alice');
    const [update] = decision.changes.update;
    expect(Fields.fromRaw(update?.record.fields ?? []).has('set-cookie')).toBe(remembered);
  });

  test('the answer to a HEAD: private makes stale, Authorization changes nothing', () => {
    const head = { ...get(), method: 'HEAD' };
    const plan = forwarded(ask(head, [kept], LATER));
    const agrees: Lines = { ETag: '"a"', 'Content-Length': '10', 'X-User': 'alice' };
    const secret = reply(plan, response({ ...agrees, 'Cache-Control': 'private, max-age=60' }), [kept], LATER);
    expect(secret).toMatchObject({ changes: { update: [{ id: 'one', record: { staleSince: LATER } }] } });
    expect(JSON.stringify(secret.changes)).not.toContain('alice');
    const known = forwarded(ask({ ...head, fields: fields({ Authorization: 'Basic x' }) }, [kept], LATER));
    expect(reply(known, response(agrees), [kept], LATER)).toMatchObject({ changes: { update: [], drop: [] } });
  });
});

describe('keys', () => {
  test('of another space are others, and begin with the URI all the same', () => {
    const plain = { ignoreParameters: [], sortParameters: false, fields: [], cookies: [] };
    const apart = cacheKey(URI, Fields.EMPTY, { ...plain, space: 'forward' });
    expect(apart).not.toBe(cacheKey(URI, Fields.EMPTY, plain));
    expect(apart.startsWith(`${URI} `)).toBe(true);
    const withField = { ...plain, fields: ['a'] };
    const keys = [withField, { ...withField, space: 'forward' }].map((each) => cacheKey(URI, Fields.EMPTY, each));
    expect(new Set([...keys, apart]).size).toBe(3);
  });
});

describe('spellings of a path', () => {
  test.each([
    ['/account/x', '/account/x'],
    ['/a.b/.c/..d/', '/a.b/.c/..d/'],
    ['/%61ccount/x', '/account/x'],
    ['/%2561ccount/x', '/account/x'],
    ['//account///x', '/account/x'],
    ['/./account/x', '/account/x'],
    ['/a/../account/x', '/account/x'],
    ['/a/%2e%2e/account/x', '/account/x'],
    ['/a/..%2Faccount/x', '/account/x'],
    ['/account%2Fx', '/account/x'],
    ['/account%5cx', '/account/x'],
    ['/account;jsessionid=1/x;y', '/account/x'],
    ['/account/x/..', '/account/'],
    ['/account/.', '/account/'],
    ['/account//', '/account/'],
    ['/../../x', '/x'],
    ['/..', '/'],
    ['//', '/'],
    ['/%zz%', '/%zz%'],
    ['/50%25', '/50%'],
    ['/%c3%a4', '/\u00c3\u00a4'],
  ])('%s is %s', (path, plain) => {
    expect(plainPath(path)).toBe(plain);
    expect(plainPath(plain)).toBe(plain);
  });
});
