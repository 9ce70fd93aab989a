import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Results } from '../../../src/bench/model.js';
import { escapeText } from '../../../src/bench/report/escape.js';
import { htmlReport } from '../../../src/bench/report/html.js';
import { writeReport } from '../../../src/bench/report/write-report.js';
import { FIGURES, syntheticResults } from './fixture.js';

const results = syntheticResults({ repetitions: 2 });
const page = (of: Results): string => htmlReport({ results: of, illustrations: new Map() });

describe('escaping', () => {
  test('leaves nothing that HTML or XML would take for its own', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const escaped = escapeText(text);
        expect(escaped).not.toMatch(/[<>"'\u0000-\u0008]/);
        expect(escaped.replaceAll(/&(amp|lt|gt|quot|#39);/g, '')).not.toContain('&');
      }),
    );
  });
  test('every text of a file of results is escaped', () => {
    const evil = '<script>alert("x")</script>&\'';
    const poisoned = JSON.parse(
      JSON.stringify(results, (key, value: unknown) =>
        typeof value === 'string' && !['id', 'letter', 'via', 'scale', 'unit', 'begun', 'figure'].includes(key)
          ? `${value}${evil}`
          : value,
      ),
    ) as Results;
    const html = page({
      ...poisoned,
      incomplete: evil,
      rows: poisoned.rows.map((row) => ({ ...row, noisy: 1, failures: [evil] })),
    });
    expect(html).toContain('&lt;script&gt;');
    expect(html).not.toContain('<script');
    expect(html).not.toContain('alert("x")');
  });
});

describe('the page', () => {
  const html = page(results);
  test('loads nothing and runs nothing', () => {
    expect(html).not.toMatch(/<script|<link|<iframe|@import|url\(|\son\w+=|https?:\/\/(?!www\.w3\.org)/);
    expect(html).not.toMatch(/\ssrc=/);
  });
  test('has every figure, and links within it lead somewhere', () => {
    const ids = [...html.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const links = [...html.matchAll(/href="#([^"]+)"/g)].map(([, id]) => id);
    expect(links).toEqual(FIGURES.map(({ id }) => id));
    for (const link of links) expect(ids).toContain(link);
  });
  test('every row of a table has as many cells as its head', () => {
    const tables = [...html.matchAll(/<table.*?<\/table>/gs)].map(([table]) => table);
    expect(tables.length).toBeGreaterThan(20);
    for (const table of tables) {
      const counts = [...table.matchAll(/<tr.*?<\/tr>/gs)].map(([row]) => row.match(/<t[hd]\b/g)?.length);
      expect(new Set(counts).size).toBe(1);
    }
  });
  test('says what was left out, which machine it was and how it was measured', () => {
    expect(html).toContain('unheard-of: it is not installed: apt-get install unheard-of');
    expect(html).toContain('Made-up CPU @ 1.00GHz, 2 processors');
    expect(html).toContain('spectre_v2: made up');
    expect(html).toContain('2, interleaved');
  });
  test('configurations are links where they can be opened, names elsewhere', () => {
    const config = 'bench/contestants/haproxy-splice.cfg';
    expect(html).toContain(`<td><code>${config}</code></td>`);
    const linked = htmlReport({ results, illustrations: new Map(), href: (path) => `../${path}` });
    expect(linked).toContain(`<a href="../${config}"><code>${config}</code></a>`);
  });
  test('warns on top of what must not be overlooked, and of nothing else', () => {
    const warned = (changes: Partial<Results>): string =>
      /<ul class="warnings">(.*?)<\/ul>/s.exec(
        page({ ...results, method: { ...results.method, repetitions: 5 }, ...changes }),
      )?.[1] ?? '';
    expect(warned({})).toBe('');
    expect(warned({ incomplete: 'stopped by SIGINT' })).toContain('stopped by SIGINT');
    expect(warned({ method: { ...results.method, quick: true } })).toContain('quick run');
    expect(warned({ method: { ...results.method, repetitions: 2 } })).toContain('Fewer than three');
    expect(warned({ rows: results.rows.slice(0, 1).map((row) => ({ ...row, failures: ['a', 'b'] })) })).toContain(
      '2 trials failed',
    );
  });
  test('a figure without trials says so', () => {
    expect(page({ ...results, rows: [] }).match(/Nothing was measured/g)).toHaveLength(FIGURES.length);
  });
});

describe('files', () => {
  let directory: string;
  beforeAll(async () => void (directory = await mkdtemp(join(tmpdir(), 'report-'))));
  afterAll(() => rm(directory, { recursive: true }));

  test('page, markdown and a picture for each figure, which the page has in it and the markdown links', async () => {
    let printed = '';
    const place = join(directory, 'deep/down');
    const { files, plots } = await writeReport(results, place, { print: (text) => void (printed += text) });
    expect(plots).toBe(true);
    expect(printed).toContain('Throughput under loss');
    expect(files).toHaveLength(2 + FIGURES.length);
    expect((await readdir(join(place, 'figures'))).sort()).toEqual(FIGURES.map(({ id }) => `${id}.svg`).sort());
    const html = await readFile(join(place, 'report.html'), 'utf8');
    expect(html.match(/<svg /g)).toHaveLength(FIGURES.length);
    expect(html).not.toMatch(/<script|\ssrc=/);
    const ids = [...html.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const markdown = await readFile(join(place, 'report.md'), 'utf8');
    for (const [, address] of markdown.matchAll(/!\[.*\]\((.*)\)/g)) {
      expect(files).toContain(join(place, address ?? ''));
    }
  });

  test('without Vega there is a report without pictures, which says how to get them', async () => {
    let printed = '';
    const place = join(directory, 'plain');
    const print = (text: string): void => void (printed += text);
    const { files, plots } = await writeReport(results, place, { print, draws: () => Promise.resolve(undefined) });
    expect(plots).toBe(false);
    expect(files).toEqual([join(place, 'report.html'), join(place, 'report.md')]);
    expect(printed).toMatch(/npm install .*vega vega-lite/);
    const html = await readFile(join(place, 'report.html'), 'utf8');
    expect(html).not.toContain('<svg');
    expect(html).toMatch(/class="warnings".*npm install/s);
    expect(await readFile(join(place, 'report.md'), 'utf8')).not.toContain('![');
  });
});
