/** Tells those who wait for an exchange's answer how it went (src/cache/collapse.ts). Stages splice and teardown. */
import type { Release } from '../cache/collapse.js';
import type { Shared } from '../cache/decide.js';
import type { ProxyContext } from './context.js';
import type { Waiter } from './desk.js';
import type { Exchange } from './exchange.js';

/** `failed`: there was no answer. Only the first word counts. Gives how many can use the same answer. */
export function tell(context: ProxyContext, exchange: Exchange, how: Shared | 'failed'): number {
  const { desk } = context;
  if (desk === undefined || exchange.key === '') return 0;
  const { leads } = exchange;
  exchange.leads = false;
  if (how === 'failed') return leads ? release(desk.collapse.failed(exchange.key, exchange)) : 0;
  return release(desk.collapse.answered(exchange.key, exchange, how, Date.now()));
}

function release({ reuse, pass, lead }: Release<Waiter>): number {
  for (const waiter of reuse) waiter.proceed('reuse');
  for (const waiter of pass) waiter.proceed('pass');
  lead?.proceed('lead');
  return reuse.length;
}
