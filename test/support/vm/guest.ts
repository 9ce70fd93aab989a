/** A guest made ready and run: what ring 4 (main.ts) and the benchmark of recovery (measure.ts) have in common. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { kvmUsable, runGuest, type Accelerator, type Ended, type Guest } from './boot.js';
import { makeTools } from '../packet-tool.js';
import type { Kernel } from './kernels.js';
import { diskFor, writeRoot, type RootOptions } from './root.js';

export const cacheOf = (root: string): string => path.join(root, 'build/vm');

export interface GuestRun extends Omit<RootOptions, 'labTools'> {
  readonly limitSeconds: number;
  /** Labs of ring 3 are among the jobs. */
  readonly labs?: boolean;
  /** Time in the guest is to be independent of this machine. */
  readonly simulated?: boolean;
  readonly line: Guest['line'];
}

async function boot(
  noKvm: string,
  guest: Omit<Guest, 'accelerator'>,
  simulated: boolean,
): Promise<Ended & { accelerator: Accelerator }> {
  if (simulated) return { ...(await runGuest({ ...guest, accelerator: 'simulated' })), accelerator: 'simulated' };
  if (kvmUsable() && !existsSync(noKvm)) {
    const ended = await runGuest({ ...guest, accelerator: 'kvm', firstLineMs: 12_000 });
    if (ended.spoke) return { ...ended, accelerator: 'kvm' };
    writeFileSync(noKvm, `${ended.problem}\n`);
  }
  return { ...(await runGuest({ ...guest, accelerator: 'tcg' })), accelerator: 'tcg' };
}

export async function runTests(run: GuestRun): Promise<Ended & { accelerator: Accelerator; kernel: Kernel }> {
  const cache = cacheOf(run.root);
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(path.join(cache, 'run-'));
  const clear = (): void => rmSync(work, { recursive: true, force: true });
  process.on('exit', clear);
  // Whoever ends us means the guest, too; 'exit' is where both are cleared up.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1));
  try {
    const archive = path.join(work, 'root.cpio');
    const labTools = path.join(work, 'tools');
    if (run.labs === true) makeTools(labTools);
    writeRoot(archive, { ...run, ...(run.labs === true && { labTools }) });
    const ended = await boot(
      path.join(cache, 'kvm-does-not-boot'),
      {
        kernel: run.kernel.image,
        archive,
        disk: diskFor(cache, run.root),
        consoleFile: path.join(work, 'console'),
        memoryMiB: 2048,
        limitMs: run.limitSeconds * 1000,
        line: (line, seconds) => run.line(line.replace(/\r$/, ''), seconds),
      },
      run.simulated ?? false,
    );
    return { ...ended, kernel: run.kernel };
  } finally {
    clear();
    process.off('exit', clear);
  }
}
