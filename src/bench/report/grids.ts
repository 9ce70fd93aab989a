/**
 * The tables of a figure, before anybody decided how they look: values, and ratios against the references. Pure.
 */
import type { FigureFacts, Metric, Results, Row, Summary } from '../model.js';
import { REFERENCES, type Reference, ROUTER, comparedMetrics } from '../statistics.js';
import { type Cell, type Layout, isLong, isNarrow, longLayouts, narrowLayouts, wideLayouts } from './layouts.js';
import { formatFacet, formatNumber, formatSummary, formatTitle, withoutUnit } from './numbers.js';

export interface Line {
  /** What stands in the columns on the left. */
  readonly names: readonly string[];
  readonly cells: readonly string[];
  /** Of ratios whose whole spread is on one side of 1. */
  readonly tones?: readonly Tone[];
}

export type Tone = 'better' | 'worse' | undefined;

export interface Grid {
  readonly title: string;
  /** Heads of the left columns, then of the others. */
  readonly names: readonly string[];
  readonly heads: readonly string[];
  readonly lines: readonly Line[];
}

function valueCell(cell: Cell, contestant: string): string {
  const row = cell.rows.find((one) => one.contestant === contestant);
  if (row === undefined) return '';
  const value = row.values[cell.metric.id];
  if (value === undefined) return row.failures.length > 0 && Object.keys(row.values).length === 0 ? 'failed' : '-';
  const { metric, factor } = cell.unit;
  const marks = (row.noisy > 0 ? ' ~' : '') + (row.failures.length > 0 ? ' !' : '');
  return formatSummary(value, metric.digits, factor) + marks;
}

const named = (cells: readonly Cell[]): string[] => [
  ...new Set(cells.flatMap(({ rows }) => rows.map(({ contestant }) => contestant))),
];

function valueGrid(layout: Layout): Grid {
  const places = layout.lines.some(({ place }) => place !== undefined);
  return {
    title: layout.title('values'),
    names: ['contestant', ...(places ? [layout.place] : [])],
    heads: layout.heads('values'),
    lines: layout.lines.flatMap(({ place, cells }) =>
      named(cells).map((contestant) => ({
        names: [contestant, ...(place === undefined ? [] : [place])],
        cells: cells.map((cell) => valueCell(cell, contestant)),
      })),
    ),
  };
}

function toneOf(ratio: Summary | undefined, metric: Metric): Tone {
  if (ratio === undefined || ratio.count < 2 || (ratio.min <= 1 && ratio.max >= 1)) return undefined;
  return ratio.median < 1 === metric.lowerIsBetter ? 'better' : 'worse';
}

/** Everybody against the router, and ours against the others; nobody against itself. */
function ratioGrid(layout: Layout): Grid | undefined {
  const cells = layout.lines.flatMap((line) => line.cells);
  const against = (reference: Reference): Line[] =>
    named(cells)
      .filter((name) => !(reference.of.length === 1 && reference.of[0] === name))
      .filter((name) => reference === ROUTER || name.startsWith('ours-'))
      .map((name) => {
        const ratios = cells.map(({ metric, rows }) => {
          const ratio = rows.find((row) => row.contestant === name)?.ratios[reference.name]?.[metric.id];
          return { text: formatSummary(ratio, 2), tone: toneOf(ratio, metric) };
        });
        return {
          names: [name, `x ${reference.name}`],
          cells: ratios.map(({ text }) => text),
          tones: ratios.map((one) => one.tone),
        };
      });
  const lines = REFERENCES.flatMap(against).filter((line) => line.cells.some((text) => text !== '-'));
  if (lines.length === 0) return undefined;
  return { title: layout.title('ratios'), names: ['ratio', 'against'], heads: layout.heads('ratios'), lines };
}

