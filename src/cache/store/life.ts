/**
 * What one life of the store leaves to the next in a small file: how many lives there were, under which boot of the
 * machine, and whether it ended in order.
 *
 * Numbers of objects and files are life x 2^32 + a counter, so none is used twice, whatever a crash made of the last.
 * Another boot and no orderly end means that the power may have failed: then what was not synced is not believed.
 */
import { randomUUID } from 'node:crypto';
import * as io from './io.js';

export interface Life {
  readonly number: number;
  readonly boot: string;
  readonly ended: boolean;
}

const IDS_PER_LIFE = 2 ** 32;

/** The last life, or undefined when this is the first, or nobody knows. */
export async function readLife(path: string): Promise<Life | undefined> {
  const bytes = await io.readWhole(path);
  const match = /^life (\d{1,7}) boot (\S+) (running|ended)\n$/.exec(bytes?.toString('latin1') ?? '');
  if (match === null) return undefined;
  return { number: Number(match[1]), boot: match[2] ?? '', ended: match[3] === 'ended' };
}

export async function writeLife(path: string, life: Life): Promise<void> {
  const text = `life ${life.number} boot ${life.boot} ${life.ended ? 'ended' : 'running'}\n`;
  await io.replaceFile(path, Buffer.from(text, 'latin1'));
}

/** The kernel's name for this boot; where it has none, one that is never the same, so that nothing is believed wrongly. */
export async function bootId(): Promise<string> {
  const bytes = await io.readWholeUnsized('/proc/sys/kernel/random/boot_id', 64).catch(() => undefined);
  return bytes?.toString('latin1').trim() || randomUUID();
}

export function firstIdOf(life: number): number {
  return life * IDS_PER_LIFE + 1;
}

export function lifeOf(id: number): number {
  return Math.floor(id / IDS_PER_LIFE);
}
