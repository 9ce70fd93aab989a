/**
 * The characters of a Structured Field (RFC 9651 section 4.2), one rule a method. Called by structured.ts. Every method
 * says undefined (or false) where the text breaks the rule, and the caller gives up then: nothing is repaired.
 */
/** A value of a bare item; kept apart by `type`, because `1`, `1.0` and `"1"` are different values. */
export type SfItem =
  | { readonly type: 'integer' | 'decimal' | 'date'; readonly value: number }
  | { readonly type: 'string' | 'token' | 'binary' | 'display'; readonly value: string }
  | { readonly type: 'boolean'; readonly value: boolean }
  | { readonly type: 'list' };

const STRING_ENDS = /["\\]|[^\x20-\x7e]/g;

export class SfReader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  get done(): boolean {
    return this.#at >= this.#text.length;
  }

  take(char: string): boolean {
    if (this.#text[this.#at] !== char) return false;
    this.#at++;
    return true;
  }

  skipSpaces(): void {
    this.#match(/ */y);
  }

  /** Spaces and tabs, which may surround the commas of lists and dictionaries. */
  skipBlanks(): void {
    this.#match(/[ \t]*/y);
  }

  key(): string | undefined {
    return this.#match(/[a-z*][a-z0-9_\-.*]*/y);
  }

  itemOrList(): SfItem | undefined {
    if (!this.take('(')) return this.bareItem();
    for (;;) {
      this.skipSpaces();
      if (this.take(')')) return { type: 'list' };
      if (this.bareItem() === undefined || !this.parameters()) return undefined;
      const next = this.#text[this.#at];
      if (next !== ' ' && next !== ')') return undefined;
    }
  }

  /** False where parameters are wrong; nobody here needs their values. */
  parameters(): boolean {
    while (this.take(';')) {
      this.skipSpaces();
      if (this.key() === undefined) return false;
      if (this.take('=') && this.bareItem() === undefined) return false;
    }
    return true;
  }

  bareItem(): SfItem | undefined {
    const first = this.#text[this.#at];
    switch (first) {
      case '"':
        return this.#string();
      case '?':
        return this.#boolean();
      case ':':
        return this.#binary();
      case '@':
        return this.#date();
      case '%':
        return this.#display();
      default:
        return first !== undefined && /[-0-9]/.test(first) ? this.#number() : this.#token();
    }
  }

  #number(): SfItem | undefined {
    const spelt = this.#match(/-?[0-9]+(?:\.[0-9]*)?/y);
    if (spelt === undefined) return undefined;
    const [whole = '', fraction] = spelt.replace('-', '').split('.');
    if (fraction === undefined) {
      return whole.length <= 15 ? { type: 'integer', value: Number(spelt) } : undefined;
    }
    const fits = whole.length <= 12 && fraction.length >= 1 && fraction.length <= 3;
    return fits ? { type: 'decimal', value: Number(spelt) } : undefined;
  }

  #string(): SfItem | undefined {
    let value = '';
    this.#at++;
    for (;;) {
      STRING_ENDS.lastIndex = this.#at;
      const end = STRING_ENDS.exec(this.#text);
      if (end === null) return undefined;
      value += this.#text.slice(this.#at, end.index);
      this.#at = end.index + 1;
      if (end[0] === '"') return { type: 'string', value };
      const escaped = this.#text[this.#at];
      if (end[0] !== '\\' || (escaped !== '"' && escaped !== '\\')) return undefined;
      value += escaped;
      this.#at++;
    }
  }

  #token(): SfItem | undefined {
    const value = this.#match(/[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*/y);
    return value === undefined ? undefined : { type: 'token', value };
  }

  #boolean(): SfItem | undefined {
    const spelt = this.#match(/\?[01]/y);
    return spelt === undefined ? undefined : { type: 'boolean', value: spelt === '?1' };
  }

  #binary(): SfItem | undefined {
    const spelt = this.#match(/:[A-Za-z0-9+/]*={0,2}:/y);
    return spelt === undefined ? undefined : { type: 'binary', value: spelt.slice(1, -1) };
  }

  #date(): SfItem | undefined {
    this.#at++;
    const number = this.#number();
    return number?.type === 'integer' ? { type: 'date', value: number.value } : undefined;
  }

  #display(): SfItem | undefined {
    const spelt = this.#match(/%"(?:[\x20\x21\x23\x24\x26-\x7e]|%[0-9a-f]{2})*"/y);
    if (spelt === undefined) return undefined;
    try {
      return { type: 'display', value: decodeURIComponent(spelt.slice(2, -1)) };
    } catch {
      return undefined; // the bytes are not UTF-8
    }
  }

  /** What a sticky pattern finds here, or undefined; an empty match is a match. */
  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found !== undefined) this.#at += found.length;
    return found;
  }
}
