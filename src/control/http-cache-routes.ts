/**
 * The cache's routes, for the admin endpoint and the control socket alike: what is in it, and what is to go. The guard in
 * front of them is the admin endpoint's: the control socket has file permissions.
 */
import { parseUri } from '../http/target.js';
import type { PurgeResult } from '../cache/store/types.js';
import type { CacheActions, PurgeMode, StoredInfo } from './http-actions.js';
import { readPurge, URL_NEXT } from './http-purge.js';
import { json, problem, type Answer, type Call, type Routes } from './http-routes.js';
import { describeHttp } from './http-totals.js';

/** POST /purge */
export interface PurgeAnswer extends PurgeResult {
  readonly status: 'purged';
  readonly mode: PurgeMode;
}

/** GET /cache/lookup */
export interface LookupAnswer {
  /** As the cache writes it. */
  readonly url: string;
  readonly stored: readonly StoredInfo[];
}

/** `cache` undefined: the paths are there and say why they do nothing. */
export function cacheRoutes(cache: CacheActions | undefined): Routes {
  const purge = (call: Call) => (cache === undefined ? NO_CACHE : carryOut(cache, call));
  return {
    '/purge': { POST: purge, PURGE: purge },
    '/cache': { GET: async () => (cache === undefined ? NO_CACHE : json(200, describeHttp(await cache.stats()))) },
    '/cache/lookup': { GET: (call) => (cache === undefined ? NO_CACHE : lookup(cache, call)) },
  };
}

export const isCachePath = (path: string): boolean =>
  path === '/purge' || path === '/cache' || path === '/cache/lookup';

const NO_CACHE = problem(
  404,
  'no-cache',
  'this server keeps no cache',
  'ask a splice-http whose configuration has one; a splice-socks never does',
);

async function carryOut(cache: CacheActions, call: Call): Promise<Answer> {
  const reading = await readPurge(call);
  if ('refused' in reading) return reading.refused;
  const { order, mode } = reading.purge;
  const { objects, durable } = await cache.purge(order, mode);
  return json(200, { status: 'purged', mode, objects, durable } satisfies PurgeAnswer);
}

async function lookup(cache: CacheActions, call: Call): Promise<Answer> {
  const url = parseUri(call.query.get('url') ?? '');
  if (url === undefined) return problem(400, 'bad-url', 'url is no http or https URL', `?url=: ${URL_NEXT}`);
  return json(200, { url, stored: await cache.lookup(url) } satisfies LookupAnswer);
}
