/** One bar for each contestant, with a line from least to greatest and the number beside it. Figures d, e and f. */
import type { TopLevelSpec } from 'vega-lite';
import type { Metric, Results, Row, Summary } from '../model.js';
import { type Panel, colorOf } from './encode.js';
import { formatNumber } from './numbers.js';
import { labelsOf } from './scales.js';
import { INK, type Named, castOf } from './style.js';

export interface BarPanel {
  readonly title: string;
  readonly metric: Metric;
  /** Part of the bar that is drawn stronger: what the proxy's own processes need of it. */
  readonly part?: Metric;
  readonly rows: readonly Row[];
}

/** A bar this many times as long as the middle one is cut off, so that the others can be told apart. */
const OUT_OF_SCALE = 6;
const STEP = 25;

/** Where the axis ends for all panels that show the same. */
function limitOf(summaries: readonly Summary[]): number {
  const medians = summaries.map(({ median }) => median).sort((a, b) => a - b);
  const middle = medians[medians.length >> 1] ?? 0;
  const inside = summaries.filter(({ median }) => middle === 0 || median <= middle * OUT_OF_SCALE);
  const limit = Math.max(0, ...inside.map(({ median }) => median));
  // A single repetition that went astray does not stretch the axis for everybody.
  return Math.max(limit, Math.min(limit * 1.3, Math.max(0, ...inside.map(({ max }) => max)))) || 1;
}

function panelSpec(panel: BarPanel, limit: number, cast: readonly Named[], width: number, first: boolean): Panel {
  const titles = new Map(cast.map(({ name, title }) => [name, title]));
  const found = panel.rows.flatMap((row) => {
    const summary = row.values[panel.metric.id];
    return summary === undefined ? [] : [{ row, summary }];
  });
  const end = limit * 1.02;
  const values = found.map(({ row, summary }) => {
    const out = summary.median > limit;
    const number = formatNumber(summary.median, panel.metric.digits);
    const part = panel.part === undefined ? undefined : row.values[panel.part.id]?.median;
    return {
      who: titles.get(row.contestant) ?? row.contestant,
      value: Math.min(summary.median, end),
      part: Math.min(part ?? 0, end),
      low: Math.min(summary.min, end),
      high: Math.min(summary.max, end),
      label: out ? `${number}  (off the scale)` : number,
      at: out ? end : Math.min(summary.max, end),
      out,
      spread: summary.max > summary.min && !out,
    };
  });
  const y = {
    field: 'who',
    type: 'nominal',
    scale: { domain: cast.map(({ title }) => title), padding: 0.28 },
    axis: first ? { title: null, domain: false, ticks: false, labelPadding: 8, labelLimit: 220 } : null,
  } as const;
  const x = {
    type: 'quantitative' as const,
    scale: { domain: [0, limit * 1.32] as number[], nice: false },
    axis: {
      title: panel.title === panel.metric.title ? null : panel.metric.title,
      grid: true,
      domain: false,
      ticks: false,
      tickCount: 5,
      labelExpr: labelsOf(panel.metric),
    },
  };
  const color = colorOf(cast, false);
  return {
    title: { text: panel.title, fontSize: 13, fontWeight: 600, anchor: 'start', offset: 8 },
    width,
    height: { step: STEP },
    data: { values },
    layer: [
      {
        mark: { type: 'bar', opacity: panel.part === undefined ? 0.9 : 0.5 } as const,
        encoding: { y, x: { field: 'value', ...x }, color },
      },
      ...(panel.part === undefined
        ? []
        : [{ mark: { type: 'bar' } as const, encoding: { y, x: { field: 'part', ...x }, color } }]),
      {
        transform: [{ filter: 'datum.spread' }],
        mark: { type: 'rule', color: INK, strokeWidth: 1.4, opacity: 0.75 } as const,
        encoding: { y, x: { field: 'low', ...x }, x2: { field: 'high' } },
      },
      {
        mark: { type: 'text', align: 'left', baseline: 'middle', dx: 6, fontSize: 11.5, color: INK } as const,
        encoding: { y, x: { field: 'at', ...x }, text: { field: 'label', type: 'nominal' } as const },
      },
    ],
  };
}

/** Panels side by side, contestants in the same order in each. */
export function barsSpec(panels: readonly BarPanel[], results: Results): TopLevelSpec | undefined {
  const present = panels.flatMap(({ rows, metric }) =>
    rows.filter((row) => row.values[metric.id] !== undefined).map(({ contestant }) => contestant),
  );
  if (present.length === 0) return undefined;
  const cast = castOf(results, new Set(present));
  const [width, columns] = panels.length === 1 ? [520, 1] : [300, 2];
  const limit = ({ metric }: BarPanel): number =>
    limitOf(
      panels
        .filter((one) => one.metric.id === metric.id)
        .flatMap(({ rows }) => rows.flatMap((row) => row.values[metric.id] ?? [])),
    );
  return {
    concat: panels.map((panel, at) => panelSpec(panel, limit(panel), cast, width, at % columns === 0)),
    columns,
    spacing: { row: 30, column: 26 },
  };
}
