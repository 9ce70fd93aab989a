import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { FigureFacts, Results } from '../../../src/bench/model.js';
import { glance, gridsOf, notesOf } from '../../../src/bench/report/grids.js';
import { markdownReport } from '../../../src/bench/report/markdown.js';
import { formatFacet, formatNumber, formatPlace, formatSummary } from '../../../src/bench/report/numbers.js';
import {
  escapeMarkdown,
  formatFigure,
  formatReport,
  markdownTable,
  textTable,
} from '../../../src/bench/report/tables.js';
import { rowsOf } from '../../../src/bench/statistics.js';
import { FIGURES, type Wishes, syntheticResults } from './fixture.js';

const results = syntheticResults();

const figure = (id: string): FigureFacts => {
  const found = FIGURES.find((one) => one.id === id);
  if (found === undefined) throw new Error(`no figure ${id}`);
  return found;
};

describe('numbers', () => {
  test.each([
    [0, 2, '0'],
    [1.5, 2, '1.50'],
    [12.345, 2, '12.3'],
    [99.96, 2, '100'],
    [141.2, 1, '141'],
    [0.4, 0, '0.4'],
    [0.00123, 2, '0.0012'],
    [-3.14159, 2, '-3.14'],
    [9999, 0, '9999'],
    [1234567.8, 2, '1,234,568'],
    [NaN, 2, '-'],
  ])('%d with %d digits', (value, digits, text) => {
    expect(formatNumber(value, digits)).toBe(text);
  });
  test('what is written is what was meant, within its digits', () => {
    fc.assert(
      fc.property(fc.double({ min: 1e-5, max: 1e12, noNaN: true }), fc.integer({ min: 0, max: 4 }), (value, digits) => {
        const read = Number(formatNumber(value, digits).replaceAll(',', ''));
        // Half of the last digit: of `digits`, or of the three that are always shown.
        expect(Math.abs(read - value)).toBeLessThanOrEqual(Math.max(0.5 * 10 ** -digits, value * 0.05) * 1.001);
      }),
    );
  });
  test('a summary without spread is one number', () => {
    expect(formatSummary({ median: 2, min: 1, max: 3, count: 3 }, 1)).toBe('2.0 [1.0-3.0]');
    expect(formatSummary({ median: 2, min: 2, max: 2, count: 3 }, 1)).toBe('2.0');
    expect(formatSummary(undefined, 1)).toBe('-');
  });
  test.each([
    [1024, 'bytes', '1 KiB'],
    [1536, 'bytes', '1.5 KiB'],
    [100 * 2 ** 20, 'bytes', '100 MiB'],
    [0.001, 'share', '0.1 %'],
    [0, 'share', '0 %'],
    [1000, undefined, '1000'],
    [10_000, undefined, '10k'],
    [1e6, undefined, '1M'],
    ['5 flows', undefined, '5 flows'],
  ] as const)('%s on an axis of %s', (value, unit, text) => {
    expect(formatPlace(value, unit === undefined ? {} : { unit })).toBe(text);
  });
  test('points have words', () => {
    expect(formatFacet({ direction: 'up', connections: 1 }, figure('throughput').axes)).toBe('upload, 1 connection');
    expect(formatFacet({ share: 0.01 }, figure('loss').axes)).toBe('segments lost: 1 %');
    expect(formatFacet({}, figure('round-trip').axes)).toBe('');
  });
});

