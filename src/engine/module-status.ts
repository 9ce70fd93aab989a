/** Whether the kernel module can be used by this process, in words for people: for the engine, the doctor and `splice-ctl`. */
import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';
import { ABI_VERSION } from '../abi.gen.js';
import { native, type ModuleStatus } from '../native.js';

const { ENOENT, EPERM } = constants.errno;

/** Why it cannot, and what to do about it. */
export interface ModuleProblem {
  readonly found: string;
  readonly advice: string;
}

export const isLoaded = ({ error }: ModuleStatus): boolean => error !== -ENOENT;

/** Undefined: it can. */
export function moduleProblem({ error, permitted, abi }: ModuleStatus): ModuleProblem | undefined {
  if (error === -ENOENT) {
    return {
      found: 'symsplice.ko is not loaded',
      advice: 'build it with "npm run build:module" and load it with "insmod kernel/symsplice.ko", see docs/module.md',
    };
  }
  if (error !== 0) return { found: `unknown: ${getSystemErrorName(error)}`, advice: 'it is asked by generic netlink' };
  if (abi !== ABI_VERSION) {
    return {
      found: `symsplice.ko of ABI ${abi} is loaded, this version has ABI ${ABI_VERSION}`,
      advice: 'build it again with "npm run build:module", "rmmod symsplice", and load the new one',
    };
  }
  if (permitted === 0) return undefined;
  const name = getSystemErrorName(permitted);
  return permitted === -EPERM
    ? { found: `not permitted (${name})`, advice: 'needs root, or CAP_NET_ADMIN' }
    : { found: `unknown: ${name}`, advice: 'the kernel log may know more' };
}

/** Resets all its flows of this network namespace: how many; undefined where it is not loaded. @throws as `Native.moduleAbort` */
export function resetModule(): number | undefined {
  return isLoaded(native().moduleStatus()) ? native().moduleAbort() : undefined;
}
