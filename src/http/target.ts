/**
 * The four forms of a request target (RFC 9112 section 3.2), and the URI that a request is about. Pure; head-parser.ts
 * reads every target here, so that a request that got this far has one that its method allows.
 */
import { type Authority, type Scheme, defaultPort, formatAuthority, parseAuthority } from './authority.js';
import { isHexDigit, isTargetByte } from './characters.js';
import { type Refusal, refuse } from './refusal.js';

export type Target =
  /** `path` as received, with its query: begins with a slash. */
  | { readonly kind: 'origin'; readonly path: string }
  /** To a proxy. `path` with its query; empty where the URI has none. */
  | { readonly kind: 'absolute'; readonly scheme: Scheme; readonly authority: Authority; readonly path: string }
  /** CONNECT only. */
  | { readonly kind: 'authority'; readonly authority: Authority & { readonly port: number } }
  /** OPTIONS only: about the server as a whole. */
  | { readonly kind: 'asterisk' };

const ASTERISK: Target = { kind: 'asterisk' };

/** The target of a request with that method, or why it cannot have it. */
export function parseTarget(method: string, text: string): Target | Refusal {
  if (method === 'CONNECT') return parseConnect(text);
  if (text === '*') {
    return method === 'OPTIONS' ? ASTERISK : refuse(400, 'bad-target', 'Only OPTIONS has "*" for its target.');
  }
  // A fragment never travels; some recipients would cut it and others not.
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === 0x23 || !isTargetByte(c)) {
      return refuse(400, 'bad-target', 'The request target has a character that must be percent-encoded.');
    }
  }
  if (text.startsWith('/')) return { kind: 'origin', path: text };
  return parseAbsolute(text);
}

function parseConnect(text: string): Target | Refusal {
  const authority = parseAuthority(text);
  if (authority?.port !== undefined) return { kind: 'authority', authority: { ...authority, port: authority.port } };
  return refuse(400, 'bad-target', 'CONNECT wants a host and a port, such as example.com:443.');
}

function parseAbsolute(text: string): Target | Refusal {
  const colon = text.indexOf('://');
  const scheme = colon === -1 ? '' : text.slice(0, colon).toLowerCase();
  if (scheme !== 'http' && scheme !== 'https') {
    return refuse(400, 'bad-target', 'The request target is neither a path nor an http or https URL.');
  }
  const start = colon + 3;
  let end = start;
  for (; end < text.length; end++) {
    const c = text.charCodeAt(end);
    if (c === 0x2f || c === 0x3f) break;
  }
  const authority = parseAuthority(text.slice(start, end));
  if (authority === undefined) {
    return refuse(400, 'bad-target', 'The URL in the request line has no host that can be used, or a user name.');
  }
  return { kind: 'absolute', scheme, authority, path: text.slice(end) };
}

/** What to send an origin: the target in origin form, or `*` (RFC 9112 section 3.2.4). Not for CONNECT. */
export function originForm(method: string, target: Exclude<Target, { kind: 'authority' }>): string {
  if (target.kind === 'asterisk') return '*';
  if (target.path.startsWith('/')) return target.path;
  if (target.path === '') return method === 'OPTIONS' ? '*' : '/';
  return `/${target.path}`;
}

/**
 * The URI as a key of the cache and of purges: scheme and host in lower case, no default port, "/" for an empty path,
 * escapes in capitals (RFC 3986 sections 6.2.2.1 and 6.2.3).
 *
 * Nothing else is made equal, neither `%7E` and `~` nor `/a/../b` and `/b`. RFC 3986 would allow it, but origins and
 * filters before them do not all agree, and a key that joins what an origin tells apart serves one client the answer
 * to another's question. Two keys for one resource only cost a second fetch.
 */
export function normalUri(scheme: Scheme, authority: Authority, path: string): string {
  const slash = path.startsWith('/') ? '' : '/';
  return `${scheme}://${formatAuthority(authority, scheme)}${slash}${upperEscapes(path)}`;
}

/** Reads a URI that a person or the admin API gives, as `normalUri` writes it; undefined when it is no http(s) URL. */
export function parseUri(text: string): string | undefined {
  const fragment = text.indexOf('#');
  const target = parseTarget('GET', fragment === -1 ? text : text.slice(0, fragment));
  return target.kind === 'absolute' ? normalUri(target.scheme, target.authority, target.path) : undefined;
}

function upperEscapes(path: string): string {
  let at = path.indexOf('%');
  if (at === -1) return path;
  let result = '';
  let copied = 0;
  for (; at !== -1; at = path.indexOf('%', at + 1)) {
    if (!isHexDigit(path.charCodeAt(at + 1)) || !isHexDigit(path.charCodeAt(at + 2))) continue;
    result += path.slice(copied, at) + path.slice(at, at + 3).toUpperCase();
    copied = at + 3;
  }
  return result + path.slice(copied);
}

/** The port to connect to. */
export function portOf(authority: Authority, scheme: Scheme): number {
  return authority.port ?? defaultPort(scheme);
}