describe('grids', () => {
  test('many points: the last axis across, a table for each metric and facet', () => {
    const { values } = gridsOf(figure('throughput'), results);
    expect(values.map(({ title }) => title)).toEqual([
      'download: Gbit/s, more is better',
      'upload: Gbit/s, more is better',
    ]);
    expect(values[0]?.heads).toEqual(['1', '10', '100', '1000']);
  });
  test('few points: metrics across', () => {
    const { values } = gridsOf(figure('cpu-per-gb'), results);
    expect(values.map(({ title }) => title)).toEqual(['download', 'upload']);
    expect(values[0]?.heads).toEqual(['cpu (s/GB)', 'proxy (s/GB)']);
  });
  test('more metrics than places: metrics across, places down', () => {
    const { values, further } = gridsOf(figure('idle-memory'), results);
    expect(further).toEqual([]);
    expect(values).toHaveLength(1);
    expect(values[0]?.names).toEqual(['contestant', 'flows']);
    expect(values[0]?.heads).toEqual(['descriptors/flow', 'sockets/flow', 'resident bytes/flow']);
    expect(values[0]?.lines.map(({ names }) => names.join(' ')).filter((name) => name.startsWith('dante'))).toEqual([
      'dante 100',
      'dante 1000',
      'dante 10k',
    ]);
  });
  test('metrics that a figure of many points is not about stand apart', () => {
    const { values, further } = gridsOf(figure('throughput'), results);
    expect(values.every(({ title }) => title.includes('Gbit/s'))).toBe(true);
    expect(further.map(({ title }) => title)).toEqual([
      'download: cpu (s/GB), less is better',
      'upload: cpu (s/GB), less is better',
    ]);
    expect(gridsOf(figure('throughput'), results, { brief: true }).further).toEqual([]);
  });
  test('ratios have no unit', () => {
    const [ratios] = gridsOf(figure('response-time'), results).ratios;
    expect(ratios?.title).toBe('1 connection: p50, less is better');
    expect(gridsOf(figure('round-trip'), results).ratios[0]?.heads).toEqual(['p50', 'p99']);
  });
  test('a number that one of several metrics lacks is no failure', () => {
    const change: Wishes['change'] = (all) =>
      all.map((trial) => (trial.contestant === 'router' && trial.rep === 1 ? { ...trial, failure: 'no' } : trial));
    const [download] = gridsOf(figure('cpu-per-gb'), syntheticResults({ change })).values;
    expect(download?.lines[0]?.cells[0]).toMatch(/ !$/);
    expect(download?.lines[0]?.cells[1]).toBe('-');
    const alone = syntheticResults({ repetitions: 1, change });
    expect(gridsOf(figure('cpu-per-gb'), alone).values[0]?.lines[0]?.cells).toEqual(['failed', 'failed']);
  });
  test('a contestant without a number has a dash, one that took no part an empty cell', () => {
    const [download] = gridsOf(figure('cpu-per-gb'), results).values;
    expect(download?.lines.find(({ names }) => names[0] === 'router')?.cells[1]).toBe('-');
    const missing = syntheticResults({
      change: (all) => all.filter(({ contestant, point }) => !(contestant === 'dante' && point['connections'] === 100)),
    });
    const [first] = gridsOf(figure('throughput'), missing).values;
    expect(first?.lines.find(({ names }) => names[0] === 'dante')?.cells.map((text) => text === '')).toEqual([
      false,
      false,
      true,
      false,
    ]);
  });
  test('nobody stands against itself, peers against the router only', () => {
    const lines = gridsOf(figure('round-trip'), results).ratios.flatMap((grid) => grid.lines.map(({ names }) => names));
    expect(lines).toContainEqual(['dante', 'x router']);
    expect(lines).toContainEqual(['ours-packet', 'x SOCKS server']);
    expect(lines).not.toContainEqual(['router', 'x router']);
    expect(lines).not.toContainEqual(['dante', 'x HAProxy/Dante']);
    expect(lines).not.toContainEqual(['ours-splice', 'x ours-splice']);
  });
  test('a ratio whose spread is on one side of 1 has a tone, by the sense of the metric', () => {
    const factor = (name: string): number => (name === 'ours-copy' ? 100 : 1);
    const [ratios] = gridsOf(figure('round-trip'), syntheticResults({ factor })).ratios;
    const line = ratios?.lines.find(({ names }) => names.join() === 'ours-copy,x router');
    expect(line?.tones).toEqual(['worse', 'worse']);
    const [faster] = gridsOf(figure('throughput'), syntheticResults({ factor })).ratios;
    expect(faster?.lines.find(({ names }) => names.join() === 'ours-copy,x router')?.tones?.[0]).toBe('better');
  });
  test('long times are in milliseconds, all of one table', () => {
    const [short] = gridsOf(figure('round-trip'), results).values;
    expect(short?.heads[0]).toBe('p50 (us)');
    const [long] = gridsOf(figure('response-time'), results).values;
    expect(long?.title).toBe('1 connection: p50 (ms), less is better');
    const row = results.rows.find(({ figure: id, contestant }) => id === 'response-time' && contestant === 'router');
    const median = row?.values['p50us']?.median ?? NaN;
    expect(Number(long?.lines[0]?.cells[0]?.split(' ')[0])).toBeCloseTo(median / 1000, 2);
  });
  test('at a glance: least and greatest median of the first metric over all points', () => {
    const grid = glance(results);
    const line = grid?.lines.find(({ names }) => names[0] === 'b: Throughput against connections');
    const medians = results.rows
      .filter((row) => row.figure === 'throughput' && row.contestant === 'ours-packet')
      .map((row) => row.ratios['router']?.['gbps']?.median ?? NaN);
    const [least, greatest] = [Math.min(...medians), Math.max(...medians)].map((value) => value.toFixed(2));
    expect(line?.cells[grid?.heads.indexOf('ours-packet') ?? -1]).toBe(`${least} to ${greatest}`);
  });
  test('noise and failures are marked and explained', () => {
    const marked = syntheticResults({
      change: (all) =>
        all.map((trial) => {
          if (trial.figure !== 'loss' || trial.contestant !== 'dante') return trial;
          if (trial.rep === 1) return { ...trial, othersShare: 0.5 };
          return trial.point['share'] === 0.01 && trial.rep <= 3
            ? { ...trial, values: {}, failure: 'no route' }
            : trial;
        }),
    });
    const [grid] = gridsOf(figure('loss'), marked).values;
    const cells = grid?.lines.find(({ names }) => names[0] === 'dante')?.cells ?? [];
    expect(cells.map((text) => text.replace(/^[^~!]*/, ''))).toEqual(['~', '~', '~ !', '~']);
    expect(notesOf(figure('loss'), marked)).toEqual([
      '~: other processes used more of the machine than is good during 4 trials.',
      '!: dante, segments lost: 1 %: 2 trials failed: no route',
    ]);
    expect(notesOf(figure('loss'), results)).toEqual([]);
  });
});

