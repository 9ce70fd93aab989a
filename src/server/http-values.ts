/**
 * What the settings of splice-http are written like, beyond config-values.ts. Each function takes what stands in YAML
 * or behind a flag and gives the value that the server works with, or throws ValueMistake. Pure.
 */
import { parseAuthority } from '../http/authority.js';
import { isToken } from '../http/characters.js';
import { parseNetwork } from '../socks/address.js';
import { ValueMistake } from './config-address.js';
import { parseLifetime, show } from './config-values.js';

/** Where requests are forwarded to. */
export interface OriginUrl {
  readonly scheme: 'http' | 'https';
  /** IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

/** `http://host[:port]` or `https://host[:port]`. */
export function parseOriginUrl(value: unknown): OriginUrl {
  const text = typeof value === 'string' ? value.trim() : '';
  const match = /^(https?):\/\/([^/?#]*)(.*)$/i.exec(text);
  if (match === null) throw new ValueMistake(`${show(value)} is not a URL; write http://10.0.0.5:3000`);
  const [, scheme = '', place = '', rest = ''] = match;
  const authority = parseAuthority(place);
  if (authority === undefined) throw new ValueMistake(`${show(value)} has no host, or not a usable port`);
  if (rest !== '' && rest !== '/') {
    throw new ValueMistake(`${show(value)} has a path; requests keep theirs, write only ${scheme}://${place}`);
  }
  const secure = scheme.toLowerCase() === 'https';
  return {
    scheme: secure ? 'https' : 'http',
    host: authority.host.replace(/^\[|\]$/g, ''),
    port: authority.port ?? (secure ? 443 : 80),
  };
}

export function formatOrigin({ scheme, host, port }: OriginUrl): string {
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** `www.example.com`, `*.example.com`; without a port, in the form that a Host field is read to. */
export function parseHostPattern(value: unknown): string {
  const text = typeof value === 'string' ? value.trim() : '';
  const wild = text.startsWith('*.');
  const authority = parseAuthority(wild ? text.slice(2) : text);
  if (authority === undefined) {
    throw new ValueMistake(`${show(value)} is not a host; write www.example.com, or *.example.com for all below it`);
  }
  if (authority.port !== undefined) throw new ValueMistake(`${show(value)} has a port; a host matches on every port`);
  return wild ? `*.${authority.host}` : authority.host;
}

/** A beginning of paths. */
export function parsePathPrefix(value: unknown): string {
  if (typeof value === 'string' && /^\/[\x21-\x22\x24-\x3e\x40-\x7e]*$/.test(value)) return value;
  throw new ValueMistake(`${show(value)} is not the beginning of a path; write /api/, without a query`);
}

/** What is matched with `*` for anything: a whole path. */
export function parsePathPattern(value: unknown): string {
  if (typeof value === 'string' && /^[/*][\x21-\x22\x24-\x3e\x40-\x7e]*$/.test(value)) return value;
  throw new ValueMistake(`${show(value)} is not a pattern of paths; write /admin/ or *.php, without a query`);
}

/** `NAME` or `NAME=VALUE`, either with `*` for anything. */
export function parseNamePattern(value: unknown): string {
  const text = typeof value === 'string' ? value.trim() : '';
  if (/^[^\s=;,]+(=.+)?$/.test(text)) return text;
  throw new ValueMistake(`${show(value)} is not NAME or NAME=VALUE; either may have * for anything`);
}

/** The name of a field, in lower case. */
export function parseFieldName(value: unknown): string {
  const text = typeof value === 'string' ? value.trim() : '';
  if (isToken(text)) return text.toLowerCase();
  throw new ValueMistake(`${show(value)} is not the name of a header field`);
}

export function parseWordOfText(value: unknown): string {
  const text = typeof value === 'string' ? value.trim() : typeof value === 'number' ? String(value) : '';
  if (text !== '' && !/\s/.test(text)) return text;
  throw new ValueMistake(`${show(value)} is not a word`);
}

export function parseMethod(value: unknown): string {
  const text = typeof value === 'string' ? value.trim() : '';
  if (/^[A-Z][A-Z-]*$/.test(text)) return text;
  throw new ValueMistake(`${show(value)} is not a method; they are written in capitals, as in GET`);
}

export function parseStatus(value: unknown): number {
  const status = Number(value);
  if (/^[1-5]\d\d$/.test(String(value).trim())) return status;
  throw new ValueMistake(`${show(value)} is not a status; they go from 100 to 599`);
}

/** `0.1` or `10%`. */
export function parseFraction(value: unknown): number {
  const match = /^(\d+(?:\.\d+)?)(%?)$/.exec(String(value).trim());
  const fraction = match === null ? NaN : Number(match[1]) / (match[2] === '%' ? 100 : 1);
  if (fraction >= 0 && fraction <= 1) return fraction;
  throw new ValueMistake(`${show(value)} is not a part; write 0.1 or 10%`);
}

/** `443`, `443,8443`, a YAML list, or `any`. */
export function parsePortList(value: unknown): readonly number[] | 'any' {
  if (value === 'any') return 'any';
  return itemsOf(value).map((item) => {
    const port = /^\d{1,5}$/.test(String(item).trim()) ? Number(item) : 0;
    if (port >= 1 && port <= 65535) return port;
    throw new ValueMistake(`${show(item)} is not a port; write 443, or 443,8443, or any`);
  });
}

export type Negative = readonly (readonly [status: number, lifetime: number])[];

/** `404=10s,410=1h`, or in YAML a map from status to duration. */
export function parseNegative(value: unknown): Negative {
  if (value === 'none') return [];
  const map = typeof value === 'object' && value !== null && !Array.isArray(value);
  const pairs: (readonly [unknown, unknown])[] = map
    ? Object.entries(value)
    : itemsOf(value).map((item) => {
        const [status, lifetime] = String(item).split('=');
        return [status, lifetime];
      });
  return pairs.map(([status, lifetime]) => {
    if (lifetime === undefined) throw new ValueMistake(`${show(value)}: write 404=10s, or in a file {404: 10s}`);
    const number = parseStatus(status);
    if (number < 400) throw new ValueMistake(`${number} says yes; only statuses from 400 on are remembered so`);
    return [number, parseLifetime(lifetime)];
  });
}

/** Networks in CIDR form, or addresses; as text that the server compiles. */
export function parseNetworkText(value: unknown): string {
  const text = typeof value === 'string' ? value.trim() : '';
  const network = parseNetwork(text);
  if (typeof network === 'string') throw new ValueMistake(network);
  return text;
}

/** The name that Via calls us by: a token, or host and port (RFC 9110 section 7.6.3); '' for `none`. */
export function parseVia(value: unknown): string {
  if (value === 'none') return '';
  const text = typeof value === 'string' ? value.trim() : '';
  if (isToken(text) || parseAuthority(text) !== undefined) return text;
  throw new ValueMistake(`${show(value)} is not a name for Via; write a word, a host, or none`);
}

/** `a,b`, or a YAML list of them, or `none`. */
export function itemsOf(value: unknown): unknown[] {
  if (value === 'none') return [];
  const parts: readonly unknown[] = Array.isArray(value) ? value : [value];
  return parts.flatMap((part) => (typeof part === 'string' ? part.split(',').map((item) => item.trim()) : [part]));
}
