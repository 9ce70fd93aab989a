/** The figures of the papers, in order, and choosing some of them by letter or name. */
import { SpliceArgumentError } from '../../errors.js';
import { connections } from './connections.js';
import { cpuPerGb } from './cpu-per-gb.js';
import type { Figure } from './figure.js';
import { hitBulk } from './hit-bulk.js';
import { hitSmall } from './hit-small.js';
import { idleMemory } from './idle-memory.js';
import { loss } from './loss.js';
import { missBulk } from './miss-bulk.js';
import { mixedWeb } from './mixed-web.js';
import { responseTime } from './response-time.js';
import { roundTrip } from './round-trip.js';
import { segmentCost } from './segment-cost.js';
import { segmentStages } from './segment-stages.js';
import { throughput } from './throughput.js';

export const FIGURES: readonly Figure[] = [
  responseTime,
  throughput,
  roundTrip,
  cpuPerGb,
  connections,
  idleMemory,
  segmentCost,
  loss,
];

/** Tables beside the figures: in a full run, and when named. */
export const MORE_FIGURES: readonly Figure[] = [segmentStages];

/** Of HTTP caches, another product than the relays of all others: only when named, one of them or all by `http`. */
export const HTTP_FIGURES: readonly Figure[] = [hitBulk, missBulk, hitSmall, mixedWeb];
export const HTTP_WORD = 'http';

const RELAYS = [...FIGURES, ...MORE_FIGURES];
const ALL = [...RELAYS, ...HTTP_FIGURES];

/** In the order of the papers, whatever the order of the words. */
export function chooseFigures(words: readonly string[] | undefined, quick: boolean): readonly Figure[] {
  if (words === undefined) return quick ? FIGURES : RELAYS;
  const means = (word: string, figure: Figure): boolean =>
    word === figure.facts.letter || word === figure.facts.id || (word === HTTP_WORD && HTTP_FIGURES.includes(figure));
  const unknown = words.find((word) => !ALL.some((figure) => means(word, figure)));
  if (unknown !== undefined) {
    const there = ALL.map(({ facts }) => `${facts.letter} (${facts.id})`).join(', ');
    throw new SpliceArgumentError(`no figure "${unknown}"; there are ${there}; ${HTTP_WORD} is i to l`);
  }
  return ALL.filter((figure) => words.some((word) => means(word, figure)));
}
