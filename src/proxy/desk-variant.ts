/**
 * What a stored variant is called in the store. Equal for two responses that were selected by the same request fields
 * with the same meaning, so that the newer one takes the place of the older in one write. Called by cache-desk.ts; pure.
 */
import { createHash } from 'node:crypto';
import { type Selection, type VaryPolicy, normalizeField } from '../cache/vary.js';

/** Names are kept in memory for every object, and fields such as Cookie are long. */
const MOST_CHARACTERS = 100;

/** '' without Vary. */
export function variantName(selection: Selection, policy: VaryPolicy): string {
  const names = Object.keys(selection).sort();
  if (names.length === 0) return '';
  const text = JSON.stringify(names.map((name) => [name, normalizeField(name, selection[name] ?? null, policy)]));
  return text.length <= MOST_CHARACTERS ? text : createHash('sha256').update(text).digest('base64url');
}
