/**
 * Stage relay: heads of hits that are ready to be sent again. What a plain request gets from one stored response depends
 * on the whole seconds of its age and of its remaining lifetime alone; in between the head is the same to the byte. So
 * it is kept, and a popular object costs rules and serialization once a second. Called by handshake.ts and relay.ts.
 *
 * "Plain" is a GET in HTTP/1.1, on a connection that goes on, with no field that the rules of reuse look at. Everything
 * else takes the long way, which is also the one that fills in what is kept here. Measured: 4 us of 17 a hit.
 */
import { takesBeyondKey } from '../cache/decide.js';
import { currentAge } from '../cache/freshness.js';
import { timeToLive } from '../cache/reuse.js';
import type { StoredResponse } from '../cache/stored.js';
import { isHttp11, type Fields } from '../http/head.js';
import type { Exchange } from './exchange.js';
import type { Site } from './site.js';

interface Ready {
  readonly site: Site;
  readonly age: number;
  readonly ttl: number;
  readonly status: number;
  readonly head: Uint8Array;
}

/** By the stored response, which an update or a reload replaces. */
const ready = new WeakMap<StoredResponse, Ready>();

/** Fields of a request by which decide-request.ts and respond.ts decide. */
const DECISIVE: ReadonlySet<string> = new Set([
  'authorization',
  'cache-control',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'pragma',
  'range',
]);

/** The same fields come again on a connection (repeated-head.ts). */
const judged = new WeakMap<Fields, boolean>();

export function isPlain({ keep, request, waited, client }: Exchange): boolean {
  if (!keep || waited !== undefined || client === undefined) return false;
  if (request.method !== 'GET' || !isHttp11(request.version)) return false;
  const { fields } = request;
  let plain = judged.get(fields);
  if (plain === undefined)
    judged.set(fields, (plain = !fields.names.some((name) => DECISIVE.has(name) || takesBeyondKey(name))));
  return plain;
}

/** The head for a plain request, if it was made within this second, and the response is still fresh. */
export function readyHead(stored: StoredResponse, site: Site, now: number): Ready | undefined {
  const kept = ready.get(stored);
  if (kept === undefined || kept.site !== site) return undefined;
  const age = currentAge(stored.freshness, stored.record.responseTime, now);
  const ttl = timeToLive(stored, age, now);
  return ttl > 0 && seconds(age) === kept.age && seconds(ttl) === kept.ttl ? kept : undefined;
}

/** `head` is what the rules gave a plain request at `now`, for the whole of a fresh response. */
export function keepHead(stored: StoredResponse, site: Site, now: number, status: number, head: Uint8Array): void {
  const age = currentAge(stored.freshness, stored.record.responseTime, now);
  const ttl = timeToLive(stored, age, now);
  if (ttl > 0) ready.set(stored, { site, age: seconds(age), ttl: seconds(ttl), status, head });
}

function seconds(ms: number): number {
  return Math.floor(ms / 1000);
}
