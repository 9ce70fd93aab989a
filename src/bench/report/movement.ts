/** What moved between two runs, as text for a terminal. Pure; `splice-bench compare` prints it. */
import { printable, renderTable } from '../../cli/format.js';
import type { Comparison, FailureChange, Movement, RunName } from '../compare.js';
import type { FigureFacts } from '../model.js';
import { formatFacet, formatNumber, formatSummary } from './numbers.js';

const run = ({ begun, version, commit, modified }: RunName): string =>
  `${begun.slice(0, 16).replace('T', ' ')}, ${version}, commit ${commit.slice(0, 12)}${modified ? ' with changes' : ''}`;

/** `+12.3 %`, `x 4.1`, `/ 3.2`: percent as long as they can be grasped. */
export function formatFactor(factor: number): string {
  if (!Number.isFinite(factor)) return 'from 0';
  if (factor <= 0) return factor === 0 ? 'to 0' : 'other sign';
  if (factor >= 2) return `x ${formatNumber(factor, 2)}`;
  if (factor <= 0.5) return `/ ${formatNumber(1 / factor, 2)}`;
  const percent = (factor - 1) * 100;
  return `${percent < 0 ? '-' : '+'}${formatNumber(Math.abs(percent), 1)} %`;
}

function line(movement: Movement, figures: readonly FigureFacts[]): string[] {
  const figure = figures.find(({ id }) => id === movement.figure);
  const metric = figure?.metrics.find(({ id }) => id === movement.metric);
  const digits = movement.relative ? 3 : (metric?.digits ?? 2);
  return [
    formatFactor(movement.factor),
    movement.better ? 'better' : 'worse',
    movement.contestant,
    movement.figure,
    figure === undefined ? '' : formatFacet(movement.point, figure.axes),
    `${metric?.title ?? movement.metric}${movement.relative ? ', x router' : ''}`,
    formatSummary(movement.before, digits),
    formatSummary(movement.after, digits),
    movement.chance === undefined ? '' : formatNumber(movement.chance, 3),
    movement.apart ? 'apart' : '',
  ];
}

const COLUMNS = [
  { head: 'CHANGE', align: 'right' },
  { head: '' },
  { head: 'CONTESTANT' },
  { head: 'FIGURE' },
  { head: 'AT' },
  { head: 'METRIC' },
  { head: 'BEFORE', align: 'right' },
  { head: 'AFTER', align: 'right' },
  { head: 'CHANCE', align: 'right' },
  { head: '' },
] as const;

function failure(change: FailureChange, figures: readonly FigureFacts[]): string {
  const figure = figures.find(({ id }) => id === change.figure);
  const at = figure === undefined ? '' : formatFacet(change.point, figure.axes);
  const where = [change.figure, at, change.contestant].filter(Boolean).join(', ');
  return `${where}: ${change.before} before, ${change.after} after (${change.reason})`;
}

const paragraph = (head: string, lines: readonly string[]): string[] =>
  lines.length === 0 ? [] : [`${head}\n${lines.map((text) => `  ${printable(text)}\n`).join('')}`];

/** What the numbers below rest on, and how many movements chance alone would show. */
function basis(comparison: Comparison): string {
  const { compared, decidable, byChance, movements, absolute } = comparison;
  const what = absolute
    ? 'plain values'
    : 'ratios to the router in the same repetition, plain values where it took no part';
  const undecided = compared - decidable;
  return [
    `${decidable} numbers compared: ${what}.`,
    ...(undecided > 0
      ? [`${undecided} more have a single repetition in one of the files, which cannot tell movement from noise.`]
      : []),
    ...(movements.length > 0
      ? [
          `Chance alone would show about ${formatNumber(Math.ceil(byChance), 0)} of them as moved; ${movements.length} did.`,
        ]
      : []),
  ].join('\n');
}

/** Ends with a line break. */
export function formatComparison(comparison: Comparison): string {
  const { differences, movements, failures, onlyBefore, onlyAfter, figures } = comparison;
  const moved =
    movements.length === 0
      ? comparison.decidable === 0
        ? 'Nothing can be said: no number has two repetitions or more in both files.\n'
        : 'Nothing moved beyond noise.\n'
      : `What moved, the most first:\n\n${renderTable(
          COLUMNS,
          movements.map((movement) => line(movement, figures)),
        )}`;
  return [
    `before: ${printable(run(comparison.before))}\nafter:  ${printable(run(comparison.after))}\n`,
    ...paragraph(
      'The runs differ in more than symsplice:',
      differences.map(({ what, before, after }) => `${what}: ${before} -> ${after}`),
    ),
    `${basis(comparison)}\n`,
    moved,
    ...paragraph(
      'Trials that failed in one of the runs only, or more often:',
      failures.map((change) => failure(change, figures)),
    ),
    ...paragraph('Only before:', onlyBefore),
    ...paragraph('Only after:', onlyAfter),
    ...(movements.length === 0
      ? []
      : [
          'CHANCE: how often two equal sources would differ at least so much (exact rank test, from four repetitions on).\n' +
            'apart: all repetitions of one run lie above all of the other. BEFORE, AFTER: median [least-greatest].\n',
        ]),
  ].join('\n');
}
