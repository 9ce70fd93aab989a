/** The report as markdown, from which docs/performance.md takes its tables. Pure. */
import type { Results } from '../model.js';
import { glance } from './grids.js';
import { type Fact, machineFacts, methodFacts, warnings } from './machine.js';
import { escapeMarkdown, markdownFigure, markdownTable } from './tables.js';

const list = (facts: readonly Fact[]): string =>
  facts.map(([what, value]) => `- ${escapeMarkdown(what)}: ${escapeMarkdown(value)}`).join('\n');

/** `pictures` gives the address of a figure's picture, by the figure's id. */
export function markdownReport(results: Results, pictures: ReadonlyMap<string, string>): string {
  const told = warnings(results);
  const overview = glance(results);
  return `${[
    `# splice-bench, ${results.begun.slice(0, 10)}`,
    ...(told.length === 0 ? [] : [told.map((text) => `- **${escapeMarkdown(text)}**`).join('\n')]),
    '## Machine',
    list(machineFacts(results)),
    '## Method',
    list(methodFacts(results)),
    '## Contestants',
    markdownTable(
      ['name', 'what', 'version', 'configuration'],
      [],
      results.contestants.map(({ name, title, version, config }) => [name, title, version, config ?? '']),
    ),
    ...(results.leftOut.length === 0
      ? []
      : [`Left out:`, list(results.leftOut.map(({ contestant, reason }) => [contestant, reason] as const))]),
    ...(overview === undefined
      ? []
      : [
          '## At a glance',
          markdownTable(
            overview.names,
            overview.heads,
            overview.lines.map((line) => [...line.names, ...line.cells]),
          ),
        ]),
    ...results.figures.map((figure) => markdownFigure(figure, results, pictures.get(figure.id))),
  ].join('\n\n')}\n`;
}
