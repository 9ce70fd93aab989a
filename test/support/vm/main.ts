/**
 * node main.js KERNEL [TEST...]: ring 4 for one kernel of the matrix. Boots it, lets the guest run the tests, prints their
 * points as TAP, and judges the guest by itself: it must have come up, run everything, and its kernel said nothing bad.
 */
import { troublesIn } from './console.js';
import { cacheOf, runTests } from './guest.js';
import { choose, jobsFor } from './jobs.js';
import { fetchKernel, matrix, type Kernel, type Wanted } from './kernels.js';
import { labJob, labs } from './labs.js';
import { buildModule, isSupported, type Module } from './module.js';
import { Points } from './points.js';
import { isLoadedFor } from './root.js';

const root = process.cwd();
/** Of what labs of ring 3 repeat (amount.ts). */
const share = process.env['SYMSPLICE_LAB_SHARE'] ?? '0.2';

/** Without the module where it could not be built, which is a failure already. */
function moduleFor(wanted: Wanted, kernel: Kernel, points: Points): Module | undefined {
  if (!wanted.module) return undefined;
  const what = `symsplice.ko is built for ${kernel.release}`;
  // The kernel of a suite that moves on may be newer than what the module is for, which says so when it is built.
  if (!isSupported(root, kernel.release)) {
    points.skip(what, 'kernel/compat.h does not list it');
    return undefined;
  }
  try {
    const module = buildModule(cacheOf(root), root, wanted, kernel);
    points.point(true, what);
    return module;
  } catch (error) {
    points.point(false, what, [error instanceof Error ? error.message : String(error)]);
    return undefined;
  }
}

async function run(wanted: Wanted, kernel: Kernel, points: Points, filters: readonly string[]): Promise<void> {
  const jobsOfKernel = jobsFor(root, wanted);
  const chosen = choose(jobsOfKernel, filters);
  if (chosen.length === 0) {
    points.point(
      false,
      `there is a test ${filters.join(', ')} for this kernel`,
      jobsOfKernel.all.map((job) => job.name),
    );
    return;
  }
  const module = moduleFor(wanted, kernel, points);
  const jobs = chosen.filter(({ name }) => module !== undefined || !jobsOfKernel.ofModule.has(name));
  const chosenLabs = labs.filter((lab) => jobs.some(({ name }) => name === labJob(lab).name));
  const ended = await runTests({
    root,
    kernel,
    module,
    jobs,
    labs: chosenLabs.length > 0,
    labPrograms: [...new Set(chosenLabs.flatMap((lab) => lab.programs ?? []))],
    settings: {
      TEST_SECONDS: '1200',
      SYMSPLICE_TEST_PATIENCE: '6',
      ...(module === undefined ? {} : { SYMSPLICE_VM_MODULE: '1' }),
      ...(chosenLabs.length === 0 ? {} : { SYMSPLICE_LAB_TOOLS: '/tools', SYMSPLICE_LAB_SHARE: share }),
    },
    limitSeconds: 2_400,
    line: (line, seconds) => points.line(line, seconds),
  });
  const log = ended.console.split('\n').slice(-40);
  const where = `${kernel.package} ${kernel.version}, ${ended.accelerator}`;
  points.point(
    ended.spoke,
    `the kernel boots (${points.kernel}; ${where})`,
    ended.spoke ? [] : [ended.problem, ...log],
  );
  const missing = jobs.filter(({ name }) => !points.ended.has(name)).map(({ name }) => name);
  const whole = points.off && missing.length === 0;
  points.point(whole, 'every test has run', whole ? [] : [ended.problem, `not ended: ${missing.join(' ')}`, ...log]);
  if (points.off) {
    points.point(points.left === '0 namespaces, 0 pins, 0 modules', `nothing is left (${points.left})`);
    if (module !== undefined) {
      const meant = jobs.filter(isLoadedFor).length;
      points.point(points.unloaded === meant, 'the module goes behind every test, and its memory with it');
    }
  }
  const troubles = troublesIn(ended.console);
  points.point(troubles.length === 0, 'the kernel had nothing to complain of', troubles);
}

const [name = '', ...filters] = process.argv.slice(2);
const points = new Points(
  (line) => process.stdout.write(`${line}\n`),
  (line) => process.stderr.write(`${line}\n`),
);
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
  if (kernel !== undefined) await run(wanted, kernel, points, filters);
}
points.finish();
