/**
 * What stands where in the tables of a figure. Pure; grids.ts fills them.
 *
 * Narrow: a table for each point, metrics across; for figures with one point or two. Wide: a table for each metric, the
 * last axis across. Long: all metrics across and the last axis down, for figures with more metrics than places.
 */
import type { Axis, FigureFacts, Metric, Point, Row } from '../model.js';
import { byPoint, pointKey, sortedPoints } from '../statistics.js';
import {
  type Unit,
  formatDirection,
  formatFacet,
  formatPlace,
  isMicroseconds,
  unitOf,
  withoutUnit,
} from './numbers.js';

/** Where one number of each contestant comes from. */
export interface Cell {
  readonly metric: Metric;
  readonly unit: Unit;
  readonly rows: readonly Row[];
}

/** Ratios have no unit. */
export type Kind = 'values' | 'ratios';

export interface Layout {
  title(kind: Kind): string;
  heads(kind: Kind): readonly string[];
  /** What the places of the lines are places of. */
  readonly place: string;
  /** Cells of every contestant. Without places there is one of them. */
  readonly lines: readonly { readonly place?: string; readonly cells: readonly Cell[] }[];
}

/** Up to so many points, a table for each. */
const FEW = 2;

const pointsOf = (figure: FigureFacts, rows: readonly Row[]): Point[] =>
  sortedPoints(
    rows.map(({ point }) => point),
    figure.axes,
  );

export function isNarrow(figure: FigureFacts, rows: readonly Row[]): boolean {
  return figure.axes.length === 0 || pointsOf(figure, rows).length <= FEW;
}

/** Of a figure that is not narrow. */
export function isLong(figure: FigureFacts, rows: readonly Row[]): boolean {
  const axis = figure.axes.at(-1);
  const places = new Set(rows.map(({ point }) => (axis === undefined ? undefined : point[axis.id])));
  return figure.metrics.length >= places.size && figure.metrics.length > FEW;
}

/** Times that stand in one table have one unit. */
function unitFor(metric: Metric, rows: readonly Row[], together: readonly Metric[] = [metric]): Unit {
  const times = together.filter((one) => isMicroseconds(one) === isMicroseconds(metric));
  const medians = times.flatMap(({ id }) => rows.map((row) => row.values[id]?.median ?? 0));
  return unitOf(metric, Math.max(0, ...medians));
}

const headOf = ({ metric, unit }: Cell, kind: Kind): string =>
  kind === 'values' ? unit.metric.title : withoutUnit(metric);

export function narrowLayouts(figure: FigureFacts, rows: readonly Row[], metrics: readonly Metric[]): Layout[] {
  const there = byPoint(rows);
  return pointsOf(figure, rows).map((point) => {
    const own = there.get(pointKey(point)) ?? [];
    const cells = metrics.map((metric) => ({ metric, unit: unitFor(metric, own, metrics), rows: own }));
    return {
      title: () => formatFacet(point, figure.axes),
      heads: (kind) => cells.map((cell) => headOf(cell, kind)),
      place: '',
      lines: [{ cells }],
    };
  });
}

interface Facet {
  readonly title: string;
  readonly places: readonly { readonly name: string; readonly rows: readonly Row[] }[];
}

function only(point: Point, axes: readonly Axis[]): Point {
  return Object.fromEntries(axes.flatMap(({ id }) => (point[id] === undefined ? [] : [[id, point[id]]])));
}

/** By all axes but the last, and along it. */
function facetsOf(figure: FigureFacts, rows: readonly Row[]): Facet[] {
  const last = figure.axes.at(-1);
  const leading = figure.axes.slice(0, -1);
  const points = pointsOf(figure, rows);
  const there = byPoint(rows);
  const facets = sortedPoints(
    points.map((point) => only(point, leading)),
    leading,
  );
  return facets.map((facet) => ({
    title: formatFacet(facet, leading),
    places: points
      .filter((point) => pointKey(only(point, leading)) === pointKey(facet))
      .map((point) => ({
        name: last === undefined ? '' : formatPlace(point[last.id] ?? '', last),
        rows: there.get(pointKey(point)) ?? [],
      })),
  }));
}

export function wideLayouts(figure: FigureFacts, rows: readonly Row[], metrics: readonly Metric[]): Layout[] {
  return metrics.flatMap((metric) =>
    facetsOf(figure, rows).map((facet) => {
      const unit = unitFor(
        metric,
        facet.places.flatMap((place) => place.rows),
      );
      const shown = { values: unit.metric, ratios: { ...metric, title: withoutUnit(metric) } };
      return {
        title: (kind) => [facet.title, formatDirection(shown[kind])].filter(Boolean).join(': '),
        heads: () => facet.places.map(({ name }) => name),
        place: '',
        lines: [{ cells: facet.places.map((place) => ({ metric, unit, rows: place.rows })) }],
      };
    }),
  );
}

export function longLayouts(figure: FigureFacts, rows: readonly Row[], metrics: readonly Metric[]): Layout[] {
  return facetsOf(figure, rows).map((facet) => {
    const own = facet.places.flatMap((place) => place.rows);
    const columns = metrics
      .filter((metric) => own.some((row) => row.values[metric.id] !== undefined))
      .map((metric) => ({ metric, unit: unitFor(metric, own, metrics) }));
    return {
      title: () => facet.title,
      heads: (kind) => columns.map((column) => headOf({ ...column, rows: own }, kind)),
      place: figure.axes.at(-1)?.title ?? '',
      lines: facet.places.map((place) => ({
        place: place.name,
        cells: columns.map((column) => ({ ...column, rows: place.rows })),
      })),
    };
  });
}
