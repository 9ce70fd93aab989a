/**
 * Asking the origin about stored responses (RFC 9111 section 4.3.1): from a request to the conditional one that goes
 * out. Called by decide.ts; pure.
 */
import type { Fields } from '../http/head.js';
import { parseEntityTags } from './etag.js';
import { acceptsCoding } from './negotiation.js';
import { isComplete } from './spans.js';
import type { StoredResponse } from './stored.js';

export interface ConditionalRequest {
  /** Those of the request, with the preconditions of this cache in place of the client's. */
  readonly fields: Fields;
  /** The stored responses whose validators were sent: what a 304 may be about. */
  readonly nominated: readonly StoredResponse[];
}

/** No origin should have to read a field that grows with what is stored. */
const MOST_TAGS = 16;

/** Preconditions that a cache evaluates; it replaces them when it asks on its own behalf. */
const CLIENT_CONDITIONS = ['if-none-match', 'if-modified-since', 'if-range'] as const;

/** The fields of a request made independently of the client that caused it (stale-while-revalidate). */
export function withoutConditions(requestFields: Fields): Fields {
  return requestFields.without(...CLIENT_CONDITIONS, 'range');
}

/**
 * @param selected what the request selected and what has to be validated, if anything
 * @param all everything stored under the key. Other variants are nominated by their entity tags too: the origin may
 *   know that one of them is what this request wants, and says which.
 * @returns undefined where there is no validator to ask with
 */
export function conditionalRequest(
  requestFields: Fields,
  selected: StoredResponse | undefined,
  all: readonly StoredResponse[],
): ConditionalRequest | undefined {
  if (selected === undefined && all.length === 0) return undefined; // the usual miss
  const variants = all.filter((stored) => stored.id !== selected?.id && mayNominate(stored, requestFields));
  const nominated = [...(selected?.etag === undefined ? [] : [selected]), ...variants].slice(0, MOST_TAGS);
  const clientTags = clientEntityTags(requestFields);
  const tags = new Set([...nominated.map((stored) => stored.etag?.text ?? ''), ...clientTags]);

  const plain = requestFields.without('if-none-match', 'if-modified-since');
  if (nominated.length > 0) {
    const fields = plain.with('If-None-Match', [...tags].join(', '));
    const date = modifiedSince(selected);
    // With tags the date is only for origins that know nothing of tags, and must not be about something else.
    const alone = nominated.length === 1 && nominated[0] === selected && clientTags.length === 0;
    const dated = alone && date !== undefined && !requestFields.has('range');
    return { fields: dated ? fields.with('If-Modified-Since', date) : fields, nominated };
  }
  const date = modifiedSince(selected);
  if (selected === undefined || date === undefined) return undefined;
  return { fields: plain.with('If-Modified-Since', date), nominated: [selected] };
}

/**
 * A variant that the request did not select is nominated by a strong tag only: origins give variants that differ in
 * their coding the same weak one, and a 304 would then send a client what it cannot decode. Of a part nothing may be
 * said (4.3.2).
 */
function mayNominate(stored: StoredResponse, requestFields: Fields): boolean {
  return (
    stored.etag !== undefined &&
    !stored.etag.weak &&
    stored.record.status === 200 &&
    isComplete(stored.record.extent) &&
    acceptsCoding(requestFields.get('accept-encoding'), stored.fields.get('content-encoding'))
  );
}

/** As the origin wrote it: some compare the text. */
function modifiedSince(selected: StoredResponse | undefined): string | undefined {
  return selected?.lastModified === undefined ? undefined : selected.fields.get('last-modified');
}

function clientEntityTags(requestFields: Fields): string[] {
  const value = requestFields.get('if-none-match');
  const tags = value === undefined ? [] : parseEntityTags(value);
  return tags === '*' ? [] : tags.map((tag) => tag.text);
}
