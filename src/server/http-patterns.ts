/**
 * Patterns of the operator: text in which `*` stands for anything, also for nothing. Compiled when the site is made,
 * asked for every request. Takes time in proportion to the text, whatever the pattern: both come from outside.
 */

export type Matcher = (text: string) => boolean;

export function matcherOf(pattern: string): Matcher {
  const [first = '', ...rest] = pattern.split('*');
  const last = rest.pop();
  if (last === undefined) return (text) => text === first;
  const middle = rest.filter((piece) => piece !== '');
  if (middle.length === 0 && last === '') return first === '' ? () => true : (text) => text.startsWith(first);
  return (text) => {
    if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false;
    const end = text.length - last.length;
    // The earliest place of each piece leaves the most room for those behind it.
    let at = first.length;
    for (const piece of middle) {
      const found = text.indexOf(piece, at);
      if (found === -1 || found + piece.length > end) return false;
      at = found + piece.length;
    }
    return true;
  };
}

/** Of whole paths; one that ends with a slash is for everything below it. */
export function pathMatcher(pattern: string): Matcher {
  return matcherOf(pattern.endsWith('/') ? `${pattern}*` : pattern);
}

export interface NamePattern {
  readonly name: Matcher;
  /** Undefined: any. */
  readonly value: Matcher | undefined;
}

/** `NAME` or `NAME=VALUE`. */
export function namePattern(pattern: string): NamePattern {
  const equals = pattern.indexOf('=');
  if (equals === -1) return { name: matcherOf(pattern), value: undefined };
  return { name: matcherOf(pattern.slice(0, equals)), value: matcherOf(pattern.slice(equals + 1)) };
}
