/**
 * How contestants look, in every picture the same: ours in strong colours, peers in muted ones, the router as the line
 * that all are measured by. Hues differ in lightness too, and dashes and shapes say the same again, for eyes that see
 * fewer colours. All of them are legible on white and on black.
 */
import type { Config } from 'vega-lite';
import type { Results } from '../model.js';

export interface Look {
  readonly color: string;
  readonly dash: readonly number[];
  readonly shape: string;
  /** Ours and the router are drawn thicker than the others. */
  readonly width: number;
}

/** Text, axes, and the router: black on paper. On a page it becomes the colour of the page's text. */
export const INK = '#1a1c20';

const SOLID: readonly number[] = [];

const strong = (color: string, shape: string): Look => ({ color, shape, dash: SOLID, width: 2.6 });
const muted = (color: string, shape: string, dash: readonly number[]): Look => ({ color, shape, dash, width: 1.6 });

const LOOKS: Readonly<Record<string, Look>> = {
  router: { color: INK, shape: 'diamond', dash: [7, 4], width: 2 },
  'ours-packet': strong('#e0501b', 'circle'),
  'ours-splice': strong('#1b7fd4', 'square'),
  'ours-copy': strong('#12a07a', 'triangle-up'),
  'ours-sockmap': strong('#c653b4', 'triangle-down'),
  'haproxy-splice': muted('#a8862f', 'cross', [5, 2]),
  'haproxy-copy': muted('#c4a868', 'cross', [2, 2]),
  'nginx-stream': muted('#7a9357', 'square', [5, 2]),
  'ours-http': strong('#e0501b', 'circle'),
  'ours-http-nocache': strong('#1b7fd4', 'square'),
  'nginx-cache': muted('#7a9357', 'triangle-right', [5, 2]),
  'nginx-cache-push': muted('#7a9357', 'triangle-up', [1, 2]),
  'nginx-proxy': muted('#9fb684', 'square', [2, 2]),
  varnish: muted('#8a7fae', 'triangle-left', [5, 2]),
  dante: muted('#8a7fae', 'triangle-right', [5, 2]),
  microsocks: muted('#7590a6', 'triangle-left', [2, 2]),
  'ssh-dynamic': muted('#a67f73', 'diamond', [2, 2]),
  'node-socks': muted('#8d9094', 'circle', [2, 2]),
  'node-relay': muted('#a9a79c', 'circle', [5, 2]),
};

const OTHERS: readonly Look[] = [
  muted('#b0728a', 'square', [1, 2]),
  muted('#5d9a9a', 'cross', [1, 2]),
  muted('#97924a', 'triangle-up', [1, 2]),
];

/** `ours-packet --packet-after-time 20ms` looks like `ours-packet`, dashed. */
export function lookOf(contestant: string, others: readonly string[] = []): Look {
  const known = LOOKS[contestant];
  if (known !== undefined) return known;
  const family = /^ours-[a-z]+/.exec(contestant)?.[0];
  const kin = family === undefined ? undefined : LOOKS[family];
  if (kin !== undefined) return { ...kin, dash: [4, 2], width: 2 };
  const at = others.filter((name) => LOOKS[name] === undefined).indexOf(contestant);
  return OTHERS[Math.max(0, at) % OTHERS.length] ?? muted('#8d9094', 'circle', [1, 2]);
}

export interface Named {
  readonly name: string;
  readonly title: string;
  readonly look: Look;
}

const isUnique = (text: string, all: readonly string[]): boolean => all.indexOf(text) === all.lastIndexOf(text);

/** Longer titles lose their remark in brackets. */
const LONG_TITLE = 28;

/** Who stands in a picture, in the order of the results: by title, or by name where titles are the same. */
export function castOf(results: Pick<Results, 'contestants'>, present: ReadonlySet<string>): Named[] {
  const titles = new Map(results.contestants.map(({ name, title }) => [name, title]));
  const names = [...new Set([...titles.keys(), ...present])].filter((name) => present.has(name));
  const given = names.map((name) => titles.get(name) ?? name);
  const brief = given.map((title) => (title.length <= LONG_TITLE ? title : title.replace(/ \([^()]*\)$/, '')));
  return names.map((name, at) => {
    const candidates = [
      { title: brief[at] ?? name, all: brief },
      { title: given[at] ?? name, all: given },
    ];
    const title = candidates.find((one) => isUnique(one.title, one.all))?.title ?? name;
    return { name, title, look: lookOf(name, names) };
  });
}

export const FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', 'Helvetica Neue', Arial, sans-serif";

export const CONFIG: Config = {
  background: 'transparent',
  font: FONT,
  view: { stroke: null },
  title: {
    anchor: 'start',
    color: INK,
    fontSize: 16,
    fontWeight: 600,
    offset: 14,
    subtitleColor: INK,
    subtitleFontSize: 12,
    subtitlePadding: 5,
  },
  axis: {
    labelColor: INK,
    titleColor: INK,
    labelFontSize: 11.5,
    titleFontSize: 12,
    titleFontWeight: 400,
    titlePadding: 10,
    gridColor: INK,
    gridOpacity: 0.1,
    domainColor: INK,
    domainOpacity: 0.45,
    tickColor: INK,
    tickOpacity: 0.45,
    tickSize: 4,
    labelPadding: 5,
  },
  axisY: { domain: false, ticks: false },
  axisX: { grid: false },
  header: {
    labelColor: INK,
    labelFontSize: 13,
    labelFontWeight: 600,
    labelAnchor: 'start',
    labelPadding: 10,
    title: null,
  },
  legend: {
    labelColor: INK,
    labelFontSize: 12,
    labelLimit: 220,
    title: null,
    symbolSize: 80,
    rowPadding: 5,
    offset: 20,
  },
};
