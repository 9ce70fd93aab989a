import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DEFAULT_KEY_POLICY } from '../../../src/cache/key.js';
import { DEFAULT_POLICY } from '../../../src/cache/policy.js';
import { parseAuthority } from '../../../src/http/authority.js';
import { Fields, HTTP_1_1 } from '../../../src/http/head.js';
import type { ForwardTarget } from '../../../src/proxy/site.js';
import { loadHttpConfig } from '../../../src/server/http-config.js';
import type { HttpFlags } from '../../../src/server/http-config.js';
import { readBasic } from '../../../src/server/http-forward.js';
import { kindsOf, listenAddresses, listenersOf } from '../../../src/server/http-listeners.js';
import { makeSite, watchUsers } from '../../../src/server/http-site.js';
import { createLogger } from '../../../src/server/logging.js';
import { hashPassword } from '../../../src/socks/users.js';
import { AUTHORITY, CLIENT, SERVER } from '../proxy/origin-certificates.js';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'symsplice-test-'));
});
afterEach(() => rm(directory, { recursive: true }));

async function file(name: string, text: string): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, text);
  return path;
}

/** The site of a configuration that is written as a file. */
async function siteOf(text: string, flags: HttpFlags = {}) {
  const config = await loadHttpConfig({ config: join(directory, 'c.yaml'), ...flags }, () => Promise.resolve(text));
  return makeSite(config);
}

const request = (fields: readonly (readonly [string, string])[] = [], method = 'GET') => ({
  method,
  target: '/',
  version: HTTP_1_1,
  fields: Fields.from(fields),
});

describe('routes', () => {
  test('what a site says differs, the rest is as outside', async () => {
    const site = await siteOf(`
origin: http://10.0.0.1:3000
response-timeout: 7s
origin-connections: 9
ignore-parameters: [utm_*]
sites:
  - host: www.example.com
    origin: http://[fd00::2]:3001
    host-header: origin
    origin-connections: 0
    origin-proxy-protocol: 2
    cache: { set-cookie: refuse, vary-encodings: [br, gzip], negative: { 404: 10s } }
  - host: www.example.com
    path: /api
    cache: off
`);
    const www = parseAuthority('www.example.com');
    const front = site.route(www, '/');
    expect(front).toMatchObject({
      name: 'www.example.com',
      host: 'origin',
      origin: {
        name: 'http://[fd00::2]:3001',
        scheme: 'http',
        host: 'fd00::2',
        port: 3001,
        tls: undefined,
        proxyProtocol: 2,
        responseTimeout: 7000,
        maxConnections: Infinity,
      },
    });
    expect(front?.cache?.policy).toMatchObject({ setCookie: 'refuse', vary: { codings: ['br', 'gzip'] } });
    expect(front?.cache?.policy.negative.lifetimes).toEqual(new Map([[404, 10_000]]));
    expect(front?.cache?.key.ignoreParameters).toEqual(['utm_*']);
    const api = site.route(www, '/api/x?y');
    expect(api).toMatchObject({ name: 'www.example.com/api', host: 'client', cache: undefined });
    const other = site.route(undefined, '/');
    expect(other).toMatchObject({ name: 'default', origin: { host: '10.0.0.1', maxConnections: 9 } });
    expect(other?.cache?.policy.setCookie).toBe('explicit');
  });

  test('the defaults are those of the rules', async () => {
    const cache = (await siteOf('origin: http://a')).route(undefined, '/')?.cache;
    expect(cache?.policy).toEqual(DEFAULT_POLICY);
    expect(cache?.key).toEqual(DEFAULT_KEY_POLICY);
    expect(cache?.bypass(request([['Cookie', 'a=b']]), '/x')).toBe(false);
  });

  test('no-cache holds for every site', async () => {
    const site = await siteOf('no-cache: true\norigin: http://a\nsites: [{host: b, cache: on}]');
    expect(site.route(parseAuthority('b'), '/')).toMatchObject({ name: 'b', cache: undefined });
    expect(site.route(undefined, '/')?.cache).toBeUndefined();
  });

  test('what 0 and none mean', async () => {
    expect(
      await siteOf('{origin: "http://a", max-requests: 0, max-request-body: 0, via: none, forwarded: none}'),
    ).toMatchObject({
      maxRequests: Infinity,
      maxRequestBytes: Infinity,
      via: undefined,
      forwarded: { xForwarded: false, forwarded: false },
      forward: undefined,
    });
    expect(await siteOf('{origin: "http://a", forwarded: both, max-head: 8k}')).toMatchObject({
      forwarded: { xForwarded: true, forwarded: true },
      heads: { maxHeadBytes: 8192 },
    });
  });

  test('trust', async () => {
    const { trust } = (await siteOf('{origin: "http://a", trust: [10.0.0.0/8, "fd00::1"]}')).forwarded;
    const asked = ['10.1.2.3', '11.0.0.1', 'fd00::1', 'fd00::2', '::ffff:10.0.0.1', 'x', '10.1.2.3'];
    expect(asked.map(trust)).toEqual([true, false, true, false, true, false, true]);
    const nobody = (await siteOf('origin: http://a')).forwarded.trust;
    expect(nobody('127.0.0.1')).toBe(false);
    // Far more peers than are remembered.
    for (let i = 0; i < 2000; i++) expect(trust(`10.0.${i >> 8}.${i & 255}`)).toBe(true);
  });
});

