/**
 * Stage handshake: whom a request is for, what the cache says to it, and whether it waits for the answer to another
 * request. Called by client-connection.ts for every request; a hit from memory is answered within the call.
 */
import { randomUUID } from 'node:crypto';
import { decideRequest, type Forward, type Inquiry, type RequestDecision } from '../cache/decide.js';
import { cacheKey } from '../cache/key.js';
import { NEVER_STALE } from '../cache/reuse.js';
import type { StoredResponse } from '../cache/stored.js';
import { expectsContinue } from '../http/framing.js';
import { countHop, passedThrough, requestIdOf } from '../http/forward.js';
import { clientAddress } from '../http/forwarded.js';
import { withoutNominated } from '../http/hop-by-hop.js';
import { refuse } from '../http/refusal.js';
import { normalUri, type Target } from '../http/target.js';
import type { Scheme } from '../http/authority.js';
import { boundary } from './boundary.js';
import { startBackground } from './background.js';
import type { ProxyContext } from './context.js';
import type { LiveFill } from './desk.js';
import type { Exchange } from './exchange.js';
import { enterForward } from './forward-proxy.js';
import { answerAsterisk, answerTrace, reply, replyRefusal } from './own-response.js';
import { isPlain, readyHead } from './ready-head.js';
import { answerStored, sendReady } from './relay.js';
import type { Route } from './site.js';
import { ask } from './splice.js';
import { settle } from './teardown.js';

/** A request has come. */
export function begin(context: ProxyContext, exchange: Exchange): void {
  const { site, parsed } = exchange;
  const { head, target, framing } = parsed;
  context.exchanges.add(exchange);
  exchange.scheme = schemeOf(exchange);
  if (site.requestIds)
    exchange.requestId = requestIdOf(head.fields, site.forwarded.trust(exchange.peer.address)) ?? randomUUID();
  if (framing.kind === 'length' && framing.length > site.maxRequestBytes) {
    replyRefusal(context, exchange, refuse(413, 'content-too-large', 'The content of the request is too large.'));
    return;
  }
  if (site.via !== undefined && passedThrough(head.fields, site.via)) {
    reply(context, exchange, 508, 'loop', 'The request has been here before: it goes round in a loop.');
    return;
  }
  const expects = expectsContinue(head, framing);
  if (typeof expects !== 'boolean') {
    replyRefusal(context, exchange, expects);
    return;
  }
  const hops = countHop(head);
  if (hops.kind === 'refused') {
    replyRefusal(context, exchange, hops);
    return;
  }
  if (hops.kind === 'answer') {
    if (head.method === 'TRACE') answerTrace(context, exchange);
    else answerAsterisk(context, exchange);
    return;
  }
  const fields = withoutNominated(hops.fields);
  if (fields !== head.fields) exchange.request = { ...head, fields };
  find(context, exchange, target);
}

function find(context: ProxyContext, exchange: Exchange, target: Target): void {
  const { site, parsed } = exchange;
  switch (target.kind) {
    case 'asterisk':
      answerAsterisk(context, exchange);
      return;
    case 'authority':
      if (site.forward === undefined) {
        reply(context, exchange, 405, 'no-forward-proxy', 'This is no forward proxy: it opens no tunnels.');
      } else {
        enterForward(context, exchange, site.forward, target);
      }
      return;
    case 'absolute':
    case 'origin': {
      // Who names a host to a forward proxy means that host, not whoever answers for all.
      const route = site.route(parsed.authority, target.path, target.kind === 'absolute' && site.forward !== undefined);
      if (route !== undefined && target.kind === 'absolute' && target.scheme !== exchange.scheme) {
        // RFC 9110 section 7.4: a site answers for what reaches it by that scheme. What an origin says to one, such as
        // a redirect to the other, must not be stored as the answer to the other.
        reply(context, exchange, 421, 'wrong-scheme', 'Nothing here answers for that scheme on this connection.');
      } else if (route !== undefined) take(context, exchange, route);
      else if (site.forward !== undefined && target.kind === 'absolute') {
        enterForward(context, exchange, site.forward, target);
      } else reply(context, exchange, 421, 'no-site', 'No site here answers for that host.');
    }
  }
}

/** The route is known: the cache is asked. */
export function take(context: ProxyContext, exchange: Exchange, route: Route): void {
  const { authority } = exchange.parsed;
  exchange.route = route;
  if (route.cache === undefined || context.desk === undefined) {
    ask(context, exchange, passing(exchange));
    return;
  }
  // Only HTTP/1.0 comes without a host: then the origin's own stands for it.
  const named = authority ?? { host: route.origin.host, port: route.origin.port };
  exchange.uri = normalUri(exchange.scheme, named, pathOf(exchange));
  exchange.key = cacheKey(exchange.uri, exchange.request.fields, route.cache.key);
  inquire(context, exchange);
}

function inquire(context: ProxyContext, exchange: Exchange): void {
  const { desk } = context;
  const cache = exchange.routeCache;
  if (desk === undefined || cache === undefined) return;
  const stored = desk.peek(exchange.key, cache.policy);
  if (stored !== undefined) {
    if (!answerReady(context, exchange, stored)) decide(context, exchange, stored);
    return;
  }
  void desk.lookup(exchange.key, cache.policy).then((found) => {
    if (exchange.over) return;
    if (exchange.client === undefined) settle(context, exchange, 'client-gone', 'gone');
    else decide(context, exchange, found);
  });
}

