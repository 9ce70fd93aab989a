/** How many descriptors the process has and may have. Asked at start, at reload and for every snapshot. */
import { readFileSync, readdirSync, statSync } from 'node:fs';

/**
 * Open descriptors of the process. Since Linux 6.2 the size of /proc/self/fd is their number; before, it is 0 and
 * the entries have to be listed, which takes tens of milliseconds where there are 100,000.
 */
export function countDescriptors(): number {
  return statSync('/proc/self/fd').size || readdirSync('/proc/self/fd').length;
}

/** The soft limit, which Node raises to the hard one when it starts. */
export function descriptorLimit(): number {
  const line = /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
  return line === undefined || line === 'unlimited' ? Infinity : Number(line);
}