describe('bypass', () => {
  const text = `
origin: http://a
bypass-paths: [/admin/, "*.php"]
bypass-methods: [POST]
bypass-cookies: [session, "role=admin*", "wp_*"]
bypass-fields: [X-Preview, "Accept=text/event-stream*"]
`;
  test.each<[name: string, fields: [string, string][], method: string, path: string, bypassed: boolean]>([
    ['nothing', [], 'GET', '/', false],
    ['a path', [], 'GET', '/admin/x', true],
    ['a path with a query', [], 'GET', '/x.php?y', true],
    ['a query that looks like a path', [], 'GET', '/?/x.php', false],
    ['a method', [], 'POST', '/', true],
    ['a cookie', [['cookie', 'a=1; session=2']], 'GET', '/', true],
    [
      'one in another line',
      [
        ['Cookie', 'a=1'],
        ['Cookie', 'session='],
      ],
      'GET',
      '/',
      true,
    ],
    ['one with a value', [['Cookie', 'role=admin2']], 'GET', '/', true],
    ['one with another value', [['Cookie', 'role=user; asession=1']], 'GET', '/', false],
    ['one of many', [['Cookie', 'wp_logged_in=1']], 'GET', '/', true],
    ['a field', [['x-preview', '']], 'GET', '/', true],
    ['a field with a value', [['Accept', 'text/event-stream']], 'GET', '/', true],
    ['a field with another value', [['Accept', 'text/html']], 'GET', '/', false],
  ])('%s', async (_name, fields, method, path, bypassed) => {
    const cache = (await siteOf(text)).route(undefined, path)?.cache;
    expect(cache?.bypass(request(fields, method), path)).toBe(bypassed);
  });
});

describe('fills without clients', () => {
  test('little is left, or much is there, or nobody knows', async () => {
    const cache = (await siteOf('{origin: "http://a", finish-remaining: 1k, finish-fraction: 90%}')).route(
      undefined,
      '/',
    )?.cache;
    expect(cache?.finishes(0, 1024)).toBe(true);
    expect(cache?.finishes(0, 1025)).toBe(false);
    expect(cache?.finishes(90_000, 100_000)).toBe(true);
    expect(cache?.finishes(89_999, 100_000)).toBe(false);
    expect(cache?.finishes(5, undefined)).toBe(true);
  });
  test('never', async () => {
    const cache = (await siteOf('{origin: "http://a", finish-remaining: 0, finish-fraction: 1}')).route(
      undefined,
      '/',
    )?.cache;
    expect(cache?.finishes(99, 100)).toBe(false);
    expect(cache?.finishes(5, undefined)).toBe(false);
  });
});

