/**
 * Values of the fields by which content is negotiated (RFC 9110 section 12.5), brought to one form each. Called by
 * vary.ts; pure. Only what those fields define as equal is made equal: case, white space, and the order of members,
 * which carries no preference where the weights are the same.
 */
import { splitList, trim } from './list.js';

/** Thousandths, as a weight has at most three digits. */
const FULL_WEIGHT = 1000;

interface Weighted {
  readonly choice: string;
  readonly weight: number;
}

/** A field whose syntax is unknown: white space around commas and at the ends means nothing, all else may. */
export function normalizeGeneric(value: string): string {
  return splitList(value).join(',');
}

/**
 * A list with weights: lower case, sorted, the weight left out where it is 1. `among`: choices that matter; others are
 * dropped. Undefined where the value is not spelt as such a list.
 */
export function normalizeWeighted(value: string, among: readonly string[] | undefined): string | undefined {
  const members = parseWeighted(value);
  if (members === undefined) return undefined;
  const spelt = members
    .filter(({ choice }) => among === undefined || choice === '*' || choice === 'identity' || among.includes(choice))
    .map(({ choice, weight }) => (weight === FULL_WEIGHT ? choice : `${choice};q=${weight}`));
  return [...new Set(spelt)].sort().join(',');
}

/** The language that is wanted more than every other; undefined where several are, or the value cannot be read. */
export function preferredLanguage(acceptLanguage: string): string | undefined {
  const members = parseWeighted(acceptLanguage);
  if (members === undefined) return undefined;
  const most = Math.max(0, ...members.map(({ weight }) => weight));
  const [best, ...equals] = members.filter(({ weight }) => weight === most);
  return most === 0 || best === undefined || equals.length > 0 || best.choice === '*' ? undefined : best.choice;
}

/**
 * Whether a response with this Content-Encoding can be sent to a client with this Accept-Encoding. Without the field any
 * coding is acceptable (12.5.3); a coding that is not listed is acceptable only through `*`.
 */
export function acceptsCoding(acceptEncoding: string | undefined, contentEncoding: string | undefined): boolean {
  if (acceptEncoding === undefined) return true;
  const members = parseWeighted(acceptEncoding);
  if (members === undefined) return false;
  const weights = new Map(members.map(({ choice, weight }) => [choice, weight]));
  const codings = contentEncoding === undefined ? [] : splitList(contentEncoding.toLowerCase()).map(codingName);
  if (codings.every((coding) => coding === 'identity')) return (weights.get('identity') ?? weights.get('*') ?? 1) > 0;
  return codings.every((coding) => (weights.get(coding) ?? weights.get('*') ?? 0) > 0);
}

function parseWeighted(value: string): Weighted[] | undefined {
  const members: Weighted[] = [];
  for (const member of splitList(value)) {
    const parts = member.toLowerCase().split(';').map(trim);
    const last = parts.at(-1) ?? '';
    const weight = parts.length > 1 && /^q=/.test(last) ? parseWeight(last.slice(2)) : FULL_WEIGHT;
    if (weight === undefined || member.includes('"')) return undefined;
    const choice = parts.length > 1 && /^q=/.test(last) ? parts.slice(0, -1).join(';') : parts.join(';');
    if (/[\s=]/.test(parts[0] ?? '') || choice === '') return undefined;
    members.push({ choice: codingName(choice), weight });
  }
  return members;
}

/** qvalue in thousandths. */
function parseWeight(text: string): number | undefined {
  if (!/^(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)$/.test(text)) return undefined;
  return Math.round(Number(text) * FULL_WEIGHT);
}

/** Two codings have an older name that recipients are to take for the same (8.4.1). */
function codingName(name: string): string {
  return name === 'x-gzip' ? 'gzip' : name === 'x-compress' ? 'compress' : name;
}