/** The usual hit: one representation, in memory, and its head was made within this second. */
function answerReady(context: ProxyContext, exchange: Exchange, stored: readonly StoredResponse[]): boolean {
  const { desk } = context;
  const cache = exchange.routeCache;
  const [only, ...others] = stored;
  if (desk === undefined || cache === undefined || only === undefined || others.length > 0) return false;
  if (only.vary === '*' || only.vary.length > 0 || !isPlain(exchange)) return false;
  exchange.decidedAt = Date.now();
  const ready = readyHead(only, exchange.site, exchange.decidedAt);
  if (ready === undefined || cache.bypass(exchange.request, pathOf(exchange))) return false;
  const body = desk.body(only);
  if (body === undefined || body instanceof Promise || body.kind !== 'memory') return false;
  desk.touch(only);
  exchange.cache = 'hit';
  sendReady(context, exchange, ready.status, ready.head, body.bytes);
  return true;
}

function decide(context: ProxyContext, exchange: Exchange, stored: readonly StoredResponse[]): void {
  const { desk } = context;
  const cache = exchange.routeCache;
  if (desk === undefined || cache === undefined) return;
  const inquiry: Inquiry = {
    request: exchange.request,
    uri: exchange.uri,
    key: exchange.key,
    stored,
    now: (exchange.decidedAt = Date.now()),
    policy: cache.policy,
    boundary,
    bypass: cache.bypass(exchange.request, pathOf(exchange)),
    ...(exchange.waited !== undefined && { waited: exchange.waited }),
  };
  const decision = decideRequest(inquiry);
  switch (decision.kind) {
    case 'answer':
      exchange.cache = exchange.waited !== undefined ? 'collapsed' : outcomeOf(decision);
      desk.touch(decision.answer.from);
      answerStored(context, exchange, decision.answer);
      if (decision.background !== undefined) startBackground(context, exchange, decision.background);
      return;
    case 'error':
      exchange.cache = 'miss';
      reply(context, exchange, decision.status, decision.why, 'The cache cannot answer this by itself.', {
        cacheStatus: decision.cacheStatus,
      });
      return;
    case 'forward': {
      const live = decision.forward.purpose === 'pass' ? undefined : fromLive(desk.live(exchange.key), inquiry);
      if (live !== undefined) {
        exchange.cache = 'collapsed';
        answerStored(context, exchange, live.answer, live.fill);
      } else forward(context, exchange, decision.forward);
    }
  }
}

/** An answer out of what is being filled at this moment; only while it is fresh, since it cannot be validated. */
function fromLive(
  fills: readonly LiveFill[],
  inquiry: Inquiry,
): { readonly answer: Extract<RequestDecision, { kind: 'answer' }>['answer']; readonly fill: LiveFill } | undefined {
  if (fills.length === 0) return undefined;
  const decision = decideRequest({
    ...inquiry,
    stored: fills.map(({ stored }) => stored),
    waited: inquiry.waited ?? 'uri-miss',
  });
  if (decision.kind !== 'answer' || decision.background !== undefined) return undefined;
  const fill = fills.find(({ stored }) => stored === decision.answer.from);
  return fill === undefined ? undefined : { answer: decision.answer, fill };
}

/** What was to answer is gone from the store, or fails to get there: as if it had never been. */
export function missAfterAll(context: ProxyContext, exchange: Exchange): void {
  if (!exchange.over) decide(context, exchange, []);
}

function forward(context: ProxyContext, exchange: Exchange, plan: Forward): void {
  const { desk } = context;
  exchange.cache = plan.why === 'bypass' || plan.purpose === 'pass' ? 'bypass' : 'miss';
  // Who has waited once does not wait again: answers that go stale at once would serve a queue one by one.
  if (!plan.collapsible || desk === undefined || exchange.leads || exchange.waited !== undefined) {
    ask(context, exchange, plan);
    return;
  }
  switch (desk.collapse.arrive(exchange.key, exchange, Date.now())) {
    case 'lead':
      exchange.leads = true;
      ask(context, exchange, plan);
      return;
    case 'pass':
      ask(context, exchange, plan);
      return;
    case 'wait':
      exchange.wake = (how) => {
        exchange.waited = plan.why;
        exchange.leads = how === 'lead';
        if (how === 'pass') ask(context, exchange, plan);
        else inquire(context, exchange);
      };
  }
}

function outcomeOf(decision: Extract<RequestDecision, { kind: 'answer' }>): 'hit' | 'stale' {
  return decision.background === undefined ? 'hit' : 'stale';
}

function pathOf({ parsed: { target } }: Exchange): string {
  return target.kind === 'origin' || target.kind === 'absolute' ? target.path : '/';
}

/** Forwarded as it is: nothing of it concerns a cache. */
function passing(exchange: Exchange): Forward {
  return {
    why: 'bypass',
    purpose: 'pass',
    request: exchange.request,
    fields: exchange.request.fields,
    nominated: [],
    selected: undefined,
    fallback: NEVER_STALE,
    collapsible: false,
    background: false,
  };
}

/** What the client asked for with: its own connection's scheme, or that which a trusted proxy before us names. */
function schemeOf(exchange: Exchange): Scheme {
  const { head } = exchange.parsed;
  const { peer, site } = exchange;
  const named = head.fields.get('x-forwarded-proto');
  if (named === undefined || !site.forwarded.trust(peer.address)) return exchange.scheme;
  return named === 'https' || named === 'http' ? named : exchange.scheme;
}

/** The client's address as the access log shows it: through proxies that are trusted. */
export function clientOf({ site, peer, parsed }: Exchange): string {
  return clientAddress(parsed.head.fields, peer, site.forwarded.trust);
}
