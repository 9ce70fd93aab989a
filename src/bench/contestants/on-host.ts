/** Questions and files on the host where a contestant is to run, be it here or far away. */
import path from 'node:path';
import { SpliceError } from '../../errors.js';
import { bare } from '../lab/addresses.js';
import type { Addresses, Host, Output, Place } from '../model.js';

const INSTALL = 'scripts/setup --bench installs it';

/** What `missing()` says of a program that must be in PATH. */
export async function programMissing(host: Host, program: string): Promise<string | undefined> {
  const { code } = await host.run(['sh', '-c', 'command -v "$1"', 'sh', program]);
  return code === 0 ? undefined : `${program} is not installed: ${INSTALL}`;
}

/** Everything that a program prints. */
export async function saidBy(host: Host, command: readonly string[]): Promise<string> {
  const { out, err } = await host.run(command);
  return `${out}\n${err}`.trim();
}

/** The line in which a program says its version: the first one that matches, as far as it matches. */
export async function versionSaidBy(host: Host, command: readonly string[], pattern: RegExp): Promise<string> {
  return pattern.exec(await saidBy(host, command))?.[0].trim() ?? 'unknown';
}

/** Of a Debian package, for programs that do not know their version. */
export async function packageVersion(host: Host, name: string): Promise<string> {
  const format = '${Version}';
  const { code, out } = await host.run(['dpkg-query', '-W', '-f', format, name]);
  return code === 0 && out !== '' ? `${name} ${out} (package)` : 'unknown';
}

/** Runs a command that prepares something; throws what it says when it fails. */
export async function mustRun(host: Host, command: readonly string[]): Promise<Output> {
  const output = await host.run(command);
  if (output.code === 0) return output;
  const said = `${output.out}${output.err}`.trim();
  throw new SpliceError('ERR_SPLICE_SYSTEM', `${command.slice(0, 3).join(' ')} on the ${host.name} host: ${said}`);
}

/** Writes a file into the scratch directory of a place; gives its path there. */
export async function writeFile(place: Place, name: string, content: string): Promise<string> {
  const file = path.posix.join(place.scratch, name);
  const script = 'mkdir -p "$(dirname "$1")" && printf %s "$2" >"$1"';
  await mustRun(place.host, ['sh', '-c', script, 'sh', file, content]);
  return file;
}

/** Where a contestant with a fixed target sends everything: HOST:PORT. */
export const targetOf = (place: Place): string => `${place.addresses.target}:${place.targetPort}`;

/** HOST:PORT that a contestant listens on. */
export const listenOf = (place: Place): string => `${place.addresses.any}:${place.proxyPort}`;

/** The IP version's own form of "all addresses", without brackets. */
export const anyOf = (addresses: Addresses): string => bare(addresses.any);
