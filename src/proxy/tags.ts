/**
 * The tags under which a response is stored, for purges (Surrogate-Key, Cache-Tag and the like). Called by
 * cache-desk.ts for every fill and update; pure. Values come off the wire: linear time, bounded, nothing throws.
 */

/** Characters of one tag; longer ones are left out. */
const MOST_CHARACTERS = 1024;
/** Bytes of all tags of a response together, as other caches have it; what comes behind is left out. */
const MOST_BYTES = 16 * 1024;

export interface Tags {
  readonly tags: readonly string[];
  /** Tags that were left out: a purge by them will not find the response. */
  readonly left: number;
}

const NO_TAGS: Tags = { tags: [], left: 0 };

/**
 * @param fields names and values in turn
 * @param names of the fields that carry tags: lists whose members are parted by commas or white space
 */
export function tagsOf(fields: readonly string[], names: readonly string[]): Tags {
  if (names.length === 0) return NO_TAGS;
  const wanted = names.map((name) => name.toLowerCase());
  const found = new Set<string>();
  for (let i = 0; i < fields.length; i += 2) {
    if (wanted.includes((fields[i] ?? '').toLowerCase())) collect(fields[i + 1] ?? '', found);
  }
  if (found.size === 0) return NO_TAGS;
  const tags: string[] = [];
  let bytes = 0;
  for (const tag of found) {
    const size = Buffer.byteLength(tag) + 1;
    if (tag.length > MOST_CHARACTERS || bytes + size > MOST_BYTES) continue;
    bytes += size;
    tags.push(tag);
  }
  return { tags, left: found.size - tags.length };
}

function collect(value: string, into: Set<string>): void {
  const text = asUtf8(value);
  let at = 0;
  while (at < text.length) {
    if (isSeparator(text.charCodeAt(at))) {
      at++;
      continue;
    }
    const quoted = text[at] === '"' ? quotedAt(text, at) : undefined;
    let end = quoted?.end ?? at;
    if (quoted === undefined) while (end < text.length && !isSeparator(text.charCodeAt(end))) end++;
    const tag = quoted?.text ?? text.slice(at, end);
    if (tag !== '') into.add(tag);
    at = end;
  }
}

/** A quoted string (RFC 9110 section 5.6.4); undefined where the quote is never closed, and so only a character. */
function quotedAt(text: string, start: number): { readonly text: string; readonly end: number } | undefined {
  let said = '';
  for (let at = start + 1; at < text.length; at++) {
    const char = text[at] ?? '';
    if (char === '"') return { text: said, end: at + 1 };
    if (char === '\\') at++;
    said += text[at] ?? '';
  }
  return undefined;
}

/** Fields hold a byte a character; tags that are UTF-8 have to read as the operator writes them into a purge. */
function asUtf8(value: string): string {
  if (!/[^\x00-\x7f]/.test(value)) return value;
  const text = Buffer.from(value, 'latin1').toString('utf8');
  return text.includes('\ufffd') ? value : text;
}

/** Comma, space, tab; and what no field has, but a tag must not have. */
function isSeparator(code: number): boolean {
  return code === 0x2c || code <= 0x20;
}
