/**
 * A start: lock, last life, snapshot, replay, sweep. Ends with a store that holds just what the last one had promised.
 * Called by ObjectStore.open alone.
 */
import { access, constants } from 'node:fs/promises';
import { join } from 'node:path';
import { BodyFiles } from './body-files.js';
import { StoreCore, type Limits } from './core.js';
import { DirectoryLock } from './directory-lock.js';
import { CacheError, type StoreEventListener } from './errors.js';
import * as io from './io.js';
import { bootId, firstIdOf, lifeOf, readLife, writeLife } from './life.js';
import { Maintenance } from './maintenance.js';
import { replaySegment, type Replayed } from './replay.js';
import { SegmentLog } from './segment-log.js';
import { readSnapshot } from './snapshot.js';
import type { Codec } from './types.js';

/** A segment is read as a whole, by a start and by cleaning. */
const MOST_SEGMENT_BYTES = 64 * 1024 * 1024;
const LEAST_SEGMENT_BYTES = 64 * 1024;

export interface OpenedStore<M> {
  readonly core: StoreCore<M>;
  readonly maintenance: Maintenance<M>;
  /** The sweep after the start. */
  readonly sweeping: Promise<void>;
  /** Gives the directory back, as ended in order or not. */
  end(inOrder: boolean): Promise<void>;
}

export async function openStore<M>(
  directory: string,
  limits: Limits,
  codec: Codec<M>,
  onEvent: StoreEventListener,
  gatherMs: number,
): Promise<OpenedStore<M>> {
  let lock: DirectoryLock | undefined;
  try {
    await io.makeDirectory(directory);
    await access(directory, constants.R_OK | constants.W_OK | constants.X_OK);
    lock = await DirectoryLock.take(directory);
    return await load(directory, limits, codec, onEvent, gatherMs, lock);
  } catch (error) {
    await lock?.release();
    if (error instanceof CacheError) throw error;
    const message = error instanceof Error ? error.message : String(error);
    throw new CacheError('ERR_CACHE_DIRECTORY', `${directory} cannot be used as a cache: ${message}`, { cause: error });
  }
}

async function load<M>(
  directory: string,
  limits: Limits,
  codec: Codec<M>,
  onEvent: StoreEventListener,
  gatherMs: number,
  lock: DirectoryLock,
): Promise<OpenedStore<M>> {
  const lifePath = join(directory, 'life');
  const snapshotPath = join(directory, 'snapshot');
  const lastLife = await readLife(lifePath);
  const boot = await bootId();
  const segmentBytes = Math.max(LEAST_SEGMENT_BYTES, Math.min(MOST_SEGMENT_BYTES, Math.floor(limits.diskBytes / 64)));
  const files = await BodyFiles.open(join(directory, 'bodies'));
  const openCore = async (): Promise<StoreCore<M>> => {
    const log = await SegmentLog.open(join(directory, 'log'), segmentBytes, gatherMs);
    return new StoreCore(limits, codec, log, files, onEvent);
  };

  let core = await openCore();
  const hadLog = core.log.segments.length > 0;
  const replayed: Replayed = { records: 0, unsafe: 0, highestId: 0 };
  let missing = 0;
  const loading = core;
  const snapshot = await readSnapshot(snapshotPath, ({ head, location, rank }) => {
    replayed.highestId = Math.max(replayed.highestId, head.id, head.fileId);
    if (loading.log.has(location.segment)) loading.install(head, location, false, rank);
    else missing++; // cleaning has moved it, and the replay finds it; or the segment is lost
  });
  if (snapshot === 'damaged') {
    core = await openCore();
    const text = 'the snapshot of the index is damaged; the whole log is read instead';
    core.emit({ kind: 'corrupt', text, path: snapshotPath });
    await io.unlink(snapshotPath);
  }
  const known = typeof snapshot === 'object' ? snapshot : { segment: 0, safeBefore: 0 };
  const before = core.index.count;

  const powerFailed = hadLog && lastLife?.boot !== boot && lastLife?.ended !== true;
  const options = { powerFailed, safeBefore: known.safeBefore };
  const segments = core.log.segments.filter((segment) => segment >= known.segment);
  for (const segment of segments) {
    const path = core.log.pathOf(segment);
    const bytes = (await io.readWhole(path)) ?? Buffer.alloc(0);
    for (const { size } of replaySegment(core, segment, bytes, options, replayed)) {
      const text = `${size} bytes of the log cannot be read; an object or a removal is lost`;
      core.emit({ kind: 'corrupt', text, path });
    }
  }
  if (replayed.unsafe > 0) {
    const text = `the machine stopped while the cache was open; ${replayed.unsafe} objects were not yet safe and are left out`;
    core.emit({ kind: 'power-loss', text });
  }

  const number = Math.max(lastLife?.number ?? 0, lifeOf(replayed.highestId)) + 1;
  core.nextId = firstIdOf(number);
  await writeLife(lifePath, { number, boot, ended: false });

  const maintenance = new Maintenance(core, snapshotPath, known.segment);
  core.onChange = () => maintenance.poke();
  core.emit({
    kind: 'opened',
    text: `${core.index.count} objects: ${before} from the snapshot, ${replayed.records} records replayed`,
  });
  core.room.make();
  maintenance.poke();
  return {
    core,
    maintenance,
    sweeping: sweep(core, firstIdOf(number)),
    end: async (inOrder) => {
      if (inOrder) await writeLife(lifePath, { number, boot, ended: true });
      await lock.release();
    },
  };
}

/** Removes what earlier lives left in the directory of bodies without naming it. */
async function sweep<M>(core: StoreCore<M>, before: number): Promise<void> {
  const named = new Float64Array(core.fileCount);
  let count = 0;
  for (let slot = 0; slot < core.index.end; slot++) {
    const fileId = core.index.keyOf(slot) === undefined ? 0 : (core.index.fileIds[slot] ?? 0);
    if (fileId !== 0) named[count++] = fileId;
  }
  try {
    await core.files.sweep(named.sort(), before, () => core.closed);
  } catch (error) {
    core.failed(error, 'looking for left-over files');
  }
}
