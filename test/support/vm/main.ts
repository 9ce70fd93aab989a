/**
 * node main.js KERNEL [TEST...]: ring 4 for one kernel of the matrix. Boots it, lets the guest run the tests, prints their
 * points as TAP, and judges the guest by itself: it must have come up, run everything, and its kernel said nothing bad.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { kvmUsable, runGuest, type Accelerator, type Ended, type Guest } from './boot.js';
import { troublesIn } from './console.js';
import { fetchKernel, matrix, type Kernel, type Wanted } from './kernels.js';
import { Points } from './points.js';
import { diskFor, writeRoot } from './root.js';

const root = process.cwd();
const cache = path.join(root, 'build/vm');
/** Remembers that KVM is there but starts no guest, as inside some virtual machines. */
const noKvm = path.join(cache, 'kvm-does-not-boot');
const guestSeconds = Number(process.env['SYMSPLICE_VM_SECONDS'] ?? 480);

/** Tests of test/vm, which say by their names for which kernels they are: those that begin with `kernel` are short. */
function testsFor(wanted: Wanted, filters: readonly string[]): string[] {
  return readdirSync(path.join(root, 'test/vm'))
    .filter((file) => file.endsWith('.test.ts'))
    .map((file) => file.replace(/\.ts$/, ''))
    .filter((name) => filters.length > 0 || wanted.tests === 'all' || name.startsWith('kernel'))
    .filter((name) => filters.length === 0 || filters.some((filter) => name.includes(filter)))
    .sort()
    .map((name) => `vm/${name}`);
}

async function boot(guest: Omit<Guest, 'accelerator'>): Promise<Ended & { accelerator: Accelerator }> {
  if (kvmUsable() && !existsSync(noKvm)) {
    const ended = await runGuest({ ...guest, accelerator: 'kvm', firstLineMs: 20_000 });
    if (ended.spoke) return { ...ended, accelerator: 'kvm' };
    writeFileSync(noKvm, `${ended.problem}\n`);
  }
  return { ...(await runGuest({ ...guest, accelerator: 'tcg' })), accelerator: 'tcg' };
}

async function run(kernel: Kernel, tests: readonly string[], points: Points): Promise<void> {
  const work = mkdtempSync(path.join(cache, 'run-'));
  process.on('exit', () => rmSync(work, { recursive: true, force: true }));
  const archive = path.join(work, 'root.cpio');
  writeRoot(archive, { root, kernel, tests, settings: { TEST_SECONDS: '240', CI: process.env['CI'] ?? '' } });
  const ended = await boot({
    kernel: kernel.image,
    archive,
    disk: diskFor(cache, root),
    consoleFile: path.join(work, 'console'),
    memoryMiB: 2048,
    limitMs: guestSeconds * 1000,
    line: (line) => points.line(line.replace(/\r$/, '')),
  });
  const log = ended.console.split('\n').slice(-40);
  const where = `${kernel.package} ${kernel.version}, ${ended.accelerator}`;
  points.point(
    ended.spoke,
    `the kernel boots (${points.kernel}; ${where})`,
    ended.spoke ? [] : [ended.problem, ...log],
  );
  const missing = tests.filter((test) => !points.ended.has(test));
  const whole = points.off && missing.length === 0;
  points.point(whole, 'every test has run', whole ? [] : [ended.problem, `not ended: ${missing.join(' ')}`, ...log]);
  if (points.off) points.point(points.left === '0 namespaces, 0 pins', `nothing is left (${points.left})`);
  const troubles = troublesIn(ended.console);
  points.point(troubles.length === 0, 'the kernel had nothing to complain of', troubles);
}

const [name = '', ...filters] = process.argv.slice(2);
const points = new Points((line) => process.stdout.write(`${line}\n`));
const wanted = matrix(root).find((each) => each.name === name);
mkdirSync(cache, { recursive: true });
if (wanted === undefined) points.point(false, `there is a kernel ${name} in test/vm/kernels.yaml`);
else if ('not-run' in wanted) points.skip(name, wanted['not-run']);
else {
  let kernel: Kernel | undefined;
  try {
    kernel = fetchKernel(cache, wanted);
  } catch (error) {
    points.skip(name, `${wanted.package} of ${wanted.suite} cannot be had: ${String(error).split('\n')[0]}`);
  }
  if (kernel !== undefined) await run(kernel, testsFor(wanted, filters), points);
}
points.finish();
