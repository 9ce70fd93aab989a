/**
 * What operators ask of the cache, carried out over the desk of one thread. Where there are several threads, the server
 * asks each and adds up the answers ({@link addPurges}).
 *
 * An operator names a URI; the store has keys, which the key policy of whoever answers that URI has made of it.
 */
import { currentAge } from '../cache/freshness.js';
import { cacheKey, keyUri } from '../cache/key.js';
import { timeToLive } from '../cache/reuse.js';
import { isComplete } from '../cache/spans.js';
import type { PurgeResult, PurgeTarget } from '../cache/store/types.js';
import type { StoredResponse } from '../cache/stored.js';
import { Fields } from '../http/head.js';
import type { Authority } from '../http/authority.js';
import { parseTarget } from '../http/target.js';
import { assertNever } from '../errors.js';
import type { Desk } from '../proxy/desk.js';
import type { RouteCache } from '../proxy/site.js';
import type { CacheActions, PurgeMode, PurgeOrder, StoredInfo } from './http-actions.js';
import type { HttpSnapshot } from './http-snapshot.js';

type CacheRules = Pick<RouteCache, 'key' | 'policy'>;

/** What is needed of a Site here. */
export interface CacheSite {
  route(authority: Authority, path: string): { readonly cache: CacheRules | undefined } | undefined;
  readonly forward: { readonly cache: CacheRules | undefined } | undefined;
}

export class DeskActions implements CacheActions {
  readonly #desk: Pick<Desk, 'lookup' | 'live' | 'purge'>;
  readonly #snapshot: () => HttpSnapshot;
  /** Asked at each call: a reload replaces it. */
  readonly #site: () => CacheSite;

  constructor(desk: Pick<Desk, 'lookup' | 'live' | 'purge'>, snapshot: () => HttpSnapshot, site: () => CacheSite) {
    this.#desk = desk;
    this.#snapshot = snapshot;
    this.#site = site;
  }

  // All are begun in this turn, so that the order holds from now on as a whole.
  async purge(order: PurgeOrder, mode: PurgeMode): Promise<PurgeResult> {
    const targets = targetsOf(order, this.#site());
    return addPurges(await Promise.all(targets.map((target) => this.#desk.purge(target, mode))));
  }

  stats(): Promise<HttpSnapshot> {
    return Promise.resolve(this.#snapshot());
  }

  async lookup(uri: string): Promise<readonly StoredInfo[]> {
    const found = new Map<string, StoredInfo>();
    for (const { key, policy } of cachesOf(uri, this.#site())) {
      const name = cacheKey(uri, Fields.EMPTY, key);
      const filling = this.#desk.live(name);
      const whole = await this.#desk.lookup(name, policy);
      const now = Date.now();
      for (const stored of whole) found.set(stored.id, describeStored(stored, now));
      for (const { stored } of filling) {
        found.set(`filling ${stored.id}`, { ...describeStored(stored, now), filling: true });
      }
    }
    return [...found.values()];
  }
}

/** The answers of several to one order. */
export function addPurges(results: readonly PurgeResult[]): PurgeResult {
  return {
    objects: results.reduce((sum, { objects }) => sum + objects, 0),
    durable: results.every(({ durable }) => durable),
  };
}

function targetsOf(order: PurgeOrder, site: CacheSite): PurgeTarget[] {
  switch (order.kind) {
    case 'uri': {
      // The URI itself also where nothing is cached any more: an earlier configuration may have stored it.
      const keys = cachesOf(order.uri, site).map(({ key }) => keyUri(order.uri, key));
      return [...new Set([order.uri, ...keys])].map((key) => ({ key }));
    }
    case 'prefix':
      return [{ prefix: order.prefix }];
    case 'tag':
      return [{ tag: order.tag }];
    case 'all':
      return [{ prefix: '' }];
    default:
      return assertNever(order);
  }
}

/** The caches in which that URI may be: of its route, and of the forward proxy. */
function cachesOf(uri: string, site: CacheSite): CacheRules[] {
  const target = parseTarget('GET', uri);
  if (target.kind !== 'absolute') return [];
  return [site.route(target.authority, target.path)?.cache, site.forward?.cache].filter((cache) => cache !== undefined);
}

export function describeStored(stored: StoredResponse, now: number): StoredInfo {
  const { record, fields, freshness, vary } = stored;
  const age = currentAge(freshness, record.responseTime, now);
  const validate = mustValidate(stored);
  const known = {
    length: record.extent.total,
    etag: fields.get('etag'),
    type: fields.get('content-type'),
    encoding: fields.get('content-encoding'),
  };
  return {
    status: record.status,
    ageMs: age,
    lifetimeMs: freshness.lifetime,
    freshMs: timeToLive(stored, age, now),
    basis: freshness.basis,
    ...(validate !== undefined && { validate }),
    bytes: record.extent.spans.reduce((sum, { first, end }) => sum + end - first, 0),
    complete: isComplete(record.extent),
    vary: vary === '*' ? ['*'] : vary,
    ...Object.fromEntries(Object.entries(known).filter(([, value]) => value !== undefined)),
  };
}

function mustValidate({ record, governed }: StoredResponse): StoredInfo['validate'] {
  if (record.invalid) return 'invalid';
  if (record.staleSince !== undefined) return 'purged';
  return governed.directives.noCache === 'all' ? 'no-cache' : undefined;
}
