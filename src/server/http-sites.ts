/**
 * The list `sites` of the configuration file: which requests are for whom, and what is different for them. Read at
 * start and at each reload; http-routes.ts makes of it what requests are looked up in.
 */
import { z } from 'zod';
import { suggest } from './config-suggest.js';
import { keyOf, listOf, namesOf, valueOf } from './config-table.js';
import type { SettingTable } from './config-table.js';
import { show } from './config-values.js';
import { CACHE_SETTINGS } from './http-settings-cache.js';
import type { CacheRules } from './http-settings-cache.js';
import { ORIGIN_SETTINGS } from './http-settings-origin.js';
import type { OriginRules } from './http-settings-origin.js';
import { parseHostPattern, parsePathPrefix, parseWordOfText } from './http-values.js';

export interface SiteConfig {
  /** In logs and metrics. */
  readonly name: string;
  /** Names, or `*.` and the name above them; none: every host. */
  readonly hosts: readonly string[];
  readonly path: string;
  /** What differs from the settings outside. */
  readonly origin: Partial<OriginRules>;
  readonly cache: Partial<CacheRules> | 'off';
}

type Shape = Readonly<Record<string, z.ZodType>>;

/** A map with these keys and no others; each mistake names its key. */
function mapOf(shape: Shape, what: string): z.ZodType<Record<string, unknown>> {
  return z.unknown().transform((value, context) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      context.addIssue({ code: 'custom', message: `${show(value)} is not ${what}` });
      return z.NEVER;
    }
    const result: Record<string, unknown> = {};
    for (const [key, given] of Object.entries(value)) {
      const schema = Object.hasOwn(shape, key) ? shape[key] : undefined;
      if (schema === undefined) {
        const near = suggest(key, Object.keys(shape));
        const hint = near === undefined ? `there are ${Object.keys(shape).join(', ')}` : `did you mean "${near}"?`;
        context.addIssue({ code: 'custom', message: `unknown key; ${hint}`, path: [key] });
        continue;
      }
      const read = schema.safeParse(given);
      if (read.success) result[key] = read.data;
      else
        for (const { message, path } of read.error.issues) {
          context.addIssue({ code: 'custom', message, path: [key, ...path] });
        }
    }
    return result;
  });
}

function shapeOf<Config>(settings: SettingTable<Config>): Shape {
  return Object.fromEntries(namesOf({ settings }).map((name) => [keyOf(name), settings[name].schema]));
}

/** From keys as they are written to names of settings; those that are not there stay out. */
function named<Config>(settings: SettingTable<Config>, values: Readonly<Record<string, unknown>>): Partial<Config> {
  const entries = namesOf({ settings }).flatMap((name) => {
    const key = keyOf(name);
    return key in values ? [[name, values[key]] as const] : [];
  });
  // The values have been read by the schemas of these settings.
  return Object.fromEntries(entries) as Partial<Config>;
}

const cacheMap = mapOf(shapeOf(CACHE_SETTINGS), 'off, on, or a map of cache rules');

const cacheSchema: z.ZodType<Partial<CacheRules> | 'off'> = z.unknown().transform((value, context) => {
  if (value === 'off' || value === false) return 'off';
  if (value === 'on' || value === true) return {};
  const read = cacheMap.safeParse(value);
  if (read.success) return named(CACHE_SETTINGS, read.data);
  for (const { message, path } of read.error.issues) context.addIssue({ code: 'custom', message, path });
  return z.NEVER;
});

const siteMap = mapOf(
  {
    name: valueOf(parseWordOfText),
    host: listOf(valueOf(parseHostPattern), 'name at least one host, or leave it out for every host'),
    path: valueOf(parsePathPrefix),
    ...shapeOf(ORIGIN_SETTINGS),
    cache: cacheSchema,
  },
  'a site; it is a map like "host: www.example.com" with "origin: http://127.0.0.1:3000"',
);

const siteSchema: z.ZodType<SiteConfig> = siteMap.transform((values): SiteConfig => {
  // The schemas above have made each value what it is taken for here.
  const hosts = (values['host'] ?? []) as readonly string[];
  const path = (values['path'] ?? '/') as string;
  return {
    name: (values['name'] as string | undefined) ?? `${hosts[0] ?? '*'}${path === '/' ? '' : path}`,
    hosts,
    path,
    origin: named(ORIGIN_SETTINGS, values),
    cache: (values['cache'] ?? {}) as SiteConfig['cache'],
  };
});

export const sitesSchema: z.ZodType<readonly SiteConfig[]> = z
  .unknown()
  .transform((value, context) => {
    if (Array.isArray(value)) return value as unknown[];
    context.addIssue({ code: 'custom', message: `${show(value)} is not a list of sites; each begins with "- host:"` });
    return z.NEVER;
  })
  .pipe(z.array(siteSchema));

/** The paths of files in sites, made absolute. */
export function resolveSites(sites: readonly SiteConfig[], resolve: (path: string) => string): readonly SiteConfig[] {
  return sites.map((site) => {
    const files = namesOf({ settings: ORIGIN_SETTINGS }).flatMap((name) => {
      const value = site.origin[name];
      return ORIGIN_SETTINGS[name].isPath && typeof value === 'string' ? [[name, resolve(value)] as const] : [];
    });
    return { ...site, origin: { ...site.origin, ...Object.fromEntries(files) } };
  });
}

/** What of a list of sites contradicts itself: one place for two, with the number of the second. */
export function siteTwice(
  sites: readonly SiteConfig[],
): { readonly index: number; readonly place: string } | undefined {
  const seen = new Set<string>();
  for (const [index, { hosts, path }] of sites.entries()) {
    for (const host of hosts.length === 0 ? ['*'] : hosts) {
      const place = `${host}${path}`;
      if (seen.has(place)) return { index, place };
      seen.add(place);
    }
  }
  return undefined;
}
