/**
 * Shell scripts on a host of the lab, in one round trip each: what they print is in parts, and a line `@name` begins each
 * part. Everything that the kernel figures read goes through here, so that the proxy host may be another machine.
 */
import type { Host } from '../model.js';

export interface Part {
  readonly name: string;
  readonly text: string;
}

/** What stands before the first mark is of no interest. */
export function splitParts(text: string): Part[] {
  const parts: Part[] = [];
  for (const piece of text.split(/^@/m).slice(1)) {
    const end = piece.indexOf('\n');
    if (end < 0) parts.push({ name: piece, text: '' });
    else parts.push({ name: piece.slice(0, end), text: piece.slice(end + 1) });
  }
  return parts;
}

/** The part of that name, which has to be there: a script that lost one has been cut short. */
export function partNamed(parts: readonly Part[], name: string): string {
  const found = parts.find((part) => part.name === name);
  if (!found) throw new Error(`a script on the proxy host printed no part "${name}"`);
  return found.text;
}

/**
 * Runs a script with arguments ($1, $2 ...) and gives what it printed. `before` is a command that starts the shell.
 * @throws Error with what the script said, when it fails
 */
export async function runScript(
  host: Host,
  script: string,
  args: readonly string[] = [],
  options: { timeoutMs?: number; before?: readonly string[] } = {},
): Promise<string> {
  const { timeoutMs = 30_000, before = [] } = options;
  const { out, err, code } = await host.run([...before, 'sh', '-c', script, 'sh', ...args], { timeoutMs });
  if (code === 0) return out;
  const said = err.trim().split('\n').slice(-3).join(' | ');
  throw new Error(`a script on the ${host.name} host ended with ${code ?? 'a signal'}: ${said || 'no message'}`);
}
