// SPDX-License-Identifier: MIT
//
// From trials to figures: median with least and greatest over the repetitions, and ratios that are
// formed inside one repetition first, so that what the machine did meanwhile hits both sides.

export const REFERENCES = ['router', 'haproxy-splice', 'microsocks'];

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

function row(contestant, mode, trials) {
  const mine = trials.filter((t) => t.mode === mode.name && t.contestant === contestant);
  const good = mine.filter((t) => t.result);
  const headline = mode.figures[0];
  const ratios = Object.fromEntries(
    REFERENCES.map((reference) => [
      reference,
      summarize(
        good.map((trial) => {
          const peer = trials.find((t) => t.rep === trial.rep && t.mode === mode.name && t.contestant === reference);
          return peer?.result ? headline.of(trial.result) / headline.of(peer.result) : NaN;
        }),
      ),
    ]),
  );
  const sum = (of) => good.reduce((total, trial) => total + of(trial.result), 0);
  return {
    contestant,
    mode: mode.name,
    repetitions: good.length,
    figures: Object.fromEntries(mode.figures.map((f) => [f.name, summarize(good.map((t) => f.of(t.result)))])),
    ratios,
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

function span(summary, digits) {
  if (!summary) return '-';
  const [median, min, max] = [summary.median, summary.min, summary.max].map((value) => value.toFixed(digits));
  return min === max ? median : `${median} [${min}-${max}]`;
}

export function formatTable(mode, rows) {
  const references = REFERENCES.filter((name) => rows.some((r) => r.contestant === name));
  const head = [
    mode.name,
    ...mode.figures.map((f) => f.name),
    ...references.map((name) => `x ${name}`),
    'errors',
    'corrupt',
  ];
  const lines = rows.map((r) => {
    if (r.repetitions === 0) return [r.contestant, `no result: ${r.failures[0] ?? 'not run'}`];
    const marks = `${r.noisy ? ' ~' : ''}${r.stalled ? ` (${r.stalled} stalled)` : ''}`;
    return [
      r.contestant,
      ...mode.figures.map((f) => span(r.figures[f.name], f.digits)),
      ...references.map((name) => (r.ratios[name] ? r.ratios[name].median.toFixed(2) : '-')),
      `${r.errors}${marks}`,
      String(r.corrupt),
    ];
  });
  const full = [head, ...lines.filter((line) => line.length === head.length)];
  const widths = head.map((_, column) => Math.max(...full.map((line) => line[column].length)));
  const pad = (cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column] ?? 0));
  return [head, ...lines]
    .map((line) => (line.length === 2 ? `${pad(line[0], 0)}  ${line[1]}` : line.map(pad).join('  ')))
    .join('\n');
}
