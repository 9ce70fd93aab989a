/**
 * What /proc and /sys say of this machine, as plain values. Reading is one function, parsing pure
 * functions over text, so that the tests need no particular machine. Used by doctor.ts.
 */
import { readFileSync } from 'node:fs';

/** Text of a small file, or the reason why there is none. */
export type FileText = { text: string } | { problem: string };

export function readText(path: string): FileText {
  try {
    return { text: readFileSync(path, 'utf8').trim() };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    return { problem: `${path}: ${code}` };
  }
}

/** Bits of include/uapi/linux/capability.h. */
export const CAPABILITY_BITS = {
  CAP_NET_BIND_SERVICE: 10,
  CAP_NET_ADMIN: 12,
  CAP_NET_RAW: 13,
  CAP_SYS_ADMIN: 21,
  CAP_SYS_RESOURCE: 24,
  CAP_PERFMON: 38,
  CAP_BPF: 39,
} as const;
export type CapabilityName = keyof typeof CAPABILITY_BITS;

/** The effective set in /proc/self/status, or undefined when the line is missing. */
export function parseEffectiveCapabilities(status: string): bigint | undefined {
  const match = /^CapEff:\s*([0-9a-f]{1,16})$/im.exec(status);
  return match === null ? undefined : BigInt(`0x${match[1]}`);
}

export function hasCapability(set: bigint, name: CapabilityName): boolean {
  return ((set >> BigInt(CAPABILITY_BITS[name])) & 1n) === 1n;
}

/** Major and minor version of `uname -r`, of which distributions change only what follows. */
export function parseKernelVersion(release: string): [major: number, minor: number] | undefined {
  const match = /^(\d+)\.(\d+)/.exec(release);
  return match === null ? undefined : [Number(match[1]), Number(match[2])];
}

export function atLeast(version: readonly [number, number], major: number, minor: number): boolean {
  return version[0] > major || (version[0] === major && version[1] >= minor);
}

/** Soft and hard limit of open files in /proc/self/limits; Infinity for "unlimited". */
export function parseOpenFileLimits(limits: string): [soft: number, hard: number] | undefined {
  const match = /^Max open files\s+(\d+|unlimited)\s+(\d+|unlimited)/m.exec(limits);
  if (match === null) return undefined;
  const value = (text: string): number => (text === 'unlimited' ? Infinity : Number(text));
  return [value(match[1]!), value(match[2]!)];
}

/** One non-negative number, as most of /proc/sys holds; undefined for anything else. */
export function parseCount(text: string): number | undefined {
  return /^\d+$/.test(text) ? Number(text) : undefined;
}

/** First and last local port, both included. */
export function parsePortRange(text: string): [first: number, last: number] | undefined {
  const match = /^(\d+)\s+(\d+)$/.exec(text);
  return match === null ? undefined : [Number(match[1]), Number(match[2])];
}

/**
 * How many pipes of full size one user may have before new ones shrink to a page or two.
 * @param softPages fs.pipe-user-pages-soft; 0 means no limit
 */
export function fullSizePipes(softPages: number, pipeBytes: number, pageBytes = 4096): number {
  return softPages === 0 ? Infinity : Math.floor(softPages / Math.ceil(pipeBytes / pageBytes));
}
