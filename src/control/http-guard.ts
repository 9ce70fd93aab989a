/**
 * Who may use the admin endpoint of a splice-http. It listens where the operator put it, often without a password on
 * 127.0.0.1; so a web page in a browser on the same machine must not get through, neither by a form or fetch of its own
 * (Origin, Sec-Fetch-Site) nor under a name of its own that it lets point here (Host; "DNS rebinding").
 */
import { parseAddress } from '../socks/address.js';
import { parseAuthority } from '../http/authority.js';
import { isCachePath } from './http-cache-routes.js';
import { problem, type Call, type Guard } from './http-routes.js';
import { showsToken } from './http-token.js';

export interface GuardOptions {
  /** Asked at each request, so that a reload can change it. Undefined: none is wanted. */
  readonly token: () => string | undefined;
  /** Names, beside `localhost`, under which the endpoint is reached. */
  readonly names: readonly string[];
}

/** Open to all who reach the address: what says nothing, and what load balancers ask without a password. */
const OPEN = new Set(['/', '/health']);

export function adminGuard({ token, names }: GuardOptions): Guard {
  const known = new Set(['localhost', ...names.map((name) => name.toLowerCase())]);
  return (path, call) => {
    const wanted = token();
    if (wanted !== undefined) {
      // Who has it is no stranger's page: browsers add no Authorization of this kind by themselves.
      return OPEN.has(path) || showsToken(call.headers.authorization, wanted) ? undefined : UNAUTHORIZED;
    }
    if (!isCachePath(path)) return undefined;
    if (!isOurName(call.headers.host, known)) return MISDIRECTED;
    return isFromPage(call) ? CROSS_SITE : undefined;
  };
}

const UNAUTHORIZED = {
  ...problem(401, 'token-wanted', 'a token is wanted', 'send "Authorization: Bearer TOKEN" from the admin-token file'),
  headers: { 'www-authenticate': 'Bearer' },
};
const MISDIRECTED = problem(
  421,
  'unknown-host',
  'the Host field names another server',
  'use the address or localhost, or set admin-token',
);
const CROSS_SITE = problem(
  403,
  'cross-site',
  'a web page may not do this',
  'ask from the command line, or set admin-token',
);

/** An address, or a name that we know. HTTP/1.0 may leave it out; browsers never do. */
function isOurName(host: string | undefined, known: ReadonlySet<string>): boolean {
  if (host === undefined) return true;
  const name = parseAuthority(host)?.host;
  if (name === undefined) return false;
  return name.startsWith('[') || known.has(name) || parseAddress(name) !== undefined;
}

function isFromPage({ headers }: Call): boolean {
  const site = headers['sec-fetch-site'];
  return headers.origin !== undefined || (site !== undefined && site !== 'none');
}
