/** Names of errno values, as Node and the kernel's manual pages know them. */
import { getSystemErrorName } from 'node:util';

/** `ECONNREFUSED` for 111; `E<number>` for one that Node does not know. */
export function errnoName(errno: number): string {
  if (errno <= 0) return 'E0';
  try {
    return getSystemErrorName(-errno);
  } catch {
    return `E${errno}`;
  }
}