describe('text', () => {
  test('a wide table continues below with its names', () => {
    const grid = {
      title: 'T',
      names: ['who'],
      heads: ['a', 'b', 'c'],
      lines: [{ names: ['x'], cells: ['1', '2', '3'] }],
    };
    expect(textTable(grid, 8)).toBe('T\nwho  a\nx    1\n\nwho  b\nx    2\n\nwho  c\nx    3\n');
    expect(textTable(grid)).toBe('T\nwho  a  b  c\nx    1  2  3\n');
  });
  test('a report has every figure, and no line is wider than the terminal it is for', () => {
    const text = formatReport(results);
    for (const { title } of FIGURES) expect(text).toContain(title);
    expect(Math.max(...text.split('\n').map((line) => line.length))).toBeLessThanOrEqual(230);
    for (const line of text.split('\n').filter((one) => /^(ours|router|dante)/.test(one)))
      expect(line.length).toBeLessThanOrEqual(132);
  });
  test('a figure without trials says so', () => {
    expect(formatFigure(figure('loss'), { rows: [] })).toBe('h: Throughput under loss: nothing was measured\n');
  });
  test('what would steer the terminal is shown as an escape', () => {
    const trials = [{ figure: 'loss', rep: 1, contestant: 'x', point: { share: 0 }, values: {}, failure: '\u001b[2J' }];
    const text = formatFigure(figure('loss'), { rows: rowsOf(trials, FIGURES) });
    expect(text).toContain('\\u{1b}[2J');
    expect(text).not.toContain('\u001b');
  });
});

describe('markdown', () => {
  test('is a table with numbers to the right, padded', () => {
    expect(markdownTable(['who'], ['a'], [['router', '1.0 [0.9-1.1] ~']])).toBe(
      '| who    |               a |\n| ------ | --------------: |\n| router | 1.0 [0.9-1.1] ~ |',
    );
  });
  test('every row of a table has as many cells as its head, whatever stands in them', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.string(), fc.string()), { maxLength: 5 }), (lines) => {
        const rows = markdownTable(['a'], ['b'], lines).split('\n');
        expect(rows).toHaveLength(lines.length + 2);
        for (const row of rows) expect(row.replaceAll(/\\./g, '').split('|')).toHaveLength(4);
      }),
    );
  });
  test('text of others has no meaning in it', () => {
    expect(escapeMarkdown('a|b <script> *x* [l](u)\n# y')).toBe('a\\|b \\<script\\> \\*x\\* \\[l\\](u) \\# y');
  });
  test('the report links pictures and names what was left out', () => {
    const text = markdownReport(results, new Map([['loss', 'figures/loss.svg']]));
    expect(text).toContain('![Throughput under loss](figures/loss.svg)');
    expect(text).toContain('unheard-of: it is not installed');
    expect(text.match(/^## [a-h]: /gm)).toHaveLength(8);
  });
  test('an incomplete run and a quick one say so on top', () => {
    const told: Results = { ...results, incomplete: 'stopped', method: { ...results.method, quick: true } };
    expect(markdownReport(told, new Map()).slice(0, 300)).toMatch(/incomplete: stopped[\s\S]*quick run/);
    expect(markdownReport(results, new Map()).slice(0, 300)).not.toMatch(/incomplete|quick/);
  });
});
