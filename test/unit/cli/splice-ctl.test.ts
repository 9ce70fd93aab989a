/** splice-ctl as a function, against control servers on real sockets. */
import { chmod, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import type { Environment } from '../../../src/cli/environment.js';
import { withUser } from '../../../src/cli/users-file-edit.js';
import type { ControlActions, StatsAnswer } from '../../../src/control/control-server.js';
import type { FlowInfo } from '../../../src/control/flow-info.js';
import { Metrics } from '../../../src/control/metrics.js';
import type { Capability } from '../../../src/engine/doctor.js';
import { ConfigError } from '../../../src/errors.js';
import { hashPassword, Users } from '../../../src/socks/users.js';
import { CtlBed, statsOf } from './ctl-bed.js';

const CAPABILITIES: Capability[] = [
  { group: 'privilege', name: 'CAP_BPF', status: 'missing', found: 'no', enables: 'packet', advice: 'run as root' },
  { group: 'limits', name: 'descriptors', status: 'ok', found: '1048576', enables: '500,000 flows', advice: '' },
];

const pinsAsked: string[] = [];

const bed = new CtlBed({
  resetModule: () => Promise.resolve(undefined),
  uninstallPacket: (pins) => (pinsAsked.push(pins), Promise.resolve({ filters: 1, flows: 2 })),
  hashPassword: (password) => hashPassword(password, { ln: 10, r: 8, p: 1 }),
});

const ctl = (argv: readonly string[], part: Partial<Environment> = {}, capabilities = CAPABILITIES) =>
  bed.run(argv, part, { probeMachine: () => Promise.resolve(capabilities) });

const FLOW: FlowInfo = {
  id: 'f1',
  client: '192.0.2.1:5000',
  server: '198.51.100.1:443',
  target: 'example.org:443',
  backend: 'splice',
  state: 'relay',
  bytesUp: 1536,
  bytesDown: 5_000_000,
  ageMs: 65_000,
  idleMs: 20,
  refusals: [{ backend: 'packet', reason: 'no CAP_BPF' }],
};

const STATS = async (pid: number): Promise<StatsAnswer> =>
  statsOf(pid, {
    flows: 1,
    handshakes: 2,
    totals: { ...(await new Metrics('1').totals()), accepted: 12, bytesDown: 2048 },
  });

async function serve(name: string, pid: number, part: Partial<ControlActions> = {}) {
  return bed.serve(name, pid, await STATS(pid), { flows: () => ({ pid, flows: [FLOW] }), ...part });
}

describe('usage', () => {
  test('--help teaches', async () => {
    const { code, out } = await ctl(['--help']);
    expect(code).toBe(0);
    for (const word of [
      'doctor',
      'flows',
      'stats',
      'drain',
      'reload',
      'passwd',
      'uninstall',
      'Examples:',
      'Exit codes',
    ]) {
      expect(out).toContain(word);
    }
  });
  test.each([[[]], [['flow']], [['passwd']], [['doctor', '--yaml']], [['flows', 'x']]])('%j is 2', async (argv) => {
    expect(await ctl(argv)).toMatchObject({ code: 2, out: '' });
  });
});

describe('doctor', () => {
  test('table and advice', async () => {
    const { code, out } = await ctl(['doctor']);
    expect(code).toBe(0);
    expect(out).toMatch(/^GROUP +STATUS +CAPABILITY +FOUND +ENABLES$/m);
    expect(out).toMatch(/^privilege +missing +CAP_BPF +no +packet$/m);
    expect(out).toMatch(/What to do:\n {2}CAP_BPF: run as root\n$/);
  });
  test('nothing missing', async () => {
    const { out } = await ctl(['doctor'], {}, CAPABILITIES.slice(1));
    expect(out).toMatch(/Nothing is missing/);
  });
  test('--json', async () => {
    expect(JSON.parse((await ctl(['doctor', '--json'])).out)).toEqual(CAPABILITIES);
  });
});

describe('flows and stats', () => {
  test('without a server: 1, and where it looked', async () => {
    const { code, err } = await ctl(['flows']);
    expect(code).toBe(1);
    expect(err).toContain(`no running splice-socks or splice-http found in ${bed.directory}`);
  });

  test('a table', async () => {
    await serve('socks-7.sock', 7);
    const { code, out } = await ctl(['flows']);
    expect(code).toBe(0);
    expect(out.split('\n')[0]).toMatch(/^ID +CLIENT +TARGET +SERVER +BACKEND +STATE +UP +DOWN +AGE +IDLE$/);
    expect(out.split('\n')[1]).toMatch(
      /^f1 +192.0.2.1:5000 +example.org:443 +198.51.100.1:443 +splice +relay +1.5 KiB +4.8 MiB +1m05s +20ms$/,
    );
  });

  test('several servers are merged, oldest first, with their pids', async () => {
    await serve('socks-7.sock', 7);
    await serve('socks-8.sock', 8, {
      flows: () => ({ pid: 8, flows: [{ ...FLOW, id: 'old', user: 'al', ageMs: 1e6 }] }),
    });
    const { out } = await ctl(['flows']);
    expect(out.split('\n')[0]).toMatch(/^PID +ID +CLIENT +USER/);
    expect(out.split('\n')[1]).toMatch(/^ *8 +old +192.0.2.1:5000 +al /);
    const rows = JSON.parse((await ctl(['flows', '--json'])).out) as unknown;
    expect(rows).toEqual([
      { pid: 8, ...FLOW, id: 'old', user: 'al', ageMs: 1e6 },
      { pid: 7, ...FLOW },
    ]);
  });

  test('what a client chose cannot steer the terminal', async () => {
    await serve('socks-7.sock', 7, { flows: () => ({ pid: 7, flows: [{ ...FLOW, target: 'a\u001b[2J\u009b\n:1' }] }) });
    const { out } = await ctl(['flows']);
    expect(out).toContain('a\\u{1b}[2J\\u{9b}\\u{a}:1');
  });

  test('the sides of what the packet backend carries, and nothing for the rest', async () => {
    const packet: FlowInfo = {
      ...FLOW,
      id: 'f2',
      backend: 'packet',
      sides: { client: 'FIN_RELAYED', server: 'SHUTDOWN' },
      packet: { phase: 'released', ways: { up: 'fast', down: 'fast' }, segments: { up: 3, down: 4 } },
      adopted: true,
    };
    await serve('socks-7.sock', 7, { flows: () => ({ pid: 7, flows: [packet, FLOW] }) });
    const { out } = await ctl(['flows']);
    const [head, first, second] = out.split('\n');
    expect(head).toMatch(/ STATE +SIDES +UP /);
    expect(first).toMatch(/ packet +relay +FIN_RELAYED\/SHUTDOWN +1.5 KiB /);
    expect(second).toMatch(/ splice +relay +- +1.5 KiB /);
    expect(JSON.parse((await ctl(['flows', '--json'])).out)).toEqual([
      { pid: 7, ...packet },
      { pid: 7, ...FLOW },
    ]);
  });

  test('none live', async () => {
    const path = await serve('x.sock', 7, { flows: () => ({ pid: 7, flows: [] }) });
    expect((await ctl(['flows', '--control', path])).out).toBe('no live flows\n');
    expect((await ctl(['flows', '--control', path, '--json'])).out).toBe('[]\n');
  });

  test('an answer of another shape is refused', async () => {
    const path = await serve('x.sock', 7, { flows: () => ({ pid: 7, flows: [{ ...FLOW, bytesUp: NaN }] }) });
    expect(await ctl(['flows', '--control', path])).toMatchObject({
      code: 1,
      err: expect.stringContaining('one version'),
    });
  });

  test('stats', async () => {
    const path = await serve('socks-7.sock', 7);
    const { out } = await ctl(['stats', '--control', path]);
    expect(out).toMatch(/^splice-socks 1\.2\.3, pid 7, running, up 1h00m\n/);
    expect(out).toMatch(/^ {2}bytes +0 B up, 2.0 KiB down$/m);
    expect(out).not.toContain('segments');
    expect(JSON.parse((await ctl(['stats', '--json'])).out)).toMatchObject([{ pid: 7, totals: { accepted: 12 } }]);
  });

  test('stats of the packet backend', async () => {
    const path = await serve('socks-7.sock', 7, {
      stats: async () => ({
        ...(await STATS(7)),
        packet: {
          interfaces: ['eth0', 'wg0'],
          sourcePorts: [61000, 65535],
          sourcePortsUsed: 5,
          maxFlows: 100,
          phases: { transit: 1, released: 2, ended: 3 },
          refused: 4,
          counters: { relayed: 10, 'relayed-ack': 5, 'drop-ttl': 1, 'drop-ce': 1, 'too-big': 2, 'no-flow': 99 },
          tag: 'abc',
        },
      }),
    });
    const { out } = await ctl(['stats', '--control', path]);
    expect(out).toMatch(/^ {2}packet +2 released, 1 in transit, 3 ended, 4 refused$/m);
    expect(out).toMatch(/^ {2}map +6 of 100 flows, 5 ports of 61000-65535$/m);
    expect(out).toMatch(/^ {2}segments +15 relayed, 2 dropped, 2 too big$/m);
    expect(out).toMatch(/^ {2}interfaces +eth0, wg0$/m);
  });
});

describe('uninstall', () => {
  test('at the default place, at another, and without pins', async () => {
    pinsAsked.length = 0;
    expect(await ctl(['uninstall'])).toMatchObject({ code: 0, out: 'removed 1 filter; 2 flows reset\n' });
    await ctl(['uninstall', '--pin-directory', '/run/pins']);
    await ctl(['uninstall', '--pin-directory', 'none']);
    expect(pinsAsked).toEqual(['/sys/fs/bpf/symsplice', '/run/pins', '']);
    expect(await ctl(['uninstall', '--pin-directory', 'pins'])).toMatchObject({ code: 2 });
  });
});

describe('flows --watch', () => {
  test.each(['0', 'x', '-1'])('%s is no time', async (time) => {
    expect(await ctl(['flows', '--watch', time])).toMatchObject({ code: 2 });
  });

  test('shows flows until a signal, and needs a server at first', async () => {
    expect(await ctl(['flows', '--watch'])).toMatchObject({ code: 1 });
    await serve('socks-7.sock', 7);
    const handlers: (() => void)[] = [];
    const running = ctl(['flows', '--watch', '100ms', '--json'], {
      onSignal: (_signal, handler) => void handlers.push(handler),
      stdout: { write: () => handlers.forEach((stop) => stop()) },
    });
    expect((await running).code).toBe(0);
  });
});

describe('drain and reload', () => {
  test('reach the one server', async () => {
    const calls: string[] = [];
    const path = await serve('socks-7.sock', 7, {
      drain: () => void calls.push('drain'),
      reload: () => Promise.resolve(void calls.push('reload')),
    });
    expect(await ctl(['reload'])).toMatchObject({ code: 0, out: `${path}: reloaded\n` });
    expect(await ctl(['drain'])).toMatchObject({ code: 0, out: `${path}: draining\n` });
    expect(calls).toEqual(['reload', 'drain']);
  });

  test('never guess among several', async () => {
    const drained: number[] = [];
    for (const pid of [7, 8]) await serve(`socks-${pid}.sock`, pid, { drain: () => void drained.push(pid) });
    const { code, err } = await ctl(['drain']);
    expect([code, drained]).toEqual([2, []]);
    expect(err).toMatch(/2 servers are running; .*--control, or take --all:\n.*socks-7\.sock\n.*socks-8\.sock/);
    expect((await ctl(['drain', '--all'])).code).toBe(0);
    expect(drained).toEqual([7, 8]);
  });

  test('a reload with a mistake shows it', async () => {
    await serve('socks-7.sock', 7, { reload: () => Promise.reject(new ConfigError('bad', { file: 'c', line: 3 })) });
    expect(await ctl(['reload'])).toEqual({ code: 1, out: '', err: 'splice-ctl: c:3: bad\n' });
  });
});

describe('passwd', () => {
  const typed = (text: string) => ({ stdin: Readable.from([Buffer.from(text)]) });

  test('prints the line, and the users file takes it', async () => {
    const { code, out } = await ctl(['passwd', 'alice'], typed('sésame\nrest'));
    expect(code).toBe(0);
    expect(await Users.parse(out, 'u').verify('alice', 'sésame')).toBe(true);
    expect(out).not.toContain('same');
  });

  test('adds and changes a line, keeps the others, mode 0600, nothing left behind', async () => {
    const file = join(bed.base, 'users');
    expect((await ctl(['passwd', '--file', file, 'alice'], typed('one\n'))).out).toBe(`${file}: added alice\n`);
    await ctl(['passwd', '--file', file, 'bob'], typed('two\r\n'));
    await writeFile(file, `# people\n${await readFile(file, 'utf8')}`);
    await chmod(file, 0o644);
    expect((await ctl(['passwd', '--file', file, 'alice'], typed('three'))).out).toBe(`${file}: changed alice\n`);
    const text = await readFile(file, 'utf8');
    expect(text.split('\n').map((line) => line.split(':')[0])).toEqual(['# people', 'alice', 'bob', '']);
    const users = Users.parse(text, file);
    const right = [users.verify('alice', 'three'), users.verify('bob', 'two'), users.verify('alice', 'one')];
    expect(await Promise.all(right)).toEqual([true, true, false]);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect((await readdir(bed.base)).sort()).toEqual(['run', 'users']);
  });

  test('a link stays a link', async () => {
    await writeFile(join(bed.base, 'real'), '');
    await symlink(join(bed.base, 'real'), join(bed.base, 'users'));
    await ctl(['passwd', '--file', join(bed.base, 'users'), 'alice'], typed('x'));
    expect(await readFile(join(bed.base, 'real'), 'utf8')).toMatch(/^alice:/);
  });

  test.each([
    ['no password', 'alice', '', 2, /password is empty/],
    ['a password too long', 'alice', 'x'.repeat(256), 2, /256 bytes/],
    ['a name with a colon', 'a:b', 'x', 2, /colon/],
    ['an empty name', '', 'x', 2, /empty/],
  ])('%s', async (_name, user, password, code, message) => {
    const result = await ctl(['passwd', user], typed(password));
    expect(result.code).toBe(code);
    expect(result.err).toMatch(message);
    expect(result.out).toBe('');
  });

  test('a file that cannot be written is named, and stays as it is', async () => {
    const result = await ctl(['passwd', '--file', join(bed.base, 'no/users'), 'alice'], typed('x'));
    expect(result.code).toBe(1);
    expect(result.err).toMatch(/no\/users was not changed: ENOENT/);
  });

  test('lines of one user are replaced by one', () => {
    expect(withUser('a:1\n# a:0\nb:2\na:3', 'a', 'new')).toEqual({ text: 'a:new\n# a:0\nb:2\n', added: false });
    expect(withUser('', 'a', 'h')).toEqual({ text: 'a:h\n', added: true });
  });

  describe('at a terminal', () => {
    function terminal() {
      const modes: boolean[] = [];
      const stdin = new Readable({ read: () => undefined });
      const fake = Object.assign(stdin, { isTTY: true, setRawMode: (on: boolean) => void modes.push(on) });
      return { stdin: fake, modes };
    }

    test('twice, without echo; typing ahead and correcting work', async () => {
      const { stdin, modes } = terminal();
      const result = ctl(['passwd', 'alice'], { stdin });
      stdin.push('wrong\u0015sek\u007fcrxx\b\b\u007fcret\rseccret\r');
      const { code, out, err } = await result;
      expect(code).toBe(0);
      expect(await Users.parse(out, 'u').verify('alice', 'seccret')).toBe(true);
      expect(err).toBe('Password: \nAgain: \n');
      expect(modes).toEqual([true, false, true, false]);
    });

    test('two that differ', async () => {
      const { stdin } = terminal();
      const result = ctl(['passwd', 'alice'], { stdin });
      stdin.push('a\r');
      stdin.push('b\r');
      expect(await result).toMatchObject({ code: 2, out: '', err: expect.stringContaining('differ') });
    });

    test.each([['\u0003'], ['\u0004'], [null]])('%j gives up and restores the terminal', async (key) => {
      const { stdin, modes } = terminal();
      const result = ctl(['passwd', 'alice'], { stdin });
      stdin.push(key);
      expect(await result).toMatchObject({ code: 2, err: expect.stringContaining('no password was given') });
      expect(modes).toEqual([true, false]);
    });
  });
});
