/** Doctor: whether the kernel module is there, fits this version, and may be used by this process. Changes nothing. */
import { existsSync } from 'node:fs';
import { native, type ModuleStatus } from '../native.js';
import type { Capability } from './doctor.js';
import { isLoaded, moduleProblem } from './module-status.js';

/** `loads`: this kernel can load modules at all. */
export function moduleRow(status: ModuleStatus, loads: boolean): Capability {
  const row = { group: 'module backend', name: 'symsplice.ko', enables: 'module: flows that outlive their process' };
  const problem = moduleProblem(status);
  if (problem === undefined) {
    const { abi, flows } = status;
    return { ...row, status: 'ok', found: `loaded, ABI ${abi}, ${flows} flows here`, advice: '' };
  }
  if (isLoaded(status)) return { ...row, status: 'missing', ...problem };
  const advice = loads ? `optional: ${problem.advice}` : 'needs a kernel that loads modules; no other backend does';
  return { ...row, status: 'missing', found: problem.found, advice };
}

export function probeModule(): Capability[] {
  let status: ModuleStatus;
  try {
    status = native().moduleStatus();
  } catch (error) {
    const why = error instanceof Error ? error.message.split('\n')[0]! : String(error);
    const row = { group: 'module backend', name: 'symsplice.ko', enables: 'module: flows that outlive their process' };
    return [{ ...row, status: 'limited', found: `unknown: ${why}`, advice: 'npm run build' }];
  }
  return [moduleRow(status, existsSync('/proc/modules'))];
}
