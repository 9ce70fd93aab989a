/** How an answer of the addon's probes, or a number of /proc, becomes a row of the doctor's table. */
import { getSystemErrorName } from 'node:util';
import type { Capability } from './doctor.js';
import type { FileText } from './machine-facts.js';

type Row = Omit<Capability, 'status' | 'found' | 'advice'>;

/** What gives a program the privileges of BPF. */
export const PRIVILEGE_ADVICE =
  'run as root, or with AmbientCapabilities=CAP_BPF CAP_NET_ADMIN CAP_NET_RAW CAP_PERFMON in the systemd unit';

/**
 * A row from an answer of the addon: 1 works, 0 the kernel has it not, a negative errno not
 * allowed (EPERM) or not decided.
 */
export function rowOfAnswer(row: Row, answer: number | string, missingAdvice: string): Capability {
  if (typeof answer === 'string')
    return { ...row, status: 'limited', found: `unknown: ${answer}`, advice: 'npm run build' };
  if (answer > 0) return { ...row, status: 'ok', found: 'works', advice: '' };
  if (answer === 0) return { ...row, status: 'missing', found: 'not in this kernel', advice: missingAdvice };
  const name = getSystemErrorName(answer);
  if (name === 'EPERM' || name === 'EACCES') {
    return { ...row, status: 'missing', found: `not permitted (${name})`, advice: PRIVILEGE_ADVICE };
  }
  return { ...row, status: 'limited', found: `unknown: ${name}`, advice: '' };
}

/** A row whose value is read from a file: `judge` is called with the parsed value only. */
export function rowOfFile<T>(
  row: Row,
  file: FileText,
  parse: (text: string) => T | undefined,
  judge: (value: T) => Pick<Capability, 'status' | 'found' | 'advice'>,
): Capability {
  if ('problem' in file) return { ...row, status: 'limited', found: `unknown: ${file.problem}`, advice: '' };
  const value = parse(file.text);
  if (value === undefined)
    return { ...row, status: 'limited', found: `unknown: cannot read "${file.text.slice(0, 40)}"`, advice: '' };
  return { ...row, ...judge(value) };
}
