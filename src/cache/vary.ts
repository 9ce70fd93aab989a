/**
 * Which of several stored responses a request selects (RFC 9111 section 4.1). Called by decide.ts for every request
 * that finds something under its key, and by storable.ts to remember what selected a response.
 *
 * What was selected with is stored as it came and normalised when it is compared, so that a new way to normalise works
 * for what is already stored.
 */
import type { Fields } from '../http/head.js';
import { isToken, splitList } from './list.js';
import { normalizeGeneric, normalizeWeighted, preferredLanguage } from './negotiation.js';
import type { StoredResponse } from './stored.js';

/** Names of the Vary field in lower case and order; `*` can never be matched. */
export type VaryNames = readonly string[] | '*';

/** What the fields that Vary names said in a request; null where the request had none. */
export type Selection = Readonly<Record<string, string | null>>;

export interface VaryPolicy {
  /** Content codings that the origin makes; others in Accept-Encoding are not looked at. Undefined: all are. */
  readonly codings: readonly string[] | undefined;
  /** The same for languages in Accept-Language. */
  readonly languages: readonly string[] | undefined;
  /**
   * Let a response in the language that a request prefers above all others be selected even though the requests differ:
   * the origin could choose nothing better.
   */
  readonly selectByContentLanguage: boolean;
}

/** More names than this are taken for `*`: such a response would hardly ever be selected again. */
const MOST_NAMES = 32;

/**
 * Request fields that we write for the origin: what it chose by is not what the client sent. It differs from client to
 * client, so such a response is for one.
 */
const WRITTEN_BY_US: readonly string[] = ['forwarded', 'via', 'x-forwarded-for', 'x-request-id'];

/** Ways of choosing the representation that one request may have had. */
const MOST_SELECTIONS = 16;

export function varyNames(responseFields: Fields): VaryNames {
  const value = responseFields.get('vary');
  if (value === undefined) return [];
  const names = new Set(splitList(value).map((name) => name.toLowerCase()));
  // What is no field name cannot be compared, so nothing is known about what selects the response.
  if (names.has('*') || names.size > MOST_NAMES || ![...names].every(isToken)) return '*';
  if (WRITTEN_BY_US.some((name) => names.has(name))) return '*';
  return [...names].sort();
}

export function selectionOf(names: readonly string[], requestFields: Fields): Selection {
  return Object.fromEntries(names.map((name) => [name, requestFields.get(name) ?? null]));
}

/** Adds one more way to select a stored response; the oldest are forgotten. */
export function addSelection(selections: readonly Selection[], added: Selection): Selection[] {
  const same = JSON.stringify(added);
  const others = selections.filter((each) => JSON.stringify(each) !== same);
  return [...others, added].slice(-MOST_SELECTIONS);
}

/** How a stored response answers to a request: the same question, one it fits just as well, or not at all. */
export type Match = 'exact' | 'preferred' | 'none';

export function matchVary(stored: StoredResponse, requestFields: Fields, policy: VaryPolicy): Match {
  const names = stored.vary;
  if (names === '*') return 'none';
  if (names.length === 0) return 'exact';
  let best: Match = 'none';
  for (const selection of stored.record.selections) {
    const match = matchSelection(stored, names, selection, requestFields, policy);
    if (match === 'exact') return match;
    if (match === 'preferred') best = match;
  }
  return best;
}

export interface Selected {
  readonly chosen: StoredResponse;
  /** The others that the request selects: older, or from an origin that forgot Vary. */
  readonly others: readonly StoredResponse[];
}

/**
 * The stored response to use. Of several that match: those that came with Vary before those without, since origins
 * forget it on their default answer; the same question before one that only fits; then the latest Date.
 */
export function select(
  responses: readonly StoredResponse[],
  requestFields: Fields,
  policy: VaryPolicy,
): Selected | undefined {
  const [only] = responses;
  if (only === undefined) return undefined;
  if (responses.length === 1) {
    return matchVary(only, requestFields, policy) === 'none' ? undefined : { chosen: only, others: [] };
  }
  const ranked = responses
    .map((stored) => ({ stored, match: matchVary(stored, requestFields, policy) }))
    .filter(({ match }) => match !== 'none')
    .sort((a, b) => rank(b) - rank(a) || newer(b.stored, a.stored))
    .map(({ stored }) => stored);
  const [chosen, ...others] = ranked;
  return chosen === undefined ? undefined : { chosen, others };
}

/** Two values of a request field are the same question exactly if this makes the same text of them. */
export function normalizeField(name: string, value: string | null, policy: VaryPolicy): string | null {
  if (value === null) return null;
  switch (name) {
    case 'accept-encoding':
      return normalizeWeighted(value, policy.codings) ?? normalizeGeneric(value);
    case 'accept-language':
      return normalizeWeighted(value, policy.languages) ?? normalizeGeneric(value);
    case 'accept':
    case 'accept-charset':
      return normalizeWeighted(value, undefined) ?? normalizeGeneric(value);
    default:
      return normalizeGeneric(value);
  }
}

/** Normal forms by what they were made of: lists as long as a head costs milliseconds, and a key has many variants. */
const known = new WeakMap<object, { readonly policy: VaryPolicy; readonly values: Map<string, string | null> }>();

function normalOf(of: Selection | Fields, name: string, value: string | null, policy: VaryPolicy): string | null {
  let entry = known.get(of);
  if (entry === undefined || entry.policy !== policy) known.set(of, (entry = { policy, values: new Map() }));
  let normal = entry.values.get(name);
  if (normal === undefined) entry.values.set(name, (normal = normalizeField(name, value, policy)));
  return normal;
}

function matchSelection(
  stored: StoredResponse,
  names: readonly string[],
  selection: Selection,
  requestFields: Fields,
  policy: VaryPolicy,
): Match {
  let match: Match = 'exact';
  for (const name of names) {
    // A record made under another Vary value says nothing about this name; `constructor` is a name like others.
    const then = Object.hasOwn(selection, name) ? selection[name] : undefined;
    if (then === undefined) return 'none';
    const now = requestFields.get(name) ?? null;
    if (then === now) continue;
    if (normalOf(selection, name, then, policy) === normalOf(requestFields, name, now, policy)) continue;
    if (name !== 'accept-language' || !policy.selectByContentLanguage || now === null) return 'none';
    const language = stored.fields.get('content-language')?.toLowerCase();
    if (language === undefined || preferredLanguage(now) !== language) return 'none';
    match = 'preferred';
  }
  return match;
}

function rank({ stored, match }: { stored: StoredResponse; match: Match }): number {
  return (stored.vary.length > 0 ? 2 : 0) + (match === 'exact' ? 1 : 0);
}

function newer(a: StoredResponse, b: StoredResponse): number {
  return a.date - b.date || a.record.responseTime - b.record.responseTime;
}
