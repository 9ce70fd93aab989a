/** Configurations of other people's proxies: files in bench/contestants with `@NAME@` where a run decides. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { SpliceError } from '../../errors.js';
import type { Place } from '../model.js';
import { BENCH, ROOT } from '../lab/paths.js';
import { writeFile } from './on-host.js';

export const configurationPath = (name: string): string => path.join(BENCH, 'contestants', name);

/** As results name it. */
export const configurationName = (name: string): string => path.relative(ROOT, configurationPath(name));

/** Both a value that the text does not ask for and one that it lacks are mistakes of ours. */
export function fillIn(text: string, values: Readonly<Record<string, string | number>>): string {
  const asked = new Set<string>();
  const filled = text.replace(/@([A-Z_]+)@/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new SpliceError('ERR_SPLICE_CONFIG', `nothing to put in place of @${name}@`);
    asked.add(name);
    return String(value);
  });
  const idle = Object.keys(values).filter((name) => !asked.has(name));
  if (idle.length > 0) throw new SpliceError('ERR_SPLICE_CONFIG', `nowhere to put ${idle.join(', ')}`);
  return filled;
}

/** Fills in a configuration and writes it where the contestant runs; gives its path there. */
export function writeConfiguration(
  place: Place,
  name: string,
  values: Readonly<Record<string, string | number>>,
): Promise<string> {
  return writeFile(place, name, fillIn(readFileSync(configurationPath(name), 'utf8'), values));
}