describe('files', () => {
  test('TLS to an origin: certificates, names, what is trusted', async () => {
    const both = CLIENT.cert + CLIENT.key;
    await file('c.pem', both);
    await file('ca.pem', AUTHORITY);
    const text =
      '{origin: "https://10.0.0.5", origin-name: app.internal, origin-ca: ca.pem, origin-cert: c.pem, origin-insecure: true}';
    expect((await siteOf(text)).route(undefined, '/')?.origin).toMatchObject({
      name: 'https://10.0.0.5:443',
      tls: { serverName: 'app.internal', ca: AUTHORITY, verify: false, certificate: { cert: both, key: both } },
    });
  });

  test.each<[name: string, text: string, message: RegExp]>([
    ['a file that is not there', 'origin-ca: nowhere.pem', /nowhere\.pem: cannot be read \(--origin-ca\): ENOENT/],
    ['something else', 'origin-ca: text', /text: is no certificate in PEM form \(--origin-ca\)/],
    ['a key for a certificate', 'origin-cert: key.pem', /key\.pem: is no certificate .*\(--origin-cert\)/],
    [
      'the key of another',
      '{origin-cert: cert.pem, origin-key: other.pem}',
      /other\.pem: has no key .*not that of .*cert\.pem/,
    ],
    ['users', '{forward: true, users: text}', /text:1: there is no colon/],
    ['rules', '{forward: true, rules: text}', /text.*a rules file is a list/],
  ])('wrong: %s', async (_name, text, message) => {
    await Promise.all([
      file('cert.pem', SERVER.cert),
      file('key.pem', SERVER.key),
      file('other.pem', CLIENT.key),
      file('text', 'text'),
    ]);
    await expect(siteOf(text, { origin: 'https://a' })).rejects.toMatchObject({
      code: 'ERR_SPLICE_CONFIG',
      message: expect.stringMatching(message) as string,
    });
  });

  test('listeners: the clear ones first, then those with TLS; sockets of systemd by their names', async () => {
    const pem = await file('c.pem', SERVER.cert + SERVER.key);
    const flags = { origin: 'http://a', listen: ['80'], tlsListen: ['443', '8443'], tlsCert: [pem] };
    const config = await loadHttpConfig({ ...flags, proxyProtocol: true, trust: '10.0.0.0/8' });
    expect(listenAddresses(config).map(({ port }) => port)).toEqual([80, 443, 8443]);
    const settings = await listenersOf(config);
    expect(settings.map(({ tls }) => tls !== undefined)).toEqual([false, true, true]);
    const { proxyProtocol } = settings[0] ?? {};
    if (!proxyProtocol) throw new Error('no PROXY protocol');
    expect(['10.0.0.1', '192.0.2.1'].map((address) => proxyProtocol.trusted(address))).toEqual([true, false]);
    expect(
      kindsOf(config, [
        { fd: 3, name: 'https' },
        { fd: 4, name: 'splice-http.socket' },
      ]),
    ).toEqual(['https', 'http']);
    expect((await listenersOf({ ...config, proxyProtocol: false }, ['http']))[0]).toMatchObject({
      tls: undefined,
      proxyProtocol: false,
    });
    await expect(listenersOf({ ...config, tlsCert: [] }, ['https'])).rejects.toMatchObject({
      code: 'ERR_SPLICE_CONFIG',
    });
  });
});

