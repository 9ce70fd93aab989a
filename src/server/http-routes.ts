/**
 * Who answers a request: by host, then by the longest beginning of its path. Made when the configuration is read,
 * asked for every request; an answer costs one look-up of the host and one comparison for each of its paths.
 */
import type { Authority } from '../http/authority.js';
import type { Route } from '../proxy/site.js';

/** One place that a route is for. */
export interface Place {
  /** A name, `*.` and a name for all below it, or `*`. */
  readonly host: string;
  readonly path: string;
  readonly route: Route;
}

export class RouteTable {
  /** For a name all places that may be for it, in the order in which they are tried. */
  readonly #exact: ReadonlyMap<string, readonly Place[]>;
  /** The same for names below one: `.example.com`. */
  readonly #below: ReadonlyMap<string, readonly Place[]>;
  readonly #any: readonly Place[];

  /** Of two places with one host and path the first counts. */
  constructor(places: readonly Place[]) {
    const of = (host: string): Place[] =>
      places.filter((place) => place.host === host).sort((a, b) => b.path.length - a.path.length);
    this.#any = of('*');
    const below = new Map<string, readonly Place[]>();
    const wild = [...new Set(places.map(({ host }) => host).filter((host) => host.startsWith('*.')))];
    // The shorter first: what is below a longer name is below the shorter as well, and tries that afterwards.
    for (const host of wild.sort((a, b) => a.length - b.length)) {
      const suffix = host.slice(1);
      below.set(suffix, [...of(host), ...placesBelow(below, suffix, this.#any)]);
    }
    this.#below = below;
    const exact = places.map(({ host }) => host).filter((host) => !host.startsWith('*'));
    this.#exact = new Map(exact.map((host) => [host, [...of(host), ...placesBelow(below, host, this.#any)]]));
  }

  /** `named`: only places that name the host, be it by what it is below. */
  find(authority: Authority | undefined, path: string, named = false): Route | undefined {
    const places =
      authority === undefined
        ? this.#any
        : (this.#exact.get(authority.host) ??
          (this.#below.size === 0 ? this.#any : placesBelow(this.#below, authority.host, this.#any)));
    for (const { host, path: prefix, route } of places) {
      if (isBelow(path, prefix) && !(named && host === '*')) return route;
    }
    return undefined;
  }
}

/** What the nearest wildcard above `host` has. */
function placesBelow(
  below: ReadonlyMap<string, readonly Place[]>,
  host: string,
  otherwise: readonly Place[],
): readonly Place[] {
  if (host.startsWith('[')) return otherwise;
  for (let dot = host.indexOf('.', 1); dot !== -1; dot = host.indexOf('.', dot + 1)) {
    const found = below.get(host.slice(dot));
    if (found !== undefined) return found;
  }
  return otherwise;
}

const SLASH = 0x2f;
const QUESTION = 0x3f;

/** `/api` is for itself, for `/api?x` and for `/api/x`, not for `/apix`; `/api/` is for what begins with it. */
function isBelow(path: string, prefix: string): boolean {
  if (prefix === '/') return true;
  if (!path.startsWith(prefix)) return false;
  if (prefix.endsWith('/') || path.length === prefix.length) return true;
  const next = path.charCodeAt(prefix.length);
  return next === SLASH || next === QUESTION;
}
