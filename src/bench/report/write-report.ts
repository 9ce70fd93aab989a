/**
 * Writes everything that people read: tables to the terminal, report.html, report.md and a picture for each figure.
 * Called when a run is over, and by `splice-bench report` from a file of results.
 */
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { ROOT } from '../lab/paths.js';
import type { Results } from '../model.js';
import { writeWhole } from '../results-file.js';
import { chartOf } from './charts.js';
import { type Illustration, htmlReport } from './html.js';
import { markdownReport } from './markdown.js';
import { type Draw, INSTALL, loadDraw } from './render.js';
import { formatReport } from './tables.js';

export interface Written {
  readonly files: string[];
  /** False when Vega is not installed. */
  readonly plots: boolean;
}

const PICTURES = 'figures';

/** Configurations beside a report within the repository can be opened from it; elsewhere their names must do. */
function linkFrom(directory: string): (config: string) => string | undefined {
  const place = relative(ROOT, resolve(directory));
  return (config) => {
    const file = resolve(ROOT, config);
    const inside = !place.startsWith('..') && !relative(ROOT, file).startsWith('..');
    return inside && existsSync(file) ? relative(resolve(directory), file) : undefined;
  };
}

/** Pictures as files; gives what the page needs, and their addresses seen from the directory. */
async function drawAll(results: Results, directory: string, draw: Draw) {
  const illustrations = new Map<string, Illustration>();
  const addresses = new Map<string, string>();
  for (const figure of results.figures) {
    const chart = chartOf(figure, results);
    if (chart === undefined) continue;
    const picture = await draw(chart.spec, { id: figure.id, title: figure.title, about: chart.caption });
    const address = `${PICTURES}/${figure.id.replace(/[^\w.-]/g, '_')}.svg`;
    await writeWhole(join(directory, address), picture.file);
    addresses.set(figure.id, address);
    illustrations.set(figure.id, { svg: picture.inline, caption: chart.caption });
  }
  return { illustrations, addresses };
}

/** The tables are printed first: whatever goes wrong with files, they are on the terminal. */
export async function writeReport(
  results: Results,
  directory: string,
  {
    print,
    draws = loadDraw,
  }: { readonly print: (text: string) => void; readonly draws?: () => Promise<Draw | undefined> },
): Promise<Written> {
  print(formatReport(results));
  await mkdir(directory, { recursive: true });
  const draw = await draws();
  if (draw === undefined) print(`${INSTALL}\n`);
  const { illustrations, addresses } =
    draw === undefined
      ? { illustrations: new Map<string, Illustration>(), addresses: new Map<string, string>() }
      : await drawAll(results, directory, draw);
  const [page, markdown] = [join(directory, 'report.html'), join(directory, 'report.md')];
  const remark = draw === undefined ? { remark: INSTALL } : {};
  await writeWhole(page, htmlReport({ results, illustrations, href: linkFrom(directory), ...remark }));
  await writeWhole(markdown, markdownReport(results, addresses));
  const pictures = [...addresses.values()].map((address) => join(directory, address));
  return { files: [page, markdown, ...pictures], plots: draw !== undefined };
}
