/**
 * Makes SVG of specifications, with Vega, which is needed for nothing else and may be missing: then there are no
 * pictures, and INSTALL says how to get them.
 */
import type { TopLevelSpec } from 'vega-lite';
import { CONFIG, INK } from './style.js';
import { type Names, tidySvg } from './tidy-svg.js';

export interface Picture {
  /** A file of its own: dark on white, with a title. */
  readonly file: string;
  /** For a page: text has the page's colour, the ground is the page's, the title is the page's to write. */
  readonly inline: string;
}

export type Draw = (spec: TopLevelSpec, names: Names) => Promise<Picture>;

const GROUND = '<rect width="100%" height="100%" fill="#ffffff"/>';

export const INSTALL =
  'no pictures, for Vega is not installed: npm install --no-save vega vega-lite, then splice-bench report';

const NARROW = /[ .,:;!|'ijlftrI()[\]-]/;
const WIDE = /[mwMW%@]/;
const TALL = /[A-Z0-9µ]/;

/** Letters of sans-serif type in em, roughly; without a canvas Vega takes every letter for an M. */
function textWidth(text: string, size: number): number {
  const width = (letter: string): number =>
    NARROW.test(letter) ? 0.34 : WIDE.test(letter) ? 0.9 : TALL.test(letter) ? 0.65 : 0.59;
  return [...text].reduce((sum, letter) => sum + width(letter), 0) * size;
}

interface TextItem {
  readonly fontSize?: number;
}

/** Vega's own hook for this; its types do not name it. */
interface Metrics {
  readonly textMetrics?: { width: (item: TextItem, text: unknown) => number };
}

function setTextWidth({ textMetrics }: Metrics): void {
  if (textMetrics === undefined) return;
  textMetrics.width = (item, text) => textWidth(String(text ?? ''), item.fontSize ?? 11);
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND';
}

type Libraries = readonly [typeof import('vega'), typeof import('vega-lite')];

const libraries = (): Promise<Libraries> => Promise.all([import('vega'), import('vega-lite')]);

/** Undefined if Vega is not installed. */
export async function loadDraw(load = libraries): Promise<Draw | undefined> {
  let vega: Libraries[0];
  let vegaLite: Libraries[1];
  try {
    [vega, vegaLite] = await load();
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  setTextWidth(vega as unknown as Metrics);
  // Its warnings are about style; a specification that is wrong throws.
  const logger = vega.logger(vega.Error);
  const toSvg = async (spec: TopLevelSpec): Promise<string> => {
    const { spec: compiled } = vegaLite.compile({ ...spec, padding: 8, config: CONFIG }, { logger });
    const view = new vega.View(vega.parse(compiled), { renderer: 'none', logger });
    try {
      return await view.toSVG();
    } finally {
      view.finalize();
    }
  };
  return async (spec, names) => {
    const { title, about } = names;
    const titled = await toSvg({ ...spec, title: { text: title, ...(about === '' ? {} : { subtitle: about }) } });
    const inline = await toSvg(spec);
    return {
      file: `${tidySvg(titled, names, GROUND)}\n`,
      inline: tidySvg(inline, names).replaceAll(INK, 'currentColor'),
    };
  };
}
