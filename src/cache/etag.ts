/**
 * Entity tags (RFC 9110 section 8.8.3) and lists of them. Called by everything here that compares validators; pure.
 *
 * Origins send tags without quotes, with `w/` and worse. Such a tag is kept as it came and equals only the same text,
 * weakly: enough to ask its origin about it, never enough to join bytes.
 */
import type { Fields } from '../http/head.js';
import { splitList, trim } from './list.js';

export interface EntityTag {
  /** As received: what goes into If-None-Match. */
  readonly text: string;
  readonly weak: boolean;
  /** Between the quotes; the whole text where the tag is malformed. */
  readonly opaque: string;
  readonly wellFormed: boolean;
}

export function parseEntityTag(value: string): EntityTag {
  const text = trim(value);
  const [, weak, opaque] = /^(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"$/.exec(text) ?? [];
  if (opaque === undefined) return { text, weak: true, opaque: text, wellFormed: false };
  return { text, weak: weak !== undefined, opaque, wellFormed: true };
}

/** The tag of a message. Of several ETag lines none can be believed. */
export function entityTagOf(fields: Fields): EntityTag | undefined {
  const [value, ...more] = fields.all('etag');
  if (value === undefined || more.length > 0 || trim(value) === '') return undefined;
  return parseEntityTag(value);
}

/** The tags of If-Match or If-None-Match; `*` stands for any. */
export function parseEntityTags(value: string): readonly EntityTag[] | '*' {
  return trim(value) === '*' ? '*' : splitTags(value).map(parseEntityTag);
}

export function equalWeakly(a: EntityTag, b: EntityTag): boolean {
  return a.wellFormed === b.wellFormed && a.opaque === b.opaque;
}

export function equalStrongly(a: EntityTag, b: EntityTag): boolean {
  return !a.weak && !b.weak && a.opaque === b.opaque;
}

/** The opaque part has no escapes: a backslash is a backslash, and what splits other lists would run past its end. */
function splitTags(value: string): string[] {
  const tags = value.match(/(?:W\/)?"[^"]*"|[^,\s]+/g) ?? [];
  return tags.length > 0 ? tags : splitList(value);
}
