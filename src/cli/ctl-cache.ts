/** `splice-ctl cache`: the caches of the splice-http on this machine, or what is stored there under a URL. Changes nothing. */
import { OUTCOMES } from '../control/http-counts.js';
import type { LookupAnswer } from '../control/http-cache-routes.js';
import type { HttpTotals } from '../control/http-totals.js';
import { ask, chooseSockets } from './ctl-context.js';
import type { CtlContext } from './ctl-context.js';
import { cacheLines } from './ctl-http-lines.js';
import { httpShape, lookupShape } from './ctl-http-shapes.js';
import { EXIT } from './environment.js';
import type { ExitCode } from './environment.js';
import { humanBytes, humanTime, printable, renderTable } from './format.js';

export interface CacheOptions {
  readonly json?: true;
  readonly control?: string;
}

export async function cache(context: CtlContext, url: string | undefined, options: CacheOptions): Promise<ExitCode> {
  const sockets = await chooseSockets(context, options.control, ['http']);
  const { stdout } = context.environment;
  if (url === undefined) {
    const answers = await Promise.all(
      sockets.map(async (path) => ({ path, ...(await ask(path, '/cache', httpShape)) })),
    );
    stdout.write(options.json ? asJson(answers) : answers.map(cacheBlock).join('\n'));
    return EXIT.ok;
  }
  const route = `/cache/lookup?url=${encodeURIComponent(url)}`;
  const answers = await Promise.all(sockets.map(async (path) => ({ path, ...(await ask(path, route, lookupShape)) })));
  stdout.write(options.json ? asJson(answers) : answers.map(lookupBlock).join('\n'));
  return EXIT.ok;
}

const asJson = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

function cacheBlock({ path, ...http }: HttpTotals & { readonly path: string }): string {
  const lines = cacheLines(http).map(([name, value]) => `  ${name.padEnd(12)} ${value}\n`);
  const table = renderTable(
    [{ head: 'CACHE' }, { head: 'REQUESTS', align: 'right' }, { head: 'BYTES', align: 'right' }],
    OUTCOMES.filter((outcome) => http.outcomes[outcome].requests > 0).map((outcome) => {
      const { requests, bytes } = http.outcomes[outcome];
      return [outcome, String(requests), humanBytes(bytes)];
    }),
  );
  return `${printable(path)}\n${lines.join('')}${http.requests === 0 ? '' : `\n${table}`}`;
}

/** One row a variant. */
function lookupBlock({ path, url, stored }: LookupAnswer & { readonly path: string }): string {
  const title = printable(`${path}: ${url}`);
  if (stored.length === 0) return `${title}\n  nothing is stored\n`;
  const rows = stored.map((info) => [
    String(info.status),
    info.filling === true ? 'filling' : (info.validate ?? (info.freshMs > 0 ? 'fresh' : 'stale')),
    humanTime(info.ageMs),
    info.freshMs > 0 ? humanTime(info.freshMs) : '-',
    info.basis,
    info.complete || info.length === undefined
      ? humanBytes(info.bytes)
      : `${humanBytes(info.bytes)} of ${humanBytes(info.length)}`,
    info.type ?? '-',
    info.vary.join(', ') || '-',
  ]);
  const heads = ['STATUS', 'STATE', 'AGE', 'FRESH FOR', 'BY', 'SIZE', 'TYPE', 'VARY'];
  return `${title}\n${renderTable(
    heads.map((head) => ({ head })),
    rows,
  )}`;
}
