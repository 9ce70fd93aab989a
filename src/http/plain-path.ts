/**
 * Other spellings of a path: what an origin, or something before it, may make of it before it looks anything up. Pure;
 * used where a rule of the operator names paths, so that nobody gets round the rule by `/%61dmin/`, `//admin/`,
 * `/x/../admin/` or `/admin;x/`. Not for keys, nor for what is sent: see normalUri in target.ts.
 */
import { isHexDigit } from './characters.js';

/** Rounds of decoding: some servers do it twice. */
const MOST_ROUNDS = 3;

/** What a path may hold that makes it another than it looks. */
const UNUSUAL = /[%;\\]|\/\/|\/\.(?:[./]|$)/;

/**
 * `path` without a query, decoded, with single slashes, without parameters of segments and dot segments. Itself where it
 * is spelt so already, which costs one look.
 */
export function plainPath(path: string): string {
  if (!UNUSUAL.test(path)) return path;
  let text = path;
  for (let round = 0; round < MOST_ROUNDS && text.includes('%'); round++) text = decoded(text);
  const kept: string[] = [];
  const segments = text.replaceAll('\\', '/').split('/');
  for (const [at, segment] of segments.entries()) {
    const semicolon = segment.indexOf(';');
    const name = semicolon === -1 ? segment : segment.slice(0, semicolon);
    const last = at === segments.length - 1;
    if (name === '..') kept.pop();
    else if (name !== '' && name !== '.') kept.push(name);
    // A slash at the end stays, and so does that of a dot segment.
    if (last && kept.length > 0 && (name === '' || name === '.' || name === '..')) kept.push('');
  }
  return `/${kept.join('/')}`;
}

/** Byte by byte: what is no UTF-8 is somebody's spelling all the same. */
function decoded(text: string): string {
  let result = '';
  let copied = 0;
  for (let at = text.indexOf('%'); at !== -1; at = text.indexOf('%', at + 1)) {
    if (!isHexDigit(text.charCodeAt(at + 1)) || !isHexDigit(text.charCodeAt(at + 2))) continue;
    result += text.slice(copied, at) + String.fromCharCode(Number.parseInt(text.slice(at + 1, at + 3), 16));
    copied = at + 3;
    at += 2;
  }
  return result + text.slice(copied);
}
