// SPDX-License-Identifier: MIT
//
// From trials to figures: median with least and greatest over the repetitions, and ratios that are
// formed inside one repetition first, so that what the machine did meanwhile hits both sides.

/** Whom everybody is compared with. Where a reference is several, the best of them in that repetition counts. */
export const REFERENCES = [
  { name: 'router', of: ['router'] },
  { name: 'HAProxy/Dante', of: ['haproxy-splice', 'dante'] },
  { name: 'SOCKS server', of: ['microsocks', 'dante'] },
  { name: 'ours-splice', of: ['ours-splice'] },
];

/** A trial during which other processes used more than this share of the machine is marked with "~". */
const NOISE = 0.05;

export function summarize(values) {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  if (sorted.length === 0) return undefined;
  const half = sorted.length >> 1;
  const median = sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
  return { median, min: sorted[0], max: sorted[sorted.length - 1] };
}

const isNoisy = (trial) => {
  const { busy, idle, others } = trial.result.cpu;
  return others / (busy + idle || 1) > NOISE;
};

/** One figure of the trials `mine` against a reference, repetition by repetition. */
function ratio(figure, reference, mine, peers) {
  const best = figure.lowerIsBetter ? Math.min : Math.max;
  return summarize(
    mine.map((trial) => {
      const values = peers
        .filter((peer) => peer.result && peer.rep === trial.rep && reference.of.includes(peer.contestant))
        .map((peer) => figure.of(peer.result))
        .filter(Number.isFinite);
      return values.length > 0 ? figure.of(trial.result) / best(...values) : NaN;
    }),
  );
}

function row(contestant, mode, trials) {
  const peers = trials.filter((t) => t.mode === mode.name);
  const mine = peers.filter((t) => t.contestant === contestant);
  const good = mine.filter((t) => t.result);
  const ratiosOf = (figure) =>
    Object.fromEntries(REFERENCES.map((reference) => [reference.name, ratio(figure, reference, good, peers)]));
  const ratios = mode.figures.filter((figure) => figure.compared).map((figure) => [figure.name, ratiosOf(figure)]);
  const sum = (of) => good.reduce((total, trial) => total + of(trial.result), 0);
  return {
    contestant,
    mode: mode.name,
    repetitions: good.length,
    figures: Object.fromEntries(mode.figures.map((f) => [f.name, summarize(good.map((t) => f.of(t.result)))])),
    ratios: Object.fromEntries(ratios),
    errors: sum((r) => r.errors),
    corrupt: sum((r) => r.corrupt),
    stalled: sum((r) => r.stalled),
    noisy: good.filter(isNoisy).length,
    failures: mine.filter((t) => !t.result).map((t) => t.failure),
  };
}

export function buildReport(contestants, modes, trials) {
  return modes.flatMap((mode) => contestants.map((contestant) => row(contestant, mode, trials)));
}

export function span(summary, digits) {
  if (!summary) return '-';
  const [median, min, max] = [summary.median, summary.min, summary.max].map((value) => value.toFixed(digits));
  return min === max ? median : `${median} [${min}-${max}]`;
}

/** Lines of cells below each other; a line of two cells in a wider table is a name and a remark. */
export function align(lines, leftColumns = 1) {
  const head = lines[0];
  const full = lines.filter((line) => line.length === head.length);
  const widths = head.map((_, column) => Math.max(...full.map((line) => line[column].length)));
  const pad = (cell, column) => (column < leftColumns ? cell.padEnd(widths[column]) : cell.padStart(widths[column]));
  return lines
    .map((line) => (line.length === head.length ? line.map(pad).join('  ') : `${pad(line[0], 0)}  ${line[1]}`))
    .join('\n');
}

const present = (rows) =>
  REFERENCES.filter(({ of }) => rows.some((r) => r.repetitions > 0 && of.includes(r.contestant)));

export function formatTable(mode, rows) {
  const references = present(rows);
  const headline = mode.figures[0].name;
  const head = [
    mode.name,
    ...mode.figures.map((f) => f.name),
    ...references.map(({ name }) => `x ${name}`),
    'errors',
    'corrupt',
  ];
  const lines = rows.map((r) => {
    if (r.repetitions === 0) return [r.contestant, `no result: ${r.failures[0] ?? 'not run'}`];
    const marks = `${r.noisy ? ' ~' : ''}${r.stalled ? ` (${r.stalled} stalled)` : ''}`;
    return [
      r.contestant,
      ...mode.figures.map((f) => span(r.figures[f.name], f.digits)),
      ...references.map(({ name }) => r.ratios[headline][name]?.median.toFixed(2) ?? '-'),
      `${r.errors}${marks}`,
      String(r.corrupt),
    ];
  });
  return align([head, ...lines]);
}

/** Ours against the references, in every figure that is compared. Empty when nobody is there to compare with. */
export function formatRatios(modes, rows) {
  const references = present(rows);
  const lines = modes.flatMap((mode) =>
    rows
      .filter((r) => r.mode === mode.name && r.contestant.startsWith('ours-') && r.repetitions > 0)
      .flatMap((r) =>
        mode.figures
          .filter((figure) => figure.compared)
          .map((figure) => [
            mode.name,
            `${figure.name}${figure.lowerIsBetter ? ' (less is better)' : ''}`,
            r.contestant,
            ...references.map(({ name }) => span(r.ratios[figure.name][name], 2)),
          ]),
      ),
  );
  if (lines.length === 0 || references.length === 0) return '';
  return align([['ratios', 'figure', 'contestant', ...references.map(({ name }) => `x ${name}`)], ...lines], 3);
}

const milliseconds = (summary) => (summary ? (summary.median / 1000).toPrecision(3) : '-');

/** Modes that differ in size only, as one table: a line for each size, p50 / p90 in milliseconds. */
export function formatSeries(modes, rows, contestants) {
  const names = [...new Set(modes.map((mode) => mode.series).filter(Boolean))];
  return names
    .map((name) => modes.filter((mode) => mode.series === name))
    .filter((series) => series.length > 1)
    .map((series) => {
      const cells = (mode) =>
        contestants.map((contestant) => {
          const { figures } = rows.find((r) => r.mode === mode.name && r.contestant === contestant);
          return `${milliseconds(figures['p50 us'])} / ${milliseconds(figures['p90 us'])}`;
        });
      const head = [`${series[0].series}, p50 / p90 ms`, ...contestants];
      return align([head, ...series.map((mode) => [mode.size, ...cells(mode)])]);
    });
}
