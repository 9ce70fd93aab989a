/** `splice-ctl doctor`: what this machine can do for the proxy, and what to do where something is missing. */
import type { Capability } from '../engine/doctor.js';
import type { CtlContext } from './ctl-context.js';
import { EXIT } from './environment.js';
import type { ExitCode } from './environment.js';
import { renderTable } from './format.js';

export async function doctor(context: CtlContext, { json }: { readonly json: boolean }): Promise<ExitCode> {
  const capabilities = await context.probeMachine();
  const { stdout } = context.environment;
  stdout.write(json ? `${JSON.stringify(capabilities, null, 2)}\n` : doctorTable(capabilities));
  return EXIT.ok;
}

/** One table with a heading for each group, then the advice. */
export function doctorTable(capabilities: readonly Capability[]): string {
  const groups = [...new Set(capabilities.map(({ group }) => group))];
  const rows = groups.flatMap((group) =>
    capabilities
      .filter((capability) => capability.group === group)
      .map(({ status, name, found, enables }, index) => [index === 0 ? group : '', status, name, found, enables]),
  );
  const table = renderTable(
    [
      { head: 'GROUP' },
      { head: 'STATUS' },
      { head: 'CAPABILITY' },
      { head: 'FOUND', width: 34 },
      { head: 'ENABLES', width: 40 },
    ],
    rows,
  );
  const lacking = capabilities.filter(({ status, advice }) => status !== 'ok' && advice !== '');
  if (lacking.length === 0) return `${table}\nNothing is missing.\n`;
  return `${table}\nWhat to do:\n${lacking.map(({ name, advice }) => `  ${name}: ${advice}\n`).join('')}`;
}
