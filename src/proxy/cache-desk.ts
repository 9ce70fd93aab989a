/**
 * The cache of one thread: the rules of src/cache over the store of src/cache/store, and what is being filled at this
 * moment. Called by every stage of an exchange, and by the admin API for purges; desk.ts is the contract. Nothing here
 * rejects or throws once it is open: a store that fails is a cache that misses, and says so in the log.
 *
 * What holds, and why:
 * - A hit from memory is found, judged and handed out in one turn: peek() and body() are synchronous then, and a
 *   response is worked out once for each object (desk-responses.ts).
 * - What apply() was told, the next peek() shows, though the disk hears of it later: drops and invalidations leave the
 *   store's index in the call, updates are kept beside it until they are written.
 * - Invalidation (RFC 9111 section 4.4) removes: it holds at once, also over a restart and for bodies under way, where a
 *   mark would have to be written first. It costs a fetch in place of a validation.
 * - An answer that was asked for before a purge and came after it is not stored as if it were new (desk-purges.ts).
 */
import { finishFill, type Changes, type Fill as FillPlan } from '../cache/decide.js';
import { Collapse, type CollapseLimits } from '../cache/collapse.js';
import { cacheKey, keyUri } from '../cache/key.js';
import type { CachePolicy } from '../cache/policy.js';
import type { Extent } from '../cache/spans.js';
import type { Place } from '../cache/storable.js';
import type { StoredRecord, StoredResponse } from '../cache/stored.js';
import { ObjectStore } from '../cache/store/store.js';
import {
  UNKNOWN_LENGTH,
  type FillTarget,
  type PurgeResult,
  type PurgeTarget,
  type StoreLimits,
} from '../cache/store/types.js';
import { throwUncaught } from '../errors.js';
import { Fields } from '../http/head.js';
import type { AccessSink } from './access.js';
import type { Desk, DeskStats, LiveFill, StoredBody, Waiter } from './desk.js';
import { STORED_CODEC, type StoredMeta } from './desk-codec.js';
import { deskDirectory, type DeskDirectory } from './desk-directory.js';
import { DeskEvents, type DeskEvent, type DeskLogger } from './desk-events.js';
import { RecentPurges, type PurgeMode } from './desk-purges.js';
import { DeskResponses, type Stored } from './desk-responses.js';
import { variantName } from './desk-variant.js';
import { CacheFill, type FillEnd, type FillHost } from './live-fill.js';
import type { RouteCache } from './site.js';
import { tagsOf } from './tags.js';

export interface DeskOptions {
  /** Undefined: a temporary one, which goes with the desk. */
  readonly directory: string | undefined;
  /** Number of the thread, where several share the directory: each has its own part of it. */
  readonly worker?: number;
  /** Of this desk alone. */
  readonly limits: StoreLimits;
  readonly collapse?: CollapseLimits;
  readonly logger?: DeskLogger;
  /** Hears of every event, also of those that are not logged. */
  readonly onEvent?: (event: DeskEvent) => void;
  readonly sink: Pick<AccessSink, 'fillBegan' | 'fillEnded'>;
}

const NO_RESPONSES: readonly StoredResponse[] = [];
const NO_FILLS: readonly LiveFill[] = [];
const NOTHING_PURGED: PurgeResult = { objects: 0, durable: true };
/** What is stored within that time goes to the disk in one write, and would be lost with a kill -9. */
const GATHER_MS = 4;
/** A commit that takes longer is worth a line in the log. */
const SLOW_MS = 1000;

export class CacheDesk implements Desk {
  readonly collapse: Collapse<Waiter>;
  readonly #store: ObjectStore<StoredMeta>;
  readonly #directory: DeskDirectory;
  readonly #events: DeskEvents;
  readonly #sink: DeskOptions['sink'];
  readonly #responses = new DeskResponses();
  readonly #purges = new RecentPurges();
  /** By key, oldest first. */
  readonly #live = new Map<string, CacheFill[]>();
  /** Responses of fills, by their extents. */
  readonly #fills = new WeakMap<Extent, CacheFill>();
  readonly #host: FillHost;
  #liveCount = 0;
  #fillNumber = 0;
  #closing: Promise<void> | undefined;

