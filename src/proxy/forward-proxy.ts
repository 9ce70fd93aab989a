/**
 * Stage handshake of the forward proxy: who asks, where to, and may they? Called by handshake.ts for targets that no
 * site answers. Absolute targets go the way of all requests; CONNECT gets a connection of its own and a tunnel.
 */
import { formatAuthority } from '../http/authority.js';
import { Fields } from '../http/head.js';
import { portOf, type Target } from '../http/target.js';
import type { ProxyContext } from './context.js';
import type { Exchange } from './exchange.js';
import { take } from './handshake.js';
import { reply } from './own-response.js';
import type { ForwardProxy, Route } from './site.js';
import { connectTunnel } from './tunnel.js';

type ForwardTarget = Extract<Target, { kind: 'absolute' | 'authority' }>;

const CHALLENGE = Fields.from([['Proxy-Authenticate', 'Basic realm="splice-http", charset="UTF-8"']]);

export function enterForward(
  context: ProxyContext,
  exchange: Exchange,
  proxy: ForwardProxy,
  target: ForwardTarget,
): void {
  const user = proxy.authenticate(exchange.parsed.head.fields.get('proxy-authorization'));
  if (user instanceof Promise) {
    void user.then((known) => {
      if (!exchange.over) admit(context, exchange, proxy, target, known);
    });
  } else admit(context, exchange, proxy, target, user);
}

function admit(
  context: ProxyContext,
  exchange: Exchange,
  proxy: ForwardProxy,
  target: ForwardTarget,
  user: string | undefined,
): void {
  if (user === undefined) {
    reply(context, exchange, 407, 'not-authenticated', 'Say who you are: --proxy-user NAME:PASSWORD.', {
      fields: CHALLENGE,
    });
    return;
  }
  exchange.user = user;
  const scheme = target.kind === 'authority' ? 'http' : target.scheme;
  const { authority } = target;
  exchange.scheme = scheme;
  const host = authority.host.startsWith('[') ? authority.host.slice(1, -1) : authority.host;
  const port = portOf(authority, scheme);
  const allows = (address: string | undefined): boolean =>
    proxy.allows({ host, port, address, client: exchange.peer.address, user });
  const isTunnel = target.kind === 'authority';
  if (isTunnel && proxy.connectPorts?.has(port) === false) {
    reply(context, exchange, 403, 'port-denied', `CONNECT to port ${port} is not allowed here (--connect-ports).`);
    return;
  }
  if (!allows(undefined)) {
    reply(context, exchange, 403, 'denied', 'A rule forbids to go there.');
    return;
  }
  const route: Route = {
    name: isTunnel ? 'tunnel' : 'forward',
    origin: proxy.origin(scheme, { host: authority.host, port }),
    host: 'client',
    cache: isTunnel ? undefined : proxy.cache,
  };
  exchange.allows = allows;
  if (isTunnel) connectTunnel(context, exchange, route, formatAuthority(authority));
  else take(context, exchange, route);
}
