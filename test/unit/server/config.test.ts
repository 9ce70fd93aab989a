import { resolve } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ConfigError } from '../../../src/errors.js';
import { keyOf, SETTINGS } from '../../../src/server/config-settings.js';
import { parseSettingsFile } from '../../../src/server/config-yaml.js';
import { suggest } from '../../../src/server/config-suggest.js';
import { changesThatNeedRestart, exposureMistake, loadConfig, SOCKS } from '../../../src/server/config.js';
import type { FlagValues } from '../../../src/server/config.js';
import { SETTING_NAMES } from '../../support/settings.js';

const FILE = '/etc/symsplice/splice-socks.yaml';

/** Loads with a file of this text. */
function loadText(text: string, flags: FlagValues = {}) {
  return loadConfig({ config: FILE, ...flags }, () => Promise.resolve(text));
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
  test('nothing given', async () => {
    expect(await loadConfig({})).toEqual({
      listen: [{ host: '127.0.0.1', port: 1080 }],
      backend: 'auto',
      prefer: 'auto',
      users: undefined,
      rules: undefined,
      open: false,
      packetAfterBytes: 65_536,
      packetAfterTime: 100,
      sourcePorts: 'auto',
      maxFlows: 65_536,
      interfaces: 'auto',
      pinDirectory: '/sys/fs/bpf/symsplice',
      handshakeTimeout: 10_000,
      connectTimeout: 15_000,
      idleTimeout: 3_600_000,
      drainTimeout: 30_000,
      maxConnections: 'auto',
      maxPerClient: 0,
      maxPerUser: 0,
      workers: 1,
      relayThreads: 'auto',
      admin: undefined,
      control: undefined,
      noControl: false,
      logLevel: 'info',
      logFormat: 'auto',
      config: undefined,
      check: false,
    });
  });

  test.each(SETTING_NAMES.filter((name) => SETTINGS[name].initialText !== undefined && name !== 'control'))(
    '%s: the default shown in the help text is the default',
    (name) => {
      expect(SETTINGS[name].schema.parse(SETTINGS[name].initialText)).toEqual(SETTINGS[name].initial);
    },
  );

  test.each(['', '# only a comment\n', '---\n', '{}'])('an empty file %j changes nothing', async (text) => {
    expect(await loadText(text)).toEqual({ ...(await loadConfig({})), config: FILE });
  });
});

describe('precedence: flag over file over default', () => {
  const text = 'idle-timeout: 5m\nmax-per-client: 7\nlisten: [2080, "[::1]:2080"]\n';

  test('file over default', async () => {
    const config = await loadText(text);
    expect(config).toMatchObject({ idleTimeout: 300_000, maxPerClient: 7, handshakeTimeout: 10_000 });
    expect(config.listen).toEqual([
      { host: '127.0.0.1', port: 2080 },
      { host: '::1', port: 2080 },
    ]);
  });

  test('flag over file; a list replaces the list', async () => {
    const config = await loadText(text, { idleTimeout: '0', listen: ['3080'] });
    expect(config).toMatchObject({ idleTimeout: 0, maxPerClient: 7, listen: [{ host: '127.0.0.1', port: 3080 }] });
  });

  test('control and no-control: the flag wins, whichever of the two it is', async () => {
    expect(await loadText('no-control: true', { control: '/run/x' })).toMatchObject({
      control: '/run/x',
      noControl: false,
    });
    expect(await loadText('control: /run/x', { noControl: true })).toMatchObject({
      control: undefined,
      noControl: true,
    });
  });
});

describe('relative paths', () => {
  test('in a file they start at the file, in flags at the working directory', async () => {
    const config = await loadText('users: users\nrules: ../rules.yaml\ncontrol: /run/c', { rules: 'r.yaml' });
    expect(config).toMatchObject({
      users: '/etc/symsplice/users',
      rules: resolve('r.yaml'),
      control: '/run/c',
    });
    expect((await loadText('rules: ../rules.yaml')).rules).toBe('/etc/rules.yaml');
  });
});

