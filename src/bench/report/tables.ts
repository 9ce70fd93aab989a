/** Tables as text for a terminal and as markdown. Called when a run is over and by `splice-bench report`. */
import { printable, renderTable } from '../../cli/format.js';
import type { FigureFacts, Results } from '../model.js';
import { explainReferences } from '../statistics.js';
import { type Grid, gridsOf, notesOf } from './grids.js';
import { formatTitle } from './numbers.js';

/** Wider tables continue below; the left columns are repeated. */
const TERMINAL = 132;

const widest = (texts: readonly string[]): number => Math.max(0, ...texts.map((text) => text.length));

/** Columns in groups that fit beside the names; a column that fits nowhere has a group of its own. */
function columnGroups(grid: Grid, width: number): number[][] {
  const gap = 2;
  const names = grid.names.map((head, at) => widest([head, ...grid.lines.map((line) => line.names[at] ?? '')]));
  const left = names.reduce((sum, own) => sum + own + gap, 0);
  const groups: number[][] = [];
  let used = Infinity;
  for (const [at, head] of grid.heads.entries()) {
    const own = widest([head, ...grid.lines.map((line) => line.cells[at] ?? '')]) + gap;
    if (used + own > width) {
      groups.push([]);
      used = left;
    }
    groups.at(-1)?.push(at);
    used += own;
  }
  return groups;
}

export function textTable(grid: Grid, width = TERMINAL): string {
  const tables = columnGroups(grid, width).map((group) =>
    renderTable(
      [
        ...grid.names.map((head) => ({ head })),
        ...group.map((at) => ({ head: grid.heads[at] ?? '', align: 'right' as const })),
      ],
      grid.lines.map((line) => [...line.names, ...group.map((at) => line.cells[at] ?? '')]),
    ),
  );
  return (grid.title === '' ? '' : `${printable(grid.title)}\n`) + tables.join('\n');
}

/** Text of a cell that markdown leaves as it is: versions and failures come from other programs. */
export function escapeMarkdown(text: string): string {
  return printable(text.replace(/\s+/g, ' ')).replace(/[\\`*_{}[\]<>|#~!]/g, (character) => `\\${character}`);
}

/** Cells that need no escape but may look like it: `12.3 [11.9-12.8] ~`. */
const cell = (text: string): string => printable(text.replace(/\s+/g, ' ')).replace(/[\\|<>`*_]/g, (c) => `\\${c}`);

/** Padded, as the formatter of the repository would do it. */
export function markdownTable(
  names: readonly string[],
  heads: readonly string[],
  lines: readonly (readonly string[])[],
): string {
  const table = [[...names, ...heads].map(cell), ...lines.map((line) => line.map(cell))];
  const widths = [...names, ...heads].map((_, at) => Math.max(3, widest(table.map((line) => line[at] ?? ''))));
  const write = (line: readonly string[]): string =>
    `| ${line.map((text, at) => (at < names.length ? text.padEnd(widths[at] ?? 0) : text.padStart(widths[at] ?? 0))).join(' | ')} |`;
  const rule = widths.map((width, at) => (at < names.length ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`));
  return [write(table[0] ?? []), `| ${rule.join(' | ')} |`, ...table.slice(1).map(write)].join('\n');
}

const asMarkdown = (grid: Grid): string =>
  [
    ...(grid.title === '' ? [] : [`**${escapeMarkdown(capital(grid.title))}**`, '']),
    markdownTable(
      grid.names,
      grid.heads,
      grid.lines.map((line) => [...line.names, ...line.cells]),
    ),
  ].join('\n');

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** Tables of one figure for a terminal. Ends with a line break. */
export function formatFigure(figure: FigureFacts, results: Pick<Results, 'rows'>): string {
  const { values, ratios } = gridsOf(figure, results, { brief: true });
  if (values.length === 0) return `${printable(formatTitle(figure))}: nothing was measured\n`;
  return [
    `${printable(formatTitle(figure))}\n`,
    ...values.map((grid) => textTable(grid)),
    ...ratios.map((grid) => textTable(grid)),
    ...notesOf(figure, results).map((note) => `${printable(note)}\n`),
  ].join('\n');
}

/** What stands in more than one table. */
const READING = 'Median [least-greatest] of the repetitions. Ratios are formed inside each repetition.';

/** All figures for a terminal. */
export function formatReport(results: Pick<Results, 'rows' | 'figures'>): string {
  const references = explainReferences(results.rows);
  const reading = references === '' ? READING : `${READING} ${references}.`;
  return `${results.figures.map((figure) => formatFigure(figure, results)).join('\n\n')}\n${reading}\n`;
}

/** One figure as markdown; `picture` is the address of its picture, if there is one. */
export function markdownFigure(figure: FigureFacts, results: Pick<Results, 'rows'>, picture?: string): string {
  const { values, further, ratios } = gridsOf(figure, results);
  const notes = notesOf(figure, results);
  return [
    `## ${escapeMarkdown(formatTitle(figure))}`,
    escapeMarkdown(figure.about),
    ...(picture === undefined ? [] : [`![${escapeMarkdown(figure.title)}](${picture})`]),
    ...(values.length === 0 ? ['Nothing was measured.'] : values.map(asMarkdown)),
    ...(further.length === 0 ? [] : ['### Further numbers', ...further.map(asMarkdown)]),
    ...(ratios.length === 0 ? [] : ['### Ratios', ...ratios.map(asMarkdown)]),
    ...(notes.length === 0 ? [] : [notes.map((note) => `- ${escapeMarkdown(note)}`).join('\n')]),
  ].join('\n\n');
}
