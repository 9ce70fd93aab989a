import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { buildTool } from '../../../src/bench/lab/build-load.js';
import { hold } from '../../../src/bench/lab/hold.js';
import { LocalHost, localHost } from '../../../src/bench/lab/local-host.js';
import { isLeftover, lockMachine, OWN_PREFIX } from '../../../src/bench/lab/lock.js';
import { cutCommands, lossCommands, lossProgram } from '../../../src/bench/lab/loss.js';
import { describeSymsplice, parseMachine } from '../../../src/bench/lab/machine.js';
import { Processes } from '../../../src/bench/lab/processes.js';
import { parseRoute, routeTo } from '../../../src/bench/lab/routes.js';
import { settingCommands } from '../../../src/bench/lab/settings.js';
import { END_MARK, quote, remoteCommand, RUN_SCRIPT, START_SCRIPT } from '../../../src/bench/lab/ssh-script.js';

const directory = mkdtempSync(path.join(os.tmpdir(), 'bench-lab-test-'));
afterAll(() => rmSync(directory, { recursive: true }));
const at = (name: string): string => path.join(directory, name);

/** A pid that no process has: that of one that ended, and was waited for. */
const deadPid = async (): Promise<number> => {
  const child = spawn('true');
  await new Promise((resolve) => child.once('exit', resolve));
  return child.pid!;
};

