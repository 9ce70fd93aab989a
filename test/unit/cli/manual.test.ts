/** The manual and the examples say what the program does: they are read here, and compared. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Metrics } from '../../../src/control/metrics.js';
import { SOCKS } from '../../../src/server/config.js';
import { keyOf, SETTINGS } from '../../../src/server/config-settings.js';
import { parseSettingsFile } from '../../../src/server/config-yaml.js';
import { Rules } from '../../../src/socks/rules.js';
import { SETTING_NAMES } from '../../support/settings.js';

const read = (path: string) => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');
const manual = read('docs/splice-socks.md');

describe('manual', () => {
  test.each([...SETTING_NAMES])('%s: flag, default, and whether a reload changes it', (name) => {
    const { argument, initialText, flagOnly, needsRestart } = SETTINGS[name];
    const row = manual.split('\n').find((line) => new RegExp(`^\\| \`--${keyOf(name)}[ \`]`).test(line));
    const [, flag, shown, reload] = (row ?? '').split('|').map((cell) => cell.trim());
    expect(flag?.includes(' ')).toBe(argument !== undefined);
    expect(reload).toBe(flagOnly ? '' : needsRestart ? 'no' : 'yes');
    if (initialText !== undefined && name !== 'control') expect(shown).toBe(`\`${initialText}\``);
  });

  test('the metrics are those that are exported, with type and labels', async () => {
    const rows = manual.matchAll(/^\| `(symsplice_\w+)` \| (\w+) \|(.*?)\|/gm);
    const documented = [...rows].map(
      ([, name, type, labels]) => `${name} ${type} ${labels?.replaceAll(/[`,]/g, '').trim()}`,
    );
    const metrics = new Metrics('1');
    metrics.flowOpened('b');
    metrics.flowClosed('b', 'r', 1, 1, 1);
    metrics.handshakeFailed('r');
    metrics.connectFailed('f');
    metrics.limited('user');
    const flow = {
      id: '',
      client: '',
      server: '',
      target: '',
      refusals: [],
      bytesUp: 1,
      bytesDown: 1,
      ageMs: 0,
      idleMs: 0,
    };
    const flows = [{ ...flow, backend: 'b', state: 's' }];
    const packet = {
      interfaces: [],
      sourcePorts: [1, 2] as const,
      sourcePortsUsed: 0,
      maxFlows: 1,
      phases: { transit: 0, released: 0, ended: 0 },
      refused: 0,
      counters: { relayed: 1, cut: 1 },
      tag: '',
    };
    const { sourcePorts, sourcePortsUsed, maxFlows, phases, refused, counters } = packet;
    const module = { sourcePorts, sourcePortsUsed, maxFlows, phases, refused, counters, more: { queued: 1 } };
    metrics.attach(() => Promise.resolve({ handshakes: 0, descriptors: 0, descriptorLimit: 0, flows, packet, module }));
    const exported = (await metrics.registry.getMetricsAsJSON()).map(({ name, type, values }) => {
      const labels = Object.keys(values[0]?.labels ?? {}).filter((label) => label !== 'le');
      return `${name} ${String(type)} ${labels.join(' ')}`;
    });
    expect(documented.map((row) => row.trim()).sort()).toEqual(exported.map((row) => row.trim()).sort());
  });
});

describe('examples', () => {
  test('etc/splice-socks.yaml is right, also with the lines that are commented out', () => {
    const text = read('etc/splice-socks.yaml');
    const all = text.replace(/^# ([a-z-]+:)/gm, (line, key: string) =>
      SETTING_NAMES.map(keyOf).includes(key.slice(0, -1)) ? line.slice(2) : line,
    );
    expect(all).not.toBe(text);
    for (const variant of [text, all])
      expect(parseSettingsFile(SOCKS, variant, 'splice-socks.yaml').mistakes).toEqual([]);
    const { values } = parseSettingsFile(SOCKS, text, 'splice-socks.yaml');
    for (const [name, value] of Object.entries(values)) {
      if (name !== 'listen') expect(value, name).toEqual(SETTINGS[name as keyof typeof SETTINGS].initial);
    }
  });

  test('etc/rules.yaml is right', () => {
    const text = read('etc/rules.yaml');
    expect(Rules.parse(text, 'rules.yaml').size).toBe(3);
    expect(Rules.parse(text.replace(/^# (- allow)/gm, '$1'), 'rules.yaml').size).toBe(4);
  });
});
