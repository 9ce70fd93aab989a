/** Ring 4's own parts: what it takes for trouble, how it counts, what it unpacks, and that its matrix is whole. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';
import { troublesIn } from '../../support/vm/console.js';
import { writeArchive } from '../../support/vm/cpio.js';
import { choose, jobsFor } from '../../support/vm/jobs.js';
import { matrix, named } from '../../support/vm/kernels.js';
import { labs, onHostsOnly } from '../../support/vm/labs.js';
import { rings } from '../../support/runner/rings.js';
import { isSupported } from '../../support/vm/module.js';
import { Points } from '../../support/vm/points.js';

const root = path.resolve(import.meta.dirname, '../../..');

test.each([
  'WARNING: CPU: 1 PID: 77 at net/core/skbuff.c:100 foo+0x1/0x2',
  'BUG: kernel NULL pointer dereference, address: 0000000000000010',
  'kernel BUG at mm/slub.c:400!',
  'Oops: 0000 [#1] PREEMPT SMP',
  'WARNING: suspicious RCU usage',
  'net/ipv4/tcp.c:1: suspicious RCU usage',
  'WARNING: possible circular locking dependency detected',
  'BUG: sleeping function called from invalid context at mm/slab.h:1',
  'rcu: INFO: rcu_sched self-detected stall on CPU',
  'unregister_netdevice: waiting for c to become free. Usage count = 2',
  'refcount_t: underflow; use-after-free.',
  'BUG kmalloc-64 (Not tainted): Right Redzone overwritten',
  'INFO: task node:10 blocked for more than 120 seconds.',
  'node[190]: segfault at 8 ip 0000 sp 0000 error 4',
])('a kernel that says "%s" fails', (line) => {
  expect(troublesIn(`[    1.0] fine\n[    2.0] ${line}\n[    2.1] more\n`)).toHaveLength(1);
});

test('what a sound boot says is no trouble', () => {
  const sound = `[    0.0] Command line: panic_on_warn=1 oops=panic slub_debug=FZ
[    0.1] Spectre V2 : Mitigation: Retpolines
[    2.5] Unstable clock detected, switching default tracing clock to "global"
[    9.0] reboot: Power down`;
  expect(troublesIn(sound)).toEqual([]);
});

function pointsOf(lines: readonly string[]): string[] {
  const printed: string[] = [];
  const points = new Points(
    (line) => printed.push(line),
    () => undefined,
  );
  lines.forEach((line) => points.line(line));
  points.finish();
  return printed.filter((line) => /^(not )?ok|^1\.\./.test(line));
}

test('the points of all tests are numbered through', () => {
  const one = (name: string): string[] => [`@ begin ${name}`, 'TAP version 14', 'ok 1 - a', '1..1', `@ end 0 ${name}`];
  expect(pointsOf(['@ kernel 6.1.0', ...one('x'), ...one('y')])).toEqual(['ok 1 - x: a', 'ok 2 - y: a', '1..2']);
});

test.each([
  ['breaks its plan', ['@ begin x', 'ok 1 - a', '1..2', '@ end 0 x'], 'not ok 2 - x: ran 1 of 2 planned tests'],
  ['has no plan', ['@ begin x', 'ok 1 - a', '@ end 139 x'], 'not ok 2 - x: ran 1 of no planned tests'],
  ['is cut off', ['@ begin x', 'ok 1 - a', '1..1', '@ end 143 x'], 'not ok 2 - x: ended in its time'],
  ['fails behind its points', ['@ begin x', 'ok 1 - a', '1..1', '@ end 3 x'], 'not ok 2 - x: exit code 3'],
  ['had no disk', ['@ trouble: the disk cannot be mounted'], 'not ok 1 - the disk cannot be mounted'],
])('a test that %s fails', (_what, lines, point) => {
  expect(pointsOf(lines).find((line) => line.startsWith(point))).toBeDefined();
});

test('an archive holds what was put in, as cpio itself reads it', () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'cpio-'));
  try {
    const file = path.join(directory, 'a.cpio');
    writeArchive(file, [
      { path: 'a/b/file', kind: 'file', content: Buffer.from('four bytes and more'), mode: 0o755 },
      { path: 'a/link', kind: 'link', target: 'b/file' },
      { path: 'empty', kind: 'file', content: Buffer.alloc(0) },
    ]);
    const busybox = ['/bin/busybox', '/usr/bin/busybox'].find(existsSync);
    if (busybox !== undefined) {
      execFileSync(busybox, ['cpio', '-i', '-d', '-F', file], { cwd: directory, stdio: 'pipe' });
      expect(readFileSync(path.join(directory, 'a/link'), 'utf8')).toBe('four bytes and more');
      expect(readFileSync(path.join(directory, 'empty'))).toHaveLength(0);
    }
    expect(readFileSync(file).subarray(0, 6).toString()).toBe('070701');
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('every kernel of the matrix has a name of its own, one runs all tests, and who is not run has a reason', () => {
  const kernels = matrix(root);
  expect(new Set(kernels.map(({ name }) => name)).size).toBe(kernels.length);
  expect(kernels.filter((kernel) => 'suite' in kernel && kernel.tests === 'all')).toHaveLength(1);
  for (const kernel of kernels) if ('not-run' in kernel) expect(kernel['not-run']).not.toBe('');
});

const of = (...names: string[]): { name: string }[] => names.map((name) => ({ name }));

test.each([
  ['debian-12', ['debian-12']],
  ['debian-12-', ['debian-12-backports']],
  ['backports', ['debian-12-backports', 'debian-13-backports']],
  ['', ['debian-12', 'debian-12-backports', 'debian-13-backports']],
  ['debian-1', ['debian-12', 'debian-12-backports', 'debian-13-backports']],
  ['Debian-12', []],
  ['ubuntu', []],
])('a whole name means that one only, a part all that contain it: "%s"', (filter, expected) => {
  const all = of('debian-12', 'debian-12-backports', 'debian-13-backports');
  expect(named(all, filter).map(({ name }) => name)).toEqual(expected);
});

/** What the ring gives its program for a choice on the command line, without the path of the program. */
const chosen = (filter: string): string[][] =>
  rings
    .find(({ name }) => name === 'vm')!
    .programs(root, filter)
    .map(({ args }) => args.slice(1));