/** Waits until a process runs no more. Somebody else may have to take note of its end: a zombie has ended, too. */
async function gone(pid: number): Promise<void> {
  const runs = (): boolean => {
    try {
      return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
    } catch {
      return false;
    }
  };
  while (runs()) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe('processes', () => {
  const processes = new Processes(directory);

  test('a command runs to its end, whatever its exit code', async () => {
    const seen: string[] = [];
    const command = ['sh', '-c', 'echo out; echo err >&2; exit 7'];
    const output = await processes.run(command, { onError: (text) => seen.push(text) });
    expect(output).toEqual({ out: 'out\n', err: 'err\n', code: 7 });
    expect(seen.join('')).toBe('err\n');
  });

  test('a command that does not end is ended, with its children', async () => {
    const { out, err, code } = await processes.run(['sh', '-c', 'sleep 100 & echo $!; wait'], { timeoutMs: 300 });
    expect(code).toBeNull();
    expect(err).toContain('no end after 0.3 s');
    expect(out).toMatch(/^\d+\n$/);
    await gone(Number(out));
  });

  test('what is started says its last lines, and ends with its group', async () => {
    const log = at('started.log');
    const command = ['sh', '-c', 'seq 1 9; echo $KEY; sleep 100 & echo $!; wait'];
    const running = await processes.start(command, { env: { KEY: 'a b' }, log });
    while (!/a b\n\d+$/.test(running.tail())) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(running.tail()).toMatch(/^7\n8\n9\na b\n\d+$/);
    const child = Number(running.tail().split('\n').at(-1));
    expect(running.ended).toBe(false);
    await running.stop();
    expect(running.ended).toBe(true);
    await gone(child);
    await running.stop();
  });

  test('one that ignores TERM is killed', async () => {
    const running = await processes.start(['sh', '-c', `trap '' TERM; echo deaf; while :; do sleep 1; done`]);
    while (!running.tail().includes('deaf')) await new Promise((resolve) => setTimeout(resolve, 5));
    await running.stop();
    expect(running.ended).toBe(true);
  });

  test('a program that is missing says so', async () => {
    const { code, err } = await processes.run(['no-such-program']);
    expect(code).not.toBe(0);
    expect(err).toContain('no-such-program');
  });
});

describe('one benchmark at a time', () => {
  const name = `\0bench-lab-test-${process.pid}`;

  test('a lock that is held names its holder, and is free again when released', async () => {
    const release = await lockMachine(name);
    await expect(lockMachine(name)).rejects.toThrow(`process ${process.pid}`);
    release();
    const again = await lockMachine(name);
    release();
    await expect(lockMachine(name)).rejects.toThrow('another benchmark');
    again();
  });

  test('of many at the same moment one gets it', async () => {
    const results = await Promise.allSettled(Array.from({ length: 20 }, () => lockMachine(name)));
    const taken = results.filter((result) => result.status === 'fulfilled');
    expect(taken).toHaveLength(1);
    taken[0]?.value();
  });

  test('leftovers are those of processes that are no more', async () => {
    expect(isLeftover(`${OWN_PREFIX}prx`)).toBe(false);
    expect(isLeftover(`splbench-${await deadPid()}-prx`)).toBe(true);
    expect(isLeftover('splbench-other')).toBe(false);
    expect(isLeftover('splice1x0prx')).toBe(false);
  });
});

describe('changes that are held', () => {
  const host = new LocalHost('server', {}, directory, []);

  test('are made before it says so, and taken back at its end', async () => {
    const file = at('held');
    const holder = await hold(host, [`echo made >${file}`], [`echo undone >>${file}`]);
    expect(readFileSync(file, 'utf8')).toBe('made\n');
    await holder.stop();
    expect(readFileSync(file, 'utf8')).toBe('made\nundone\n');
  });

  test('are taken back when one of them fails, and the failure is told', async () => {
    const file = at('failed');
    const make = [`echo made >${file}`, 'echo "no such setting" >&2; false', `echo more >>${file}`];
    await expect(hold(host, make, [`echo undone >>${file}`])).rejects.toThrow('no such setting');
    expect(readFileSync(file, 'utf8')).toBe('made\nundone\n');
  });

  test('settings are put back to what they were', async () => {
    const file = at('settings');
    // A stand-in for sysctl(8): one setting, kept in a file.
    const stub = `sysctl() { case $1 in -n) cat ${file};; *) echo "\${2#*=}" >${file};; esac; }`;
    writeFileSync(file, '32768\t60999\n');
    const { make, undo } = settingCommands(['a.b=1 2', 'a.b=3 4']);
    const holder = await hold(host, [stub, ...make], undo);
    expect(readFileSync(file, 'utf8')).toBe('3 4\n');
    await holder.stop();
    expect(readFileSync(file, 'utf8')).toBe('32768\t60999\n');
  });
});

/** Runs a tc program of lossProgram() on a frame, with a lot. */
function verdict(program: string, frame: Uint8Array, lot: number): number {
  const [count, ...lines] = program.split(',');
  const code = lines.map((line) => line.split(' ').map(Number));
  expect(code.length).toBe(Number(count));
  let accumulator = 0;
  for (let at = 0; ; at++) {
    const [operation, yes = 0, no = 0, k = 0] = code[at]!;
    if (operation === 48) accumulator = frame[k]!;
    else if (operation === 32 && k === 0xfffff038) accumulator = lot;
    else if (operation === 21) at += accumulator === k ? yes : no;
    else if (operation === 53) at += accumulator >= k ? yes : no;
    else if (operation === 6) return k;
    else throw new Error(`unknown instruction ${operation}`);
  }
}

describe('loss', () => {
  const frame = (protocolAt: number, protocol: number): Uint8Array => {
    const bytes = new Uint8Array(64);
    bytes[protocolAt] = protocol;
    return bytes;
  };
  const [stolen, passed] = [4, 0xffffffff];

  test.each([
    ['ip', 23],
    ['ipv6', 20],
  ] as const)('of %s takes its share of TCP and nothing else', (protocol, offset) => {
    const program = lossProgram(protocol, 0.25);
    const tcp = frame(offset, 6);
    expect(verdict(program, tcp, 0)).toBe(stolen);
    expect(verdict(program, tcp, 2 ** 30 - 1)).toBe(stolen);
    expect(verdict(program, tcp, 2 ** 30)).toBe(passed);
    expect(verdict(program, tcp, 2 ** 32 - 1)).toBe(passed);
    expect(verdict(program, frame(offset, 58), 0)).toBe(passed);
  });

  test('is added in both directions, and every filter is taken away', () => {
    const { make, undo } = lossCommands('eth0', 0.01);
    const added = make.filter((line) => line.startsWith('tc filter add'));
    expect(added.map((line) => / (ingress|egress) pref (\d+) /.exec(line)!.slice(1))).toEqual(
      undo.slice(0, 4).map((line) => / (ingress|egress) pref (\d+) /.exec(line)!.slice(1)),
    );
    expect(added).toHaveLength(4);
  });

  test('finds the number of segments that a link had before', async () => {
    const link = '[{"ifname":"x","gso_max_size":65536,"gso_max_segs":64,"num_tx_queues":2}]';
    const stub = `ip() { case $1 in -j) echo '${link}';; *) echo "$*";; esac; }`;
    const { make, undo } = cutCommands('x');
    const { out } = await localHost().run(['sh', '-c', [stub, ...make, ...undo].join('\n')]);
    expect(out).toBe('link set dev x gso_max_segs 1\nlink set dev x gso_max_segs 64\n');
  });
});

describe('what goes over ssh', () => {
  const words = ['', 'plain', `it's "$HOME" \`x\` \\`, 'two\nlines', '*', '~', 'a  b'];

  test('every word arrives as it was', async () => {
    const script = `for word; do printf '[%s]' "$word"; done`;
    const { out } = await localHost().run(['sh', '-c', remoteCommand(script, words)]);
    expect(out).toBe(words.map((word) => `[${word}]`).join(''));
  });

  test('words that need no quotes have none', () => expect(quote('/usr/bin/node')).toBe('/usr/bin/node'));

  const run = new Processes(directory);
  const start = (script: string, command: readonly string[]): ReturnType<Processes['start']> =>
    run.start(['sh', '-c', remoteCommand(script, command)], { input: true });

  test('a command gives its output and its exit code', async () => {
    const command = ['sh', '-c', 'echo out; echo err >&2; exit 7'];
    const output = await run.run(['sh', '-c', remoteCommand(RUN_SCRIPT, command)], { input: true });
    expect(output).toEqual({ out: 'out\n', err: 'err\n', code: 7 });
  });

  const pidIn = async (text: () => string): Promise<number> => {
    for (;;) {
      const pid = /pid=(\d+)\n/.exec(`${text()}\n`)?.[1];
      if (pid !== undefined) return Number(pid);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  test.each([
    ['run to its end', RUN_SCRIPT, []],
    ['started', START_SCRIPT, [directory]],
  ])('what is %s ends when the connection does', async (_, script, before) => {
    const ssh = await start(script, [...before, 'sh', '-c', 'echo pid=$$; sleep 100 & wait']);
    const pid = await pidIn(() => ssh.head());
    ssh.child.stdin!.end();
    await gone(pid);
    await ssh.stop();
  });

  test('what is started says its id first and its last lines last, and ends by the signal that it is told', async () => {
    const talk = `trap 'echo ending; exit 3' TERM; echo pid=$$; seq 1 100000; sleep 100 & wait`;
    const ssh = await start(START_SCRIPT, [directory, 'sh', '-c', talk]);
    const pid = await pidIn(() => ssh.head());
    expect(ssh.head().split('\n').slice(0, 2)).toEqual([String(pid), `pid=${pid}`]);
    const exit = new Promise((resolve) => ssh.child.once('exit', resolve));
    // It hears the signal when it has said everything.
    ssh.child.stdin!.write('TERM\n');
    expect(await exit).toBe(3);
    expect(ssh.tail()).toContain('\nending');
    expect(END_MARK).toMatch(/\S/);
  });
});

describe('routes', () => {
  test('over another host, on the link, to the machine itself', () => {
    expect(
      parseRoute('[{"dst":"10.0.2.2","gateway":"10.0.1.1","dev":"e0","prefsrc":"10.0.1.2","flags":[],"uid":0}]'),
    ).toEqual({
      dev: 'e0',
      prefsrc: '10.0.1.2',
      gateway: '10.0.1.1',
      local: false,
    });
    expect(parseRoute('[{"dst":"10.0.1.1","dev":"e0","prefsrc":"10.0.1.2"}]')?.gateway).toBeUndefined();
    expect(parseRoute('[{"type":"local","dst":"10.0.1.2","dev":"lo","prefsrc":"10.0.1.2"}]')?.local).toBe(true);
  });

  test('an address that the machine has itself is a mistake', async () => {
    await expect(routeTo(localHost(), '127.0.0.1')).rejects.toThrow('the proxy host has 127.0.0.1 itself');
  });

  test('what is no answer is none', () => {
    expect(parseRoute('')).toBeUndefined();
    expect(parseRoute('[]')).toBeUndefined();
    expect(parseRoute('RTNETLINK answers: Network is unreachable')).toBeUndefined();
  });
});

describe('facts', () => {
  test('of a machine', () => {
    const text = `=== kernel
Linux 6.1.0 x86_64
=== distribution
NAME="Debian GNU/Linux"
PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
=== processors
4
=== cpuinfo
processor	: 0
model name	: Some CPU @ 2 GHz
flags		: fpu hypervisor
=== lscpu
=== memory
MemTotal:        1000 kB
=== node
v20.1.0
=== mitigations
meltdown:Mitigation: PTI
spectre_v2:Vulnerable: a: b
=== virtual
kvm
none
`;
    expect(parseMachine(text)).toEqual({
      kernel: 'Linux 6.1.0 x86_64',
      distribution: 'Debian GNU/Linux 12 (bookworm)',
      processors: 4,
      model: 'Some CPU @ 2 GHz',
      memoryBytes: 1_024_000,
      node: 'v20.1.0',
      mitigations: { meltdown: 'Mitigation: PTI', spectre_v2: 'Vulnerable: a: b' },
      virtual: 'kvm',
    });
  });

  test('of a machine that says little', () => {
    expect(parseMachine('=== lscpu\nModel name:   Cortex-A72\n=== virtual\n')).toMatchObject({
      model: 'Cortex-A72',
      processors: 0,
      mitigations: {},
      virtual: 'none',
    });
    const guest = '=== cpuinfo\nflags\t: fpu hypervisor sse\n=== virtual\n';
    expect(parseMachine(guest).virtual).toBe('unknown hypervisor');
  });

  test('of symsplice: the version that package.json has', async () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
    const found = await describeSymsplice();
    expect(found.version).toBe(version);
    expect(found.commit).toMatch(/^([0-9a-f]{40})?$/);
  });
});

describe('building a tool', () => {
  const source = (text: string): string => {
    const sources = mkdtempSync(at('sources-'));
    writeFileSync(path.join(sources, 'main.c'), text);
    return sources;
  };
  const said = async (program: string): Promise<string> => (await localHost().run([program])).out;

  test('makes a program, and again only when a source is newer', async () => {
    const sources = source('#include <stdio.h>\nint main(void) { puts(WORD); }\n');
    const build = (word: string): Promise<string> =>
      buildTool([localHost()], { name: 'tool', sources, flags: [`-DWORD="${word}"`] }, directory);
    const program = await build('one');
    expect(await said(program)).toBe('one\n');
    await build('two');
    expect(await said(program)).toBe('one\n');
    rmSync(program);
    await build('three');
    expect(await said(program)).toBe('three\n');
  });

  test('fails with what the compiler says', async () => {
    const broken = { name: 'broken', sources: source('int main(void) { return nothing; }\n') };
    await expect(buildTool([localHost()], broken, directory)).rejects.toThrow(/broken cannot be built.*nothing/s);
  });
});
