/** Lines against a measured axis: the median, with a band from least to greatest. Figures a, b, g and h. */
import type { TopLevelSpec } from 'vega-lite';
import type { Axis, FigureFacts, Metric, Results } from '../model.js';
import { sortedPoints } from '../statistics.js';
import { colorOf, dashOf, shapeOf, WIDTH } from './encode.js';
import { formatFacet, isMicroseconds, withoutUnit } from './numbers.js';
import { labelsOf, logDomain, logTicks, placeLabels, placeScale } from './scales.js';
import { castOf, lookOf } from './style.js';

export interface LinesWish {
  readonly figure: FigureFacts;
  readonly metric: Metric;
  readonly axis: Axis;
  readonly results: Results;
  readonly yLog: boolean;
}

/** Width of a panel, by how many stand beside each other; more go below. */
const WIDTHS = [560, 300, 230] as const;

export function linesSpec({ figure, metric, axis, results, yLog }: LinesWish): TopLevelSpec | undefined {
  const rows = results.rows.filter((row) => row.figure === figure.id && typeof row.point[axis.id] === 'number');
  const measured = rows.filter((row) => row.values[metric.id] !== undefined);
  const cast = castOf(results, new Set(measured.map(({ contestant }) => contestant)));
  const leading = figure.axes.slice(0, -1);
  const byName = new Map(cast.map((one) => [one.name, one]));
  const values = measured.flatMap((row) => {
    const value = row.values[metric.id];
    // A logarithm has no place for zero.
    if (value === undefined || (yLog && value.min <= 0)) return [];
    const facet = formatFacet(row.point, leading);
    const { title, look } = byName.get(row.contestant) ?? { title: row.contestant, look: lookOf(row.contestant) };
    return [{ who: title, width: look.width, facet, x: Number(row.point[axis.id]), ...value }];
  });
  const domain = logDomain(values.flatMap(({ min, max }) => [min, max]));
  if (domain === undefined && values.length === 0) return undefined;
  const places = [...new Set(values.map(({ x }) => x))].sort((a, b) => a - b);
  const facets = [
    ...new Set(
      sortedPoints(
        measured.map(({ point }) => point),
        figure.axes,
      ).map((point) => formatFacet(point, leading)),
    ),
  ];
  const panels = facets.length;
  const x = {
    field: 'x',
    type: 'quantitative',
    scale: { ...placeScale(places, axis), nice: false },
    axis: { title: axis.title, values: places, labelExpr: placeLabels(places, axis), labelFlush: false },
  } as const;
  const yAxis = { title: yTitle(metric), labelExpr: labelsOf(metric) };
  const y =
    yLog && domain !== undefined
      ? { scale: { type: 'log' as const, domain, nice: false }, axis: { ...yAxis, values: logTicks(...domain) } }
      : { scale: { zero: true, nice: true }, axis: { ...yAxis, tickCount: 6 } };
  const color = colorOf(cast);
  const panel = {
    width: WIDTHS[Math.min(panels, WIDTHS.length) - 1] ?? WIDTHS[0],
    height: panels > 1 ? 290 : 330,
    layer: [
      {
        mark: { type: 'area', opacity: 0.13 } as const,
        encoding: {
          x,
          y: { field: 'min', type: 'quantitative', ...y } as const,
          y2: { field: 'max' },
          color,
        },
      },
      {
        mark: { type: 'line', strokeCap: 'round', strokeJoin: 'round' } as const,
        encoding: {
          x,
          y: { field: 'median', type: 'quantitative', ...y } as const,
          color,
          strokeDash: dashOf(cast),
          strokeWidth: WIDTH,
        },
      },
      {
        mark: { type: 'point', filled: true, size: 50, opacity: 1 } as const,
        encoding: {
          x,
          y: { field: 'median', type: 'quantitative', ...y } as const,
          color,
          shape: shapeOf(cast),
        },
      },
    ],
  };
  const data = { values };
  if (panels <= 1) return { data, ...panel };
  return {
    data,
    facet: { field: 'facet', type: 'nominal', sort: facets, title: null },
    columns: WIDTHS.length,
    spec: panel,
    resolve: { axis: { x: 'independent' } },
    spacing: 30,
  };
}

const yTitle = (metric: Metric): string => (isMicroseconds(metric) ? `time, ${withoutUnit(metric)}` : metric.title);
