import { resolve } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ConfigError } from '../../../src/errors.js';
import { keyOf } from '../../../src/server/config-table.js';
import { parseSettingsFile } from '../../../src/server/config-yaml.js';
import {
  HTTP,
  httpChangesThatNeedRestart,
  httpExposureMistake,
  loadHttpConfig,
} from '../../../src/server/http-config.js';
import type { HttpFlags } from '../../../src/server/http-config.js';
import { defaultCacheDirectory } from '../../../src/server/http-cache-directory.js';
import { HTTP_GROUPS, HTTP_SETTINGS } from '../../../src/server/http-settings.js';
import { HTTP_SETTING_NAMES } from '../../support/settings.js';

const FILE = '/etc/symsplice/splice-http.yaml';
const ORIGIN = { origin: 'http://127.0.0.1:3000' };
const MACHINE_DEPENDENT = ['control', 'cacheDir'];

function loadText(text: string, flags: HttpFlags = {}) {
  return loadHttpConfig({ config: FILE, ...flags }, () => Promise.resolve(text));
}

async function mistakeOf(promise: Promise<unknown>): Promise<ConfigError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof ConfigError)) throw new Error(`expected a ConfigError, got ${String(error)}`);
  return error;
}

describe('defaults', () => {
  test('with an origin, and nothing else', async () => {
    expect(await loadHttpConfig(ORIGIN)).toMatchObject({
      listen: [{ host: '127.0.0.1', port: 8080 }],
      tlsListen: [],
      origin: { scheme: 'http', host: '127.0.0.1', port: 3000 },
      sites: [],
      forward: false,
      connectPorts: [443],
      noCache: false,
      cacheSize: 2 ** 30,
      cacheMemory: 2 ** 27,
      cacheMaxObject: 'auto',
      cacheInline: 65_536,
      heuristicLimit: 86_400_000,
      staleIfError: 0,
      tagFields: ['surrogate-key', 'cache-tag'],
      maxHead: 32_768,
      workers: 1,
      backend: 'auto',
      noAccessLog: false,
      via: 'splice-http',
    });
  });

  test.each(HTTP_SETTING_NAMES.filter((name) => HTTP_SETTINGS[name].initialText !== undefined))(
    '%s: the default shown in the help text is the default',
    (name) => {
      if (MACHINE_DEPENDENT.includes(name)) return;
      expect(HTTP_SETTINGS[name].schema.parse(HTTP_SETTINGS[name].initialText)).toEqual(HTTP_SETTINGS[name].initial);
    },
  );

  test('every setting is below a heading of the help text, and has a name of its own', () => {
    const keys = HTTP_SETTING_NAMES.map(keyOf);
    expect(new Set(keys).size).toBe(keys.length);
    for (const name of HTTP_SETTING_NAMES) expect(HTTP_GROUPS).toContain(HTTP_SETTINGS[name].group);
  });

  test('where only TLS is listened for, nothing listens without it', async () => {
    const tls = { ...ORIGIN, tlsListen: ['8443'], tlsCert: ['c.pem'] };
    expect(await loadHttpConfig(tls)).toMatchObject({ listen: [], tlsListen: [{ host: '127.0.0.1', port: 8443 }] });
    expect((await loadHttpConfig({ ...tls, listen: ['8080'] })).listen).toEqual([{ host: '127.0.0.1', port: 8080 }]);
  });

  test('the cache directory: of systemd, of root, of the user', () => {
    expect(defaultCacheDirectory({ CACHE_DIRECTORY: '/var/cache/a:/b' }, 0, '/root')).toBe('/var/cache/a');
    expect(defaultCacheDirectory({}, 0, '/root')).toBe('/var/cache/splice-http');
    expect(defaultCacheDirectory({}, 7, '/home/u')).toBe('/home/u/.cache/splice-http');
    expect(defaultCacheDirectory({ XDG_CACHE_HOME: '/c' }, 7, '/home/u')).toBe('/c/splice-http');
    // The specification has relative ones ignored.
    expect(defaultCacheDirectory({ XDG_CACHE_HOME: 'c' }, 7, '/home/u')).toBe('/home/u/.cache/splice-http');
  });

  test('it is plain data, so that worker threads get it', async () => {
    const config = await loadText('sites: [{host: a.example, origin: "http://b", cache: {negative: {404: 10s}}}]');
    expect(structuredClone(config)).toEqual(config);
  });
});

