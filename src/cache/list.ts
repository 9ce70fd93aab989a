/**
 * Comma-separated field values (RFC 9110 section 5.6.1), with quoted strings respected. Used by every file here that
 * reads a list; called with what came off the wire, so it must never throw and never take more than linear time.
 */

/**
 * The members of a list, trimmed, empty ones left out. A quote that is never closed is no quote: taking it for one
 * would swallow everything behind it, and with it a `no-store` that somebody meant.
 */
export function splitList(value: string): string[] {
  if (!value.includes('"')) return value.split(',').map(trim).filter(isSome);
  const members: string[] = [];
  let start = 0;
  let quoted = false;
  let quotesAt = -1;
  for (let i = 0; i < value.length; i++) {
    const char = value[i];
    if (quoted) {
      if (char === '\\') i++;
      else if (char === '"') quoted = false;
    } else if (char === '"') {
      quoted = true;
      quotesAt = i;
    } else if (char === ',') {
      members.push(value.slice(start, i));
      start = i + 1;
    }
  }
  if (quoted) {
    // Only what stands before the open quote was split with knowledge; the rest is cut at each comma.
    const [first = '', ...rest] = value.slice(quotesAt).split(',');
    members.push(value.slice(start, quotesAt) + first, ...rest);
  } else {
    members.push(value.slice(start));
  }
  return members.map(trim).filter(isSome);
}

/** What a quoted string says, or undefined where `text` is not exactly one. */
export function unquote(text: string): string | undefined {
  if (text.length < 2 || !text.startsWith('"') || !text.endsWith('"')) return undefined;
  let said = '';
  for (let i = 1; i < text.length - 1; i++) {
    const char = text[i] ?? '';
    if (char === '"') return undefined;
    if (char !== '\\') {
      said += char;
      continue;
    }
    i++;
    if (i === text.length - 1) return undefined;
    said += text[i] ?? '';
  }
  return said;
}

/** Without the optional white space around it, which in HTTP is spaces and tabs only. */
export function trim(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return start === 0 && end === text.length ? text : text.slice(start, end);
}

/** token of RFC 9110 section 5.6.2. */
export function isToken(text: string): boolean {
  return /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(text);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

function isSome(text: string): boolean {
  return text !== '';
}
