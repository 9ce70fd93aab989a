/** Which picture a figure gets. Those of the papers have their own; others get what their axes suggest. */
import type { TopLevelSpec } from 'vega-lite';
import type { FigureFacts, Metric, Results, Row } from '../model.js';
import { pointKey, sortedPoints } from '../statistics.js';
import { type BarPanel, barsSpec } from './bars.js';
import { distributionSpec } from './distribution.js';
import { linesSpec } from './lines.js';
import { formatFacet } from './numbers.js';

export interface Chart {
  readonly spec: TopLevelSpec;
  readonly caption: string;
}

/** Fewer places on an axis make no line. */
const LINE = 2;
const MOST_PANELS = 4;

const rowsOfFigure = (figure: FigureFacts, results: Results): Row[] =>
  results.rows.filter((row) => row.figure === figure.id);

function bars(figure: FigureFacts, results: Results, metric: Metric, part?: Metric): BarPanel[] {
  const rows = rowsOfFigure(figure, results);
  const points = sortedPoints(
    rows.map(({ point }) => point),
    figure.axes,
  );
  return points.map((point) => ({
    title: formatFacet(point, figure.axes),
    metric,
    ...(part === undefined ? {} : { part }),
    rows: rows.filter((row) => pointKey(row.point) === pointKey(point)),
  }));
}

/** A panel for each metric that is counted by flow, where most contestants have the most flows. */
function metricBars(figure: FigureFacts, results: Results): BarPanel[] {
  const panels = figure.metrics.slice(0, 1).flatMap((metric) => bars(figure, results, metric));
  const most = Math.max(0, ...panels.map(({ rows }) => rows.length));
  const fullest = panels.filter(({ rows }) => rows.length === most).at(-1);
  const rows = fullest?.rows ?? [];
  return figure.metrics
    .filter((metric) => metric.title.includes('/flow') && rows.filter((row) => row.values[metric.id]).length > 1)
    .map((metric) => ({ title: metric.title, metric, rows }));
}

const WHISKERS = 'Bars: median of the repetitions; thin lines: least to greatest.';
const BANDS = 'Lines: median of the repetitions; bands: least to greatest.';

const chart = (spec: TopLevelSpec | undefined, caption: string): Chart | undefined =>
  spec === undefined ? undefined : { spec, caption };

function suggested(figure: FigureFacts, results: Results, metric: Metric): Chart | undefined {
  const axis = figure.axes.at(-1);
  const rows = rowsOfFigure(figure, results);
  const places = new Set(rows.map((row) => (axis === undefined ? undefined : row.point[axis.id])));
  const contestants = new Set(rows.map(({ contestant }) => contestant));
  // So many panels, or a single bar in each, are no picture any more; the table says it better.
  if (axis?.scale === 'names' && (places.size > MOST_PANELS || contestants.size === 1)) return undefined;
  if (axis === undefined || axis.scale === 'names' || places.size < LINE) {
    return chart(barsSpec(bars(figure, results, metric), results), `${WHISKERS} ${better(metric)}`);
  }
  const yLog = figure.id === 'response-time' || figure.id === 'loss';
  return chart(linesSpec({ figure, metric, axis, results, yLog }), `${BANDS} ${better(metric)}`);
}

const better = (metric: Metric): string => (metric.lowerIsBetter ? 'Less is better.' : 'More is better.');

/** Undefined when nothing was measured that could be drawn. */
export function chartOf(figure: FigureFacts, results: Results): Chart | undefined {
  const metric = figure.metrics[0];
  if (metric === undefined) return undefined;
  switch (figure.id) {
    case 'round-trip': {
      const caption = 'All round trips of all repetitions. Left and low is better.';
      return chart(distributionSpec(figure, results), caption) ?? suggested(figure, results, metric);
    }
    case 'cpu-per-gb': {
      const part = figure.metrics.find(({ id }) => id === 'proxyPerGb');
      const spec = barsSpec(bars(figure, results, metric, part), results);
      return chart(
        spec,
        `${WHISKERS} Strong part: the proxy's own processes; the rest: kernel, client and server. ${better(metric)}`,
      );
    }
    case 'connections':
      return chart(barsSpec(bars(figure, results, metric), results), `${WHISKERS} ${better(metric)}`);
    case 'idle-memory':
      return chart(
        barsSpec(metricBars(figure, results), results),
        `With the most flows. ${WHISKERS} ${better(metric)}`,
      );
    default:
      return suggested(figure, results, metric);
  }
}
