/**
 * node main.js KERNEL [TEST...]: ring 4 for one kernel of the matrix. Boots it, lets the guest run the tests, prints their
 * points as TAP, and judges the guest by itself: it must have come up, run everything, and its kernel said nothing bad.
 */
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { troublesIn } from './console.js';
import { cacheOf, runTests } from './guest.js';
import { fetchKernel, matrix, type Kernel, type Wanted } from './kernels.js';
import { Points } from './points.js';

const root = process.cwd();

/** Tests of test/vm; the names of those that every kernel runs begin with `kernel`. */
function testsFor(wanted: Wanted, filters: readonly string[]): string[] {
  const chosen = (name: string): boolean =>
    filters.length > 0
      ? filters.some((filter) => name.includes(filter))
      : wanted.tests === 'all' || name.startsWith('kernel');
  return readdirSync(path.join(root, 'test/vm'))
    .filter((file) => file.endsWith('.test.ts'))
    .map((file) => file.replace(/\.ts$/, ''))
    .filter(chosen)
    .sort()
    .map((name) => `vm/${name}`);
}

async function run(kernel: Kernel, tests: readonly string[], points: Points): Promise<void> {
  const ended = await runTests({
    root,
    kernel,
    tests,
    settings: { TEST_SECONDS: '900', SYMSPLICE_TEST_PATIENCE: '6' },
    limitSeconds: 1_500,
    line: (line) => points.line(line),
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
if (wanted === undefined) points.point(false, `there is a kernel ${name} in test/vm/kernels.yaml`);
else if ('not-run' in wanted) points.skip(name, wanted['not-run']);
else {
  let kernel: Kernel | undefined;
  try {
    kernel = fetchKernel(cacheOf(root), wanted);
  } catch (error) {
    const why = `${wanted.package} of ${wanted.suite} cannot be had: ${String(error).split('\n')[0]}`;
    // Where results count, the kernel that all tests are for must not be missing unseen.
    if (wanted.tests === 'all' && process.env['CI'] !== undefined) points.point(false, why);
    else points.skip(name, why);
  }
  if (kernel !== undefined) await run(kernel, testsFor(wanted, filters), points);
}
points.finish();