/** Ours against the router in all figures, the first metric of each: least and greatest median over its points. */
export function glance(results: Pick<Results, 'rows' | 'figures'>): Grid | undefined {
  const medians = (figure: FigureFacts, metric: Metric, contestant: string): number[] =>
    results.rows
      .filter((row) => row.figure === figure.id && row.contestant === contestant)
      .flatMap((row) => row.ratios[ROUTER.name]?.[metric.id]?.median ?? []);
  const shown = results.figures.flatMap((figure) => {
    const metric = figure.metrics[0];
    return metric === undefined ? [] : [{ figure, metric }];
  });
  const ours = [...new Set(results.rows.map(({ contestant }) => contestant))].filter(
    (name) => name.startsWith('ours-') && shown.some(({ figure, metric }) => medians(figure, metric, name).length > 0),
  );
  const lines = shown.map(({ figure, metric }) => ({
    names: [formatTitle(figure), `${withoutUnit(metric)}, ${metric.lowerIsBetter ? 'less' : 'more'} is better`],
    cells: ours.map((name) => {
      const found = medians(figure, metric, name);
      if (found.length === 0) return '-';
      const [least, greatest] = [Math.min(...found), Math.max(...found)].map((value) => formatNumber(value, 2));
      return least === greatest ? `${least}` : `${least} to ${greatest}`;
    }),
  }));
  const compared = lines.filter(({ cells }) => cells.some((cell) => cell !== '-'));
  if (compared.length === 0) return undefined;
  return { title: '', names: ['figure', 'ratio to the router'], heads: ours, lines: compared };
}

export interface Grids {
  readonly values: readonly Grid[];
  /** Of metrics that a figure is not about, where not all of them fit into one table. */
  readonly further: readonly Grid[];
  readonly ratios: readonly Grid[];
}

/** `brief`: for a terminal, where a figure of many points shows only its first metric. */
export function gridsOf(figure: FigureFacts, results: Pick<Results, 'rows'>, { brief = false } = {}): Grids {
  const rows = results.rows.filter((row) => row.figure === figure.id);
  const compared = comparedMetrics(figure);
  const ratios = (layouts: readonly Layout[]): Grid[] => layouts.flatMap((layout) => ratioGrid(layout) ?? []);
  if (isNarrow(figure, rows)) {
    const values = narrowLayouts(figure, rows, figure.metrics).map(valueGrid);
    return { values, further: [], ratios: ratios(narrowLayouts(figure, rows, compared)) };
  }
  const shown = brief ? figure.metrics.slice(0, 1) : compared;
  const inRatios = ratios(wideLayouts(figure, rows, shown));
  if (isLong(figure, rows)) {
    return { values: longLayouts(figure, rows, figure.metrics).map(valueGrid), further: [], ratios: inRatios };
  }
  const others = brief ? [] : figure.metrics.filter((metric) => !shown.includes(metric));
  return {
    values: wideLayouts(figure, rows, shown).map(valueGrid),
    further: wideLayouts(figure, rows, others).map(valueGrid),
    ratios: inRatios,
  };
}

/** What a reader has to know about the rows of a figure: noise, and failures with their reasons. */
export function notesOf(figure: FigureFacts, results: Pick<Results, 'rows'>): string[] {
  const rows = results.rows.filter((row) => row.figure === figure.id);
  const noisy = rows.reduce((sum, row) => sum + row.noisy, 0);
  const where = (row: Row): string => [row.contestant, formatFacet(row.point, figure.axes)].filter(Boolean).join(', ');
  return [
    ...(noisy > 0 ? [`~: other processes used more of the machine than is good during ${trials(noisy)}.`] : []),
    ...rows.flatMap((row) =>
      [...new Set(row.failures)].map((reason) => {
        const times = row.failures.filter((one) => one === reason).length;
        return `!: ${where(row)}: ${trials(times)} failed: ${reason}`;
      }),
    ),
  ];
}

const trials = (count: number): string => (count === 1 ? '1 trial' : `${count} trials`);
