/** `splice-ctl flows`: the live flows of all servers on this machine, oldest first. Changes nothing. */
import { askFlows, chooseSockets } from './ctl-context.js';
import type { CtlContext } from './ctl-context.js';
import type { FlowInfo } from '../control/flow-info.js';
import { EXIT } from './environment.js';
import type { ExitCode } from './environment.js';
import { humanBytes, humanTime, renderTable } from './format.js';
import type { Column } from './format.js';

type Row = FlowInfo & { readonly pid: number };

export async function flows(
  context: CtlContext,
  options: { readonly json: boolean; readonly control: string | undefined },
): Promise<ExitCode> {
  const replies = await Promise.all((await chooseSockets(context, options.control)).map(askFlows));
  const rows = replies
    .flatMap((reply) => reply.flows.map((flow): Row => ({ pid: reply.pid, ...flow })))
    .sort((a, b) => b.ageMs - a.ageMs);
  const { stdout } = context.environment;
  stdout.write(options.json ? `${JSON.stringify(rows, null, 2)}\n` : flowsTable(rows, replies.length > 1));
  return EXIT.ok;
}

/** Columns that would be empty, or the same in each line, are left out. */
export function flowsTable(rows: readonly Row[], withPid: boolean): string {
  if (rows.length === 0) return 'no live flows\n';
  const cells: (Column & { readonly of: (row: Row) => string })[] = [
    ...(withPid ? [{ head: 'PID', align: 'right', of: (row: Row) => String(row.pid) } as const] : []),
    { head: 'ID', of: (row) => row.id },
    { head: 'CLIENT', of: (row) => row.client },
    ...(rows.some(({ user }) => user !== undefined) ? [{ head: 'USER', of: (row: Row) => row.user ?? '-' }] : []),
    { head: 'TARGET', of: (row) => row.target },
    { head: 'SERVER', of: (row) => row.server || '-' },
    { head: 'BACKEND', of: (row) => row.backend },
    { head: 'STATE', of: (row) => row.state },
    { head: 'UP', align: 'right', of: (row) => humanBytes(row.bytesUp) },
    { head: 'DOWN', align: 'right', of: (row) => humanBytes(row.bytesDown) },
    { head: 'AGE', align: 'right', of: (row) => humanTime(row.ageMs) },
    { head: 'IDLE', align: 'right', of: (row) => humanTime(row.idleMs) },
  ];
  return renderTable(
    cells,
    rows.map((row) => cells.map(({ of }) => of(row))),
  );
}
