/**
 * Who the client is, through proxies: Forwarded (RFC 7239) and its older relatives X-Forwarded-For, -Proto and -Host.
 * Pure. Anybody can write these fields, so what they say counts only as far as the proxies that wrote it are trusted:
 * the policy is an argument. From a peer that is not trusted everything is thrown away.
 */
import { formatIPv4, formatIPv6, parseAddress } from '../socks/address.js';
import { isToken } from './characters.js';
import type { Fields } from './head.js';
import { listOf } from './framing.js';

/** The connection that a request came by. */
export interface Peer {
  /** The client's address as text, IPv6 without brackets. */
  readonly address: string;
  readonly port: number;
  /** How the client spoke to us. */
  readonly scheme: 'http' | 'https';
  /** Our end of the connection, for `by=`; undefined to leave it out. */
  readonly local?: string;
}

/** Whether a proxy with that address may say who its client is. Addresses are in canonical text. */
export type Trust = (address: string) => boolean;

export const TRUST_NOBODY: Trust = () => false;

export interface ForwardedPolicy {
  readonly trust: Trust;
  /** Write X-Forwarded-For, -Proto and -Host. Default: true. */
  readonly xForwarded?: boolean;
  /** Write Forwarded. Default: false, because many origins read only one of the two. */
  readonly forwarded?: boolean;
}

/** One element of a Forwarded field; names in lower case, values without quotes. */
export type ForwardedElement = ReadonlyMap<string, string>;

/**
 * Reads a Forwarded field (RFC 7239 section 4). Undefined when any part is malformed: then none of it can be trusted,
 * since it is not known where an element begins.
 */
export function parseForwarded(value: string): readonly ForwardedElement[] | undefined {
  const elements: ForwardedElement[] = [];
  let element = new Map<string, string>();
  let at = 0;
  for (;;) {
    at = skipPadding(value, at);
    const equals = value.indexOf('=', at);
    // Empty elements and pairs are part of the grammar of lists.
    if (equals !== -1 && value[at] !== ',' && value[at] !== ';') {
      const name = value.slice(at, equals).toLowerCase();
      const read = readValue(value, equals + 1);
      if (!isToken(name) || read === undefined || element.has(name)) return undefined;
      element.set(name, read.text);
      at = skipPadding(value, read.end);
    }
    const separator = value[at];
    if (separator === ';') at++;
    else if (separator === ',' || separator === undefined) {
      if (element.size > 0) elements.push(element);
      element = new Map();
      if (separator === undefined) return elements;
      at++;
    } else return undefined;
  }
}

function skipPadding(text: string, from: number): number {
  let at = from;
  while (text[at] === ' ' || text[at] === '\t') at++;
  return at;
}

/** A token or a quoted string. */
function readValue(text: string, from: number): { readonly text: string; readonly end: number } | undefined {
  if (text[from] !== '"') {
    let end = from;
    while (end < text.length && !' \t,;'.includes(text[end] ?? '')) end++;
    const token = text.slice(from, end);
    return isToken(token) ? { text: token, end } : undefined;
  }
  let result = '';
  for (let at = from + 1; at < text.length; at++) {
    const c = text[at] ?? '';
    if (c === '"') return { text: result, end: at + 1 };
    if (c === '\\') result += text[++at] ?? '';
    else result += c;
  }
  return undefined;
}

/** A value of Forwarded: as a token where it is one, else quoted. */
function quote(value: string): string {
  return isToken(value) ? value : `"${value.replace(/["\\]/g, '\\$&')}"`;
}

/** An address as the node of RFC 7239 section 6: IPv6 in brackets, and so quoted. */
export function forwardedNode(address: string): string {
  return address.includes(':') ? `"[${address}]"` : quote(address);
}

