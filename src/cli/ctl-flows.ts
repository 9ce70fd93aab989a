/** `splice-ctl flows`: the live flows of all servers on this machine, oldest first, once or again and again. Changes nothing. */
import { askFlows, chooseSockets } from './ctl-context.js';
import type { CtlContext } from './ctl-context.js';
import type { FlowInfo } from '../control/flow-info.js';
import { EXIT } from './environment.js';
import type { ExitCode } from './environment.js';
import { humanBytes, humanTime, renderTable } from './format.js';
import type { Column } from './format.js';
import { watch } from './watch.js';

type Row = FlowInfo & { readonly pid: number };

export interface FlowsOptions {
  readonly json: boolean;
  readonly control: string | undefined;
  /** Milliseconds between two looks; undefined: one look. */
  readonly watchMs: number | undefined;
}

export async function flows(context: CtlContext, options: FlowsOptions): Promise<ExitCode> {
  const { environment } = context;
  if (options.watchMs !== undefined) return watch(environment, options.watchMs, () => look(context, options));
  environment.stdout.write(await look(context, options));
  return EXIT.ok;
}

/** What there is at this moment. JSON that is repeated has one line a look, so that programs can read it. */
async function look(context: CtlContext, options: FlowsOptions): Promise<string> {
  const replies = await Promise.all((await chooseSockets(context, options.control)).map(askFlows));
  const rows = replies
    .flatMap((reply) => reply.flows.map((flow): Row => ({ pid: reply.pid, ...flow })))
    .sort((a, b) => b.ageMs - a.ageMs);
  if (!options.json) return flowsTable(rows, replies.length > 1);
  return `${JSON.stringify(rows, null, options.watchMs === undefined ? 2 : 0)}\n`;
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
    ...(rows.some(({ sides }) => sides !== undefined) ? [{ head: 'SIDES', of: sidesOf }] : []),
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

/** The client's side and the server's; what is carried by neither packet nor module backend has none. */
function sidesOf({ sides }: Row): string {
  return sides === undefined ? '-' : `${sides.client}/${sides.server}`;
}
