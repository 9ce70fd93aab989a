/** Names of errno values, as Node and the kernel's manual pages know them. */
import { getSystemErrorMap } from 'node:util';

const NAMES = getSystemErrorMap();

/** `ECONNREFUSED` for 111; `E<number>` for one that Node does not know. */
export function errnoName(errno: number): string {
  return NAMES.get(-errno)?.[0] ?? `E${errno}`;
}
