/**
 * One benchmark at a time on a machine: two would measure each other. And what is left of one that was killed. Called by
 * whoever opens a lab.
 */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { SpliceError } from '../../errors.js';

const LOCK = path.join(os.tmpdir(), 'splbench.lock');

export const alive = (pid: number): boolean => existsSync(`/proc/${pid}`);

/** Takes the lock, or throws if a process that lives has it. Gives what releases it, at once; twice is harmless. */
export function lockMachine(file = LOCK): () => void {
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      writeFileSync(file, String(process.pid), { flag: 'wx' });
      let held = true;
      return () => {
        // Once: by then the file may be another's.
        if (held) rmSync(file, { force: true });
        held = false;
      };
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
      const holder = Number(readFileSync(file, 'utf8'));
      if (holder > 0 && alive(holder)) {
        throw new SpliceError(
          'ERR_SPLICE_STATE',
          `another benchmark runs on this machine (process ${holder}): wait for its end, or delete ${file} if it is none`,
        );
      }
      rmSync(file, { force: true });
    }
  }
  throw new SpliceError('ERR_SPLICE_STATE', `cannot take ${file}: another benchmark began at the same moment`);
}

/** Names of what belongs to this process: namespaces and directories begin with it. */
export const OWN_PREFIX = `splbench-${process.pid}-`;

/** Whether the process that a name belongs to is no more. */
export function isLeftover(name: string): boolean {
  const owner = /^splbench-(\d+)-/.exec(name)?.[1];
  return owner !== undefined && !alive(Number(owner));
}

/** Directories of runs that were killed. */
export function removeLeftoverDirectories(): void {
  for (const name of readdirSync(os.tmpdir()).filter(isLeftover)) {
    rmSync(path.join(os.tmpdir(), name), { recursive: true, force: true });
  }
}