/** What a node or an entry of X-Forwarded-For names: an address in canonical text without port, or undefined. */
export function nodeAddress(node: string): string | undefined {
  let text = node;
  if (text.startsWith('[')) {
    const close = text.indexOf(']');
    if (close === -1) return undefined;
    text = text.slice(1, close);
  } else {
    const colon = text.indexOf(':');
    if (colon !== -1 && colon === text.lastIndexOf(':')) text = text.slice(0, colon);
  }
  const address = text.includes('%') ? undefined : parseAddress(text);
  if (address === undefined) return undefined;
  return address.family === 4 ? formatIPv4(address.bytes, 0) : formatIPv6(address.bytes, 0);
}

/**
 * The client's address: the peer, or, where that is a trusted proxy, the last address before it that is none. An entry
 * that is no address ends the walk, because what stands before it cannot be judged.
 */
export function clientAddress(fields: Fields, peer: Peer, trust: Trust): string {
  let client = peer.address;
  if (!trust(client)) return client;
  for (const node of chainOf(fields).reverse()) {
    const address = nodeAddress(node);
    if (address === undefined) return client;
    client = address;
    if (!trust(client)) return client;
  }
  return client;
}

/** The nodes that requests came through, the first first. X-Forwarded-For goes first: proxies that have both agree. */
function chainOf(fields: Fields): string[] {
  const list = fields.get('x-forwarded-for');
  if (list !== undefined) return [...listOf(list)];
  const forwarded = fields.get('forwarded');
  if (forwarded === undefined) return [];
  return (parseForwarded(forwarded) ?? []).map((element) => element.get('for') ?? 'unknown');
}

/** The fields that `forwardedFields` writes: to be left out of what was received. */
export const FORWARDED_NAMES: ReadonlySet<string> = new Set([
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
]);

/** What proxies write as well, each kind in its own way. */
const OTHER_NAMES: ReadonlySet<string> = new Set([
  'client-ip',
  'front-end-https',
  'true-client-ip',
  'x-client-ip',
  'x-cluster-client-ip',
  'x-host',
  'x-original-forwarded-for',
  'x-original-host',
  'x-real-ip',
  'x-url-scheme',
]);

/**
 * Whether a field, in lower case, tells an origin who the client is or what it has asked for. From whoever is not
 * trusted it must not get there: origins build links and redirects of it, which the cache would give to everybody.
 */
export function saysWhence(name: string): boolean {
  return name.startsWith('x-forwarded-') || name === 'forwarded' || OTHER_NAMES.has(name);
}

/** Names and values in turn, to be appended for an origin. `host` is the one that the client asked for. */
export function forwardedFields(
  received: Fields,
  peer: Peer,
  host: string | undefined,
  policy: ForwardedPolicy,
): string[] {
  const { xForwarded = true, forwarded = false } = policy;
  const trusted = policy.trust(peer.address);
  const before = (name: string): string | undefined => (trusted ? received.get(name) : undefined);
  const flat: string[] = [];
  if (xForwarded) {
    const chain = before('x-forwarded-for');
    flat.push('X-Forwarded-For', chain === undefined ? peer.address : `${chain}, ${peer.address}`);
    flat.push('X-Forwarded-Proto', before('x-forwarded-proto') ?? peer.scheme);
    const asked = before('x-forwarded-host') ?? host;
    if (asked !== undefined) flat.push('X-Forwarded-Host', asked);
  }
  if (forwarded) {
    const chain = before('forwarded');
    const own = ownElement(peer, host);
    // A chain that nobody can read would make ours unreadable too.
    const keep = chain !== undefined && parseForwarded(chain) !== undefined;
    flat.push('Forwarded', keep ? `${chain}, ${own}` : own);
  }
  return flat;
}

function ownElement(peer: Peer, host: string | undefined): string {
  let element = `for=${forwardedNode(peer.address)}`;
  if (peer.local !== undefined) element += `;by=${forwardedNode(peer.local)}`;
  if (host !== undefined) element += `;host=${quote(host)}`;
  return `${element};proto=${peer.scheme}`;
}
