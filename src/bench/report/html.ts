/**
 * The report as one page that opens from disk: no scripts, nothing loaded from anywhere, pictures in the text. Everything
 * that comes from a file of results is escaped. Pure.
 */
import type { FigureFacts, Results } from '../model.js';
import { escapeText as e } from './escape.js';
import { type Grid, type Line, glance, gridsOf, notesOf } from './grids.js';
import { type Fact, machineFacts, methodFacts, warnings } from './machine.js';
import { formatTitle } from './numbers.js';
import { STYLE } from './page-style.js';
import { INK, lookOf } from './style.js';

/** A picture of a figure, as SVG to stand in the page. */
export interface Illustration {
  readonly svg: string;
  readonly caption: string;
}

export interface Page {
  readonly results: Results;
  /** By id of the figure. Those without have tables only. */
  readonly illustrations: ReadonlyMap<string, Illustration>;
  /** Said once when there are no pictures at all. */
  readonly remark?: string;
  /** Where the configuration of a contestant is, seen from the page. */
  href?(config: string): string | undefined;
}

const facts = (list: readonly Fact[]): string =>
  `<dl>${list.map(([what, value]) => `<dt>${e(what)}</dt><dd>${e(value)}</dd>`).join('')}</dl>`;

const items = (list: readonly string[], className: string): string =>
  list.length === 0 ? '' : `<ul class="${className}">${list.map((text) => `<li>${e(text)}</li>`).join('')}</ul>`;

/** The median stands out, its spread beside it does not. */
function cell(text: string, tone: string | undefined): string {
  const [, median = text, rest = ''] = /^([^[]+?)( \[.*)$/.exec(text) ?? [];
  const spread = rest === '' ? '' : `<small>${e(rest.trim())}</small>`;
  return `<td${tone === undefined ? '' : ` class="${tone}"`}>${e(median)}${spread}</td>`;
}

function dot(contestant: string): string {
  const { color } = lookOf(contestant);
  return `<span class="dot" style="background:${color === INK ? 'currentColor' : color}"></span>`;
}

function row(line: Line, before: Line | undefined, dots: boolean): string {
  const [first = '', ...others] = line.names;
  const classes = [
    ...(first.startsWith('ours-') ? ['ours'] : []),
    ...(before !== undefined && before.names[1] !== line.names[1] && dots ? ['break'] : []),
  ];
  const names = [`${dots ? dot(first) : ''}${e(first)}`, ...others.map(e)];
  return (
    `<tr${classes.length === 0 ? '' : ` class="${classes.join(' ')}"`}>` +
    names.map((name) => `<th scope="row" class="n">${name}</th>`).join('') +
    `${line.cells.map((text, at) => cell(text, line.tones?.[at])).join('')}</tr>`
  );
}

/** `dots`: the first column names contestants. */
function table(grid: Grid, dots = true): string {
  const heads = [
    ...grid.names.map((name) => `<th scope="col" class="n">${e(name)}</th>`),
    ...grid.heads.map((head) => `<th scope="col">${e(head)}</th>`),
  ];
  return (
    `<div class="scroll" tabindex="0"><table>${grid.title === '' ? '' : `<caption>${e(grid.title)}</caption>`}` +
    `<thead><tr>${heads.join('')}</tr></thead><tbody>` +
    `${grid.lines.map((line, at) => row(line, grid.lines[at - 1], dots)).join('\n')}</tbody></table></div>`
  );
}

function figureSection(figure: FigureFacts, page: Page): string {
  const { values, further, ratios } = gridsOf(figure, page.results);
  const illustration = page.illustrations.get(figure.id);
  return [
    `<section id="${e(figure.id)}"><h2>${e(formatTitle(figure))}</h2>`,
    `<p>${e(figure.about)}</p>`,
    illustration === undefined
      ? ''
      : `<figure>${illustration.svg}<figcaption>${e(illustration.caption)}</figcaption></figure>`,
    values.length === 0
      ? '<p>Nothing was measured.</p>'
      : `<h3>Measured</h3>${values.map((grid) => table(grid)).join('')}`,
    further.length === 0
      ? ''
      : `<details><summary>Further numbers</summary>${further.map((grid) => table(grid)).join('')}</details>`,
    ratios.length === 0 ? '' : `<h3>Ratios</h3>${ratios.map((grid) => table(grid)).join('')}`,
    items(notesOf(figure, page.results), 'notes'),
    '</section>',
  ]
    .filter(Boolean)
    .join('\n');
}

function contestantsTable({ results, href }: Page): string {
  const config = (path: string | undefined): string => {
    if (path === undefined) return '';
    const address = href?.(path);
    const name = `<code>${e(path)}</code>`;
    return address === undefined ? name : `<a href="${e(address)}">${name}</a>`;
  };
  const reached = {
    direct: 'routed',
    relay: 'fixed target',
    socks5: 'SOCKS5',
    connect: 'HTTP CONNECT',
    http: 'HTTP',
  } as const;
  const lines = results.contestants.map(
    ({ name, title, via, version, config: path }) =>
      `<tr${name.startsWith('ours-') ? ' class="ours"' : ''}><th scope="row" class="n">${dot(name)}${e(name)}</th>` +
      `<td>${e(title)}</td><td>${reached[via]}</td><td>${e(version)}</td><td>${config(path)}</td></tr>`,
  );
  const heads = ['name', 'what', 'how reached', 'version', 'configuration'];
  return (
    `<div class="scroll" tabindex="0"><table class="text"><thead><tr>` +
    `${heads.map((head) => `<th scope="col" class="n">${head}</th>`).join('')}</tr></thead>` +
    `<tbody>${lines.join('\n')}</tbody></table></div>`
  );
}

function contents({ figures }: Results): string {
  const links = figures.map((figure) => `<li><a href="#${e(figure.id)}">${e(formatTitle(figure))}</a></li>`);
  return `<nav aria-label="Figures"><ol>${links.join('')}</ol></nav>`;
}

function glanceSection(results: Results): string {
  const grid = glance(results);
  if (grid === undefined) return '';
  const about =
    'What each backend makes of what the plain kernel router makes on the same machine: median ratios of the first ' +
    'metric of each figure, least to greatest over its points.';
  return `<section id="glance"><h2>At a glance</h2><p>${about}</p>${table(grid, false)}</section>`;
}

export function htmlReport(page: Page): string {
  const { results } = page;
  const day = results.begun.slice(0, 10);
  const title = `splice-bench, ${day}`;
  const left = results.leftOut.map(({ contestant, reason }) => `${contestant}: ${reason}`);
  const told = [...warnings(results), ...(page.remark === undefined ? [] : [page.remark])];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${e(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<h1>TCP relays beside a router</h1>
<p class="lead">splice-bench ${e(results.symsplice.version)}, ${e(day)}: symsplice's backends, other proxies and no proxy at all, in one
run on one machine.</p>
${contents(results)}
${items(told, 'warnings')}
</header>
<main>
${glanceSection(results)}
${results.figures.map((figure) => figureSection(figure, page)).join('\n')}
<section id="machine"><h2>Machine</h2>${facts(machineFacts(results))}</section>
<section id="method"><h2>Method</h2>${facts(methodFacts(results))}</section>
<section id="contestants"><h2>Contestants</h2>
${contestantsTable(page)}
${left.length === 0 ? '' : `<h3>Left out</h3>${items(left, 'notes')}`}
</section>
</main>
<footer>Numbers of other machines differ; compare ratios. All figures of this page are in the JSON beside it.</footer>
</body>
</html>
`;
}
