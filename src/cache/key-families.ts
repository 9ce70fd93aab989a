/**
 * The keys that add fields to their URI (key.ts), by the URI: an unsafe request takes all of them back, and must not have
 * to look at every key there is. A key without fields is not here, and costs nothing. Used by collapse.ts and by the
 * store's index; pure.
 */
const NONE: ReadonlySet<string> = new Set();

export class KeyFamilies {
  readonly #keys = new Map<string, Set<string>>();

  /** A key adds fields to its URI behind a space, and no URI has one. */
  static uriOf(key: string): string | undefined {
    const space = key.indexOf(' ');
    return space === -1 ? undefined : key.slice(0, space);
  }

  /** URIs with such keys. */
  get size(): number {
    return this.#keys.size;
  }

  add(key: string): void {
    const uri = KeyFamilies.uriOf(key);
    if (uri === undefined) return;
    const keys = this.#keys.get(uri);
    // The text of the URI is the key's own, as long as that is here.
    if (keys === undefined) this.#keys.set(uri, new Set([key]));
    else keys.add(key);
  }

  delete(key: string): void {
    const uri = KeyFamilies.uriOf(key);
    const keys = uri === undefined ? undefined : this.#keys.get(uri);
    if (uri === undefined || keys?.delete(key) !== true) return;
    if (keys.size === 0) this.#keys.delete(uri);
  }

  of(uri: string): Iterable<string> {
    return this.#keys.get(uri) ?? NONE;
  }
}