describe('values', () => {
  test.each<[flag: keyof HttpFlags, text: string, value: unknown]>([
    ['cacheSize', '10g', 10 * 2 ** 30],
    ['cacheSize', '512M', 2 ** 29],
    ['cacheMaxObject', '1.5m', 1.5 * 2 ** 20],
    ['maxRequestBody', '0', 0],
    ['connectPorts', '443,8443', [443, 8443]],
    ['connectPorts', 'any', 'any'],
    ['heuristicFraction', '20%', 0.2],
    [
      'negative',
      '404=10s,410=1h',
      [
        [404, 10_000],
        [410, 3_600_000],
      ],
    ],
    ['staleIfError', '30d', 30 * 86_400_000],
    ['ignoreParameters', 'utm_*,fbclid', ['utm_*', 'fbclid']],
    ['ignoreParameters', 'all', 'all'],
    ['varyEncodings', 'br,gzip', ['br', 'gzip']],
    ['tagFields', 'none', []],
    ['tagFields', 'X-Tags', ['x-tags']],
    ['bypassPaths', '/cart*', ['/cart*']],
    ['bypassCookies', 'session,role=admin*', ['session', 'role=admin*']],
    ['cacheDir', 'none', ''],
    ['cacheDir', '/c', '/c'],
    ['trust', '10.0.0.0/8,fd00::/8', ['10.0.0.0/8', 'fd00::/8']],
    ['via', 'none', ''],
    ['originProxyProtocol', '2', 2],
    ['origin', 'https://App.Internal/', { scheme: 'https', host: 'app.internal', port: 443 }],
    ['origin', 'http://[FD00::1]:3000', { scheme: 'http', host: 'fd00::1', port: 3000 }],
  ])('--%s %s', async (flag, text, value) => {
    expect((await loadHttpConfig({ ...ORIGIN, [flag]: text }))[flag]).toEqual(value);
  });

  test.each<[flag: keyof HttpFlags, text: string, message: RegExp]>([
    ['cacheSize', '10 gigs', /is not a size; write 64k/],
    ['cacheSize', '1m', /too little; at least 4m/],
    ['cacheInline', '2m', /too much; at most 1m/],
    ['origin', '10.0.0.5:3000', /is not a URL; write http:\/\//],
    ['origin', 'http://u:p@host', /has no host/],
    ['origin', 'http://host/app', /has a path; .* write only http:\/\/host/],
    ['heuristicFraction', '1.5', /is not a part/],
    ['negative', '404', /write 404=10s/],
    ['negative', '200=10s', /says yes/],
    ['connectPorts', '70000', /is not a port/],
    ['bypassMethods', 'get', /in capitals/],
    ['bypassPaths', 'cart', /is not a pattern of paths/],
    ['trust', '10.0.0.1/8', /bits set after the prefix/],
    ['keyFields', 'x y', /is not the name of a header field/],
    ['staleIfError', '9999d', /at most 3650d/],
    ['setCookie', 'drop', /is not one of store, explicit, strip, refuse/],
    ['originProxyProtocol', '3', /is not a version of the PROXY protocol/],
    ['via', 'a b', /is not a name for Via/],
  ])('--%s %s is a mistake', async (flag, text, message) => {
    const { message: said } = await mistakeOf(loadHttpConfig({ ...ORIGIN, [flag]: text }));
    expect(said).toMatch(message);
    expect(said.startsWith(`--${keyOf(flag)}: `)).toBe(true);
  });
});

describe('settings that belong together', () => {
  test.each<[name: string, flags: HttpFlags, message: RegExp]>([
    ['nobody to ask', {}, /nobody to ask: give --origin URL, or sites .* or --forward/],
    ['TLS without a certificate', { ...ORIGIN, tlsListen: ['1'] }, /tls-listen: there is no certificate/],
    ['a certificate without TLS', { ...ORIGIN, tlsCert: ['c'] }, /nothing listens for TLS/],
    [
      'two certificates, one key',
      { ...ORIGIN, tlsListen: ['1'], tlsCert: ['a', 'b'], tlsKey: ['c'] },
      /2 certif.*1 key/,
    ],
    ['PROXY headers from nobody', { ...ORIGIN, proxyProtocol: true }, /nobody is trusted to send it/],
    ['an object bigger than the cache', { ...ORIGIN, cacheSize: '8m', cacheMaxObject: '9m' }, /does not fit .* 8m/],
    [
      'one bigger than the share',
      { ...ORIGIN, cacheSize: '8m', cacheMaxObject: '5m', workers: '2' },
      /5m .* share of one worker: cache-size 8m is for 2/,
    ],
    ['too many workers for the cache', { ...ORIGIN, cacheSize: '8m', workers: '4' }, /8m is too little for 4 workers/],
    ['users without a forward proxy', { ...ORIGIN, users: 'u' }, /users: it is about the forward proxy/],
    [
      'the same address twice',
      { ...ORIGIN, listen: ['1'], tlsListen: ['1'], tlsCert: ['c'] },
      /tls-listen: .*named twice/,
    ],
    ['admin there as well', { ...ORIGIN, admin: '127.0.0.1:8080' }, /admin: .* already used by listen/],
    ['an open proxy', { forward: true, listen: [':3128'] }, /^listen: \[::\]:3128 can be reached.*--open/],
    ['one with TLS', { forward: true, tlsListen: [':1'], tlsCert: ['c'] }, /^tls-listen: .*--users FILE/],
  ])('%s', async (_name, flags, message) => {
    expect((await mistakeOf(loadHttpConfig(flags))).message).toMatch(message);
  });

  test('a front that everybody reaches needs no permission, a forward proxy does', async () => {
    await expect(loadHttpConfig({ ...ORIGIN, listen: [':80'] })).resolves.toBeDefined();
    await expect(loadHttpConfig({ forward: true, listen: [':80'], rules: 'r' })).resolves.toBeDefined();
    const everywhere = [{ host: '::', port: 80 }];
    const nobody = { users: undefined, rules: undefined, open: false };
    expect(httpExposureMistake(everywhere, { ...nobody, forward: false })).toBeUndefined();
    expect(httpExposureMistake(everywhere, { ...nobody, forward: true })).toMatch(/can be reached/);
    expect(httpExposureMistake(everywhere, { ...nobody, forward: true, open: true })).toBeUndefined();
  });
});

describe('sites', () => {
  const text = `
origin: http://127.0.0.1:3000
stale-if-error: 1h
sites:
  - host: [www.Example.com, "*.example.org"]
    origin: https://10.0.0.5:3443
    origin-ca: ca.pem
    response-timeout: 5s
    cache: { stale-if-error: 2h, ignore-parameters: [utm_*] }
  - host: www.example.com
    path: /api/
    name: api
    cache: off
  - path: /status
    cache: on
`;

  test('what differs is kept beside what is outside', async () => {
    const config = await loadText(text);
    expect(config.staleIfError).toBe(3_600_000);
    expect(config.sites).toEqual([
      {
        name: 'www.example.com',
        hosts: ['www.example.com', '*.example.org'],
        path: '/',
        origin: {
          origin: { scheme: 'https', host: '10.0.0.5', port: 3443 },
          originCa: '/etc/symsplice/ca.pem',
          responseTimeout: 5000,
        },
        cache: { staleIfError: 7_200_000, ignoreParameters: ['utm_*'] },
      },
      { name: 'api', hosts: ['www.example.com'], path: '/api/', origin: {}, cache: 'off' },
      { name: '*/status', hosts: [], path: '/status', origin: {}, cache: {} },
    ]);
  });

  test.each<[name: string, text: string, line: number, message: RegExp]>([
    ['no list', 'sites: {host: a}', 1, /sites: .* is not a list of sites/],
    ['no map', 'sites:\n  - host: a\n    origin: http://b\n  - nonsense', 4, /sites\[1\]: "nonsense" is not a site/],
    ['a wrong URL', 'sites:\n  - host: a\n    origin: b', 3, /sites\[0\]\.origin: "b" is not a URL/],
    ['a wrong host', 'sites:\n  - host:\n      - a\n      - a:80\n', 4, /sites\[0\]\.host: "a:80" has a port/],
    ['no host', 'sites:\n  - host: []\n', 2, /sites\[0\]\.host: name at least one host/],
    ['a wrong path', 'sites:\n  - path: api', 2, /sites\[0\]\.path: "api" is not the beginning of a path/],
    [
      'a key misspelt',
      'sites:\n  - host: a\n    orgin: x',
      3,
      /sites\[0\]\.orgin: unknown key; did you mean "origin"\?/,
    ],
    ['a key like nothing', 'sites:\n  - zzzzzzzzzzzz: x', 2, /unknown key; there are name, host, path, origin/],
    ['a setting that is for all', 'sites:\n  - listen: 80', 2, /sites\[0\]\.listen: unknown key/],
    ['a cache rule outside of cache', 'sites:\n  - stale-if-error: 1s', 2, /sites\[0\]\.stale-if-error: unknown key/],
    [
      'a wrong cache rule',
      'sites:\n  - host: a\n    cache:\n      negative: 4',
      4,
      /sites\[0\]\.cache\.negative: 4: write/,
    ],
    [
      'a cache rule misspelt',
      'sites:\n  - cache:\n      negativ: x',
      3,
      /cache\.negativ: unknown key; did you mean "negative"/,
    ],
    ['a wrong word for cache', 'sites:\n  - cache: never', 2, /sites\[0\]\.cache: "never" is not off, on, or a map/],
    ['no origin anywhere', 'open: true\nforward: true\nsites:\n  - host: a', 3, /sites\[0\]\.origin: there is none/],
    [
      'a place for two',
      'origin: http://a\nsites:\n  - host: b\n  - host: [c, B]',
      2,
      /sites\[1\]: an earlier site is for b\//,
    ],
  ])('%s', async (_name, wrong, line, message) => {
    const error = await mistakeOf(loadText(wrong));
    expect(error.message).toMatch(message);
    expect(error).toMatchObject({ file: FILE, line });
  });

  test('all mistakes of a file, in its order', async () => {
    const error = await mistakeOf(
      loadText('cach-size: 1g\nsites:\n  - origin: x\n    pth: /\n  - cache: {negative: x}\n'),
    );
    expect(error.message.split('\n').map((line) => line.split(': ')[0])).toEqual(
      [1, 3, 4, 5].map((line) => `${FILE}:${line}`),
    );
  });

  test('sites are no flag', () => {
    expect(HTTP_SETTINGS.sites.fileOnly).toBe(true);
  });

  test('no text of any kind makes the reader throw', () => {
    const word = fc.constantFrom(
      'sites',
      ':',
      ' ',
      '\n',
      '- ',
      '  ',
      'host',
      'path',
      '/',
      'cache',
      'off',
      '{',
      '}',
      '[',
      '404',
      '*a',
    );
    fc.assert(
      fc.property(
        fc.array(word).map((words) => `sites:\n${words.join('')}`),
        (wild) => {
          const result = parseSettingsFile(HTTP, wild, FILE);
          expect(result.mistakes.length > 0 || typeof result.values === 'object').toBe(true);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('files and reload', () => {
  test('relative paths: in lists, in the file, in flags', async () => {
    const config = await loadText('tls-listen: 443\ntls-cert: [a.pem, /b.pem]\ncache-dir: c', {
      ...ORIGIN,
      originCa: 'ca',
    });
    expect(config).toMatchObject({
      tlsCert: ['/etc/symsplice/a.pem', '/b.pem'],
      cacheDir: '/etc/symsplice/c',
      originCa: resolve('ca'),
    });
  });

  test('says which changes have to wait for a restart', async () => {
    const before = await loadHttpConfig(ORIGIN);
    const after = await loadHttpConfig({
      origin: 'http://b',
      listen: ['1'],
      cacheSize: '2g',
      negative: '404=1s',
      noCache: true,
    });
    expect(httpChangesThatNeedRestart(before, after)).toEqual(['listen', 'no-cache', 'cache-size']);
    expect(httpChangesThatNeedRestart(before, before)).toEqual([]);
  });
});
