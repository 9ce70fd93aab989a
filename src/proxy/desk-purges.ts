/**
 * Purges and invalidations of the last minutes. The store applies a purge to what it holds and to fills under way; but
 * an answer may be from before the change and come after it: its request was sent before the purge, its head arrived
 * behind it. Such an answer must not be stored as if it were new. Called by cache-desk.ts; pure.
 */
import type { PurgeTarget } from '../cache/store/types.js';
import { ownText } from '../own-text.js';

/** No answer is waited for longer than that. */
const KEEP_MS = 300_000;
/** A site that invalidates more than this in {@link KEEP_MS} forgets the oldest. */
const MOST_URIS = 20_000;
/** Each is compared with every answer that is to be stored. */
const MOST_PATTERNS = 500;
/**
 * URIs and patterns together. A client chooses how long a URI is, up to what a head may have, and each of its unsafe
 * requests leaves one here: 4 Mi characters, 4 to 8 MB, are 20,000 URIs of 200 characters.
 */
const MOST_CHARACTERS = 4 * 1024 * 1024;

export type PurgeMode = 'hard' | 'soft';

interface Past {
  readonly at: number;
  readonly mode: PurgeMode;
}

type Pattern = Exclude<PurgeTarget, { key: string }>;

export class RecentPurges {
  /** In the order of time. */
  readonly #uris = new Map<string, Past>();
  readonly #patterns: (Past & { readonly target: Pattern })[] = [];
  #characters = 0;
  /** The latest of what was forgotten before its time. What was asked for until then may have been meant by it. */
  #horizon = -Infinity;

  /** A `key` is a URI, and means all keys of it. */
  note(target: PurgeTarget, mode: PurgeMode, at: number): void {
    if ('key' in target) {
      const before = this.#uris.get(target.key);
      if (before === undefined) this.#characters += target.key.length;
      this.#uris.delete(target.key);
      // Who was there before a hard purge is not saved by a soft one that follows.
      this.#uris.set(ownText(target.key), { at, mode: before?.mode === 'hard' ? 'hard' : mode });
    } else {
      this.#characters += textOf(target).length;
      this.#patterns.push({ target, mode, at });
    }
    while (this.#uris.size > MOST_URIS) this.#forgetEarly('uri');
    while (this.#patterns.length > MOST_PATTERNS) this.#forgetEarly('pattern');
    while (this.#characters > MOST_CHARACTERS) this.#forgetEarly(this.#uris.size > 0 ? 'uri' : 'pattern');
  }

  /** What a purge says of an answer that was asked for before it and arrived after it. */
  judge(
    key: string,
    tags: readonly string[],
    times: { readonly requestTime: number; readonly responseTime: number },
  ): PurgeMode | undefined {
    if (times.requestTime <= this.#horizon) return 'hard';
    if (this.#uris.size === 0 && this.#patterns.length === 0) return undefined;
    const between = ({ at }: Past): boolean => times.requestTime <= at && at < times.responseTime;
    const space = key.indexOf(' ');
    const past = this.#uris.get(space === -1 ? key : key.slice(0, space));
    let mode: PurgeMode | undefined = past !== undefined && between(past) ? past.mode : undefined;
    for (const each of this.#patterns) {
      if (mode === 'hard') return mode;
      const { target } = each;
      const meant = 'prefix' in target ? key.startsWith(target.prefix) : tags.includes(target.tag);
      if (meant && between(each)) mode = each.mode;
    }
    return mode;
  }

  expire(now: number): void {
    const isOver = (past: Past | undefined): boolean => past !== undefined && past.at < now - KEEP_MS;
    while (isOver(this.#patterns[0])) this.#forgetPattern();
    for (const past of this.#uris.values()) {
      if (!isOver(past)) break;
      this.#forgetUri();
    }
  }

  #forgetEarly(which: 'uri' | 'pattern'): void {
    const past = which === 'uri' ? this.#forgetUri() : this.#forgetPattern();
    if (past !== undefined) this.#horizon = Math.max(this.#horizon, past.at);
  }

  #forgetUri(): Past | undefined {
    for (const [uri, past] of this.#uris) {
      this.#uris.delete(uri);
      this.#characters -= uri.length;
      return past;
    }
    return undefined;
  }

  #forgetPattern(): Past | undefined {
    const past = this.#patterns.shift();
    if (past !== undefined) this.#characters -= textOf(past.target).length;
    return past;
  }
}

function textOf(target: Pattern): string {
  return 'prefix' in target ? target.prefix : target.tag;
}