test('vm/KERNEL and vm/KERNEL/TEST choose a kernel and one of its tests, also one of ring 3', () => {
  expect(chosen('debian-12')).toEqual([['debian-12']]);
  expect(chosen('debian-12/netem')).toEqual([['debian-12', 'netem']]);
  expect(chosen('debian-12/lab/packet-order')).toEqual([['debian-12', 'lab/packet-order']]);
  expect(chosen('')).toEqual(matrix(root).map(({ name }) => [name]));
  expect(chosen('solaris')).toEqual([]);
});

test('a test that is asked for runs once, and one that is too long for every day only then', () => {
  const kernel = matrix(root).find(({ name }) => name === 'debian-12');
  if (kernel === undefined || 'not-run' in kernel) throw new Error('the kernel that all tests are for');
  const jobs = jobsFor(root, kernel);
  const names = (...filters: string[]): string[] => choose(jobs, filters).map(({ name }) => name);
  expect(names('netem', 'netem', 'long-fat')).toEqual(['netem', 'long-fat']);
  // As it is called, although it is a part of another's name.
  expect(names('lab/limits')).toEqual(['lab/limits']);
  expect(names('lab/')).toEqual(labs.map(({ name }) => `lab/${name}`));
  expect(names('no such test')).toEqual([]);
  const usual = names();
  for (const { name, usual: always = false } of labs) expect(usual.includes(`lab/${name}`), name).toBe(always);
  expect(usual.length).toBeLessThan(jobs.all.length);
  expect(usual).toContain('module-life');
  expect(usual).not.toContain('module-ports');
  expect(names('module-ports')).toEqual(['module-ports']);
  // Without the module nothing of it is left to choose.
  const without = jobsFor(root, { ...kernel, module: false });
  expect(without.all.filter(({ name }) => jobs.ofModule.has(name))).toEqual([]);
});

test('every lab of ring 3 runs over the module in the guest, or there is a reason', () => {
  const files = readdirSync(path.join(root, 'test/lab'))
    .filter((file) => file.endsWith('.test.ts'))
    .map((file) => file.replace('.test.ts', ''));
  const known = [...labs.map(({ name }) => name), ...Object.keys(onHostsOnly)];
  expect(known.toSorted()).toEqual(files.toSorted());
  for (const [name, reason] of Object.entries(onHostsOnly)) expect(reason, name).not.toBe('');
});

test('the tests that a kernel runs exist', () => {
  const listed = matrix(root).flatMap((kernel) => ('suite' in kernel && kernel.tests !== 'all' ? kernel.tests : []));
  for (const name of listed) {
    const file = name.startsWith('module-') ? `kernel/test/${name.slice(7)}.sh` : `test/vm/${name}.test.ts`;
    expect(existsSync(path.join(root, file)), name).toBe(true);
  }
});

test.each([
  '6.0.1',
  '6.1.192-1-amd64',
  '6.10.3',
  '6.12.95+deb12-cloud-amd64',
  '6.13.0',
  '7.3.4+deb13',
  '7.30.1',
  '7.4.0',
])('source, dkms and manual agree on whether the module is for Linux %s', (release) => {
  const dkms = readFileSync(path.join(root, 'kernel/dkms.conf'), 'utf8');
  const exclusive = /^BUILD_EXCLUSIVE_KERNEL="(.*)"$/m.exec(dkms)?.[1] ?? '';
  expect(new RegExp(exclusive).test(release)).toBe(isSupported(root, release));
  const manual = readFileSync(path.join(root, 'docs/module.md'), 'utf8');
  const series = /^Linux ((?:\d+\.\d+(?:, | and )?)+) only/m.exec(manual)?.[1] ?? '';
  expect(series.split(/, | and /).some((each) => release.startsWith(`${each}.`))).toBe(isSupported(root, release));
});
