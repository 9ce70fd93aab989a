/**
 * Cache-Status (RFC 9211): how this cache handled a request, in a field that people and tools read. Called by decide.ts
 * and respond.ts for every response, those that the proxy makes itself included; pure.
 *
 * Each cache adds one member behind those of the caches nearer to the origin, so what is there is kept.
 */
import type { Fields } from '../http/head.js';
import { isToken } from './list.js';

/** Why a request was forwarded (section 2.2). */
export type ForwardReason = 'bypass' | 'method' | 'uri-miss' | 'vary-miss' | 'miss' | 'request' | 'stale' | 'partial';

export interface CacheStatus {
  /** Undefined means that the request was answered from the cache alone: a hit. */
  readonly forward?: ForwardReason | undefined;
  /** Status of the response to the forwarded request, where it differs from what the client gets. */
  readonly forwardStatus?: number | undefined;
  readonly stored?: boolean | undefined;
  readonly collapsed?: boolean | undefined;
  /** Milliseconds of freshness left; negative for a stale response. */
  readonly ttl?: number | undefined;
  readonly key?: string | undefined;
  readonly detail?: string | undefined;
  /** Neither a hit nor forwarded: the response is of this proxy's own making. */
  readonly generated?: boolean | undefined;
}

/** One member of the list, for the cache called `name`. */
export function formatCacheStatus(name: string, status: CacheStatus): string {
  let text = formatTokenOrString(name);
  if (status.forward !== undefined) {
    text += `; fwd=${status.forward}`;
    if (status.forwardStatus !== undefined) text += `; fwd-status=${status.forwardStatus}`;
    if (status.stored) text += '; stored';
    if (status.collapsed) text += '; collapsed';
  } else if (!status.generated) {
    text += '; hit';
  }
  if (status.ttl !== undefined) text += `; ttl=${Math.floor(status.ttl / 1000)}`;
  if (status.key !== undefined) text += `; key=${formatString(status.key)}`;
  if (status.detail !== undefined) text += `; detail=${formatTokenOrString(status.detail)}`;
  return text;
}

export function withCacheStatus(fields: Fields, name: string, status: CacheStatus): Fields {
  const before = fields.get('cache-status');
  const member = formatCacheStatus(name, status);
  return fields.with('Cache-Status', before === undefined || before === '' ? member : `${before}, ${member}`);
}

/** sf-token begins with a letter or an asterisk; whatever is not one becomes an sf-string. */
function formatTokenOrString(text: string): string {
  return isToken(text) && /^[A-Za-z*]/.test(text) ? text : formatString(text);
}

/** sf-string is printable ASCII; anything else in a key is shown as `?` rather than not at all. */
function formatString(text: string): string {
  return `"${text.replace(/[^\x20-\x7e]/g, '?').replace(/["\\]/g, '\\$&')}"`;
}
