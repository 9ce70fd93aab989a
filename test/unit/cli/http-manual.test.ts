/** The manual and the examples of splice-http say what the program does: they are read here, and compared. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { HttpCounts } from '../../../src/control/http-counts.js';
import { HttpMetrics } from '../../../src/control/http-metrics.js';
import type { HttpSnapshot } from '../../../src/control/http-snapshot.js';
import { keyOf } from '../../../src/server/config-table.js';
import { parseSettingsFile } from '../../../src/server/config-yaml.js';
import { HTTP, loadHttpConfig } from '../../../src/server/http-config.js';
import { CACHE_SETTINGS } from '../../../src/server/http-settings-cache.js';
import { ORIGIN_SETTINGS } from '../../../src/server/http-settings-origin.js';
import { HTTP_SETTINGS } from '../../../src/server/http-settings.js';
import { makeSite } from '../../../src/server/http-site.js';
import { HTTP_SETTING_NAMES } from '../../support/settings.js';

const read = (path: string) => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');
const manual = read('docs/splice-http.md');
const MACHINE_DEPENDENT = ['cacheDir', 'control'];

/** The blocks of YAML in the manual. */
const examples = [...manual.matchAll(/^```yaml\n([\s\S]*?)^```/gm)].map(([, text]) => text ?? '');

describe('manual', () => {
  test.each([...HTTP_SETTING_NAMES])('%s: flag, default, whether a reload changes it, whether a site does', (name) => {
    const { argument, initialText, flagOnly, fileOnly, needsRestart } = HTTP_SETTINGS[name];
    const flag = fileOnly ? `${keyOf(name)}:` : `--${keyOf(name)}`;
    const rows = manual.split('\n').filter((line) => new RegExp(`^\\| \`${flag}[ \`]`).test(line));
    expect(rows).toHaveLength(1);
    const [, shownFlag, shown, reload, site] = (rows[0] ?? '').split('|').map((cell) => cell.trim());
    expect(shownFlag?.includes(' ')).toBe(argument !== undefined && !fileOnly);
    expect(reload).toBe(flagOnly ? '' : needsRestart ? 'no' : 'yes');
    expect(site).toBe(name in ORIGIN_SETTINGS ? 'yes' : name in CACHE_SETTINGS ? 'cache' : '');
    if (initialText !== undefined && !MACHINE_DEPENDENT.includes(name)) expect(shown).toBe(`\`${initialText}\``);
  });

  test('no row is about a setting that does not exist', () => {
    const shown = [...manual.matchAll(/^\| `--([a-z-]+)/gm)].map(([, key]) => key);
    expect(shown.sort()).toEqual(
      HTTP_SETTING_NAMES.filter((name) => HTTP_SETTINGS[name].fileOnly === undefined)
        .map(keyOf)
        .sort(),
    );
  });

  test('its examples are right, and the big one is a site', async () => {
    expect(examples.length).toBeGreaterThanOrEqual(2);
    for (const example of examples) expect(parseSettingsFile(HTTP, example, 'manual').mistakes).toEqual([]);
    const whole = examples.find((example) => example.includes('shop.example')) ?? '';
    const config = await loadHttpConfig({ config: '/etc/symsplice/splice-http.yaml' }, () => Promise.resolve(whole));
    const site = await makeSite(config);
    const name = (host: string, path: string) => site.route({ host, port: undefined }, path)?.name;
    expect(name('shop.example', '/cart')).toBe('www.shop.example');
    expect(name('www.shop.example', '/api/prices')).toBe('www.shop.example/api/');
    expect(name('www.shop.example', '/static/a.js')).toBe('www.shop.example/static/');
    expect(name('other.example', '/')).toBeUndefined();
    expect(site.route({ host: 'img.shop.example', port: undefined }, '/')).toMatchObject({ host: 'origin' });
  });

  test('the metrics are those that are exported, with type and labels', async () => {
    const rows = manual.matchAll(/^\| `(symsplice_\w+)` \| (\w+) \|(.*?)\|/gm);
    const documented = [...rows].map(
      ([, name, type, labels]) => `${name} ${type} ${labels?.replaceAll(/[`,]/g, '').trim()}`,
    );
    const metrics = new HttpMetrics('1');
    metrics.attach(() =>
      Promise.resolve({
        handshakes: 0,
        descriptors: 0,
        descriptorLimit: 0,
        flows: [],
        packet: undefined,
        http: snapshot(),
      }),
    );
    const exported = (await metrics.registry.getMetricsAsJSON())
      .filter(({ name }) => name.startsWith('symsplice_http_'))
      .map(({ name, type, values }) => {
        const labels = Object.keys(values[0]?.labels ?? {}).filter((label) => label !== 'le');
        return `${name} ${String(type)} ${labels.join(' ')}`;
      });
    expect(documented.map((row) => row.trim()).sort()).toEqual(exported.map((row) => row.trim()).sort());
  });
});

/** One of everything, so that each metric has a sample. */
function snapshot(): HttpSnapshot {
  const counts = new HttpCounts();
  counts.request({
    client: '192.0.2.1',
    method: 'GET',
    host: undefined,
    target: '/',
    version: '1.1',
    status: 200,
    bytesOut: 1,
    bytesIn: 1,
    durationMs: 1,
    route: undefined,
    origin: undefined,
    originAddress: undefined,
    originMs: 1,
    cache: 'hit',
    requestId: undefined,
    user: undefined,
    agent: undefined,
    referer: undefined,
    reason: 'short',
  });
  counts.fillEnded(false, 'short', 0);
  counts.connected('o', false);
  counts.originFailed('o', 'refused');
  const numbers = ['memoryHits', 'diskReads', 'evicted', 'purged', 'lost', 'objects', 'files', 'diskBytes', 'logBytes'];
  const more = [
    'deadBytes',
    'memoryObjects',
    'memoryBytes',
    'fills',
    'openFiles',
    'stored',
    'failedFills',
    'live',
    'waiting',
  ];
  const store = Object.fromEntries([...numbers, ...more].map((name) => [name, 1]));
  return {
    numbers: counts.numbers,
    connections: 1,
    idle: 1,
    requests: 0,
    tunnels: 0,
    pool: [{ origin: 'o', busy: 1, idle: 0, connecting: 0, waiting: 0 }],
    store: store as unknown as NonNullable<HttpSnapshot['store']>,
  };
}

describe('examples', () => {
  test('etc/splice-http.yaml is right, also with the lines that are commented out', async () => {
    const text = read('etc/splice-http.yaml');
    const keys = new Set(HTTP_SETTING_NAMES.map(keyOf));
    const all = text
      .replace(/^# ([a-z-]+):/gm, (line, key: string) => (keys.has(key) ? line.slice(2) : line))
      .replace(/^# {3}(?= *(?:- )?[a-z]+: )/gm, '  ');
    expect(all).toMatch(/^sites:$/m);
    expect(all).toMatch(/^ {2}- host: \[www/m);
    for (const variant of [text, all]) {
      expect(parseSettingsFile(HTTP, variant, 'splice-http.yaml').mistakes).toEqual([]);
      await expect(loadHttpConfig({ config: '/etc/c.yaml' }, () => Promise.resolve(variant))).resolves.toBeDefined();
    }
    const { values } = parseSettingsFile(HTTP, text, 'splice-http.yaml');
    for (const name of HTTP_SETTING_NAMES) {
      if (name in values && name !== 'origin') expect(values[name], name).toEqual(HTTP_SETTINGS[name].initial);
    }
  });
});
