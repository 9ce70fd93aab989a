/**
 * Dictionaries of Structured Fields (RFC 9651), read strictly: one wrong character and there is no value at all, as
 * section 4.2 demands. Called by targeted.ts. Inner lists and parameters are checked and thrown away, since no cache
 * directive has them.
 */
import { type SfItem, SfReader } from './structured-reader.js';

export type { SfItem };

/** The members, or undefined where `text` is no dictionary. Of a key that stands there twice the last value counts. */
export function parseDictionary(text: string): ReadonlyMap<string, SfItem> | undefined {
  const reader = new SfReader(text);
  const members = new Map<string, SfItem>();
  reader.skipSpaces();
  if (reader.done) return members;
  for (;;) {
    const key = reader.key();
    if (key === undefined) return undefined;
    const item = reader.take('=') ? reader.itemOrList() : ({ type: 'boolean', value: true } as const);
    if (item === undefined || !reader.parameters()) return undefined;
    // A Map keeps the place of the first occurrence; the place of the last is what the RFC wants.
    members.delete(key);
    members.set(key, item);
    reader.skipBlanks();
    if (reader.done) return members;
    if (!reader.take(',')) return undefined;
    reader.skipBlanks();
    if (reader.done) return undefined;
  }
}