describe('forward proxy', () => {
  const target: ForwardTarget = {
    host: 'example.org',
    port: 443,
    address: undefined,
    client: '192.0.2.1',
    user: 'anonymous',
  };

  test('origins: checked by what Node.js trusts, with nothing of ours', async () => {
    await file('c.pem', SERVER.cert + SERVER.key);
    const text =
      '{forward: true, origin-insecure: true, origin-cert: c.pem, origin-proxy-protocol: 1, connect-timeout: 3s}';
    const { forward } = await siteOf(text);
    expect(forward?.origin('https', { host: '[fd00::1]', port: undefined })).toMatchObject({
      name: 'https://[fd00::1]:443',
      host: 'fd00::1',
      tls: { serverName: 'fd00::1', ca: undefined, verify: true, certificate: undefined },
      proxyProtocol: 0,
      connectTimeout: 3000,
    });
    expect(forward?.origin('http', { host: 'a.example', port: 81 })).toMatchObject({
      name: 'http://a.example:81',
      tls: undefined,
    });
  });

  test('ports of CONNECT', async () => {
    expect((await siteOf('forward: true')).forward?.connectPorts).toEqual(new Set([443]));
    expect((await siteOf('{forward: true, connect-ports: any}')).forward?.connectPorts).toBeUndefined();
  });

  test('without rules everything is allowed but ourselves and nowhere', async () => {
    const { forward } = await siteOf('{forward: true, listen: 3128, admin: "127.0.0.1:9080"}');
    const asked = (host: string, port: number, address?: string) => forward?.allows({ ...target, host, port, address });
    expect(asked('example.org', 443)).toBe(true);
    expect(asked('example.org', 3128, '192.0.2.7')).toBe(true);
    expect(asked('example.org', 80, '127.0.0.1')).toBe(true);
    expect(asked('example.org', 3128, '127.0.0.1')).toBe(false);
    expect(asked('127.0.0.9', 3128)).toBe(false);
    expect(asked('example.org', 9080, '::1')).toBe(false);
    expect(asked('::ffff:127.0.0.1', 3128)).toBe(false);
    expect(asked('example.org', 80, '0.0.0.0')).toBe(false);
    expect(asked('::', 80)).toBe(false);
    expect(asked('example.org', 80, 'nonsense')).toBe(false);
    const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
    for (const { address } of own) expect(asked('example.org', 3128, address)).toBe(false);
  });

  test('ports that the kernel chose are ours too', async () => {
    const config = await loadHttpConfig({ forward: true, listen: ['0'] });
    const { forward } = await makeSite(config, { listening: [{ port: 40_000 }] });
    expect(forward?.allows({ ...target, host: '127.0.0.1', port: 40_000 })).toBe(false);
    expect(forward?.allows({ ...target, host: '127.0.0.1', port: 40_001 })).toBe(true);
  });

  test('rules: by name before it is resolved, by address after, by user only where users log in', async () => {
    await file(
      'rules',
      '- deny: {to: 10.0.0.0/8}\n- allow: {user: alice, to: secret.example}\n- allow: {to: "*.example.org"}\n',
    );
    await file('users', `alice:${await hashPassword('pass word')}\n`);
    const open = (await siteOf('{forward: true, rules: rules}')).forward;
    const ask = (part: Partial<ForwardTarget>) => open?.allows({ ...target, ...part });
    expect(ask({ host: 'www.example.org' })).toBe(true);
    expect(ask({ host: 'www.example.org', address: '192.0.2.1' })).toBe(true);
    expect(ask({ host: 'www.example.org', address: '10.0.0.1' })).toBe(false);
    expect(ask({ host: 'other.example' })).toBe(false);
    expect(ask({ host: '10.0.0.1' })).toBe(false);
    expect(ask({ host: 'secret.example', user: 'alice' })).toBe(false);
    const known = (await siteOf('{forward: true, rules: rules, users: users}')).forward;
    expect(known?.allows({ ...target, host: 'secret.example', user: 'alice' })).toBe(true);
    expect(known?.allows({ ...target, host: 'secret.example', user: 'bob' })).toBe(false);
  });

  test('who it is', async () => {
    await file('users', `alice:${await hashPassword('pass:wörd')}\n`);
    const { forward } = await siteOf('{forward: true, users: users}');
    const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;
    expect(await forward?.authenticate(basic('alice:pass:wörd'))).toBe('alice');
    expect(await forward?.authenticate(basic('alice:wrong'))).toBeUndefined();
    expect(await forward?.authenticate(basic('bob:pass:wörd'))).toBeUndefined();
    expect(await forward?.authenticate(undefined)).toBeUndefined();
    expect((await siteOf('forward: true')).forward?.authenticate(undefined)).toBe('anonymous');
  });

  test('credentials of the Basic scheme', () => {
    expect(readBasic('basic YTpi')).toEqual({ name: 'a', password: 'b' });
    expect(readBasic('Basic YTo=')).toEqual({ name: 'a', password: '' });
    for (const wrong of [undefined, '', 'Basic', 'Basic YQ==', 'Bearer YTpi', 'Basic YTpi YTpi', 'Basic Y*pi']) {
      expect(readBasic(wrong)).toBeUndefined();
    }
  });

  test('users are taken over when their file changes', async () => {
    const path = await file('users', `alice:${await hashPassword('a')}\n`);
    const config = await loadHttpConfig({ forward: true, users: path });
    const site = await makeSite(config);
    const before = site.forward?.users;
    let heard: () => void = () => undefined;
    const read = new Promise<void>((resolve) => (heard = resolve));
    const destination = { write: () => heard() };
    const watch = watchUsers(
      config,
      site,
      createLogger({ level: 'info', format: 'json', terminal: false, destination }),
    );
    // In one step, so that no look sees half of it.
    await rename(await file('new', `bob:${await hashPassword('b')}\n# now\n`), path);
    await read;
    watch?.stop();
    await new Promise((resolve) => setImmediate(resolve));
    expect(site.forward?.users).not.toBe(before);
    expect(site.forward?.users?.has('bob')).toBe(true);
    expect(
      watchUsers(
        { ...config, users: undefined },
        site,
        createLogger({ level: 'silent', format: 'json', terminal: false }),
      ),
    ).toBeUndefined();
  });
});
