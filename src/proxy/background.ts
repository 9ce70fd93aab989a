/**
 * Stage splice: a stored response is validated while the client has its stale one already (stale-while-revalidate,
 * RFC 5861). Called by handshake.ts; an exchange without a client, of which there is one a key at a time.
 */
import type { Forward } from '../cache/decide.js';
import { NO_BODY } from '../http/framing.js';
import type { ProxyContext } from './context.js';
import { Exchange } from './exchange.js';
import { ask } from './splice.js';

export function startBackground(context: ProxyContext, asked: Exchange, plan: Forward): void {
  const { site, ends, scheme, parsed } = asked;
  const exchange = new Exchange(site, undefined, ends, scheme, { ...parsed, head: plan.request, framing: NO_BODY });
  if (context.desk?.collapse.tryLead(asked.key, exchange) !== true) return;
  exchange.leads = true;
  exchange.background = true;
  exchange.route = asked.route;
  exchange.uri = asked.uri;
  exchange.key = asked.key;
  exchange.cache = 'miss';
  // The rules of the client that asks for it hold for its validation as well: the name may mean another address by now.
  exchange.allows = asked.allows;
  exchange.user = asked.user;
  context.exchanges.add(exchange);
  ask(context, exchange, plan);
}
