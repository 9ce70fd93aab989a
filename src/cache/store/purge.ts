/**
 * Purging by key, prefix or tag. A purge holds at once: from the call on, a lookup applies it to every object that it
 * meets, while the whole index is walked a piece a turn (2,000 keys, well below a millisecond), so that a purge of a
 * million objects does not stop the event loop. The promise resolves when the index was walked and the log has it.
 *
 * It is about what was there when it was called, and about fills that had begun: their answers may be from before the
 * change that the purge is for. After a hard purge they go on for those who follow them already and are not stored, after a soft
 * one they are stored as stale.
 */
import type { StoreCore } from './core.js';
import { NO_SLOT } from './object-index.js';
import { SOFT_PURGED } from './record.js';
import type { PurgeResult, PurgeTarget } from './types.js';

const KEYS_PER_TURN = 2000;

export interface ActivePurge {
  readonly target: PurgeTarget;
  readonly soft: boolean;
  /** Objects from this id on came after the purge. */
  readonly before: number;
  objects: number;
  /** Records that the log has not answered for. */
  unsaid: number;
  durable: boolean;
  /** Called when `unsaid` falls to 0. */
  onSaid: (() => void) | undefined;
}

/** An update that was called and has not ended. */
export interface ActiveUpdate {
  readonly slot: number;
  /** Purges from this id on came after the call: the update does not take them back. */
  readonly since: number;
  stale: boolean;
}

export async function purge<M>(core: StoreCore<M>, target: PurgeTarget, soft: boolean): Promise<PurgeResult> {
  const active: ActivePurge = {
    target,
    soft,
    before: core.nextId++,
    objects: 0,
    unsaid: 0,
    durable: true,
    onSaid: undefined,
  };
  core.purges.add(active);
  const ending: Promise<unknown>[] = [];
  for (const fill of core.fills) {
    if (!isMeant(target, fill.key, fill.tags)) continue;
    const end = fill.purge(soft);
    if (end !== undefined) ending.push(end);
  }

  if ('key' in target) {
    applyToKey(core, active, core.index.first(target.key));
    let left = KEYS_PER_TURN;
    for (const key of target.family === true ? core.index.family(target.key) : []) {
      applyToKey(core, active, core.index.first(key));
      if (--left > 0) continue;
      left = KEYS_PER_TURN;
      await new Promise(setImmediate);
    }
  } else {
    let left = KEYS_PER_TURN;
    for (const [key, slot] of core.index.keys()) {
      if (!('prefix' in target) || key.startsWith(target.prefix)) applyToKey(core, active, slot);
      if (--left > 0) continue;
      left = KEYS_PER_TURN;
      await new Promise(setImmediate);
    }
  }
  // What was being committed at the call has its record, and perhaps the one that takes it back, in the log then.
  await Promise.all(ending);
  await core.log.flushed();
  if (active.unsaid > 0) await new Promise<void>((resolve) => (active.onSaid = resolve));
  core.purges.delete(active);
  return { objects: active.objects, durable: active.durable };
}

/** Applies the purges that are under way to an object that a lookup has met. False: it is gone. */
export function survivesPurges<M>(core: StoreCore<M>, slot: number): boolean {
  for (const active of core.purges) {
    apply(core, active, slot);
    if (core.index.keyOf(slot) === undefined) return false;
  }
  return true;
}

function applyToKey<M>(core: StoreCore<M>, active: ActivePurge, first: number): void {
  for (let slot = first; slot !== NO_SLOT;) {
    const next = core.index.next(slot); // the slot may be freed
    apply(core, active, slot);
    slot = next;
  }
}

function apply<M>(core: StoreCore<M>, active: ActivePurge, slot: number): void {
  const { index } = core;
  const key = index.keyOf(slot);
  if (key === undefined || (index.ids[slot] ?? 0) >= active.before) return;
  if (!isMeant(active.target, key, index.tagsOf(slot))) return;
  if (active.soft) {
    for (const update of core.updates) if (update.slot === slot && active.before >= update.since) update.stale = true;
  }
  if (active.soft && ((index.flags[slot] ?? 0) & SOFT_PURGED) !== 0) return;
  active.objects++;
  core.counts.purged++;
  active.unsaid++;
  const said = (durable: boolean): void => {
    if (!durable) active.durable = false;
    if (--active.unsaid === 0) active.onSaid?.();
  };
  if (active.soft) core.markStale(slot, said);
  else core.drop(slot, said);
}

/** `tags` in the form of the record: each ended by a line feed. */
function isMeant(target: PurgeTarget, key: string, tags: string): boolean {
  if ('key' in target) return key === target.key || (target.family === true && key.startsWith(`${target.key} `));
  if ('prefix' in target) return key.startsWith(target.prefix);
  return tags !== '' && `\n${tags}`.includes(`\n${target.tag}\n`);
}
