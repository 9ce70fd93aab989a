/**
 * What an HTTP message begins with: a request line or a status line, and fields (RFC 9110 sections 5 and 6). Every
 * room that speaks of HTTP uses these types: the parser makes them, framing, forwarding and the cache judge them,
 * serialize.ts turns them into bytes again.
 *
 * All values are immutable, so that a head may be kept in the cache and handed out at the same time. Nothing here
 * checks syntax: what comes off the wire was checked by head-parser.ts, and serialize.ts refuses to write what would
 * break a message. Texts hold one byte a character (Latin-1), as they were received.
 */

export interface Version {
  readonly major: number;
  readonly minor: number;
}

export interface RequestHead {
  readonly method: string;
  /** As received: see target.ts for its four forms. */
  readonly target: string;
  readonly version: Version;
  readonly fields: Fields;
}

export interface ResponseHead {
  readonly status: number;
  /** May be empty. */
  readonly reason: string;
  readonly version: Version;
  readonly fields: Fields;
}

export const HTTP_1_0: Version = { major: 1, minor: 0 };
export const HTTP_1_1: Version = { major: 1, minor: 1 };

/** Whether `version` is HTTP/1.1 or a later minor version, which is to be treated as 1.1. */
export function isHttp11(version: Version): boolean {
  return version.major === 1 && version.minor >= 1;
}

/**
 * An immutable list of fields as received: their order and the case of names are kept. Names compare without regard
 * to case. A head has few fields, so looking one up is a scan over names of the same length.
 */
export class Fields implements Iterable<readonly [name: string, value: string]> {
  static readonly EMPTY = new Fields([]);

  /** Name, value, name, value... Never written after construction. */
  readonly #flat: readonly string[];
  /** The names in lower case; made when the first is asked for. */
  #lowerNames: readonly string[] | undefined;

  private constructor(flat: readonly string[]) {
    this.#flat = flat;
  }

  static from(pairs: Iterable<readonly [name: string, value: string]>): Fields {
    const flat: string[] = [];
    for (const [name, value] of pairs) flat.push(name, value);
    return new Fields(flat);
  }

  /** From names and values in turn. Takes the array over: the caller must not write into it afterwards. */
  static fromRaw(flat: readonly string[]): Fields {
    return new Fields(flat);
  }

  /** How many fields there are; a name that occurs twice counts twice. */
  get size(): number {
    return this.#flat.length >> 1;
  }

  *[Symbol.iterator](): Iterator<readonly [name: string, value: string]> {
    const flat = this.#flat;
    for (let i = 0; i < flat.length; i += 2) yield [flat[i] ?? '', flat[i + 1] ?? ''];
  }

  /** Names and values in turn, for loops that must not allocate. */
  get raw(): readonly string[] {
    return this.#flat;
  }

  /** The names in lower case, in order: the name of field i, whose value is `raw[2 * i + 1]`. */
  get names(): readonly string[] {
    if (this.#lowerNames !== undefined) return this.#lowerNames;
    const flat = this.#flat;
    const names = new Array<string>(flat.length >> 1);
    for (let i = 0; i < names.length; i++) names[i] = lower(flat[2 * i] ?? '');
    return (this.#lowerNames = names);
  }

  has(name: string): boolean {
    return this.names.includes(lower(name));
  }

  /**
   * The value, or several joined by ", " as RFC 9110 section 5.3 combines them. Set-Cookie is the one field that cannot
   * be joined without harm; use `all()` for it.
   */
  get(name: string): string | undefined {
    const { names } = this;
    const wanted = lower(name);
    let at = names.indexOf(wanted);
    if (at === -1) return undefined;
    let value = this.#flat[2 * at + 1] ?? '';
    while ((at = names.indexOf(wanted, at + 1)) !== -1) value += `, ${this.#flat[2 * at + 1] ?? ''}`;
    return value;
  }

  /** The values of every field of that name, in order. */
  all(name: string): string[] {
    const { names } = this;
    const wanted = lower(name);
    const values: string[] = [];
    for (let at = names.indexOf(wanted); at !== -1; at = names.indexOf(wanted, at + 1)) {
      values.push(this.#flat[2 * at + 1] ?? '');
    }
    return values;
  }

  /** How often the name occurs. */
  count(name: string): number {
    const { names } = this;
    const wanted = lower(name);
    let count = 0;
    for (let at = names.indexOf(wanted); at !== -1; at = names.indexOf(wanted, at + 1)) count++;
    return count;
  }

  /** With exactly one field of that name: in the place of the first, or at the end. */
  with(name: string, value: string): Fields {
    const { names } = this;
    const wanted = lower(name);
    const first = names.indexOf(wanted);
    if (first === -1) return this.append(name, value);
    const flat: string[] = [];
    names.forEach((each, i) => {
      if (i === first) flat.push(name, value);
      else if (each !== wanted) flat.push(this.#flat[2 * i] ?? '', this.#flat[2 * i + 1] ?? '');
    });
    return new Fields(flat);
  }

  /** With one more field at the end, whatever there is of that name. */
  append(name: string, value: string): Fields {
    return new Fields([...this.#flat, name, value]);
  }

  /** With these behind all others. */
  concat(other: Fields): Fields {
    return other.size === 0 ? this : new Fields([...this.#flat, ...other.#flat]);
  }

  without(...names: string[]): Fields {
    const unwanted = names.map(lower);
    return this.filter((name) => !unwanted.includes(name));
  }

  /** Those that `keep` says to keep; it is given the name in lower case. Itself where all stay. */
  filter(keep: (lowerName: string, value: string) => boolean): Fields {
    const { names } = this;
    const flat: string[] = [];
    names.forEach((name, i) => {
      const value = this.#flat[2 * i + 1] ?? '';
      if (keep(name, value)) flat.push(this.#flat[2 * i] ?? '', value);
    });
    return flat.length === this.#flat.length ? this : new Fields(flat);
  }

  /** For messages of tests and logs. */
  toJSON(): readonly (readonly [name: string, value: string])[] {
    return [...this];
  }
}

function lower(name: string): string {
  return name.toLowerCase();
}
