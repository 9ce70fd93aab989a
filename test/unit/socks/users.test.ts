import { scryptSync } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { ConfigError, SpliceArgumentError } from '../../../src/errors.js';
import { Gate } from '../../../src/socks/gate.js';
import { type Derive, deriveScrypt, parseHash } from '../../../src/socks/password.js';
import { Users, hashPassword, wrongName } from '../../../src/socks/users.js';

/** The cheapest cost that is accepted, so that the tests do not wait. */
const CHEAP = { ln: 10, r: 8, p: 1 };
let alice = '';
let bob = '';

beforeAll(async () => {
  alice = await hashPassword('secret', CHEAP);
  bob = await hashPassword('pässword', CHEAP);
});

/** Counts what scrypt is asked to do. */
function counting(): { derive: Derive; costs: string[] } {
  const costs: string[] = [];
  return {
    costs,
    derive: (password, salt, length, cost) => {
      costs.push(`${cost.ln},${cost.r},${cost.p}`);
      return deriveScrypt(password, salt, length, cost);
    },
  };
}

describe('hashPassword', () => {
  test('writes a PHC string with the default cost, different each time', async () => {
    const [a, b] = await Promise.all([hashPassword('x'), hashPassword('x')]);
    expect(a).toMatch(/^\$scrypt\$ln=15,r=8,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
    expect(a).not.toBe(b);
  });

  test('is plain scrypt', () => {
    const parsed = parseHash(alice);
    if (typeof parsed === 'string') throw new Error(parsed);
    expect(Buffer.from(parsed.hash)).toEqual(scryptSync('secret', parsed.salt, 32, { N: 1024, r: 8, p: 1 }));
  });

  test.each([
    ['empty', ''],
    ['too long in UTF-8', 'é'.repeat(128)],
  ])('%s is refused', async (_what, password) => {
    await expect(hashPassword(password)).rejects.toBeInstanceOf(SpliceArgumentError);
  });
});

describe('verify', () => {
  test('known and unknown, right and wrong', async () => {
    const users = Users.parse(`alice:${alice}\nbob:${bob}\n`, 'users');
    expect(await users.verify('alice', 'secret')).toBe(true);
    expect(await users.verify('alice', 'Secret')).toBe(false);
    expect(await users.verify('alice', '')).toBe(false);
    expect(await users.verify('bob', 'secret')).toBe(false);
    expect(await users.verify('eve', 'secret')).toBe(false);
    expect(await users.verify('', '')).toBe(false);
    expect(users.has('alice')).toBe(true);
    expect(users.has('eve')).toBe(false);
    expect(users.size).toBe(2);
  });

  test('both Unicode spellings of a password', async () => {
    const users = Users.parse(`bob:${bob}`, 'users');
    expect(await users.verify('bob', 'pa\u0308ssword')).toBe(true);
  });

  test('an unknown user costs one scrypt of a cost that the file has', async () => {
    const { derive, costs } = counting();
    const users = Users.parse(`alice:${await hashPassword('x', { ln: 11, r: 4, p: 2 })}`, 'users', { derive });
    expect(await users.verify('eve', 'x')).toBe(false);
    expect(costs).toEqual(['11,4,2']);
  });

  test('a right pair is remembered, a wrong one is not', async () => {
    const { derive, costs } = counting();
    const users = Users.parse(`alice:${alice}`, 'users', { derive });
    for (let i = 0; i < 5; i++) expect(await users.verify('alice', 'secret')).toBe(true);
    expect(costs).toHaveLength(1);
    for (let i = 0; i < 3; i++) expect(await users.verify('alice', 'wrong')).toBe(false);
    expect(costs).toHaveLength(4);
  });

  test('what is remembered cannot be met by moving characters between name and password', async () => {
    const users = Users.parse(`a:${await hashPassword('\0b', CHEAP)}`, 'users');
    expect(await users.verify('a', '\0b')).toBe(true);
    expect(await users.verify('a\0', 'b')).toBe(false);
    expect(await users.verify('a\0b', '')).toBe(false);
  });

  test('a new object knows nothing of what the old one verified', async () => {
    await Users.parse(`alice:${alice}`, 'users').verify('alice', 'secret');
    expect(await Users.parse(`alice:${bob}`, 'users').verify('alice', 'secret')).toBe(false);
  });

  test('the memory is bounded, and drops what was not used for longest', async () => {
    let runs = 0;
    const parsed = parseHash(alice);
    if (typeof parsed === 'string') throw new Error(parsed);
    const names = Array.from({ length: 1025 }, (_, i) => `user${i}`);
    const users = Users.parse(names.map((name) => `${name}:${alice}`).join('\n'), 'users', {
      derive: () => {
        runs++;
        return Promise.resolve(parsed.hash);
      },
    });
    for (const name of names.slice(0, 1024)) await users.verify(name, 'secret');
    await users.verify('user0', 'secret'); // used again, so user1 is the oldest now
    await users.verify('user1024', 'secret');
    expect(runs).toBe(1025);
    await users.verify('user0', 'secret');
    expect(runs).toBe(1025);
    await users.verify('user1', 'secret');
    expect(runs).toBe(1026);
  });

  test('the same pair at the same time is checked once', async () => {
    const { derive, costs } = counting();
    const users = Users.parse(`alice:${alice}`, 'users', { derive });
    const right = Array.from({ length: 20 }, () => users.verify('alice', 'secret'));
    const wrong = Array.from({ length: 20 }, () => users.verify('alice', 'wrong'));
    expect(new Set(await Promise.all(right))).toEqual(new Set([true]));
    expect(new Set(await Promise.all(wrong))).toEqual(new Set([false]));
    expect(costs).toHaveLength(2);
  });

  test('no more run at a time than the gate lets, and too many are turned away', async () => {
    let running = 0;
    let most = 0;
    const derive: Derive = async (password, salt, length, cost) => {
      most = Math.max(most, ++running);
      const derived = await deriveScrypt(password, salt, length, cost);
      running--;
      return derived;
    };
    const users = Users.parse(`alice:${alice}`, 'users', { derive, gate: new Gate(2, 3) });
    const passwords = ['1', '2', '3', '4', 'secret', 'late'];
    const results = await Promise.all(passwords.map((password) => users.verify('alice', password)));
    expect(results).toEqual([false, false, false, false, true, false]);
    expect(most).toBe(2);
    expect(users.turnedAway).toBe(1);
  });

  test('a failure of scrypt is an error for all who wait for it, and is forgotten', async () => {
    let broken = true;
    const users = Users.parse(`alice:${alice}`, 'users', {
      derive: (...call) => (broken ? Promise.reject(new Error('no memory')) : deriveScrypt(...call)),
    });
    const both = [users.verify('alice', 'secret'), users.verify('alice', 'secret')];
    for (const each of both) await expect(each).rejects.toThrow('no memory');
    broken = false;
    expect(await users.verify('alice', 'secret')).toBe(true);
  });
});

describe('the users file', () => {
  test('comments, empty lines, line ends of other systems', async () => {
    const users = Users.parse(`\ufeff# users\r\n\r\n  alice:${alice}  \r\n#bob:x\r\n`, 'users');
    expect(users.size).toBe(1);
    expect(await users.verify('alice', 'secret')).toBe(true);
  });

  test.each<[string, (hash: string) => string, number | undefined, RegExp]>([
    ['nobody', () => '# nobody\n', undefined, /no user/],
    ['no colon', (hash) => `a:${hash}\nalice\n`, 2, /no colon/],
    ['empty name', (hash) => `:${hash}`, 1, /name is empty/],
    ['space', (hash) => `\nalice :${hash}`, 2, /space/],
    ['control character', (hash) => `al\u0007ice:${hash}`, 1, /control/],
    ['long name', (hash) => `${'é'.repeat(128)}:${hash}`, 1, /longer than 255/],
    ['twice', (hash) => `alice:${hash}\n#\nalice:${hash}`, 3, /"alice" is already on line 1/],
    ['plain password', () => 'alice:hunter2', 1, /"alice": .*splice-ctl passwd/],
    ['another scheme', () => 'alice:$2b$10$abcdefghijklmnopqrstuv', 1, /splice-ctl passwd/],
    ['padding', (hash) => `alice:${hash}=`, 1, /splice-ctl passwd/],
    ['cost too high', (hash) => `alice:${hash.replace('ln=10', 'ln=25')}`, 1, /out of bounds/],
    ['cost too low', (hash) => `alice:${hash.replace('ln=10', 'ln=9')}`, 1, /out of bounds/],
    ['too much memory', (hash) => `alice:${hash.replace('ln=10', 'ln=20')}`, 1, /256 MiB/],
    ['not allowed by scrypt', (hash) => `alice:${hash.replace('ln=10,r=8', 'ln=16,r=1')}`, 1, /RFC 7914/],
    ['short salt', () => `alice:$scrypt$ln=10,r=8,p=1$AAAA$${'A'.repeat(43)}`, 1, /salt has 3 bytes/],
    ['short hash', () => `alice:$scrypt$ln=10,r=8,p=1$${'A'.repeat(22)}$AAAA`, 1, /hash has 3 bytes/],
  ])('%s', (_what, write, line, message) => {
    const source = write(alice);
    const problem = (() => {
      try {
        Users.parse(source, 'users');
      } catch (error) {
        return error;
      }
      return undefined;
    })();
    expect(problem).toBeInstanceOf(ConfigError);
    if (!(problem instanceof ConfigError)) return;
    expect(problem.message).toMatch(message);
    expect(problem.file).toBe('users');
    expect(problem.line).toBe(line);
    expect(problem.message).not.toContain('hunter2');
    expect(problem.message).not.toContain(alice.slice(-20));
  });

  test('a name that cannot be written is told before it is', () => {
    expect(wrongName('alice')).toBeUndefined();
    expect(wrongName('#alice')).toContain('#');
    expect(wrongName('a:b')).toContain('colon');
  });
});