describe('mistakes in the file, with their line', () => {
  test.each<[name: string, text: string, line: number, message: RegExp]>([
    ['a wrong value', 'backend: splice\nidle-timeout: soon\n', 2, /idle-timeout: "soon" is not a duration/],
    ['a wrong word', '\n\nbackend: fast\n', 3, /backend: "fast" is not one of auto, packet/],
    ['a wrong number', 'max-per-user: -1', 1, /max-per-user: -1 is not a whole number from 0/],
    ['zero where it cannot be', 'listen: 1\nhandshake-timeout: 0\n', 2, /handshake-timeout: 0 would let/],
    ['a wrong address in a list', 'listen:\n  - 1080\n  - 99999\n', 3, /listen: "99999" has no port/],
    ['an IPv6 address without quotes', 'listen:\n  - 1080\n  - [::1]:1080\n', 3, /put quotes around an address/],
    ['a star without quotes', 'open: true\nlisten: *:1080\n', 2, /put quotes around a value that starts with \*/],
    ['an empty list', 'open: true\nlisten: []\n', 2, /name at least one address/],
    ['a value left out', 'backend: auto\nusers:\n', 2, /users: null is not a path/],
    ['a map for a value', 'users:\n  file: x\n', 1, /users: .* is not a path/],
    ['text for a switch', 'open: "true"\n', 1, /open: "true" is not a switch/],
    ['a key misspelt', '# c\nidle-timout: 5\n', 2, /unknown setting "idle-timout"; did you mean "idle-timeout"\?/],
    ['a key in another style', 'max_per_client: 5\n', 1, /did you mean "max-per-client"\?/],
    ['a key in a third style', 'drainTimeout: 5\n', 1, /did you mean "drain-timeout"\?/],
    ['a key like nothing', 'x: 1\nzzzzzzzzzz: 5\n', 1, /unknown setting/],
    ['a key twice', 'open: true\nopen: false\n', 2, /unique/],
    ['a key of the language', '"__proto__": {a: 1}\n', 1, /__proto__/],
    ['a flag that is no setting', 'backend: auto\nconfig: x\n', 2, /"config" can only be a flag \(--config\)/],
    ['broken YAML', 'backend: auto\nusers: "abc\n', 3, /quote/i],
    ['a tab', 'listen:\n\t- 1\n', 2, /tab/i],
    ['no map', '- listen\n', 1, /must hold "setting: value"/],
    ['an alias to nothing', 'backend: auto\nusers: *nobody\n', 2, /no anchor for \*nobody/],
    ['a public address', 'backend: auto\nlisten: 0.0.0.0:1080\n', 2, /--users FILE .* --rules FILE .* --open/],
    ['an address twice', 'listen: [1080, "127.0.0.1:1080"]\n', 1, /127.0.0.1:1080 is named twice/],
    ['admin on the same address', 'listen: 1080\nadmin: 127.0.0.1:1080\n', 2, /already used by listen/],
    ['control and no-control', 'control: c\nno-control: true\n', 2, /contradicts/],
  ])('%s', async (_name, text, line, message) => {
    const error = await mistakeOf(loadText(text));
    expect(error.message).toMatch(message);
    expect(error).toMatchObject({ code: 'ERR_SPLICE_CONFIG', file: FILE, line });
    expect(error.message.startsWith(`${FILE}:${line}: `)).toBe(true);
  });

  test('several at once, in the order of the file', async () => {
    const error = await mistakeOf(loadText('opne: true\nbackend: x\nlisten:\n  - nowhere\n  - 1080\n  - 70000\n'));
    const places = error.message.split('\n').map((line) => line.split(': ')[0]);
    expect(places).toEqual([1, 2, 4, 6].map((line) => `${FILE}:${line}`));
  });

  test('flags and file at once', async () => {
    const error = await mistakeOf(loadText('backend: x\n', { idleTimeout: 'y', workers: '0' }));
    expect(error.message.split('\n').map((line) => line.split(': ').slice(0, 2).join(': '))).toEqual([
      '--workers: "0" is not a whole number from 1 to 256',
      '--idle-timeout: "y" is not a duration; write 500ms, 10s, 5m, 1h or seconds',
      `${FILE}:1: backend`,
    ]);
  });

  test('a mistake made by a flag has no line', async () => {
    const error = await mistakeOf(loadText('listen: 1080\n', { listen: [':1080'] }));
    expect(error.message).toMatch(/^listen: \[::\]:1080 can be reached/);
    expect(error.line).toBeUndefined();
  });

  test('a file that cannot be read', async () => {
    const error = await mistakeOf(loadConfig({ config: '/nonexistent/c.yaml' }));
    expect(error.message).toMatch(/^\/nonexistent\/c.yaml: cannot be read: ENOENT.*check the path after --config/);
    expect(error.cause).toBeInstanceOf(Error);
  });

  test('no text of any kind makes the reader throw', () => {
    const word = fc.constantFrom(
      'listen',
      ':',
      ' ',
      '\n',
      '- ',
      '[',
      ']',
      '&a',
      '*a',
      '!!js',
      '"',
      '|',
      '{',
      '1080',
      '<<',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(word).map((words) => words.join('')),
        ),
        (text) => {
          const result = parseSettingsFile(SOCKS, text, FILE);
          expect(result.mistakes.length > 0 || typeof result.values === 'object').toBe(true);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('who can reach the proxy', () => {
  const nobody = { users: undefined, rules: undefined, open: false };
  const wide = [
    { host: '127.0.0.1', port: 1 },
    { host: '::', port: 1080 },
  ];

  test('loopback needs nothing', () => {
    expect(
      exposureMistake(
        [
          { host: '127.0.0.1', port: 1 },
          { host: '::1', port: 1 },
        ],
        nobody,
      ),
    ).toBeUndefined();
  });
  test('a wider address names itself and the three ways out', () => {
    expect(exposureMistake(wide, nobody)).toMatch(/^\[::\]:1080 can be reached.*--users FILE.*--rules FILE.*--open/);
  });
  test.each([{ users: '/u' }, { rules: '/r' }, { open: true }])('%o is enough', (way) => {
    expect(exposureMistake(wide, { ...nobody, ...way })).toBeUndefined();
  });
});

describe('reload', () => {
  test('says which changes have to wait for a restart', async () => {
    const before = await loadConfig({});
    const after = await loadConfig({ listen: ['1081'], idleTimeout: '1s', workers: '2', logLevel: 'debug' });
    expect(changesThatNeedRestart(before, after)).toEqual(['listen', 'workers']);
    expect(changesThatNeedRestart(before, await loadConfig({}))).toEqual([]);
  });
});

describe('names', () => {
  test('flags are kebab-case and distinct', () => {
    const keys = SETTING_NAMES.map(keyOf);
    expect(new Set(keys).size).toBe(keys.length);
    for (const key of keys) expect(key).toMatch(/^[a-z]+(-[a-z]+)*$/);
  });
  test('suggestions', () => {
    expect(suggest('lisen', ['listen', 'open'])).toBe('listen');
    expect(suggest('--logLevel', ['log-level', 'log-format'])).toBe('log-level');
    expect(suggest('completely-else', ['listen', 'open'])).toBeUndefined();
  });
});
