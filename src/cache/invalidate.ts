/**
 * Which URIs a request that may have changed something makes invalid (RFC 9111 section 4.4). Called by decide.ts for
 * every response to an unsafe method; pure.
 */
import type { ResponseHead } from '../http/head.js';
import { parseUri } from '../http/target.js';

/** RFC 9110 section 9.2.1. Every other method, known or not, may change state. */
const SAFE_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE']);

export function isSafe(method: string): boolean {
  return SAFE_METHODS.has(method);
}

/**
 * URIs in normal form, the target first. Only a 2xx or 3xx invalidates: anything else changed nothing. URIs of another
 * origin are left alone, or one site could empty the cache of another.
 */
export function invalidatedUris(method: string, uri: string, response: ResponseHead): readonly string[] {
  if (isSafe(method) || response.status < 200 || response.status > 399) return [];
  const uris = [uri];
  for (const name of ['location', 'content-location']) {
    const value = response.fields.get(name);
    const other = value === undefined ? undefined : resolveReference(value, uri);
    if (other !== undefined && originOf(other) === originOf(uri) && !uris.includes(other)) uris.push(other);
  }
  return uris;
}

/** A URI reference against a URI in normal form; undefined where the result is no http(s) URI. */
export function resolveReference(reference: string, uri: string): string | undefined {
  const text = reference.trim();
  if (/^https?:\/\//i.test(text)) return parseUri(text);
  // What begins at the root needs no path arithmetic, and keeps the very spelling that requests use.
  if (text.startsWith('/') && !text.startsWith('//')) return parseUri(originOf(uri) + text);
  try {
    return parseUri(new URL(text, uri).href);
  } catch {
    return undefined;
  }
}

/** Scheme, host and port of a URI in normal form. */
function originOf(uri: string): string {
  const slash = uri.indexOf('/', uri.indexOf('://') + 3);
  return slash === -1 ? uri : uri.slice(0, slash);
}