  private constructor(
    store: ObjectStore<StoredMeta>,
    directory: DeskDirectory,
    events: DeskEvents,
    options: DeskOptions,
  ) {
    this.#store = store;
    this.#directory = directory;
    this.#events = events;
    this.#sink = options.sink;
    this.collapse = new Collapse(options.collapse);
    this.#host = {
      store,
      fillNamed: (fill, { record: { extent } }, object) => {
        if (object === undefined) this.#fills.set(extent, fill);
        else this.#responses.bind(extent, object);
      },
      fillStored: (fill, object) => this.#fillStored(fill, object),
      fillWritten: (tookMs) => this.#fillWritten(tookMs),
      fillLeft: (fill, stored, reason, bytes) => this.#fillLeft(fill, stored, reason, bytes),
      diskTroubled: () => events.diskTroubled,
      fillFaulted: (fill, error) => this.#fault(`the response of ${fill.key} cannot be stored`, error),
    };
  }

  /** Rejects with a CacheError: the directory is in use, or cannot be used. */
  static async open(options: DeskOptions): Promise<CacheDesk> {
    const events = new DeskEvents(options.logger, options.onEvent);
    const directory = await deskDirectory(options.directory, options.worker);
    try {
      const { objectBytes, diskBytes } = options.limits;
      // What one response may have is said for the whole cache, and a worker has only its share.
      const limits = objectBytes === undefined ? {} : { objectBytes: Math.min(objectBytes, diskBytes) };
      const store = await ObjectStore.open<StoredMeta>(
        directory.path,
        { ...options.limits, ...limits },
        {
          codec: STORED_CODEC,
          onEvent: (event) => events.tell(event),
          gatherMs: GATHER_MS,
        },
      );
      return new CacheDesk(store, directory, events, options);
    } catch (error) {
      await directory.leave();
      throw error;
    }
  }

  /** Where it lives. */
  get path(): string {
    return this.#directory.path;
  }

  peek(key: string, policy: CachePolicy): readonly StoredResponse[] | undefined {
    if (this.#closing !== undefined) return NO_RESPONSES;
    const objects = this.#store.peek(key);
    return objects === undefined ? undefined : this.#responsesOf(objects, policy);
  }

  async lookup(key: string, policy: CachePolicy): Promise<readonly StoredResponse[]> {
    if (this.#closing !== undefined) return NO_RESPONSES;
    try {
      return this.#responsesOf(await this.#store.lookup(key), policy);
    } catch (error) {
      this.#fault(`what is stored of ${key} cannot be read`, error);
      return NO_RESPONSES;
    }
  }

  live(key: string): readonly LiveFill[] {
    const fills = this.#live.get(key);
    return fills === undefined ? NO_FILLS : fills.filter((fill) => fill.followable);
  }

  body(stored: StoredResponse): StoredBody | Promise<StoredBody | undefined> | undefined {
    const object = this.#responses.objectOf(stored);
    if (object === undefined) {
      const fill = this.#fills.get(stored.record.extent);
      return fill?.followable === true ? { kind: 'live', fill } : undefined;
    }
    if (object.body !== undefined) return { kind: 'memory', bytes: object.body };
    return this.#openBody(object);
  }

  touch(stored: StoredResponse): void {
    const object = this.#responses.objectOf(stored);
    if (object !== undefined) this.#store.touch(object);
  }

  apply(key: string, changes: Changes, cache: RouteCache): void {
    if (this.#closing !== undefined) return;
    for (const { id, record } of changes.update) void this.#update(id, record, cache);
    for (const id of changes.drop) this.#store.removeId(key, Number(id));
    for (const uri of changes.invalidate) this.#invalidate(uri, cache);
  }

  begin(plan: FillPlan, key: string, cache: RouteCache): LiveFill | undefined {
    if (this.#closing !== undefined) return undefined;
    try {
      return plan.kind === 'new' ? this.#beginNew(plan, key, cache) : this.#beginMore(plan, key, cache);
    } catch (error) {
      this.#fault(`the response of ${key} cannot be stored`, error);
      return undefined;
    }
  }

  purge(target: PurgeTarget, mode: PurgeMode): Promise<PurgeResult> {
    return 'key' in target ? this.purgeUri(target.key, mode) : this.#purge(target, mode);
  }

  /** All that is stored of a URI, in normal form. */
  purgeUri(uri: string, mode: PurgeMode): Promise<PurgeResult> {
    return this.#purge({ key: uri, family: true }, mode);
  }

  expire(now: number): void {
    for (const waiter of this.collapse.expire(now)) waiter.proceed('pass');
    for (const fills of this.#live.values()) for (const fill of fills) fill.progress();
    this.#purges.expire(now);
    this.#events.flush();
  }

  stats(): DeskStats {
    return { ...this.#store.stats(), waiting: this.collapse.waiting, live: this.#liveCount };
  }

  /** Resolves when what was begun is on disk or gone; fills that have not ended are not stored. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    for (const fills of this.#live.values()) for (const fill of fills) fill.abandon();
    try {
      await this.#store.close();
    } catch (error) {
      this.#fault('the cache was not closed in order', error);
    }
    await this.#directory.leave();
    this.#events.flush(true);
  }

  #responsesOf(objects: readonly Stored[], policy: CachePolicy): readonly StoredResponse[] {
    const [only] = objects;
    if (only === undefined) return NO_RESPONSES;
    if (objects.length === 1) return [this.#responses.of(only, policy)];
    return objects.map((object) => this.#responses.of(object, policy));
  }

  async #openBody(object: Stored): Promise<StoredBody | undefined> {
    if (this.#closing !== undefined) return undefined;
    try {
      const lease = await this.#store.openBody(object);
      return lease === undefined ? undefined : { kind: 'file', fd: lease.fd, release: () => lease.release() };
    } catch (error) {
      this.#fault(`the body of ${object.key} cannot be read`, error);
      return undefined;
    }
  }

  async #update(id: string, record: StoredRecord, cache: RouteCache): Promise<void> {
    const object = this.#responses.objectOfExtent(record.extent);
    if (object === undefined || String(object.id) !== id) return;
    const { extent: _, ...meta } = record;
    const tags = cache.tagFields.length === 0 ? undefined : this.#tagsOf(record.fields, cache);
    // A validation from before a purge says nothing about what is after it.
    if (this.#purges.judge(object.key, tags ?? object.tags, record) !== undefined) return;
    this.#responses.expect(object.id, record);
    try {
      await this.#store.update(object, meta, tags);
    } catch (error) {
      if (this.#closing === undefined) this.#fault(`the response of ${object.key} cannot be updated`, error);
    } finally {
      this.#responses.settle(object.id, record);
    }
  }

  #invalidate(uri: string, { key }: RouteCache): void {
    const addsFields = key.fields.length > 0 || key.cookies.length > 0;
    const spaced = key.space === undefined || addsFields ? [] : [cacheKey(uri, Fields.EMPTY, key)];
    for (const each of new Set([keyUri(uri, key), uri, ...spaced])) {
      void this.#purge({ key: each, family: addsFields }, 'hard');
    }
  }

  async #purge(target: PurgeTarget, mode: PurgeMode): Promise<PurgeResult> {
    if (this.#closing !== undefined) return NOTHING_PURGED;
    this.#purges.note(target, mode, Date.now());
    if (mode === 'soft') this.#responses.distrust();
    if ('key' in target) this.collapse.forget(target.key);
    if ('key' in target && target.family === true) this.collapse.forgetFamily(target.key);
    if ('prefix' in target) this.collapse.forgetPrefix(target.prefix);
    try {
      return await this.#store.purge(target, mode);
    } catch (error) {
      this.#fault('a purge was not carried out', error);
      return { objects: 0, durable: false };
    }
  }

  #beginNew(plan: FillPlan & { kind: 'new' }, key: string, cache: RouteCache): LiveFill | undefined {
    const { draft, place } = plan;
    const [selection = {}] = draft.record.selections;
    const tags = this.#tagsOf(draft.record.fields, cache);
    const isPart = place.first !== 0 || place.end !== place.total;
    return this.#beginFill(plan, draft.record, cache, {
      key,
      variant: variantName(selection, cache.policy.vary),
      tags,
      ...(isPart
        ? { part: partOf(place, UNKNOWN_LENGTH) }
        : place.end !== undefined && { length: place.end - place.first }),
    });
  }

  #beginMore(plan: FillPlan & { kind: 'more' }, key: string, cache: RouteCache): LiveFill | undefined {
    const { place, times } = plan;
    const base = this.#responses.objectOf(plan.base);
    if (base === undefined || base.key !== key) return undefined;
    if (base.ranges === undefined) {
      // Nothing of it is missing; that the origin has confirmed it is news all the same.
      const whole = place.end === undefined ? undefined : finishFill(plan, place.end - place.first, true, cache.policy);
      const { extent } = plan.base.record;
      if (whole !== undefined) void this.#update(String(base.id), { ...whole, extent }, cache);
      return undefined;
    }
    const tags = [...new Set([...base.tags, ...this.#tagsOf(plan.response.fields.raw, cache)])];
    return this.#beginFill(plan, times, cache, {
      key,
      variant: base.variant,
      tags,
      part: partOf(place, base.length),
      base,
    });
  }

  #beginFill(
    plan: FillPlan,
    times: { readonly requestTime: number; readonly responseTime: number },
    cache: RouteCache,
    target: FillTarget,
  ): LiveFill | undefined {
    const late = this.#purges.judge(target.key, target.tags ?? [], times);
    if (late === 'hard') return undefined;
    const meta = plan.kind === 'new' ? plan.draft.record : plan.base.record;
    const fill = this.#store.begin(target, meta);
    this.#sink.fillBegan();
    if (fill.state === 'failed') {
      this.#sink.fillEnded(false, fill.failure ?? 'aborted', 0);
      return undefined;
    }
    if (late === 'soft') fill.purge(true);
    const live = new CacheFill(this.#host, {
      id: `live-${++this.#fillNumber}`,
      plan,
      fill,
      cache,
    });
    const others = this.#live.get(target.key);
    if (others === undefined) this.#live.set(target.key, [live]);
    else others.push(live);
    this.#liveCount++;
    return live;
  }

  #fillStored(fill: CacheFill, object: Stored): void {
    if (fill.known !== undefined) this.#responses.bind(fill.known.record.extent, object);
    if (fill.plan.kind === 'new' && this.#closing === undefined) {
      for (const id of fill.plan.replaces) this.#store.removeId(fill.key, Number(id));
    }
    this.#unlist(fill);
  }

  #fillWritten(tookMs: number): void {
    if (tookMs < SLOW_MS) return;
    this.#events.tell({
      kind: 'slow-disk',
      text: `it took ${Math.round(tookMs)} ms to store a response`,
      path: this.path,
    });
  }

  #fillLeft(fill: CacheFill, stored: boolean, reason: FillEnd, bytes: number): void {
    this.#unlist(fill);
    try {
      this.#sink.fillEnded(stored, reason, bytes);
    } catch (error) {
      throwUncaught(error);
    }
  }

  /** The table's arrays end up empty: see src/flow/roster.ts for what a map may keep. */
  #unlist(fill: CacheFill): void {
    const fills = this.#live.get(fill.key);
    const at = fills?.indexOf(fill) ?? -1;
    if (fills === undefined || at === -1) return;
    fills.splice(at, 1);
    if (fills.length === 0) this.#live.delete(fill.key);
    this.#liveCount--;
  }

  #tagsOf(fields: readonly string[], cache: RouteCache): readonly string[] {
    const { tags, left } = tagsOf(fields, cache.tagFields);
    if (left > 0) {
      this.#events.tell({ kind: 'tags-left-out', text: `${left} tags of a response are too long or too many` });
    }
    return tags;
  }

  #fault(text: string, error: unknown): void {
    this.#events.tell({ kind: 'refused', text, error });
  }
}

function partOf({ first, total }: Place, known: number): { first: number; total: number } {
  return { first, total: known === UNKNOWN_LENGTH ? (total ?? UNKNOWN_LENGTH) : known };
}
